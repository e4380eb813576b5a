"""Rooms as ScanNet has them, whose pieces carry its free-text names: bedrooms, bathrooms, kitchens, living rooms, offices, libraries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from al3d.world import arrange, furniture, objects
from al3d.world.builder import Builder
from al3d.world.furniture import DARK, FABRICS, STEEL, WOODS, any_of
from al3d.world.objects import BRIGHT, WHITE
from al3d.world.shapes import Piece, Surface, Texture, ball, box, disc, plane, rod, tube
from al3d.world.textures import Color, Plain, Poster, Tiles, Wood, tinted

#: ScanNet's names of what other modules make.
NAMES = {"sofa": "couch", "bookcase": "bookshelf", "board": "whiteboard", "clutter": "object", "column": "pillar"}
LINEN: tuple[Color, ...] = ((0.86, 0.84, 0.80), (0.55, 0.62, 0.72), (0.70, 0.42, 0.40), (0.62, 0.66, 0.55), (0.40, 0.42, 0.50))
PORCELAIN = Plain((0.93, 0.93, 0.92), 0.02, 0.01)


def named(kind: str, piece: Piece) -> Piece:
    """The piece under another name."""
    return Piece(kind, piece.surfaces)


def renaming(room: Builder, names: Mapping[str, str], action: Callable[[], object]) -> None:
    """Do something that places pieces, and give these ScanNet's names."""
    before = len(room.pieces)
    action()
    room.pieces[before:] = [named({**NAMES, **names}.get(piece.kind, piece.kind), piece) for piece in room.pieces[before:]]


def hollow(low: tuple[float, float, float], high: tuple[float, float, float], texture: Texture) -> tuple[Surface, ...]:
    """The inside of a basin: four walls and a floor that face inwards, open above."""
    (x0, y0, z0), (x1, y1, z1) = low, high
    x, y, z = x1 - x0, y1 - y0, z1 - z0
    return (
        plane((x0, y1, z0), (x, 0, 0), (0, 0, z), texture),
        plane((x1, y0, z0), (-x, 0, 0), (0, 0, z), texture),
        plane((x1, y1, z0), (0, -y, 0), (0, 0, z), texture),
        plane((x0, y0, z0), (0, y, 0), (0, 0, z), texture),
        plane((x0, y0, z0), (x, 0, 0), (0, y, 0), texture),
    )


def tub(width: float, depth: float, low: float, high: float, bottom: float, rim: float, texture: Texture) -> tuple[Surface, ...]:
    """A block from `low` to `high` with a basin down to `bottom` in its top; the rim is `rim` metres wide."""
    half = width / 2
    sides = box((-half, 0, low), (half, depth, high), texture)
    top = plane((-half, 0, high), (width, 0, 0), (0, depth, 0), texture, holes=((rim, rim, width - rim, depth - rim),))
    inside = hollow((-half + rim, rim, bottom), (half - rim, depth - rim, high), texture)
    return sides[:4] + (top, sides[5]) + inside


def bed(width: float, rng: np.random.Generator) -> Piece:
    """A bed with headboard and blanket, 2.05 m long."""
    half, wood, linen = width / 2, Wood(any_of(WOODS, rng)), any_of(LINEN, rng)
    parts = box((-half - 0.03, 0, 0), (half + 0.03, 0.05, float(rng.uniform(0.85, 1.1))), wood) + box((-half, 0.05, 0.1), (half, 2.05, 0.3), wood)
    parts += box((-half + 0.02, 0.05, 0.3), (half - 0.02, 2.03, 0.5), Plain(WHITE, 0.05))
    return Piece("bed", parts + box((-half - 0.02, 0.75, 0.22), (half + 0.02, 2.07, 0.54), Plain(linen, 0.15, 0.05)))


def pillow(rng: np.random.Generator) -> Piece:
    """A pillow that lies flat."""
    return Piece("pillow", (ball((0, 0.2, 0.07), (0.3, 0.2, 0.09), Plain(any_of(LINEN, rng), 0.08)),))


