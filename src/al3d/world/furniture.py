"""Furniture of the classes chair, table, bookcase and sofa: each stands on z = 0, its back at y = 0, centred on x = 0, facing +y."""

from __future__ import annotations

import numpy as np

from al3d.world.shapes import Piece, Surface, ball, box, disc, rod, tube
from al3d.world.textures import Books, Color, Plain, Wood, tinted

WOODS: tuple[Color, ...] = ((0.72, 0.52, 0.33), (0.55, 0.36, 0.22), (0.82, 0.68, 0.48), (0.42, 0.27, 0.18))
FABRICS: tuple[Color, ...] = ((0.18, 0.20, 0.26), (0.45, 0.14, 0.14), (0.15, 0.28, 0.42), (0.25, 0.36, 0.24), (0.36, 0.33, 0.30), (0.12, 0.12, 0.13))
STEEL: Color = (0.55, 0.56, 0.58)
DARK: Color = (0.12, 0.12, 0.13)


def any_of(colors: tuple[Color, ...], rng: np.random.Generator) -> Color:
    """One of the colours, a little off."""
    return tinted(colors[int(rng.integers(len(colors)))], rng)


def legs(width: float, low: float, depth: float, height: float, radius: float, color: Color) -> tuple[Surface, ...]:
    """Four upright round legs under a top of `width` x (`low` to `depth`) metres."""
    x, near, far = width / 2 - 2 * radius, low + 2 * radius, depth - 2 * radius
    return tuple(tube((sx, y, 0), radius, height, Plain(color)) for sx in (-x, x) for y in (near, far))


def desk(width: float, depth: float, rng: np.random.Generator) -> Piece:
    """A writing desk, 0.74 m high, with a drawer block on one side and a panel or legs on the other."""
    wood = Wood(any_of(WOODS, rng))
    half, block = width / 2, 0.42
    parts = box((-half, 0, 0.70), (half, depth, 0.74), wood)
    parts += box((half - block, 0.08, 0.05), (half - 0.03, depth - 0.06, 0.70), Wood(wood.color, 0.11) if rng.random() < 0.5 else Plain(tinted(STEEL, rng)))
    parts += box((-half + 0.02, 0.03, 0), (-half + 0.06, depth - 0.03, 0.70), wood)
    parts += box((-half + 0.06, 0.05, 0.30), (half - block, 0.07, 0.70), wood)
    return Piece("table", parts)


def long_table(length: float, width: float, rng: np.random.Generator) -> Piece:
    """A conference table on two pedestals, centred on the origin, long in x."""
    wood = Wood(any_of(WOODS, rng), 0.09)
    x, y = length / 2, width / 2
    parts = box((-x, -y, 0.69), (x, y, 0.75), wood)
    for center in (-length * 0.3, length * 0.3):
        parts += box((center - 0.25, -y * 0.45, 0), (center + 0.25, y * 0.45, 0.69), Plain(tinted(DARK, rng)))
    return Piece("table", parts)


def small_table(width: float, depth: float, height: float, rng: np.random.Generator) -> Piece:
    """A plain table with four legs."""
    wood = Wood(any_of(WOODS, rng))
    return Piece(
        "table", box((-width / 2, 0, height - 0.04), (width / 2, depth, height), wood) + legs(width, 0, depth, height - 0.04, 0.025, tinted(DARK, rng))
    )


def round_table(radius: float, height: float, rng: np.random.Generator) -> Piece:
    """A round table on one stem, centred on the origin."""
    top, steel = Wood(any_of(WOODS, rng)), Plain(tinted(STEEL, rng))
    rim = tube((0, 0, height - 0.04), radius, 0.04, top)
    return Piece("table", (disc((0, 0, height), radius, top), rim, tube((0, 0, 0.04), 0.05, height - 0.08, steel), disc((0, 0, 0.04), radius * 0.55, steel)))


def counter(width: float, rng: np.random.Generator) -> Piece:
    """A kitchen counter, 0.92 m high and 0.62 m deep."""
    cupboard = Plain(any_of(((0.86, 0.86, 0.84), (0.60, 0.45, 0.30), (0.35, 0.42, 0.46)), rng), 0.08)
    stone = Plain(tinted((0.30, 0.30, 0.31), rng), 0.06, 0.08)
    return Piece("table", box((-width / 2, 0, 0.08), (width / 2, 0.58, 0.88), cupboard) + box((-width / 2, 0, 0.88), (width / 2, 0.62, 0.92), stone))


def office_chair(rng: np.random.Generator) -> Piece:
    """A swivel chair: five feet, a stem, a seat, a back, two armrests; centred on the origin."""
    cloth, black = Plain(any_of(FABRICS, rng), 0.05, 0.06), Plain(DARK)
    angles = 2 * np.pi * np.arange(5) / 5 + rng.uniform(0, 1)
    parts: tuple[Surface, ...] = tuple(rod((0, 0, 0.11), (0.30 * float(np.cos(a)), 0.30 * float(np.sin(a)), 0.05), 0.025, black) for a in angles)
    parts += (tube((0, 0, 0.1), 0.03, 0.34, Plain(STEEL)),)
    parts += box((-0.24, -0.23, 0.43), (0.24, 0.25, 0.50), cloth)
    parts += box((-0.22, -0.29, 0.55), (0.22, -0.23, 1.02), cloth) + box((-0.04, -0.31, 0.40), (0.04, -0.28, 0.70), black)
    for side in (-0.29, 0.25):
        parts += box((side, -0.15, 0.66), (side + 0.04, 0.15, 0.69), black) + box((side, -0.02, 0.46), (side + 0.04, 0.02, 0.66), black)
    return Piece("chair", parts)


