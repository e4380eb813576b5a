"""Scenes in parts: thinned to one point per voxel, cut into compact parts, and described by histograms per part or unit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from al3d.data.voxelise import LIMIT, voxelise
from al3d.geometry.bounds import bounds
from al3d.geometry.voxels import exact_mean
from al3d.types import F32, F64, I32, I64, Array, Scene


class Thinned(NamedTuple):
    """One point per occupied voxel, sorted by (x, y, z) of the voxel.

    Mean `xyz` f32[V,3] and `feat` f32[V,F] of its points, how many there are in `points` i64[V], and the voxel of every point of the
    scene in `of_point` i64[N].
    """

    xyz: F32
    feat: F32
    points: I64
    of_point: I64


class Members(NamedTuple):
    """Which voxels belong to which group, each pair once and sorted: `group` and `voxel` i64[P], the `points` i64[P] they share; `groups` in all."""

    group: I64
    voxel: I64
    points: I64
    groups: int


def thinned(scene: Scene, size: float) -> Thinned:
    """The scene with one point per voxel of `size` metres; not a bit of it depends on the order of the points.

    Raises: ValueError naming the scene when it spans more than 32,000 voxels.
    """
    check_span(scene, size)
    coord, of_point = voxelise(scene.xyz, size)
    count, group = np.bincount(of_point, minlength=len(coord)), of_point.astype(np.int32)
    feat = exact_mean(scene.feat, group, count) if scene.feat.shape[1] else np.zeros((len(coord), 0), np.float32)
    return Thinned(exact_mean(scene.xyz, group, count), feat, count, of_point)


def check_span(scene: Scene, size: float) -> None:
    """Raise a ValueError when the scene is wider than 32,000 voxels of `size` metres."""
    low, high = bounds(scene.xyz)
    span = float((high.astype(np.float64) - low).max())
    if span > LIMIT * size:
        raise ValueError(f"scene {scene.id!r} is {span:,.0f} m wide: at most {LIMIT:,} voxels of {size:g} m fit; check dataset.scale and the scene's units")


def cut(place: Array, parts: int, least: int = 1) -> I32:
    """The part of every place in x and y: place [V,2] -> i32[V], dense from 0; `parts` of about equally many places.

    Halves of halves across the longer side, so that parts are compact, and small where places are dense. Equal coordinates are never
    separated: places above each other stay together, and the parts do not depend on the order of the rows. There are fewer parts where
    one would have less than `least` places. Moving the places changes nothing; turning them does, since cuts run along x and y.
    Raises: ValueError when parts or least is below 1.
    """
    if parts < 1 or least < 1:
        raise ValueError(f"a scene is cut into at least 1 part of at least 1 place, got parts={parts}, least={least}")
    part, number = np.zeros(len(place), np.int32), 0
    waiting = [(np.arange(len(place)), max(1, min(parts, len(place) // least)))]
    while waiting:
        rows, wanted = waiting.pop()
        halves = _halved(place, rows, wanted, least) if wanted > 1 else None
        if halves is None:
            part[rows] = number
            number += 1
        else:
            waiting += [(halves[1], wanted - wanted // 2), (halves[0], wanted // 2)]
    return part


def _halved(place: Array, rows: I64, wanted: int, least: int) -> tuple[I64, I64] | None:
    """The rows in two, in proportion to the parts on either side; None where that leaves less than `least` in one."""
    own = place[rows]
    line = own[:, int(np.ptp(own, axis=0).argmax())]
    order = np.argsort(line, kind="stable")
    steps = np.flatnonzero(np.diff(line[order]) > 0) + 1
    steps = steps[(steps >= least) & (steps <= len(rows) - least)]
    if len(steps) == 0:
        return None
    at = steps[np.argmin(np.abs(steps - len(rows) * (wanted // 2) / wanted))]
    return np.sort(rows[order[:at]]), np.sort(rows[order[at:]])


def members(unit: I32, of_point: I64, voxels: int) -> Members:
    """The voxels in which each unit has points: unit i32[N] (-1: none), of_point i64[N]."""
    inside = unit >= 0
    groups = int(unit.max(initial=-1)) + 1
    pairs, points = np.unique(unit[inside].astype(np.int64) * voxels + of_point[inside], return_counts=True)
    return Members(pairs // voxels, pairs % voxels, points, groups)


def members_of_parts(part: I32) -> Members:
    """Every voxel in its part, once: part i32[V]."""
    voxel = np.argsort(part, kind="stable")
    return Members(part[voxel].astype(np.int64), voxel, np.ones(len(part), np.int64), int(part.max()) + 1)


def sums(values: Array, within: Members, weight: Array | None = None) -> F64:
    """The sum over each group's voxels of their rows: values [V,S] or [V] -> f64[G,S], weighted by [P] if given."""
    columns = np.asarray(values).reshape(len(values), -1)[within.voxel].astype(np.float64)
    if weight is not None:
        columns *= weight[:, None]
    return np.stack([np.bincount(within.group, column, within.groups) for column in columns.T], axis=1)


def histograms(value: Array, weight: Array, within: Members, bins: int) -> F64:
    """The share of each group's weight near each of `bins` centres: value and weight [V], both in 0..1 -> f64[G,bins].

    The centres lie evenly from 0 to 1, and a value is shared between the two around it, so that a small change changes little. Rows add
    up to the mean weight of the group's voxels.
    """
    return of_groups(value[within.voxel], weight[within.voxel], within.group, within.groups, bins) / counts(within)[:, None]


def of_groups(value: Array, weight: Array, group: I64, groups: int, bins: int) -> F64:
    """The sums behind `histograms`: one value in 0..1 and one weight per row of `group` -> f64[groups,bins]."""
    place = np.clip(value, 0, 1).astype(np.float64) * (bins - 1)
    lower = np.minimum(place.astype(np.int64), bins - 2)
    upper = place - lower
    cell = group * bins + lower
    total = np.bincount(cell, weight * (1 - upper), groups * bins) + np.bincount(cell + 1, weight * upper, groups * bins)
    return np.asarray(total.reshape(groups, bins))


def counts(within: Members) -> F64:
    """How many voxels each group has, at least 1: f64[G]."""
    return np.maximum(np.bincount(within.group, minlength=within.groups), 1).astype(np.float64)
