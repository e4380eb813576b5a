"""Simple bodies of which every object of a street is built, and how they are put together and placed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from al3d.types import F64, U8
from al3d.world.street.materials import NAMES, Color
from al3d.world.sweep import CATEGORIES

#: Kinds of bodies, all within -1..1 of their own axes. A box may taper towards its top by `shape` (share of its x and y lost there); a
#: drum is a cylinder along z that tapers by `shape[0]`; a hoop is a tube with the inner radius `shape[0]`; clouds are clumps of leaves
#: that let a ray pass `1 / shape[0]` metres on average.
BOX, BALL, DRUM, HOOP, CLOUD, CLOUD_BOX = range(6)


@dataclass(frozen=True, eq=False)
class Shape:
    """P bodies.

    `matrix` f64[P,3,4] from the body's unit frame to the object's; `kind`, `category`, `material` u8[P]; `shape` f64[P,2];
    `color` f64[P,3] 0..1; `gloss` f64[P] a factor on the intensity.
    """

    matrix: F64
    kind: U8
    category: U8
    material: U8
    shape: F64
    color: F64
    gloss: F64

    def __len__(self) -> int:
        return len(self.kind)

    def at(self, pose: F64) -> Shape:
        """The same bodies seen from the frame that pose f64[4,4] leads to."""
        matrix = pose[:3, :3] @ self.matrix
        matrix[:, :, 3] += pose[:3, 3]
        return replace(self, matrix=matrix)


@dataclass
class Parts:
    """A list of bodies under construction, of one category unless a part says otherwise. Angles in degrees, lengths in metres."""

    category: str
    rows: list[tuple[F64, int, int, int, tuple[float, float], Color, float]] = field(default_factory=list)

    def add(
        self,
        kind: int,
        centre: Sequence[float],
        half: Sequence[float],
        material: str,
        color: Color,
        shape: tuple[float, float] = (0.0, 0.0),
        turn: tuple[float, float, float] = (0.0, 0.0, 0.0),
        category: str | None = None,
        gloss: float = 1.0,
    ) -> None:
        """A body with half sizes `half` around `centre`, turned by (roll, pitch, yaw)."""
        matrix = np.empty((3, 4))
        matrix[:, :3] = turned(*turn) * np.asarray(half, np.float64)
        matrix[:, 3] = centre
        self.rows.append((matrix, kind, CATEGORIES.index(category or self.category), NAMES.index(material), shape, color, gloss))

    def box(
        self, low: Sequence[float], high: Sequence[float], material: str, color: Color, taper: tuple[float, float] = (0.0, 0.0), category: str | None = None
    ) -> None:
        """An upright box between two corners."""
        corners = np.array([low, high], np.float64)
        self.add(BOX, corners.mean(axis=0), np.maximum(np.abs(corners[1] - corners[0]) / 2, 0.005), material, color, taper, category=category)

    def rod(
        self, start: Sequence[float], end: Sequence[float], radius: float, material: str, color: Color, taper: float = 0.0, category: str | None = None
    ) -> None:
        """A round bar from `start` to `end`."""
        first, last = np.asarray(start, np.float64), np.asarray(end, np.float64)
        axis = last - first
        length = max(float(np.linalg.norm(axis)), 1e-6)
        axis /= length
        side = np.cross(axis, np.eye(3)[int(np.argmin(np.abs(axis)))])
        side /= np.linalg.norm(side)
        matrix = np.stack([side * radius, np.cross(axis, side) * radius, axis * length / 2, (first + last) / 2], axis=1)
        self.rows.append((matrix, DRUM, CATEGORIES.index(category or self.category), NAMES.index(material), (taper, 0.0), color, 1.0))

    def wheel(self, x: float, y: float, radius: float, width: float, inner: float = 0.0) -> None:
        """A wheel that stands on the ground and rolls along x: a drum, or a tyre with a hole when `inner` > 0."""
        kind = HOOP if inner > 0 else DRUM
        self.add(kind, (x, y, radius), (radius, radius, width / 2), "rubber", (0.07, 0.07, 0.07), (inner, 0.0), (90.0, 0.0, 0.0))

    def built(self, gloss: float = 1.0) -> Shape:
        """The bodies as arrays."""
        columns = list(zip(*self.rows, strict=True)) if self.rows else [()] * 7
        return Shape(
            matrix=np.array(columns[0], np.float64).reshape(-1, 3, 4),
            kind=np.array(columns[1], np.uint8),
            category=np.array(columns[2], np.uint8),
            material=np.array(columns[3], np.uint8),
            shape=np.array(columns[4], np.float64).reshape(-1, 2),
            color=np.array(columns[5], np.float64).reshape(-1, 3),
            gloss=np.array(columns[6], np.float64) * gloss,
        )


def turned(roll: float, pitch: float, yaw: float) -> F64:
    """The rotation f64[3,3] by roll about x, then pitch about y (nose down is positive), then yaw about z, in degrees."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(np.radians([roll, pitch, yaw])), np.sin(np.radians([roll, pitch, yaw]))
    about_x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    about_y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    rotation: F64 = about_z @ about_y @ about_x
    return rotation


def joined(shapes: Sequence[Shape]) -> Shape:
    """All the bodies of several shapes."""
    if not shapes:
        return Parts("noise").built()
    return Shape(*(np.concatenate([getattr(shape, name) for shape in shapes]) for name in Shape.__dataclass_fields__))


def pose_at(x: float, y: float, z: float, heading: float) -> F64:
    """The pose f64[4,4] of an object that stands at (x, y, z) and faces `heading` radians."""
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(heading), -np.sin(heading)], [np.sin(heading), np.cos(heading)]]
    pose[:3, 3] = x, y, z
    return pose
