"""Objects of the class clutter: what stands on desks, shelves and floors. Each stands on z = 0 and is centred on x = 0."""

from __future__ import annotations

import numpy as np

from al3d.world.furniture import DARK, STEEL, any_of
from al3d.world.shapes import Piece, Surface, ball, box, disc, plane, rod, tube
from al3d.world.textures import Books, Color, Plain, Poster, tinted

CARDBOARD: Color = (0.70, 0.54, 0.36)
BRIGHT: tuple[Color, ...] = ((0.75, 0.15, 0.12), (0.12, 0.35, 0.65), (0.90, 0.72, 0.12), (0.15, 0.5, 0.25), (0.88, 0.88, 0.86), (0.45, 0.2, 0.5))
WHITE: Color = (0.90, 0.90, 0.89)


def _clutter(*groups: tuple[Surface, ...]) -> Piece:
    return Piece("clutter", tuple(surface for group in groups for surface in group))


def monitor(rng: np.random.Generator) -> Piece:
    """A screen on a foot; the picture faces +y."""
    width, height = rng.uniform(0.46, 0.62), rng.uniform(0.28, 0.36)
    screen = Poster(tinted((0.25, 0.45, 0.75), rng, 0.3), BRIGHT, 0.07, 0.25)
    panel = box((-width / 2, 0.08, 0.12), (width / 2, 0.12, 0.12 + height), Plain(DARK), front=screen)
    return _clutter(panel, box((-0.03, 0.05, 0), (0.03, 0.08, 0.3), Plain(DARK)), box((-0.12, 0.0, 0), (0.12, 0.18, 0.02), Plain(DARK)))


def keyboard(rng: np.random.Generator) -> Piece:
    """A keyboard."""
    return _clutter(box((-0.22, 0, 0), (0.22, 0.15, 0.03), Plain(any_of((DARK, WHITE), rng), 0.02, 0.15)))


def papers(rng: np.random.Generator) -> Piece:
    """A stack of paper, or of books lying flat."""
    thick = rng.uniform(0.02, 0.18)
    return _clutter(box((-0.11, 0, 0), (0.11, 0.30, thick), Books(0.03) if rng.random() < 0.4 else Plain(WHITE, 0.05, 0.06)))


def mug(rng: np.random.Generator) -> Piece:
    """A mug or a pen pot."""
    color = Plain(any_of(BRIGHT, rng))
    return _clutter((tube((0, 0.05, 0), 0.045, 0.1, color), disc((0, 0.05, 0.07), 0.045, Plain(DARK))))


def desk_lamp(rng: np.random.Generator) -> Piece:
    """A lamp with a foot, two arms and a shade."""
    color = Plain(any_of(BRIGHT, rng))
    arms = (rod((0, 0.08, 0.02), (0, 0.02, 0.32), 0.012, color), rod((0, 0.02, 0.32), (0, 0.22, 0.45), 0.012, color))
    return _clutter((disc((0, 0.08, 0.02), 0.08, color),) + arms + (ball((0, 0.24, 0.43), (0.08, 0.08, 0.05), color),))


def computer(rng: np.random.Generator) -> Piece:
    """A computer's tower."""
    return _clutter(box((-0.1, 0, 0), (0.1, 0.45, rng.uniform(0.38, 0.46)), Plain(any_of((DARK, (0.4, 0.4, 0.42)), rng))))


def bin_(rng: np.random.Generator) -> Piece:
    """A waste bin."""
    radius, height = rng.uniform(0.14, 0.2), rng.uniform(0.3, 0.6)
    color = Plain(any_of((DARK, STEEL, (0.15, 0.25, 0.5), (0.2, 0.4, 0.25)), rng))
    return _clutter((tube((0, radius, 0), radius, height, color), disc((0, radius, height * 0.7), radius, Plain(WHITE, 0.2, 0.2))))


