"""k-means with clusters of prescribed sizes: k-means++ starts, and the exact assignment of points to centres as a flow of least cost.

The assignment has N points but only a few centres, so the flow is solved on a graph with one node per centre: an edge from centre a to b costs what
the cheapest move of one of a's points to b costs. From an assignment that is optimal for its own sizes, every shortest path from a centre
with too many points to one with too few keeps it optimal, so the last one is an optimum. Prices found on every eighth point make the
first assignment nearly balanced, so that few paths remain.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from al3d.types import F64, I64, Array

#: A cloud of more points starts from the prices of every `STRIDE`-th of them.
SMALL = 4096
STRIDE = 8
#: How many of the cheapest moves between two centres are kept sorted, and how many more may join them.
KEPT = 256
ROOM = 2 * KEPT


def plus_plus(points: F64, count: int, random: np.random.Generator) -> F64:
    """Choose `count` of points f64[N,3] as centres f64[count,3]: each the best of a few drawn in proportion to the squared distance to those before.

    Source: Arthur and Vassilvitskii 2007, with 2 + log(count) draws per centre as scikit-learn does.
    """
    draws = random.random((count, 2 + int(np.log(count))))
    return points[_spread(np.ascontiguousarray(points), draws)]


@numba.njit(cache=True)
def _spread(points: F64, draws: F64) -> I64:  # pragma: no cover
    chosen = np.empty(len(draws), np.int64)
    chosen[0] = np.int64(draws[0, 0] * len(points))
    nearest = np.full(len(points), np.inf)
    _potential(points, chosen[0], nearest, nearest)
    trial, best = np.empty_like(nearest), np.empty_like(nearest)
    for c in range(1, len(draws)):
        least = np.inf
        total = np.cumsum(nearest)
        for draw in draws[c]:
            at = min(np.searchsorted(total, draw * total[-1], side="right"), len(points) - 1)
            left = _potential(points, at, nearest, trial)
            if left < least:
                least, chosen[c] = left, at
                trial, best = best, trial
        nearest, best = best, nearest
    return chosen


@numba.njit(cache=True)
def _potential(points: F64, at: Any, nearest: F64, result: F64) -> Any:  # pragma: no cover
    """Write the squared distances to the chosen points and `at` to result; return their sum."""
    total = 0.0
    for i in range(len(points)):
        x, y, z = points[i, 0] - points[at, 0], points[i, 1] - points[at, 1], points[i, 2] - points[at, 2]
        result[i] = min(nearest[i], x * x + y * y + z * z)
        total += result[i]
    return total


def assign(points: F64, centres: F64, lower: int, upper: int, squared: bool) -> I64:
    """The assignment i64[N] of points f64[N,3] to centres f64[K,3] of least total cost with `lower` to `upper` points each.

    The cost of a point is its distance to its centre, or that squared. Exact but for rounding. One thread, so that sums have one order; ties depend
    on the order of the points. Memory: 8 KB per pair of centres, a label per point and a copy of every eighth point.
    Raises: ValueError when no assignment has such sizes.
    """
    if not 0 <= lower <= upper or not lower * len(centres) <= len(points) <= upper * len(centres):
        raise ValueError(f"{len(points)} points cannot be shared among {len(centres)} centres with {lower} to {upper} points each")
    return _solve(np.ascontiguousarray(points), np.ascontiguousarray(centres), lower, upper, squared)[0]


def _solve(points: F64, centres: F64, lower: int, upper: int, squared: bool) -> tuple[I64, F64]:
    """The assignment, and the price i64[K+1] of every centre and of the sink."""
    price = np.zeros(len(centres) + 1)
    if len(points) > SMALL:
        sample = np.ascontiguousarray(points[STRIDE // 2 :: STRIDE])
        price = _solve(sample, centres, lower * len(sample) // len(points), -(-upper * len(sample) // len(points)), squared)[1]
    label = np.zeros(len(points), np.int64)
    _flow(points, centres, lower, upper, squared, price, label)
    return label, price


@numba.njit(cache=True)
def _cost(points: F64, i: Any, centres: F64, c: Any, squared: bool) -> Any:  # pragma: no cover
    x, y, z = points[i, 0] - centres[c, 0], points[i, 1] - centres[c, 1], points[i, 2] - centres[c, 2]
    square = x * x + y * y + z * z
    return square if squared else np.sqrt(square)


@numba.njit(cache=True)
def _flow(points: F64, centres: F64, lower: int, upper: int, squared: bool, price: F64, label: I64) -> None:  # pragma: no cover
    """Give every point its cheapest centre at the prices, then mend the sizes along shortest paths; prices and labels in place.

    Node `sink` takes `taken[c]` points from centre c; `excess` is what a node has and has not passed on. Throughout, no edge with room
    has a negative reduced cost (cost + price of its end - price of its start), which is what makes the result optimal.
    """
    sink = len(centres)
    count = _cheapest(points, centres, squared, price, label)
    taken = np.empty(sink, np.int64)
    for c in range(sink):
        taken[c] = upper if price[c] > price[sink] else lower if price[c] < price[sink] else min(max(count[c], lower), upper)
    excess = np.empty(sink + 1, np.int64)
    excess[:sink] = count - taken
    excess[sink] = taken.sum() - len(points)
    gain, point = np.empty((sink, sink, ROOM)), np.empty((sink, sink, ROOM), np.int64)
    held, bound = np.zeros((sink, sink), np.int64), np.full((sink, sink), -np.inf)
    distance, parent, mover = np.empty(sink + 1), np.empty(sink + 1, np.int64), np.empty(sink + 1, np.int64)
    done = np.empty(sink + 1, np.bool_)
    while excess.max() > 0:
        for v in range(sink + 1):
            distance[v], parent[v], done[v] = 0.0 if excess[v] > 0 else np.inf, -1, False
        while True:
            u = -1
            for v in range(sink + 1):
                if not done[v] and distance[v] < np.inf and (u < 0 or distance[v] < distance[u]):
                    u = v
            if excess[u] < 0:
                break
            done[u] = True
            for v in range(sink + 1):
                if done[v]:
                    continue
                cost, who = 0.0, np.int64(-1)
                if u == sink:
                    if taken[v] <= lower:
                        continue
                elif v == sink:
                    if taken[u] >= upper:
                        continue
                else:
                    if count[u] == 0:
                        continue
                    who = _cheapest_move(points, centres, squared, label, u, v, gain[u, v], point[u, v], held, bound)
                    cost = gain[u, v, 0]
                reach = distance[u] + max(cost + price[v] - price[u], 0.0)
                if reach < distance[v]:
                    distance[v], parent[v], mover[v] = reach, u, who
        for v in range(sink + 1):
            price[v] -= min(distance[v], distance[u])
        excess[u] += 1
        v = u
        while parent[v] >= 0:
            u = parent[v]
            if v == sink:
                taken[u] += 1
            elif u == sink:
                taken[v] -= 1
            else:
                label[mover[v]] = v
                count[u] -= 1
                count[v] += 1
                for c in range(sink):
                    if c != v:
                        worth = _cost(points, mover[v], centres, c, squared) - _cost(points, mover[v], centres, v, squared)
                        _offer(gain[v, c], point[v, c], held, bound, v, c, worth, mover[v])
            v = u
        excess[v] -= 1


@numba.njit(cache=True)
def _cheapest(points: F64, centres: F64, squared: bool, price: F64, label: I64) -> I64:  # pragma: no cover
    """Label every point with its cheapest centre at the prices, of equal ones that with the fewest points so far; return the sizes."""
    count = np.zeros(len(centres), np.int64)
    for i in range(len(points)):
        best, least = 0, np.inf
        for c in range(len(centres)):
            cost = _cost(points, i, centres, c, squared) + price[c]
            if cost < least or (cost == least and count[c] < count[best]):
                best, least = c, cost
        label[i] = best
        count[best] += 1
    return count


@numba.njit(cache=True)
def _cheapest_move(
    points: F64, centres: F64, squared: bool, label: I64, a: Any, b: Any, gain: F64, point: I64, held: I64, bound: F64
) -> Any:  # pragma: no cover
    """The point of centre a that costs least to move to b; its cost is then gain[0]. The heap is read again when it has run out."""
    while held[a, b] > 0 and label[point[0]] != a:
        held[a, b] -= 1
        gain[0], point[0] = gain[held[a, b]], point[held[a, b]]
        _sift_down(gain, point, held[a, b])
    if held[a, b] == 0:
        _read(points, centres, squared, label, a, b, gain, point, held, bound)
    return point[0]


@numba.njit(cache=True)
def _read(points: F64, centres: F64, squared: bool, label: I64, a: Any, b: Any, gain: F64, point: I64, held: I64, bound: F64) -> None:  # pragma: no cover
    """Keep the `KEPT` cheapest moves from a to b, sorted; `bound` is the last of them, or infinite when these are all."""
    member = np.flatnonzero(label == a)
    worth = np.empty(len(member))
    for m in range(len(member)):
        worth[m] = _cost(points, member[m], centres, b, squared) - _cost(points, member[m], centres, a, squared)
    bound[a, b] = np.inf
    if len(member) > KEPT:
        bound[a, b] = np.partition(worth, KEPT - 1)[KEPT - 1]
    near = np.flatnonzero(worth <= bound[a, b])
    order = np.argsort(worth[near], kind="mergesort")[:KEPT]
    held[a, b] = len(order)
    for place in range(len(order)):
        gain[place], point[place] = worth[near[order[place]]], member[near[order[place]]]


@numba.njit(cache=True)
def _offer(gain: F64, point: I64, held: I64, bound: F64, a: Any, b: Any, worth: Any, who: Any) -> None:  # pragma: no cover
    """Add a move to the heap if it may matter before the heap is read again; a full heap is emptied, so that it is."""
    if worth > bound[a, b] or held[a, b] == 0:
        return
    if held[a, b] == ROOM:
        held[a, b] = 0
        return
    at = held[a, b]
    held[a, b] += 1
    while at > 0 and gain[(at - 1) // 2] > worth:
        gain[at], point[at] = gain[(at - 1) // 2], point[(at - 1) // 2]
        at = (at - 1) // 2
    gain[at], point[at] = worth, who


@numba.njit(cache=True)
def _sift_down(gain: F64, point: I64, held: Any) -> None:  # pragma: no cover
    at = 0
    while 2 * at + 1 < held:
        child = 2 * at + 1
        if child + 1 < held and gain[child + 1] < gain[child]:
            child += 1
        if gain[at] <= gain[child]:
            return
        gain[at], gain[child] = gain[child], gain[at]
        point[at], point[child] = point[child], point[at]
        at = child


def means(points: F64, label: I64, count: int) -> F64:
    """The mean of the points of every cluster, f64[count,3]; each has at least one."""
    size = np.bincount(label, minlength=count)
    sums: Array = np.stack([np.bincount(label, points[:, axis], minlength=count) for axis in range(3)], axis=1)
    return np.asarray(sums / size[:, None])
