"""Fewer scenes to choose from: frames of a drive that look like the one before are left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from al3d.types import F32, I64, FeatureExtractor


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
