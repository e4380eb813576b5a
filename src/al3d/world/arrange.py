"""Arrangements that several kinds of rooms share: a workplace, full shelves, windows in a row, things on the floor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from al3d.world import fixtures, furniture, objects
from al3d.world.builder import Builder
from al3d.world.shapes import Piece, Surface, Texture, box
from al3d.world.textures import Carpet, Color, Plain, Tiles, Wood, tinted

PAINTS: tuple[Color, ...] = ((0.86, 0.84, 0.78), (0.80, 0.83, 0.80), (0.88, 0.88, 0.86), (0.84, 0.78, 0.68), (0.72, 0.77, 0.83), (0.85, 0.80, 0.74))
CARPETS: tuple[Color, ...] = ((0.36, 0.38, 0.42), (0.30, 0.36, 0.44), (0.44, 0.36, 0.32), (0.38, 0.42, 0.36))
ALL_WALLS = (0, 1, 2, 3)
Maker = Callable[[np.random.Generator], Piece]


def room(
    rng: np.random.Generator,
    length: tuple[float, float],
    width: tuple[float, float],
    height: tuple[float, float],
    floor: Texture | None = None,
    walls: Texture | None = None,
    ceiling: Texture | None = None,
) -> Builder:
    """An empty room with sizes from the given ranges (metres) and lamps; surfaces not given are drawn."""
    if floor is None:
        floor = Carpet(tinted(CARPETS[int(rng.integers(len(CARPETS)))], rng)) if rng.random() < 0.7 else Wood(furniture.any_of(furniture.WOODS, rng), 0.12)
    white = tinted((0.88, 0.88, 0.85), rng, 0.04)
    ceiling = ceiling or Tiles(white, (0.66, 0.66, 0.64), 0.6, 0.6, 0.015)
    walls = walls or Plain(furniture.any_of(PAINTS, rng), 0.05)
    sizes = [float(rng.uniform(*span)) for span in (length, width, height)]
    built = Builder(sizes[0], sizes[1], sizes[2], rng, floor, ceiling, walls)
    built.lamps(max(1, round(built.length / 2.6)), max(1, round(built.width / 2.4)), 1.1, 0.35)
    return built


def doorway(room: Builder, wall: int, near_end: bool = False) -> None:
    """A door at a free place of that wall, or within a metre of one of its ends."""
    along, half = room.wall_length(wall), 0.56
    for _ in range(20):
        s = float(room.rng.uniform(half, along - half))
        if near_end:
            s = half + 0.3 * float(room.rng.random()) if room.rng.random() < 0.5 else along - half - 0.3 * float(room.rng.random())
        if room.fits(wall, s, 1.12, 0.0, 0.0, fixtures.DOOR_HEIGHT + 0.1):
            room.door(wall, s)
            return


def windows(room: Builder, wall: int) -> None:
    """One to three windows in a row that fill about half of the wall, each with a heater below."""
    along = room.wall_length(wall)
    count = max(1, round(along / 2.6))
    width = along / count * float(room.rng.uniform(0.45, 0.7))
    low, high = float(room.rng.uniform(0.85, 1.05)), room.height - float(room.rng.uniform(0.3, 0.5))
    for index in range(count):
        s = (index + 0.5) * along / count
        room.window(wall, s, width, low, high)
        room.put(wall, s, [objects.radiator(width * 0.8)])


def thing(rng: np.random.Generator) -> Piece:
    """Some small thing for a table or a shelf."""
    makers: tuple[Maker, ...] = (objects.papers, objects.papers, objects.mug, lambda r: objects.carton(0.2, 0.18, float(r.uniform(0.08, 0.2)), r))
    return makers[int(rng.integers(len(makers)))](rng)


def workplace(room: Builder) -> None:
    """A desk with screen, keyboard, papers and a lamp, a chair in front of it and mostly a computer below."""
    rng = room.rng
    width, depth = float(rng.uniform(1.3, 1.8)), float(rng.uniform(0.7, 0.8))
    place = room.find(width, depth + 0.7, 0.8)
    if place is None:
        return
    on_top = [objects.monitor(rng).moved(-0.1, 0.08), objects.keyboard(rng).moved(-0.1, 0.42)]
    if rng.random() < 0.4:
        on_top.append(objects.monitor(rng).moved(0.5, 0.1, 0.0, -0.3))
    on_top += [
        thing(rng).moved(spot, float(rng.uniform(0.05, 0.4)), 0.0, float(rng.uniform(-0.5, 0.5)))
        for spot in rng.uniform(0.3, width / 2 - 0.12, 2) * rng.choice([-1, 1], 2)
    ]
    if rng.random() < 0.4:
        on_top.append(objects.desk_lamp(rng).moved(-width / 2 + 0.15, 0.1))
    room.put(*place, [furniture.desk(width, depth, rng)])
    room.put(*place, on_top, 0.74)
    room.put(*place, [furniture.office_chair(rng)], 0.0, depth + float(rng.uniform(0.1, 0.4)), np.pi + float(rng.uniform(-0.6, 0.6)))
    if rng.random() < 0.7:
        room.put(*place, [objects.computer(rng).moved(-width / 2 + 0.25, 0.15)])


def stand(room: Builder, piece: Piece, width: float, depth: float, high: float, walls: Iterable[int] = ALL_WALLS) -> bool:
    """Stand a piece against some wall; false when no place was found."""
    place = room.find(width, depth, high, walls)
    if place is not None:
        room.put(*place, [piece])
    return place is not None


def hang(room: Builder, piece: Piece, width: float, low: float, high: float, walls: Iterable[int] = ALL_WALLS) -> bool:
    """Hang a piece (whose lower edge is at its z = 0) on some wall at `low`; false when no place was found."""
    place = room.find(width, 0.0, high, walls, low)
    if place is not None:
        room.put(*place, [piece], low)
    return place is not None


def bookcases(room: Builder, count: int) -> None:
    """Bookcases against the walls, some low with things on top."""
    for _ in range(count):
        width = float(room.rng.uniform(0.8, 1.3))
        height = float(room.rng.uniform(1.7, 2.1)) if room.rng.random() < 0.7 else float(room.rng.uniform(0.8, 1.2))
        place = room.find(width, 0.4, height + 0.05)
        if place is not None:
            room.put(*place, [furniture.bookcase(width, height, room.rng)])
            room.put(*place, [thing(room.rng).moved(float(room.rng.uniform(-0.3, 0.3)), 0.02)], height)


def cabinet(room: Builder, height: float) -> None:
    """A closed cupboard with a carton on it."""
    place = room.find(0.9, 0.5, height + 0.4)
    if place is not None:
        room.put(*place, [furniture.cabinet(0.85, height, 0.42, room.rng), objects.carton(0.4, 0.3, 0.25, room.rng).moved(0.1, 0.05, height)])


def board(room: Builder) -> None:
    """A whiteboard or a notice board."""
    width, height = float(room.rng.uniform(1.1, 1.9)), float(room.rng.uniform(0.8, 1.15))
    piece = fixtures.whiteboard(width, height) if room.rng.random() < 0.6 else fixtures.pinboard(width, height, room.rng)
    hang(room, piece, width, 0.95, 0.95 + height)


def sheets(room: Builder, count: int) -> None:
    """Posters and notices."""
    for _ in range(count):
        width, height = float(room.rng.uniform(0.3, 0.8)), float(room.rng.uniform(0.3, 0.9))
        hang(room, objects.sheet(width, height, room.rng), width, 1.15, 1.15 + height)


def floor_carton(rng: np.random.Generator) -> Piece:
    """A carton on the floor."""
    return objects.carton(float(rng.uniform(0.3, 0.5)), float(rng.uniform(0.25, 0.4)), float(rng.uniform(0.2, 0.45)), rng)


def pile(rng: np.random.Generator) -> Piece:
    """Two to four cartons, one on another."""
    faces: list[Surface] = []
    height = 0.0
    for _ in range(int(rng.integers(2, 5))):
        rise = float(rng.uniform(0.18, 0.38))
        turned = objects.carton(float(rng.uniform(0.32, 0.45)), 0.36, rise, rng).moved(0, 0.02, height, float(rng.uniform(-0.15, 0.15)))
        faces.extend(turned.surfaces)
        height += rise
    return Piece("clutter", tuple(faces))


def scatter(room: Builder, makers: Sequence[Maker], count: int) -> None:
    """Up to `count` things on the floor along the walls."""
    for _ in range(count):
        stand(room, makers[int(room.rng.integers(len(makers)))](room.rng), 0.5, 0.48, 0.8)


def loose_chairs(room: Builder, count: int) -> None:
    """Visitor chairs anywhere on the floor."""
    color = furniture.any_of(furniture.FABRICS, room.rng)
    for _ in range(count):
        spot = room.find_floor(0.6, 0.6)
        if spot is not None:
            room.place(*spot, float(room.rng.uniform(0, 2 * np.pi)), [furniture.plain_chair(color, room.rng)])


def beam(room: Builder, along: bool) -> None:
    """A beam below the ceiling, along or across the room."""
    color = tinted(PAINTS[2], room.rng)
    if along:
        room.place(room.length / 2, room.width * float(room.rng.uniform(0.25, 0.4)), 0.0, [fixtures.beam(room.length, 0.3, 0.25, color)], room.height)
    else:
        room.place(room.length * float(room.rng.uniform(0.3, 0.7)), room.width / 2, np.pi / 2, [fixtures.beam(room.width, 0.3, 0.25, color)], room.height)


def column(room: Builder) -> None:
    """A square column against a wall, or a round one anywhere."""
    color = tinted(PAINTS[2], room.rng)
    if room.rng.random() < 0.7:
        stand(room, fixtures.column(0.4, 0.35, room.height, color), 0.44, 0.36, room.height)
        return
    spot = room.find_floor(0.5, 0.5, 0.3)
    if spot is not None:
        room.place(*spot, 0.0, [fixtures.round_column(0.2, room.height, color)])


def shelf(room: Builder, wall: int) -> None:
    """A steel shelf full of cartons and other things."""
    rng = room.rng
    width, depth, height = float(rng.uniform(1.0, 1.7)), float(rng.uniform(0.4, 0.55)), float(rng.uniform(1.8, 2.2))
    place = room.find(width, depth + 0.05, height + 0.3, (wall,))
    if place is None:
        return
    frame, levels = furniture.steel_shelf(width, height, depth, int(rng.integers(4, 6)), rng)
    room.put(*place, [frame])
    gap = levels[1] - levels[0]
    for level in levels:
        edge = -width / 2 + 0.05
        while edge < width / 2 - 0.25:
            wide = float(min(rng.uniform(0.18, 0.45), width / 2 - 0.05 - edge))
            if rng.random() < 0.8:
                room.put(
                    *place,
                    [objects.carton(wide, depth * float(rng.uniform(0.5, 0.95)), gap * float(rng.uniform(0.35, 0.85)), rng).moved(edge + wide / 2, 0)],
                    level,
                )
            edge += wide + float(rng.uniform(0.01, 0.12))


def seats_around(room: Builder, x: float, y: float, length: float, width: float) -> None:
    """Chairs that face a table of `length` x `width` from all four sides."""
    color = furniture.any_of(furniture.FABRICS, room.rng)
    swivel = room.rng.random() < 0.5
    count = max(2, int(length / 0.75))
    sides = [((index + 0.5) / count * length - length / 2, side * (width / 2 + 0.25), np.pi / 2 * (1 + side)) for index in range(count) for side in (-1, 1)]
    ends = [(side * (length / 2 + 0.25), 0.0, np.pi / 2 * side) for side in (-1, 1)]
    for dx, dy, yaw in sides + ends:
        if room.rng.random() < 0.92:
            chair = furniture.office_chair(room.rng) if swivel else furniture.plain_chair(color, room.rng)
            shift = room.rng.uniform(-0.08, 0.08, 2)
            room.place(x + dx + float(shift[0]), y + dy + float(shift[1]), yaw + float(room.rng.uniform(-0.3, 0.3)), [chair])


def round_group(room: Builder, count: int) -> None:
    """A round table with `count` chairs around it."""
    spot = room.find_floor(1.7, 1.7, 0.0)
    if spot is None:
        return
    x, y = spot
    color = furniture.any_of(furniture.FABRICS, room.rng)
    room.place(x, y, 0.0, [furniture.round_table(0.42, 0.74, room.rng)])
    room.place(x, y, float(room.rng.uniform(0, 6)), [thing(room.rng)], 0.74)
    start = float(room.rng.uniform(0, 6))
    for index in range(count):
        angle = start + 2 * np.pi * index / count
        room.place(x + 0.62 * float(np.cos(angle)), y + 0.62 * float(np.sin(angle)), angle + np.pi / 2, [furniture.plain_chair(color, room.rng)])


def cubicle(room: Builder, wall: int, index: int, width: float) -> None:
    """A toilet between two partitions with a door in front; partitions count as walls."""
    s = (index + 0.5) * width
    panel, depth = Plain(tinted((0.62, 0.66, 0.70), room.rng, 0.02)), 1.4
    room.put(wall, s, [objects.toilet(room.rng), objects.bin_(room.rng).moved(0.32, 0.2)])
    if index > 0:
        room.put(wall, s - width / 2, [Piece("wall", box((-0.015, 0, 0.12), (0.015, depth, 2.0), panel))])
    posts = box((-width / 2, depth, 0.0), (-width / 2 + 0.18, depth + 0.03, 2.0), panel) + box(
        (width / 2 - 0.18, depth, 0.0), (width / 2, depth + 0.03, 2.0), panel
    )
    room.put(wall, s, [Piece("wall", posts)])
    leaf = Piece("door", box((0, -0.03, 0.15), (width - 0.36, 0, 1.95), Plain(panel.color)))
    swing = -float(room.rng.uniform(0.8, 1.4)) if room.rng.random() < 0.5 else 0.0
    room.put(wall, s, [leaf.moved(-width / 2 + 0.18, depth + 0.03, 0, swing)])
