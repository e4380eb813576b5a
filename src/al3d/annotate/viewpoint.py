"""From where to look at a region: the directions that see most of its points with least in front of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from al3d.geometry.camera import look_at
from al3d.geometry.thin import thinned, trimmed_box
from al3d.types import F32, F64, I64, Array

#: The vertical field of view of the page's camera, in degrees, and how much of it a region takes.
FIELD_OF_VIEW, SHARE = 50.0, 0.2
#: Where candidates stand: degrees above the horizon, and what looking from there costs in shares of the region that are seen.
ELEVATIONS = {35.0: 0.0, 60.0: 0.03, 12.0: 0.05, 88.0: 0.1, -30.0: 0.4}
AZIMUTHS = 8
#: How far a candidate stands off, in the distance at which the region takes its share, and its cost: inside a room walls come between from afar.
STAND_OFF = {1.0: 0.0, 0.6: 0.02}
#: What the side that the sensor was on is worth: a scan from one side is full of holes from behind.
SENSOR = 0.15
#: How many points of a region, and of what is around it, are enough to tell what hides what.
SAMPLE, OCCLUDERS = 1000, 15_000
#: Cells along the window in which depths are compared; fewer where the points lie too far apart to close a surface.
CELLS = (4, 48)
#: Two viewpoints that are offered after each other differ by at least so many degrees.
APART = 40.0


@dataclass(frozen=True, eq=False)
class Viewpoint:
    """A camera at `eye` f64[3] that looks at `target` f64[3]; `seen` 0..1 of the region's points are not hidden, `before` 0..1 are behind other things."""

    eye: F64
    target: F64
    seen: float
    before: float


