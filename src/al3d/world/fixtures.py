"""What belongs to the building: doors, windows, boards, columns, beams. Wall fixtures: wall plane y = 0, room at y > 0, centred on x = 0."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from al3d.world.furniture import DARK, STEEL, WOODS, any_of
from al3d.world.objects import BRIGHT, WHITE
from al3d.world.shapes import Piece, Surface, box, plane, rod, tube
from al3d.world.textures import Color, Plain, Poster, Scribbles, Wood, tinted

REVEAL = 0.14
DOOR_HEIGHT = 2.08
#: The share of laser points that a pane sends back.
GLASS_ECHO = 0.35


def _frame(width: float, low: float, high: float, bar: float, color: Color, sill: bool) -> tuple[Surface, ...]:
    """Bars around an opening, 2 cm proud of the wall; without a sill the lower bar is left out."""
    half, paint = width / 2, Plain(color)
    parts = box((-half - bar, -0.02, low), (-half, 0.02, high + bar), paint) + box((half, -0.02, low), (half + bar, 0.02, high + bar), paint)
    parts += box((-half, -0.02, high), (half, 0.02, high + bar), paint)
    return parts + (box((-half - bar, -0.02, low - bar), (half + bar, 0.08, low), paint) if sill else ())


def door(width: float, rng: np.random.Generator, swing: float = 0.0) -> Piece:
    """A door with its frame and handle; `swing` radians into the room about its left edge (0 is closed)."""
    wood = Wood(any_of(WOODS, rng), 0.12) if rng.random() < 0.7 else Plain(any_of(((0.35, 0.40, 0.50), (0.75, 0.73, 0.68)), rng))
    leaf = Piece(
        "door", box((0, -0.045, 0.01), (width, 0, DOOR_HEIGHT), wood) + (rod((width - 0.14, 0.05, 1.02), (width - 0.03, 0.05, 1.02), 0.014, Plain(STEEL)),)
    )
    frame = _frame(width, 0, DOOR_HEIGHT, 0.07, tinted((0.45, 0.42, 0.38), rng, 0.3), sill=False)
    return Piece("door", leaf.moved(-width / 2, 0, 0, swing).surfaces + frame)


def window(width: float, low: float, high: float, rng: np.random.Generator) -> Piece:
    """A recessed window of panes about 0.9 m wide, with frame and sill, sometimes with blinds lowered a part of the way."""
    half, height = width / 2, high - low
    white = Plain(tinted((0.80, 0.80, 0.79), rng))
    glass = Plain(any_of(((0.66, 0.78, 0.92), (0.75, 0.84, 0.88), (0.50, 0.62, 0.70)), rng), 0.15, 0.03)
    parts: tuple[Surface, ...] = (replace(plane((half, -REVEAL, low), (-width, 0, 0), (0, 0, height), glass), echo=GLASS_ECHO),)
    parts += (plane((-half, 0, low), (0, -REVEAL, 0), (0, 0, height), white), plane((half, -REVEAL, low), (0, REVEAL, 0), (0, 0, height), white))
    parts += (plane((-half, -REVEAL, low), (width, 0, 0), (0, REVEAL, 0), white),)
    panes = max(1, round(width / 0.9))
    for bar in range(1, panes):
        x = -half + bar * width / panes
        parts += box((x - 0.03, -REVEAL, low), (x + 0.03, -REVEAL + 0.05, high), white)
    if rng.random() < 0.5:
        drop = height * rng.uniform(0.15, 0.6)
        parts += (plane((half, -0.03, high - drop), (-width, 0, 0), (0, 0, drop), Poster((0.86, 0.84, 0.78), ((0.78, 0.76, 0.70),), 0.05, 0.5)),)
    return Piece("window", parts + _frame(width, low, high, 0.05, white.color, sill=True))


def whiteboard(width: float, height: float) -> Piece:
    """A board with writing, an aluminium rim and a tray; its lower edge is at z = 0."""
    rim = Plain(STEEL)
    parts = box((-width / 2, 0, 0), (width / 2, 0.035, height), rim, front=Scribbles())
    return Piece("board", parts + box((-width / 2, 0.035, -0.02), (width / 2, 0.1, 0.01), rim))


def pinboard(width: float, height: float, rng: np.random.Generator) -> Piece:
    """A notice board of cork or felt with sheets on it; its lower edge is at z = 0."""
    felt = any_of(((0.62, 0.45, 0.28), (0.22, 0.32, 0.45), (0.35, 0.40, 0.36)), rng)
    return Piece("board", box((-width / 2, 0, 0), (width / 2, 0.03, height), Plain(DARK), front=Poster(felt, (WHITE, WHITE, *BRIGHT), 0.17, 0.4)))


def column(width: float, depth: float, height: float, color: Color) -> Piece:
    """A square column against a wall."""
    return Piece("column", box((-width / 2, 0, 0), (width / 2, depth, height), Plain(color, 0.05, 0.03)))


def round_column(radius: float, height: float, color: Color) -> Piece:
    """A free-standing round column, centred on the origin."""
    return Piece("column", (tube((0, 0, 0), radius, height, Plain(color, 0.05, 0.03)),))


def beam(length: float, width: float, depth: float, color: Color) -> Piece:
    """A beam along x below z = 0, centred on the origin."""
    return Piece("beam", box((-length / 2, -width / 2, -depth), (length / 2, width / 2, 0), Plain(color, 0.04, 0.03)))
