"""Rank fusion: good in one respect or the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from al3d.acquire.budget import Ledger
from al3d.acquire.distances import plain, summed
from al3d.acquire.pick import admit_in_order, ranking
from al3d.rng import Key, generator
from al3d.types import F64, I64, Array, Units


@dataclass(frozen=True)
class RankFusion:
    """The largest 1 / rank by score + 1 / rank by distance first; the best rank is 1.

    A unit's distance is the sum of the Euclidean distances of its feature to those of all labelled units; `reference` compares with a keyed
    draw of so many of them instead. With nothing labelled, the score alone decides.
    Source: BaSAL eq. 3 and 4, sorted descending: rank 1 in either is what is asked for (docs/fidelity.md D-24, D-58).
    """

    reference: int | None = None
    needs: frozenset[str] = frozenset({"feature", "labelled"})

    def __post_init__(self) -> None:
        if self.reference is not None and self.reference < 1:
            raise ValueError(f"reference={self.reference}: compare with at least 1 labelled unit, or null for all of them")

    def __call__(self, units: Units, ledger: Ledger, key: Key) -> None:
        pool = np.flatnonzero(units.size > 0)
        fused = 1 / _ranks(units, pool, units.score[:, 0])
        if units.labelled.any():
            far = np.zeros(len(units))
            far[pool] = summed(plain(units.feature[pool]), plain(units.feature[self._references(units, key)]))
            fused += 1 / _ranks(units, pool, far)
        value = np.zeros(len(units))
        value[pool] = fused
        admit_in_order(ranking(units, value), ledger)

    def _references(self, units: Units, key: Key) -> I64:
        rows = np.flatnonzero(units.labelled)
        if self.reference is None or len(rows) <= self.reference:
            return rows
        return np.sort(generator(*key, "reference").choice(rows, self.reference, replace=False))


def _ranks(units: Units, pool: I64, value: Array) -> F64:
    """The rank of every pool row by falling value, from 1; ties go to the earlier row."""
    place = np.empty(len(units))
    place[ranking(units, value)] = np.arange(1, len(pool) + 1)
    return np.asarray(place[pool])