def curtain(kind: str, width: float, drop: float, rng: np.random.Generator, color: Color | None = None, patterned: bool = False) -> Piece:
    """Cloth that hangs from z = `drop` to 0 in folds, visible from both sides; a colour that is not given is drawn."""
    color = color or any_of(LINEN + BRIGHT, rng)
    cloth: Texture = Poster(color, (any_of(LINEN, rng), WHITE), 0.14, 0.3) if patterned else Plain(color, 0.12, 0.03)
    count = max(2, round(width / 0.09))
    edges = np.linspace(width / 2, -width / 2, count + 1)
    depths = np.where(np.arange(count + 1) % 2 == 0, 0.02, 0.07)
    parts: tuple[Surface, ...] = ()
    for left, right, near, far in zip(edges[:-1], edges[1:], depths[:-1], depths[1:], strict=True):
        parts += (plane((left, near, 0), (right - left, far - near, 0), (0, 0, drop), cloth),)
        parts += (plane((right, far - 0.006, 0), (left - right, near - far, 0), (0, 0, drop), cloth),)
    return Piece(kind, parts)


def picture(width: float, height: float, rng: np.random.Generator) -> Piece:
    """A framed picture; its lower edge is at z = 0."""
    canvas = Poster(any_of(((0.75, 0.70, 0.58), (0.35, 0.45, 0.55), WHITE), rng), BRIGHT, float(rng.uniform(0.08, 0.2)), 0.6)
    return Piece("picture", box((-width / 2, 0, 0), (width / 2, 0.035, height), Plain(any_of((DARK, *WOODS), rng)), front=canvas))


def block(kind: str, width: float, depth: float, height: float, texture: Texture, low: float = 0.0, top: Texture | None = None) -> Piece:
    """A box that stands against the wall."""
    return Piece(kind, box((-width / 2, 0, low), (width / 2, depth, height), texture, top=top))


def drawers(kind: str, width: float, height: float, rng: np.random.Generator, depth: float = 0.45) -> Piece:
    """A chest of drawers, with handles."""
    wood = Wood(any_of(WOODS, rng), 0.15)
    rows = max(1, round(height / 0.25))
    handles = tuple(
        box((-0.06, depth, (row + 0.5) * height / rows), (0.06, depth + 0.02, (row + 0.5) * height / rows + 0.02), Plain(DARK)) for row in range(rows)
    )
    return Piece(kind, box((-width / 2, 0, 0.03), (width / 2, depth, height), wood) + tuple(surface for handle in handles for surface in handle))


def lamp(rng: np.random.Generator, height: float = 0.45) -> Piece:
    """A lamp with a stem and a round shade."""
    shade = Plain(any_of(LINEN, rng), 0.03)
    return Piece(
        "lamp", (disc((0, 0.16, 0.02), 0.12, Plain(DARK)), tube((0, 0.16, 0), 0.02, height, Plain(STEEL)), tube((0, 0.16, height - 0.2), 0.15, 0.22, shade))
    )


def television(width: float) -> Piece:
    """A flat screen on a foot."""
    return Piece(
        "tv",
        box((-width / 2, 0.12, 0.06), (width / 2, 0.17, 0.06 + 0.58 * width), Plain((0.06, 0.06, 0.07), 0.1))
        + box((-0.2, 0.05, 0), (0.2, 0.25, 0.06), Plain(DARK)),
    )


def tap(y: float) -> tuple[Surface, ...]:
    """A tap, its foot at z = 0 and `y` metres from the wall."""
    return rod((0, y, 0), (0, y, 0.22), 0.018, Plain(STEEL)), rod((0, y, 0.2), (0, y + 0.16, 0.18), 0.015, Plain(STEEL))


def washbasin(rng: np.random.Generator) -> list[Piece]:
    """A basin in a cupboard, a mirror above it."""
    width = float(rng.uniform(0.6, 0.9))
    below = block("bathroom cabinet", width, 0.45, 0.68, Plain(any_of((WHITE, *WOODS), rng), 0.05), 0.1)
    basin = Piece("sink", tub(width + 0.02, 0.48, 0.68, 0.84, 0.72, 0.07, PORCELAIN) + Piece("sink", tap(0.04)).moved(0, 0, 0.84).surfaces)
    return [below, basin, named("mirror", objects.mirror(width, 0.8)).moved(0, 0, 1.1)]


