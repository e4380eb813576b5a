"""Where a person could stand in a scanned room, spread over it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from al3d.geometry.thin import trimmed_box
from al3d.types import F32, F64, I64, Bool

#: Metres: eyes above the floor; what is this far above the floor still is floor; a body ends here; room around it.
EYE, STEP, TALL, CLEAR = 1.5, 0.25, 1.9, 0.3
#: At most so many cells along the longer side of the plan.
CELLS = 400
#: A free region smaller than this share of the largest one is no place to stand: the inside of a cupboard, what a scanner saw through a window.
REGION = 0.25


class Plan(NamedTuple):
    """A room from above: cells of `size` metres from the `corner` f64[2]; `floor` f64[A,B] its height, NaN where none; `free` bool[A,B] to stand."""

    corner: F64
    size: float
    floor: F64
    free: Bool


def standing_places(xyz: F32, count: int) -> F64:
    """At most `count` eyes f64[P,3] of people who could stand in the cloud xyz f32[N,3], in farthest-point order; none where nobody could.

    The first stands farthest from all obstacles, every further one farthest from those before; equal ones by their cell. A place has floor under it
    and nothing up to 1.9 m within 0.3 m; in a crowded room it is enough that the eyes, above the furniture, are free.
    """
    plan = _plan(xyz)
    cells = np.argwhere(plan.free)
    if not len(cells):
        return np.empty((0, 3))
    rows = _farthest(np.asarray(cells * plan.size, np.float64), _distance_to(~plan.free)[plan.free], count)
    chosen = cells[rows]
    return np.column_stack([plan.corner + (chosen + 0.5) * plan.size, plan.floor[tuple(chosen.T)] + _eye(xyz)])


def _eye(xyz: F32) -> float:
    """The eye's height above the floor: lower in a space that is lower than a room."""
    low, high = trimmed_box(xyz)
    return min(EYE, 0.6 * float(high[2] - low[2]))


def _plan(xyz: F32) -> Plan:
    low, high = trimmed_box(xyz)
    inside = ((xyz >= low.astype(np.float32)) & (xyz <= high.astype(np.float32))).all(axis=1)
    body = xyz[inside] if inside.any() else xyz
    size = _cell_size(body, float((high - low)[:2].max()))
    cell = np.floor((body[:, :2].astype(np.float64) - low[:2]) / size).astype(np.int64)
    cell = np.maximum(cell, 0)
    shape = tuple(cell.max(axis=0) + 1)
    flat = np.ravel_multi_index((cell[:, 0], cell[:, 1]), shape)
    floor = _floor(body[:, 2].astype(np.float64), flat, shape, size)
    above = body[:, 2] - floor.reshape(-1)[flat]
    ground = _holds(flat[np.abs(above) <= STEP], shape)
    ground |= ndimage.binary_closing(ground, np.ones((3, 3), np.bool_))
    eye = _eye(xyz)
    for bottom, clearance in ((STEP, CLEAR), (max(STEP, eye - 0.4), 0.7 * CLEAR)):
        blocked = _holds(flat[(above > bottom) & (above < max(TALL, eye + 0.2))], shape)
        free = _regions(ground & (_distance_to(blocked) * size > clearance))
        if free.any():
            return Plan(low[:2], size, floor, free)
    return Plan(low[:2], size, floor, np.zeros(shape, np.bool_))


def _cell_size(xyz: F32, extent: float) -> float:
    """Metres: 10 cm, more where the points are so sparse that a wall would have holes, or the scene so large that the plan would."""
    area = max(extent, 1e-3) ** 2
    return max(0.1, extent / CELLS, 2.5 * float(np.sqrt(area / len(xyz))))


def _floor(height: F64, flat: I64, shape: tuple[int, ...], size: float) -> F64:
    """The lowest point within 1.5 m of every cell, NaN where there is none: below a table the floor beside it counts."""
    lowest = np.full(shape, np.inf)
    np.minimum.at(lowest.reshape(-1), flat, height)
    reach = 2 * max(1, round(1.5 / size)) + 1
    floor = ndimage.minimum_filter(lowest, reach, mode="nearest")
    return np.where(np.isfinite(floor), floor, np.nan)


def _holds(flat: I64, shape: tuple[int, ...]) -> Bool:
    found = np.zeros(shape, np.bool_)
    found.reshape(-1)[flat] = True
    return found


def _distance_to(blocked: Bool) -> F64:
    """Cells to the nearest blocked one; the plan's border blocks nothing."""
    return np.asarray(ndimage.distance_transform_edt(~blocked), np.float64) if blocked.any() else np.full(blocked.shape, np.inf)


def _regions(free: Bool) -> Bool:
    """The connected regions that are at least `REGION` of the largest."""
    label, count = ndimage.label(free)
    if not count:
        return free
    size = np.bincount(label.reshape(-1))[1:]
    return np.asarray(np.r_[False, size >= REGION * size.max()][label])


def _farthest(places: F64, room: F64, count: int) -> I64:
    """Rows in farthest-point order, the first where there is most room."""
    rows = [int(np.argmax(room))]
    distance = np.full(len(places), np.inf)
    while len(rows) < min(count, len(places)):
        distance = np.minimum(distance, ((places - places[rows[-1]]) ** 2).sum(axis=1))
        rows.append(int(np.argmax(distance)))
    return np.asarray(rows, np.int64)