def plain_chair(color: Color, rng: np.random.Generator) -> Piece:
    """A chair on four legs, centred on the origin; those of one room share a colour."""
    cloth, steel = Plain(tinted(color, rng, 0.05), 0.05, 0.04), tinted(STEEL, rng)
    parts = box((-0.22, -0.21, 0.43), (0.22, 0.22, 0.48), cloth) + box((-0.22, -0.24, 0.52), (0.22, -0.20, 0.90), cloth)
    parts += legs(0.44, -0.21, 0.22, 0.43, 0.015, steel)
    parts += tuple(tube((x, -0.22, 0.43), 0.015, 0.45, Plain(steel)) for x in (-0.2, 0.2))
    return Piece("chair", parts)


def bookcase(width: float, height: float, rng: np.random.Generator, depth: float = 0.32) -> Piece:
    """A bookcase: a frame, boards, and rows of books on most of them."""
    wood = Wood(any_of(WOODS, rng))
    half, levels = width / 2, max(2, round(height / 0.38))
    parts = box((-half, 0, 0), (half, 0.02, height), wood)
    parts += box((-half, 0, 0), (-half + 0.03, depth, height), wood) + box((half - 0.03, 0, 0), (half, depth, height), wood)
    pitch = (height - 0.03) / levels
    for level in range(levels + 1):
        parts += box((-half, 0.02, level * pitch), (half, depth, level * pitch + 0.03), wood)
    for level in range(levels):
        start, end = sorted(rng.uniform(-half + 0.05, half - 0.05, 2)) if rng.random() < 0.4 else (-half + 0.05, half - 0.05)
        if end - start > 0.12:
            floor = level * pitch + 0.03
            parts += box((start, 0.03, floor), (end, depth - rng.uniform(0.03, 0.1), floor + pitch * rng.uniform(0.6, 0.8)), Books())
    return Piece("bookcase", parts)


def steel_shelf(width: float, height: float, depth: float, levels: int, rng: np.random.Generator) -> tuple[Piece, tuple[float, ...]]:
    """An open storage shelf with four posts, and the heights of its boards."""
    steel = Plain(any_of(((0.52, 0.53, 0.55), (0.24, 0.30, 0.42), (0.62, 0.60, 0.52)), rng))
    half = width / 2
    heights = tuple(0.1 + level * (height - 0.15) / (levels - 1) for level in range(levels))
    parts: tuple[Surface, ...] = ()
    for x in (-half, half - 0.04):
        for y in (0.0, depth - 0.04):
            parts += box((x, y, 0), (x + 0.04, y + 0.04, height), steel)
    for level in heights:
        parts += box((-half, 0, level - 0.03), (half, depth, level), steel)
    return Piece("bookcase", parts), heights


def cabinet(width: float, height: float, depth: float, rng: np.random.Generator) -> Piece:
    """A closed cupboard with two doors and a thin gap between them; it counts as a bookcase."""
    front = Plain(any_of(((0.62, 0.62, 0.60), (0.72, 0.55, 0.38), (0.80, 0.80, 0.77)), rng))
    parts = box((-width / 2, 0, 0), (width / 2, depth, height), front)
    parts += box((-0.008, depth, 0.05), (0.008, depth + 0.01, height - 0.03), Plain(DARK))
    parts += tuple(rod((x, depth + 0.03, height * 0.45), (x, depth + 0.03, height * 0.6), 0.01, Plain(STEEL)) for x in (-0.06, 0.06))
    return Piece("bookcase", parts)


def sofa(seats: int, rng: np.random.Generator) -> Piece:
    """A sofa (or an armchair, with one seat) with cushions and armrests."""
    color = any_of(FABRICS + ((0.62, 0.50, 0.36), (0.70, 0.66, 0.60)), rng)
    cloth, lighter = Plain(color, 0.06, 0.06), Plain(tinted(color, rng, 0.15), 0.06, 0.06)
    half = 0.31 * seats
    parts = box((-half, 0.05, 0.06), (half, 0.85, 0.30), cloth)
    for side in (-half - 0.18, half):
        parts += box((side, 0.05, 0.06), (side + 0.18, 0.85, 0.62), cloth)
    parts += box((-half, 0, 0.06), (half, 0.22, 0.82), cloth)
    for seat in range(seats):
        left = -half + 0.62 * seat
        parts += box((left + 0.01, 0.22, 0.30), (left + 0.61, 0.88, 0.44), lighter)
        parts += (ball((left + 0.31, 0.27, 0.62), (0.27, 0.10, 0.2), lighter),)
    return Piece("sofa", parts)
