"""Small clouds, pleasant and not, that the geometry tests share."""

from __future__ import annotations

import numpy as np

from al3d.rng import generator
from al3d.types import F32, I64


def room(points: int, key: int = 0) -> F32:
    """A box of 8 x 6 x 3 m with a little noise."""
    draw = generator("test room", key)
    xyz = draw.random((points, 3)) * [8, 6, 3]
    side = draw.integers(0, 6, points)
    for axis, length in enumerate((8, 6, 3)):
        xyz[side == 2 * axis, axis] = 0
        xyz[side == 2 * axis + 1, axis] = length
    return (xyz + draw.normal(size=xyz.shape) * 0.005).astype(np.float32)


def awkward(points: int, key: int = 0) -> dict[str, F32]:
    """Degenerate clouds of about the given size, by name."""
    draw = generator("awkward", key)
    normal = draw.normal(size=(points, 3))
    clouds = {
        "one point": normal[:1],
        "two points": normal[:2],
        "all equal": np.ones((points, 3)),
        "line": normal * [1, 0, 0],
        "plane": normal * [1, 1, 0],
        "lattice with duplicates": draw.integers(0, 4, (points, 3)),
        "two far clusters": normal * 1e-3 + draw.integers(0, 2, (points, 1)) * 1e3,
        "two densities": normal * np.where(np.arange(points) % 2, 1e-3, 1e2)[:, None],
        "outlier": np.where(np.arange(points)[:, None] == 0, 1e4, normal),
    }
    return {name: cloud.astype(np.float32) for name, cloud in clouds.items()}


def naive_nearest(xyz: F32, k: int) -> I64:
    """Every distance, in float32; the point itself first, ties by index."""
    offset = xyz[:, None] - xyz[None]
    squared = offset[..., 0] * offset[..., 0] + offset[..., 1] * offset[..., 1] + offset[..., 2] * offset[..., 2]
    np.fill_diagonal(squared, -1)
    return np.argsort(squared, axis=1, kind="stable")[:, :k]
