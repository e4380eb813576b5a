"""Entropy of predicted classes: how mixed a region looks to the network, whatever its confidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from al3d.acquire.score import Score
from al3d.types import F32, F64, I64, Array, Partitioner, View


@dataclass(frozen=True)
class SegmentEntropy(Score):
    """Entropy (bits) of the predicted classes within each region of `regions`; a point has its region's value.

    Points in no region have the mean over the points that are in one, so that a scene's mean is the point-weighted mean over regions.
    Source: SEGENT as in LiDAL's code: summed over classes, point-weighted, all classes of the data set (docs/fidelity.md D-15, D-16).
    """

    regions_of: Partitioner

    @property
    def regions(self) -> tuple[Partitioner, ...]:
        """The partition that it reads beside the units."""
        return (self.regions_of,)

    def __call__(self, view: View) -> F32:
        region = view.regions[self.regions_of]
        inside = region >= 0
        entropy = vote_entropy(_votes(view), region) / np.log(2)
        value = np.full(len(region), entropy[region[inside]].mean() if inside.any() else 0.0)
        value[inside] = entropy[region[inside]]
        return value.astype(np.float32)


@dataclass(frozen=True)
class VoxelConfusion(Score):
    """Entropy (nats) of the predicted classes within each query unit. Source: Annotator's voxel confusion degree (NeurIPS 2023)."""

    def __call__(self, view: View) -> F32:
        value = np.zeros(len(view.unit), np.float32)
        inside = view.unit >= 0
        value[inside] = vote_entropy(_votes(view), view.unit)[view.unit[inside]]
        return value


def vote_entropy(votes: I64, group: Array) -> F64:
    """The entropy in nats of the classes i64[N] that the points of each group [N] (-1: none) vote for: f64[groups]."""
    inside = group >= 0
    groups, classes = int(group.max(initial=-1)) + 1, int(votes.max(initial=0)) + 1
    counts = np.bincount(group[inside].astype(np.int64) * classes + votes[inside], minlength=groups * classes).reshape(groups, classes)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return np.asarray(np.maximum(-(share * np.log(np.maximum(share, 1e-12))).sum(axis=1), 0))


def _votes(view: View) -> I64:
    """The predicted class of every point, i64[N]."""
    prob = view.predicted()
    return np.asarray(prob.argmax(axis=1)[view.inverse])
