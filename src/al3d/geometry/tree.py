"""A balanced k-d tree in flat arrays, and the exact k-nearest search on it.

Why a tree and not a uniform grid: its leaves follow the density, so that two far clusters, a LiDAR scan whose density varies a
thousandfold, or one outlier need no case of their own. Every leaf holds about `LEAF` points with a tight bounding box.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from al3d.types import F32, I64, Array

#: The largest number of points in a leaf.
LEAF = 16
#: The low half of a key: the point's index. The high half is the bit pattern of its squared distance, so keys sort by (distance, index).
LOW = np.uint64(0xFFFFFFFF)
NO_BOUND = np.uint64(0xFFFFFFFFFFFFFFFF)


class Tree(NamedTuple):
    """A k-d tree over M points: node n has children 2n+1 and 2n+2, and holds the points `start[n]` to `stop[n]` of the tree's order.

    `order` i64[M] tree position -> point, `place` i64[M] its inverse; `points` f32[M,3] in tree order; `box` f32[nodes,6] tight (low, high) corners; `first`
    i64[nodes] the smallest point index inside; the nodes from `leaves` on are the leaves.
    """

    order: I64
    place: I64
    points: F32
    start: I64
    stop: I64
    box: F32
    first: I64
    leaves: int


def build(xyz: F32) -> Tree:
    """Build the tree of xyz f32[M,3], M >= 1, in parallel.

    Raises: ValueError when the shape is not [M,3], M is 0 or beyond 2^31 - 1, or a coordinate is not finite.
    """
    check_cloud(xyz)
    count = len(xyz)
    depth = max(0, int(np.ceil(np.log2(count / LEAF))))
    nodes = 2 ** (depth + 1) - 1
    tree = Tree(
        order=np.arange(count, dtype=np.int64),
        place=np.empty(count, np.int64),
        points=np.array(xyz, dtype=np.float32, order="C"),
        start=np.zeros(nodes, np.int64),
        stop=np.zeros(nodes, np.int64),
        box=np.zeros((nodes, 6), np.float32),
        first=np.zeros(nodes, np.int64),
        leaves=2**depth - 1,
    )
    tree.stop[0] = count
    for level in range(depth + 1):
        _split_level(tree, 2**level - 1, level < depth)
    tree.place[tree.order] = np.arange(count)
    return tree


def check_cloud(xyz: Array) -> None:
    """Raise a ValueError unless xyz is [N,3], finite, with 1 <= N < 2^31."""
    if xyz.ndim != 2 or xyz.shape[1] != 3:
        raise ValueError(f"a point cloud has shape [N,3], got {list(xyz.shape)}")
    if not 1 <= len(xyz) < 2**31:
        raise ValueError(f"a point cloud needs between 1 and 2^31 - 1 points, got {len(xyz)}")
    if not np.isfinite(xyz).all():
        row = int(np.flatnonzero(~np.isfinite(xyz).all(axis=1))[0])
        raise ValueError(f"point {row} is not finite ({xyz[row].tolist()}): remove such points first")


@numba.njit(parallel=True, cache=True)
def _split_level(tree: Tree, level_start: int, split: bool) -> None:  # pragma: no cover
    """Box every node of one level; then cut each at the median of its longest side."""
    for offset in numba.prange(level_start + 1):
        _split_node(tree, level_start + offset, split)


@numba.njit(cache=True)
def _split_node(tree: Tree, node: int, split: bool) -> None:  # pragma: no cover
    low, high = tree.start[node], tree.stop[node]
    _measure(tree, node, low, high)
    if split:
        middle = (low + high) // 2
        side = np.argmax(tree.box[node, 3:] - tree.box[node, :3])
        _partition(tree.points, tree.order, low, high, middle, side)
        tree.start[2 * node + 1], tree.stop[2 * node + 1] = low, middle
        tree.start[2 * node + 2], tree.stop[2 * node + 2] = middle, high


@numba.njit(cache=True)
def _measure(tree: Tree, node: int, low: Any, high: Any) -> None:  # pragma: no cover
    for axis in range(3):
        smallest = largest = tree.points[low, axis]
        for i in range(low, high):
            value = tree.points[i, axis]
            smallest, largest = min(smallest, value), max(largest, value)
        tree.box[node, axis], tree.box[node, axis + 3] = smallest, largest
    first = tree.order[low]
    for i in range(low, high):
        first = min(first, tree.order[i])
    tree.first[node] = first


@numba.njit(cache=True)
def _partition(points: F32, order: I64, low: Any, high: Any, middle: Any, axis: Any) -> None:  # pragma: no cover
    """Quickselect: afterwards every point before `middle` precedes every point from `middle` on, by (coordinate, index)."""
    left, right = low, high - 1
    while left < right:
        chosen = _middle_of(points[left, axis], points[(left + right) // 2, axis], points[right, axis], left, (left + right) // 2, right)
        pivot, tie = points[chosen, axis], order[chosen]
        i, j = left, right
        while i <= j:
            while points[i, axis] < pivot or (points[i, axis] == pivot and order[i] < tie):
                i += 1
            while points[j, axis] > pivot or (points[j, axis] == pivot and order[j] > tie):
                j -= 1
            if i <= j:
                for k in range(3):
                    points[i, k], points[j, k] = points[j, k], points[i, k]
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if middle <= j:
            right = j
        elif middle >= i:
            left = i
        else:
            return


@numba.njit(cache=True)
def _middle_of(a: Any, b: Any, c: Any, at_a: Any, at_b: Any, at_c: Any) -> Any:  # pragma: no cover
    """The place of the median of three values; the middle place when they are equal."""
    if min(a, c) <= b <= max(a, c):
        return at_b
    return at_a if min(b, c) <= a <= max(b, c) else at_c


@numba.njit(cache=True)
def key_of(squared: Any, index: Any) -> Any:  # pragma: no cover
    """(squared distance, index) as one integer that sorts the same way; non-negative floats sort like their bit patterns."""
    return (np.uint64(np.float32(squared).view(np.uint32)) << np.uint64(32)) | np.uint64(index)


@numba.njit(cache=True)
def squared_of(key: Any) -> Any:  # pragma: no cover
    """The squared distance f32 inside a key."""
    return np.uint32(key >> np.uint64(32)).view(np.float32)


@numba.njit(cache=True)
def select(keys: Array, count: int, keep: int) -> None:  # pragma: no cover
    """Move the `keep` smallest of keys[:count] to the front, the largest of them to keys[keep - 1]. Keys differ."""
    left, right, middle = 0, count - 1, keep - 1
    while left < right:
        a, b, c = keys[left], keys[(left + right) // 2], keys[right]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = left, right
        while i <= j:
            while keys[i] < pivot:
                i += 1
            while keys[j] > pivot:
                j -= 1
            if i <= j:
                keys[i], keys[j] = keys[j], keys[i]
                i += 1
                j -= 1
        if middle <= j:
            right = j
        elif middle >= i:
            left = i
        else:
            return


@numba.njit(cache=True)
def box_distance(box: F32, node: Any, x: Any, y: Any, z: Any) -> Any:  # pragma: no cover
    """Squared distance f32 from a point to a node's box; never more than to any point inside, in float32 too."""
    zero = np.float32(0)
    dx = max(max(box[node, 0] - x, x - box[node, 3]), zero)
    dy = max(max(box[node, 1] - y, y - box[node, 4]), zero)
    dz = max(max(box[node, 2] - z, z - box[node, 5]), zero)
    return dx * dx + dy * dy + dz * dz


