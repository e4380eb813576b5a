"""Surfaces in space (planes, discs, tubes, balls), grouped into pieces of one class, and even samples of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from al3d.types import F32, F64, I32

Vector = tuple[float, float, float]
#: From surface coordinates f64[n,2] in metres to colours f64[n,3] in 0..1.
Texture = Callable[[F64, np.random.Generator], F64]
#: A rectangle (s0, t0, s1, t1) cut out of a plane, in metres along its two edges.
Hole = tuple[float, float, float, float]

_AREA_FACTOR = {"plane": 1.0, "disc": np.pi, "tube": 2 * np.pi}
#: The building itself, and how much denser everything else is sampled: scanners stand nearer to it, and it has thin parts.
SHELL, DETAIL = frozenset({"ceiling", "floor", "wall"}), 1.15
#: Steps of the R2 sequence: any number of its points covers the unit square evenly.
_R2 = np.array([0.7548776662466927, 0.5698402909980532])


@dataclass(frozen=True, eq=False)
class Surface:
    """A parametric surface: `origin` f64[3] and the rows a, b, c of `frame` f64[3,3], all in metres.

    plane: origin + s a + t b, facing a x b. disc: the ellipse of half axes a, b, facing a x b. tube: around the axis c with half
    axes a, b. ball: the ellipsoid of half axes a, b, c. `echo` is the share of the points that come back (glass: few).
    """

    form: Literal["plane", "disc", "tube", "ball"]
    origin: F64
    frame: F64
    texture: Texture
    holes: tuple[Hole, ...] = ()
    echo: float = 1.0

    def area(self) -> float:
        """Square metres, holes included; an approximation for elliptic forms."""
        a, b, c = np.linalg.norm(self.frame, axis=1)
        if self.form == "ball":
            return float(4 * np.pi * ((a * b) ** 1.6 / 3 + (a * c) ** 1.6 / 3 + (b * c) ** 1.6 / 3) ** (1 / 1.6))
        other = c if self.form == "tube" else b
        return float(_AREA_FACTOR[self.form] * (np.sqrt(a * b) if self.form == "tube" else a) * other)

    def sample(self, density: float, rng: np.random.Generator) -> tuple[F64, F64, F64]:
        """Points f64[n,3], unit normals f64[n,3] and colours f64[n,3], about `density` points per square metre."""
        count = int(self.area() * density * self.echo + rng.random())
        unit = (np.arange(count)[:, None] * _R2 + rng.random(2)) % 1.0
        xyz, normal, surface = self._at(unit)
        keep = self._outside_holes(surface)
        return xyz[keep], normal[keep], self.texture(surface[keep], rng)

    def _at(self, unit: F64) -> tuple[F64, F64, F64]:
        """Position, normal and surface coordinates (metres) for parameters in the unit square."""
        a, b, c = self.frame
        sizes = np.linalg.norm(self.frame, axis=1)
        if self.form == "plane":
            return self.origin + unit @ self.frame[:2], _flat(np.cross(a, b), len(unit)), unit * sizes[:2]
        angle = 2 * np.pi * unit[:, 0]
        ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        if self.form == "disc":
            ring = ring * np.sqrt(unit[:, 1:])
            return self.origin + ring @ self.frame[:2], _flat(np.cross(a, b), len(unit)), ring * sizes[:2]
        if self.form == "tube":
            return (
                self.origin + ring @ self.frame[:2] + unit[:, 1:] * c,
                _unit(ring @ (self.frame[:2] / sizes[:2, None] ** 2)),
                np.stack([angle * sizes[0], unit[:, 1] * sizes[2]], axis=1),
            )
        height = 2 * unit[:, 1:] - 1
        sphere = np.concatenate([ring * np.sqrt(1 - height**2), height], axis=1)
        return (
            self.origin + sphere @ self.frame,
            _unit(sphere @ (self.frame / sizes[:, None] ** 2)),
            np.stack([angle * sizes[0], height[:, 0] * sizes[2]], axis=1),
        )

    def _outside_holes(self, surface: F64) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        keep = np.ones(len(surface), dtype=bool)
        for s0, t0, s1, t1 in self.holes:
            s, t = surface[:, 0], surface[:, 1]
            keep &= ~((s > s0) & (s < s1) & (t > t0) & (t < t1))
        return keep


@dataclass(frozen=True, eq=False)
class Piece:
    """One instance: surfaces of one class. Furniture stands on z = 0, its back at y = 0, centred on x = 0, facing +y."""

    kind: str
    surfaces: tuple[Surface, ...]

    def moved(self, x: float, y: float, z: float = 0.0, yaw: float = 0.0) -> Piece:
        """Turned about z by `yaw` (radians), then shifted."""
        turn = np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
        shift = np.array([x, y, z])
        return Piece(self.kind, tuple(replace(surface, origin=surface.origin @ turn + shift, frame=surface.frame @ turn) for surface in self.surfaces))


@dataclass(frozen=True, eq=False)
class Cloud:
    """Samples of pieces: `xyz`, `normal`, `color` (0..1) f32[n,3], `piece` i32[n]."""

    xyz: F32
    normal: F32
    color: F32
    piece: I32

    def __len__(self) -> int:
        """The number of points."""
        return len(self.xyz)

    def take(self, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Cloud:
        """The points of `rows`, in that order."""
        return Cloud(self.xyz[rows], self.normal[rows], self.color[rows], self.piece[rows])


def sample_pieces(pieces: Iterable[Piece], density: float, rng: np.random.Generator) -> Cloud:
    """Sample every surface of every piece evenly, `density` points per square metre on the shell and `DETAIL` times as many elsewhere."""
    dense = {kind: density for kind in SHELL}
    samples = [(index, *surface.sample(dense.get(piece.kind, DETAIL * density), rng)) for index, piece in enumerate(pieces) for surface in piece.surfaces]
    columns = [np.concatenate([sample[column] for sample in samples]).astype(np.float32) for column in (1, 2, 3)]
    owner = np.repeat(np.array([sample[0] for sample in samples], dtype=np.int32), [len(sample[1]) for sample in samples])
    return Cloud(columns[0], columns[1], columns[2], owner)


def plane(origin: Vector, a: Vector, b: Vector, texture: Texture, holes: tuple[Hole, ...] = ()) -> Surface:
    """A rectangle with the corner `origin` and the edges `a` and `b`, facing a x b."""
    return Surface("plane", np.array(origin, dtype=float), np.array([a, b, (0, 0, 0)], dtype=float), texture, holes)


def disc(center: Vector, radius: float, texture: Texture) -> Surface:
    """A horizontal disc facing up."""
    return Surface("disc", np.array(center, dtype=float), np.diag([radius, radius, 0.0]), texture)


def tube(base: Vector, radius: float, height: float, texture: Texture) -> Surface:
    """An upright cylinder without caps."""
    return Surface("tube", np.array(base, dtype=float), np.diag([radius, radius, height]), texture)


def rod(start: Vector, end: Vector, radius: float, texture: Texture) -> Surface:
    """A cylinder without caps between two points."""
    axis = np.subtract(end, start)
    side = np.cross(axis, (0.0, 0.0, 1.0) if abs(axis[2]) < 0.9 * np.linalg.norm(axis) else (1.0, 0.0, 0.0))
    side = side / np.linalg.norm(side)
    other = np.cross(axis, side) / np.linalg.norm(axis)
    return Surface("tube", np.array(start, dtype=float), np.stack([side * radius, other * radius, axis]), texture)


def ball(center: Vector, half: Vector, texture: Texture) -> Surface:
    """An ellipsoid with the half axes `half`."""
    return Surface("ball", np.array(center, dtype=float), np.diag(half), texture)


def box(low: Vector, high: Vector, texture: Texture, front: Texture | None = None, top: Texture | None = None) -> tuple[Surface, ...]:
    """The six outer faces of an upright box; `front` (facing +y) and `top` may have their own textures."""
    x0, y0, z0 = low
    x1, y1, z1 = high
    x, y, z = x1 - x0, y1 - y0, z1 - z0
    return (
        plane((x1, y1, z0), (-x, 0, 0), (0, 0, z), front or texture),
        plane((x0, y0, z0), (x, 0, 0), (0, 0, z), texture),
        plane((x1, y0, z0), (0, y, 0), (0, 0, z), texture),
        plane((x0, y1, z0), (0, -y, 0), (0, 0, z), texture),
        plane((x0, y0, z1), (x, 0, 0), (0, y, 0), top or texture),
        plane((x0, y1, z0), (x, 0, 0), (0, -y, 0), texture),
    )


def _flat(normal: F64, count: int) -> F64:
    return np.broadcast_to(normal / np.linalg.norm(normal), (count, 3))


def _unit(vectors: F64) -> F64:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
