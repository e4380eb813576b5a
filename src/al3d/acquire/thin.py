"""Fewer scenes to choose from: frames of a drive that look like the one before are left out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numba
import numpy as np

from al3d.types import F32, I64, Bool, FeatureExtractor

#: Halvings of the cosines -1..1 in search of a threshold: the answer is exact to 2^-23.
HALVINGS = 24


class Thinner(Protocol):
    """Says which scenes of a pool stay. Only scenes that belong to a sequence can leave.

    `features` is what it compares; each scene's is the mean over its views.
    """

    @property
    def features(self) -> FeatureExtractor: ...
    def wanted(self, sequences: Sequence[str | None]) -> bool:
        """Whether this pool must be described and thinned at all; else all scenes stay."""
        ...

    def __call__(self, feature: F32, sequences: Sequence[str | None], frames: Sequence[int | None]) -> I64:
        """The indices of the scenes that stay, sorted; `feature` f32[S,D]."""
        ...


@dataclass(frozen=True)
class Sparsify:
    """Cut every drive into segments of frames that resemble the segment's first one, and keep a frame of each.

    The frames of a sequence are taken in order. A segment goes on while the cosine between its first frame and the next is above
    `threshold`; the first frame that is not starts another. `keep` "first" keeps the first frame of every segment; "middle" frame
    floor((r + j) / 2) of a segment [r, j), of the last segment of a sequence only with `keep_tail`. Should nothing be left, because every
    sequence is one segment and tails are dropped, the middle frame of each stays. Scenes without a sequence always stay.
    `threshold` null: one that leaves at most `at_most` scenes, and at most a fraction `share` of the frames of sequences. It is found by
    halving -1..1, so that a threshold 2^-23 higher leaves more; where even -1 leaves more, that is taken. Then a pool of no more scenes stays
    whole and is not described.
    `center` takes the mean of all scenes off before cosines are formed.
    Time: one cosine per frame and threshold.
    Raises: ValueError for a threshold outside -1..1, an unknown `keep`, or `at_most` below 1.
    Source: SeedAL's sparsification of SemanticKITTI with CLS features; its paper keeps the first frame, its code the middle one and never
    the tail (docs/fidelity.md D-05). That few scenes may be asked for instead of a threshold is ours: how alike two frames are depends on
    the features.
    """

    features: FeatureExtractor
    threshold: float | None = 0.75
    keep: str = "middle"
    keep_tail: bool = False
    at_most: int = 1000
    share: float = 1.0
    center: bool = False

    def __post_init__(self) -> None:
        if self.threshold is not None and not -1 <= self.threshold <= 1:
            raise ValueError(f"thin.threshold={self.threshold} is a cosine, -1..1: set 0.75, or null to keep at most thin.at_most scenes")
        if self.keep not in ("first", "middle"):
            raise ValueError(f"thin.keep={self.keep!r} is not one of first, middle")
        if self.at_most < 1:
            raise ValueError(f"thin.at_most={self.at_most}: keep 1 scene or more")
        if not 0 < self.share <= 1:
            raise ValueError(f"thin.share={self.share} is the fraction of frames that may stay, 0..1: 1 for all")

    def wanted(self, sequences: Sequence[str | None]) -> bool:
        """Whether frames can leave: there are sequences and, without a threshold, more scenes than may stay."""
        frames = sum(name is not None for name in sequences)
        return frames > 0 and (self.threshold is not None or len(sequences) > self._room(frames, len(sequences) - frames))

    def __call__(self, feature: F32, sequences: Sequence[str | None], frames: Sequence[int | None]) -> I64:
        if not self.wanted(sequences):
            return np.arange(len(sequences))
        alone = np.flatnonzero([name is None for name in sequences])
        order, sequence = _in_order(sequences, frames)
        direction = _directions(feature, self.center)[order]
        threshold = self._most(direction, sequence, len(alone)) if self.threshold is None else self.threshold
        return np.sort(np.concatenate([alone, order[self._kept(direction, sequence, threshold)]]))

    def _most(self, direction: F32, sequence: I64, alone: int) -> float:
        """The largest threshold that leaves no more scenes than may stay, `alone` of them in any case."""

        def few(threshold: float) -> bool:
            return alone + len(self._kept(direction, sequence, threshold)) <= self._room(len(sequence), alone)

        low, high = -1.0, 1.0
        if few(high):
            return high
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if few(middle) else (low, middle)
        return low

    def _room(self, frames: int, alone: int) -> int:
        """How many scenes may stay of so many frames and `alone` others."""
        return min(self.at_most, alone + max(1, math.floor(self.share * frames)))

    def _kept(self, direction: F32, sequence: I64, threshold: float) -> I64:
        """The rows that stay of frames in order."""
        starts = np.flatnonzero(_starts(direction, sequence, threshold))
        if self.keep == "first":
            return starts
        ends = np.r_[starts[1:], len(sequence)]
        middle = (starts + ends) // 2
        tail = np.r_[sequence[starts[1:]] != sequence[starts[:-1]], True]
        return np.asarray(middle if self.keep_tail or tail.all() else middle[~tail])


def _in_order(sequences: Sequence[str | None], frames: Sequence[int | None]) -> tuple[I64, I64]:
    """The scenes of sequences, by sequence and frame, and a number per sequence in that order; frames without a number come first, as they stand."""
    place = [index for index, name in enumerate(sequences) if name is not None]
    place.sort(key=lambda index: (str(sequences[index]), -1 if frames[index] is None else frames[index]))
    order = np.array(place, dtype=np.int64)
    _, number = np.unique([str(sequences[index]) for index in place], return_inverse=True)
    return order, number.astype(np.int64)


def _directions(feature: F32, center: bool) -> F32:
    """The rows f32[S,D] at length 1, after their mean was taken off if `center`; a row of zeros stays."""
    rows = feature - feature.mean(axis=0, dtype=np.float64).astype(np.float32) if center else feature
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    return np.asarray(rows / np.where(length > 0, length, 1)[:, None].astype(np.float32), dtype=np.float32)


@numba.njit(cache=True, fastmath={"reassoc", "contract", "nsz"})
def _cosine(one: F32, other: F32) -> float:
    total, zero = np.float64(0), True
    for column in range(len(one)):
        total += np.float64(one[column]) * np.float64(other[column])
        zero = zero and one[column] == 0 and other[column] == 0
    return 1.0 if zero else min(total, 1.0)


@numba.njit(cache=True)
def _starts(direction: F32, sequence: I64, threshold: float) -> Bool:
    """Whether each row starts a segment."""
    result = np.zeros(len(sequence), np.bool_)
    reference = 0
    for row in range(len(sequence)):
        if row == 0 or sequence[row] != sequence[reference] or _cosine(direction[reference], direction[row]) <= threshold:
            result[row] = True
            reference = row
    return result
