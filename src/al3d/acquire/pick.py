"""Pickers propose rows in an order; the ledger disposes. Ties go to the earlier (scene, unit)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from al3d.acquire.budget import Ledger
from al3d.features.kmeans import kmeans_labels
from al3d.rng import Key
from al3d.types import I32, I64, Array, Units

NO_NEEDS: frozenset[str] = frozenset()


class Picker(Protocol):
    """Fills a ledger from a pool; `needs` may name "feature" (unit features) and "labelled" (rows of labelled units)."""

    @property
    def needs(self) -> frozenset[str]: ...
    def __call__(self, units: Units, ledger: Ledger, key: Key) -> None: ...


@dataclass(frozen=True)
class Top:
    """The highest scores first; with `above`, only scores above it."""

    above: float | None = None
    needs: frozenset[str] = NO_NEEDS

    def __call__(self, units: Units, ledger: Ledger, key: Key) -> None:
        rows = ranking(units, units.score[:, 0])
        admit_in_order(rows if self.above is None else rows[units.score[rows, 0] > self.above], ledger)


@dataclass(frozen=True)
class ClusterDecay:
    """The highest scores first, each worth less the more of its feature cluster rank above it.

    Sort by score; keep the first `trim` fraction; k-means with `clusters` on unit features; a unit that ranks j-th in its cluster
    keeps `decay`^j of its score; sort again.
    Source: ReDAL algorithm 1. Its released code applies the decay to the unsorted list and cannot trim (docs/fidelity.md
    D-18, D-19); this is the algorithm as printed. The k-means seed is fixed at 0 as there.
    Raises: ValueError for a negative score.
    """

    clusters: int = 400
    decay: float = 0.95
    trim: float = 1.0
    kmeans: str = "fast"
    needs: frozenset[str] = frozenset({"feature"})

    def __post_init__(self) -> None:
        if not 0 < self.decay <= 1 or not 0 < self.trim <= 1 or self.clusters < 1:
            raise ValueError(f"cluster decay needs 0 < decay <= 1, 0 < trim <= 1 and clusters >= 1, got {self.decay}, {self.trim}, {self.clusters}")

    def __call__(self, units: Units, ledger: Ledger, key: Key) -> None:
        ranked = ranking(units, units.score[:, 0])
        ranked = ranked[: max(1, int(len(ranked) * self.trim))]
        if len(ranked) == 0:
            return
        if units.score[ranked[-1], 0] < 0:
            raise ValueError(
                f"cluster decay needs scores that are not negative, or decay would reward: the lowest is {units.score[ranked[-1], 0]}; add a constant"
            )
        clusters = kmeans_labels(units.feature[ranked], self.clusters, self.kmeans)
        decayed = units.score[ranked, 0] * np.float64(self.decay) ** rank_in_cluster(clusters)
        admit_in_order(ranked[np.argsort(-decayed, kind="stable")], ledger)


def rank_in_cluster(clusters: I32) -> I64:
    """How many earlier rows share a row's cluster: i32[U] -> i64[U]."""
    order = np.argsort(clusters, kind="stable")
    grouped = clusters[order]
    starts = np.flatnonzero(np.r_[True, grouped[1:] != grouped[:-1]])
    first = np.repeat(starts, np.diff(np.r_[starts, len(grouped)]))
    ranks = np.empty(len(clusters), dtype=np.int64)
    ranks[order] = np.arange(len(clusters)) - first
    return ranks


def ranking(units: Units, score: Array) -> I64:
    """The purchasable rows by falling score; equal scores keep (scene, unit) order."""
    rows = np.flatnonzero(units.size > 0)
    return rows[np.argsort(-score[rows], kind="stable")]


def admit_in_order(rows: I64, ledger: Ledger) -> None:
    """Offer rows to the ledger, one after the other, until it is full."""
    for row in rows.tolist():
        if ledger.full:
            return
        ledger.admit(row)
