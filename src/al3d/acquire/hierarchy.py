"""Margins at several scales: a point is uncertain when it is, and when its surroundings are."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from al3d.acquire.score import Score
from al3d.types import F32, F64, I32, I64, View

#: Cells that one thread takes at a time.
CELLS = 512


@dataclass(frozen=True)
class HierarchicalMargin(Score):
    """Minus the margin of a point plus weighted margins of ever larger cells around it.

    Level l clusters the nodes of level l - 1 (level 0: the points) on a grid of `grids[l]` metres; a node belongs to the nearest cluster
    centre, the mean place of a grid cell's nodes; a cluster's probabilities are the plain mean over its nodes. The score is
    -(margin + sum over levels of weight^l margin_l), or with the levels' own weights where `weight` is a list.
    Source: HPAL (hierarchical minimum margin uncertainty), in its code's nested form (docs/fidelity.md D-21).
    """

    grids: tuple[float, ...] = (0.1, 0.5, 1.0)
    weight: float | tuple[float, ...] = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "grids", tuple(float(grid) for grid in self.grids))
        if any(grid <= 0 for grid in self.grids):
            raise ValueError(f"grids={self.grids}: cell sizes are positive metres")
        if not isinstance(self.weight, int | float):
            object.__setattr__(self, "weight", tuple(float(one) for one in self.weight))
            if len(self.factors) != len(self.grids):
                raise ValueError(
                    f"weight={list(self.factors)} has {len(self.factors)} values for {len(self.grids)} levels: give one for each of grids, or one number"
                )

    @property
    def factors(self) -> tuple[float, ...]:
        """What each level's margin is multiplied with."""
        if isinstance(self.weight, tuple):
            return self.weight
        factors: list[float] = []
        for _ in self.grids:
            factors.append((factors[-1] if factors else 1.0) * self.weight)
        return tuple(factors)

    def __call__(self, view: View) -> F32:
        of_voxel = view.predicted().astype(np.float64)
        place = view.scene.xyz.astype(np.float64)
        total = margins(of_voxel)[view.inverse]
        node_prob, row_of = of_voxel, np.asarray(view.inverse, np.int64)
        to_node = np.arange(len(place))
        for grid, factor in zip(self.grids, self.factors, strict=True):
            parent, place = cluster(place, grid)
            node_prob = mean_of_rows(node_prob, row_of, parent, len(place))
            row_of = np.arange(len(place))
            to_node = parent[to_node]
            total = total + factor * margins(node_prob)[to_node]
        return (-total).astype(np.float32)


@numba.njit(parallel=True, cache=True)
def margins(prob: F64) -> F64:
    """The difference of the two largest values of each row: f64[N,C] -> f64[N]."""
    result = np.empty(len(prob))
    for row in numba.prange(len(prob)):
        first, second = -np.inf, -np.inf
        for label in range(prob.shape[1]):
            value = prob[row, label]
            if value > first:
                first, second = value, first
            elif value > second:
                second = value
        result[row] = first - second
    return result


def cluster(place: F64, grid: float) -> tuple[I64, F64]:
    """The nearest cluster of every place f64[N,3], i64[N], and the clusters' centres f64[M,3]: the mean places of occupied grid cells.

    A centre lies in its cell, so the nearest one is in the place's own or one of the 124 cells within two steps. Clusters are in the
    order of their cells; of equally near ones the first wins.
    """
    low = np.floor(place.min(axis=0) / grid) * grid
    cell = np.floor((place - low) / grid).astype(np.int64) + 2
    span = cell.max(axis=0) + 3
    if float(span.astype(np.float64).prod()) >= 2.0**62:
        raise ValueError(f"{span.tolist()} cells of {grid} m are too many to number: use larger cells")
    key = (cell[:, 0] * span[1] + cell[:, 1]) * span[2] + cell[:, 2]
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    centre = np.add.reduceat(place[order], starts, axis=0) / np.diff(np.r_[starts, len(key)])[:, None]
    return _nearest(place, order, starts, cell[order[starts]], ordered[starts], centre, int(span[1]), int(span[2])), centre


@numba.njit(parallel=True, cache=True)
def _nearest(place: F64, order: I64, starts: I64, cell: I64, keys: I64, centre: F64, wide: int, high: int) -> I64:
    """The nearest centre of every place, cell by cell: the centres around a cell are found once for all its places.

    Cells come in the order of their keys, and so do the 25 columns of cells around them: where one cell's column starts, the search for
    the next cell's begins.
    """
    parent = np.empty(len(place), np.int64)
    for block in numba.prange((len(starts) + CELLS - 1) // CELLS):
        begin = np.full(25, -1, np.int64)
        rows = np.empty(125, np.int64)
        for own in range(block * CELLS, min(len(starts), block * CELLS + CELLS)):
            count = 0
            for turn in range(25):
                column = ((cell[own, 0] + turn // 5 - 2) * wide + cell[own, 1] + turn % 5 - 2) * high + cell[own, 2]
                row = begin[turn] if begin[turn] >= 0 else np.searchsorted(keys, column - 2)
                while row < len(keys) and keys[row] < column - 2:
                    row += 1
                begin[turn] = row
                while row < len(keys) and keys[row] <= column + 2:
                    rows[count] = row
                    count += 1
                    row += 1
            end = starts[own + 1] if own + 1 < len(starts) else len(order)
            for turn in range(starts[own], end):
                point = order[turn]
                best, best_row = np.inf, -1
                for near in range(count):
                    row = rows[near]
                    dx, dy, dz = centre[row, 0] - place[point, 0], centre[row, 1] - place[point, 1], centre[row, 2] - place[point, 2]
                    squared = dx * dx + dy * dy + dz * dz
                    if squared < best:
                        best, best_row = squared, row
                parent[point] = best_row
    return parent


@numba.njit(cache=True)
def _add_rows(values: F64, row_of: I64, parent: I64, sums: F64, number: I32) -> None:
    for row in range(len(parent)):
        number[parent[row]] += 1
        for column in range(values.shape[1]):
            sums[parent[row], column] += values[row_of[row], column]


def mean_of_rows(values: F64, row_of: I64, parent: I64, count: int) -> F64:
    """The plain mean over the nodes of each parent of their rows: values f64[V,C], row_of i64[N], parent i64[N] -> f64[count,C]; 0 without nodes."""
    sums, number = np.zeros((count, values.shape[1])), np.zeros(count, np.int32)
    _add_rows(values, row_of, parent, sums, number)
    return np.asarray(sums / np.maximum(number, 1)[:, None])
