"""Turns what the rays of a scanner meet into echoes: noise, lost pulses, intensity, false echoes, and the order of the points."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from al3d import rng as random
from al3d.types import F32, F64, I32, U8, Bool
from al3d.world.street.materials import NAMES, TABLE
from al3d.world.street.rays import GROUND, Hits, cast
from al3d.world.street.road import Road
from al3d.world.street.sensors import Sensor
from al3d.world.street.stage import Stage
from al3d.world.sweep import CATEGORIES

#: The material of each kind of ground.
GROUNDS = {"road": "asphalt", "lane-marking": "paint", "parking": "asphalt", "sidewalk": "paving", "other-ground": "gravel", "terrain": "grass"}
GROUND_MATERIAL: U8 = np.array([NAMES.index(GROUNDS.get(name, "asphalt")) for name in CATEGORIES], np.uint8)
#: The share of firings that return a false echo, and how fast echoes fade: the distance at which a surface of intensity 0.1 seen straight
#: on is lost in half of the cases.
FALSE_ECHOES, FADE = 1e-4, 70.0
#: How high grass stands, in metres: echoes of the terrain come from above its ground.
GRASS = 0.06
TERRAIN = CATEGORIES.index("terrain")
#: A firing without echo lies at the scanner, but correcting the ego vehicle's motion shifts it by what was driven meanwhile (seconds).
TURN_TIME = 0.05


class Echoes(NamedTuple):
    """The points of one turn in the order of measuring: `xyz` f32[N,3], `intensity` f32[N], `ring` and `category` u8[N], `owner` i32[N] (-1: none)."""

    xyz: F32
    intensity: F32
    ring: U8
    category: U8
    owner: I32


def directions(sensor: Sensor) -> tuple[F64, U8]:
    """The unit vector f64[N,3] in the scanner's frame and the ring u8[N] of every firing, in the order of the points."""
    azimuth, elevation = sensor.azimuths(), np.radians(sensor.elevations)
    beams = len(elevation)
    if sensor.by_ring:
        ring = np.repeat(np.arange(beams)[::-1], sensor.columns)
        turn = np.tile(azimuth, beams)
    else:
        ring = np.tile(np.arange(beams), sensor.columns)
        turn = np.repeat(azimuth, beams)
    up = elevation[ring]
    rays = np.stack([np.cos(up) * np.cos(turn), np.cos(up) * np.sin(turn), np.sin(up)], axis=1)
    return rays, ring.astype(np.uint8)


def turn(road: Road, stage: Stage, sensor: Sensor, pose: F64, along: float, speed: float, rng: np.random.Generator) -> Echoes:
    """One turn of the scanner at `pose` f64[4,4], `along` metres on the road; `speed` in m/s is the ego vehicle's."""
    rays, ring = directions(sensor)
    roof = _roof(sensor, rays)
    hits = cast(road, stage, pose[:3, 3], rays @ pose[:3, :3].T, sensor.reach, along, int(rng.integers(1 << 40)))
    material = np.where(hits.body == GROUND, GROUND_MATERIAL[hits.category], hits.material)
    intensity = _recorded(_intensity(hits, material, stage, rng) * _beam_gain(sensor)[ring], sensor, rng)
    category = hits.category.copy()
    owner = np.where(hits.body >= 0, stage.owner[np.maximum(hits.body, 0)] if len(stage.owner) else -1, -1).astype(np.int32)
    blades = rng.random(len(rays)) * np.where(category == TERRAIN, GRASS, 0.0) / np.maximum(np.abs(rays[:, 2]), 0.08)
    distance = np.where(_returned(hits, material, rng), hits.distance - blades + sensor.noise * np.clip(rng.standard_normal(len(rays)), -3, 3), np.inf)
    false = np.flatnonzero(rng.random(len(rays)) < FALSE_ECHOES)
    distance[false] = np.minimum(distance[false], rng.uniform(2.0, 60.0, len(false)))
    for rows in (false, np.flatnonzero(np.isfinite(roof))):
        category[rows], owner[rows] = 0, -1
    distance = np.where(np.isfinite(roof), roof if sensor.keeps_empty else np.inf, distance)
    found = np.isfinite(distance) & (distance > 0.3) & (distance < sensor.reach)
    xyz = rays * np.where(found, distance, 0.0)[:, None]
    if sensor.keeps_empty:
        late = np.linspace(-1.0, 0.0, len(rays))[~found]
        xyz[~found, 0] = speed * TURN_TIME * late + rng.normal(0, 0.002, len(late))
        category[~found], owner[~found] = 0, -1
        intensity[~found] = np.rint(255 * rng.exponential(0.075, len(late))).clip(1, 255) / 255
    keep = np.ones_like(found) if sensor.keeps_empty else found
    return Echoes(xyz[keep].astype(np.float32), intensity[keep].astype(np.float32), ring[keep], category[keep], owner[keep])


def _roof(sensor: Sensor, rays: F64) -> F64:
    """The distance f64[N] to the own vehicle's roof, infinite where a ray passes it."""
    low, high = np.array(sensor.roof)
    with np.errstate(divide="ignore", invalid="ignore"):
        down = np.where(rays[:, 2] < 0, high[2] / rays[:, 2], np.inf)
        place = rays[:, :2] * down[:, None]
        inside = np.isfinite(down) & (place > low[:2]).all(axis=1) & (place < high[:2]).all(axis=1)
    return np.where(inside, down, np.inf)


def _intensity(hits: Hits, material: U8, stage: Stage, rng: np.random.Generator) -> F64:
    """What comes back, 0..1 for a white wall: the material's mean, less at grazing incidence, with speckle and blacks."""
    echo, spread, slant, _, black = TABLE[material].T
    gloss = np.where(hits.body >= 0, stage.gloss[np.maximum(hits.body, 0)] if len(stage.gloss) else 1.0, 1.0)
    faded = np.clip(1.15 - 0.006 * np.where(np.isfinite(hits.distance), hits.distance, 0.0), 0.5, 1.1)
    intensity = echo * gloss * (1 - slant * (1 - hits.slant)) * faded + spread * rng.standard_normal(len(echo))
    return np.asarray(np.where(rng.random(len(echo)) < black, 0.0, np.clip(intensity, 0.0, 1.0)))


def _beam_gain(sensor: Sensor) -> F64:
    """No two beams are equally bright: a factor per ring, f64[rings]."""
    return 1 + 0.06 * random.generator("beams", sensor.name).standard_normal(len(sensor.elevations)).clip(-2, 2)


def _recorded(intensity: F64, sensor: Sensor, rng: np.random.Generator) -> F64:
    """The intensities as the scanner writes them: its curve, its lowest value, its steps; the last step below 1 is the highest."""
    written = np.maximum(sensor.gain * intensity**sensor.gamma, sensor.floor * rng.random(len(intensity)))
    return np.asarray(np.rint(np.minimum(written, 1 - 1 / sensor.levels) * sensor.levels) / sensor.levels)


def _returned(hits: Hits, material: U8, rng: np.random.Generator) -> Bool:
    """Which pulses come back: by material, and less often from afar, from dark surfaces and at grazing incidence."""
    echo, _, slant, lost, _ = TABLE[material].T
    strength = echo * (0.2 + 0.8 * hits.slant ** np.maximum(slant, 0.3)) / 0.1
    distance = np.where(np.isfinite(hits.distance), hits.distance, 1e6)
    weak = 1 / (1 + (FADE * np.sqrt(strength) / distance) ** 6)
    return np.asarray(rng.random(len(lost)) >= 1 - (1 - lost) * (1 - weak))
