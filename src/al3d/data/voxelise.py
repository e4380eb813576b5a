"""From points to voxels: coordinates, one feature row and one label per voxel, and the way back."""

from __future__ import annotations

import numpy as np

from al3d.types import F32, I32, I64, IGNORE, U8, Array

LIMIT = 32_000


def voxelise(xyz: F32, size: float) -> tuple[I32, I64]:
    """The occupied voxels of a cloud: xyz f32[N,3] metres -> coord i32[V,3] sorted by x, y, z, and inverse i64[N].

    A point belongs to voxel round(xyz / size), counted from the cloud's own minimum.
    Raises: ValueError when the cloud spans more than 32,000 voxels along an axis.
    """
    cells = np.rint((xyz - xyz.min(axis=0)) / np.float32(size)).astype(np.int64)
    cells -= cells.min(axis=0)
    if cells.max(initial=0) > LIMIT:
        raise ValueError(f"the cloud spans {int(cells.max()):,} voxels of {size} m: at most {LIMIT:,} fit; take larger voxels or crop the scene")
    keys, inverse = np.unique((cells[:, 0] << 32) | (cells[:, 1] << 16) | cells[:, 2], return_inverse=True)
    coord = np.stack([keys >> 32, (keys >> 16) & 0xFFFF, keys & 0xFFFF], axis=1).astype(np.int32)
    return coord, inverse.reshape(-1).astype(np.int64)


def mean_rows(values: F32, inverse: I64, count: int) -> F32:
    """The mean of the points' rows in every voxel: f32[N,F] -> f32[V,F]."""
    number = np.bincount(inverse, minlength=count)
    sums = [np.bincount(inverse, weights=column, minlength=count) for column in values.T]
    return (np.stack(sums, axis=1) / number[:, None]).astype(np.float32)


def first_rows(values: Array, inverse: I64, count: int) -> Array:
    """The row of the first point, in point order, of every voxel."""
    first = np.full(count, len(inverse), dtype=np.int64)
    np.minimum.at(first, inverse, np.arange(len(inverse)))
    return values[first]


def majority_label(label: U8, inverse: I64, count: int, classes: int) -> I64:
    """The most frequent known label of every voxel, IGNORE where none is known; ties go to the lower class.

    Source: published code keeps only the first point's label and so loses asked points (docs/fidelity.md D-30).
    """
    known = label != IGNORE
    votes = np.bincount(inverse[known] * classes + label[known], minlength=count * classes).reshape(count, classes)
    winner = votes.argmax(axis=1)
    return np.where(votes.any(axis=1), winner, IGNORE).astype(np.int64)
