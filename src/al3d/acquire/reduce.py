"""From points to units: one row per query unit with its size, place, score and feature."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from scipy import sparse

from al3d.files import whole_file
from al3d.types import F32, I64, Array, Bool, Units, View


def describe(view: View, score: F32 | None, with_feature: bool = False, with_labelled: bool = False, shortlist: int | None = None) -> Units:
    """The units of one scene that are in the pool (and the labelled ones, if asked for), sorted by unit.

    A unit's score is the mean of `score` f32[N] over its points not yet asked; its feature the mean of its points' features.
    Source: means over original points, not voxels (docs/fidelity.md D-60).
    """
    count = int(view.unit.max(initial=-1)) + 1
    inside = view.unit >= 0
    ids = view.unit[inside]
    total = np.bincount(ids, minlength=count)
    asked = np.bincount(ids[view.asked[inside]], minlength=count)
    size = (total - asked).astype(np.int64)
    labelled = 2 * asked >= np.maximum(total, 1)
    scores = _mean_score(view, score, inside, size, count)
    keep = (size > 0) | (labelled & with_labelled)
    if shortlist is not None:
        keep &= ~(size > 0) | _best(scores, size > 0, shortlist)
    rows = np.flatnonzero(keep)
    center, extent = _boxes(view.scene.xyz[inside], ids, count)
    feature = _mean_feature(view, inside, rows, total, count) if with_feature else np.zeros((len(rows), 0), np.float32)
    return Units(
        scene=np.full(len(rows), view.index, np.int32),
        unit=rows.astype(np.int32),
        size=size[rows],
        center=center[rows],
        extent=extent[rows],
        score=scores[rows, None],
        feature=feature,
        kind=view.kind[rows],
        labelled=labelled[rows],
    )


def _mean_score(view: View, score: F32 | None, inside: Bool, size: I64, count: int) -> F32:
    if score is None:
        return np.zeros(count, np.float32)
    if score.shape != (len(view.scene),) or not np.isfinite(score).all():
        finite = bool(np.isfinite(score).all())
        raise ValueError(f"scene {view.scene.id!r}: a score is a finite number for each of {len(view.scene)} points, got {list(score.shape)}, finite: {finite}")
    open_points = inside & ~view.asked
    sums = np.bincount(view.unit[open_points], weights=score[open_points], minlength=count)
    return (sums / np.maximum(size, 1)).astype(np.float32)


def _best(scores: F32, pool: Bool, shortlist: int) -> Bool:
    rows = np.flatnonzero(pool)
    best = rows[np.argsort(-scores[rows], kind="stable")[:shortlist]]
    mask = np.zeros(len(scores), dtype=bool)
    mask[best] = True
    return mask


def _boxes(xyz: F32, ids: Array, count: int) -> tuple[F32, F32]:
    """Centre (mean of points) and extent (box edges) of every unit: two f32[U,3]."""
    if count == 0:
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32)
    order = np.argsort(ids, kind="stable")
    starts = np.searchsorted(ids[order], np.arange(count))
    points = xyz[order]
    low, high = np.minimum.reduceat(points, starts, axis=0), np.maximum.reduceat(points, starts, axis=0)
    number = np.bincount(ids, minlength=count)[:, None]
    sums = np.add.reduceat(points.astype(np.float64), starts, axis=0)
    return (sums / np.maximum(number, 1)).astype(np.float32), (high - low).astype(np.float32)


def _mean_feature(view: View, inside: Bool, rows: I64, total: I64, count: int) -> F32:
    """The mean feature of each row's points, formed per (unit, voxel) pair so that no [N,D] array exists: f32[len(rows),D]."""
    if view.feature is None or view.inverse is None:
        raise ValueError(f"scene {view.scene.id!r}: this method needs unit features, but the pool was not predicted")
    pairs = sparse.csr_matrix((np.ones(int(inside.sum()), np.float32), (view.unit[inside], view.inverse[inside])), shape=(count, len(view.feature)))
    sums = pairs[rows] @ view.feature
    return np.asarray(sums / total[rows, None], dtype=np.float32)


def join(parts: list[Units]) -> Units:
    """All rows of several parts, sorted by (scene, unit). Raises: ValueError when a row occurs twice or there are no parts."""
    if not parts:
        raise ValueError("no units to choose from: the pool has no scenes")
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in Units.__dataclass_fields__}
    order = np.lexsort((columns["unit"], columns["scene"]))
    units = Units(**{name: values[order] for name, values in columns.items()})
    same = (np.diff(units.scene) == 0) & (np.diff(units.unit) == 0)
    if same.any():
        row = int(np.flatnonzero(same)[0])
        raise ValueError(f"unit {int(units.unit[row])} of scene {int(units.scene[row])} was harvested twice: delete the round's units folder and run again")
    return units


def save_units(path: Path, units: Units) -> None:
    """Write rows as an uncompressed .npz, whole or not at all."""
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **{name: getattr(units, name) for name in Units.__dataclass_fields__})


def load_units(path: Path) -> Units:
    """Read what `save_units` wrote. Raises: ValueError naming the file when it is not readable."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Units(**{name: arrays[name] for name in Units.__dataclass_fields__})
    except (ValueError, KeyError, OSError, EOFError, BadZipFile) as error:
        raise ValueError(f"{path} is not a readable file of units ({error}): delete it, it will be made again") from error
