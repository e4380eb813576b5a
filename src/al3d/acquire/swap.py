"""One unit per place: a better one nearby takes over from the one bought."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from al3d.acquire.budget import Ledger
from al3d.acquire.pick import ranking
from al3d.rng import Key
from al3d.types import Units


@dataclass(frozen=True)
class SwapNearby:
    """The highest first score first; within `radius` metres of one bought in this round, the higher second score keeps the place.

    Places are the units' centres in the world of their drive; units of different drives are never near. Where several bought units lie
    within the radius, the one bought first is the rival. `lowest` keeps the lower second score instead (pseudo-labels).
    Source: LiDAL (5 m); earlier rounds do not count, as in its code (docs/fidelity.md D-25).
    Raises: ValueError when the radius is not positive, or the score has no second column.
    """

    radius: float = 5.0
    lowest: bool = False
    needs: frozenset[str] = frozenset({"world"})

    def __post_init__(self) -> None:
        if not self.radius > 0:
            raise ValueError(f"radius={self.radius} m: it must be positive")

    def __call__(self, units: Units, ledger: Ledger, key: Key) -> None:
        if units.score.shape[1] < 2:
            raise ValueError("swapping needs two scores per unit, one to rank by and one to compare neighbours by: use the score InterFrame")
        second = units.score[:, 1] * np.float32(-1 if self.lowest else 1)
        places = _Places(units, self.radius)
        for row in ranking(units, units.score[:, 0]).tolist():
            if ledger.full:
                return
            rival = places.first_near(row)
            if rival is None:
                if ledger.admit(row):
                    places.add(row)
            elif second[row] > second[rival] and ledger.admit(row, drop=rival):
                places.replace(rival, row)


class _Places:
    """The bought rows in cells of the radius' size, each with its turn of buying."""

    def __init__(self, units: Units, radius: float) -> None:
        self.radius, self.world, self.drive = radius, units.world, units.drive
        self.cells: dict[tuple[int, int, int, int], list[int]] = {}
        self.turn: dict[int, int] = {}

    def add(self, row: int) -> None:
        self._put(row, len(self.turn))

    def replace(self, old: int, new: int) -> None:
        """`new` takes the turn of `old`."""
        self.cells[self._cell(old)].remove(old)
        self._put(new, self.turn.pop(old))

    def first_near(self, row: int) -> int | None:
        """The bought row within the radius that was bought first."""
        drive, x, y, z = self._cell(row)
        steps = (-1, 0, 1)
        near = [other for i in steps for j in steps for k in steps for other in self.cells.get((drive, x + i, y + j, z + k), ())]
        if not near:
            return None
        close = np.linalg.norm(self.world[near] - self.world[row], axis=1) <= self.radius
        rivals = [other for other, is_close in zip(near, close.tolist(), strict=True) if is_close]
        return min(rivals, key=self.turn.__getitem__) if rivals else None

    def _put(self, row: int, turn: int) -> None:
        self.turn[row] = turn
        self.cells.setdefault(self._cell(row), []).append(row)

    def _cell(self, row: int) -> tuple[int, int, int, int]:
        x, y, z = (self.world[row] // self.radius).tolist()
        return int(self.drive[row]), int(x), int(y), int(z)
