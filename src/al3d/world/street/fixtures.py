"""Shapes of what stands still beside a street: plants, poles, signs, fences, cones. Each stands on z = 0."""

from __future__ import annotations

import numpy as np

from al3d.world.street.materials import BARK, DARK, GREENS, STEEL, any_of
from al3d.world.street.parts import BALL, BOX, CLOUD, CLOUD_BOX, DRUM, HOOP, Parts, Shape


def tree(rng: np.random.Generator, height: float | None = None, low: bool = False) -> Shape:
    """A leafy tree: a trunk, some boughs, and a crown of leaf clumps that rays get through; `low` lets the crown begin near the ground."""
    parts = Parts("vegetation")
    tall = float(rng.uniform(5, 11)) if height is None else height
    bole = tall * (rng.uniform(0.08, 0.16) if low else rng.uniform(0.24, 0.36))
    radius = 0.012 * tall + rng.uniform(0.01, 0.06)
    lean = rng.normal(0, 0.03, 2)
    top = (lean[0] * tall, lean[1] * tall, 0.62 * tall)
    parts.rod((0, 0, -0.2), top, radius, "bark", BARK, 0.6, category="trunk")
    spread = tall * rng.uniform(0.2, 0.3)
    green = any_of(GREENS, rng)
    for _ in range(int(rng.integers(16, 26))):
        angle, out, up = rng.uniform(0, 2 * np.pi), np.sqrt(rng.uniform(0, 1)), rng.uniform(0, 1)
        reach = spread * out * np.sqrt(max(0.0, 1 - (2 * up - 0.9) ** 2 * 0.8))
        centre = np.array([top[0] * up + reach * np.cos(angle), top[1] * up + reach * np.sin(angle), bole + (tall - bole) * (0.12 + 0.76 * up)])
        size = spread * rng.uniform(0.22, 0.5)
        parts.add(CLOUD, centre.tolist(), (size, size * rng.uniform(0.8, 1.2), size * rng.uniform(0.6, 0.9)), "leaves", green, (rng.uniform(0.5, 1.6), 0.0))
        if rng.random() < 0.3:
            parts.rod((top[0] * 0.7, top[1] * 0.7, bole + 0.2 * (centre[2] - bole)), tuple(centre), 0.3 * radius, "bark", BARK, 0.6)
    return parts.built(float(rng.uniform(0.8, 1.15)))


def conifer(rng: np.random.Generator) -> Shape:
    """A conifer: a straight trunk in a cone of tiers."""
    parts = Parts("vegetation")
    tall = rng.uniform(4, 12)
    parts.rod((0, 0, -0.2), (0, 0, 0.8 * tall), 0.02 * tall + 0.03, "bark", BARK, 0.6, category="trunk")
    green = any_of(GREENS, rng)
    for level in np.linspace(0.08, 0.95, 12):
        wide = 0.24 * tall * (1.05 - level)
        for angle in rng.uniform(0, 2 * np.pi, 3):
            x, y = 0.35 * wide * np.cos(angle), 0.35 * wide * np.sin(angle)
            parts.add(CLOUD, (x, y, level * tall), (wide * rng.uniform(0.5, 0.8), wide * rng.uniform(0.5, 0.8), 0.07 * tall), "leaves", green, (1.5, 0.0))
    return parts.built(float(rng.uniform(0.7, 1.0)))


def bush(rng: np.random.Generator, size: float | None = None) -> Shape:
    """A bush of three to six clumps that reaches the ground."""
    parts = Parts("vegetation")
    wide = float(rng.uniform(0.5, 1.5)) if size is None else size
    green = any_of(GREENS, rng)
    for _ in range(int(rng.integers(3, 7))):
        x, y = rng.uniform(-0.7, 0.7, 2) * wide
        half = wide * rng.uniform(0.45, 0.75)
        parts.add(CLOUD, (x, y, half * 0.75), (half, half, half * rng.uniform(0.8, 1.2)), "leaves", green, (rng.uniform(1.2, 3.5), 0.0))
    return parts.built(float(rng.uniform(0.8, 1.15)))


def hedge(rng: np.random.Generator, length: float, height: float | None = None) -> Shape:
    """A clipped hedge along x with an uneven face."""
    parts = Parts("vegetation")
    tall, green = float(rng.uniform(0.8, 1.7)) if height is None else height, any_of(GREENS, rng)
    parts.add(CLOUD_BOX, (0, 0, tall / 2 - 0.05), (length / 2, rng.uniform(0.3, 0.45), tall / 2), "leaves", green, (4.5, 0.0))
    for x in np.arange(-length / 2 + 0.5, length / 2 - 0.3, 1.1):
        half = rng.uniform(0.4, 0.6)
        parts.add(CLOUD, (x, rng.uniform(-0.12, 0.12), tall * rng.uniform(0.4, 0.85)), (half * 1.2, half, tall * 0.25), "leaves", green, (4.0, 0.0))
    return parts.built(float(rng.uniform(0.8, 1.15)))