def bathtub(rng: np.random.Generator) -> list[Piece]:
    """A bathtub along the wall, a curtain on a rod before a part of it."""
    length = float(rng.uniform(1.5, 1.7))
    shell = Piece("bathtub", tub(length, 0.75, 0.0, 0.56, 0.14, 0.08, PORCELAIN) + Piece("bathtub", tap(0.03)).moved(length / 2 - 0.2, 0, 0.56).surfaces)
    drawn = float(rng.uniform(0.5, 0.95))
    side = float(rng.choice([-1, 1]))
    cloth = curtain("shower curtain", drawn, 1.75, rng, patterned=True).moved(side * (length - drawn) / 2, 0.72, 0.22)
    return [shell, cloth, Piece("shower curtain rod", (rod((-length / 2, 0.765, 1.99), (length / 2, 0.765, 1.99), 0.015, Plain(STEEL)),))]


def kitchen_row(room: Builder, wall: int, s: float, width: float) -> None:
    """Cupboards below and above, a counter with a sink between them, a stove at its end."""
    rng = room.rng
    front = Plain(any_of((WHITE, (0.60, 0.45, 0.30), (0.35, 0.42, 0.46)), rng), 0.06)
    stone = Plain(tinted((0.42, 0.40, 0.38), rng, 0.3), 0.08, 0.08)
    room.reserve(wall, s, width, 0.66, 0.0, 2.2)
    counter = width - 0.62
    doors = [-counter / 2 + index * counter / max(2, round(counter / 0.6)) for index in range(1, max(2, round(counter / 0.6)))]
    seams = tuple(surface for x in doors for surface in box((x - 0.01, 0.58, 0.12), (x + 0.01, 0.585, 0.84), Plain(DARK)))
    below = Piece("kitchen cabinet", block("", counter, 0.58, 0.88, front, 0.08).surfaces[:4] + seams)
    place = counter * float(rng.uniform(-0.2, 0.05))
    half = counter / 2
    slab = box((-half, 0, 0.88), (half, 0.62, 0.92), stone)
    hole = (place - 0.28 + half, 0.12, place + 0.28 + half, 0.5)
    top = plane((-half, 0, 0.92), (counter, 0, 0), (0, 0.62, 0), stone, holes=(hole,))
    basin = hollow((place - 0.28, 0.12, 0.76), (place + 0.28, 0.5, 0.93), Plain((0.66, 0.67, 0.69), 0.08))
    pieces = [below, Piece("kitchen counter", slab[:4] + (top,)), Piece("sink", basin + Piece("", tap(0.06)).moved(place, 0, 0.92).surfaces)]
    pieces += [named("object", objects.machine(rng)).moved(counter * 0.36, 0.05, 0.92), named("object", arrange.thing(rng)).moved(counter * 0.2, 0.2, 0.92)]
    room.put(wall, s - 0.31, pieces)
    room.put(wall, s - 0.31, [named("kitchen cabinet", objects.wall_cupboards(counter, rng))], 1.5)
    oven = box((-0.22, 0.6, 0.25), (0.22, 0.625, 0.7), Plain(DARK, 0.1))
    stove = Piece("stove", box((-0.3, 0, 0.03), (0.3, 0.62, 0.91), Plain(any_of((WHITE, STEEL), rng), 0.03), top=Plain(DARK, 0.2)) + oven)
    room.put(wall, s + width / 2 - 0.31, [stove])


def window(room: Builder, wall: int, curtains: bool) -> None:
    """A window in the middle of a wall, with a curtain at each side or none."""
    rng, along = room.rng, room.wall_length(wall)
    width = min(along * 0.5, float(rng.uniform(1.1, 1.8)))
    s = float(rng.uniform(width / 2 + 0.5, along - width / 2 - 0.5))
    room.window(wall, s, width, float(rng.uniform(0.8, 0.95)), room.height - float(rng.uniform(0.35, 0.5)))
    color = any_of(LINEN + BRIGHT, rng)
    for side in (-1, 1) if curtains else ():
        wide = float(rng.uniform(0.35, 0.6))
        cloth = curtain("curtain", wide, room.height - 0.25, rng, color)
        room.put(wall, s + side * (width / 2 + wide / 4), [cloth], 0.06, 0.09)
        room.reserve(wall, s + side * (width / 2 + wide / 4), wide, 0.2, 0.0, room.height)


