"""Every point as its own unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from al3d.types import Partition, Scene


@dataclass(frozen=True)
class PointUnit:
    """One unit per point: the id of a point is its place in the scene, so here alone ids follow the order of the points."""

    @property
    def name(self) -> str:
        return "point"

    @property
    def stored(self) -> bool:
        return False

    @property
    def kinds(self) -> tuple[str, ...]:
        return ("point",)

    def __call__(self, scene: Scene) -> Partition:
        return Partition(np.arange(len(scene), dtype=np.int32))
