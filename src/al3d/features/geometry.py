"""Shape as numbers: histograms of local surface, direction, height and colour over parts of a scene or its units, without weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numba
import numpy as np

from al3d.data.voxelise import voxelise
from al3d.features.parts import Members, Thinned, check_span, counts, cut, histograms, members, members_of_parts, of_groups, sums, thinned
from al3d.geometry.neighbours import CHUNK
from al3d.geometry.tree import Tree, box_distance, build
from al3d.geometry.voxels import exact_mean
from al3d.types import F32, F64, I32, Array, Scene

#: Centres of every histogram.
BINS = 8
#: The radius of the surroundings, in voxels of the cloud that they are taken from.
RADIUS = 4.0
#: Fewer points than this say nothing about a surface.
FEWEST = 4
#: A part has at least so many voxels.
LEAST = 16
#: Heights, extents and densities are counted in powers of 2 up to this one.
OCTAVES = 7


class Surroundings(NamedTuple):
    """Shape of the surroundings of every voxel at one scale, f32[V] but for the directions f32[V,3].

    `linearity`, `planarity`, `scattering` are 0..1 and add up to 1 (all 0 where there are too few points), `normal` the direction of
    least spread, `along` that of most, `near` how many voxels there are around it, itself included.
    """

    linearity: F32
    planarity: F32
    scattering: F32
    normal: F32
    along: F32
    near: F32


@dataclass(frozen=True)
class Geometry:
    """The shape of a cloud: `parts` rows per scene, or one row per unit, f32[K,D] with D = 148 and 24 for three colours (8 an attribute else).

    The scene is thinned to voxels of half a `length`, where `length` is the larger of `supervoxel_voxel` and twice `voxel` (metres), so
    that near and far surfaces count alike. Surroundings are described within 2 lengths, and in a cloud thinned to voxels of a whole length within
    4, from all of the scene also at the edge of a unit. Every block is the square root of a histogram's shares, so that its squares add up to at most 1:
    linearity, planarity and scattering at both scales; how steep planes and how steep lines are, weighed by planarity and linearity; how
    walls are turned to each other (without a zero direction); the angles between the normals of near voxels, and between a normal and
    the way to a near voxel; height above the floor (2 % of the scene lie below it); spread of the part across, along and up; points per
    voxel; how full the surroundings are; with `attributes` colours (lightness and two opponent axes) or any other attributes in
    0..`attribute_scale`.
    Rows do not depend on the order of the points at all, nor but for rounding and the place of the voxels on where the scene stands or
    how it is turned about z; the cut into parts follows x and y.
    Raises: ValueError for lengths that are not positive, or fewer than 1 part.
    Source: covariance features as Demantke et al. 2011 and Weinmann et al. 2015 use them, on the eigenvalues themselves; pair angles after FPFH (Rusu
    et al. 2009), without a sign, so that normals need no side.
    """

    VERSION: ClassVar[int] = 1
    name: str
    voxel: float
    supervoxel_voxel: float
    parts: int = 32
    attributes: bool = True
    attribute_scale: float = 1.0
    center: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        for key, value in (("voxel", self.voxel), ("supervoxel_voxel", self.supervoxel_voxel), ("attribute_scale", self.attribute_scale)):
            if not value > 0:
                raise ValueError(f"features.{key}={value}: give a positive number")
        if self.parts < 1:
            raise ValueError(f"features.parts={self.parts}: a scene has at least 1 part")

    @property
    def identity(self) -> object:
        """Every option that changes a number."""
        return ["Geometry", self.VERSION, self.length, self.parts, self.attributes, self.attribute_scale]

    @property
    def parallel(self) -> bool:
        """It needs no device."""
        return True

    @property
    def of(self) -> None:
        """It reads the scene itself."""
        return None

    @property
    def length(self) -> float:
        """The length that all radii are multiples of, in metres."""
        return max(self.supervoxel_voxel, 2 * self.voxel)

    def check(self, scene: Scene) -> None:
        """Refuse a scene that is too wide for its voxels."""
        check_span(scene, self.length / 2)

    def __call__(self, scene: Scene, inner: F32 | None = None) -> F32:
        cloud = thinned(scene, self.length / 2)
        return self._rows(cloud, members_of_parts(cut(cloud.xyz[:, :2], self.parts, LEAST)))

    def of_units(self, scene: Scene, unit: I32) -> F32:
        """A row per unit: over the voxels in which it has points, each counted once."""
        cloud = thinned(scene, self.length / 2)
        return self._rows(cloud, members(unit, cloud.of_point, len(cloud.xyz)))

    def _rows(self, cloud: Thinned, within: Members) -> F32:
        fine, coarse, pairs = _described(cloud.xyz, self.length / 2)
        blocks = [block for scale in (fine, coarse) for block in _shape(scale, within)]
        blocks.append(_azimuth(fine, within))
        blocks += np.split(sums(pairs, within) / counts(within)[:, None], 2, axis=1)
        ones = np.ones(len(cloud.xyz))
        height = cloud.xyz[:, 2] - np.quantile(cloud.xyz[:, 2].astype(np.float64), 0.02)
        full = fine.near / (2 * np.pi * RADIUS**2)
        blocks += [histograms(value, ones, within, BINS) for value in (_octave(height / self.length), np.log2(cloud.points) / OCTAVES, full)]
        blocks += _extent(cloud.xyz, within, self.length)
        if self.attributes:
            blocks += [histograms(value, ones, within, BINS) for value in opponents(cloud.feat / self.attribute_scale).T]
        return np.concatenate([np.sqrt(block) for block in blocks], axis=1).astype(np.float32)


def _described(xyz: F32, size: float) -> tuple[Surroundings, Surroundings, F32]:
    """For every voxel of `size`: its surroundings, those of the voxel of twice the size around it, and the pair angles there, f32[V,2*BINS]."""
    fine = surroundings(build(xyz), RADIUS * size)
    coord, inverse = voxelise(xyz, 2 * size)
    group = inverse.astype(np.int32)
    tree = build(exact_mean(xyz, group, np.bincount(inverse, minlength=len(coord))))
    coarse = surroundings(tree, RADIUS * 2 * size)
    pairs = _pair_angles(tree, np.ascontiguousarray(coarse.normal), coarse.planarity, RADIUS * 2 * size)
    return fine, Surroundings(*(values[inverse] for values in coarse)), pairs[inverse]


def opponents(feat: Array) -> Array:
    """Three colours [V,3] in 0..1 as lightness, red against green and blue against yellow, in 0..1; anything else as it is."""
    if feat.shape[1] != 3:
        return feat
    red, green, blue = feat[:, 0], feat[:, 1], feat[:, 2]
    chroma = np.stack([red - green, blue - (red + green) / 2], axis=1)
    # Most surfaces are nearly grey: the root spreads them over the bins.
    return np.concatenate([feat.mean(axis=1, keepdims=True), (1 + np.sign(chroma) * np.sqrt(np.abs(chroma))) / 2], axis=1)


def surroundings(tree: Tree, radius: float) -> Surroundings:
    """The shape of what lies nearer than `radius` metres to every point of a cloud."""
    moments = _moments(tree, radius)
    near = moments[:, 0]
    mean = moments[:, 1:4] / near[:, None]
    square = (moments[:, [4, 5, 6, 5, 7, 8, 6, 8, 9]] / near[:, None]).reshape(-1, 3, 3)
    values, vectors = np.linalg.eigh(square - mean[:, :, None] * mean[:, None, :])
    small, middle, large = np.maximum(values, 0).T
    known = np.where((near >= FEWEST) & (large > 0), 1 / np.maximum(large, 1e-30), 0)
    shares = ((large - middle) * known, (middle - small) * known, small * known, vectors[:, :, 0], vectors[:, :, 2], near)
    return Surroundings(*(share.astype(np.float32) for share in shares))


def _shape(scale: Surroundings, within: Members) -> list[F64]:
    known = (scale.linearity + scale.planarity + scale.scattering > 0).astype(np.float64)
    blocks = [histograms(value, known, within, BINS) for value in (scale.linearity, scale.planarity, scale.scattering)]
    blocks.append(histograms(_angle(scale.normal[:, 2]), scale.planarity, within, BINS))
    blocks.append(histograms(_angle(scale.along[:, 2]), scale.linearity, within, BINS))
    return blocks


def _azimuth(scale: Surroundings, within: Members) -> F64:
    """How strongly upright planes share directions, f64[G,4]: all (2), in right angles (4), and finer; 0..1/4.

    Sizes of Fourier coefficients, so that turning about z changes nothing, of even order, so that the side of a normal does not matter.
    """
    x, y = scale.normal[:, 0].astype(np.float64), scale.normal[:, 1].astype(np.float64)
    flat = x**2 + y**2
    turn = (x + 1j * y) ** 2 / np.maximum(flat, 1e-12)
    waves = (scale.planarity * flat)[:, None] * np.stack([turn, turn**2, turn**3, turn**4], axis=1)
    length = np.hypot(sums(waves.real, within), sums(waves.imag, within)) / counts(within)[:, None]
    return np.asarray(length**2 / 4)


def _extent(xyz: F32, within: Members, length: float) -> list[F64]:
    """Standard deviations across, along and up, in octaves of the length."""
    mean = sums(xyz, within) / counts(within)[:, None]
    away = xyz[within.voxel] - mean[within.group]
    products = np.stack([away[:, 0] ** 2, away[:, 1] ** 2, away[:, 0] * away[:, 1], away[:, 2] ** 2], axis=1)
    xx, yy, xy, zz = (np.bincount(within.group, column, within.groups) / counts(within) for column in products.T)
    middle, spread = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    one, every = np.ones(within.groups), np.arange(within.groups)
    deviations = (np.sqrt(np.maximum(variance, 0)) for variance in (middle - spread, middle + spread, zz))
    return [of_groups(_octave(value / length), one, every, within.groups, BINS) for value in deviations]


def _octave(value: Array) -> Array:
    """0..127 to 0..1, finer below."""
    return np.asarray(np.log2(1 + np.maximum(value, 0)) / OCTAVES)


def _angle(cosine: Array) -> Array:
    """The angle to an axis without a direction: 0 along it, 1 across."""
    return np.asarray(np.arccos(np.minimum(np.abs(cosine), 1)) * (2 / np.pi))


@numba.njit(parallel=True, cache=True)
def _moments(tree: Tree, radius: float) -> F64:  # pragma: no cover
    """Sums f64[V,10] over the points nearer than `radius` to every point: number, x, y, z, xx, xy, xz, yy, yz, zz, relative to the point."""
    count = len(tree.order)
    result = np.zeros((count, 10))
    for chunk in numba.prange((count + CHUNK - 1) // CHUNK):
        stack = np.empty(128, np.int64)
        for i in range(chunk * CHUNK, min(count, (chunk + 1) * CHUNK)):
            _sum_around(tree, i, np.float32(radius * radius), stack, result[tree.order[i]])
    return result


@numba.njit(cache=True)
def _sum_around(tree: Tree, i: int, limit: Any, stack: Array, result: F64) -> None:  # pragma: no cover
    x, y, z = tree.points[i, 0], tree.points[i, 1], tree.points[i, 2]
    top = 1
    stack[0] = 0
    while top > 0:
        top -= 1
        node = stack[top]
        if box_distance(tree.box, node, x, y, z) >= limit:
            continue
        if node < tree.leaves:
            stack[top], stack[top + 1] = 2 * node + 1, 2 * node + 2
            top += 2
            continue
        for j in range(tree.start[node], tree.stop[node]):
            dx, dy, dz = tree.points[j, 0] - x, tree.points[j, 1] - y, tree.points[j, 2] - z
            if dx * dx + dy * dy + dz * dz < limit:
                _add(result, np.float64(dx), np.float64(dy), np.float64(dz))


@numba.njit(cache=True, inline="always")
def _add(sums: F64, dx: Any, dy: Any, dz: Any) -> None:  # pragma: no cover
    sums[0] += 1
    sums[1] += dx
    sums[2] += dy
    sums[3] += dz
    sums[4] += dx * dx
    sums[5] += dx * dy
    sums[6] += dx * dz
    sums[7] += dy * dy
    sums[8] += dy * dz
    sums[9] += dz * dz


@numba.njit(parallel=True, cache=True)
def _pair_angles(tree: Tree, normal: F32, planarity: F32, radius: float) -> F32:  # pragma: no cover
    """Shares f32[V,2*BINS] of the voxels around: angle between the normals, then between the normal and the way there.

    Pairs count as much as both surroundings are planes, since a line has no normal.
    """
    count = len(tree.order)
    result = np.zeros((count, 2 * BINS), np.float32)
    for chunk in numba.prange((count + CHUNK - 1) // CHUNK):
        stack = np.empty(128, np.int64)
        for i in range(chunk * CHUNK, min(count, (chunk + 1) * CHUNK)):
            _angles_around(tree, i, normal, planarity, np.float32(radius * radius), stack, result[tree.order[i]])
    return result


@numba.njit(cache=True)
def _angles_around(tree: Tree, i: int, normal: F32, planarity: F32, limit: Any, stack: Array, result: F32) -> None:  # pragma: no cover
    x, y, z = tree.points[i, 0], tree.points[i, 1], tree.points[i, 2]
    own = tree.order[i]
    near, top = 0, 1
    stack[0] = 0
    while top > 0:
        top -= 1
        node = stack[top]
        if box_distance(tree.box, node, x, y, z) >= limit:
            continue
        if node < tree.leaves:
            stack[top], stack[top + 1] = 2 * node + 1, 2 * node + 2
            top += 2
            continue
        for j in range(tree.start[node], tree.stop[node]):
            dx, dy, dz = tree.points[j, 0] - x, tree.points[j, 1] - y, tree.points[j, 2] - z
            squared = dx * dx + dy * dy + dz * dz
            if squared >= limit or squared == 0:
                continue
            other = tree.order[j]
            near += 1
            weight = planarity[own] * planarity[other]
            between = normal[own, 0] * normal[other, 0] + normal[own, 1] * normal[other, 1] + normal[own, 2] * normal[other, 2]
            towards = (normal[own, 0] * dx + normal[own, 1] * dy + normal[own, 2] * dz) / np.sqrt(squared)
            _share(result, 0, between, weight)
            _share(result, BINS, towards, weight)
    if near > 0:
        result /= np.float32(near)


@numba.njit(cache=True, inline="always")
def _share(result: F32, start: int, cosine: Any, weight: Any) -> None:  # pragma: no cover
    # In single precision a right angle may come out beyond the last centre, and its share below zero.
    place = min(np.arccos(min(abs(cosine), np.float32(1))) * (2 / np.pi), 1.0) * (BINS - 1)
    lower = min(int(place), BINS - 2)
    result[start + lower] += weight * (1 - (place - lower))
    result[start + lower + 1] += weight * (place - lower)
