"""What sources of one kind have in common: which attributes their points have."""

from __future__ import annotations

from collections.abc import Mapping


class Coloured:
    """Points with colours; lengths belong to the experiment."""

    @property
    def features(self) -> tuple[str, ...]:
        """Colours, 0..1."""
        return ("red", "green", "blue")

    @property
    def scale(self) -> Mapping[str, float]:
        """No lengths: they belong to the experiment."""
        return {}


class Scanned:
    """Points with the intensity of a scanner's echo; lengths belong to the experiment."""

    @property
    def features(self) -> tuple[str, ...]:
        """Intensity."""
        return ("intensity",)

    @property
    def scale(self) -> Mapping[str, float]:
        """No lengths: they belong to the experiment."""
        return {}
