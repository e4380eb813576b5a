"""How much a round may spend, and the ledger that alone decides whether a unit is bought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from al3d.types import I32, I64, Units

PER = ("percent", "points", "units", "units_per_scene", "clicks", "everything")
OVERSHOOT = ("include", "exclude", "skip_to_fit")


@dataclass(frozen=True)
class Spent:
    """What one earlier round bought: points, units, and the clicks they took. The first of a history is the seed."""

    points: int
    units: int
    clicks: int = 0


class Ledger:
    """The only way to pick: `admit(row)` buys a row of `Units` if budget and caps allow it, and says whether it did.

    `limit` and `spent` are in points, or in units or clicks when `measure` says so. `overshoot` says what happens to the row that
    crosses the limit: "include" buys it and closes, "exclude" closes without it, "skip_to_fit" skips it and goes on with smaller ones. `notes` are
    numbers about the choice that a picker wants to be kept with the purchase.
    """

    def __init__(self, units: Units, limit: int, overshoot: str = "skip_to_fit", measure: str = "points", per_scene: int | None = None) -> None:
        if overshoot not in OVERSHOOT:
            raise ValueError(f"overshoot={overshoot!r} is not one of {', '.join(OVERSHOOT)}")
        self.limit, self.overshoot, self.measure, self.per_scene = limit, overshoot, measure, per_scene
        self.cost: I64 = {"units": np.ones_like(units.size), "clicks": units.clicks}.get(measure, units.size)
        self.scene: I32 = units.scene
        self.spent = 0
        self.closed = limit <= 0
        self.notes: dict[str, float | int | bool | str] = {}
        self._rows: dict[int, None] = {}
        self._bought_in_scene: dict[int, int] = {}
        pool = self.cost[units.size > 0]
        self._smallest = int(pool.min()) if len(pool) else 0
        self._purchasable = units.size > 0

    @property
    def rows(self) -> tuple[int, ...]:
        """The rows bought so far, in the order of buying."""
        return tuple(self._rows)

    @property
    def full(self) -> bool:
        """Whether no further row can be admitted."""
        return self.closed or self.limit - self.spent < (1 if self.overshoot == "include" else self._smallest)

    def admit(self, row: int, drop: int | None = None) -> bool:
        """Buy `row`, giving back `drop` in exchange if named; returns whether that was allowed.

        Raises: ValueError for a row outside the pool, bought twice, or a `drop` that was not bought.
        """
        self._check(row, drop)
        scene, cost = int(self.scene[row]), int(self.cost[row])
        freed = 0 if drop is None else int(self.cost[drop])
        if drop is None and self.full:
            return False
        same_scene = drop is not None and int(self.scene[drop]) == scene
        if self._capped(scene, same_scene):
            return False
        after = self.spent - freed + cost
        if after > self.limit and (drop is not None or self.overshoot != "include"):
            self.closed = self.closed or (drop is None and self.overshoot == "exclude")
            return False
        self._record(row, drop)
        return True

    def part(self, units: Units, rows: I64, limit: int) -> Ledger:
        """A ledger of its own limit for some rows: row i of `units` is row `rows[i]` here; what it buys is bought here too.

        Caps per scene count over all parts; the limits of the parts should add up to this ledger's.
        """
        return _Part(self, units, rows, limit)

    def _capped(self, scene: int, gives_back: bool) -> bool:
        return self.per_scene is not None and self._bought_in_scene.get(scene, 0) - int(gives_back) >= self.per_scene

    def _record(self, row: int, drop: int | None) -> None:
        if drop is not None:
            del self._rows[drop]
            self._bought_in_scene[int(self.scene[drop])] -= 1
            self.spent -= int(self.cost[drop])
        scene = int(self.scene[row])
        self._rows[row] = None
        self._bought_in_scene[scene] = self._bought_in_scene.get(scene, 0) + 1
        self.spent += int(self.cost[row])

    def _check(self, row: int, drop: int | None) -> None:
        if not 0 <= row < len(self.cost) or not self._purchasable[row]:
            raise ValueError(f"row {row} cannot be bought: it has no unasked point or does not exist")
        if row in self._rows:
            raise ValueError(f"row {row} was bought already in this round")
        if drop is not None and drop not in self._rows:
            raise ValueError(f"row {drop} cannot be given back: it was not bought in this round")


class _Part(Ledger):
    """A part of another ledger; see `Ledger.part`."""

    def __init__(self, whole: Ledger, units: Units, rows: I64, limit: int) -> None:
        super().__init__(units, limit, whole.overshoot, whole.measure)
        self._whole, self._origin = whole, rows

    def _capped(self, scene: int, gives_back: bool) -> bool:
        return self._whole._capped(scene, gives_back)

    def _record(self, row: int, drop: int | None) -> None:
        super()._record(row, drop)
        self._whole._record(int(self._origin[row]), None if drop is None else int(self._origin[drop]))


@dataclass(frozen=True)
class Budget:
    """How much each round may spend.

    `per` "percent" (0..100 of the base, the points of the training split as prepared), "points", "units", "units_per_scene", "clicks" or
    "everything". "units_per_scene" buys `amount` units of every scene of the pool, all of a scene that has fewer; nothing carries over. A
    unit should cost a click per class that its points are predicted as; what it did cost is known afterwards, and later rounds make up for it. The
    limit of round r is cumulative, `initial + r * amount` less what is spent, so that overshoot and remainder carry over and curves
    of different methods meet at the same percentages; `initial` defaults to what the seed spent. `overshoot` null: "include"
    for scene units, "skip_to_fit" else. `per_scene` caps the units bought in one scene and round.
    Source: the published rules differ (methods: ReDAL includes the crossing region, LiDAL excludes it), docs/fidelity.md D-09.
    """

    amount: float | None = None
    per: str = "percent"
    initial: float | None = None
    overshoot: str | None = None
    per_scene: int | None = None

    def __post_init__(self) -> None:
        if self.per not in PER:
            raise ValueError(f"budget.per={self.per!r} is not one of {', '.join(PER)}")
        if self.overshoot is not None and self.overshoot not in OVERSHOOT:
            raise ValueError(f"budget.overshoot={self.overshoot!r} is not one of {', '.join(OVERSHOOT)}")
        if self.per != "everything" and (self.amount is None or self.amount <= 0):
            raise ValueError(f"budget.amount={self.amount} must be a positive number of {self.per}")
        if self.per == "units_per_scene" and self.amount is not None and self.amount != int(self.amount):
            raise ValueError(f"budget.amount={self.amount} units_per_scene: give a whole number")
        if self.per == "percent" and self.amount is not None and self.amount > 100:
            raise ValueError(f"budget.amount={self.amount} percent is more than there is: choose at most 100")

    def open(self, units: Units, round_index: int, history: Sequence[Spent], base: int, overshoot: str = "skip_to_fit") -> Ledger:
        """The ledger of `round_index` (0 is the seed) over a pool.

        Raises: ValueError when the pool holds less than the round should buy, with both numbers.
        """
        if self.per == "units_per_scene":
            return self._of_every_scene(units, overshoot)
        measure = self.per if self.per in ("units", "clicks") else "points"
        there = int({"units": units.size > 0, "clicks": units.clicks * (units.size > 0)}.get(measure, units.size).sum())
        limit = there if self.per == "everything" else self.limit(round_index, history, base)
        if limit > there:
            raise ValueError(
                f"round {round_index} should buy {limit:,} {measure} but the pool holds {there:,}: "
                f"lower the budget's amount ({self.amount} {self.per}) or the number of rounds"
            )
        return Ledger(units, limit, self.overshoot or overshoot, measure, self.per_scene)

    def _of_every_scene(self, units: Units, overshoot: str) -> Ledger:
        """The ledger of a budget per scene."""
        each = int(self.amount or 0) if self.per_scene is None else min(int(self.amount or 0), self.per_scene)
        there = np.bincount(units.scene[units.size > 0])
        return Ledger(units, int(np.minimum(there, each).sum()), self.overshoot or overshoot, "units", each)

    def limit(self, round_index: int, history: Sequence[Spent], base: int) -> int:
        """What round `round_index` may spend, in points (or units): cumulative, less what the history spent."""
        amount = self._measured(self.amount or 0.0, base)
        if round_index == 0:
            return round(amount)
        if self.per in ("units", "clicks"):
            return round(round_index * amount) - sum(spent.units if self.per == "units" else spent.clicks for spent in history[1:])
        initial = history[0].points if self.initial is None else self._measured(self.initial, base)
        return round(initial + round_index * amount) - sum(spent.points for spent in history)

    def _measured(self, amount: float, base: int) -> float:
        return amount * base / 100 if self.per == "percent" else amount
