"""Which regions of a scene are too small to be asked for, whatever its density."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from al3d.types import Scene
from al3d.units.voxel import VoxelUnit

#: Regions with less than this part of a scene's mean region are not asked for, and none with this many points is refused.
SMALL_PART, MOST_REFUSED = 0.05, 100


def smallest_asked(scene: Scene, seed: float) -> int:
    """The points that a region needs to be asked for, with seeds every `seed` metres: a twentieth of the mean one's, at least 1, at most 100.

    So it follows the spacing of the points: in dense rooms it is ReDAL's 100, in a sparse scan no more than what a speck has. Independent
    of the order of the points.
    """
    return min(MOST_REFUSED, max(1, int(SMALL_PART * len(scene) / regions_of(scene, seed))))


def regions_of(scene: Scene, seed: float) -> int:
    """About the number of supervoxels with seeds every `seed` metres: the cubes of that size with a twentieth of the mean one's points."""
    # half a cell off, so that a noisy wall or floor at the lowest coordinate lies within cells and not on their border
    shifted = replace(scene, xyz=(scene.xyz - scene.xyz.min(axis=0) + np.float32(seed / 2)).astype(np.float32))
    size = np.bincount(VoxelUnit(seed)(shifted).unit)
    return int(np.count_nonzero(size >= SMALL_PART * size.mean()))
