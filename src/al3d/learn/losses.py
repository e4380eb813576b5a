"""Losses over the voxels whose label is known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from al3d.types import IGNORE


@dataclass(frozen=True)
class CrossEntropy:
    """Mean cross-entropy over labelled voxels: logits f32[V,C], label i64[V] -> scalar.

    Without a labelled voxel the result is `logits.sum() * 0`: a zero gradient that keeps ranks in step, where the published code
    gives NaN (docs/fidelity.md D-44).
    """

    label_smoothing: float = 0.0

    def __call__(self, logits: Tensor, label: Tensor) -> Tensor:
        if not bool((label != IGNORE).any()):
            return logits.sum() * 0
        return functional.cross_entropy(logits.float(), label, ignore_index=IGNORE, label_smoothing=self.label_smoothing)


def known_share(label: Tensor) -> Tensor:
    """The fraction of voxels with a known label."""
    return (label != IGNORE).to(torch.float32).mean()
