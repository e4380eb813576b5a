"""Pictures of the street: one ray a pixel through the same bodies that the scanner meets, in the colours of their materials."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from al3d import rng as random
from al3d.types import F64, I32, U8, Camera
from al3d.world.street.materials import GLASS, GLASS_COLOR, LEAVES
from al3d.world.street.rays import GROUND, NOTHING, Hits, cast
from al3d.world.street.road import Road
from al3d.world.street.stage import Stage
from al3d.world.sweep import CATEGORIES

GROUND_COLOR = {
    "road": (0.37, 0.37, 0.38), "lane-marking": (0.86, 0.86, 0.84), "parking": (0.44, 0.42, 0.41), "sidewalk": (0.60, 0.57, 0.54),
    "other-ground": (0.55, 0.49, 0.41), "terrain": (0.34, 0.42, 0.20),
}  # fmt: skip
COLORS: F64 = np.array([GROUND_COLOR.get(name, (0.5, 0.5, 0.5)) for name in CATEGORIES])
#: The farthest a camera sees, in metres.
SIGHT = 160.0
#: Which leaf a pixel sees: the same in every picture, so that still crowns hardly flicker.
SEED = 7


class Picture(NamedTuple):
    """A picture u8[H,W,3], and what is in every pixel: its category u8[H,W] (0: sky), its distance f64[H,W] and the object i32[H,W] (-1: none)."""

    image: U8
    category: U8
    distance: F64
    owner: I32


def taken(road: Road, stage: Stage, camera: Camera, pose: F64, along: float, sun: F64) -> Picture:
    """What a camera sees whose pose in the scanner's frame is its own and the scanner's in the world is `pose` f64[4,4]; `sun` f64[3] points to the sun."""
    place = pose @ camera.pose
    columns, rows = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    view = np.stack([(columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy, np.ones(columns.shape)], axis=-1).reshape(-1, 3)
    rays = (view / np.linalg.norm(view, axis=1, keepdims=True)) @ place[:3, :3].T
    hits = cast(road, stage, place[:3, 3], rays, SIGHT, along, SEED)
    color = _shaded(hits, _plain(hits, stage), rays, sun, random.generator("grain", SEED))
    shape = (camera.height, camera.width)
    image = np.rint(255 * np.clip(color, 0, 1)).astype(np.uint8).reshape(*shape, 3)
    category = np.where(hits.body == NOTHING, 0, hits.category).astype(np.uint8).reshape(shape)
    owner = np.where(hits.body >= 0, stage.owner[np.maximum(hits.body, 0)] if len(stage.owner) else -1, -1).astype(np.int32)
    return Picture(image, category, hits.distance.reshape(shape), owner.reshape(shape))


def _plain(hits: Hits, stage: Stage) -> F64:
    own = stage.color[np.maximum(hits.body, 0)] if len(stage.color) else np.zeros((len(hits.body), 3))
    own = np.where((hits.material == GLASS)[:, None] & (hits.category == CATEGORIES.index("building"))[:, None], GLASS_COLOR, own)
    return np.where((hits.body == GROUND)[:, None], COLORS[hits.category], own)


def _shaded(hits: Hits, plain: F64, rays: F64, sun: F64, rng: np.random.Generator) -> F64:
    towards = np.where(((hits.normal * rays).sum(axis=1) > 0)[:, None], -hits.normal, hits.normal)
    light = 0.62 + 0.42 * np.clip(towards @ sun, 0, 1) + 0.10 * towards[:, 2]
    grain = np.where(hits.material == LEAVES, 0.22, 0.035) * rng.standard_normal(len(light))
    up = np.clip(rays[:, 2], 0, 1)[:, None]
    sky = np.array([0.80, 0.87, 0.94]) * (1 - up) + np.array([0.38, 0.58, 0.86]) * up
    haze = (1 - np.exp(-np.where(np.isfinite(hits.distance), hits.distance, 0) / 260))[:, None]
    lit = plain * (light * (1 + grain))[:, None]
    return np.where((hits.body == NOTHING)[:, None], sky, lit * (1 - haze) + 0.85 * sky * haze)
