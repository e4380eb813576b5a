"""The lowest surface around every place of a cloud, and how high points are above it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from al3d.geometry.thin import trimmed_box
from al3d.types import F32, F64

#: Cells along the longer side of the map, at most, and metres around a cell in which the lowest point is ground.
CELLS = 400
REACH = 3.0


def height_above_ground(xyz: F32, reach: float = REACH) -> F64:
    """Metres f64[N] that every point of xyz f32[N,3] is above the ground around it, never below 0.

    The ground is the lowest point of every cell, opened (eroded, then dilated) with a square that reaches `reach` metres to all sides: what is narrower
    stands on the ground, a slope is followed. It is not more than half of `reach` above the ground found with a square four times as large: a tree
    top, far away, under which nothing was seen is no ground. Both squares are smaller in a scene below 20 m. The lowest 0.2 % of the points are no ground.
    """
    low, high = trimmed_box(xyz)
    extent = float((high - low)[:2].max())
    near, far = min(reach, 0.15 * extent), min(4 * reach, 0.45 * extent)
    size = max(extent / CELLS, near / 6, 1e-6)
    cell = np.clip(np.floor((xyz[:, :2].astype(np.float64) - low[:2]) / size), -1, CELLS + 1).astype(np.int64) + 1
    shape = tuple(cell.max(axis=0) + 1)
    flat = np.ravel_multi_index((cell[:, 0], cell[:, 1]), shape)
    height = xyz[:, 2].astype(np.float64)
    bottom = float(np.quantile(height[:: max(1, len(height) // 50_000)], 0.002))
    lowest = np.full(shape, np.inf)
    np.minimum.at(lowest.reshape(-1), flat, np.maximum(height, bottom))
    ground = np.minimum(_opened(lowest, near / size), _opened(lowest, far / size) + near / 2)
    return np.asarray(np.maximum(height - ground.reshape(-1)[flat], 0.0))


def _opened(lowest: F64, reach: float) -> F64:
    """The map eroded and then dilated with a square that reaches so many cells to all sides; empty cells are infinite and take no part."""
    side = 2 * max(1, round(reach)) + 1
    eroded = ndimage.minimum_filter(lowest, side, mode="nearest")
    return np.asarray(ndimage.maximum_filter(np.where(np.isfinite(eroded), eroded, -np.inf), side, mode="nearest"))
