"""What represents a unit in feature space."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy import sparse

from al3d.arrays import Elsewhere, elsewhere
from al3d.rng import generator
from al3d.types import F32, I32, I64, Array, Bool, View

EMBEDDINGS = ("mean", "direction", "gradient", "views")
#: The largest half-precision number.
LARGEST = 65504.0
#: Gradient embeddings with more numbers than this are projected to so many.
WIDEST = 512


def embedding(view: View, kind: str, inside: Bool, rows: I64, total: Array) -> Array:
    """The embedding of each of `rows` (units of the scene, `total` i64[units] points each): f32[len(rows),D], f16 for "gradient".

    "mean": the mean feature of its points, or of a scene's views; "direction": that, at length 1; "views": all views of the scene, f32[1,K,D].
    "gradient": the mean over its points of the cross-entropy's gradient at the last layer if the
    predicted class were true, (p - onehot(argmax p)) outer feature, by a fixed random projection to 512 numbers when there are more; in half
    precision, because it is the widest thing that is kept of a pool (0.76 GB for 739,235 units).
    Formed per (unit, voxel) pair, so that no [N,D] array exists.
    With `described` features of an extractor those of the network are not looked at.
    Raises: ValueError when the pool was neither described nor predicted, or has no such embedding.
    Source: gradient embeddings of BADGE (Ash et al., ICLR 2020), averaged over the unit.
    """
    if kind == "direction":
        return directions(embedding(view, "mean", inside, rows, total))
    if view.described is not None:
        return _of_described(view, view.described, kind, rows)
    if view.feature is None or view.inverse is None:
        raise ValueError(f"scene {view.scene.id!r}: this method needs unit features, but the pool was not predicted")
    residual = _residual(view) if kind == "gradient" else None
    work = view.feature.size * (1 if residual is None else residual.shape[1])
    other = elsewhere("numbers", work, view.feature)
    summed = _sums if other is None else partial(_sums_elsewhere, other)
    sums = summed(view.feature, residual, view.unit, view.inverse, inside, rows, len(total))
    mean = np.asarray(sums / total[rows, None], dtype=np.float32)
    return mean if residual is None else np.clip(projected(mean), -LARGEST, LARGEST).astype(np.float16)


def _residual(view: View) -> F32:
    """Probabilities less 1 for the most likely class: f32[V,C]."""
    residual = view.predicted().astype(np.float32).copy()
    residual[np.arange(len(residual)), residual.argmax(axis=1)] -= 1
    return residual


def _sums(feature: F32, residual: F32 | None, unit: I32, inverse: I64, inside: Bool, rows: I64, units: int) -> F32:
    """The sums over the points of `rows` of their features, or of the outer products with `residual`: f32[rows,D] or f32[rows,C*D]."""
    ones = np.ones(int(inside.sum()), np.float32)
    pairs = sparse.csr_matrix((ones, (unit[inside], inverse[inside])), shape=(units, len(feature)))[rows]
    if residual is None:
        return np.asarray(pairs @ feature)
    return np.concatenate([pairs @ (feature * column[:, None]) for column in residual.T], axis=1)


def _sums_elsewhere(other: Elsewhere, feature: F32, residual: F32 | None, unit: I32, inverse: I64, inside: Bool, rows: I64, units: int) -> F32:
    """As `_sums`."""
    place = np.full(units, -1)
    place[rows] = np.arange(len(rows))
    group = np.where(inside, place[unit], -1)
    there = group >= 0
    return other.picked_sums(np.ascontiguousarray(feature, np.float32), residual, group[there], np.asarray(inverse, np.int64)[there], len(rows))


def directions(rows: Array) -> F32:
    """The rows f32[U,D] at length 1; a row of zeros stays."""
    length = np.linalg.norm(rows.astype(np.float64), axis=-1, keepdims=True)
    return np.asarray(rows / np.maximum(length, 1e-12), dtype=np.float32)


def _of_described(view: View, described: F32, kind: str, rows: I64) -> F32:
    if view.whole:
        mean = described.mean(axis=0, dtype=np.float64).astype(np.float32)
        return np.asarray(described[None] if kind == "views" else mean[None])[: len(rows)]
    if kind == "views":
        raise ValueError(
            f"scene {view.scene.id!r}: only whole scenes have several views: set unit@seed.unit=scene, or choose a seed that compares single features"
        )
    return np.asarray(described[rows])


def projected(rows: F32) -> F32:
    """The same rows when they are narrow; else their fixed Gaussian projection to `WIDEST` numbers, which keeps distances about equal."""
    width = rows.shape[1]
    if width <= WIDEST:
        return rows
    matrix = generator("gradient embedding", width).standard_normal((width, WIDEST), dtype=np.float32) / np.float32(np.sqrt(WIDEST))
    return np.asarray(rows @ matrix, dtype=np.float32)
