"""What of a scene is sent to a browser: all of it coarsely and once, then finer what is around a region, and the region itself whole."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np

from al3d.annotate.viewpoint import bounds, spacing_of
from al3d.features.view_colours import has_colours
from al3d.geometry.thin import thinned, trimmed_box
from al3d.types import F32, F64, I64, U8, Array, Scene

#: The most points of a whole scene, and of the surroundings of a region, that are drawn.
COARSE, NEAR = 150_000, 150_000
#: How many points, every so many of a scene, the coarse ones are chosen from.
LOOKED_AT = 800_000
#: True colour reaches so many radii of a region, and at least so many point spacings.
AROUND, LEAST = 3.0, 60.0
#: Dim colours: this share of the colour over the page's background.
DIM, BACKGROUND = 0.28, (27, 31, 38)
#: Low to high, for scenes without colours.
RAMP = ((49, 54, 149), (69, 117, 180), (116, 173, 209), (171, 217, 233), (254, 224, 144), (253, 174, 97), (215, 88, 60))


@dataclass(frozen=True, eq=False)
class Cloud:
    """One scene as it is drawn: places relative to `centre` f64[3], so that float32 keeps them, and a colour for any point."""

    scene: Scene
    coarse: I64

    @cached_property
    def centre(self) -> F64:
        """The middle of the scene without its outermost points."""
        low, high = trimmed_box(self.scene.xyz[self.coarse])
        middle: F64 = (low + high) / 2
        return middle

    @cached_property
    def spacing(self) -> float:
        """The usual distance between the coarse points, metres."""
        return spacing_of(self.scene.xyz[self.coarse])

    def spacing_in(self, region: Array) -> float:
        """The usual distance between the points of a region, metres; of few points, what the scene's density as a surface makes likely."""
        if len(region) >= 50:
            return spacing_of(self.scene.xyz[region])
        return self.spacing * float(np.sqrt(len(self.coarse) / len(self.scene.xyz)))

    def places(self, rows: Array) -> F32:
        """Places f32[M,3] relative to the centre."""
        return (self.scene.xyz[rows].astype(np.float64) - self.centre).astype(np.float32)

    def colours(self, rows: Array) -> U8:
        """True colours u8[M,3] where the scene has them, else by height, darkened by the first attribute (intensity)."""
        feat = self.scene.feat
        if self._has_colours:
            return np.rint(np.clip(feat[rows, :3], 0, 1) * 255).astype(np.uint8)
        low, high = self._heights
        place = np.clip((self.scene.xyz[rows, 2] - low) / max(high - low, 1e-6), 0, 1) * (len(RAMP) - 1)
        base = np.stack([np.interp(place, np.arange(len(RAMP)), channel) for channel in np.array(RAMP).T], axis=1)
        return np.rint(base * self._brightness(rows)[:, None]).astype(np.uint8)

    @cached_property
    def _has_colours(self) -> bool:
        return has_colours(self.scene.feat[self.coarse])

    @cached_property
    def _heights(self) -> tuple[float, float]:
        low, high = np.quantile(self.scene.xyz[self.coarse, 2], [0.01, 0.99])
        return float(low), float(high)

    @cached_property
    def _dull_to_bright(self) -> tuple[float, float]:
        first = self.scene.feat[self.coarse, 0]
        low, high = np.quantile(first.astype(np.float64), [0.03, 0.97])
        return float(low), float(high)

    def _brightness(self, rows: Array) -> F64:
        if not self.scene.feat.shape[1]:
            return np.ones(len(rows))
        low, high = self._dull_to_bright
        share = np.clip((self.scene.feat[rows, 0].astype(np.float64) - low) / max(high - low, 1e-9), 0, 1)
        return np.asarray(0.45 + 0.55 * np.sqrt(share)) if high > low else np.ones(len(rows))


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What is around a region: `rows` i64[M] of the scene, within `reach` metres of `middle` f64[3] (the scene's own frame)."""

    rows: I64
    middle: F64
    reach: float


def dimmed(colour: U8) -> U8:
    """The colours u8[N,3] almost gone into the background."""
    return np.rint(DIM * colour + (1 - DIM) * np.array(BACKGROUND)).astype(np.uint8)


def surroundings(xyz: F32, region: I64, spacing: float, limit: int = NEAR) -> Surroundings:
    """At most `limit` points of xyz f32[N,3] around the points `region` i64[P] of it, without those, evenly thinned.

    `spacing` is that of the region's points, metres. One pass over the scene.
    """
    middle, radius = bounds(xyz[region], spacing)
    reach = max(AROUND * radius, LEAST * spacing)
    rows = _within(xyz, middle, reach)
    outside = rows[~_are_among(rows, region)]
    return Surroundings(outside[thinned(np.ascontiguousarray(xyz[outside]), limit)] if len(outside) > limit else outside, middle, reach)


def _are_among(rows: I64, region: I64) -> Array:
    return np.isin(rows, region, assume_unique=True, kind="sort")


@numba.njit(cache=True)
def _within(xyz: F32, middle: F64, reach: float) -> I64:  # pragma: no cover
    """The rows of xyz within `reach` of `middle`, in order."""
    count = 0
    for fill in range(2):
        if fill:
            rows = np.empty(count, np.int64)
            count = 0
        for i in range(len(xyz)):
            x, y, z = xyz[i, 0] - middle[0], xyz[i, 1] - middle[1], xyz[i, 2] - middle[2]
            if x * x + y * y + z * z <= reach * reach:
                if fill:
                    rows[count] = i
                count += 1
    return rows


def cloud_of(scene: Scene) -> Cloud:
    """A scene with its coarse points."""
    every = -(-len(scene.xyz) // LOOKED_AT)
    return Cloud(scene, every * thinned(np.ascontiguousarray(scene.xyz[::every]), COARSE))


def sensor_of(scene: Scene) -> F64 | None:
    """Where the scene was seen from, f64[3], when that is one place: its only picture's camera, or the origin of a frame of a drive."""
    if len(scene.images) == 1 and scene.images[0].camera is not None:
        return np.asarray(scene.images[0].camera.pose[:3, 3])
    return np.zeros(3) if scene.frame is not None and not scene.images else None
