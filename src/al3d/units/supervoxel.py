"""Supervoxels (VCCS) as units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from al3d.geometry.vccs import check_sizes, vccs
from al3d.types import F32, I32, Partition, Scene
from al3d.units.smallest import smallest_asked


@dataclass(frozen=True)
class Supervoxel:
    """Regions that keep to colour and shape, as ReDAL and its successors query them.

    `voxel` and `seed` in metres; `colour`, `spatial` and `normal` weigh the distance; regions under `minimum_points` points get -1, where "auto"
    means a twentieth of the points of the scene's mean region, at most 100 (`smallest_asked`).
    Colour is the scene's first three attributes (zeros when it has fewer). Ids follow the Morton order of the regions' seeds, so they do
    not depend on the order of the points.
    Raises: ValueError for parameters that make no sense (see `al3d.geometry.vccs`).
    Source: Papon et al. 2013; ReDAL (ICCV 2021) prunes at 100 points at any density (docs/fidelity.md D-33) and numbers regions by first appearance
    in the file instead.
    """

    #: Version 2 rounds lengths to float32, as PCL does.
    VERSION: ClassVar[int] = 2

    voxel: float
    seed: float
    colour: float = 0.5
    spatial: float = 0.5
    normal: float = 0.0
    minimum_points: int | Literal["auto"] = 100

    def __post_init__(self) -> None:
        check_sizes(self.voxel, self.seed, self.colour, self.spatial, self.normal)
        if self.minimum_points != "auto" and (not isinstance(self.minimum_points, int) or self.minimum_points < 0):
            raise ValueError(f"minimum_points = {self.minimum_points}: use auto, or a whole number of points (0 keeps every region)")

    @property
    def name(self) -> str:
        return f"supervoxel-{self.voxel:g}-{self.seed:g}"

    @property
    def stored(self) -> bool:
        return True

    @property
    def kinds(self) -> tuple[str, ...]:
        return ("supervoxel",)

    def __call__(self, scene: Scene) -> Partition:
        label = vccs(scene.xyz, _colour(scene), self.voxel, self.seed, self.colour, self.spatial, self.normal)
        return Partition(dense(label, smallest_asked(scene, self.seed) if self.minimum_points == "auto" else self.minimum_points))


def _colour(scene: Scene) -> F32:
    if scene.feat.shape[1] >= 3:
        return np.ascontiguousarray(scene.feat[:, :3])
    return np.zeros_like(scene.xyz)


def dense(label: I32, minimum_points: int) -> I32:
    """Renumber labels 1.. to ids 0.. in the same order without gaps; 0 and labels with fewer than `minimum_points` points become -1."""
    size = np.bincount(label)
    kept = (size >= max(1, minimum_points)) & (np.arange(len(size)) > 0)
    number = np.where(kept, np.cumsum(kept) - 1, -1).astype(np.int32)
    ids: I32 = number[label]
    return ids
