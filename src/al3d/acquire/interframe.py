"""Disagreement between frames of one drive: what the network says about a place should not depend on from where it was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np

from al3d.acquire.score import Score
from al3d.geometry.matching import Near, index_points, nearest_within
from al3d.types import F32, F64, I32, I64, View

#: Added to every probability, so that none is zero where it is divided by.
EPSILON = np.float32(1e-5)


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
    own = _indexed(view, distance)
    place = world_of(view)
    total = own.prob[own.inverse]
    divergence, matches = np.zeros(len(total), np.float32), np.zeros(len(total), np.int32)
    for neighbour in neighbours:
        other = _indexed(neighbour, distance)
        found = nearest_within(other.near, place)
        _compare(own.prob, own.log, own.inverse, other.prob, other.log, other.inverse, found, divergence, total, matches)
    mean = np.maximum(total / (1 + matches)[:, None].astype(np.float32) - EPSILON, 0)
    mean /= mean.sum(axis=1, keepdims=True)
    entropy = -(mean * np.log(np.maximum(mean, 1e-12))).sum(axis=1)
    return np.stack([divergence / np.maximum(matches, 1), np.maximum(entropy, 0)], axis=1).astype(np.float32)


def world_of(view: View) -> F64:
    """The points of a frame in the world of its drive, f64[N,3]."""
    return view.scene.in_world(view.scene.xyz)


@dataclass(frozen=True, eq=False)
class _Frame:
    """A frame as others look at it: its points, indexed, and `prob` f32[V,C] + 1e-5 of its voxels with `log` of it; `inverse` i64[N]."""

    near: Near
    prob: F32
    log: F32
    inverse: I64


def _indexed(view: View, distance: float) -> _Frame:
    """The frame, indexed; kept beside the view while it is in the window, since up to 2c frames ask for it."""
    if distance not in view.indexed:
        prob = view.predicted().astype(np.float32) + EPSILON
        view.indexed[distance] = _Frame(index_points(world_of(view), distance), prob, np.log(prob), np.asarray(view.inverse, np.int64))
    frame: _Frame = view.indexed[distance]
    return frame


@numba.njit(parallel=True, cache=True)
def _compare(own: F32, own_log: F32, voxel_of: I64, prob: F32, log: F32, inverse: I64, found: I32, divergence: F32, total: F32, matches: I32) -> None:
    """Add one neighbour's part to the sums of every point that it matches."""
    for point in numba.prange(len(found)):
        if found[point] < 0:
            continue
        here, there = voxel_of[point], inverse[found[point]]
        summed = np.float32(0)
        for label in range(own.shape[1]):
            p, q = own[here, label], prob[there, label]
            summed += p * (own_log[here, label] - log[there, label]) - p + q
            total[point, label] += q
        divergence[point] += summed
        matches[point] += 1
