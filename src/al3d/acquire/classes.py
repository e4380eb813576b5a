"""What the network believes a unit to be, as a reason to ask for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from al3d.acquire.budget import Ledger
from al3d.acquire.pick import Picker
from al3d.features.kmeans import kmeans_labels
from al3d.rng import Key, generator
from al3d.types import F32, I64, IGNORE, Units


@dataclass(frozen=True)
class ClassStratifiedRandom:
    """Draw a class uniformly among those predicted in the pool, then one of its units uniformly, again and again.

    A unit's class is what most of its points are predicted as. Without predictions (a seed) the classes are k-means clusters of unit
    features, `pseudo_classes` of them. A class whose units are all bought or do not fit leaves the draw.
    Source: foreground-aware random sampling of nnActive, adapted: plain random draws rare classes rarely, so it is a weak opponent.
    """

    pseudo_classes: int | None = None

    @property
    def needs(self) -> frozenset[str]:
        """Predictions, or features for pseudo-classes."""
        return frozenset({"prob"} if self.pseudo_classes is None else {"feature"})

    def __call__(self, units: Units, ledger: Ledger, key: Key) -> None:
        random = generator(*key, "stratified")
        pool = np.flatnonzero(units.size > 0)
        shuffled = pool[random.permutation(len(pool))]
        label = self._classes(units)[shuffled]
        waiting = [shuffled[label == number].tolist() for number in np.unique(label)]
        while waiting and not ledger.full:
            turn = int(random.integers(len(waiting)))
            if not any(ledger.admit(waiting[turn].pop()) for _ in range(len(waiting[turn]))):
                del waiting[turn]

    def _classes(self, units: Units) -> I64:
        if self.pseudo_classes is not None:
            return kmeans_labels(units.feature, self.pseudo_classes).astype(np.int64)
        if (units.predicted == IGNORE).all() and len(units):
            raise ValueError("the stratified draw needs predictions, but nothing was predicted: set pseudo_classes for a seed")
        return units.predicted.astype(np.int64)


@dataclass(frozen=True)
class ClassBalanced:
    """`pick` after every score was divided by the share of the unit's predicted class in the pool plus `floor`.

    Source: common practice; scores must not be negative.
    """

    pick: Picker
    floor: float = 0.01

    @property
    def needs(self) -> frozenset[str]:
        """Predictions, and what the picker needs."""
        return self.pick.needs | {"prob"}

    def __call__(self, units: Units, ledger: Ledger, key: Key) -> None:
        pool = units.size > 0
        if (units.score[pool] < 0).any():
            raise ValueError(f"class balance needs scores that are not negative, or rare classes would come last: the lowest is {units.score[pool].min()}")
        self.pick(replace(units, score=units.score * class_weight(units, self.floor)[:, None]), ledger, key)


def class_weight(units: Units, floor: float) -> F32:
    """One over (the share of pool points in units of the same predicted class, plus `floor`): f32[U]."""
    points = np.bincount(units.predicted, weights=units.size.astype(np.float64), minlength=IGNORE + 1)
    share = points / max(1.0, points.sum())
    return np.asarray(1 / (share + floor), dtype=np.float32)[units.predicted]
