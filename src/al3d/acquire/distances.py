"""Distances between unit features: exact, in blocks, the same bits for any number of threads."""

from __future__ import annotations

import numba
import numpy as np

from al3d.arrays import Covering, elsewhere
from al3d.types import F32, F64, I32, I64, Array

#: Pairs of rows whose distances are held at once.
BLOCK_PAIRS = 8_000_000
#: Rows that are copied at once.
BLOCK_ROWS = 65_536


#: Rows are passed over only where they are farther by this factor than could matter: far more than squared distances are rounded by.
SPARE = 1.001
#: Columns whose squares are summed before it is asked whether the sum is too large already.
COLUMNS = 64


@numba.njit(cache=True, fastmath={"reassoc", "contract", "nsz"}, inline="always")
def _apart(one: F32, other: F32, least: float) -> np.float32:
    """The squared distance of two f32[D], or any part of it that is at least `least`."""
    total = np.float32(0)
    for start in range(0, len(one), COLUMNS):
        for column in range(start, min(start + COLUMNS, len(one))):
            gap = one[column] - other[column]
            total += gap * gap
        if total >= least:
            break
    return total


@numba.njit(parallel=True, cache=True)
def squared_distance(rows: F32, centre: F32) -> F32:
    """The squared Euclidean distance of every row f32[U,D] to one centre f32[D]: f32[U]."""
    result = np.empty(len(rows), np.float32)
    for row in numba.prange(len(rows)):
        result[row] = _apart(rows[row], centre, np.inf)
    return result


def distances_to(rows: F32, centre: F32) -> F32:
    """`squared_distance`, or elsewhere."""
    other = elsewhere("numbers", rows.size, rows)
    return squared_distance(rows, centre) if other is None else other.squared_distance(rows, centre)


def covering(feature: F32, taken: I64) -> Covering:
    """`Nearest`, or its like elsewhere."""
    other = elsewhere("numbers", feature.size, feature)
    return Nearest(feature, taken) if other is None else other.covering(feature, taken)


class Nearest:
    """`distance` f32[U]: the squared distance of every row to the nearest row taken so far, as rows are taken one after the other.

    Infinite before the first. Whoever holds it may set a row's distance to 0 or less: that row is not looked at any more. Equal, bit for
    bit, to comparing every row with every taken one, but most are passed over: where the new row is twice as far from a row's nearest
    taken one as that row is (triangle inequality), or differs more from it in length.
    Source: Hamerly 2010 and Raff 2021 use such bounds for k-means and its ++ start.
    """

    def __init__(self, feature: F32, taken: I64) -> None:
        self.feature = feature
        self._length = _lengths(feature)
        self.distance, self._owner = nearest(feature, feature[taken])
        self._taken = feature[taken]
        self._count = len(taken)

    def take(self, row: int) -> None:
        """Take one more row."""
        if self._count == len(self._taken):
            self._taken = np.concatenate([self._taken, np.empty((max(256, self._count), self.feature.shape[1]), np.float32)])
        centre = self.feature[row]
        self._taken[self._count] = centre
        gap = squared_distance(self._taken[: self._count], centre)
        _approach(self.feature, centre, self._length, self._length[row], gap, self._count, self._owner, self.distance)
        self._count += 1

    def close(self, rows: Array | int, to: float) -> None:
        """Set the distance of some rows (a mask, indices, or one) to 0 or less."""
        self.distance[rows] = to

    def farthest(self) -> tuple[int, float]:
        """The first row of the largest distance, and that distance."""
        row = int(np.argmax(self.distance))
        return row, float(self.distance[row])

    def sums(self, block: int) -> F64:
        """The sums of the distances of so many consecutive rows each."""
        return np.asarray(np.add.reduceat(self.distance, np.arange(0, len(self.distance), block), dtype=np.float64))

    def part(self, start: int, stop: int) -> F32:
        """The distances of consecutive rows."""
        return self.distance[start:stop]


@numba.njit(parallel=True, cache=True)
def _lengths(rows: F32) -> F64:
    """The Euclidean length of every row, in double precision."""
    result = np.empty(len(rows))
    for row in numba.prange(len(rows)):
        total = 0.0
        for column in range(rows.shape[1]):
            total += np.float64(rows[row, column]) ** 2
        result[row] = np.sqrt(total)
    return result


@numba.njit(parallel=True, cache=True)
def _approach(rows: F32, centre: F32, length: F64, reach: float, gap: F32, number: int, owner: I32, distance: F32) -> None:
    """Lower the distances of the rows that are nearer to `centre` than to the taken row that `owner` names, and name `number` instead."""
    for row in numba.prange(len(rows)):
        now = distance[row]
        if now <= 0 or (owner[row] >= 0 and gap[owner[row]] >= 4 * SPARE * now) or (length[row] - reach) ** 2 >= SPARE * now:
            continue
        apart = _apart(rows[row], centre, now)
        if apart < now:
            distance[row], owner[row] = apart, number