def pictures(room: Builder, count: int) -> None:
    """Framed pictures on free parts of the walls."""
    for _ in range(count):
        width, height = float(room.rng.uniform(0.35, 0.9)), float(room.rng.uniform(0.35, 0.7))
        arrange.hang(room, picture(width, height, room.rng), width, 1.2, 1.2 + height)


def litter(room: Builder, count: int, bins: int = 1) -> None:
    """Bins, bags and boxes on the floor along the walls."""
    for _ in range(bins):
        arrange.stand(room, named("trash can", objects.bin_(room.rng)), 0.45, 0.45, 0.7)
    makers = [objects.plant, arrange.floor_carton, arrange.pile]
    for _ in range(count):
        index = int(room.rng.integers(len(makers)))
        arrange.stand(room, named(("plant", "box", "box")[index], makers[index](room.rng)), 0.5, 0.48, 0.8)


def workplaces(room: Builder, count: int) -> None:
    """Desks with screens, an office chair at each."""
    for _ in range(count):
        renaming(room, {"table": "desk", "chair": "office chair"}, partial(arrange.workplace, room))


def bedroom(rng: np.random.Generator) -> Builder:
    """A bed between night stands, a wardrobe, a desk, curtains at the window."""
    room = arrange.room(rng, (3.4, 4.8), (3.0, 4.0), (2.4, 2.7))
    arrange.doorway(room, 0, near_end=True)
    window(room, 2, curtains=True)
    width = float(rng.choice([1.0, 1.4, 1.6]))
    place = room.find(width + 1.0, 2.15, 1.1, (1, 3, 2))
    if place is not None:
        room.put(*place, [bed(width, rng)])
        room.put(*place, [pillow(rng).moved(x, 0.1, 0.5) for x in ((0.0,) if width < 1.2 else (-0.36, 0.36))])
        for side in (-1, 1):
            room.put(*place, [drawers("nightstand", 0.42, 0.5, rng, 0.38).moved(side * (width / 2 + 0.26), 0)])
        room.put(*place, [lamp(rng).moved(width / 2 + 0.26, 0, 0.5)])
    arrange.stand(room, named("wardrobe", furniture.cabinet(1.3, 2.0, 0.58, rng)), 1.35, 0.62, 2.05)
    arrange.stand(room, drawers("dresser", 0.9, 0.8, rng), 0.95, 0.5, 0.85)
    workplaces(room, 1)
    pictures(room, 2)
    litter(room, 2)
    return room


def bathroom(rng: np.random.Generator) -> Builder:
    """A bathtub with its curtain, a toilet, a basin, towels, tiles."""
    tile = Tiles(tinted((0.84, 0.86, 0.84), rng, 0.1), (0.62, 0.63, 0.62), 0.2, 0.2)
    floor = Tiles(tinted((0.60, 0.58, 0.54), rng, 0.15), (0.42, 0.41, 0.40), 0.3, 0.3)
    room = arrange.room(rng, (2.7, 3.4), (2.5, 3.0), (2.3, 2.5), floor=floor, walls=tile)
    arrange.doorway(room, 0, near_end=True)
    s = room.wall_length(2) / 2
    bath = bathtub(rng)
    room.reserve(2, s, 1.72, 0.8, 0.0, 2.1)
    room.put(2, s, bath)
    arrange.stand(room, named("toilet", objects.toilet(rng)), 0.7, 0.72, 0.9)
    place = room.find(0.95, 0.5, 1.95, (1, 3, 0))
    if place is not None:
        room.put(*place, washbasin(rng))
    for _ in range(2):
        arrange.hang(room, curtain("towel", 0.4, 0.6, rng), 0.45, 0.9, 1.5)
    arrange.hang(room, picture(0.35, 0.3, rng), 0.4, 1.4, 1.75)
    litter(room, 0)
    return room


