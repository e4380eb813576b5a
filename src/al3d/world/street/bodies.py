"""Compiled geometry of single bodies: where a ray meets one, and which way its surface looks there."""

from __future__ import annotations

import numba
import numpy as np

from al3d.types import F64
from al3d.world.street.parts import BALL, BOX, CLOUD, CLOUD_BOX, DRUM, HOOP

FAR = 1e9


@numba.njit(cache=True, inline="always")
def chance(a: int, b: int, c: int) -> float:  # pragma: no cover
    """A number in 0..1 that looks random and depends on nothing but three integers."""
    mixed = np.uint64(a) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(b) * np.uint64(0xC2B2AE3D27D4EB4F) + np.uint64(c) * np.uint64(0x165667B19E3779F9)
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return np.float64(mixed >> np.uint64(11)) / 9007199254740992.0


@numba.njit(cache=True)
def _between_planes(ox: float, oy: float, oz: float, dx: float, dy: float, dz: float, kx: float, ky: float) -> tuple[float, float]:  # pragma: no cover
    """Where a ray enters and leaves a tapering box; enters after it leaves when it misses."""
    near, far = -FAR, FAR
    for plane in range(6):
        if plane == 0:
            along, gap = dx + 0.5 * kx * dz, 1 - 0.5 * kx * (oz + 1) - ox
        elif plane == 1:
            along, gap = -dx + 0.5 * kx * dz, 1 - 0.5 * kx * (oz + 1) + ox
        elif plane == 2:
            along, gap = dy + 0.5 * ky * dz, 1 - 0.5 * ky * (oz + 1) - oy
        elif plane == 3:
            along, gap = -dy + 0.5 * ky * dz, 1 - 0.5 * ky * (oz + 1) + oy
        elif plane == 4:
            along, gap = dz, 1 - oz
        else:
            along, gap = -dz, 1 + oz
        if along > 1e-12:
            far = min(far, gap / along)
        elif along < -1e-12:
            near = max(near, gap / along)
        elif gap < 0:
            return FAR, -FAR
    return near, far


@numba.njit(cache=True)
def _round(ox: float, oy: float, oz: float, dx: float, dy: float, dz: float, taper: float, inner: float) -> float:  # pragma: no cover
    """The first meeting with a drum along z, tapering to its top, or with a tube whose hole has the radius `inner`."""
    best = FAR
    if abs(dz) > 1e-12:
        for end in (-1.0, 1.0):
            t = (end - oz) / dz
            if 0 < t < best:
                square = (ox + t * dx) ** 2 + (oy + t * dy) ** 2
                reach = 1.0 if end < 0 else 1 - taper
                if inner * inner <= square <= reach * reach:
                    best = t
    for wall in range(2 if inner > 0 else 1):
        first, slope = (1 - 0.5 * taper * (oz + 1), -0.5 * taper * dz) if wall == 0 else (inner, 0.0)
        a = dx * dx + dy * dy - slope * slope
        b = ox * dx + oy * dy - first * slope
        c = ox * ox + oy * oy - first * first
        root = b * b - a * c
        if abs(a) < 1e-14 or root < 0:
            continue
        root = np.sqrt(root)
        for sign in (-1.0, 1.0):
            t = (-b + sign * root) / a
            if 0 < t < best and abs(oz + t * dz) <= 1 and first + slope * t >= 0:
                best = t
    return best


@numba.njit(cache=True)
def meet(kind: int, shape: F64, inverse: F64, origin: F64, ray: F64, ray_id: int, body: int, seed: int) -> float:  # pragma: no cover
    """The distance f64 along a unit `ray` from `origin` to a body, `FAR` when it misses; a clump of leaves is met by chance."""
    ox = inverse[0, 0] * origin[0] + inverse[0, 1] * origin[1] + inverse[0, 2] * origin[2] + inverse[0, 3]
    oy = inverse[1, 0] * origin[0] + inverse[1, 1] * origin[1] + inverse[1, 2] * origin[2] + inverse[1, 3]
    oz = inverse[2, 0] * origin[0] + inverse[2, 1] * origin[1] + inverse[2, 2] * origin[2] + inverse[2, 3]
    dx = inverse[0, 0] * ray[0] + inverse[0, 1] * ray[1] + inverse[0, 2] * ray[2]
    dy = inverse[1, 0] * ray[0] + inverse[1, 1] * ray[1] + inverse[1, 2] * ray[2]
    dz = inverse[2, 0] * ray[0] + inverse[2, 1] * ray[1] + inverse[2, 2] * ray[2]
    if kind == DRUM:
        return _round(ox, oy, oz, dx, dy, dz, shape[0], 0.0)
    if kind == HOOP:
        return _round(ox, oy, oz, dx, dy, dz, 0.0, shape[0])
    if kind in (BOX, CLOUD_BOX):
        near, far = _between_planes(ox, oy, oz, dx, dy, dz, shape[0] if kind == BOX else 0.0, shape[1] if kind == BOX else 0.0)
    else:
        a, b, c = dx * dx + dy * dy + dz * dz, ox * dx + oy * dy + oz * dz, ox * ox + oy * oy + oz * oz - 1
        root = b * b - a * c
        if root < 0:
            return FAR
        root = np.sqrt(root)
        near, far = (-b - root) / a, (-b + root) / a
    if near > far or far <= 0:
        return FAR
    if kind in (CLOUD, CLOUD_BOX):
        near = max(near, 0.0) - np.log(1 - chance(ray_id, body, seed)) / shape[0]
        return near if near < far else FAR
    return near if near > 0 else FAR


@numba.njit(cache=True)
def facing(kind: int, shape: F64, inverse: F64, point: F64) -> tuple[float, float, float]:  # pragma: no cover
    """The unit normal, in the world, of a body's surface at a point on it; of clumps of leaves the direction away from the middle."""
    p = np.empty(3)
    for row in range(3):
        p[row] = inverse[row, 0] * point[0] + inverse[row, 1] * point[1] + inverse[row, 2] * point[2] + inverse[row, 3]
    n = np.zeros(3)
    if kind in (BALL, CLOUD, CLOUD_BOX):
        n[:] = p
    elif kind == BOX:
        rx, ry = 1 - 0.5 * shape[0] * (p[2] + 1), 1 - 0.5 * shape[1] * (p[2] + 1)
        gap_x, gap_y, gap_z = rx - abs(p[0]), ry - abs(p[1]), 1 - abs(p[2])
        if gap_z <= gap_x and gap_z <= gap_y:
            n[2] = np.sign(p[2])
        elif gap_x <= gap_y:
            n[0], n[2] = np.sign(p[0]), 0.5 * shape[0]
        else:
            n[1], n[2] = np.sign(p[1]), 0.5 * shape[1]
    else:
        away = np.sqrt(p[0] ** 2 + p[1] ** 2)
        wall = 1.0 if kind == HOOP else 1 - 0.5 * shape[0] * (p[2] + 1)
        if kind == HOOP and abs(away - shape[0]) < abs(away - 1) and 1 - abs(p[2]) > abs(away - shape[0]):
            n[0], n[1] = -p[0], -p[1]
        elif 1 - abs(p[2]) < abs(away - wall):
            n[2] = np.sign(p[2])
        else:
            n[0], n[1] = p[0], p[1]
            n[2] = 0.5 * shape[0] * away if kind == DRUM else 0.0
    world = n[0] * inverse[0, :3] + n[1] * inverse[1, :3] + n[2] * inverse[2, :3]
    length = max(np.sqrt(world[0] ** 2 + world[1] ** 2 + world[2] ** 2), 1e-12)
    return world[0] / length, world[1] / length, world[2] / length
