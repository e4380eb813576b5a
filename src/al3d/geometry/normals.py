"""Normals of voxels from the voxels around them."""

from __future__ import annotations

import numba
import numpy as np

from al3d.geometry.voxels import Voxels
from al3d.types import F32, F64, I32, I64


def voxel_normals(voxels: Voxels) -> F32:
    """Unit normals f32[V,3]: the direction of least spread over a voxel, its neighbours and theirs (repeats kept), towards the origin.

    Where fewer than three centroids are at hand the direction is any of the least spread.
    Source: PCL 1.13's SupervoxelClustering. The repeated sums are taken neighbourhood by neighbourhood, with the same result.
    """
    moments = _moments(voxels.xyz.astype(np.float64), voxels.neighbours)
    normals = np.linalg.eigh(moments)[1][:, :, 0]
    away = np.einsum("vi,vi->v", normals, voxels.xyz) > 0
    normals[away] *= -1
    return normals.astype(np.float32)


@numba.njit(parallel=True, cache=True)
def _moments(xyz: F64, neighbours: I32) -> F64:  # pragma: no cover
    """Covariances f64[V,3,3] of the centroids, each counted as often as it is met."""
    result = np.zeros((len(xyz), 3, 3))
    for v in numba.prange(len(xyz)):
        around = _around(neighbours, v)
        mean, square = np.zeros(3), np.zeros((3, 3))
        for u in around:
            offset = xyz[u] - xyz[v]
            mean += offset
            for a in range(3):
                for b in range(3):
                    square[a, b] += offset[a] * offset[b]
        mean /= len(around)
        for a in range(3):
            for b in range(3):
                result[v, a, b] = square[a, b] / len(around) - mean[a] * mean[b]
    return result


@numba.njit(cache=True)
def _around(neighbours: I32, v: int) -> I64:  # pragma: no cover
    found = np.empty(1 + 27 + 27 * 27, np.int64)
    found[0], count = v, 1
    for u in neighbours[v]:
        if u < 0:
            continue
        found[count] = u
        count += 1
        for w in neighbours[u]:
            if w >= 0:
                found[count] = w
                count += 1
    return found[:count]