def kitchen(rng: np.random.Generator) -> Builder:
    """A row of cupboards with counter, sink and stove, a refrigerator, a table with chairs."""
    floor = Tiles(tinted((0.66, 0.60, 0.52), rng), (0.45, 0.42, 0.38), 0.4, 0.4)
    room = arrange.room(rng, (3.4, 4.8), (3.0, 4.0), (2.4, 2.7), floor=floor)
    arrange.doorway(room, 0, near_end=True)
    width = min(3.2, room.length - 1.0)
    kitchen_row(room, 2, width / 2 + 0.02, width)
    arrange.stand(room, named("refrigerator", objects.fridge(rng)), 0.7, 0.75, 1.8)
    window(room, 1, curtains=False)
    renaming(room, {}, partial(arrange.round_group, room, 4))
    renaming(room, {}, partial(arrange.loose_chairs, room, 1))
    pictures(room, 1)
    litter(room, 1, 2)
    return room


def living_room(rng: np.random.Generator) -> Builder:
    """Couches around a low table, a television, bookshelves, curtains, pictures."""
    room = arrange.room(rng, (4.4, 6.0), (3.8, 5.0), (2.5, 2.8), floor=Wood(any_of(WOODS, rng), 0.12))
    arrange.doorway(room, 0, near_end=True)
    window(room, 2, curtains=True)
    x, y = room.length / 2, room.width / 2
    room.taken.append((x - 0.7, y - 0.5, x + 0.7, y + 0.5))
    room.place(x, y - 0.3, 0.0, [named("coffee table", furniture.small_table(1.1, 0.6, 0.42, rng))])
    room.place(x + float(rng.uniform(-0.3, 0.3)), y - 0.2, float(rng.uniform(0, 6)), [named("object", objects.papers(rng))], 0.42)
    arrange.stand(room, named("couch", furniture.sofa(3, rng)), 2.3, 0.95, 0.85)
    arrange.stand(room, named("couch", furniture.sofa(2, rng)), 1.7, 0.95, 0.85)
    arrange.stand(room, named("armchair", furniture.sofa(1, rng)), 1.1, 0.95, 0.85)
    place = room.find(1.5, 0.5, 1.4)
    if place is not None:
        room.put(*place, [drawers("tv stand", 1.4, 0.5, rng)])
        room.put(*place, [television(float(rng.uniform(0.9, 1.25)))], 0.5)
    renaming(room, {}, partial(arrange.bookcases, room, 1))
    arrange.stand(room, lamp(rng, 1.55), 0.4, 0.4, 1.6)
    pictures(room, 3)
    litter(room, 2)
    return room


def office(rng: np.random.Generator) -> Builder:
    """Desks with screens, office chairs, a bookshelf, a cabinet, a whiteboard."""
    room = arrange.room(rng, (3.8, 5.4), (3.2, 4.4), (2.5, 2.8))
    arrange.doorway(room, 0)
    renaming(room, {}, partial(arrange.windows, room, 2))
    workplaces(room, int(rng.integers(2, 5)))
    renaming(room, {}, partial(arrange.bookcases, room, 1))
    renaming(room, {"bookcase": "file cabinet"}, partial(arrange.cabinet, room, 1.2))
    renaming(room, {}, partial(arrange.board, room))
    pictures(room, 1)
    renaming(room, {}, partial(arrange.loose_chairs, room, 2))
    litter(room, 2)
    return room


def library(rng: np.random.Generator) -> Builder:
    """Bookshelves all around, tables with chairs, a couch."""
    room = arrange.room(rng, (4.6, 6.4), (4.0, 5.2), (2.6, 2.9))
    arrange.doorway(room, 0)
    renaming(room, {}, partial(arrange.windows, room, 2))
    renaming(room, {}, partial(arrange.bookcases, room, 6))
    for _ in range(2):
        renaming(room, {}, partial(arrange.round_group, room, 4))
    arrange.stand(room, named("couch", furniture.sofa(2, rng)), 1.7, 0.95, 0.85)
    if rng.random() < 0.5:
        arrange.stand(room, block("kitchen counter", 1.6, 0.6, 1.05, Wood(any_of(WOODS, rng)), top=Plain(any_of(FABRICS, rng))), 1.7, 0.65, 1.1)
    pictures(room, 2)
    litter(room, 2)
    return room


#: What ScanNet calls each kind of room, and how it is made.
LAYOUTS: dict[str, Callable[[np.random.Generator], Builder]] = {
    "Bedroom / Hotel": bedroom,
    "Bathroom": bathroom,
    "Kitchen": kitchen,
    "Living room / Lounge": living_room,
    "Office": office,
    "Bookstore / Library": library,
}
