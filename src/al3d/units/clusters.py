"""Objects found by density clustering, and cells of the ground, as units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from al3d.types import F32, F64, I32, I64, Bool, Partition, Scene
from al3d.units.binning import cluster_sizes
from al3d.units.cells import cell_ids, check_size
from al3d.units.ground import ground_points
from al3d.units.order import by_first_appearance, canonical_order

OBJECT, GROUND = 0, 1


@dataclass(frozen=True)
class SizedClusters:
    """Objects (kind 0) are clusters of the points off the ground, ground cells (kind 1) are squares of `cell` metres of the ground.

    Clusters by HDBSCAN with `min_cluster_size` and `min_samples` points and `epsilon` metres; noise, and clusters whose size
    round(length + width + height) is above `largest` metres (None: no limit), get -1. Ground by Patchwork++ for a scanner
    `sensor_height` metres up; a scene with one or two attributes has its intensity first, `full_intensity` being the most that occurs. Objects
    come first, in the order of their first point by (x, y, z), then cells in the order of (x, y), so ids do not depend on the order of
    the points (but for points equal in place and attributes). The frame must be the scanner's: elsewhere, as in rooms, little or no ground
    is found and walls join what stands at them; `ground: false` then clusters all points.
    Raises: ValueError for parameters that make no sense and for an intensity above `full_intensity`; ImportError without pypatchworkpp.
    Source: BaSAL (2024), whose unstated choices are: boxes along the axes, a grid through the sensor, noise never asked for.
    """

    min_cluster_size: int = 20
    min_samples: int = 10
    epsilon: float = 0.5
    cell: float = 10.0
    largest: float | None = 25.0
    sensor_height: float = 1.73
    full_intensity: float = 1.0
    ground: bool = True

    def __post_init__(self) -> None:
        check_size(self.cell, "ground cell")
        if self.min_cluster_size < 2 or self.min_samples < 1:
            raise ValueError(
                f"min_cluster_size = {self.min_cluster_size}, min_samples = {self.min_samples}: a cluster needs at least 2 points, a sample at least 1"
            )
        for name, value in (("epsilon", self.epsilon), ("sensor_height", self.sensor_height), ("largest", self.largest or 0.0)):
            if not 0 <= value < np.inf:
                raise ValueError(f"{name} = {value} m: must be finite and not negative")
        if not self.full_intensity > 0:
            raise ValueError(f"full_intensity = {self.full_intensity}: must be positive, usually 1 or 255")

    @property
    def name(self) -> str:
        return f"clusters-{self.min_cluster_size}-{self.min_samples}-{self.epsilon:g}"

    @property
    def stored(self) -> bool:
        return True

    @property
    def kinds(self) -> tuple[str, ...]:
        return ("object", "ground")

    def __call__(self, scene: Scene) -> Partition:
        order = canonical_order(scene)
        xyz = scene.xyz[order]
        ground = ground_points(xyz, self._intensity(scene, order), self.sensor_height) if self.ground else np.zeros(len(xyz), np.bool_)
        sorted_unit, objects = self._units(xyz, ground, scene.id)
        unit = np.empty(len(scene), np.int32)
        unit[order] = sorted_unit
        kind = np.full(int(unit.max()) + 1, GROUND, np.uint8)
        kind[:objects] = OBJECT
        return Partition(unit, kind)

    def _intensity(self, scene: Scene, order: I64) -> F32 | None:
        if scene.feat.shape[1] not in (1, 2):
            return None
        intensity: F32 = scene.feat[order, 0] / np.float32(self.full_intensity)
        if intensity.max() > 1:
            most = float(scene.feat[:, 0].max())
            raise ValueError(f"scene {scene.id!r}: intensity up to {most:g} with full_intensity = {self.full_intensity:g}: set full_intensity, usually to 255")
        return intensity

    def _units(self, xyz: F32, ground: Bool, scene_id: str) -> tuple[I32, int]:
        """Ids i32[N], objects before ground cells, and the number of objects."""
        unit = np.full(len(xyz), -1, np.int32)
        label = density_clusters(xyz[~ground].astype(np.float64), self.min_cluster_size, self.min_samples, self.epsilon)
        if self.largest is not None:
            label = without_large(xyz[~ground], label, self.largest)
        unit[~ground] = by_first_appearance(label)
        objects = int(unit.max()) + 1
        if ground.any():
            unit[ground] = objects + cell_ids(xyz[ground, :2], self.cell, scene_id, "ground cell")
        return unit, objects


def density_clusters(points: F64, min_cluster_size: int, min_samples: int, epsilon: float) -> I64:
    """HDBSCAN labels i64[N] of points f64[N,3], -1 for noise. One thread; ties depend on the order of the points.

    Source: Campello et al. 2013 and Malzer and Baum 2020 (epsilon, in metres), library `hdbscan` with its approximate spanning tree.
    """
    import hdbscan

    if len(points) < min_cluster_size:  # the library refuses the smallest clouds
        return np.full(len(points), -1, np.int64)
    finder = hdbscan.HDBSCAN(min_cluster_size=min_cluster_size, min_samples=min_samples, cluster_selection_epsilon=float(epsilon), core_dist_n_jobs=1)
    return np.asarray(finder.fit_predict(points), np.int64)


def without_large(xyz: F32, label: I64, largest: float) -> I64:
    """Labels i64[N] with -1 for clusters whose size (see `cluster_sizes`) is above `largest` metres; labels count from 0 without gaps."""
    if label.max(initial=-1) < 0:
        return label
    member = np.flatnonzero(label >= 0)
    member = member[np.argsort(label[member], kind="stable")]
    start = np.searchsorted(label[member], np.arange(label.max() + 1))
    extent = np.maximum.reduceat(xyz[member], start) - np.minimum.reduceat(xyz[member], start)
    large = np.append(cluster_sizes(extent) > largest, True)
    return np.where(large[label], -1, label)
