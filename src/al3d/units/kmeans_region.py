"""Regions of nearly equal size (constrained k-means) as units."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from al3d.geometry.balanced import assign, means, plus_plus
from al3d.rng import generator
from al3d.types import Partition, Scene
from al3d.units.order import by_first_appearance, canonical_order


def size_bounds(points: int, regions: int, tolerance: float) -> tuple[int, int]:
    """The fewest and the most points of a region when `points` >= `regions` points are cut into `regions`.

    These are floor((1 - tolerance) points / regions) and floor((1 + tolerance) points / regions), widened where no such sizes exist (few
    points): the fewest are at least 1, the most at least ceil(points / regions).
    """
    mean, share = Fraction(points, regions), Fraction(str(tolerance))
    return max(1, int((1 - share) * mean)), max(int((1 + share) * mean), -(-points // regions))


@dataclass(frozen=True)
class KMeansRegion:
    """`regions` regions per scene by k-means on xyz, each within `tolerance` of the mean size; every point belongs to one.

    A start by k-means++, then `iterations` times an assignment and new centres, then the final assignment. Each assignment is
    the exact optimum under `size_bounds`. What it minimises is the sum of distances, as in LiDAL's library, or with
    `squared` that of their squares, which is k-means proper. A scene with fewer points than `regions` has a region per point. `rng`
    starts the random draws. Ids follow the first point of each region by (x, y, z), so they do not depend on the order of the points
    (but for points equal in place and attributes).
    Raises: ValueError for regions < 1, a tolerance outside 0..1 or iterations < 0.
    Source: LiDAL (ECCV 2022): 20 regions, 0.05, one iteration, in its code, where k-means-constrained (Bradley et al. 2000) rounds
    distances to millimetres; here they are not rounded, and k-means++ draws other numbers, so the regions are not those of its
    files (docs/fidelity.md D-62).
    """

    regions: int = 20
    tolerance: float = 0.05
    iterations: int = 1
    squared: bool = False
    rng: int = 0

    def __post_init__(self) -> None:
        if self.regions < 1:
            raise ValueError(f"regions = {self.regions}: a scene needs at least one region")
        if not 0 <= self.tolerance <= 1:
            raise ValueError(f"tolerance = {self.tolerance}: the allowed deviation from the mean size is a fraction, 0..1")
        if self.iterations < 0:
            raise ValueError(f"iterations = {self.iterations}: use 0 to keep the first centres")

    @property
    def name(self) -> str:
        return f"kmeans-{self.regions}"

    @property
    def stored(self) -> bool:
        return True

    @property
    def kinds(self) -> tuple[str, ...]:
        return ("region",)

    def __call__(self, scene: Scene) -> Partition:
        order = canonical_order(scene)
        low, high = scene.xyz.min(axis=0).astype(np.float64), scene.xyz.max(axis=0).astype(np.float64)
        points = scene.xyz[order] - (low + high) / 2
        count = min(self.regions, len(points))
        fewest, most = size_bounds(len(points), count, self.tolerance)
        centres = plus_plus(points, count, generator("k-means regions", self.rng))
        for _ in range(self.iterations):
            centres = means(points, assign(points, centres, fewest, most, self.squared), count)
        unit = np.empty(len(points), np.int32)
        unit[order] = by_first_appearance(assign(points, centres, fewest, most, self.squared))
        return Partition(unit)
