"""General baselines that spread over feature space: k-means++ seeding (BADGE) and typical units of clusters (TypiClust)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from al3d.acquire.budget import Ledger
from al3d.acquire.distances import covering, mean_of_nearest, plain
from al3d.features.kmeans import kmeans_labels
from al3d.rng import Key, generator
from al3d.types import F32, F64, I32, I64, Bool, Units

#: Rows whose weights are summed before one of them is drawn.
BLOCK = 4096


@dataclass(frozen=True)
class PlusPlus:
    """k-means++ seeding: the next unit is drawn with probability proportional to its squared distance to those taken before.

    The first is drawn uniformly. With features that are gradient embeddings, which are long where the network is unsure, this is BADGE.
    When all that is left coincides with what was taken, the draw is uniform. `candidates` bounds the time by looking at a keyed draw of so
    many units of the pool alone (null: all); it must be well above what a round buys, or the round ends with budget left.
    Source: Ash et al., ICLR 2020 (D^2 sampling of Arthur and Vassilvitskii 2007).
    """

    candidates: int | None = None
    needs: frozenset[str] = frozenset({"feature"})

    def __post_init__(self) -> None:
        if self.candidates is not None and self.candidates < 1:
            raise ValueError(f"candidates={self.candidates}: look at 1 unit or more, or null for the whole pool")

    def __call__(self, units: Units, ledger: Ledger, key: Key) -> None:
        random = generator(*key, "plus plus")
        rows = self._rows(units, key)
        spread = covering(plain(units.feature, rows), np.zeros(0, np.int64))
        left = np.ones(len(rows), np.float32)
        while not ledger.full and left.any():
            apart = 0 < spread.farthest()[1] < np.inf
            turn = _drawn_from(spread.sums(BLOCK), spread.part, random.random()) if apart else _drawn(left, random.random())
            left[turn] = 0
            spread.close(turn, 0)
            if ledger.admit(int(rows[turn])):
                spread.take(turn)

    def _rows(self, units: Units, key: Key) -> I64:
        """The rows of the pool that are looked at."""
        rows = np.flatnonzero(units.size > 0)
        if self.candidates is None or len(rows) <= self.candidates:
            return rows
        return np.sort(generator(*key, "candidates").choice(rows, self.candidates, replace=False))


def _drawn(weight: F32, uniform: float) -> int:
    """The row whose share of the summed weights holds `uniform` in 0..1: first its block of rows, then the row in it."""
    sums = np.add.reduceat(weight, np.arange(0, len(weight), BLOCK), dtype=np.float64)
    return _drawn_from(sums, lambda start, stop: weight[start:stop], uniform)


def _drawn_from(sums: F64, part: Callable[[int, int], F32], uniform: float) -> int:
    """The same from the sums of all blocks, and a way to the weights of one."""
    edges = np.cumsum(sums)
    block = _holding(edges, uniform * edges[-1])
    start = block * BLOCK
    before = edges[block - 1] if block else 0.0
    return start + _holding(before + np.cumsum(part(start, start + BLOCK), dtype=np.float64), uniform * edges[-1])


def _holding(edges: F64, value: float) -> int:
    """The first place whose edge is above `value`; the last that adds anything when rounding left none."""
    place = int(np.searchsorted(edges, value, side="right"))
    return place if place < len(edges) else int(np.searchsorted(edges, edges[-1], side="left"))


@dataclass(frozen=True)
class TypiClust:
    """The most typical unit of the largest clusters that hold no labelled unit, one cluster after the other.

    `clusters` at most, else as many as labelled units plus what the budget buys of units of mean size. Typicality is one over the mean
    distance to the `neighbours` nearest units of the cluster. When every cluster was served, the round goes through them again.
    Source: Hacohen et al., ICML 2022; k-means on unit features.
    """

    clusters: int = 500
    neighbours: int = 20
    kmeans: str = "fast"
    needs: frozenset[str] = frozenset({"feature", "labelled"})

    def __call__(self, units: Units, ledger: Ledger, key: Key) -> None:
        pool = units.size > 0
        if not pool.any():
            return
        affordable = ledger.limit // max(1, int(ledger.cost[pool].mean()))
        count = int(np.clip(affordable + units.labelled.sum(), 1, self.clusters))
        cluster = kmeans_labels(units.feature, count, self.kmeans)
        for row in self._order(units, cluster, pool).tolist():
            if ledger.full:
                return
            ledger.admit(row)

    def _order(self, units: Units, cluster: I32, pool: Bool) -> I64:
        """Pool rows: the most typical of each cluster first, then the second most typical; clusters without labels, then large ones first."""
        typical = typicality(plain(units.feature), cluster, self.neighbours)
        size = np.bincount(cluster)
        served = np.bincount(cluster[units.labelled], minlength=len(size))
        rows = np.flatnonzero(pool)
        within = rows[np.lexsort((-typical[rows], cluster[rows]))]
        starts = np.r_[0, np.flatnonzero(np.diff(cluster[within])) + 1]
        turn = np.arange(len(within)) - np.repeat(starts, np.diff(np.r_[starts, len(within)]))
        own = cluster[within]
        return np.asarray(within[np.lexsort((own, -size[own], turn + served[own]))])


def typicality(feature: F32, cluster: I32, neighbours: int) -> F64:
    """One over the mean distance of each row to its `neighbours` nearest rows of its cluster: f64[U]; 0 for a cluster of one."""
    result = np.zeros(len(feature))
    order = np.argsort(cluster, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(cluster[order])) + 1):
        result[members] = _typicality(feature[members], neighbours)
    return result


def _typicality(feature: F32, neighbours: int) -> F64:
    count = min(neighbours, len(feature) - 1)
    if count < 1:
        return np.zeros(len(feature))
    return np.asarray(1 / np.maximum(mean_of_nearest(feature, count), 1e-12))
