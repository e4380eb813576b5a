"""Shape of the surface around every point, at any scale, and the lowest and highest surface near it.

Source: covariance features after Demantke et al. 2011 and Weinmann et al. 2015, on the eigenvalues themselves. A wider scale thins the cloud and
keeps the number of neighbours, as in Hackel et al. 2016, so that wide surroundings cost no more than narrow ones.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from al3d.geometry.bounds import bounds
from al3d.geometry.features import smallest_eigenvalue
from al3d.geometry.neighbours import CHUNK
from al3d.geometry.tree import LEAF, LOW, NO_BOUND, Tree, build, check_cloud, gather, next_bound, squared_of
from al3d.geometry.voxels import BITS, morton
from al3d.types import F32, I32, I64, Array

#: What `Surroundings.shape` holds, in order.
SHAPE = ("linearity", "planarity", "scattering", "verticality", "steepness")
#: What `Surroundings.level` holds, in order.
LEVEL = ("lowest", "highest", "mean")
#: Fewer points than this have no shape.
FEWEST = 3
#: Eigenvalues nearer to each other (as a share of their sum, squared) have no direction of their own: rounding would choose it.
APART = 1e-6


class Cells(NamedTuple):
    """The occupied cells of a cloud in Morton order: mean place `xyz` f32[C,3], mean attributes `feat` f32[C,F]; each point's cell `inverse` i32[N]."""

    xyz: F32
    feat: F32
    inverse: I32


class Surroundings(NamedTuple):
    """What is around every place: `shape` f32[P,5] as SHAPE names it, `level` f32[P,3] heights z as LEVEL names them, `mean` f32[P,F] attributes.

    They lie side by side in `values` f32[P,8+F]: whoever looks up a place finds all of it in one line of the processor's cache.
    """

    values: F32

    @property
    def shape(self) -> F32:
        return self.values[:, : len(SHAPE)]

    @property
    def level(self) -> F32:
        return self.values[:, len(SHAPE) : len(SHAPE) + len(LEVEL)]

    @property
    def mean(self) -> F32:
        return self.values[:, len(SHAPE) + len(LEVEL) :]


def from_corner(xyz: F32) -> F32:
    """The cloud f32[N,3] relative to its own low corner. Raises: ValueError when it is not a finite [N,3] cloud."""
    check_cloud(xyz)
    return np.asarray(xyz - bounds(xyz)[0].astype(np.float64), dtype=np.float32)


def cells(xyz: F32, feat: F32, size: float) -> Cells:
    """Thin a cloud f32[N,3] with low corner 0, and its attributes f32[N,F], to one mean per occupied cell of `size` metres.

    Cells are numbered in Morton order and means are float64 sums, so the order of the points changes nothing but rounding.
    Raises: ValueError when the cloud needs more than 2^21 cells along an axis.
    """
    spans = np.floor(bounds(xyz)[1].astype(np.float64) / size) + 1
    if spans.max() > 2**BITS:
        raise ValueError(
            f"cells of {size} m in a cloud of {spans.max() * size:.6g} m: more than 2^{BITS} along an axis; use a larger length or check the units"
        )
    keys, inverse = _numbered(_keys(np.ascontiguousarray(xyz), size))
    return Cells(_means(xyz, inverse, len(keys)), _means(np.ascontiguousarray(feat), inverse, len(keys)), inverse)


def surroundings(thin: Cells, neighbours: int, places: F32) -> Surroundings:
    """Describe every one of `places` f32[P,3] by the `neighbours` + 1 cells nearest to it (fewer in a smaller cloud).

    With eigenvalues l1 >= l2 >= l3 of their covariance (square metres): linearity (l1 - l2) / l1, planarity (l2 - l3) / l1, scattering l3 / l1,
    verticality 1 - |z| of the third eigenvector (0 for a floor, 1 for a wall), steepness |z| of the first. All are 0 for fewer than 3 cells and for equal
    ones; a direction that two equal eigenvalues leave open is 0: a line has linearity 1 and verticality 0. Levels are the lowest, the highest and the mean
    height of these cells.
    Neighbours are never stored. The result does not depend on the number of threads. It is fast when neighbouring places follow each other, as
    the cells of a cloud do.
    Raises: ValueError when neighbours < 1.
    """
    if neighbours < 1:
        raise ValueError(f"neighbours = {neighbours}: ask for at least 1")
    found = Surroundings(np.zeros((len(places), len(SHAPE) + len(LEVEL) + thin.feat.shape[1]), np.float32))
    keep = min(neighbours + 1, len(thin.xyz))
    _walk(build(thin.xyz), np.ascontiguousarray(places), thin.xyz, thin.feat, keep, found.shape, found.level, found.mean)
    return found


