"""Feature-distance suppression: skip what lies near, and looks like, something just bought."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from al3d.acquire.budget import Ledger
from al3d.acquire.distances import plain
from al3d.acquire.pick import ranking
from al3d.rng import Key
from al3d.types import F32, I64, Units

REFERENCES = ("round", "labelled")


@dataclass(frozen=True)
class Suppress:
    """The highest scores first, but no unit within `radius` metres of one taken whose feature has a cosine above `cosine` with it.

    Only units of the same scene suppress; places are the units' centres. `reference` "round": what was taken in this round; "labelled":
    what is labelled from earlier rounds too. `radius` 0 switches the suppression off.
    Source: HPAL (feature distance suppression), 0.2 m and 0.8; docs/fidelity.md D-22, D-23.
    Raises: ValueError for a negative radius, a cosine outside -1..1, an unknown reference.
    """

    radius: float = 0.2
    cosine: float = 0.8
    reference: str = "round"

    def __post_init__(self) -> None:
        if self.radius < 0 or not -1 <= self.cosine <= 1 or self.reference not in REFERENCES:
            given = f"{self.radius}, {self.cosine}, {self.reference!r}"
            raise ValueError(f"suppression needs radius >= 0, cosine in -1..1 and reference round or labelled, got {given}")

    @property
    def needs(self) -> frozenset[str]:
        """Features to compare, and labelled rows where those suppress too."""
        return frozenset({"feature", "labelled"} if self.reference == "labelled" else {"feature"})

    def __call__(self, units: Units, ledger: Ledger, key: Key) -> None:
        taken = _Taken(units, self.radius, self.cosine)
        if self.reference == "labelled":
            for row in np.flatnonzero(units.labelled).tolist():
                taken.add(row)
        for row in ranking(units, units.score[:, 0]).tolist():
            if ledger.full:
                return
            if not taken.suppresses(row) and ledger.admit(row):
                taken.add(row)


class _Taken:
    """The taken rows in cells of the radius' size: a row's rivals are in its own and the 26 cells around."""

    def __init__(self, units: Units, radius: float, cosine: float) -> None:
        self.radius, self.cosine = radius, cosine
        self.center, self.scene = units.center.astype(np.float64), units.scene
        self.feature = plain(units.feature)
        self.cells: dict[tuple[int, int, int, int], list[int]] = {}

    def add(self, row: int) -> None:
        if self.radius > 0:
            self.cells.setdefault(self._cell(row), []).append(row)

    def suppresses(self, row: int) -> bool:
        if not self.cells:
            return False
        scene, x, y, z = self._cell(row)
        steps = (-1, 0, 1)
        near = [other for i in steps for j in steps for k in steps for other in self.cells.get((scene, x + i, y + j, z + k), ())]
        if not near:
            return False
        close = np.linalg.norm(self.center[near] - self.center[row], axis=1) < self.radius
        return bool((self._cosines(np.array(near)[close], row) > self.cosine).any())

    def _cosines(self, others: I64, row: int) -> F32:
        lengths = np.linalg.norm(self.feature[others], axis=1) * np.linalg.norm(self.feature[row])
        return np.asarray((self.feature[others] @ self.feature[row]) / np.maximum(lengths, np.float32(1e-12)))

    def _cell(self, row: int) -> tuple[int, int, int, int]:
        x, y, z = (self.center[row] // self.radius).tolist() if self.radius > 0 else (0, 0, 0)
        return int(self.scene[row]), int(x), int(y), int(z)
