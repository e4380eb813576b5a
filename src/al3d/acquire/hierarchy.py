"""Margins at several scales: a point is uncertain when it is, and when its surroundings are."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from al3d.acquire.score import Score
from al3d.types import F32, F64, I32, I64, View


@dataclass(frozen=True)
class HierarchicalMargin(Score):
    """Minus the margin of a point plus weighted margins of ever larger cells around it.

    Level l clusters the nodes of level l - 1 (level 0: the points) on a grid of `grids[l]` metres; a node belongs to the nearest cluster
    centre, the mean place of a grid cell's nodes; a cluster's probabilities are the plain mean over its nodes. The score is
    -(margin + sum over levels of weight^l margin_l).
    Source: HPAL (hierarchical minimum margin uncertainty), in its code's nested form (docs/fidelity.md D-21).
    """

    grids: tuple[float, ...] = (0.1, 0.5, 1.0)
    weight: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "grids", tuple(float(grid) for grid in self.grids))
        if any(grid <= 0 for grid in self.grids):
            raise ValueError(f"grids={self.grids}: cell sizes are positive metres")

    def __call__(self, view: View) -> F32:
        node_prob = np.ascontiguousarray(view.predicted()[view.inverse], dtype=np.float64)
        place = view.scene.xyz.astype(np.float64)
        total = margins(node_prob)
        to_node = np.arange(len(place))
        factor = 1.0
        for grid in self.grids:
            factor *= self.weight
            parent, place = cluster(place, grid)
            node_prob = mean_of_rows(node_prob, parent, len(place))
            to_node = parent[to_node]
            total = total + factor * margins(node_prob)[to_node]
        return (-total).astype(np.float32)


def margins(prob: F64) -> F64:
    """The difference of the two largest values of each row: f64[N,C] -> f64[N]."""
    top = np.partition(prob, prob.shape[1] - 2, axis=1)
    return np.asarray(top[:, -1] - top[:, -2])


def cluster(place: F64, grid: float) -> tuple[I64, F64]:
    """The nearest cluster of every place f64[N,3], i64[N], and the clusters' centres f64[M,3]: the mean places of occupied grid cells.

    A centre lies in its cell, so the nearest one is in the place's own or one of the 124 cells within two steps.
    """
    cell = np.floor((place - np.floor(place.min(axis=0) / grid) * grid) / grid).astype(np.int64) + 2
    span = cell.max(axis=0) + 3
    if float(span.astype(np.float64).prod()) >= 2.0**62:
        raise ValueError(f"{span.tolist()} cells of {grid} m are too many to number: use larger cells")
    key = (cell[:, 0] * span[1] + cell[:, 1]) * span[2] + cell[:, 2]
    keys, own = np.unique(key, return_inverse=True)
    number = np.bincount(own)
    centre = np.stack([np.bincount(own, weights=column) / number for column in place.T], axis=1)
    return _nearest(place, cell, keys, centre, int(span[1]), int(span[2])), centre


@numba.njit(parallel=True, cache=True)
def _nearest(place: F64, cell: I64, keys: I64, centre: F64, wide: int, high: int) -> I64:
    result = np.empty(len(place), np.int64)
    for point in numba.prange(len(place)):
        best, best_row = np.inf, -1
        for i in range(-2, 3):
            for j in range(-2, 3):
                column = ((cell[point, 0] + i) * wide + cell[point, 1] + j) * high + cell[point, 2]
                row = np.searchsorted(keys, column - 2)
                while row < len(keys) and keys[row] <= column + 2:
                    dx, dy, dz = centre[row, 0] - place[point, 0], centre[row, 1] - place[point, 1], centre[row, 2] - place[point, 2]
                    squared = dx * dx + dy * dy + dz * dz
                    if squared < best or (squared == best and row < best_row):
                        best, best_row = squared, row
                    row += 1
        result[point] = best_row
    return result


@numba.njit(cache=True)
def _add_rows(values: F64, parent: I64, sums: F64, number: I32) -> None:
    for row in range(len(values)):
        number[parent[row]] += 1
        for column in range(values.shape[1]):
            sums[parent[row], column] += values[row, column]


def mean_of_rows(values: F64, parent: I64, count: int) -> F64:
    """The plain mean of the rows of each parent: f64[N,C] -> f64[count,C]; 0 for a parent without rows."""
    sums, number = np.zeros((count, values.shape[1])), np.zeros(count, np.int32)
    _add_rows(values, parent, sums, number)
    return np.asarray(sums / np.maximum(number, 1)[:, None])
