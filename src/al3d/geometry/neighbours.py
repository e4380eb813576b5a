"""Exact k nearest neighbours of every point of a cloud."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from al3d.geometry.tree import LEAF, LOW, NO_BOUND, Tree, build, gather, next_bound, squared_of
from al3d.types import F32, I32

#: Consecutive points of the tree's order that one task walks; each query starts from its predecessor's radius.
CHUNK = 1024


def nearest(xyz: F32, k: int) -> I32:
    """The k nearest points of every point: i32[N, min(k, N)], the point itself first, then by (distance, index).

    Distances are squared and compared in float32; of equally far points the smaller index comes first. The point itself is first
    even among duplicates. The result does not depend on the number of threads. Degenerate clouds (one point, all points equal, a
    line, far clusters) need nothing special.
    Raises: ValueError when k < 1 or xyz is not a finite [N,3] cloud.
    """
    if k < 1:
        raise ValueError(f"k = {k} neighbours: the point itself is the first, so ask for at least 1")
    tree = build(xyz)
    result = np.empty((len(xyz), min(k, len(xyz))), np.int32)
    _nearest(tree, result)
    return result


@numba.njit(parallel=True, cache=True)
def _nearest(tree: Tree, result: I32) -> None:  # pragma: no cover
    count, keep = len(tree.order), result.shape[1] - 1
    for chunk in numba.prange((count + CHUNK - 1) // CHUNK):
        keys = np.empty(4 * keep + 2 * LEAF, np.uint64)
        stack = np.empty(128, np.uint64)
        bound = NO_BOUND
        for i in range(chunk * CHUNK, min(count, (chunk + 1) * CHUNK)):
            x, y, z = tree.points[i, 0], tree.points[i, 1], tree.points[i, 2]
            row = tree.order[i]
            result[row, 0] = row
            if keep == 0:
                continue
            gather(tree, x, y, z, i, keep, bound, keys, stack)
            bound = bound_after(tree, i, keys[keep - 1])
            keys[:keep].sort()
            for j in range(keep):
                result[row, j + 1] = np.int32(keys[j] & LOW)


@numba.njit(cache=True)
def bound_after(tree: Tree, i: int, last: Any) -> Any:  # pragma: no cover
    """The bound for tree position i + 1, given the largest key of position i."""
    after = min(i + 1, len(tree.order) - 1)
    return next_bound(
        squared_of(last),
        tree.points[after, 0] - tree.points[i, 0],
        tree.points[after, 1] - tree.points[i, 1],
        tree.points[after, 2] - tree.points[i, 2],
    )
