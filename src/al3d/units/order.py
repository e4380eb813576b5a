"""An order of the points that does not depend on how they are stored."""

from __future__ import annotations

import numpy as np

from al3d.types import I64, Scene


def canonical_order(scene: Scene) -> I64:
    """The points sorted by x, then y, then z, then their attributes: i64[N] of point indices.

    Whatever is computed in this order is the same for every order of the points in the file; only points equal in all of these may change places.
    """
    xyz = scene.xyz
    order = np.lexsort((xyz[:, 2], xyz[:, 1], xyz[:, 0]))
    repeated = (xyz[order[1:]] == xyz[order[:-1]]).all(axis=1).any()
    if repeated and scene.feat.shape[1]:
        columns = (*scene.feat.T[::-1], xyz[:, 2], xyz[:, 1], xyz[:, 0])
        order = np.lexsort(columns)
    return order.astype(np.int64, copy=False)


def by_first_appearance(label: I64) -> I64:
    """Renumber labels i64[N] to 0, 1, ... in the order in which they first appear; negative labels become -1."""
    kept = label >= 0
    found, first, inverse = np.unique(label[kept], return_index=True, return_inverse=True)
    number = np.empty(len(found), np.int64)
    number[np.argsort(first)] = np.arange(len(found))
    result = np.full(len(label), -1, np.int64)
    result[kept] = number[inverse]
    return result