def nearest(rows: F32, centres: F32) -> tuple[F32, I32]:
    """The squared distance of every row f32[U,D] to its nearest centre f32[C,D], f32[U], and which that is, i32[U].

    Without centres: infinite and -1. Of several centres whose distances differ by less than rounding any may be the one.
    """
    owner = np.full(len(rows), -1, np.int32)
    for part in _blocks(len(rows), len(centres)):
        owner[part] = _squared(rows[part], centres).argmin(axis=1)
    return _to_owner(rows, centres, owner), owner


@numba.njit(parallel=True, cache=True)
def _to_owner(rows: F32, centres: F32, owner: I32) -> F32:
    result = np.empty(len(rows), np.float32)
    for row in numba.prange(len(rows)):
        result[row] = _apart(rows[row], centres[owner[row]], np.inf) if owner[row] >= 0 else np.inf
    return result


def mean_of_nearest(rows: F32, count: int) -> F64:
    """The mean distance of every row f32[U,D] to the `count` (1..U-1) rows nearest to it, itself left out: f64[U].

    By matrix products of blocks, in double precision: in many dimensions a tree looks at every row anyway.
    """
    other = elsewhere("products", len(rows) * rows.size, rows)
    if other is not None:
        return other.mean_of_nearest(rows, count)
    result, exact = np.empty(len(rows)), rows.astype(np.float64)
    for part in _blocks(len(rows), len(rows)):
        result[part] = _mean_of_least(_squared(exact[part], exact), rows, part.start, count)
    return result


@numba.njit(parallel=True, cache=True)
def _mean_of_least(squared: F64, rows: F32, start: int, count: int) -> F64:
    """The mean distance, computed anew, of the `count` other rows with the least of `squared` f64[B,U] to row `start` + b: f64[B]."""
    result = np.empty(len(squared))
    for turn in numba.prange(len(squared)):
        least, place = np.full(count, np.inf), np.zeros(count, np.int64)
        for other in range(squared.shape[1]):
            if squared[turn, other] < least[count - 1] and other != start + turn:
                rank = count - 1
                while rank > 0 and least[rank - 1] > squared[turn, other]:
                    least[rank], place[rank] = least[rank - 1], place[rank - 1]
                    rank -= 1
                least[rank], place[rank] = squared[turn, other], other
        total = 0.0
        for rank in range(count):
            total += np.sqrt(np.float64(_apart(rows[start + turn], rows[place[rank]], np.inf)))
        result[turn] = total / count
    return result


def summed(rows: F32, centres: F32) -> F64:
    """The sum of the distances of every row f32[U,D] to all centres f32[C,D]: f64[U]."""
    other = elsewhere("products", rows.size * len(centres), rows, centres)
    if other is not None:
        return other.summed(rows, centres)
    result = np.zeros(len(rows))
    for part in _blocks(len(rows), len(centres)):
        result[part] = np.sqrt(_squared(rows[part], centres)).sum(axis=1, dtype=np.float64)
    return result


def _blocks(rows: int, centres: int) -> list[slice]:
    if centres == 0:
        return []
    step = max(1, BLOCK_PAIRS // centres)
    return [slice(start, start + step) for start in range(0, rows, step)]


def _squared(rows: Array, centres: Array) -> Array:
    """All pairs, [U,C], by one matrix product; both sides are moved to the centres' mean first, so that little is cancelled."""
    middle = centres.mean(axis=0, dtype=np.float64).astype(centres.dtype)
    rows, centres = rows - middle, centres - middle
    product = rows @ centres.T
    product *= -2
    product += np.einsum("ij,ij->i", rows, rows)[:, None]
    product += np.einsum("ij,ij->i", centres, centres)[None, :]
    return np.asarray(np.maximum(product, 0, out=product))


def plain(feature: Array, rows: I64 | None = None) -> F32:
    """Features as contiguous float32, whatever they were kept as; of some `rows`, ascending, if given.

    In blocks, because a pool's features may fill half the memory.
    """
    if rows is None or len(rows) == len(feature):
        return np.ascontiguousarray(feature, dtype=np.float32)
    result = np.empty((len(rows), feature.shape[1]), np.float32)
    for start in range(0, len(rows), BLOCK_ROWS):
        result[start : start + BLOCK_ROWS] = feature[rows[start : start + BLOCK_ROWS]]
    return result
