"""Surface variation and colour discontinuity of every point, from one pass over its nearest neighbours."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from al3d.geometry.neighbours import CHUNK, bound_after
from al3d.geometry.tree import LEAF, LOW, NO_BOUND, Tree, build, gather
from al3d.types import F32, Array


def surface_variation(xyz: F32, neighbours: int = 50, clip: float | None = None) -> F32:
    """How far a point's surroundings are from a plane: f32[N] in 0..1/3, the smallest share of the covariance's eigenvalues.

    The covariance is over the point and its `neighbours` nearest (fewer in a smaller cloud). Where all of them coincide the value
    is 0. `clip` caps it (ReDAL: 0.1 for LiDAR, none for rooms).
    Raises: ValueError when neighbours < 1 or xyz is not a finite [N,3] cloud.
    Source: Pauly, Gross and Kobbelt 2002; ReDAL (ICCV 2021) uses it with 50 neighbours.
    """
    return _clipped(_describe(xyz, None, neighbours, True)[0], clip)


def colour_discontinuity(xyz: F32, rgb: F32, neighbours: int = 50, clip: float | None = 0.1) -> F32:
    """How much a point's colour differs from its surroundings': f32[N], the mean absolute difference over neighbours and channels.

    `rgb` f32[N,3] in 0..1. The mean is over `neighbours` points, the point itself included; `clip` caps it.
    Raises: ValueError when neighbours < 1 or the shapes do not match.
    Source: ReDAL (ICCV 2021), as its code does it; eq. 2 sums the channels, leaves the point out and does not clip.
    """
    return _clipped(_describe(xyz, rgb, neighbours, False)[1], clip)


def local_features(xyz: F32, rgb: F32, neighbours: int = 50) -> tuple[F32, F32]:
    """`surface_variation` and `colour_discontinuity`, both without a clip, for the price of one neighbour search.

    Neighbours are never stored, so memory stays near 60 bytes a point.
    """
    return _describe(xyz, rgb, neighbours, True)


def _clipped(values: F32, clip: float | None) -> F32:
    return values if clip is None else np.minimum(values, np.float32(clip))


def _describe(xyz: F32, rgb: F32 | None, neighbours: int, shape: bool) -> tuple[F32, F32]:
    if neighbours < 1:
        raise ValueError(f"neighbours = {neighbours}: ask for at least 1")
    tree = build(xyz)
    if rgb is not None and rgb.shape != xyz.shape:
        raise ValueError(f"one colour [red, green, blue] per point: xyz is {list(xyz.shape)}, rgb is {list(rgb.shape)}")
    colour = np.empty((0, 3), np.float32) if rgb is None else np.ascontiguousarray(rgb, np.float32)
    variation = np.zeros(len(xyz) if shape else 0, np.float32)
    discontinuity = np.zeros(len(colour), np.float32)
    _walk(tree, colour, neighbours, variation, discontinuity)
    return variation, discontinuity


@numba.njit(parallel=True, cache=True)
def _walk(tree: Tree, colour: F32, neighbours: int, variation: F32, discontinuity: F32) -> None:  # pragma: no cover
    count = len(tree.order)
    wanted = neighbours if len(variation) > 0 else neighbours - 1
    keep = min(wanted, count - 1)
    for chunk in numba.prange((count + CHUNK - 1) // CHUNK):
        keys = np.empty(4 * keep + 2 * LEAF, np.uint64)
        stack = np.empty(128, np.uint64)
        bound = NO_BOUND
        for i in range(chunk * CHUNK, min(count, (chunk + 1) * CHUNK)):
            if keep == 0:
                continue
            gather(tree, tree.points[i, 0], tree.points[i, 1], tree.points[i, 2], i, keep, bound, keys, stack)
            bound = bound_after(tree, i, keys[keep - 1])
            row = tree.order[i]
            if len(variation) > 0:
                variation[row] = _variation(tree, i, keys[:keep])
            if len(discontinuity) > 0:
                discontinuity[row] = _discontinuity(colour, row, keys[: min(keep, neighbours - 1)])


@numba.njit(cache=True)
def _discontinuity(colour: F32, row: int, keys: Array) -> float:  # pragma: no cover
    total = 0.0
    for key in keys:
        j = np.int64(key & LOW)
        for channel in range(3):
            total += abs(np.float64(colour[j, channel]) - np.float64(colour[row, channel]))
    return total / (3 * (len(keys) + 1))


@numba.njit(cache=True)
def _variation(tree: Tree, i: int, keys: Array) -> float:  # pragma: no cover
    """Smallest eigenvalue over the trace; sums are taken relative to the point itself, so equal points give exact zeros."""
    sx = sy = sz = xx = xy = xz = yy = yz = zz = 0.0
    for key in keys:
        j = tree.place[np.int64(key & LOW)]
        dx = np.float64(tree.points[j, 0]) - np.float64(tree.points[i, 0])
        dy = np.float64(tree.points[j, 1]) - np.float64(tree.points[i, 1])
        dz = np.float64(tree.points[j, 2]) - np.float64(tree.points[i, 2])
        sx, sy, sz = sx + dx, sy + dy, sz + dz
        xx, xy, xz = xx + dx * dx, xy + dx * dy, xz + dx * dz
        yy, yz, zz = yy + dy * dy, yz + dy * dz, zz + dz * dz
    n = len(keys) + 1
    a, b, c = xx - sx * sx / n, yy - sy * sy / n, zz - sz * sz / n
    trace = a + b + c
    if trace <= 0:
        return 0.0
    smallest = smallest_eigenvalue(a / trace, b / trace, c / trace, (xy - sx * sy / n) / trace, (xz - sx * sz / n) / trace, (yz - sy * sz / n) / trace)
    return min(max(smallest, 0.0), 1.0 / 3.0)


@numba.njit(cache=True)
def smallest_eigenvalue(xx: Any, yy: Any, zz: Any, xy: Any, xz: Any, yz: Any) -> float:  # pragma: no cover
    """The smallest eigenvalue of a symmetric 3x3 matrix, in closed form (Smith 1961)."""
    mean = (xx + yy + zz) / 3
    a, b, c = xx - mean, yy - mean, zz - mean
    spread = np.sqrt((a * a + b * b + c * c + 2 * (xy * xy + xz * xz + yz * yz)) / 6)
    if spread == 0:
        return float(mean)
    determinant = a * (b * c - yz * yz) - xy * (xy * c - yz * xz) + xz * (xy * yz - b * xz)
    cosine = min(max(determinant / (2 * spread**3), -1.0), 1.0)
    return float(mean + 2 * spread * np.cos(np.arccos(cosine) / 3 + 2 * np.pi / 3))
