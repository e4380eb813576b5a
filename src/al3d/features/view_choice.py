"""Which of many cameras to draw with: those that together see most of the surface."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from al3d.geometry.camera import pinhole
from al3d.geometry.render import disc_radius, render
from al3d.geometry.thin import thinned, trimmed_box
from al3d.types import F32, F64, I64, Array, Bool

#: A look is a picture of so many pixels a side, of so many points.
SIDE, POINTS = 40, 20_000
#: Cells of surface along the cloud's longest side.
CELLS = 40
#: A surface that has been seen n times is worth this to the power of n.
AGAIN = 0.5


def most_seen(xyz: F32, poses: Sequence[F64], group: Sequence[int], count: int, per_group: int, field_of_view: float) -> list[int]:
    """The `count` of `poses` f64[4,4] that see most of the surface of xyz f32[N,3], greedily; fewer where there are fewer.

    Each step takes the pose whose small picture shows most cells of the surface, a cell seen n times before counting 1/2^n; the first of equals. Of each
    `group` at most `per_group` are taken as long as another group has some. What is nearer than 2 % of the scene fills the picture and counts as one cell.
    """
    body = xyz[thinned(xyz, POINTS)]
    seen = _seen(body, poses, field_of_view)
    groups = np.asarray(group)
    worth = np.ones(seen.shape[1])
    chosen: list[int] = []
    while len(chosen) < min(count, len(poses)):
        gain = seen @ worth
        taken = np.bincount(groups[chosen], minlength=groups.max() + 1) if chosen else np.zeros(groups.max() + 1, np.int64)
        gain[taken[groups] >= per_group] -= seen.shape[1] + 1  # only when every other group is used up as well
        gain[chosen] = -np.inf
        best = int(np.argmax(gain))
        chosen.append(best)
        worth[seen[best]] *= AGAIN
    return chosen


def shown(xyz: F32, pose: F64, field_of_view: float) -> int:
    """How many cells of the surface one pose sees."""
    return int(_seen(xyz[thinned(xyz, POINTS)], [pose], field_of_view).sum())


def _seen(body: F32, poses: Sequence[F64], field_of_view: float) -> Bool:
    """Which cells of the surface each pose sees, bool[poses,cells]."""
    cell, cells = _cells(body)
    radius, grey = disc_radius(body), np.zeros(body.shape, np.uint8)
    seen = np.zeros((len(poses), cells), np.bool_)
    for row, pose in enumerate(poses):
        _, index = render(body, grey, pinhole(pose, SIDE, SIDE, field_of_view), radius, shading=0)
        seen[row, cell[index[index >= 0]]] = True
    return seen


def _cells(body: F32) -> tuple[I64, int]:
    low, high = trimmed_box(body)
    size = max(float((high - low).max()) / CELLS, 1e-6)
    place = np.clip(np.floor((body.astype(np.float64) - low) / size), -1, CELLS + 1).astype(np.int64)
    cells, cell = np.unique(place, axis=0, return_inverse=True)
    return np.asarray(cell.reshape(-1)), len(cells)


def bearing(direction: Array) -> tuple[float, float]:
    """Azimuth and elevation of a direction, in degrees."""
    x, y, z = (float(part) for part in direction)
    return float(np.degrees(np.arctan2(y, x))), float(np.degrees(np.arctan2(z, np.hypot(x, y))))
