"""What a room of each kind holds, and where: one function per kind."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from al3d.world import arrange, fixtures, furniture, objects
from al3d.world.builder import Builder
from al3d.world.shapes import Texture
from al3d.world.textures import Plain, Tiles, Wood, tinted

BRICK = ((0.62, 0.32, 0.25), (0.72, 0.68, 0.62))


def office(rng: np.random.Generator) -> Builder:
    """Desks with screens and chairs along the walls, a window, a bookcase, a board, a door."""
    room = arrange.room(rng, (4.4, 6.6), (3.6, 5.2), (2.6, 2.9))
    arrange.doorway(room, 0)
    arrange.windows(room, 2)
    for _ in range(int(rng.integers(3, 6))):
        arrange.workplace(room)
    arrange.bookcases(room, int(rng.integers(1, 4)))
    if rng.random() < 0.4:
        arrange.cabinet(room, 1.3)
    arrange.board(room)
    arrange.sheets(room, int(rng.integers(1, 4)))
    if rng.random() < 0.3:
        arrange.beam(room, along=True)
    arrange.scatter(room, [objects.bin_, objects.plant, objects.computer, arrange.floor_carton, arrange.pile], 6)
    arrange.loose_chairs(room, int(rng.integers(3, 6)))
    return room


def hallway(rng: np.random.Generator) -> Builder:
    """Long and narrow: many doors, columns on the walls, beams across, notice boards, a window at the far end."""
    room = arrange.room(rng, (9.0, 16.0), (1.8, 2.5), (2.6, 3.0))
    color = tinted(arrange.PAINTS[0], rng)
    bay = room.length / max(2, round(room.length / 4.2))
    for index in range(1, round(room.length / bay)):
        for wall in (0, 2):
            s = index * bay if wall == 0 else room.length - index * bay
            room.reserve(wall, s, 0.45, 0.22, 0.0, room.height)
            room.put(wall, s, [fixtures.column(0.4, 0.18, room.height, color)])
        room.place(index * bay, room.width / 2, np.pi / 2, [fixtures.beam(room.width, 0.34, 0.28, color)], room.height)
    room.window(1, room.width / 2, min(1.3, room.width - 0.5), 0.9, 2.2)
    for wall in (0, 2):
        for _ in range(max(1, round(room.length / 4.5))):
            arrange.doorway(room, wall)
    arrange.board(room)
    arrange.board(room)
    arrange.hang(room, objects.extinguisher(rng), 0.3, 0.5, 1.2)
    arrange.sheets(room, 4)
    if rng.random() < 0.3:
        arrange.cabinet(room, 1.1)
    arrange.scatter(room, [objects.bin_, objects.plant, arrange.floor_carton], 2)
    return room


def conference_room(rng: np.random.Generator) -> Builder:
    """One long table with chairs all around, a whiteboard and a screen at its ends, a projector above."""
    room = arrange.room(rng, (6.4, 8.8), (4.6, 6.0), (2.7, 3.0))
    arrange.doorway(room, 0, near_end=True)
    arrange.windows(room, 2)
    length, width = room.length - 2.8, min(1.7, room.width - 2.8)
    x, y = room.length / 2, room.width / 2
    room.taken.append((x - length / 2 - 0.6, y - width / 2 - 0.6, x + length / 2 + 0.6, y + width / 2 + 0.6))
    room.place(x, y, 0.0, [furniture.long_table(length, width, rng)])
    arrange.seats_around(room, x, y, length, width)
    for spot in rng.uniform(-0.45, 0.45, 5):
        room.place(x + spot * length, y + rng.uniform(-0.2, 0.2) * width, rng.uniform(0, 6), [arrange.thing(rng)], 0.75)
    room.place(x, y, 0.0, [objects.projector()], room.height)
    room.reserve(3, room.width / 2, 2.6, 0.0, 0.8, 2.2)
    room.put(3, room.width / 2, [fixtures.whiteboard(float(rng.uniform(2.0, 2.6)), 1.2)], 0.9)
    if rng.random() < 0.6:
        arrange.column(room)
    arrange.hang(room, objects.sheet(1.3, 0.8, rng), 1.3, 1.1, 1.9, walls=(1,))
    arrange.bookcases(room, 1)
    arrange.sheets(room, 2)
    arrange.scatter(room, [objects.plant, objects.bin_, arrange.floor_carton], 3)
    arrange.loose_chairs(room, 6)
    return room


def storage(rng: np.random.Generator) -> Builder:
    """Steel shelves full of boxes on three walls, cartons on the floor, pipes under the ceiling, no window."""
    room = arrange.room(
        rng, (3.0, 4.6), (2.6, 3.6), (2.6, 3.2), floor=Plain(tinted((0.50, 0.50, 0.48), rng), 0.1, 0.06), ceiling=Plain((0.70, 0.70, 0.68), 0.06, 0.04)
    )
    arrange.doorway(room, 0)
    for wall in (2, 1, 3, 0, 2, 1, 3):
        arrange.shelf(room, wall)
    for _ in range(3):
        room.place(room.length / 2, float(rng.uniform(0.3, room.width - 0.3)), 0.0, [objects.pipe(room.length, float(rng.uniform(0.03, 0.08)))], room.height)
    arrange.beam(room, along=False)
    if rng.random() < 0.7:
        arrange.stand(room, objects.ladder(), 0.5, 0.5, 1.9)
    arrange.scatter(room, [arrange.floor_carton, arrange.floor_carton, arrange.pile, objects.bin_], 7)
    return room


def washroom(rng: np.random.Generator) -> Builder:
    """Tiled walls, cubicles with toilets on one side, basins under mirrors on the other."""
    tile = Tiles(tinted((0.80, 0.86, 0.86), rng), (0.58, 0.60, 0.60), 0.2, 0.2)
    floor = Tiles(tinted((0.50, 0.52, 0.52), rng), (0.35, 0.35, 0.35), 0.3, 0.3)
    room = arrange.room(rng, (3.2, 4.8), (2.9, 3.5), (2.5, 2.8), floor=floor, walls=tile)
    arrange.doorway(room, 3, near_end=True)
    cubicles = int(room.length / 1.0)
    for index in range(cubicles):
        arrange.cubicle(room, 2, index, room.length / cubicles)
    room.taken.append((0.0, room.width - 1.5, room.length, room.width))
    basins = int(rng.integers(2, 4))
    for index in range(basins):
        s = room.length * 0.25 + 0.7 * index
        room.reserve(0, s, 0.6, 0.5, 0.6, 1.9)
        room.put(0, s, [objects.sink(rng)], 0.82)
        room.put(0, s, [objects.mirror(0.5, 0.7)], 1.15)
    arrange.hang(room, objects.sheet(0.3, 0.35, rng), 0.3, 1.1, 1.5, walls=(1,))
    arrange.scatter(room, [objects.bin_], 2)
    if rng.random() < 0.5:
        arrange.column(room)
    return room


def lounge(rng: np.random.Generator) -> Builder:
    """Sofas and armchairs around a low table, plants, pictures, wide windows."""
    wood = Wood(tinted((0.60, 0.44, 0.30), rng), 0.12)
    walls: Texture | None = Tiles(tinted(BRICK[0], rng), BRICK[1], 0.24, 0.08, 0.008, 0.5, 0.12) if rng.random() < 0.5 else None
    room = arrange.room(rng, (5.4, 7.6), (4.4, 6.2), (2.6, 3.1), floor=wood, walls=walls)
    arrange.doorway(room, 0, near_end=True)
    arrange.windows(room, 2)
    x, y = room.length / 2, room.width / 2
    room.taken.append((x - 0.9, y - 0.7, x + 0.9, y + 0.7))
    room.place(x, y - 0.3, 0.0, [furniture.small_table(1.1, 0.6, 0.42, rng)])
    room.place(x + rng.uniform(-0.3, 0.3), y - 0.1, rng.uniform(0, 6), [objects.papers(rng)], 0.42)
    for seats in (3, 2, 1):
        arrange.stand(room, furniture.sofa(seats, rng), 0.62 * seats + 0.4, 0.95, 0.85)
    arrange.round_group(room, 3)
    arrange.bookcases(room, 1)
    arrange.sheets(room, 4)
    arrange.column(room)
    if rng.random() < 0.4:
        arrange.board(room)
    arrange.scatter(room, [objects.plant, objects.plant, objects.bin_], 5)
    arrange.loose_chairs(room, 4)
    return room


def copy_room(rng: np.random.Generator) -> Builder:
    """Copiers, a table with paper, shelves, a notice board."""
    room = arrange.room(rng, (3.0, 4.6), (2.6, 3.4), (2.6, 2.9))
    arrange.doorway(room, 0)
    for _ in range(2):
        arrange.stand(room, objects.copier(rng), 1.3, 0.8, 1.15)
    arrange.board(room)
    place = room.find(1.4, 0.75, 0.9)
    if place is not None:
        room.put(*place, [furniture.small_table(1.3, 0.7, 0.75, rng)])
        for spot in (-0.45, 0.0, 0.4):
            room.put(*place, [objects.papers(rng).moved(spot, 0.2)], 0.75)
    arrange.shelf(room, 1)
    arrange.shelf(room, 2)
    arrange.bookcases(room, 1)
    arrange.beam(room, along=True)
    arrange.sheets(room, 2)
    arrange.scatter(room, [objects.bin_, arrange.floor_carton, arrange.pile], 6)
    arrange.loose_chairs(room, 1)
    return room


def pantry(rng: np.random.Generator) -> Builder:
    """A kitchen counter with a sink, machines and wall cupboards, a refrigerator, a round table with chairs."""
    floor = Tiles(tinted((0.68, 0.62, 0.52), rng), (0.45, 0.42, 0.38), 0.4, 0.4)
    room = arrange.room(rng, (4.4, 6.0), (3.6, 4.8), (2.6, 2.8), floor=floor)
    arrange.doorway(room, 0, near_end=True)
    width = min(3.0, room.length - 1.2)
    room.reserve(2, room.length / 2, width, 0.65, 0.0, 2.3)
    room.put(2, room.length / 2, [furniture.counter(width, rng), objects.sink(rng).moved(-width * 0.3, 0.05, 0.9)])
    room.put(2, room.length / 2, [objects.machine(rng).moved(width * spot, 0.05, 0.92) for spot in (-0.05, 0.15, 0.36)])
    room.put(2, room.length / 2, [objects.wall_cupboards(width, rng)], 1.5)
    arrange.stand(room, objects.fridge(rng), 0.7, 0.75, 1.8)
    room.window(1, room.width / 2, 1.3, 0.95, 2.1)
    arrange.round_group(room, 4)
    arrange.loose_chairs(room, 2)
    if rng.random() < 0.5:
        arrange.board(room)
    arrange.sheets(room, 2)
    arrange.scatter(room, [objects.bin_, objects.plant, objects.bin_], 3)
    return room


LAYOUTS: dict[str, Callable[[np.random.Generator], Builder]] = {
    "office": office,
    "hallway": hallway,
    "conferenceRoom": conference_room,
    "storage": storage,
    "WC": washroom,
    "lounge": lounge,
    "copyRoom": copy_room,
    "pantry": pantry,
}
