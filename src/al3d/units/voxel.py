"""Cubic cells of a fixed grid as units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from al3d.types import F32, I32, Partition, Scene


@dataclass(frozen=True)
class VoxelUnit:
    """The occupied cells floor(xyz / size) of a grid through the scene's origin; ids in the order of (x, y, z). `size` in metres.

    Raises: ValueError when size is not positive, or so small that the scene's cells cannot be counted.
    """

    size: float

    def __post_init__(self) -> None:
        if not (self.size > 0 and np.isfinite(self.size)):
            raise ValueError(f"size = {self.size} m: the size of a voxel must be positive and finite")

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
        return Partition(_cells(scene.xyz, self.size, scene.id))


def _cells(xyz: F32, size: float, scene_id: str) -> I32:
    low = np.floor(xyz.min(axis=0).astype(np.float64) / size)
    span = np.floor(xyz.max(axis=0).astype(np.float64) / size) - low + 1
    if span.prod() >= 2.0**63 or np.abs(low).max() >= 2.0**52:
        raise ValueError(f"scene {scene_id!r}: {span.tolist()} voxels of {size} m are too many to number; use a larger size or check the units of the scene")
    key = np.zeros(len(xyz), np.int64)
    for axis in range(3):
        cell = np.floor(xyz[:, axis].astype(np.float64) / size) - low[axis]
        key = key * int(span[axis]) + cell.astype(np.int64)
    return np.unique(key, return_inverse=True)[1].astype(np.int32)
