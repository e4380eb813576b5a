"""The occupied voxels of a cloud in Morton order, with mean position, mean colour and the 26-neighbourhood."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from al3d.geometry.bounds import bounds
from al3d.geometry.tree import check_cloud
from al3d.types import F32, F64, I32, I64, Array

#: Bits per axis of a Morton key: three times 21 fit into 64.
BITS = 21
NOWHERE = -1


class Voxels(NamedTuple):
    """V occupied voxels in Morton order (x is the highest bit); `of_point` i32[N], `xyz` and `rgb` f32[V,3] means, `neighbours` i32[V,27].

    Neighbours run over dx, then dy, then dz, the voxel itself in the middle; -1 where there is none.
    """

    of_point: I32
    xyz: F32
    rgb: F32
    neighbours: I32


def voxelise(xyz: F32, rgb: F32, size: float) -> Voxels:
    """Sort the points into voxels of `size` metres, on a cube of 2^depth voxels centred on the cloud.

    Means are sums of fixed-point integers, so that they do not depend on the order of the points by a single bit.
    Raises: ValueError when the cloud is not finite [N,3], rgb is not [N,3], or needs more than 2^21 voxels along an axis.
    """
    check_cloud(xyz)
    if rgb.shape != xyz.shape:
        raise ValueError(f"one colour [red, green, blue] per point: xyz is {list(xyz.shape)}, rgb is {list(rgb.shape)}")
    low, depth = centred_cube(*bounds(xyz), size)
    keys, of_point = np.unique(_keys_of_points(np.ascontiguousarray(xyz), low, size, 2**depth - 1), return_inverse=True)
    inverse = of_point.astype(np.int32)
    count = np.bincount(inverse, minlength=len(keys))
    means = [exact_mean(values, inverse, count) for values in (xyz, rgb)]
    return Voxels(inverse, means[0], means[1], _neighbours(keys, 2**depth - 1))


def centred_cube(low: Array, high: Array, size: float) -> tuple[F64, int]:
    """The low corner f64[3] and the depth of the smallest cube of 2^depth voxels around the box, centred on it.

    Source: PCL 1.13, octree_pointcloud (getKeyBitSize). Raises: ValueError when the depth is beyond 21.
    """
    extent = np.asarray(high, np.float64) - np.asarray(low, np.float64)
    cells = max(2.0, float(np.ceil((extent.max() - np.finfo(np.float32).eps) / size)))
    depth = max(0, int(np.ceil(np.log2(cells) - np.finfo(np.float32).eps)))
    if depth > BITS:
        raise ValueError(f"voxels of {size} m in a cloud of {extent.max():.6g} m: more than 2^{BITS} along an axis; use larger voxels or check the units")
    return np.asarray(low, np.float64) - (2.0**depth * size - extent) / 2, depth


def exact_mean(values: Array, group: I32, count: I64) -> F32:
    """The mean of values [N,D] per group, rounded once from an exact sum: f32[G,D], independent of the order of the rows."""
    least, largest = bounds(values)
    low = least.astype(np.float64)
    extent = float((largest - low).max())
    scale = 2.0 ** np.floor(61 - np.log2(len(values)) - np.log2(extent)) if extent > 0 else 1.0
    sums = _fixed_point_sums(np.ascontiguousarray(values), group, low, min(scale, 2.0**52), len(count))
    means: F32 = (low + sums / min(scale, 2.0**52) / count[:, None]).astype(np.float32)
    return means


@numba.njit(cache=True)
def _fixed_point_sums(values: Array, group: I32, low: F64, scale: float, groups: int) -> I64:  # pragma: no cover
    sums = np.zeros((groups, values.shape[1]), np.int64)
    for i in range(len(values)):
        for axis in range(values.shape[1]):
            sums[group[i], axis] += np.int64(np.rint((np.float64(values[i, axis]) - low[axis]) * scale))
    return sums


@numba.njit(cache=True)
def spread_bits(value: Any) -> Any:  # pragma: no cover
    """Move bit i of a 21-bit number to bit 3i."""
    v = np.uint64(value)
    v = (v | (v << np.uint64(32))) & np.uint64(0x1F00000000FFFF)
    v = (v | (v << np.uint64(16))) & np.uint64(0x1F0000FF0000FF)
    v = (v | (v << np.uint64(8))) & np.uint64(0x100F00F00F00F00F)
    v = (v | (v << np.uint64(4))) & np.uint64(0x10C30C30C30C30C3)
    return (v | (v << np.uint64(2))) & np.uint64(0x1249249249249249)


@numba.njit(cache=True)
def morton(x: Any, y: Any, z: Any) -> Any:  # pragma: no cover
    """The Morton key of a cell, x in the highest bit of each triple."""
    return (spread_bits(x) << np.uint64(2)) | (spread_bits(y) << np.uint64(1)) | spread_bits(z)


@numba.njit(cache=True)
def _gather_bits(key: Any, axis: int) -> Any:  # pragma: no cover
    value: Any = 0
    for bit in range(BITS):
        value |= np.int64((key >> np.uint64(3 * bit + 2 - axis)) & np.uint64(1)) << bit
    return value


@numba.njit(parallel=True, cache=True)
def _keys_of_points(xyz: F32, low: F64, size: float, last: int) -> Array:  # pragma: no cover
    keys = np.empty(len(xyz), np.uint64)
    for i in numba.prange(len(xyz)):
        x = min(max(np.int64((np.float64(xyz[i, 0]) - low[0]) / size), 0), last)
        y = min(max(np.int64((np.float64(xyz[i, 1]) - low[1]) / size), 0), last)
        z = min(max(np.int64((np.float64(xyz[i, 2]) - low[2]) / size), 0), last)
        keys[i] = morton(x, y, z)
    return keys


@numba.njit(cache=True)
def _slot(table: I32, keys: Array, key: Any) -> Any:  # pragma: no cover
    """Where `key` is in the open-addressing table, or the free slot where it would be."""
    mask = len(table) - 1
    slot = np.int64((key * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)) & mask
    while table[slot] >= 0 and keys[table[slot]] != key:
        slot = (slot + 1) & mask
    return slot


@numba.njit(parallel=True, cache=True)
def _neighbours(keys: Array, last: int) -> I32:  # pragma: no cover
    capacity = 2
    while capacity < 2 * len(keys):
        capacity *= 2
    table = np.full(capacity, NOWHERE, np.int32)
    for i in range(len(keys)):
        table[_slot(table, keys, keys[i])] = i
    result = np.full((len(keys), 27), NOWHERE, np.int32)
    for i in numba.prange(len(keys)):
        x, y, z = _gather_bits(keys[i], 0), _gather_bits(keys[i], 1), _gather_bits(keys[i], 2)
        for n in range(27):
            nx, ny, nz = x + n // 9 - 1, y + n // 3 % 3 - 1, z + n % 3 - 1
            if min(nx, ny, nz) >= 0 and max(nx, ny, nz) <= last:
                result[i, n] = table[_slot(table, keys, morton(nx, ny, nz))]
    return result
