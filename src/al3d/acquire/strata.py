"""Equal shares: the pool in strata, a picker and a part of the budget for each."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np

from al3d.acquire.budget import Ledger
from al3d.acquire.pick import Picker
from al3d.rng import Key
from al3d.types import I64, Units
from al3d.units.binning import api_bins, cluster_sizes


class Strata(Protocol):
    """Which stratum each row belongs to: i64[U] from 0 on; `needs` as of a picker."""

    @property
    def needs(self) -> frozenset[str]: ...
    def __call__(self, units: Units) -> I64: ...


@dataclass(frozen=True)
class Kinds:
    """One stratum per kind of unit."""

    needs: frozenset[str] = frozenset()

    def __call__(self, units: Units) -> I64:
        return units.kind.astype(np.int64)


@dataclass(frozen=True)
class SizeBins:
    """Objects (kind 0) in `bins` strata by size, every other kind in a stratum of its own after them.

    The size is round(length + width + height) in metres; bins are contiguous and share the average points information evenly, over
    all objects of the pool, labelled ones included. `reading` "printed" or "prose": see `al3d.units.binning`.
    Source: BaSAL eq. 1 (docs/fidelity.md D-07).
    """

    bins: int = 3
    reading: str = "printed"
    needs: frozenset[str] = frozenset({"labelled"})

    def __call__(self, units: Units) -> I64:
        stratum = units.kind.astype(np.int64) - 1 + self.bins
        objects = units.kind == 0
        if objects.any():
            stratum[objects] = api_bins(cluster_sizes(units.extent[objects]), units.points[objects], self.bins, self.reading)
        return stratum


@dataclass(frozen=True)
class Predicted:
    """One stratum per class that most points of a unit are predicted as."""

    needs: frozenset[str] = frozenset({"prob"})

    def __call__(self, units: Units) -> I64:
        return units.predicted.astype(np.int64)


@dataclass(frozen=True)
class Stratified:
    """`pick` within each stratum, with an equal share of the budget for every stratum that has something to buy.

    What a stratum cannot spend is left for the next round, whose limit is cumulative.
    Source: BaSAL's partitions (docs/fidelity.md D-08).
    """

    strata: Strata
    pick: Picker

    @property
    def needs(self) -> frozenset[str]:
        """What the strata or the picker need."""
        return self.strata.needs | self.pick.needs

    def __call__(self, units: Units, ledger: Ledger, key: Key) -> None:
        stratum = self.strata(units)
        present = np.unique(stratum[units.size > 0]).tolist()
        for turn, number in enumerate(present):
            rows = np.flatnonzero(stratum == number)
            share = ledger.limit * (turn + 1) // len(present) - ledger.limit * turn // len(present)
            part = take(units, rows)
            self.pick(part, ledger.part(part, rows, share), (*key, "stratum", int(number)))


def take(units: Units, rows: I64) -> Units:
    """Some rows of units, in the order of `rows`."""
    return Units(**{field.name: getattr(units, field.name)[rows] for field in fields(units)})
