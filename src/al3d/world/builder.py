"""Builds one room: keeps what is placed, where the floor and the walls are still free, and cuts openings into the walls."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from al3d.types import F64, Bool
from al3d.world import fixtures
from al3d.world.objects import lamp
from al3d.world.shapes import Hole, Piece, Texture, plane

#: A free place is looked for this often before the thing is left out.
TRIES = 30
Rectangle = tuple[float, float, float, float]


@dataclass
class Builder:
    """A room of `length` x `width` x `height` metres under construction; x along the length, the floor at z = 0.

    Walls 0..3 start at the corners (0,0), (L,0), (L,W), (0,W) and run counter-clockwise; a place on a wall is its distance `s`
    in metres from the wall's start. Furniture stands with its back to the wall.
    """

    length: float
    width: float
    height: float
    rng: np.random.Generator
    floor: Texture
    ceiling: Texture
    walls: Texture
    pieces: list[Piece] = field(default_factory=list)
    #: Floor rectangles (x0, y0, x1, y1) that are taken.
    taken: list[Rectangle] = field(default_factory=list)
    #: Taken parts (s0, z0, s1, z1) of each wall, and the openings among them.
    hung: tuple[list[Hole], ...] = field(default_factory=lambda: ([], [], [], []))
    openings: tuple[list[Hole], ...] = field(default_factory=lambda: ([], [], [], []))
    lights: list[tuple[float, float, float]] = field(default_factory=list)

    def wall_length(self, wall: int) -> float:
        """Metres along that wall."""
        return self.length if wall % 2 == 0 else self.width

    def on_wall(self, wall: int, s: float, depth: float = 0.0) -> tuple[float, float, float]:
        """Position and turn (x, y, yaw) of the place `depth` metres in front of a wall."""
        x0, y0 = ((0.0, 0.0), (self.length, 0.0), (self.length, self.width), (0.0, self.width))[wall]
        yaw = wall * np.pi / 2
        cosine, sine = (1, 0, -1, 0)[wall], (0, 1, 0, -1)[wall]
        return x0 + cosine * s - sine * depth, y0 + sine * s + cosine * depth, yaw

    def put(self, wall: int, s: float, pieces: Iterable[Piece], z: float = 0.0, depth: float = 0.0, turn: float = 0.0) -> None:
        """Set pieces in front of a wall without asking whether the place is free."""
        x, y, yaw = self.on_wall(wall, s, depth)
        self.pieces.extend(piece.moved(x, y, z, yaw + turn) for piece in pieces)

    def place(self, x: float, y: float, yaw: float, pieces: Iterable[Piece], z: float = 0.0) -> None:
        """Set pieces anywhere in the room without asking whether the place is free."""
        self.pieces.extend(piece.moved(x, y, z, yaw) for piece in pieces)

    def reserve(self, wall: int, s: float, width: float, depth: float, low: float, high: float) -> None:
        """Take the floor in front of a wall (if `depth` > 0) and the part of the wall behind."""
        if depth > 0:
            self.taken.append(self._footprint(wall, s, width, depth))
        self.hung[wall].append((s - width / 2, low, s + width / 2, high))

    def find(self, width: float, depth: float, high: float, walls: Iterable[int] = (0, 1, 2, 3), low: float = 0.0) -> tuple[int, float] | None:
        """A free random place (wall, s) for something that wide, that deep and from `low` to `high`; it is reserved."""
        candidates = [wall for wall in walls if self.wall_length(wall) > width + 0.1]
        for _ in range(TRIES if candidates else 0):
            wall = candidates[int(self.rng.integers(len(candidates)))]
            s = float(self.rng.uniform(width / 2 + 0.05, self.wall_length(wall) - width / 2 - 0.05))
            if self.fits(wall, s, width, depth, low, high):
                self.reserve(wall, s, width, depth, low, high)
                return wall, s
        return None

    def fits(self, wall: int, s: float, width: float, depth: float, low: float, high: float) -> bool:
        """Whether that place is free, on the wall and on the floor."""
        if s - width / 2 < 0 or s + width / 2 > self.wall_length(wall):
            return False
        mine = (s - width / 2, low, s + width / 2, high)
        footprint = self._footprint(wall, s, width, depth)
        return not any(_overlap(mine, other) for other in self.hung[wall]) and not (depth > 0 and any(_overlap(footprint, other) for other in self.taken))

    def find_floor(self, width: float, depth: float, margin: float = 0.1) -> tuple[float, float] | None:
        """A free random centre for a `width` x `depth` rectangle on the floor; it is reserved."""
        for _ in range(TRIES):
            x = float(self.rng.uniform(width / 2, self.length - width / 2)) if self.length > width else self.length / 2
            y = float(self.rng.uniform(depth / 2, self.width - depth / 2)) if self.width > depth else self.width / 2
            wanted = (x - width / 2 - margin, y - depth / 2 - margin, x + width / 2 + margin, y + depth / 2 + margin)
            if not any(_overlap(wanted, other) for other in self.taken):
                self.taken.append((x - width / 2, y - depth / 2, x + width / 2, y + depth / 2))
                return x, y
        return None

    def door(self, wall: int, s: float, width: float = 0.92, swing: float | None = None) -> None:
        """Cut a door; by default one in four stands open."""
        if swing is None:
            swing = float(self.rng.uniform(0.7, 1.7)) if self.rng.random() < 0.25 else 0.0
        self.openings[wall].append((s - width / 2, -1.0, s + width / 2, fixtures.DOOR_HEIGHT))
        self.reserve(wall, s, width + 0.2, 1.0, 0.0, fixtures.DOOR_HEIGHT + 0.1)
        self.put(wall, s, [fixtures.door(width, self.rng, swing)])

    def window(self, wall: int, s: float, width: float, low: float, high: float) -> None:
        """Cut a window."""
        self.openings[wall].append((s - width / 2, low, s + width / 2, high))
        self.reserve(wall, s, width + 0.16, 0.0, low - 0.1, high + 0.1)
        self.put(wall, s, [fixtures.window(width, low, high, self.rng)])

    def lamps(self, columns: int, rows: int, width: float, depth: float) -> None:
        """Hang a grid of lamps below the ceiling; they also light the room."""
        for column in range(columns):
            for row in range(rows):
                x, y = (column + 0.5) * self.length / columns, (row + 0.5) * self.width / rows
                self.place(x, y, 0.0, [lamp(width, depth)], self.height)
                self.lights.append((x, y, self.height - 0.05))

    def finished(self) -> list[Piece]:
        """The shell (floor, ceiling, four walls, each one piece) and everything placed."""
        length, width, height = self.length, self.width, self.height
        shell = [
            Piece("ceiling", (plane((0, 0, height), (0, width, 0), (length, 0, 0), self.ceiling),)),
            Piece("floor", (plane((0, 0, 0), (length, 0, 0), (0, width, 0), self.floor),)),
        ]
        return shell + [self._wall(wall) for wall in range(4)] + self.pieces

    def free_grid(self, step: float = 0.3, margin: float = 0.3) -> F64:
        """Centres f64[n,2] of the floor cells that are at least `margin` from the walls and from taken rectangles."""
        x = np.arange(margin + step / 2, self.length - margin, step)
        y = np.arange(margin + step / 2, self.width - margin, step)
        cells = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
        free: Bool = np.ones(len(cells), dtype=bool)
        for x0, y0, x1, y1 in self.taken:
            inside = (cells > np.array([x0, y0]) - margin) & (cells < np.array([x1, y1]) + margin)
            free &= ~inside.all(axis=1)
        return cells[free] if free.any() else np.array([[self.length / 2, self.width / 2]])

    def _wall(self, wall: int) -> Piece:
        along = self.wall_length(wall)
        holes = tuple((along - s1, z0, along - s0, z1) for s0, z0, s1, z1 in self.openings[wall])
        x, y, yaw = self.on_wall(wall, 0.0)
        return Piece("wall", (plane((along, 0, 0), (-along, 0, 0), (0, 0, self.height), self.walls, holes),)).moved(x, y, 0.0, yaw)

    def _footprint(self, wall: int, s: float, width: float, depth: float) -> Rectangle:
        ends = [self.on_wall(wall, s - width / 2, 0.0), self.on_wall(wall, s + width / 2, depth)]
        (x0, y0, _), (x1, y1, _) = ends
        return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def _overlap(first: Rectangle, second: Rectangle) -> bool:
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]
