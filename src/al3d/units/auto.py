"""Supervoxels whose lengths fit the scene: for data of your own, without tuning."""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
from scipy.spatial import cKDTree

from al3d.progress import console
from al3d.run import first_process
from al3d.types import F32, Bool, Partition, Scene
from al3d.units.smallest import regions_of, smallest_asked
from al3d.units.supervoxel import Supervoxel

#: The usual seed is kept while it gives between a third of and three times the wanted number of regions.
KEPT = 3.0
#: A seed is between so many voxels wide: below, regions are blocks of voxels; above, growing them takes long.
NARROWEST, WIDEST = 5.0, 50.0
#: Voxels of fewer point spacings than this do not touch each other.
CONNECTED = 2.5
#: A scan from one place: its outer quarter is sparser than its inner one by at least this factor.
SPARSER = 3.0
#: About so many points are asked for their spacing.
SAMPLE = 20_000
#: No seed is tried below this part of the scene's extent.
FINEST = 500


@dataclass(frozen=True)
class Auto:
    """Supervoxels of the data set's lengths where those suit the scene, else of lengths that do.

    `voxel` and `seed` (metres) are the data set's usual lengths; they stay, so that the regions of all scenes are alike, while the scene has
    between a third of and three times `regions` regions. Else the seed becomes that of 1, 2, 5, 10, ... which comes closest to
    `regions`, and the voxel the nearest length of which a seed is 5 to 50 wide. Voxels so fine that they would not touch grow to five
    point spacings; in scans whose spacing grows with the distance, to five times the spacing that 9 of 10 points keep. Regions with
    less than a twentieth of the mean region's points (at most 100) get -1. What was picked is printed, each choice once per process,
    and listed by `al3d units --unit auto`.
    Raises: ValueError for lengths that make no sense, or fewer than one region.
    """

    VERSION: ClassVar[int] = 1

    voxel: float
    seed: float
    regions: int = 100
    colour: float = 0.5
    spatial: float = 0.5
    normal: float = 0.0

    def __post_init__(self) -> None:
        Supervoxel(self.voxel, self.seed, self.colour, self.spatial, self.normal)
        if self.regions < 1:
            raise ValueError(f"regions = {self.regions}: a scene needs at least one region")

    @property
    def name(self) -> str:
        return "auto"

    @property
    def stored(self) -> bool:
        return True

    @property
    def kinds(self) -> tuple[str, ...]:
        return ("supervoxel",)

    def __call__(self, scene: Scene) -> Partition:
        unit = self.chosen(scene)
        if first_process() and multiprocessing.parent_process() is None:
            _say(f"unit=auto picks supervoxels on voxels of {unit.voxel:g} m with seeds every {unit.seed:g} m")
        return unit(scene)

    def chosen(self, scene: Scene) -> Supervoxel:
        """The partitioner for this scene; independent of the order of its points."""
        voxel, least = fitting_voxel(scene.xyz, self.voxel)
        seed = max(self._seed(scene, NARROWEST * least), NARROWEST * least)
        voxel = max(least, min(max(voxel, seed / WIDEST), seed / NARROWEST))
        return Supervoxel(_short(voxel), _short(seed), self.colour, self.spatial, self.normal, smallest_asked(scene, seed))

    def _seed(self, scene: Scene, least: float) -> float:
        if self.regions / KEPT <= regions_of(scene, self.seed) <= self.regions * KEPT:
            return self.seed
        return fitting_seed(scene, self.regions, nearest_step(self.seed), least)


def fitting_voxel(xyz: F32, usual: float) -> tuple[float, float]:
    """The voxel in metres for points xyz f32[N,3], and the least for which voxels still touch.

    It is `usual`, or more when such voxels would not touch, and in a scan whose spacing grows with the distance: there, voxels of one length
    must bridge the gaps near and far.
    """
    if len(xyz) < 5:
        return usual, 0.0
    asked = xyz[sampled(xyz, SAMPLE)]
    distance = np.asarray(cKDTree(xyz, balanced_tree=False, compact_nodes=False).query(asked, k=5)[0], np.float64)
    first, fourth = distance[:, 1], distance[:, 4]
    least = CONNECTED * float(np.median(first))
    away = np.linalg.norm(asked - np.median(xyz, axis=0), axis=1)
    inner, outer = np.quantile(away, [0.25, 0.75])
    near, far = np.median(fourth[away <= inner]), np.median(fourth[away >= outer])
    spacing = float(np.quantile(first, 0.9 if far >= SPARSER * near else 0.5))
    if spacing == 0 or (usual >= least and far < SPARSER * near):
        return usual, least
    return max(usual, step(nearest_step(2 * CONNECTED * spacing))), least


def sampled(xyz: F32, count: int) -> Bool:
    """About `count` of the points, bool[N], chosen by their coordinates alone, so that their order does not matter; all when that picks none."""
    bits = np.ascontiguousarray(xyz).view(np.uint32).astype(np.uint64)
    mixed = (bits[:, 0] * np.uint64(0x9E3779B1) ^ bits[:, 1] * np.uint64(0x85EBCA77) ^ bits[:, 2] * np.uint64(0xC2B2AE3D)) * np.uint64(0x9E3779B97F4A7C15)
    chosen = (mixed >> np.uint64(32)) % np.uint64(max(1, len(xyz) // count)) == 0
    return np.asarray(chosen) if chosen.any() else np.ones(len(xyz), np.bool_)


def fitting_seed(scene: Scene, regions: int, start: int, least: float) -> float:
    """The step that gives a number of regions closest, by ratio, to `regions`; looked for from step `start` on, not below `least` metres."""
    extent = float(np.ptp(scene.xyz, axis=0).max())
    if extent == 0:
        return step(start)
    direction = 1 if regions_of(scene, step(start)) > regions else -1
    place, tried = start, {}
    while True:
        count = regions_of(scene, step(place))
        tried[place] = abs(float(np.log(count / regions)))
        beyond = count <= regions if direction > 0 else count >= regions or step(place - 1) < max(least, extent / FINEST)
        if beyond:
            return step(min(tried, key=lambda place: (tried[place], abs(place - start))))
        place += direction


def step(place: int) -> float:
    """The lengths ..., 0.1, 0.2, 0.5, 1 (place 0), 2, 5, ... in metres."""
    return float(f"{(1, 2, 5)[place % 3]}e{place // 3}")


def nearest_step(length: float) -> int:
    """The place of the step nearest to a length by ratio."""
    first = 3 * int(np.floor(np.log10(length)))
    return min(range(first, first + 4), key=lambda place: abs(np.log(step(place) / length)))


def _short(length: float) -> float:
    return float(f"{length:.3g}")


@cache
def _say(words: str) -> None:
    """Print each choice once in this process."""
    console.print(words, markup=False)
