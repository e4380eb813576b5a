"""Correcting what biased purchases do to predictions: logits shifted by the class shares that are wanted over those that were trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from al3d.sparse import Geometry
from al3d.types import F32, F64, Array

PRIOR = ("trained", "pool")
#: A class never gets a smaller share than this, so that no logit is shifted to infinity.
LEAST = 1e-4


def pool_shares(prob: F32, trained: Array, iterations: int = 200, tolerance: float = 1e-6) -> F64:
    """The class shares of a pool, f64[C], from what a network that was trained on classes of shares `trained` f64[C] predicts there, f32[V,C].

    Expectation maximisation: shares give probabilities, whose means are the next shares; no label of the pool is looked at. A class that was not
    trained on keeps a share of 0. Stops when no share moves by more than `tolerance`.
    Source: Saerens, Latinne and Decaestecker, "Adjusting the outputs of a classifier to new a priori probabilities", Neural Computation 2002.
    """
    known = np.asarray(trained, np.float64)
    ratio = np.divide(1.0, known, out=np.zeros_like(known), where=known > 0)
    shares = known / known.sum()
    for _ in range(iterations):
        weighed = prob * (shares * ratio)
        following = (weighed / np.maximum(weighed.sum(axis=1, keepdims=True), 1e-300)).mean(axis=0)
        following = following / following.sum()
        moved = float(np.abs(following - shares).max())
        shares = following
        if moved <= tolerance:
            break
    return np.asarray(shares)


def shift_of(wanted: Array, trained: Array, strength: float) -> list[float]:
    """What is added to the logit of each class: `strength` times the logarithm of the share wanted over the one trained; 0 for what was not trained."""
    wanted, trained = np.asarray(wanted, np.float64), np.asarray(trained, np.float64)
    known = trained > 0
    moved = strength * (np.log(np.maximum(wanted, LEAST)) - np.log(np.maximum(trained, LEAST)))
    return [float(value) for value in np.where(known, moved, 0.0)]


class Shifted(nn.Module):
    """A network whose logits have a constant per class added."""

    def __init__(self, net: nn.Module, shift: Sequence[float]) -> None:
        super().__init__()
        self.net, self.shift = net, tuple(shift)

    def forward(self, voxels: Any, feat: Tensor) -> Any:
        """The network's output, its logits shifted."""
        output = self.net(voxels, feat)
        return output._replace(logits=output.logits + torch.tensor(self.shift, dtype=output.logits.dtype, device=output.logits.device))

    @property
    def geometry(self) -> Callable[[Tensor], Geometry] | None:
        """How the network wants its voxels, if it says so."""
        return getattr(self.net, "geometry", None)