def weeds(rng: np.random.Generator) -> Shape:
    """A low tuft of grass or flowers."""
    parts = Parts("vegetation")
    for _ in range(3):
        x, y = rng.uniform(-0.5, 0.5, 2)
        parts.add(CLOUD, (x, y, 0.12), (rng.uniform(0.25, 0.5), rng.uniform(0.25, 0.5), rng.uniform(0.15, 0.35)), "leaves", any_of(GREENS, rng), (3.0, 0.0))
    return parts.built()


def fence(rng: np.random.Generator, length: float) -> Shape:
    """A garden fence along x: pickets, boards, a wire mesh or a low wall with posts."""
    parts = Parts("fence")
    kind = int(rng.integers(4))
    tall, color = rng.uniform(0.8, 1.5), any_of(((0.45, 0.33, 0.2), (0.75, 0.74, 0.7), (0.3, 0.34, 0.3), (0.55, 0.5, 0.45)), rng)
    for x in np.linspace(-length / 2, length / 2, max(2, int(length / 2.0) + 1)):
        parts.box((x - 0.05, -0.05, -0.3), (x + 0.05, 0.05, tall + 0.05), "wood", color)
    if kind == 0:  # boards
        parts.box((-length / 2, -0.015, 0.05), (length / 2, 0.015, tall), "wood", color)
    elif kind == 1:  # pickets
        for x in np.arange(-length / 2, length / 2, 0.16):
            parts.box((x, -0.012, 0.06), (x + 0.09, 0.012, tall), "wood", color)
        for z in (0.3, tall - 0.25):
            parts.box((-length / 2, 0.012, z), (length / 2, 0.045, z + 0.08), "wood", color)
    elif kind == 2:  # mesh: lets most rays pass
        parts.add(CLOUD_BOX, (0, 0, tall / 2), (length / 2, 0.03, tall / 2), "metal", STEEL, (9.0, 0.0))
        parts.rod((-length / 2, 0, tall), (length / 2, 0, tall), 0.025, "metal", STEEL)
    else:  # a wall
        parts.box((-length / 2, -0.12, -0.3), (length / 2, 0.12, tall * 0.75), "concrete", (0.68, 0.65, 0.6))
        parts.box((-length / 2, -0.16, tall * 0.75), (length / 2, 0.16, tall * 0.75 + 0.07), "concrete", (0.6, 0.57, 0.53))
    return parts.built(float(rng.uniform(0.6, 1.1)))


def barrier(rng: np.random.Generator, length: float) -> Shape:
    """A barrier along x: a concrete one, or one of the red and white boards of road works."""
    parts = Parts("barrier")
    if rng.random() < 0.5:
        parts.box((-length / 2, -0.3, 0), (length / 2, 0.3, 0.3), "concrete", (0.7, 0.69, 0.66), (0.0, 0.4))
        parts.box((-length / 2, -0.18, 0.3), (length / 2, 0.18, 0.85), "concrete", (0.7, 0.69, 0.66), (0.0, 0.35))
        return parts.built()
    for number, x in enumerate(np.arange(-length / 2, length / 2, 0.5)):
        parts.box((x, -0.03, 0.7), (x + 0.5, 0.03, 1.0), "mirror", (0.8, 0.12, 0.1) if number % 2 else (0.9, 0.9, 0.88))
    for x in np.arange(-length / 2, length / 2 + 0.1, 1.8):
        parts.rod((x, 0, 0), (x, 0, 1.05), 0.03, "metal", STEEL)
        parts.box((x - 0.35, -0.2, 0), (x + 0.35, 0.2, 0.12), "rubber", DARK)
    return parts.built()


def lamp(rng: np.random.Generator) -> Shape:
    """A street lamp: a tapering pole with an arm towards +x."""
    parts = Parts("pole")
    tall, arm = rng.uniform(5.5, 8.5), rng.uniform(0.8, 1.8)
    parts.rod((0, 0, -0.2), (0, 0, tall), rng.uniform(0.06, 0.09), "metal", STEEL, 0.4)
    parts.rod((0, 0, tall - 0.05), (arm, 0, tall + 0.25), 0.045, "metal", STEEL)
    parts.add(BALL, (arm, 0, tall + 0.22), (0.35, 0.14, 0.09), "plastic", (0.8, 0.8, 0.78))
    return parts.built()


def mast(rng: np.random.Generator) -> Shape:
    """A wooden mast with a crossbar."""
    parts = Parts("pole")
    tall = rng.uniform(7, 9)
    parts.rod((0, 0, -0.2), (0, 0, tall), 0.14, "wood", (0.36, 0.29, 0.22), 0.3)
    parts.rod((0, -0.9, tall - 0.6), (0, 0.9, tall - 0.6), 0.06, "wood", (0.36, 0.29, 0.22))
    return parts.built()


def bollard(rng: np.random.Generator) -> Shape:
    """A short post."""
    parts = Parts("pole")
    parts.rod((0, 0, -0.1), (0, 0, rng.uniform(0.7, 1.1)), 0.06, "metal", any_of((STEEL, (0.8, 0.2, 0.15), (0.2, 0.2, 0.2)), rng))
    return parts.built()


