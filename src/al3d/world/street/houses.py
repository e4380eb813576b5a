"""Shapes of buildings. Each stands on z = 0; its front lies in the plane y = 0 and looks towards -y, the body reaches to +y."""

from __future__ import annotations

import numpy as np

from al3d.world.street.materials import DARK, GLASS_COLOR, TILES, WALLS, any_of
from al3d.world.street.parts import BOX, Parts, Shape

FLOOR = 2.9


def house(rng: np.random.Generator, width: float, depth: float, floors: int) -> Shape:
    """A house with windows sunk into its walls, a plinth, a door, perhaps a bay and balconies, and a ridged or a flat roof."""
    parts = Parts("building")
    wall, tile = any_of(WALLS, rng), any_of(TILES, rng)
    eaves = floors * FLOOR + 0.5
    parts.box((-width / 2, 0, -1.5), (width / 2, depth, eaves), "facade", wall)
    parts.box((-width / 2 - 0.06, -0.06, -1.5), (width / 2 + 0.06, depth + 0.06, 0.5), "concrete", (0.5, 0.48, 0.46))
    door = rng.uniform(-0.35, 0.35) * width
    parts.box((door - 0.75, -0.13, -0.3), (door + 0.75, 0.0, 2.75), "plaster", (0.85, 0.84, 0.8))
    parts.box((door - 0.55, -0.15, 0.2), (door + 0.55, 0.0, 2.4), "wood", any_of(((0.35, 0.22, 0.14), (0.2, 0.3, 0.25), (0.5, 0.15, 0.12)), rng))
    parts.box((door - 0.9, -1.0, -0.4), (door + 0.9, 0.0, 0.2), "concrete", (0.6, 0.58, 0.55))
    parts.box((door - 1.0, -0.9, 2.8), (door + 1.0, 0.0, 2.92), "metal", DARK)
    if rng.random() < 0.5:
        _bay(parts, rng, -np.sign(door + 1e-9) * width / 4, wall, floors)
    for level in range(1, floors):
        if rng.random() < 0.35:
            _balcony(parts, rng.uniform(-0.3, 0.3) * width, level * FLOOR + 0.4)
    for x in (-width / 2 + 0.12, width / 2 - 0.12):
        parts.rod((x, -0.1, 0.0), (x, -0.1, eaves), 0.05, "metal", (0.5, 0.5, 0.5))
    _roof(parts, rng, width, depth, eaves, tile)
    return parts.built(float(rng.uniform(0.7, 1.15)))


def _bay(parts: Parts, rng: np.random.Generator, x: float, wall: tuple[float, float, float], floors: int) -> None:
    deep, half, top = rng.uniform(0.5, 1.0), rng.uniform(1.0, 1.5), FLOOR * min(floors, int(rng.integers(1, 3))) + 0.2
    parts.box((x - half, -deep, -1.0), (x + half, 0, top), "facade", wall)
    parts.box((x - half - 0.1, -deep - 0.1, top), (x + half + 0.1, 0, top + 0.15), "roof", DARK)


def _balcony(parts: Parts, x: float, z: float) -> None:
    parts.box((x - 1.5, -1.3, z - 0.15), (x + 1.5, 0, z), "concrete", (0.65, 0.64, 0.62))
    parts.box((x - 1.5, -1.3, z), (x + 1.5, -1.24, z + 1.0), "metal", (0.4, 0.42, 0.43))
    for side in (-1.5, 1.45):
        parts.box((x + side, -1.3, z), (x + side + 0.05, 0, z + 1.0), "metal", (0.4, 0.42, 0.43))


def _roof(parts: Parts, rng: np.random.Generator, width: float, depth: float, eaves: float, tile: tuple[float, float, float]) -> None:
    if rng.random() < 0.25:
        parts.box((-width / 2 - 0.15, -0.15, eaves), (width / 2 + 0.15, depth + 0.15, eaves + 0.4), "roof", tile)
        return
    pitch = rng.uniform(32, 45)
    rise = np.tan(np.radians(pitch)) * depth / 2
    slope = depth / 2 / np.cos(np.radians(pitch)) + 0.35
    for side in (-1, 1):
        centre = (0, depth / 2 + side * (depth / 4 + 0.1), eaves + rise / 2 - 0.05)
        parts.add(BOX, centre, (width / 2 + 0.3, slope / 2, 0.08), "roof", tile, turn=(-side * pitch, 0.0, 0.0))
    parts.add(BOX, (0, depth / 2, eaves + rise / 2), (width / 2 - 0.02, depth / 2, rise / 2), "brick", (0.55, 0.36, 0.28), (0.0, 0.99))
    if rng.random() < 0.6:
        x = rng.uniform(-0.3, 0.3) * width
        parts.box((x - 0.3, depth / 2 - 0.3, eaves + 0.5 * rise), (x + 0.3, depth / 2 + 0.3, eaves + rise + 0.9), "brick", (0.5, 0.3, 0.24))


def garage(rng: np.random.Generator) -> Shape:
    """A garage or shed with a metal door."""
    parts = Parts("building")
    wall = any_of(WALLS, rng)
    parts.box((-1.7, 0, -1.0), (1.7, 5.5, 2.6), "plaster", wall)
    parts.box((-1.25, -0.03, 0.0), (1.25, 0.0, 2.15), "metal", (0.6, 0.6, 0.58))
    parts.box((-1.85, -0.25, 2.6), (1.85, 5.6, 2.75), "roof", DARK)
    return parts.built(float(rng.uniform(0.7, 1.15)))


def hall(rng: np.random.Generator, width: float, depth: float) -> Shape:
    """A shop or workshop: a flat roof, a front of glass between columns, a canopy."""
    parts = Parts("building")
    wall, tall = any_of(WALLS, rng), rng.uniform(5.0, 8.0)
    parts.box((-width / 2, 0, -1.5), (width / 2, depth, tall), "brick", wall)
    for x in np.arange(-width / 2 + 0.4, width / 2 - 2.5, 3.4):
        parts.box((x, -0.05, 0.4), (x + 2.7, 0.0, 3.0), "glass", GLASS_COLOR)
        parts.box((x - 0.35, -0.3, -1.0), (x - 0.05, 0.0, tall), "concrete", (0.6, 0.58, 0.55))
    parts.box((-width / 2, -1.6, 3.2), (width / 2, 0.0, 3.4), "metal", DARK)
    parts.box((-width / 2 - 0.1, -0.12, tall), (width / 2 + 0.1, depth + 0.1, tall + 0.5), "concrete", (0.5, 0.5, 0.5))
    return parts.built(float(rng.uniform(0.7, 1.15)))
