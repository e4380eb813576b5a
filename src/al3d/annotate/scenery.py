"""What queries look like, made once and kept for a while: the clouds of scenes, and each region with its surroundings and viewpoints."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

import numpy as np

from al3d.annotate.detail import Cloud, Surroundings, cloud_of, sensor_of, surroundings
from al3d.annotate.viewpoint import Viewpoint, viewpoints
from al3d.people.queries import Query
from al3d.types import I64, Scene

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
#: How many scenes and how many regions stay in memory.
SCENES, REGIONS = 6, 24


@dataclass(frozen=True, eq=False)
class Region:
    """One query ready to be drawn: its points i64[P] of the cloud's scene, `fine` metres apart, what is around it, from where to look, best first."""

    cloud: Cloud
    points: I64
    fine: float
    around: Surroundings
    views: list[Viewpoint]


def region_of(cloud: Cloud, points: I64) -> Region:
    """Prepare a region: one pass over its scene, then the viewpoints."""
    fine, xyz = cloud.spacing_in(points), cloud.scene.xyz
    around = surroundings(xyz, points, fine)
    coarse = cloud.coarse[~np.isin(cloud.coarse, points)]
    others = np.concatenate([xyz[coarse], xyz[around.rows[:: max(1, len(around.rows) // 20_000)]]])
    views = viewpoints(np.ascontiguousarray(xyz[points]), others, fine, cloud.spacing, sensor_of(cloud.scene))
    return Region(cloud, points, fine, around, views)


class Scenery:
    """The clouds and regions of a run that were looked at last, or will be next; several threads may ask."""

    def __init__(self, read: Callable[[str], Scene], points_of: Callable[[Query], I64]) -> None:
        self.cloud = Kept[str, Cloud](lambda scene: cloud_of(read(scene)), SCENES)
        self.region = Kept[Query, Region](lambda query: region_of(self.cloud(query.scene), points_of(query)), REGIONS)


class Kept(Generic[K, V]):
    """A function whose last `size` values are kept; two threads that ask for the same one make it once."""

    def __init__(self, make: Callable[[K], V], size: int) -> None:
        self.make, self.size = make, size
        self._values, self._guard = OrderedDict[K, V](), Lock()
        self._making: dict[K, Lock] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._values

    def __call__(self, key: K) -> V:
        with self._guard:
            making = self._making.setdefault(key, Lock())
        with making:
            if key not in self._values:
                value = self.make(key)
                with self._guard:
                    self._values[key] = value
            with self._guard:
                self._values.move_to_end(key)
                found = self._values[key]
                while len(self._values) > self.size:
                    self._making.pop(self._values.popitem(last=False)[0], None)
            return found
