"""Pseudo-labels: a second acquirer chooses units that the next round trains on as the network predicts them. They cost nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from al3d.acquire.acquirer import Acquirer
from al3d.acquire.budget import Budget, Ledger
from al3d.acquire.pick import NO_NEEDS
from al3d.acquire.pool import Pool
from al3d.acquire.swap import SwapNearby
from al3d.files import whole_file
from al3d.rng import Key
from al3d.types import I64, IGNORE, U8, Bool, Oracle, Units


@dataclass(frozen=True)
class MostConsistent:
    """The lowest first score first, but none of exactly 0; within `radius` metres of one chosen, the lower second score keeps the place.

    For the scores of `InterFrame`: a divergence of 0 says that no point of the unit was seen from another frame.
    Source: LiDAL's pseudo-labels, as in its code. Raises: ValueError as `SwapNearby`.
    """

    radius: float = 5.0
    needs: frozenset[str] = NO_NEEDS

    def __post_init__(self) -> None:
        SwapNearby(self.radius)

    def __call__(self, units: Units, ledger: Ledger, key: Key) -> None:
        turned = units.score.copy()
        turned[:, 0] *= -1
        seen = np.where(turned[:, 0] != 0, units.size, 0)
        SwapNearby(self.radius, lowest=True)(replace(units, score=turned, size=seen), ledger, key)


@dataclass(frozen=True)
class PredictedClasses:
    """The class u8[N] that the network predicts for each point of a pool scene, kept in one file per block of scenes until it is used."""

    pool: Pool
    file: Callable[[int], Path]

    def __call__(self, index: int) -> U8:
        """The classes of the points of scene `index`. Raises: ValueError naming a file that does not hold its block."""
        block, scenes = next((number, scenes) for number, scenes in enumerate(self.pool.blocks()) if index in scenes)
        starts = np.cumsum([0, *(self.pool.store.sizes[self.pool.scenes[scene]] for scene in scenes)])
        classes = np.load(self.file(block), mmap_mode="r", allow_pickle=False)
        if classes.shape != (starts[-1],):
            raise ValueError(f"{self.file(block)} holds {list(classes.shape)} predicted classes for {starts[-1]} points: delete it, it will be made again")
        place = index - scenes.start
        return np.array(classes[starts[place] : starts[place + 1]])


def save_classes(path: Path, classes: Sequence[U8]) -> None:
    """Write the predicted classes of a block's scenes one after the other, whole or not at all."""
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.save(file, np.concatenate(classes))


def check_pair(method: Acquirer, second: Acquirer) -> None:
    """Refuse a second acquirer that cannot share the method's prediction pass.

    Raises: ValueError when units, scores or the way of predicting differ, when units are shortlisted, or when the budget is in clicks.
    """
    if not method.predicts:
        raise ValueError(f"pseudo={second.name} guesses what the network predicts, but acquire={method.name} predicts nothing: set pseudo=none")
    for part, theirs, ours in (("unit", method.unit, second.unit), ("score", method.score, second.score)):
        if theirs != ours:
            raise ValueError(
                f"acquire={method.name} and pseudo={second.name} share one prediction of the pool, but their {part}s differ: {theirs} and {ours}. "
                f"Make acquire.{part} and pseudo.{part} equal, choose another method, or set pseudo=none"
            )
    if second.budget.per == "units_per_scene":
        raise ValueError(
            f"pseudo={second.name}: pseudo.budget.per=units_per_scene is not offered here: set percent, points or units, and pseudo.budget.per_scene"
        )
    if second.budget.per == "clicks":
        raise ValueError(f"pseudo={second.name}: a guess takes no click, so pseudo.budget.per=clicks limits nothing: set percent, points or units")
    if (second.passes, second.views) not in ((1, 1), (method.passes, method.views)):
        raise ValueError(f"pseudo={second.name} is predicted as often as acquire={method.name}: leave pseudo.passes and pseudo.views out")
    for name, one in (("acquire", method), ("pseudo", second)):
        if one.shortlist is not None:
            raise ValueError(
                f"{name}.shortlist={one.shortlist} drops the units that the network is sure of, which pseudo-labels need: set {name}.shortlist=null"
            )


