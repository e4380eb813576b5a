"""General baselines that spread over feature space: k-means++ seeding (BADGE) and typical units of clusters (TypiClust)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from al3d.acquire.budget import Ledger
from al3d.acquire.distances import plain, squared_distance
from al3d.acquire.kmeans import kmeans_labels
from al3d.rng import Key, generator
from al3d.types import F32, F64, I32, I64, Bool, Units


@dataclass(frozen=True)
class PlusPlus:
    """k-means++ seeding: the next unit is drawn with probability proportional to its squared distance to those taken before.

    The first is drawn uniformly. With features that are gradient embeddings, which are long where the network is unsure, this is BADGE.
    When all that is left coincides with what was taken, the draw is uniform.
    Source: Ash et al., ICLR 2020 (D^2 sampling of Arthur and Vassilvitskii 2007).
    """

    needs: frozenset[str] = frozenset({"feature"})

    def __call__(self, units: Units, ledger: Ledger, key: Key) -> None:
        feature = plain(units.feature)
        weight = np.where(units.size > 0, 1.0, 0.0)
        distance = np.full(len(units), np.inf, np.float32)
        random = generator(*key, "plus plus")
        open_rows = units.size > 0
        while not ledger.full and open_rows.any():
            row = _drawn(weight, random.random())
            open_rows[row] = False
            if ledger.admit(row):
                np.minimum(distance, squared_distance(feature, feature[row]), out=distance)
            weight = np.where(open_rows, np.where(np.isfinite(distance), distance, 1.0), 0.0).astype(np.float64)
            if not weight.any():
                weight = open_rows.astype(np.float64)


def _drawn(weight: F64, uniform: float) -> int:
    """The row whose share of the summed weights holds `uniform` in 0..1."""
    edges = np.cumsum(weight)
    row = int(np.searchsorted(edges, uniform * edges[-1], side="right"))
    return row if row < len(weight) and weight[row] > 0 else int(np.flatnonzero(weight)[-1])


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
    from scipy.spatial import cKDTree

    count = min(neighbours, len(feature) - 1)
    if count < 1:
        return np.zeros(len(feature))
    distance = np.asarray(cKDTree(feature).query(feature, k=count + 1)[0])[:, 1:]
    return np.asarray(1 / np.maximum(distance.mean(axis=1), 1e-12))
