"""The bodies around the scanner, sorted into a tree of boxes so that a ray tries only the few in its way."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from al3d.types import F64, I32, U8
from al3d.world.street.parts import BALL, CLOUD, DRUM, Shape

LEAF = 4


class Stage(NamedTuple):
    """P bodies with a tree over them.

    `inverse` f64[P,3,4] from the world to the body's unit frame; `kind`, `material`, `category` u8[P]; `shape` f64[P,2]; `color` f64[P,3];
    `gloss` f64[P]; `owner` i32[P] the object a body belongs to; `half` f64[P,3] half sizes in metres; `order` i32[P] bodies as the
    leaves list them; `low` and `high` f64[nodes,3]; `child` i32[nodes,2]: two nodes, or -1 - first and the count of a leaf.
    """

    inverse: F64
    kind: U8
    material: U8
    category: U8
    shape: F64
    color: F64
    gloss: F64
    owner: I32
    half: F64
    order: I32
    low: F64
    high: F64
    child: I32


def staged(shape: Shape, owner: I32) -> Stage:
    """The bodies of `shape`, in world coordinates, ready to be met by rays; `owner` i32[P] may number the objects."""
    axes, centre = shape.matrix[:, :, :3], shape.matrix[:, :, 3]
    half = np.linalg.norm(axes, axis=1)
    inverse = np.empty_like(shape.matrix)
    inverse[:, :, :3] = np.swapaxes(axes, 1, 2) / np.maximum(half, 1e-9)[:, :, None] ** 2
    inverse[:, :, 3] = -np.einsum("pij,pj->pi", inverse[:, :, :3], centre)
    round_ = np.isin(shape.kind, (BALL, CLOUD))
    widest = np.where(shape.kind == DRUM, np.maximum(1.0, 1.0 - shape.shape[:, 0]), 1.0)[:, None]
    flare = np.maximum(1.0, 1.0 - shape.shape.min(axis=1))[:, None]
    reach = np.where(round_[:, None], np.linalg.norm(axes, axis=2), np.abs(axes).sum(axis=2)) * np.maximum(widest, flare) + 1e-6
    order, low, high, child = _tree(centre - reach, centre + reach)
    return Stage(
        inverse, shape.kind, shape.material, shape.category, shape.shape, shape.color, shape.gloss, owner.astype(np.int32), half, order, low, high, child
    )  # fmt: skip


@numba.njit(cache=True)
def _tree(low: F64, high: F64) -> Any:  # pragma: no cover
    """A binary tree of boxes: every node halves its bodies along the direction in which their middles spread most."""
    count = len(low)
    order = np.arange(count).astype(np.int32)
    nodes = max(1, 2 * count)
    node_low, node_high = np.full((nodes, 3), np.inf), np.full((nodes, 3), -np.inf)
    child = np.zeros((nodes, 2), np.int32)
    child[0] = -1, 0
    stack = np.zeros((64, 3), np.int64)
    stack[0] = 0, 0, count
    used, waiting = 1, 1 if count else 0
    while waiting:
        waiting -= 1
        node, first, last = stack[waiting]
        spread_low, spread_high = np.full(3, np.inf), np.full(3, -np.inf)
        for k in range(first, last):
            for axis in range(3):
                node_low[node, axis] = min(node_low[node, axis], low[order[k], axis])
                node_high[node, axis] = max(node_high[node, axis], high[order[k], axis])
                middle = low[order[k], axis] + high[order[k], axis]
                spread_low[axis], spread_high[axis] = min(spread_low[axis], middle), max(spread_high[axis], middle)
        if last - first <= LEAF:
            child[node] = -1 - first, last - first
            continue
        widest = int(np.argmax(spread_high - spread_low))
        part = order[first:last].copy()
        middle_of = np.empty(last - first)
        for k in range(last - first):
            middle_of[k] = low[part[k], widest] + high[part[k], widest]
        rank = np.argsort(middle_of, kind="mergesort")
        for k in range(last - first):
            order[first + k] = part[rank[k]]
        cut = (first + last) // 2
        child[node] = used, used + 1
        stack[waiting] = used, first, cut
        stack[waiting + 1] = used + 1, cut, last
        used, waiting = used + 2, waiting + 2
    return order, node_low[:used], node_high[:used], child[:used]