def sign(rng: np.random.Generator) -> Shape:
    """A traffic sign that faces -x, towards who drives along +x: a disc, a triangle of boards or a rectangle on a post."""
    parts = Parts("traffic-sign")
    tall = rng.uniform(2.1, 2.8)
    parts.rod((0, 0, -0.1), (0, 0, tall), 0.035, "metal", STEEL, category="pole")
    kind = int(rng.integers(3))
    if kind == 0:
        parts.add(DRUM, (-0.05, 0, tall - 0.3), (0.32, 0.32, 0.012), "mirror", (0.8, 0.1, 0.1), turn=(0.0, 90.0, 0.0))
        parts.add(DRUM, (-0.066, 0, tall - 0.3), (0.23, 0.23, 0.006), "mirror", (0.93, 0.93, 0.9), turn=(0.0, 90.0, 0.0))
    elif kind == 1:
        parts.add(BOX, (-0.05, 0, tall - 0.3), (0.01, 0.42, 0.36), "mirror", (0.85, 0.2, 0.15), (0.0, 0.95))
        parts.add(BOX, (-0.065, 0, tall - 0.36), (0.006, 0.27, 0.22), "mirror", (0.93, 0.93, 0.9), (0.0, 0.95))
    else:
        wide = rng.uniform(0.3, 0.6)
        parts.box((-0.06, -wide, tall - 0.75), (-0.04, wide, tall), "mirror", any_of(((0.12, 0.25, 0.62), (0.9, 0.8, 0.2), (0.1, 0.4, 0.2)), rng))
    return parts.built()


def traffic_light(rng: np.random.Generator) -> Shape:
    """A pole with a traffic light; its box counts as a sign."""
    parts = Parts("pole")
    parts.rod((0, 0, -0.1), (0, 0, 3.4), 0.07, "metal", STEEL)
    parts.box((-0.2, -0.16, 2.4), (-0.02, 0.16, 3.35), "plastic", DARK, category="traffic-sign")
    lit = int(rng.integers(3))
    for number, color in enumerate(((0.9, 0.1, 0.1), (0.9, 0.7, 0.1), (0.1, 0.8, 0.3))):
        shade = color if number == lit else (0.15, 0.15, 0.15)
        parts.add(DRUM, (-0.21, 0, 3.15 - 0.3 * number), (0.1, 0.1, 0.01), "glass", shade, turn=(0.0, 90.0, 0.0), category="traffic-sign")
    return parts.built()


def cone(rng: np.random.Generator) -> Shape:
    """A traffic cone with its collar."""
    parts = Parts("traffic-cone")
    tall = rng.uniform(0.5, 0.75)
    parts.box((-0.19, -0.19, 0), (0.19, 0.19, 0.04), "rubber", (0.85, 0.3, 0.1))
    parts.rod((0, 0, 0.03), (0, 0, tall), 0.15, "plastic", (0.9, 0.32, 0.08), 0.8)
    parts.rod((0, 0, 0.45 * tall), (0, 0, 0.65 * tall), 0.107, "mirror", (0.93, 0.93, 0.9), 0.28)
    return parts.built()


def clutter(rng: np.random.Generator) -> Shape:
    """Something else: a bin, a bench, a box of switches or a post box."""
    parts = Parts("other-object")
    kind = int(rng.integers(4))
    if kind == 0:
        parts.box((-0.3, -0.36, 0.05), (0.3, 0.36, 1.05), "plastic", any_of(((0.2, 0.3, 0.2), (0.2, 0.25, 0.4), (0.25, 0.25, 0.25)), rng), (-0.1, -0.1))
        parts.box((-0.33, -0.4, 1.05), (0.33, 0.4, 1.12), "plastic", (0.2, 0.2, 0.2))
    elif kind == 1:
        parts.box((-0.25, -0.9, 0.4), (0.25, 0.9, 0.46), "wood", (0.5, 0.35, 0.2))
        parts.add(BOX, (-0.28, 0, 0.72), (0.02, 0.9, 0.2), "wood", (0.5, 0.35, 0.2), turn=(0.0, -10.0, 0.0))
        for y in (-0.7, 0.7):
            parts.box((-0.22, y - 0.04, 0), (0.22, y + 0.04, 0.4), "metal", DARK)
    elif kind == 2:
        parts.box((-0.2, -0.5, 0), (0.2, 0.5, rng.uniform(1.0, 1.5)), "metal", (0.6, 0.62, 0.6))
    else:
        parts.rod((0, 0, 0), (0, 0, 0.9), 0.06, "metal", DARK)
        parts.box((-0.18, -0.2, 0.85), (0.18, 0.2, 1.35), "paintwork", (0.85, 0.7, 0.1))
        parts.add(HOOP, (0, 0, 0.04), (0.2, 0.2, 0.04), "metal", DARK, (0.6, 0.0))
    return parts.built()
