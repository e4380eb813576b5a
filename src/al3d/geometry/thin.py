"""Fewer points of a cloud, evenly over its surfaces: what a picture of few pixels can show."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from al3d.geometry.tree import check_cloud
from al3d.types import F32, F64, I64, Array

#: Cells along the longer side of the cloud to begin with: more than a picture has pixels.
CELLS = 1024
#: Bits per axis of a cell's key.
BITS = 21


def thinned(xyz: F32, limit: int) -> I64:
    """Rows i64[M] of at most `limit` points of xyz f32[N,3], in their order: the first point of every cube; all rows when there are no more.

    The cubes start at 1/1024 of the cloud's extent (its farthest 0.5 % of the points left out) and grow until few enough are occupied. Dense places lose
    most, sparse ones nothing. Takes one pass over the points for each size, and 16 bytes a point.
    Raises: ValueError when limit < 1 or xyz is not a finite [N,3] cloud.
    """
    check_cloud(xyz)
    if limit < 1:
        raise ValueError(f"limit = {limit}: at least 1 point must stay")
    rows = np.arange(len(xyz))
    low, high = trimmed_box(xyz)
    size = max(float((high - low).max()) / CELLS, 1e-6)
    while len(rows) > limit:
        kept = rows[_first_of_cells(xyz[rows], low, size)]
        rows, size = (kept, size * max(1.1, float(np.sqrt(len(kept) / limit)))) if size < 1e6 else (kept[:limit], size)
    return rows


def trimmed_box(xyz: F32, share: float = 0.005) -> tuple[F64, F64]:
    """The low and high corner f64[3] of the cloud without its outermost points, a `share` of them along each direction and side.

    Of a large cloud every n-th point decides, about 50,000 of them.
    """
    low, high = np.quantile(xyz[:: max(1, len(xyz) // 50_000)].astype(np.float64), [share, 1 - share], axis=0)
    return np.asarray(low), np.asarray(high)


@numba.njit(cache=True)
def _first_of_cells(xyz: F32, low: F64, size: float) -> Array:  # pragma: no cover
    """The first row of every occupied cell, in order; cells beyond 2^20 from the low corner fall together."""
    capacity = 2
    while capacity < 2 * len(xyz):
        capacity *= 2
    keys = np.full(capacity, -1, np.int64)
    kept, count = np.empty(len(xyz), np.int64), 0
    for i in range(len(xyz)):
        key = np.int64(0)
        for axis in range(3):
            key = (key << BITS) | _cell(np.float64(xyz[i, axis]) - low[axis], size)
        slot = _slot(keys, key)
        if keys[slot] < 0:
            keys[slot] = key
            kept[count] = i
            count += 1
    return kept[:count]


@numba.njit(cache=True)
def _cell(offset: Any, size: float) -> Any:  # pragma: no cover
    middle = 1 << (BITS - 1)
    place = np.floor(offset / size)
    return np.int64(min(max(place, -middle), middle - 1)) + middle


@numba.njit(cache=True)
def _slot(keys: I64, key: Any) -> Any:  # pragma: no cover
    """Where `key` is, or the free slot where it would be."""
    mask = len(keys) - 1
    slot = np.int64((np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)) & mask
    while keys[slot] >= 0 and keys[slot] != key:
        slot = (slot + 1) & mask
    return slot
