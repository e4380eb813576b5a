"""A method: unit x score x pick x budget. A seed is a method that needs no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from al3d.acquire.budget import Budget, Ledger, Spent
from al3d.acquire.embed import EMBEDDINGS
from al3d.acquire.pick import Picker
from al3d.acquire.reduce import describe
from al3d.acquire.score import Scorer
from al3d.acquire.thin import Thinner
from al3d.data.extras import Extra
from al3d.rng import Key
from al3d.types import BOTTLENECK, I64, PENULTIMATE, FeatureExtractor, Partitioner, Units, View


@dataclass(frozen=True)
class Acquirer:
    """One acquisition method or seed.

    `unit` is what is asked for, `score` how much it is worth (None: the picker does not look at scores), `pick` proposes,
    `budget` limits. `shortlist` keeps only the best k pool rows of a scene. `embedding` "mean" or "gradient" says what a unit's feature
    is. `passes` with dropout active are averaged; `views`, differently augmented copies of a scene, too.
    `feature`, "penultimate" or "bottleneck", says which layer of the network a unit's feature comes from.
    With `features` a unit's feature is theirs instead of the network's, so that pickers of features need no predictions; `thin` leaves
    scenes that resemble the one before out of the pool.
    Raises: ValueError for a number below 1, an unknown embedding, or a score of several passes with a single one.
    """

    name: str
    unit: Partitioner
    pick: Picker
    budget: Budget
    score: Scorer | None = None
    shortlist: int | None = None
    embedding: str = "mean"
    passes: int = 1
    views: int = 1
    features: FeatureExtractor | None = None
    thin: Thinner | None = None
    feature: str = PENULTIMATE

    def __post_init__(self) -> None:
        if self.shortlist is not None and self.shortlist < 1:
            raise ValueError(f"{self.name}: shortlist={self.shortlist} must keep at least 1 unit of a scene, or be null")
        if self.feature not in (PENULTIMATE, BOTTLENECK):
            raise ValueError(f"{self.name}: feature={self.feature!r} is not {PENULTIMATE} or {BOTTLENECK}")
        if self.feature == BOTTLENECK and (self.embedding == "gradient" or self.features is not None):
            raise ValueError(f"{self.name}: feature={BOTTLENECK} goes neither with `features` nor with embedding=gradient: set acquire.feature={PENULTIMATE}")
        if self.embedding not in EMBEDDINGS:
            raise ValueError(f"{self.name}: embedding={self.embedding!r} is not one of {', '.join(EMBEDDINGS)}")
        if (self.embedding == "views" and self.features is None) or (self.embedding == "gradient" and self.features is not None):
            words = "needs `features`" if self.features is None else "is the network's: it cannot go with `features`"
            raise ValueError(f"{self.name}: embedding={self.embedding} {words}")
        if self.thin is not None and self.predicts:
            raise ValueError(f"{self.name}: thin leaves scenes out before anything is predicted, so it is for seeds: remove acquire.thin")
        if self.passes < 1 or self.views < 1:
            raise ValueError(f"{self.name}: passes={self.passes} and views={self.views} must be at least 1")
        if "passes" in self.needs and self.passes < 2:
            raise ValueError(f"{self.name}: its score compares several dropout passes, but passes={self.passes}: set acquire.passes=10")

    @property
    def needs(self) -> frozenset[str]:
        """What score and picker need: "prob", "feature", "labelled"."""
        return self.pick.needs | (self.score.needs if self.score else frozenset())

    @property
    def predicts(self) -> bool:
        """Whether the pool must be predicted before this method can choose."""
        return bool(self.needs & ({"prob"} if self.features else {"prob", "feature"}))

    @property
    def title(self) -> str:
        """What a person reads: the name, with the features that it chooses by."""
        return f"{self.name} ({self.features.name})" if self.features else self.name

    @property
    def extras(self) -> tuple[Extra, ...]:
        """The prepared per-point arrays that the score reads."""
        return self.score.extras if self.score else ()

    @property
    def partitions(self) -> tuple[Partitioner, ...]:
        """The units, and the partitions that the score reads beside them."""
        return (self.unit, *(self.score.regions if self.score else ()))

    @property
    def context(self) -> int:
        """How many frames before and after a frame must be predicted with it."""
        return self.score.context if self.score else 0

    def local(self, view: View) -> Units:
        """The rows of one scene; runs where the scene was predicted and keeps a few numbers per unit."""
        score = self.score(view) if self.score else None
        return describe(view, score, "feature" in self.needs, "labelled" in self.needs, self.shortlist, self.embedding)

    def select(self, units: Units, round_index: int, history: Sequence[Spent], base: int, key: Key) -> tuple[I64, Ledger]:
        """The bought rows, in order, and the ledger; runs once.

        No rows when earlier rounds overspent the whole budget up to this round (a crossing unit larger than a round's step): the
        round then trains on the labels it has, and the curve stays at the planned percentages.
        Raises: ValueError when something is left to spend but nothing was bought (names the first unit, its size, what is left), or
        when the pool is empty.
        """
        overshoot = "include" if self.unit.name == "scene" else "skip_to_fit"
        ledger = self.budget.open(units, round_index, history, base, overshoot)
        self.pick(units, ledger, key)
        rows = np.asarray(ledger.rows, dtype=np.int64)
        pool = np.flatnonzero(units.size > 0)
        if len(rows) == 0 and ledger.limit > 0 and len(pool):
            if self.unit.name == "scene" and ledger.measure == "points" and ledger.limit < units.size[pool].min():
                raise ValueError(_too_small(self, int(units.size[pool].min()), ledger.limit, round_index))
            first = int(pool[0])
            raise ValueError(
                f"round {round_index} of {self.name} bought nothing: the first unit ({int(units.unit[first])} of scene {int(units.scene[first])}) has "
                f"{int(units.size[first]):,} points and {ledger.limit:,} {ledger.measure} are left to spend: "
                "raise the budget, take smaller units, or set budget.overshoot=include"
            )
        if len(pool) == 0:
            raise ValueError(f"round {round_index} of {self.name} has nothing to buy: everything that can be asked for is labelled; run fewer rounds")
        return rows, ledger


def _too_small(method: Acquirer, smallest: int, limit: int, round_index: int) -> str:
    group, amount = ("seed", "initial") if round_index == 0 else ("acquire", "step")
    return (
        f"{method.title} asks for whole scenes, but the budget of {limit:,} points is smaller than every scene (the smallest has {smallest:,}): "
        f"raise rounds.{amount}, or ask for parts of scenes: unit@{group}.unit=supervoxel{' features=geometry' if method.features else ''}"
    )
