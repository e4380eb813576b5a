"""Photographs where there are any, else drawn pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from al3d.features.pictures import Views
from al3d.types import U8, Scene


@dataclass(frozen=True)
class AnyViews:
    """The scene's `photographs` where it has some and all their files are there; where it has none, or none was kept, `drawn` ones.

    Photographs and drawings are not comparable with each other: of a data set in which only some scenes have photographs, choose one kind for all.
    """

    photographs: Views
    drawn: Views

    def check(self, scene: Scene) -> None:
        """As the way that this scene is shown. Raises: FileNotFoundError when some of its photographs are there and others are gone."""
        self._way(scene).check(scene)

    def __call__(self, scene: Scene) -> Sequence[U8]:
        return self._way(scene)(scene)

    def _way(self, scene: Scene) -> Views:
        there = [image.path is not None and image.path.is_file() for image in scene.images]
        return self.photographs if any(there) else self.drawn
