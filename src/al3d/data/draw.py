"""How often a training sees each labelled scene, and how much each of its labelled voxels weighs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from al3d.types import F64, Array

BY = ("labels", "scenes")


@dataclass(frozen=True)
class Draw:
    """`by` "labels": a scene with n labelled voxels is wanted n^`exponent` times, its loss is the mean over these, a batch's the mean over its scenes.

    At exponent 1 every labelled voxel of a round then weighs the same, at 0 every scene does. A scene is drawn at least `floor` times as often as
    the average one; it weighs less in turn, so that the floor lets training see what is rare without changing what the labels say.
    "scenes": every scene with a label is drawn equally often, and the loss is the mean over a batch's labelled voxels, as the published code
    has it (docs/fidelity.md D-63).
    Raises: ValueError for a wrong option.
    """

    by: str = "scenes"
    exponent: float = 1.0
    floor: float = 0.1

    def __post_init__(self) -> None:
        if self.by not in BY:
            raise ValueError(f"learner.draw={self.by!r} is not one of {', '.join(BY)}")
        if not 0 <= self.exponent <= 2 or not 0 <= self.floor <= 1:
            raise ValueError(
                f"learner.draw_exponent={self.exponent} must be within 0..2 (0: scenes weigh the same, 1: labelled voxels do) and "
                f"learner.draw_floor={self.floor} within 0..1"
            )

    @property
    def weighs(self) -> bool:
        """Whether the labels of a scene are counted before it is drawn."""
        return self.by == "labels"

    def wanted(self, voxels: Array) -> F64:
        """What share of the whole loss each scene with `voxels` i64[S] labelled voxels shall have: f64[S], sum 1."""
        counted = np.asarray(voxels, np.float64)
        powers = np.where(counted > 0, np.maximum(counted, 1) ** self.exponent, 0)
        return powers / powers.sum() if powers.any() else np.full(len(counted), 1 / len(counted))

    def probability(self, voxels: Array) -> F64:
        """How often each scene is drawn: f64[S], sum 1."""
        often = np.maximum(self.wanted(voxels), self.floor / len(voxels))
        return np.asarray(often / often.sum())

    def weight(self, voxels: Array) -> F64:
        """What a scene's loss weighs when it is drawn: f64[S]; the mean over draws is 1."""
        wanted, often = self.wanted(voxels), self.probability(voxels)
        return np.divide(wanted, often, out=np.zeros_like(wanted), where=often > 0)

    def class_shares(self, class_voxels: Array) -> F64:
        """The share of each class in the whole loss of a round, f64[C], from the labelled voxels of each scene and class i64[S,C]."""
        voxels = class_voxels.sum(axis=1)
        return np.asarray(self.wanted(voxels) @ (class_voxels / np.maximum(voxels, 1)[:, None]))


def unlike(seen: Sequence[float], labelled: Sequence[float], factor: float = 1.5, least: float = 0.01) -> list[int]:
    """The classes whose share of what a training saw differs from that of its labels by more than `factor`; below `least` in both nothing is said."""
    return [
        number
        for number, (share, own) in enumerate(zip(seen, labelled, strict=True))
        if max(share, own) >= least and max(share, own) > factor * min(share, own)
    ]