def guessed_before(pool: Pool, units: Units) -> Bool:
    """The rows whose labels were guessed for the round that has just been trained: nobody chooses them again at once, bool[U]."""
    before = pool.labels.pseudo_units(pool.round_index)
    place = {name: index for index, name in enumerate(pool.scenes)}
    pairs = [(place[name], unit) for name, ids in before.items() for unit in ids.tolist()]
    if not pairs:
        return np.zeros(len(units), dtype=bool)
    keys = np.array([scene << 32 | unit for scene, unit in pairs], dtype=np.int64)
    return np.isin(units.scene.astype(np.int64) << 32 | units.unit, keys)


def without(units: Units, rows: Bool) -> Units:
    """The same rows, some of which cannot be chosen."""
    return replace(units, size=np.where(rows, 0, units.size))


def choose(second: Acquirer, units: Units, base: int, key: Key) -> I64:
    """The rows to guess: at most the budget of one round, which neither carries over nor must be used up."""
    ledger = Ledger(units, _limit(second.budget, units, base), second.budget.overshoot or "skip_to_fit", _measure(second.budget), second.budget.per_scene)
    second.pick(units, ledger, key)
    return np.asarray(ledger.rows, dtype=np.int64)


def guess(pool: Pool, second: Acquirer, units: Units, oracle: Oracle, base: int, predicted: Callable[[int], U8], bought: I64) -> None:
    """Choose from `units` but for the rows that are `bought` now, and write down their guessed labels for the next round.

    `predicted(scene)` is the network's class of each point. How many guesses are right is found from a simulated oracle, for the
    report only: nothing is chosen by it.
    Source: LiDAL; its released code never uses the labels that it chooses (docs/fidelity.md D-26).
    """
    started = time.perf_counter()
    taken = np.isin(np.arange(len(units)), bought)
    rows = choose(second, without(units, taken), base, (*pool.key, "pseudo"))
    found: dict[str, tuple[list[int], U8]] = {}
    counts = np.zeros(3 + len(pool.store.classes), dtype=np.int64)
    for scene in np.unique(units.scene[rows]).tolist():
        name, ids = pool.scenes[scene], units.unit[rows[units.scene[rows] == scene]].tolist()
        members = np.isin(pool.store.unit(pool.method.unit, name), ids)
        label = predicted(scene)
        found[name] = (ids, label[members])
        counts += _counted(pool, oracle, name, label, members & ~pool.labels.asked(name, pool.round_index))
    points, known, right, *classes = counts.tolist()
    record = {
        "round": pool.round_index + 1,
        "name": second.name,
        "unit": second.unit.name,
        "points": points,
        "units": len(rows),
        "scenes": len(found),
        "class_points": classes,
        "known_points": known if oracle.simulated else None,
        "right_points": right if oracle.simulated else None,
        "accuracy": right / known if known else None,
        "seconds": round(time.perf_counter() - started, 3),
    }
    pool.labels.write_pseudo(pool.round_index + 1, found, pool.method.unit, record)


def _counted(pool: Pool, oracle: Oracle, name: str, label: U8, points: Bool) -> Any:
    """Guessed points, those whose class is known, those guessed right, and the guessed points per class."""
    classes = len(pool.store.classes)
    per_class = np.bincount(label[points], minlength=classes)[:classes]
    if not oracle.simulated:
        return np.array([points.sum(), 0, 0, *per_class])
    truth = oracle.answer(name, points)[points]
    known = truth != IGNORE
    return np.array([points.sum(), known.sum(), (label[points] == truth)[known].sum(), *per_class])


def _measure(budget: Budget) -> str:
    return "units" if budget.per == "units" else "points"


def _limit(budget: Budget, units: Units, base: int) -> int:
    """What one round may guess, in the budget's measure: never more than there is."""
    there = int((units.size > 0).sum() if _measure(budget) == "units" else units.size.sum())
    return there if budget.per == "everything" else min(there, budget.limit(0, (), base))