@numba.njit(cache=True)
def _node_key(tree: Tree, node: Any, x: Any, y: Any, z: Any) -> Any:  # pragma: no cover
    """No point inside the node has a smaller key."""
    return key_of(box_distance(tree.box, node, x, y, z), tree.first[node])


@numba.njit(cache=True)
def gather(tree: Tree, x: Any, y: Any, z: Any, skip: int, keep: int, bound: Any, keys: Array, stack: Array) -> int:  # pragma: no cover
    """Write the keys of the `keep` nearest points to keys[:keep], unsorted but for the largest, which is last; return their number.

    `skip` is a tree position to leave out (-1: none); `bound` a key that the answer's largest is known not to exceed (NO_BOUND if
    nothing is known); `keys` u64 scratch longer than keep + LEAF; `stack` u64[128]. Distances are compared in float32, ties
    by index. A node whose box is at the bound's distance is left out too if all of its indices are larger: without that, a cloud
    of equal points would cost a full pass per point.
    """
    count, top = 0, 1
    stack[0] = np.uint64(0)
    while top > 0:
        top -= 1
        node = np.int64(stack[top])
        if _node_key(tree, node, x, y, z) > bound:
            continue
        if node < tree.leaves:
            left, right = 2 * node + 1, 2 * node + 2
            if _node_key(tree, left, x, y, z) > _node_key(tree, right, x, y, z):
                left, right = right, left
            stack[top], stack[top + 1] = right, left
            top += 2
            continue
        if count + LEAF > len(keys):
            select(keys, count, keep)
            count, bound = keep, keys[keep - 1]
        for i in range(tree.start[node], tree.stop[node]):
            dx, dy, dz = tree.points[i, 0] - x, tree.points[i, 1] - y, tree.points[i, 2] - z
            key = key_of(dx * dx + dy * dy + dz * dz, tree.order[i])
            keys[count] = key
            count += 1 if key <= bound and i != skip else 0
    if count > keep:
        select(keys, count, keep)
        count = keep
    elif count == keep and keep > 0:
        _last_is_largest(keys, keep)
    return count


@numba.njit(cache=True)
def _last_is_largest(keys: Array, count: int) -> None:  # pragma: no cover
    for i in range(count - 1):
        if keys[i] > keys[count - 1]:
            keys[i], keys[count - 1] = keys[count - 1], keys[i]


@numba.njit(cache=True)
def next_bound(squared: Any, dx: Any, dy: Any, dz: Any) -> Any:  # pragma: no cover
    """The bound for a point, from the squared k-th distance of one that is (dx, dy, dz) away: the ball around it holds k points.

    A small factor pays for rounding, so that the bound stays true in float32.
    """
    reach = np.sqrt(np.float64(squared)) + np.sqrt(np.float64(dx) ** 2 + np.float64(dy) ** 2 + np.float64(dz) ** 2)
    return key_of(np.float32(reach * reach * 1.00001 + 1e-37), LOW)


@numba.njit(cache=True)
def count_within(tree: Tree, x: Any, y: Any, z: Any, radius: float, stack: Array) -> Any:  # pragma: no cover
    """The number of points nearer than `radius` to a place, in float32."""
    limit, count, top = np.float32(radius * radius), 0, 1
    stack[0] = np.uint64(0)
    while top > 0:
        top -= 1
        node = np.int64(stack[top])
        if box_distance(tree.box, node, x, y, z) >= limit:
            continue
        if node < tree.leaves:
            stack[top], stack[top + 1] = 2 * node + 1, 2 * node + 2
            top += 2
            continue
        for i in range(tree.start[node], tree.stop[node]):
            dx, dy, dz = tree.points[i, 0] - x, tree.points[i, 1] - y, tree.points[i, 2] - z
            count += 1 if dx * dx + dy * dy + dz * dz < limit else 0
    return count
