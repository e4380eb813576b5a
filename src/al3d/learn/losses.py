"""Losses over the voxels whose label is known: logits f32[V,C], label i64[V] -> scalar.

Without a labelled voxel each of them is `logits.sum() * 0`: a zero gradient that keeps ranks in step, where the published code gives NaN
(docs/fidelity.md D-44).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional

from al3d.data.batch import Batch
from al3d.types import IGNORE

Loss = Callable[[Tensor, Tensor], Tensor]
WEIGHTING = ("inverse", "effective")


@runtime_checkable
class Counting(Protocol):
    """A loss that depends on what is labelled: `weighed_by` gives the loss for so many labels of each class."""

    def weighed_by(self, class_counts: Sequence[float]) -> Loss: ...


@dataclass(frozen=True)
class CrossEntropy:
    """Mean cross-entropy over labelled voxels; zero without one."""

    label_smoothing: float = 0.0

    def __call__(self, logits: Tensor, label: Tensor) -> Tensor:
        if not bool((label != IGNORE).any()):
            return logits.sum() * 0
        return functional.cross_entropy(logits.float(), label, ignore_index=IGNORE, label_smoothing=self.label_smoothing)


@dataclass(frozen=True)
class Focal:
    """(1 - p)^gamma times the cross-entropy, p the probability of the true class: mean over labelled voxels, so sure voxels count less.

    `gamma` 0 is the cross-entropy. Raises: ValueError for a negative `gamma`.
    Source: Lin et al. 2017, without their weight per class and their division by the number of objects.
    """

    gamma: float = 2.0

    def __post_init__(self) -> None:
        if not self.gamma >= 0:
            raise ValueError(f"learner.loss.gamma={self.gamma}: give a number from 0 on; 0 is the cross-entropy")

    def __call__(self, logits: Tensor, label: Tensor) -> Tensor:
        known = label != IGNORE
        if not bool(known.any()):
            return logits.sum() * 0
        log_prob = logits[known].float().log_softmax(dim=1).gather(1, label[known, None])[:, 0]
        # The clamp keeps the gradient finite where p is 1 and gamma is below 1.
        unsure = (-torch.expm1(log_prob)).clamp(min=1e-12)
        return -(unsure**self.gamma * log_prob).mean()


@dataclass(frozen=True)
class Balanced:
    """Cross-entropy weighted by class: the sum of weight times loss over labelled voxels, over their number.

    Weights follow how often each class occurs among the labels that a round will see, which are known, and not the data set's
    hidden totals. "inverse": 1 / n. "effective": (1 - beta) / (1 - beta^n), nearly 1 / n for rare classes and level for those of many times
    1 / (1 - beta) labels. Both are scaled so that the mean over these labels is 1, so nothing is divided by the weights of a batch: that would
    give a batch of rare classes the weight of any other. A class that was never bought has weight 1: it can
    occur only among guessed labels, which then count as an average one does.
    Raises: ValueError for a wrong option, and when called before the counts are known.
    Source: Cui et al. 2019 for effective numbers.
    """

    weighting: str = "inverse"
    beta: float = 0.9999
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.weighting not in WEIGHTING:
            raise ValueError(f"learner.loss.weighting={self.weighting!r} is not one of {', '.join(WEIGHTING)}")
        if not 0 <= self.beta < 1:
            raise ValueError(f"learner.loss.beta={self.beta} must be within 0..1 (1 excluded)")

    def weighed_by(self, class_counts: Sequence[float]) -> Balanced:
        """The loss for so many labels of each class."""
        count = torch.tensor(class_counts, dtype=torch.float64)
        bought = count > 0
        some = torch.where(bought, count, 1.0)
        raw = some if self.weighting == "inverse" else (1 - self.beta**some) / (1 - self.beta)
        scaled = count.sum().clamp(min=1) / (count / raw).sum().clamp(min=1e-12) / raw
        return replace(self, weights=tuple(torch.where(bought, scaled, 1.0).tolist()))

    def __call__(self, logits: Tensor, label: Tensor) -> Tensor:
        if self.weights is None:
            raise ValueError("a balanced loss needs the labels of each class before it is used: call weighed_by")
        known = (label != IGNORE).sum()
        if not bool(known):
            return logits.sum() * 0
        weight = torch.tensor(self.weights, dtype=torch.float32, device=logits.device)
        return functional.cross_entropy(logits.float(), label, weight, ignore_index=IGNORE, reduction="sum") / known


@dataclass(frozen=True)
class Lovasz:
    """A convex stand-in for 1 - mIoU over the labelled voxels of a batch, mean over the classes among them, plus `cross_entropy` times that loss.

    For predictions of 0 and 1 it equals 1 minus the IoU. Raises: ValueError for a negative `cross_entropy`.
    Source: Berman et al. 2018 (Lovasz-Softmax), over a batch, classes that are present.
    """

    cross_entropy: float = 1.0

    def __post_init__(self) -> None:
        if not self.cross_entropy >= 0:
            raise ValueError(f"learner.loss.cross_entropy={self.cross_entropy}: give a number from 0 on")

    def __call__(self, logits: Tensor, label: Tensor) -> Tensor:
        known = label != IGNORE
        if not bool(known.any()):
            return logits.sum() * 0
        logits, label = logits[known].float(), label[known]
        present = torch.unique(label)
        member = (label[:, None] == present).to(torch.float32)
        error, order = (member - logits.softmax(dim=1)[:, present]).abs().sort(dim=0, descending=True, stable=True)
        hit = member.gather(0, order)
        jaccard = 1 - (hit.sum(dim=0) - hit.cumsum(dim=0)) / (hit.sum(dim=0) + (1 - hit).cumsum(dim=0))
        slope = torch.cat([jaccard[:1], jaccard.diff(dim=0)])
        surrogate: Tensor = (error * slope).sum(dim=0).mean()
        return surrogate + self.cross_entropy * functional.cross_entropy(logits, label)


def over_scenes(loss: Loss, logits: Tensor, batch: Batch) -> Tensor:
    """The mean over a batch's scenes of their weight times the loss of their own voxels: each scene counts by itself, however many voxels it has."""
    parts = zip(torch.split(logits, batch.sizes), torch.split(batch.label, batch.sizes), batch.weights, strict=True)
    return torch.stack([weight * loss(own, label) for own, label, weight in parts]).mean()


def voxel_weights(batch: Batch, by_scene: bool) -> Tensor:
    """What each voxel's label weighs in a loss that is a mean over labelled voxels: f64[V], 0 without a label; `by_scene` as `over_scenes`."""
    known = (batch.label != IGNORE).to(torch.float64)
    if not by_scene:
        return known / known.sum().clamp(min=1)
    parts = [weight * own / own.sum().clamp(min=1) for own, weight in zip(torch.split(known, batch.sizes), batch.weights, strict=True)]
    return torch.cat(parts) / len(parts)
