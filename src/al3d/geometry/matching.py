"""The nearest point within a radius, for frame after frame: a hash table of cells twice the radius wide."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from al3d.types import F64, I32, I64

#: Cells are numbered from -2^20 to 2^20 along each axis.
_BITS = 21
_HALF = 1 << (_BITS - 1)
_EMPTY = np.int64(-1)
_MIX = np.uint64(0x9E3779B97F4A7C15)
#: Metres by which a cell may seem farther than it is after rounding; cells are passed over with so much to spare.
_SLACK = 1e-6


@dataclass(frozen=True, eq=False)
class Near:
    """Points f64[M,3] sorted by cell, and a table from cell to its first point; made by `index_points`."""

    radius: float
    xyz: F64
    row: I32
    ends: I64
    keys: I64
    starts: I64


def index_points(xyz: F64, radius: float) -> Near:
    """Index points f64[M,3] (metres) for `nearest_within` that radius.

    Raises: ValueError when the radius is not positive, or the points span over a million cells of twice the radius along an axis.
    """
    if not radius > 0:
        raise ValueError(f"radius={radius} m: it must be positive")
    cell = np.floor(xyz / (2 * radius)).astype(np.int64)
    if len(cell) and (cell.min() < -_HALF + 1 or cell.max() >= _HALF - 1):
        raise ValueError(f"points as far as {np.abs(xyz).max():.0f} m from the origin cannot be matched within {radius} m: use a frame nearer to them")
    key = _key(cell)
    order = np.argsort(key, kind="stable")
    first = np.flatnonzero(np.r_[True, np.diff(key[order]) != 0][: len(key)])
    ends = np.r_[first[1:], len(key)][: len(first)]
    keys, starts = _table(key[order][first], 1 << max(4, int(2 * len(first)).bit_length()))
    return Near(radius, np.ascontiguousarray(xyz[order]), order.astype(np.int32), np.c_[first, ends].astype(np.int64), keys, starts)


def nearest_within(index: Near, queries: F64) -> I32:
    """The nearest indexed point at most the radius away from each query f64[N,3]: i32[N], -1 where there is none.

    Of points at equal distance the smallest index wins, whatever the number of threads.
    """
    return _search(np.ascontiguousarray(queries), index.xyz, index.row, index.ends, index.keys, index.starts, index.radius)


def _key(cell: I64) -> I64:
    shifted = cell + _HALF
    return np.asarray((shifted[:, 0] << (2 * _BITS)) | (shifted[:, 1] << _BITS) | shifted[:, 2])


@numba.njit(cache=True)
def _slot(key: np.int64, size: int) -> np.int64:
    return np.int64((np.uint64(key) * _MIX) >> np.uint64(20)) & (size - 1)


@numba.njit(cache=True)
def _table(found: I64, size: int) -> tuple[I64, I64]:
    """An open hash table: keys i64[size] (-1: free) and which cell each one is."""
    keys = np.full(size, _EMPTY, np.int64)
    starts = np.zeros(size, np.int64)
    for number in range(len(found)):
        slot = _slot(found[number], size)
        while keys[slot] != _EMPTY:
            slot = (slot + 1) & (size - 1)
        keys[slot] = found[number]
        starts[slot] = number
    return keys, starts


@numba.njit(cache=True)
def _found(key: np.int64, keys: I64) -> np.int64:
    """The slot of a key, or -1."""
    size = len(keys)
    slot = _slot(key, size)
    while keys[slot] != _EMPTY:
        if keys[slot] == key:
            return slot
        slot = (slot + 1) & (size - 1)
    return np.int64(-1)


@numba.njit(parallel=True, cache=True)
def _search(queries: F64, xyz: F64, row: I32, ends: I64, keys: I64, starts: I64, radius: float) -> I32:
    result = np.full(len(queries), -1, np.int32)
    limit, edge = radius * radius, 2 * radius
    for query in numba.prange(len(queries)):
        x, y, z = queries[query]
        i, j, k = np.floor(x / edge), np.floor(y / edge), np.floor(z / edge)
        if max(abs(i), abs(j), abs(k)) >= _HALF - 2:
            continue
        # A ball of the radius touches at most two cells along each axis: the own one, and the one beyond the nearer face.
        right, back, top = x / edge - i > 0.5, y / edge - j > 0.5, z / edge - k > 0.5
        gap_x = max((edge * (i + 1) - x if right else x - edge * i) - _SLACK, 0.0)
        gap_y = max((edge * (j + 1) - y if back else y - edge * j) - _SLACK, 0.0)
        gap_z = max((edge * (k + 1) - z if top else z - edge * k) - _SLACK, 0.0)
        best, best_row = limit, np.int32(-1)
        for step in range(8):
            gap = 0.0
            cell_x, cell_y, cell_z = np.int64(i) + _HALF, np.int64(j) + _HALF, np.int64(k) + _HALF
            if step & 1:
                gap += gap_z * gap_z
                cell_z += 1 if top else -1
            if step & 2:
                gap += gap_y * gap_y
                cell_y += 1 if back else -1
            if step & 4:
                gap += gap_x * gap_x
                cell_x += 1 if right else -1
            if gap > best:
                continue
            slot = _found((cell_x << (2 * _BITS)) | (cell_y << _BITS) | cell_z, keys)
            if slot < 0:
                continue
            cell = starts[slot]
            for place in range(ends[cell, 0], ends[cell, 1]):
                dx, dy, dz = xyz[place, 0] - x, xyz[place, 1] - y, xyz[place, 2] - z
                squared = dx * dx + dy * dy + dz * dz
                if squared < best or (squared == best and (best_row < 0 or row[place] < best_row)):
                    best, best_row = squared, row[place]
        result[query] = best_row
    return result