def plant(rng: np.random.Generator) -> Piece:
    """A potted plant: a pot and a crown of leafy balls."""
    height = rng.uniform(0.6, 1.3)
    pot = (tube((0, 0.2, 0), 0.16, 0.3, Plain(any_of(((0.65, 0.35, 0.22), WHITE, DARK), rng))), disc((0, 0.2, 0.28), 0.16, Plain((0.2, 0.14, 0.1))))
    leaves = tuple(
        ball(
            (0.16 * rng.standard_normal(), max(0.17, 0.22 + 0.1 * rng.standard_normal()), height * rng.uniform(0.5, 1.0)),
            (0.15, 0.15, 0.13),
            Plain(tinted((0.16, 0.4, 0.14), rng, 0.3), 0.2, 0.2),
        )
        for _ in range(7)
    )
    return _clutter(pot, (rod((0, 0.2, 0.28), (0.02, 0.2, height * 0.7), 0.02, Plain((0.35, 0.25, 0.15))),), leaves)


def carton(width: float, depth: float, height: float, rng: np.random.Generator) -> Piece:
    """A box of cardboard or plastic, sometimes with a label on its front."""
    color = tinted(CARDBOARD, rng, 0.15) if rng.random() < 0.7 else any_of(BRIGHT, rng)
    front = Poster(color, (WHITE, DARK), 0.09, 0.25) if rng.random() < 0.5 else None
    return _clutter(box((-width / 2, 0, 0), (width / 2, depth, height), Plain(color, 0.06, 0.04), front=front))


def copier(rng: np.random.Generator) -> Piece:
    """A floor-standing copier with a scanner lid, a control panel and trays."""
    body, dark = Plain(tinted((0.80, 0.80, 0.78), rng)), Plain((0.25, 0.26, 0.28))
    parts = box((-0.32, 0, 0.05), (0.32, 0.65, 0.85), body) + box((-0.34, 0, 0.85), (0.34, 0.62, 1.0), dark) + box((-0.30, 0.02, 1.0), (0.30, 0.55, 1.12), body)
    trays = tuple(surface for level in (0.15, 0.33, 0.51) for surface in box((-0.28, 0.65, level), (0.28, 0.67, level + 0.14), dark))
    return _clutter(parts, trays, box((-0.62, 0.1, 0.62), (-0.32, 0.55, 0.65), body), box((0.12, 0.6, 1.0), (0.32, 0.72, 1.06), Plain((0.2, 0.5, 0.75))))


def fridge(rng: np.random.Generator) -> Piece:
    """A tall refrigerator with two doors."""
    color = Plain(any_of((WHITE, (0.65, 0.66, 0.68)), rng), 0.03)
    handles = tuple(rod((-0.26, 0.72, z), (-0.26, 0.72, z + 0.35), 0.015, Plain(STEEL)) for z in (0.7, 1.3))
    return _clutter(box((-0.32, 0, 0), (0.32, 0.66, 1.16), color), box((-0.32, 0, 1.18), (0.32, 0.66, 1.78), color), handles)


def wall_cupboards(width: float, rng: np.random.Generator) -> Piece:
    """A row of closed kitchen cupboards, about 0.6 m wide each."""
    color = Plain(any_of((WHITE, (0.60, 0.45, 0.30), (0.35, 0.42, 0.46)), rng))
    count = max(1, int(width / 0.6))
    edges = [-width / 2 + index * width / count for index in range(count + 1)]
    return _clutter(*(box((left + 0.01, 0, 0), (right - 0.01, 0.34, 0.7), color) for left, right in zip(edges, edges[1:], strict=False)))


def machine(rng: np.random.Generator) -> Piece:
    """A small kitchen machine: microwave, coffee maker or kettle."""
    if rng.random() < 0.5:
        return _clutter(box((-0.25, 0.1, 0), (0.25, 0.45, 0.29), Plain(any_of((WHITE, DARK), rng)), front=Poster(DARK, (STEEL, DARK), 0.18, 0.5)))
    color = Plain(any_of((DARK, STEEL, (0.6, 0.1, 0.1)), rng))
    return _clutter(
        box((-0.12, 0.1, 0), (0.12, 0.4, 0.05), color), box((-0.12, 0.1, 0.05), (0.12, 0.2, 0.38), color), box((-0.12, 0.2, 0.28), (0.12, 0.4, 0.38), color)
    )