def place(rows: F32, first: int, height: F32, feat: F32, inverse: I32, around: Surroundings) -> None:
    """Write what is around each point's place, `inverse` i32[N] of `around`, into rows f32[N,D] from column `first` on: 8 + F columns.

    They are the place's shape, the point's `height` f32[N] above the lowest, below the highest and above the mean level, and by how much the mean of
    each attribute exceeds the point's own `feat` f32[N,F].
    """
    _place(rows, first, height, feat, inverse, around.values)


def window(xyz: F32, height: F32, width: float) -> tuple[F32, F32]:
    """The lowest and the highest of `height` f32[C] in the 3 x 3 columns of `width` metres around every place of xyz f32[C,3]: two f32[C]."""
    column = np.floor(xyz[:, :2].astype(np.float64) / width).astype(np.int64)
    keys, inverse = _numbered((column[:, 0] << 32) | column[:, 1])
    low, high = _extremes(height, inverse, len(keys))
    lowest, highest = low.copy(), high.copy()
    for step in ((x << 32) + y for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y):
        place = np.minimum(np.searchsorted(keys, keys + step), len(keys) - 1)
        there = keys[place] == keys + step
        lowest[there] = np.minimum(lowest, low[place])[there]
        highest[there] = np.maximum(highest, high[place])[there]
    return lowest[inverse], highest[inverse]


def _numbered(keys: I64) -> tuple[I64, I32]:
    """The distinct keys in ascending order, and the place of every key among them. Sorting only the distinct ones is what makes it fast."""
    found, inverse = _distinct(keys)
    order = np.argsort(found)
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return found[order], rank[inverse]


@numba.njit(cache=True)
def _distinct(keys: I64) -> tuple[I64, I32]:  # pragma: no cover
    """The distinct keys in the order in which they come, and every key's place, by an open-addressing table."""
    capacity = 2
    while capacity < 2 * len(keys):
        capacity *= 2
    table, mask = np.full(capacity, -1, np.int32), capacity - 1
    found, inverse, count = np.empty(len(keys), np.int64), np.empty(len(keys), np.int32), 0
    for i in range(len(keys)):
        slot = np.int64((np.uint64(keys[i]) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)) & mask
        while table[slot] >= 0 and found[table[slot]] != keys[i]:
            slot = (slot + 1) & mask
        if table[slot] < 0:
            table[slot], found[count] = count, keys[i]
            count += 1
        inverse[i] = table[slot]
    return found[:count].copy(), inverse


@numba.njit(parallel=True, cache=True)
def _keys(xyz: F32, size: float) -> I64:  # pragma: no cover
    keys = np.empty(len(xyz), np.int64)
    for i in numba.prange(len(xyz)):
        x, y, z = np.floor(np.float64(xyz[i, 0]) / size), np.floor(np.float64(xyz[i, 1]) / size), np.floor(np.float64(xyz[i, 2]) / size)
        keys[i] = np.int64(morton(x, y, z))
    return keys


@numba.njit(cache=True)
def _means(values: F32, inverse: I32, count: int) -> F32:  # pragma: no cover
    sums, number = np.zeros((count, values.shape[1])), np.zeros(count, np.int64)
    for i in range(len(values)):
        number[inverse[i]] += 1
        for column in range(values.shape[1]):
            sums[inverse[i], column] += np.float64(values[i, column])
    means = np.empty(sums.shape, np.float32)
    for cell in range(count):
        for column in range(values.shape[1]):
            means[cell, column] = sums[cell, column] / number[cell]
    return means


@numba.njit(parallel=True, cache=True)
def _place(rows: F32, first: int, height: F32, feat: F32, inverse: I32, values: F32) -> None:  # pragma: no cover
    for i in numba.prange(len(rows)):
        cell, shape = inverse[i], len(SHAPE)
        for j in range(shape):
            rows[i, first + j] = values[cell, j]
        rows[i, first + shape], rows[i, first + shape + 1] = height[i] - values[cell, shape], values[cell, shape + 1] - height[i]
        rows[i, first + shape + 2] = height[i] - values[cell, shape + 2]
        for j in range(feat.shape[1]):
            rows[i, first + shape + 3 + j] = values[cell, shape + 3 + j] - feat[i, j]


