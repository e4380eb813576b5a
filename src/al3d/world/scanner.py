"""Scans a room from a few standpoints: light, occlusion holes, density that falls with distance, sensor noise."""

from __future__ import annotations

import numpy as np

from al3d.types import F32, F64, Bool
from al3d.world.shapes import Cloud

#: Samples taken per point kept, so that what is hidden can be dropped.
OVERSAMPLING = 3.0
#: Two panoramas per standpoint, (sharp from, blocks up to) in metres: a cell spans `CELL_SPACINGS` samples at the first distance,
#: so that near surfaces, whose samples lie many degrees apart, hide what is behind them too.
PANORAMAS = ((1.6, np.inf), (0.7, 1.6))
CELL_SPACINGS = 1.5
NOISE = 0.005
#: The distance in metres at which the density has fallen to a half.
HALF_DENSITY = 6.0


def standpoints(free: F64, count: int, rng: np.random.Generator) -> F64:
    """`count` scanner positions f64[count,3] at eye height, far from each other, on free floor cells f64[n,2]."""
    chosen = [int(rng.integers(len(free)))]
    distance = np.linalg.norm(free - free[chosen[0]], axis=1)
    while len(chosen) < min(count, len(free)):
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.linalg.norm(free - free[chosen[-1]], axis=1))
    return np.concatenate([free[chosen], rng.uniform(1.35, 1.75, (len(chosen), 1))], axis=1)


def scan(cloud: Cloud, positions: F64, points: int, spacing: float, rng: np.random.Generator) -> Cloud:
    """About `points` of the samples (`spacing` metres apart) that some position sees, with noise; nearer surfaces are denser."""
    nearest = np.full(len(cloud), np.inf, dtype=np.float32)
    for position in positions:
        distance, seen = visible(cloud.xyz, cloud.normal, position, spacing)
        nearest[seen] = np.minimum(nearest[seen], distance[seen])
    rows = np.flatnonzero(np.isfinite(nearest))
    weight = 1 / (1 + (nearest[rows] / HALF_DENSITY) ** 2)
    if len(rows) > points:
        race = rng.standard_exponential(len(rows)) / weight
        rows = np.sort(rows[np.argpartition(race, points)[:points]])
    seen_cloud = cloud.take(rows)
    shake = np.clip(rng.standard_normal(seen_cloud.xyz.shape), -3, 3) * (NOISE / np.sqrt(3))
    return Cloud((seen_cloud.xyz + shake).astype(np.float32), seen_cloud.normal, seen_cloud.color, seen_cloud.piece)


def visible(xyz: F32, normal: F32, position: F64, spacing: float) -> tuple[F32, Bool]:
    """The distance f32[n] from `position`, and which points it sees bool[n]: they face it, and are nearest in their panorama cell.

    A slanted surface has a range of depths within a cell; the tolerance grows with the slant.
    """
    ray = xyz - position.astype(np.float32)
    distance = np.maximum(np.linalg.norm(ray, axis=1), 1e-6).astype(np.float32)
    facing = -np.einsum("ij,ij->i", ray, normal) / distance
    azimuth = np.arctan2(ray[:, 1], ray[:, 0]) + np.pi
    polar = np.arccos(np.clip(ray[:, 2] / distance, -1, 1))
    towards = facing > 0.02
    seen = towards.copy()
    for sharp, reach in PANORAMAS:
        size = min(CELL_SPACINGS * spacing / sharp, 0.5)
        columns, rows = int(np.ceil(2 * np.pi / size)), int(np.ceil(np.pi / size))
        cell = np.minimum((polar / size).astype(np.int64), rows - 1) * columns + np.minimum((azimuth / size).astype(np.int64), columns - 1)
        front = np.full(columns * rows, np.inf, dtype=np.float32)
        blocks = towards & (distance < reach)
        np.minimum.at(front, cell[blocks], distance[blocks])
        seen &= distance <= front[cell] + 0.04 + distance * size / np.maximum(facing, 0.05)
    return distance, seen


def lit(cloud: Cloud, lights: F64, size: F64, rng: np.random.Generator) -> Cloud:
    """Colours under the room's lamps f64[l,3]: facing and near lamps brighter, corners of the room (`size` f64[3]) darker."""
    received = np.zeros(len(cloud), dtype=np.float32)
    for light in lights:
        ray = light.astype(np.float32) - cloud.xyz
        squared = np.einsum("ij,ij->i", ray, ray) + 0.3
        received += np.clip(0.25 + np.einsum("ij,ij->i", ray, cloud.normal) / np.sqrt(squared), 0, None) / (1 + squared / 6)
    bright = 0.55 + 0.5 * received / (0.6 + received)
    gap = np.sort(np.minimum(cloud.xyz, size.astype(np.float32) - cloud.xyz), axis=1)[:, 1]
    corner = 0.82 + 0.18 * np.clip(gap / 0.25, 0, 1)
    warmth = np.array([1.0, 1.0, 1.0]) + rng.uniform(-0.04, 0.04) * np.array([1.0, 0.2, -1.0])
    color = cloud.color * (bright * corner)[:, None] * warmth + 0.015 * rng.standard_normal(cloud.color.shape)
    return Cloud(cloud.xyz, cloud.normal, np.clip(color, 0, 1).astype(np.float32), cloud.piece)
