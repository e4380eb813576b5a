"""Numbers for the cells of a fixed grid, in two or three dimensions."""

from __future__ import annotations

import numpy as np

from al3d.geometry.bounds import bounds
from al3d.types import F32, I32


def check_size(size: float, what: str) -> None:
    """Raise a ValueError unless `size`, the edge of `what` in metres, is positive and finite."""
    if not (size > 0 and np.isfinite(size)):
        raise ValueError(f"size = {size} m: the size of a {what} must be positive and finite")


def cell_ids(position: F32, size: float, scene_id: str, what: str = "voxel") -> I32:
    """Number the occupied cells floor(position / size) of position f32[N,D], N >= 1, in the order of their coordinates: i32[N].

    `size` in metres; the grid goes through the frame's origin.
    Raises: ValueError naming the scene when there are too many cells to number.
    """
    low, high = (np.floor(side.astype(np.float64) / size) for side in bounds(position))
    span = high - low + 1
    if span.prod() >= 2.0**63 or np.abs(low).max() >= 2.0**52:
        raise ValueError(f"scene {scene_id!r}: {span.tolist()} {what}s of {size} m are too many to number; use a larger size or check the units of the scene")
    key = np.zeros(len(position), np.int64)
    for axis in range(position.shape[1]):
        cell = np.floor(position[:, axis].astype(np.float64) / size) - low[axis]
        key = key * int(span[axis]) + cell.astype(np.int64)
    return np.unique(key, return_inverse=True)[1].astype(np.int32)
