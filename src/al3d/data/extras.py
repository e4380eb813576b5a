"""Per-point numbers that are computed once per scene and kept in the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from al3d.geometry.features import colour_discontinuity, surface_variation
from al3d.types import F32, Scene


class Extra(Protocol):
    """Numbers f32[N] of a scene's points: a frozen dataclass, a pure function of the scene and its own fields.

    `needs` names the features that the scene must have, in the order of its first columns.
    """

    @property
    def name(self) -> str:
        """The key in `Scene.extra`."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """Features of the first columns."""
        ...

    def __call__(self, scene: Scene) -> F32:
        """Finite numbers, one per point."""
        ...


@dataclass(frozen=True)
class SurfaceVariation:
    """How far from flat the surface is around each point, from its nearest `neighbours`; cut off at `clip`."""

    neighbours: int = 50
    clip: float | None = None

    @property
    def name(self) -> str:
        """The key in `Scene.extra`."""
        return "surface_variation"

    @property
    def needs(self) -> tuple[str, ...]:
        """Coordinates are enough."""
        return ()

    def __call__(self, scene: Scene) -> F32:
        """Surface variation f32[N]."""
        return surface_variation(scene.xyz, self.neighbours, self.clip)


@dataclass(frozen=True)
class ColourDiscontinuity:
    """How much the colour changes around each point, from its nearest `neighbours`; cut off at `clip`."""

    neighbours: int = 50
    clip: float | None = 0.1

    @property
    def name(self) -> str:
        """The key in `Scene.extra`."""
        return "colour_discontinuity"

    @property
    def needs(self) -> tuple[str, ...]:
        """Colours, in the first three columns."""
        return ("red", "green", "blue")

    def __call__(self, scene: Scene) -> F32:
        """Colour discontinuity f32[N]."""
        return colour_discontinuity(scene.xyz, scene.feat[:, :3], self.neighbours, self.clip)
