"""Cubic cells of a fixed grid as units."""

from __future__ import annotations

from dataclasses import dataclass

from al3d.types import Partition, Scene
from al3d.units.cells import cell_ids, check_size


@dataclass(frozen=True)
class VoxelUnit:
    """The occupied cells floor(xyz / size) of a grid through the scene's origin; ids in the order of (x, y, z). `size` in metres.

    Raises: ValueError when size is not positive, or so small that the scene's cells cannot be counted.
    """

    size: float

    def __post_init__(self) -> None:
        check_size(self.size, "voxel")

    @property
    def name(self) -> str:
        return f"voxel-{self.size:g}"

    @property
    def stored(self) -> bool:
        return True

    @property
    def kinds(self) -> tuple[str, ...]:
        return ("voxel",)

    def __call__(self, scene: Scene) -> Partition:
        return Partition(cell_ids(scene.xyz, self.size, scene.id, "voxel"))