def viewpoints(region: F32, around: F32, fine: float, coarse: float, sensor: F64 | None = None, count: int = 4) -> list[Viewpoint]:
    """The `count` best viewpoints of region f32[P,3], best first, among points `around` f32[M,3] that may hide it (the region left out).

    `fine` and `coarse` are the distances in metres between neighbours in the region and in `around`. A `sensor` f64[3] is where the only scan of
    the scene was taken from. Raises: ValueError when the region is empty.
    """
    if not len(region):
        raise ValueError("a region without points cannot be looked at")
    target, radius = bounds(region, fine)
    sample = np.ascontiguousarray(region[:: -(-len(region) // SAMPLE)])
    near = _occluders(around, target, radius)
    eyes, costs = candidates(target, radius, sensor)
    judged = [Viewpoint(eye, target, *visibility(sample, near, eye, target, radius, coarse)) for eye in eyes]
    worth = [view.seen - 0.5 * view.before - cost for view, cost in zip(judged, costs, strict=True)]
    return _spread([judged[index] for index in np.argsort(-np.array(worth), kind="stable")], count)


def bounds(region: F32, spacing: float) -> tuple[F64, float]:
    """The middle f64[3] of a region and a radius in metres around it, at least ten times the `spacing`."""
    low, high = trimmed_box(region, 0.01)
    middle: F64 = (low + high) / 2
    reach = np.linalg.norm(region[:: max(1, len(region) // 50_000)] - middle, axis=1)
    return middle, max(float(np.quantile(reach, 0.98)), 10 * spacing, 1e-3)


def distance_for(radius: float) -> float:
    """How far a camera stands off so that a region of this radius takes its share of the picture's height."""
    return float(radius / np.tan(np.radians(FIELD_OF_VIEW / 2)) / SHARE)


def candidates(target: F64, radius: float, sensor: F64 | None = None) -> tuple[F64, F64]:
    """The places f64[K,3] that are compared and what each costs f64[K]; the first is on the side of the `sensor`, where there is one."""
    angles = [(e, a * 360 / AZIMUTHS, cost) for e, cost in ELEVATIONS.items() for a in range(AZIMUTHS)]
    elevation, azimuth, cost = np.array(angles).T
    elevation, azimuth = np.radians(elevation), np.radians(azimuth)
    level = np.cos(elevation)
    directions = np.stack([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)], axis=1)
    if sensor is not None and np.linalg.norm(sensor - target) > 1e-6:
        own = (sensor - target) / np.linalg.norm(sensor - target)
        directions, cost = np.concatenate([own[None], directions]), np.append(0.0, cost)
        cost = cost + SENSOR * (1 - directions @ own)
    eyes = [target + factor * distance_for(radius) * directions for factor in STAND_OFF]
    return np.concatenate(eyes), np.concatenate([cost + extra for extra in STAND_OFF.values()])


def visibility(sample: F32, near: F32, eye: F64, target: F64, radius: float, spacing: float) -> tuple[float, float]:
    """Which share of `sample` f32[S,3] the camera sees, and which share has a point of `near` f32[M,3] in front.

    Depths are compared in cells of a window around the region; a point counts as hidden when something in its cell is nearer by
    more than twice the cell's width.
    """
    distance = float(np.linalg.norm(eye - target))
    cells = int(np.clip(2 * radius / (1.5 * spacing), *CELLS)) if spacing > 0 else CELLS[1]
    pose = look_at(eye, target)
    window = 1.3 * radius / distance
    slack = 2 * 2 * 1.3 * radius / cells
    own, other = (_cells(points, pose, window, cells) for points in (sample, near))
    return _shares(*own, *other, cells, slack)


def _occluders(around: F32, target: F64, radius: float) -> F32:
    """The points that can come between a candidate and the region, evenly thinned."""
    reach = 1.2 * distance_for(radius)
    inside = np.all(np.abs(around - target.astype(np.float32)) < reach, axis=1)
    near = np.ascontiguousarray(around[inside])
    return near[thinned(near, OCCLUDERS)] if len(near) > OCCLUDERS else near


@numba.njit(cache=True)
def _cells(points: F32, pose: F64, window: float, cells: int) -> tuple[I64, F64]:  # pragma: no cover
    """The cell i64[N] of every point in the window (-1 outside of it or too near), and its depth f64[N]."""
    cell, depth = np.full(len(points), -1, np.int64), np.zeros(len(points))
    for i in range(len(points)):
        x, y, z = points[i, 0] - pose[0, 3], points[i, 1] - pose[1, 3], points[i, 2] - pose[2, 3]
        depth[i] = x * pose[0, 2] + y * pose[1, 2] + z * pose[2, 2]
        if depth[i] <= 1e-6:
            continue
        column = (x * pose[0, 0] + y * pose[1, 0] + z * pose[2, 0]) / depth[i] / window
        row = (x * pose[0, 1] + y * pose[1, 1] + z * pose[2, 1]) / depth[i] / window
        if abs(column) < 1 and abs(row) < 1:
            cell[i] = np.int64((row + 1) / 2 * cells) * cells + np.int64((column + 1) / 2 * cells)
    return cell, depth


@numba.njit(cache=True)
def _shares(own: I64, own_depth: F64, other: I64, other_depth: F64, cells: int, slack: float) -> tuple[float, float]:  # pragma: no cover
    nearest_other, nearest_own = np.full(cells * cells, np.inf), np.full(cells * cells, np.inf)
    for i in range(len(other)):
        if other[i] >= 0:
            nearest_other[other[i]] = min(nearest_other[other[i]], other_depth[i])
    for i in range(len(own)):
        if own[i] >= 0:
            nearest_own[own[i]] = min(nearest_own[own[i]], own_depth[i])
    seen = before = 0
    for i in range(len(own)):
        if own[i] < 0:
            continue
        behind = own_depth[i] > nearest_other[own[i]] + slack
        before += behind
        seen += not behind and own_depth[i] <= nearest_own[own[i]] + slack
    return seen / len(own), before / len(own)


def _spread(views: list[Viewpoint], count: int) -> list[Viewpoint]:
    """The first views that look from clearly different directions, then the others, at most `count`."""
    kept: list[Viewpoint] = []
    for view in views:
        if all(_angle(view, other) >= APART for other in kept):
            kept.append(view)
    return (kept + [view for view in views if view not in kept])[:count]


def _angle(one: Viewpoint, other: Viewpoint) -> float:
    first, second = (view.eye - view.target for view in (one, other))
    cosine: Any = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def spacing_of(xyz: Array) -> float:
    """The usual distance in metres from a point of xyz [N,3] to its nearest neighbour, from about 2,000 of them; 0 for fewer than two points."""
    from scipy.spatial import cKDTree

    if len(xyz) < 2:
        return 0.0
    some = np.asarray(xyz[:: max(1, len(xyz) // 2000)], np.float64)
    distance, _ = cKDTree(np.asarray(xyz, np.float64)).query(some, k=2)
    return float(np.median(np.asarray(distance)[:, 1]))