def sink(rng: np.random.Generator) -> Piece:
    """A wash basin with a tap, to be set on a counter or hung on a wall."""
    del rng
    white = Plain((0.93, 0.93, 0.92))
    bowl = (ball((0, 0.28, 0.0), (0.24, 0.19, 0.10), white), disc((0, 0.28, 0.06), 0.17, Plain((0.7, 0.71, 0.72))))
    return _clutter(bowl, (rod((0, 0.05, 0), (0, 0.07, 0.2), 0.015, Plain(STEEL)), rod((0, 0.07, 0.2), (0, 0.2, 0.18), 0.012, Plain(STEEL))))


def toilet(rng: np.random.Generator) -> Piece:
    """A toilet: tank, bowl, lid."""
    del rng
    white = Plain((0.94, 0.94, 0.93), 0.02, 0.01)
    return _clutter(box((-0.19, 0, 0.38), (0.19, 0.18, 0.78), white), (ball((0, 0.42, 0.3), (0.19, 0.27, 0.14), white), tube((0, 0.36, 0), 0.12, 0.25, white)))


def sheet(width: float, height: float, rng: np.random.Generator) -> Piece:
    """A poster, a mirror-like panel or a notice on a wall: its lower edge at z = 0, facing +y."""
    inks = tuple(any_of(BRIGHT, rng) for _ in range(4))
    poster = Poster(any_of((WHITE, (0.2, 0.25, 0.4), (0.85, 0.78, 0.6)), rng), inks, float(rng.uniform(0.06, 0.2)), 0.55)
    return _clutter((plane((width / 2, 0.015, 0), (-width, 0, 0), (0, 0, height), poster),))


def mirror(width: float, height: float) -> Piece:
    """A mirror; what it reflects is left out."""
    return _clutter((plane((width / 2, 0.02, 0), (-width, 0, 0), (0, 0, height), Plain((0.62, 0.68, 0.72), 0.15, 0.03)),))


def extinguisher(rng: np.random.Generator) -> Piece:
    """A fire extinguisher."""
    red = Plain(tinted((0.75, 0.08, 0.08), rng))
    return _clutter(
        (tube((0, 0.12, 0.6), 0.08, 0.42, red), ball((0, 0.12, 1.02), (0.08, 0.08, 0.06), red), rod((0, 0.12, 1.05), (0.1, 0.14, 0.8), 0.015, Plain(DARK)))
    )


def radiator(width: float) -> Piece:
    """A ribbed heater on a wall."""
    return _clutter(box((-width / 2, 0.04, 0.12), (width / 2, 0.12, 0.68), Plain((0.88, 0.87, 0.84), 0.02, 0.06)))


def lamp(width: float, depth: float) -> Piece:
    """A bright panel that hangs 3 cm below z = 0, centred on the origin."""
    return _clutter(box((-width / 2, -depth / 2, -0.03), (width / 2, depth / 2, 0), Plain((0.97, 0.97, 0.93), 0.01, 0.01)))


def pipe(length: float, radius: float) -> Piece:
    """A pipe along x below z = 0, centred on the origin."""
    return _clutter((rod((-length / 2, 0, -radius - 0.06), (length / 2, 0, -radius - 0.06), radius, Plain((0.6, 0.6, 0.58))),))


def ladder() -> Piece:
    """A ladder that leans against the wall at y = 0."""
    color = Plain((0.78, 0.72, 0.35))
    rails = tuple(rod((x, 0.45, 0), (x, 0.06, 1.9), 0.025, color) for x in (-0.2, 0.2))
    return _clutter(rails, tuple(rod((-0.2, 0.45 - 0.2 * z, z), (0.2, 0.45 - 0.2 * z, z), 0.015, color) for z in (0.3, 0.6, 0.9, 1.2, 1.5, 1.8)))


def projector() -> Piece:
    """A projector below a ceiling at z = 0, centred on the origin."""
    return _clutter(box((-0.18, -0.14, -0.45), (0.18, 0.14, -0.32), Plain(WHITE)), (rod((0, 0, -0.32), (0, 0, 0), 0.02, Plain(STEEL)),))
