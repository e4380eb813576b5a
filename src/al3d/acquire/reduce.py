"""From points to units: one row per query unit with its size, place, score and feature."""

from __future__ import annotations

import zlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from al3d.acquire.embed import embedding
from al3d.arrays import elsewhere
from al3d.files import whole_file
from al3d.types import F32, I64, IGNORE, U8, Array, Bool, Scene, Units, View


def describe(
    view: View,
    score: F32 | None,
    with_feature: bool = False,
    with_labelled: bool = False,
    shortlist: int | None = None,
    kind_of_feature: str = "mean",
) -> Units:
    """The units of one scene that are in the pool (and the labelled ones, if asked for), sorted by unit.

    A unit's scores are the means of `score` f32[N] or f32[N,S] over its points not yet asked; its feature is as
    `al3d.acquire.embed` says.
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
        keep &= ~(size > 0) | _best(scores[:, 0], size > 0, shortlist)
    rows = np.flatnonzero(keep)
    center, extent = _boxes(view.scene.xyz[inside], ids, count)
    feature = embedding(view, kind_of_feature, inside, rows, total) if with_feature else np.zeros((len(rows), 0), np.float32)
    predicted, clicks = _votes(view, inside, count)
    return Units(
        scene=np.full(len(rows), view.index, np.int32),
        unit=rows.astype(np.int32),
        size=size[rows],
        points=total[rows].astype(np.int64),
        center=center[rows],
        extent=extent[rows],
        world=view.scene.in_world(center[rows]),
        drive=np.full(len(rows), drive_number(view.scene), np.int32),
        score=scores[rows],
        feature=feature,
        kind=view.kind[rows],
        predicted=predicted[rows],
        clicks=clicks[rows],
        labelled=labelled[rows],
    )


def _mean_score(view: View, score: F32 | None, inside: Bool, size: I64, count: int) -> F32:
    if score is None:
        return np.zeros((count, 1), np.float32)
    columns = score.reshape(len(score), -1)
    if len(score) != len(view.scene) or score.ndim > 2 or not columns.shape[1] or not np.isfinite(columns).all():
        finite = bool(np.isfinite(score).all())
        raise ValueError(f"scene {view.scene.id!r}: a score is finite numbers for each of {len(view.scene)} points, got {list(score.shape)}, finite: {finite}")
    open_points = inside & ~view.asked
    other = elsewhere("numbers", columns.size, columns)
    if other is not None:
        total = other.group_sums(columns[open_points].astype(np.float64), view.unit[open_points].astype(np.int64), count)
    else:
        total = np.stack([np.bincount(view.unit[open_points], weights=column[open_points], minlength=count) for column in columns.T], axis=1)
    return np.asarray(total / np.maximum(size, 1)[:, None], dtype=np.float32)


def drive_number(scene: Scene) -> int:
    """A number below 2^31 that the frames of one sequence share; a scene without a sequence has its own."""
    return zlib.crc32(f"sequence {scene.sequence}".encode() if scene.sequence is not None else f"scene {scene.id}".encode()) & 0x7FFFFFFF


def _votes(view: View, inside: Bool, count: int) -> tuple[U8, I64]:
    """Per unit the class that most points are predicted as, ties to the lower one, and how many classes occur: u8[count], i64[count].

    Without predictions: IGNORE, and 1.
    """
    if view.prob is None or view.inverse is None:
        return np.full(count, IGNORE, np.uint8), np.ones(count, np.int64)
    classes = view.prob.shape[1]
    predicted = view.prob.argmax(axis=1)[view.inverse[inside]]
    votes = np.bincount(view.unit[inside].astype(np.int64) * classes + predicted, minlength=count * classes).reshape(count, classes)
    return votes.argmax(axis=1).astype(np.uint8), np.maximum((votes > 0).sum(axis=1), 1).astype(np.int64)


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


def join(parts: list[Units]) -> Units:
    """All rows of several parts, sorted by (scene, unit). Raises: ValueError when a row occurs twice or there are no parts."""
    if not parts:
        raise ValueError("no units to choose from: the pool has no scenes")
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in Units.__dataclass_fields__ if name != "feature"}
    columns["feature"] = np.concatenate(_equally_many_views([part.feature for part in parts]))
    order = np.lexsort((columns["unit"], columns["scene"]))
    units = Units(**{name: values[order] for name, values in columns.items()})
    same = (np.diff(units.scene) == 0) & (np.diff(units.unit) == 0)
    if same.any():
        row = int(np.flatnonzero(same)[0])
        raise ValueError(f"unit {int(units.unit[row])} of scene {int(units.scene[row])} was harvested twice: delete the round's units folder and run again")
    return units


def _equally_many_views(features: list[Array]) -> list[Array]:
    """Features [U,K,D] with rows of NaN up to the largest K; others as they are."""
    if features[0].ndim == 2:
        return features
    views = max(feature.shape[1] for feature in features)
    return [np.pad(feature, ((0, 0), (0, views - feature.shape[1]), (0, 0)), constant_values=np.nan) for feature in features]


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
