"""Letting neighbouring voxels agree: probabilities averaged over near voxels, or over regions of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from al3d.geometry.neighbours import nearest
from al3d.geometry.vccs import vccs
from al3d.types import F32, I32

OVER = ("none", "neighbours", "supervoxels")


@dataclass(frozen=True)
class Smooth:
    """What a voxel's probabilities are averaged over, in units of voxels, so that no length depends on the data set.

    "neighbours": the `neighbours` nearest voxels, itself among them, `times` times; "supervoxels": regions grown from seeds every `seed` voxels by
    place alone; "none": nothing.
    Raises: ValueError for a wrong option.
    """

    over: str = "neighbours"
    neighbours: int = 4
    times: int = 1
    seed: float = 6.0

    def __post_init__(self) -> None:
        if self.over not in OVER:
            raise ValueError(f"net.smooth.over={self.over!r} is not one of {', '.join(OVER)}")
        if self.neighbours < 1 or self.times < 1 or not self.seed >= 2:
            raise ValueError(
                f"net.smooth.neighbours={self.neighbours}, net.smooth.times={self.times}: at least 1, and net.smooth.seed={self.seed}: at least 2 voxels"
            )

    def __call__(self, prob: F32, coord: I32) -> F32:
        """The averages f32[V,C] of probabilities f32[V,C] of one scene's voxels at coord i32[V,3]."""
        if self.over == "none" or len(coord) < 2:
            return prob
        place = np.ascontiguousarray(coord, np.float32)
        if self.over == "neighbours":
            near = nearest(place, min(self.neighbours, len(place)))
            for _ in range(self.times):
                prob = prob[near].mean(axis=1)
            return prob
        return over_regions(prob, vccs(place, np.zeros_like(place), 1.0, self.seed, 0.0, 1.0, 0.0))


def over_regions(prob: F32, region: I32) -> F32:
    """The mean of each region, for its voxels; those of region 0, which belong to none, keep theirs. Shapes: prob f32[V,C], region i32[V] -> f32[V,C]."""
    number = np.maximum(np.bincount(region), 1)
    means = np.stack([np.bincount(region, weights=column) for column in prob.T], axis=1) / number[:, None]
    return np.where((region > 0)[:, None], means[region], prob).astype(np.float32)
