"""Disagreement between frames of one drive: what the network says about a place should not depend on from where it was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np

from al3d.acquire.score import Score
from al3d.geometry.matching import Near, index_points, nearest_within
from al3d.types import F32, F64, I32, I64, View


@dataclass(frozen=True)
class InterFrame(Score):
    """Two scores: inter-frame divergence, then inter-frame entropy, f32[N,2].

    A point's matches are the points of `2 * frames` neighbouring frames nearest to it in the world, at most `distance` metres away, one
    per frame. Divergence: the mean generalised Kullback-Leibler divergence KL(p + 1e-5 || q + 1e-5) from the point's probabilities to
    those of its matches, 0 without matches; entropy (nats): that of the mean of p and all q.
    Source: LiDAL (ECCV 2022), as in its code: 12 frames before and 12 after, further ones on the other side at an end of a drive.
    Raises: ValueError when a drive has fewer frames than that needs.
    """

    frames: int = 12
    distance: float = 0.1

    def __post_init__(self) -> None:
        if self.frames < 1 or not self.distance > 0:
            raise ValueError(f"inter-frame scores need frames >= 1 and distance > 0 m, got {self.frames}, {self.distance}")

    @property
    def context(self) -> int:
        """Frames before and after."""
        return self.frames

    def __call__(self, view: View) -> F32:
        return divergence_and_entropy(view, view.neighbours, self.distance)


def divergence_and_entropy(view: View, neighbours: Sequence[View], distance: float) -> F32:
    """The two scores of `InterFrame` for one frame against others: f32[N,2]."""
    own = _points(view)
    place = world_of(view)
    divergence, total, matches = np.zeros(len(own), np.float32), own.copy(), np.zeros(len(own), np.int32)
    for other in neighbours:
        found = nearest_within(_indexed(other, distance), place)
        if other.inverse is None:
            raise ValueError(f"scene {other.scene.id!r}: the neighbour of {view.scene.id!r} was not predicted")
        _compare(own, np.ascontiguousarray(other.predicted()), other.inverse, found, divergence, total, matches)
    mean = total / (1 + matches)[:, None]
    mean /= mean.sum(axis=1, keepdims=True)
    entropy = -(mean * np.log(np.maximum(mean, 1e-12))).sum(axis=1)
    return np.stack([divergence / np.maximum(matches, 1), np.maximum(entropy, 0)], axis=1).astype(np.float32)


def world_of(view: View) -> F64:
    """The points of a frame in the world of its drive, f64[N,3]."""
    scene = view.scene
    local = scene.xyz.astype(np.float64) + scene.origin
    return np.asarray(local @ scene.pose[:3, :3].T + scene.pose[:3, 3])


def _indexed(view: View, distance: float) -> Near:
    """The frame's points, indexed; kept beside the view while it is in the window, since up to 2c frames ask for it."""
    if distance not in view.indexed:
        view.indexed[distance] = index_points(world_of(view), distance)
    index: Near = view.indexed[distance]
    return index


def _points(view: View) -> F32:
    prob = view.predicted()
    return np.ascontiguousarray(prob[view.inverse], dtype=np.float32)


@numba.njit(parallel=True, cache=True)
def _compare(own: F32, prob: F32, inverse: I64, found: I32, divergence: F32, total: F32, matches: I32) -> None:
    """Add one neighbour's part to the sums of every point that it matches."""
    for point in numba.prange(len(own)):
        if found[point] < 0:
            continue
        voxel = inverse[found[point]]
        summed = np.float32(0)
        for label in range(own.shape[1]):
            p, q = own[point, label] + np.float32(1e-5), prob[voxel, label] + np.float32(1e-5)
            summed += p * np.log(p / q) - p + q
            total[point, label] += prob[voxel, label]
        divergence[point] += summed
        matches[point] += 1