@numba.njit(cache=True)
def _extremes(height: F32, inverse: I32, count: int) -> tuple[F32, F32]:  # pragma: no cover
    low, high = np.full(count, np.inf, np.float32), np.full(count, -np.inf, np.float32)
    for i in range(len(height)):
        low[inverse[i]] = min(low[inverse[i]], height[i])
        high[inverse[i]] = max(high[inverse[i]], height[i])
    return low, high


@numba.njit(parallel=True, cache=True)
def _walk(tree: Tree, places: F32, xyz: F32, feat: F32, keep: int, shape: F32, level: F32, mean: F32) -> None:  # pragma: no cover
    count = len(places)
    for chunk in numba.prange((count + CHUNK - 1) // CHUNK):
        keys = np.empty(4 * keep + 2 * LEAF, np.uint64)
        stack = np.empty(128, np.uint64)
        bound = NO_BOUND
        for i in range(chunk * CHUNK, min(count, (chunk + 1) * CHUNK)):
            gather(tree, places[i, 0], places[i, 1], places[i, 2], -1, keep, bound, keys, stack)
            after = min(i + 1, count - 1)
            dx, dy, dz = places[after, 0] - places[i, 0], places[after, 1] - places[i, 1], places[after, 2] - places[i, 2]
            bound = next_bound(squared_of(keys[keep - 1]), dx, dy, dz)
            _describe(xyz, i, keys[:keep], shape, level)
            for column in range(feat.shape[1]):
                total = 0.0
                for key in keys[:keep]:
                    total += np.float64(feat[np.int64(key & LOW), column])
                mean[i, column] = total / keep


@numba.njit(cache=True)
def _describe(xyz: F32, row: int, keys: Array, shape: F32, level: F32) -> None:  # pragma: no cover
    """Sums are taken relative to one of the cells, so that equal ones give exact zeros."""
    sx = sy = sz = xx = xy = xz = yy = yz = zz = 0.0
    first = np.int64(keys[0] & LOW)
    lowest = highest = xyz[first, 2]
    for key in keys:
        j = np.int64(key & LOW)
        dx = np.float64(xyz[j, 0]) - np.float64(xyz[first, 0])
        dy = np.float64(xyz[j, 1]) - np.float64(xyz[first, 1])
        dz = np.float64(xyz[j, 2]) - np.float64(xyz[first, 2])
        sx, sy, sz = sx + dx, sy + dy, sz + dz
        xx, xy, xz = xx + dx * dx, xy + dx * dy, xz + dx * dz
        yy, yz, zz = yy + dy * dy, yz + dy * dz, zz + dz * dz
        lowest, highest = min(lowest, xyz[j, 2]), max(highest, xyz[j, 2])
    n = len(keys)
    level[row, 0], level[row, 1], level[row, 2] = lowest, highest, np.float64(xyz[first, 2]) + sz / n
    a, b, c = xx - sx * sx / n, yy - sy * sy / n, zz - sz * sz / n
    trace = a + b + c
    if n < FEWEST or trace <= 0:
        return
    a, b, c = a / trace, b / trace, c / trace
    d, e, f = (xy - sx * sy / n) / trace, (xz - sx * sz / n) / trace, (yz - sy * sz / n) / trace
    least = min(max(smallest_eigenvalue(a, b, c, d, e, f), 0.0), 1.0 / 3.0)
    largest = min(max(-smallest_eigenvalue(-a, -b, -c, -d, -e, -f), 1.0 / 3.0), 1.0)
    middle = min(max(1.0 - least - largest, least), largest)
    shape[row, 0], shape[row, 1], shape[row, 2] = (largest - middle) / largest, (middle - least) / largest, least / largest
    if (largest - least) * (middle - least) > APART:
        shape[row, 3] = 1.0 - _upward(a, b, d, least, (largest - least) * (middle - least))
    if (largest - least) * (largest - middle) > APART:
        shape[row, 4] = _upward(a, b, d, largest, (largest - least) * (largest - middle))


@numba.njit(cache=True)
def _upward(xx: Any, yy: Any, xy: Any, value: Any, gaps: Any) -> float:  # pragma: no cover
    """|z| of the unit eigenvector of `value`, from the eigenvalues of the matrix and of its x-y part (Denton et al. 2021).

    The product of the distances from `value` to the x-y part's eigenvalues is that part's characteristic polynomial; `gaps` is the product of
    its distances to the other two of the whole.
    """
    square = ((xx - value) * (yy - value) - xy * xy) / gaps
    return float(np.sqrt(min(max(square, 0.0), 1.0)))
