"""Scores: how much a point deserves a label. One sign: higher = ask first.

A scorer maps a view to f32[N]; `needs` says what it must be given ("prob", "feature"), so that nothing is predicted in vain;
`extras` are the prepared per-point arrays it reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from al3d.data.extras import Extra as PreparedExtra
from al3d.rng import generator
from al3d.types import F32, Partitioner, View

NO_NEEDS: frozenset[str] = frozenset()
PROB = frozenset({"prob"})


class Scorer(Protocol):
    """f32[N] or f32[N,S] per scene; higher = ask first.

    `needs` may name "prob", "feature", "passes"; `extras` are prepared per-point arrays, `regions` prepared partitions beside the units, and
    `context` how many frames before and after a frame must be predicted with it.
    """

    @property
    def needs(self) -> frozenset[str]: ...
    @property
    def extras(self) -> tuple[PreparedExtra, ...]: ...
    @property
    def regions(self) -> tuple[Partitioner, ...]: ...
    @property
    def context(self) -> int: ...
    def __call__(self, view: View) -> F32: ...


class Score:
    """What a score reads unless it says otherwise: the probabilities of the scene itself."""

    @property
    def needs(self) -> frozenset[str]:
        """Probabilities."""
        return PROB

    @property
    def extras(self) -> tuple[PreparedExtra, ...]:
        """No prepared arrays."""
        return ()

    @property
    def regions(self) -> tuple[Partitioner, ...]:
        """No partition beside the units."""
        return ()

    @property
    def context(self) -> int:
        """No other frames."""
        return 0


@dataclass(frozen=True)
class Random(Score):
    """A uniform number per unit, keyed by scene: independent of shards and of every other scene.

    Source: the RAND baselines; drawn without replacement (docs/fidelity.md D-02).
    """

    @property
    def needs(self) -> frozenset[str]:
        """Nothing."""
        return NO_NEEDS

    def __call__(self, view: View) -> F32:
        units = int(view.unit.max(initial=-1)) + 1
        drawn = generator(*view.key, "random").random(units + 1, dtype=np.float32)
        return drawn[view.unit]


@dataclass(frozen=True)
class Confidence(Score):
    """One minus the largest probability. Source: least confidence; negated where the papers ask for the smallest (D-10)."""

    def __call__(self, view: View) -> F32:
        return _to_points(np.maximum(1 - view.predicted().max(axis=1), 0), view)


@dataclass(frozen=True)
class Margin(Score):
    """Minus the difference of the two largest probabilities. Source: smallest margin first (docs/fidelity.md D-10)."""

    def __call__(self, view: View) -> F32:
        prob = view.predicted()
        if prob.shape[1] < 2:
            raise ValueError("a margin needs at least two classes")
        top = np.partition(prob, prob.shape[1] - 2, axis=1)
        return _to_points(top[:, -2] - top[:, -1], view)


@dataclass(frozen=True)
class Entropy(Score):
    """Entropy of the class probabilities: `form` "sum_nats" (the usual one) or "mean_bits".

    "mean_bits" is the mean over classes of -p log2 p: ReDAL's other weights were tuned against it (docs/fidelity.md D-17).
    """

    form: str = "sum_nats"

    def __post_init__(self) -> None:
        if self.form not in ("sum_nats", "mean_bits"):
            raise ValueError(f"entropy form={self.form!r} is not one of sum_nats, mean_bits")

    def __call__(self, view: View) -> F32:
        prob = view.predicted()
        entropy = -(prob * np.log(np.maximum(prob, 1e-12))).sum(axis=1)
        if self.form == "mean_bits":
            entropy = entropy / (prob.shape[1] * np.float32(np.log(2)))
        return _to_points(np.maximum(entropy, 0), view)


@dataclass(frozen=True)
class MutualInformation(Score):
    """What several dropout passes disagree on: the entropy of their mean less the mean of their entropies, in nats.

    Source: BALD (Houlsby et al. 2011; Gal et al. 2017). Needs `passes` of at least 2.
    """

    @property
    def needs(self) -> frozenset[str]:
        """Probabilities of several passes."""
        return frozenset({"prob", "passes"})

    def __call__(self, view: View) -> F32:
        prob = view.predicted()
        if view.entropy_of_passes is None:
            raise ValueError(f"scene {view.scene.id!r}: mutual information needs several dropout passes: set acquire.passes=10")
        entropy = -(prob * np.log(np.maximum(prob, 1e-12))).sum(axis=1)
        return _to_points(np.maximum(entropy - view.entropy_of_passes, 0), view)


@dataclass(frozen=True)
class Extra(Score):
    """A prepared per-point array, such as surface variation or colour discontinuity, as a score."""

    of: PreparedExtra

    @property
    def needs(self) -> frozenset[str]:
        """No predictions."""
        return NO_NEEDS

    @property
    def extras(self) -> tuple[PreparedExtra, ...]:
        """The array it reads."""
        return (self.of,)

    def __call__(self, view: View) -> F32:
        return np.asarray(view.scene.extra[self.of.name], dtype=np.float32)


@dataclass(frozen=True)
class WeightedSum(Score):
    """The weighted sum of other scores; terms of weight 0 are neither computed nor prepared. Source: ReDAL's information score phi."""

    weights: tuple[float, ...]
    terms: tuple[Scorer, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", tuple(self.weights))
        object.__setattr__(self, "terms", tuple(self.terms))
        if len(self.weights) != len(self.terms):
            raise ValueError(f"a weighted sum of {len(self.terms)} terms needs as many weights, got {len(self.weights)}")
        if not any(self.weights):
            raise ValueError("every weight of the weighted sum is 0: nothing would be scored")

    @property
    def used(self) -> tuple[tuple[float, Scorer], ...]:
        """The (weight, term) pairs with a weight other than 0."""
        return tuple(pair for pair in zip(self.weights, self.terms, strict=True) if pair[0])

    @property
    def needs(self) -> frozenset[str]:
        """What any of its terms needs."""
        return NO_NEEDS.union(*(term.needs for _, term in self.used))

    @property
    def extras(self) -> tuple[PreparedExtra, ...]:
        """What any of its terms reads."""
        return tuple(extra for _, term in self.used for extra in term.extras)

    @property
    def regions(self) -> tuple[Partitioner, ...]:
        """The partitions that any of its terms reads."""
        return tuple(region for _, term in self.used for region in term.regions)

    @property
    def context(self) -> int:
        """The largest context of its terms."""
        return max(term.context for _, term in self.used)

    def __call__(self, view: View) -> F32:
        total = np.zeros(len(view.scene), dtype=np.float32)
        for weight, term in self.used:
            total += np.float32(weight) * term(view)
        return total


def _to_points(values: F32, view: View) -> F32:
    """Voxel values copied to every point of the voxel."""
    if view.inverse is None:
        raise ValueError(f"scene {view.scene.id!r}: predictions came without their point-to-voxel map")
    return np.asarray(values, dtype=np.float32)[view.inverse]
