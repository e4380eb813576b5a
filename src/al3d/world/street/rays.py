"""Compiled ray casting: what every ray of a scanner or a camera meets first, on the ground or on a body."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from al3d.types import F64, I32, U8
from al3d.world.street.bodies import FAR, facing, meet
from al3d.world.street.materials import FACADE, GLASS
from al3d.world.street.road import STEP, Road, height, locate, surface
from al3d.world.street.stage import Stage

#: `Hits.body` where a ray meets the ground, or nothing.
GROUND, NOTHING = -1, -2
#: Windows of a facade: metres between two, their width, the height of a floor, sill and lintel above it, how deep they are sunk.
WINDOWS = (2.5, 1.25, 2.9, 0.95, 2.3, 0.16)


class Hits(NamedTuple):
    """What each ray met.

    `distance` f64[N] (infinite: nothing), `body` i32[N] (or GROUND, NOTHING), `category` and `material` u8[N] (the material is
    left 0 on the ground), `normal` f64[N,3] of the surface, `slant` f64[N] the cosine of incidence.
    """

    distance: F64
    body: I32
    category: U8
    material: U8
    normal: F64
    slant: F64


def cast(road: Road, stage: Stage, origin: F64, rays: F64, reach: float, along: float, seed: int) -> Hits:
    """What unit rays f64[N,3] from `origin` f64[3] meet first within `reach` metres; `along` guesses the road metre of the origin.

    Which leaves of a clump a ray meets depends on its number and on `seed`, so that the result is the same with any number of threads.
    """
    return Hits(*_cast(road, stage, origin, np.ascontiguousarray(rays), reach, along, seed))


@numba.njit(parallel=True, cache=True)
def _cast(road: Any, stage: Any, origin: F64, rays: F64, reach: float, along: float, seed: int) -> Any:  # pragma: no cover
    count = len(rays)
    distance, body = np.full(count, np.inf), np.full(count, NOTHING, np.int32)
    category, material = np.zeros(count, np.uint8), np.zeros(count, np.uint8)
    normal, slant = np.zeros((count, 3)), np.zeros(count)
    start, _ = locate(road, origin[0], origin[1], along)
    for i in numba.prange(count):
        ray = rays[i]
        t, s, d = _on_ground(road, origin, ray, reach, start)
        found, best = _first_body(stage, origin, ray, min(t, reach), i, seed)
        point = origin + best * ray
        if found >= 0:
            kind = stage.kind[found]
            nx, ny, nz = facing(kind, stage.shape[found], stage.inverse[found], point)
            category[i], material[i], body[i] = stage.category[found], stage.material[found], found
            slanting = abs(nx * ray[0] + ny * ray[1] + nz * ray[2])
            if material[i] == FACADE and abs(nz) < 0.5 and _in_window(stage, found, point):
                best, material[i] = best + WINDOWS[5] / max(slanting, 0.25), GLASS
            distance[i], slant[i] = best, slanting
            normal[i, 0], normal[i, 1], normal[i, 2] = nx, ny, nz
        elif t <= reach:
            tilt = (height(road, s + 0.2, d) - height(road, s - 0.2, d)) / 0.4, (height(road, s, d + 0.2) - height(road, s, d - 0.2)) / 0.4
            heading = road.heading[min(max(int((s - road.start) / STEP), 0), len(road.heading) - 1)]
            length = np.sqrt(1 + tilt[0] ** 2 + tilt[1] ** 2)
            distance[i], body[i], category[i] = t, GROUND, surface(road, s, d)
            normal[i, 0] = (-tilt[0] * np.cos(heading) + tilt[1] * np.sin(heading)) / length
            normal[i, 1] = (-tilt[0] * np.sin(heading) - tilt[1] * np.cos(heading)) / length
            normal[i, 2] = 1 / length
            slant[i] = abs(normal[i, 0] * ray[0] + normal[i, 1] * ray[1] + normal[i, 2] * ray[2])
    return distance, body, category, material, normal, slant


@numba.njit(cache=True)
def _first_body(stage: Any, origin: F64, ray: F64, limit: float, ray_id: int, seed: int) -> tuple[int, float]:  # pragma: no cover
    """The nearest body before `limit` metres and its distance; -1 when there is none."""
    found, best = -1, limit
    inverse = np.empty(3)
    for axis in range(3):
        inverse[axis] = 1 / ray[axis] if abs(ray[axis]) > 1e-12 else 1e12
    stack, depth = np.zeros(64, np.int32), 1
    while depth:
        depth -= 1
        node = stack[depth]
        near, far = 0.0, best
        for axis in range(3):
            a = (stage.low[node, axis] - origin[axis]) * inverse[axis]
            b = (stage.high[node, axis] - origin[axis]) * inverse[axis]
            near, far = max(near, min(a, b)), min(far, max(a, b))
        if near > far:
            continue
        left, right = stage.child[node]
        if left >= 0:
            stack[depth], stack[depth + 1] = left, right
            depth += 2
            continue
        for k in range(-1 - left, -1 - left + right):
            one = stage.order[k]
            t = meet(stage.kind[one], stage.shape[one], stage.inverse[one], origin, ray, ray_id, one, seed)
            if t < best:
                found, best = one, t
    return found, best


@numba.njit(cache=True)
def _on_ground(road: Any, origin: F64, ray: F64, reach: float, along: float) -> tuple[float, float, float]:  # pragma: no cover
    """Distance, road metre and offset where a ray meets the ground; `FAR` when it does not within `reach`."""
    s, d = locate(road, origin[0], origin[1], along)
    before, gap_before = 0.0, origin[2] - height(road, s, d)
    t = max(0.1, 0.5 * gap_before / max(-ray[2], 0.05))
    while t < reach:
        z = origin[2] + t * ray[2]
        if ray[2] > 0 and z > origin[2] + 14:
            break
        s, d = locate(road, origin[0] + t * ray[0], origin[1] + t * ray[1], s)
        gap = z - height(road, s, d)
        if gap <= 0:
            low, high, gap_low, gap_high = before, t, gap_before, gap
            for k in range(24):
                if high - low < 0.002 or gap_high > -0.002:
                    break
                t = low + (high - low) * (0.5 if k % 2 else min(max(gap_low / (gap_low - gap_high), 0.05), 0.95))
                s, d = locate(road, origin[0] + t * ray[0], origin[1] + t * ray[1], s)
                gap = origin[2] + t * ray[2] - height(road, s, d)
                if gap > 0:
                    low, gap_low = t, gap
                else:
                    high, gap_high = t, gap
            return high, s, d
        before, gap_before = t, gap
        t += min(max(gap / max(-ray[2] + 0.05, 0.05), 0.08), 3.0)
    return FAR, s, d


@numba.njit(cache=True)
def _in_window(stage: Any, body: int, point: F64) -> bool:  # pragma: no cover
    """Whether a point on an upright wall lies in one of its windows, which keep away from its edges."""
    inverse = stage.inverse[body]
    p = inverse[:, 0] * point[0] + inverse[:, 1] * point[1] + inverse[:, 2] * point[2] + inverse[:, 3]
    half = stage.half[body]
    axis = 0 if 1 - abs(p[0]) > 1 - abs(p[1]) else 1
    width, above = 2 * half[axis], (p[2] + 1) * half[2] - 1.9
    number = int(width / WINDOWS[0])
    if number < 1 or above < 0 or (1 - p[2]) * half[2] < 0.3:
        return False
    across = ((p[axis] + 1) * half[axis]) % (width / number) - width / number / 2
    return bool(abs(across) < WINDOWS[1] / 2 and WINDOWS[3] < above % WINDOWS[2] < WINDOWS[4])
