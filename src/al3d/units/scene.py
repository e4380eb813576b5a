"""The whole scene as one unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from al3d.types import Partition, Scene


@dataclass(frozen=True)
class SceneUnit:
    """One unit per scene: every point has id 0."""

    @property
    def name(self) -> str:
        return "scene"

    @property
    def stored(self) -> bool:
        return False

    @property
    def kinds(self) -> tuple[str, ...]:
        return ("scene",)

    def __call__(self, scene: Scene) -> Partition:
        return Partition(np.zeros(len(scene), np.int32))
