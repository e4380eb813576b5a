"""Distances between unit features: exact, in blocks, the same bits for any number of threads."""

from __future__ import annotations

import numba
import numpy as np

from al3d.types import F32, F64, Array

#: Pairs of rows whose distances are held at once.
BLOCK_PAIRS = 8_000_000


@numba.njit(parallel=True, cache=True)
def squared_distance(rows: F32, centre: F32) -> F32:
    """The squared Euclidean distance of every row f32[U,D] to one centre f32[D]: f32[U]."""
    count, width = rows.shape
    result = np.empty(count, np.float32)
    for row in numba.prange(count):
        total = np.float32(0)
        for column in range(width):
            gap = rows[row, column] - centre[column]
            total += gap * gap
        result[row] = total
    return result


def nearest_squared(rows: F32, centres: F32) -> F32:
    """The squared distance of every row f32[U,D] to its nearest centre f32[C,D]: f32[U], infinite without centres."""
    result = np.full(len(rows), np.inf, np.float32)
    for part in _blocks(len(rows), len(centres)):
        result[part] = _squared(rows[part], centres).min(axis=1)
    return result


def summed(rows: F32, centres: F32) -> F64:
    """The sum of the distances of every row f32[U,D] to all centres f32[C,D]: f64[U]."""
    result = np.zeros(len(rows))
    for part in _blocks(len(rows), len(centres)):
        result[part] = np.sqrt(_squared(rows[part], centres)).sum(axis=1, dtype=np.float64)
    return result


def _blocks(rows: int, centres: int) -> list[slice]:
    if centres == 0:
        return []
    step = max(1, BLOCK_PAIRS // centres)
    return [slice(start, start + step) for start in range(0, rows, step)]


def _squared(rows: F32, centres: F32) -> F32:
    """All pairs, f32[U,C], by one matrix product; both sides are moved to the centres' mean first, so that little is cancelled."""
    middle = centres.mean(axis=0, dtype=np.float64).astype(np.float32)
    rows, centres = rows - middle, centres - middle
    product = rows @ centres.T
    product *= -2
    product += np.einsum("ij,ij->i", rows, rows)[:, None]
    product += np.einsum("ij,ij->i", centres, centres)[None, :]
    return np.asarray(np.maximum(product, 0, out=product))


def plain(feature: Array) -> F32:
    """Features as contiguous float32, whatever they were kept as."""
    return np.ascontiguousarray(feature, dtype=np.float32)
