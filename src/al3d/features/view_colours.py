"""Colours of points for pictures: their own, or colours that make the structure visible where a scanner saw none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from al3d.geometry.ground import height_above_ground
from al3d.geometry.surface import surface_normals
from al3d.types import F32, F64, U8, Array, Scene

COLOURS = ("auto", "rgb", "intensity", "geometry")
#: Height above the ground as a colour, from the ground up: grey, blue, green, yellow, red.
_RAMP = np.array([(150, 152, 166), (52, 132, 206), (78, 190, 116), (248, 208, 84), (232, 92, 66)], np.float64)
#: Metres above the floor at which the colour has gone 63 % of the way from the lowest to the highest.
_REACH = 2.0
#: How dark a flat surface is that is seen edge-on, and a point that reflects least.
_EDGE_ON, _DULL = 0.6, 0.5


@dataclass(frozen=True, eq=False)
class Paint:
    """Colours `base` f32[N,3] in 0..255, and for made-up ones the `normal` f32[N,3] and how `flat` f32[N] the surface is there (None: real colours)."""

    base: F32
    normal: F32 | None = None
    flat: F32 | None = None

    def seen_from(self, xyz: F32, eye: Array) -> U8:
        """The colours u8[N,3] of points xyz f32[N,3] for a camera at `eye`: made-up colours are lit by a lamp on the camera."""
        if self.normal is None or self.flat is None:
            return np.rint(self.base).astype(np.uint8)
        ray = xyz - np.asarray(eye, np.float32)
        length = np.maximum(np.sqrt(np.einsum("ni,ni->n", ray, ray)), np.float32(1e-6))
        facing = np.abs(np.einsum("ni,ni->n", ray, self.normal)) / length
        light = 1 - np.float32(1 - _EDGE_ON) * self.flat * (1 - np.minimum(facing, np.float32(1)))
        lit: U8 = np.rint(self.base * light[:, None]).astype(np.uint8)
        return lit


def check_colours(option: str, colours: str) -> None:
    """Raise ValueError for an unknown way of colouring."""
    if colours not in COLOURS:
        raise ValueError(f"{option}={colours!r} is not one of {', '.join(COLOURS)}")


def check_columns(scene: Scene, colours: str) -> None:
    """Raise ValueError when the scene has not the columns that "rgb" or "intensity" read."""
    needed = {"rgb": 3, "intensity": 1}.get(colours, 0)
    if scene.feat.shape[1] < needed:
        raise ValueError(f"scene {scene.id!r} has {scene.feat.shape[1]} attributes, but colours={colours} reads {needed}: set features.views.colours=auto")


def has_colours(feat: F32) -> bool:
    """Whether the first three columns of feat f32[N,F] can be red, green and blue: within 0..1, and not the same everywhere."""
    if feat.shape[1] < 3:
        return False
    first = feat[:, :3]
    low, high = first.min(axis=0), first.max(axis=0)
    return bool(low.min() >= 0 and high.max() <= 1 and (high > low).any())


def paint(scene: Scene, colours: str, rows: Array | slice = slice(None)) -> Paint:
    """The colours of the points `rows` of a scene.

    `colours` "rgb": the first three columns of `feat` are red, green and blue in 0..1; "intensity": the first column is brightness, on colours from height
    and direction; "geometry": height and direction alone; "auto": rgb where `has_colours`, else intensity where the first column varies, else geometry.
    A column is looked at over the whole scene, so that a colour does not depend on which rows are drawn.
    Raises: ValueError when the scene has not the columns that "rgb" or "intensity" read.
    """
    check_columns(scene, colours)
    feat, xyz = scene.feat, scene.xyz[rows]
    if colours == "rgb" or (colours == "auto" and has_colours(feat)):
        return Paint((np.clip(feat[rows, :3], 0, 1) * 255).astype(np.float32))
    base = _by_height(height_above_ground(xyz))
    if colours != "geometry" and feat.shape[1]:
        base *= _brightness(feat[:, 0])[rows, None]
    normal, flat = surface_normals(xyz)
    return Paint(base.astype(np.float32), normal, flat)


def _by_height(height: F64) -> F64:
    """A colour f64[N,3] per point by its height in metres: a kerb has one colour in every scene, and a scene below 3 m uses the whole ramp all the same."""
    reach = max(min(_REACH, float(np.quantile(height[:: max(1, len(height) // 50_000)], 0.995)) / 1.5), 1e-6)
    place = (1 - np.exp(-height / reach)) * (len(_RAMP) - 1)
    return np.stack([np.interp(place, np.arange(len(_RAMP)), channel) for channel in _RAMP.T], axis=1)


def _brightness(values: F32) -> F64:
    """A factor f64[N]: the root of the middle 94 % of the values, spread over `_DULL`..1; 1 where they are all the same."""
    low, high = np.quantile(values[:: max(1, len(values) // 50_000)].astype(np.float64), [0.03, 0.97])
    if high <= low:
        return np.ones(len(values))
    share: F64 = np.sqrt(np.clip((values.astype(np.float64) - low) / (high - low), 0, 1))
    return _DULL + (1 - _DULL) * share
