"""Voxel cloud connectivity segmentation: supervoxels that grow from a grid of seeds through touching voxels."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from al3d.geometry.normals import voxel_normals
from al3d.geometry.tree import LOW, NO_BOUND, Tree, build, count_within, gather
from al3d.geometry.voxels import BITS, Voxels, morton, voxelise
from al3d.types import F32, F64, I32, I64, Array


def vccs(xyz: F32, rgb: F32, voxel: float = 0.1, seed: float = 1.0, colour: float = 0.5, spatial: float = 0.5, normal: float = 0.0) -> I32:
    """Supervoxel labels i32[N], 1 and up; 0 for points that no supervoxel reached.

    `xyz` f32[N,3] metres, `rgb` f32[N,3] in 0..1; `voxel` and `seed` metres; the rest weighs the three parts of the distance
    normal (1 - |cosine|), colour (in 0..1) and space (in units of `seed`). Labels follow the Morton order of the seed cells; nothing
    depends on the order of the points or the number of threads.
    Raises: ValueError for sizes that are not positive, a seed not larger than the voxel, negative weights, or a malformed cloud.
    Source: Papon et al. 2013, as PCL 1.13's SupervoxelClustering does it: centroids are zero in the first round, a seed can be lost at
    once, and two seeds on one voxel both keep it. Lengths are rounded to float32 as there. We differ in rounding only: exact voxel means,
    where PCL adds float32 in the order of the points, and distances in float64. Labels are PCL's, numbers included, but where a mean lies on
    the border of a seed cell: there PCL's choice changes with the order of the points.
    """
    check_sizes(voxel, seed, colour, spatial, normal)
    # as PCL takes them: on coordinates in whole millimetres, 0.1 in double precision puts other points on the borders of voxels
    voxel, seed = float(np.float32(voxel)), float(np.float32(seed))
    voxels = voxelise(xyz, rgb, voxel)
    normals = voxel_normals(voxels) if normal > 0 else np.zeros_like(voxels.xyz)
    seeds = seed_voxels(voxels.xyz, voxel, seed)
    rounds = int(np.float32(1.8) * np.float32(seed) / np.float32(voxel)) - 1
    owner = expand(voxels, normals, seeds, rounds, np.array([normal, colour, spatial / seed], np.float64))
    return (owner + 1).astype(np.int32)[voxels.of_point]


def check_sizes(voxel: float, seed: float, colour: float, spatial: float, normal: float) -> None:
    """Raise a ValueError unless the parameters of `vccs` make sense."""
    if not voxel > 0:
        raise ValueError(f"voxel = {voxel} m: the size of a voxel must be positive")
    if not seed > voxel:
        raise ValueError(f"seed = {seed} m is not larger than voxel = {voxel} m: supervoxels are made of voxels, so take seed at least a few voxels wide")
    for name, weight in (("colour", colour), ("spatial", spatial), ("normal", normal)):
        if not weight >= 0:
            raise ValueError(f"{name} = {weight}: weights must not be negative")
    if colour == spatial == normal == 0:
        raise ValueError("colour, spatial and normal are all 0: at least one weight must be positive")


def seed_voxels(centroids: F32, voxel: float, seed: float) -> I64:
    """The voxels that supervoxels start from, i64[S], in the Morton order of their seed cells; one voxel may appear twice.

    A grid of `seed` metres lies over the centroids; the centroid nearest to an occupied cell's centre is kept if more than a
    twentieth of a full plane's voxels lie within seed / 2 of it.
    Source: PCL 1.13, whose grid grows from a cube with the first centroid in its middle.
    """
    tree = build(centroids)
    low, last = _growing_cube(np.ascontiguousarray(centroids), seed)
    cells = np.floor((centroids.astype(np.float64) - low) / seed).astype(np.int64)
    if last >= 2**BITS:
        raise ValueError(f"seed = {seed} m gives more than 2^{BITS} seed cells along an axis: check the units of the cloud")
    _, first = np.unique(_mortons(np.clip(cells, 0, last)), return_index=True)
    centres = low + (np.clip(cells[first], 0, last) + 0.5) * seed
    least = 0.05 * np.pi * (seed / 2) ** 2 / voxel**2
    return _snap(tree, centroids, centres.astype(np.float32), seed / 2, least)


@numba.njit(cache=True)
def _growing_cube(points: F32, size: float) -> Any:  # pragma: no cover
    """The low corner of a cube of 2 x 2 x 2 cells around the first point that doubles, away from its last corner, until all fit."""
    low = points[0].astype(np.float64) - size
    side = 2 * size
    for i in range(len(points)):
        while True:
            below = above = False
            for axis in range(3):
                below |= points[i, axis] < low[axis]
                above |= points[i, axis] >= low[axis] + side
            if not below and not above:
                break
            for axis in range(3):
                if points[i, axis] < low[axis] + side:
                    low[axis] -= side
            side *= 2
    return low, np.int64(np.rint(side / size)) - 1


@numba.njit(cache=True)
def _mortons(cells: I64) -> Array:  # pragma: no cover
    keys = np.empty(len(cells), np.uint64)
    for i in range(len(cells)):
        keys[i] = morton(cells[i, 0], cells[i, 1], cells[i, 2])
    return keys


@numba.njit(cache=True)
def _snap(tree: Tree, centroids: F32, centres: F32, radius: float, least: float) -> I64:  # pragma: no cover
    kept = np.empty(len(centres), np.int64)
    keys, stack = np.empty(64, np.uint64), np.empty(128, np.uint64)
    count = 0
    for centre in centres:
        gather(tree, centre[0], centre[1], centre[2], -1, 1, NO_BOUND, keys, stack)
        nearest = np.int64(keys[0] & LOW)
        kept[count] = nearest
        count += 1 if count_within(tree, centroids[nearest, 0], centroids[nearest, 1], centroids[nearest, 2], radius, stack) > least else 0
    return kept[:count]


def expand(voxels: Voxels, normals: F32, seeds: I64, rounds: int, weights: F64) -> I64:
    """Grow the supervoxels for some rounds: the owner of every voxel, i64[V], -1 where none came.

    `weights` f64[3]: normal, colour, space per metre. In a round, supervoxels take their turns in label order; each offers every voxel
    that touches one of its own its distance to the centroid, and takes it if that is below the voxel's best so far.
    """
    ghosts = _ghosts(seeds)
    owner = np.full(len(voxels.xyz), -1, np.int64)
    owner[seeds] = np.arange(len(seeds))
    look = np.concatenate([normals, voxels.rgb, voxels.xyz], axis=1).astype(np.float64)
    best = np.full(len(owner), np.inf)
    changed = np.full(len(owner), -1, np.int64)
    centroid = np.zeros((len(seeds), 9))
    alive = np.ones(len(seeds), np.bool_)
    for turn in range(rounds):
        start, member = _members(owner, ghosts, len(seeds))
        _grow(turn, start, member, voxels.neighbours, look, weights, centroid, alive, owner, best, changed, ghosts)
        _recentre(look, owner, ghosts, centroid, alive)
    return owner


def _ghosts(seeds: I64) -> I64:
    """The seeds that do not own their voxel because a later one does: i64[G,2] of (voxel, seed), by voxel."""
    later = {int(voxel): index for index, voxel in enumerate(seeds)}
    rows = sorted((int(voxel), index) for index, voxel in enumerate(seeds) if later[int(voxel)] != index)
    return np.array(rows, np.int64).reshape(-1, 2)


@numba.njit(cache=True)
def _members(owner: I64, ghosts: I64, count: int) -> Any:  # pragma: no cover
    """The voxels of every supervoxel, ascending, as start i64[S+1] and member i64[M]; a ghost v is written as -1 - v."""
    start = np.zeros(count + 2, np.int64)
    for s in owner:
        start[s + 2] += s >= 0
    for g in range(len(ghosts)):
        start[ghosts[g, 1] + 2] += ghosts[g, 0] >= 0
    for s in range(count):
        start[s + 2] += start[s + 1]
    member = np.empty(start[count + 1], np.int64)
    for v in range(len(owner)):
        if owner[v] >= 0:
            member[start[owner[v] + 1]] = v
            start[owner[v] + 1] += 1
    for g in range(len(ghosts)):
        if ghosts[g, 0] >= 0:
            member[start[ghosts[g, 1] + 1]] = -1 - ghosts[g, 0]
            start[ghosts[g, 1] + 1] += 1
    return start[: count + 1], member


@numba.njit(cache=True)
def _grow(
    turn: int, start: I64, member: I64, neighbours: I32, look: F64, weights: F64, centroid: F64, alive: Any, owner: I64, best: F64, changed: I64, ghosts: I64
) -> None:  # pragma: no cover
    for s in range(len(centroid)):
        if not alive[s]:
            continue
        for entry in member[start[s] : start[s + 1]]:
            if entry >= 0 and changed[entry] == turn:  # an earlier supervoxel took it in this round, or this one took it back just now
                continue
            for u in neighbours[entry if entry >= 0 else -1 - entry]:
                if u < 0 or owner[u] == s:
                    continue
                distance = _distance(centroid[s], look[u], weights)
                if distance < best[u]:
                    best[u], owner[u], changed[u] = distance, s, turn
                    for g in range(len(ghosts)):  # a ghost that wins its voxel owns it like any other
                        if ghosts[g, 1] == s and ghosts[g, 0] == u:
                            ghosts[g, 0] = -1


@numba.njit(cache=True)
def _distance(a: F64, b: F64, weights: F64) -> Any:  # pragma: no cover
    result = 0.0
    if weights[0] > 0:
        result += weights[0] * (1 - abs(a[0] * b[0] + a[1] * b[1] + a[2] * b[2]))
    result += weights[1] * np.sqrt((a[3] - b[3]) ** 2 + (a[4] - b[4]) ** 2 + (a[5] - b[5]) ** 2)
    return result + weights[2] * np.sqrt((a[6] - b[6]) ** 2 + (a[7] - b[7]) ** 2 + (a[8] - b[8]) ** 2)


@numba.njit(cache=True)
def _recentre(look: F64, owner: I64, ghosts: I64, centroid: F64, alive: Any) -> None:  # pragma: no cover
    """Centroids become the mean of what each supervoxel holds; one that holds nothing is gone for good."""
    count = np.zeros(len(centroid), np.int64)
    sums = np.zeros_like(centroid)
    for v in range(len(owner)):
        if owner[v] >= 0:
            count[owner[v]] += 1
            sums[owner[v]] += look[v]
    for g in range(len(ghosts)):
        if ghosts[g, 0] >= 0:
            count[ghosts[g, 1]] += 1
            sums[ghosts[g, 1]] += look[ghosts[g, 0]]
    for s in range(len(centroid)):
        alive[s] = alive[s] and count[s] > 0
        if alive[s]:
            length = np.sqrt(sums[s, 0] ** 2 + sums[s, 1] ** 2 + sums[s, 2] ** 2)
            centroid[s, :3] = sums[s, :3] / length if length > 0 else sums[s, :3]
            centroid[s, 3:] = sums[s, 3:] / count[s]
