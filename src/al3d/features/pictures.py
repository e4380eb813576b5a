"""Features of a scene's pictures: photographs where there are any, drawn from the points where there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from al3d.types import F32, I32, U8, Scene

TOKENS = ("views", "patches", "auto")


class Views(Protocol):
    """Pictures of a scene, u8[H,W,3] each; a frozen dataclass, a pure function of the scene and its own fields."""

    def check(self, scene: Scene) -> None:
        """Refuse a scene without pictures, without reading any. Raises: ValueError or FileNotFoundError."""
        ...

    def __call__(self, scene: Scene) -> Sequence[U8]:
        """At least one picture, always in the same order."""
        ...


class Encoder(Protocol):
    """Turns pictures into features; a frozen dataclass.

    `fingerprint` names the content of any weights, for the hash of kept files; `parallel` as `FeatureExtractor`.
    """

    @property
    def fingerprint(self) -> str: ...
    @property
    def parallel(self) -> bool: ...
    def check(self) -> None:
        """Refuse before any work what cannot be run: missing weights or packages. Raises: ValueError, FileNotFoundError."""
        ...

    def __call__(self, pictures: Sequence[U8]) -> F32:
        """One feature per picture: f32[len(pictures),D]."""
        ...

    def patches(self, picture: U8) -> F32:
        """One feature per patch of one picture: f32[patches,D]."""
        ...


@dataclass(frozen=True)
class Pictures:
    """The features of a scene's pictures, one row per picture, or per patch of its only one.

    `tokens` "views": a row per picture; "patches": the patches of the first picture; "auto": patches when there is one picture, so
    that a scene with a single photograph still has several things to compare. `center` is for those who compare the features: their
    cosines mean something only after the pool's mean was taken off (it changes nothing here).
    Source: SeedAL describes a room by one feature per image and a LiDAR frame by the patches of its one image.
    """

    name: str
    views: Views
    encoder: Encoder
    tokens: str = "auto"
    center: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        if self.tokens not in TOKENS:
            raise ValueError(f"features.tokens={self.tokens!r} is not one of {', '.join(TOKENS)}")

    @property
    def identity(self) -> object:
        """The pictures, how they are encoded, and the content of the encoder's weights."""
        return ["Pictures", self.views, self.encoder, self.encoder.fingerprint, self.tokens]

    @property
    def parallel(self) -> bool:
        """As the encoder."""
        return self.encoder.parallel

    @property
    def of(self) -> None:
        """It reads the scene itself."""
        return None

    def check(self, scene: Scene) -> None:
        """Refuse a scene without pictures, and an encoder that cannot run."""
        self.encoder.check()
        self.views.check(scene)

    def __call__(self, scene: Scene, inner: F32 | None = None) -> F32:
        pictures = self.views(scene)
        if self.tokens == "patches" or (self.tokens == "auto" and len(pictures) == 1):
            return self.encoder.patches(pictures[0])
        return self.encoder(pictures)

    def of_units(self, scene: Scene, unit: I32) -> F32:
        """Refused: a picture shows a whole scene."""
        raise ValueError(f"scene {scene.id!r}: {self.name} features describe whole scenes, not units: set features=geometry, or unit@seed.unit=scene")
