"""From points to voxels: coordinates, one feature row and one label per voxel, and the way back."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from al3d.arrays import elsewhere
from al3d.geometry.bounds import bounds
from al3d.types import F32, I32, I64, IGNORE, U8, Array

LIMIT = 32_000


def voxelise(xyz: F32, size: float) -> tuple[I32, I64]:
    """The occupied voxels of a cloud: xyz f32[N,3] metres -> coord i32[V,3] sorted by x, y, z, and inverse i64[N].

    A point belongs to voxel round(xyz / size), counted from the cloud's own minimum.
    Raises: ValueError when the cloud spans more than 32,000 voxels along an axis.
    """
    xyz, length = np.ascontiguousarray(xyz), np.float32(size)
    low = lowest(xyz, size)
    other = elsewhere("keys", len(xyz), xyz)
    if other is None:
        keys, inverse = np.unique(_keys(xyz, low, length), return_inverse=True)
    else:
        keys, inverse = other.voxel_keys(xyz, low, length)
    coord = np.stack([keys >> 32, (keys >> 16) & 0xFFFF, keys & 0xFFFF], axis=1).astype(np.int32)
    return coord, inverse.reshape(-1).astype(np.int64)


def lowest(xyz: F32, size: float) -> F32:
    """The lowest x, y and z of a cloud, f32[3], from which its voxels of `size` metres are counted. Raises: as `voxelise`."""
    low, high = bounds(xyz)
    spans = np.rint((high - low) / np.float32(size))
    if spans.max() > LIMIT:
        axis = int(spans.argmax())
        raise ValueError(
            f"the cloud spans {int(spans[axis]):,} voxels of {size} m along {'xyz'[axis]} ({low[axis]:g} to {high[axis]:g} m from its origin): at most "
            f"{LIMIT:,} fit; remove points that lie far from all others, take larger voxels or crop the scene"
        )
    return low


@numba.njit(cache=True)
def _keys(xyz: F32, low: F32, size: Any) -> I64:  # pragma: no cover
    """The cells' numbers, which sort as (x, y, z) do."""
    keys = np.empty(len(xyz), np.int64)
    for i in range(len(xyz)):
        x = np.int64(np.rint((xyz[i, 0] - low[0]) / size))
        y = np.int64(np.rint((xyz[i, 1] - low[1]) / size))
        z = np.int64(np.rint((xyz[i, 2] - low[2]) / size))
        keys[i] = (x << 32) | (y << 16) | z
    return keys


def mean_rows(values: F32, inverse: I64, count: int) -> F32:
    """The mean of the points' rows in every voxel: f32[N,F] -> f32[V,F]."""
    return _mean_rows(np.ascontiguousarray(values), inverse, count)


@numba.njit(cache=True)
def _mean_rows(values: Array, inverse: I64, count: int) -> F32:  # pragma: no cover
    sums, number = np.zeros((count, values.shape[1])), np.zeros(count, np.int64)
    for i in range(len(values)):
        number[inverse[i]] += 1
        for column in range(values.shape[1]):
            sums[inverse[i], column] += values[i, column]
    means = np.empty(sums.shape, np.float32)
    for voxel in range(count):
        for column in range(values.shape[1]):
            means[voxel, column] = sums[voxel, column] / number[voxel]
    return means


def first_rows(values: Array, inverse: I64, count: int) -> Array:
    """The row of the first point, in point order, of every voxel."""
    return values[_first(inverse, count)]


@numba.njit(cache=True)
def _first(inverse: I64, count: int) -> I64:  # pragma: no cover
    first = np.empty(count, np.int64)
    for i in range(len(inverse) - 1, -1, -1):
        first[inverse[i]] = i
    return first


def majority_label(label: U8, inverse: I64, count: int, classes: int) -> I64:
    """The most frequent known label of every voxel, IGNORE where none is known; ties go to the lower class.

    Source: published code keeps only the first point's label and so loses asked points (docs/fidelity.md D-30).
    """
    return _majority(np.ascontiguousarray(label), inverse, count, classes)


@numba.njit(cache=True)
def _majority(label: U8, inverse: I64, count: int, classes: int) -> I64:  # pragma: no cover
    votes = np.zeros((count, classes), np.int32)
    winner = np.full(count, IGNORE, np.int64)
    for i in range(len(label)):
        if label[i] < classes:
            votes[inverse[i], label[i]] += 1
            winner[inverse[i]] = 0
    for voxel in range(count):
        if winner[voxel] == 0:
            for one in range(1, classes):
                if votes[voxel, one] > votes[voxel, winner[voxel]]:
                    winner[voxel] = one
    return winner


def first_label(label: U8, inverse: I64, count: int) -> I64:
    """The label of the first point, in point order, of every voxel: IGNORE when that one is not known, whatever its neighbours are.

    Source: the code of ReDAL, HPAL and LiDAL (docs/fidelity.md D-30).
    """
    return first_rows(label, inverse, count).astype(np.int64)
