"""What represents a unit in feature space."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from al3d.rng import generator
from al3d.types import F32, I64, Array, Bool, View

EMBEDDINGS = ("mean", "gradient")
#: The largest half-precision number.
LARGEST = 65504.0
#: Gradient embeddings with more numbers than this are projected to so many.
WIDEST = 512


def embedding(view: View, kind: str, inside: Bool, rows: I64, total: Array) -> Array:
    """The embedding of each of `rows` (units of the scene, `total` i64[units] points each): f32[len(rows),D], f16 for "gradient".

    "mean": the mean feature of its points. "gradient": the mean over its points of the cross-entropy's gradient at the last layer if the
    predicted class were true, (p - onehot(argmax p)) outer feature, by a fixed random projection to 512 numbers when there are more; in half
    precision, because it is the widest thing that is kept of a pool (0.76 GB for 739,235 units).
    Formed per (unit, voxel) pair, so that no [N,D] array exists.
    Raises: ValueError when the pool was not predicted.
    Source: gradient embeddings of BADGE (Ash et al., ICLR 2020), averaged over the unit.
    """
    if view.feature is None or view.inverse is None:
        raise ValueError(f"scene {view.scene.id!r}: this method needs unit features, but the pool was not predicted")
    shape = (len(total), len(view.feature))
    pairs = sparse.csr_matrix((np.ones(int(inside.sum()), np.float32), (view.unit[inside], view.inverse[inside])), shape=shape)[rows]
    count = total[rows, None]
    if kind == "mean":
        return np.asarray(pairs @ view.feature / count, dtype=np.float32)
    residual = view.predicted().astype(np.float32).copy()
    residual[np.arange(len(residual)), residual.argmax(axis=1)] -= 1
    parts = [pairs @ (view.feature * column[:, None]) for column in residual.T]
    gradient = projected(np.asarray(np.concatenate(parts, axis=1) / count, dtype=np.float32))
    return np.clip(gradient, -LARGEST, LARGEST).astype(np.float16)


def projected(rows: F32) -> F32:
    """The same rows when they are narrow; else their fixed Gaussian projection to `WIDEST` numbers, which keeps distances about equal."""
    width = rows.shape[1]
    if width <= WIDEST:
        return rows
    matrix = generator("gradient embedding", width).standard_normal((width, WIDEST), dtype=np.float32) / np.float32(np.sqrt(WIDEST))
    return np.asarray(rows @ matrix, dtype=np.float32)
