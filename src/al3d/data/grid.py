"""Subsampling to a grid: one point per occupied cell, and the way back."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from al3d.data.voxelise import majority_label, mean_rows
from al3d.types import F32, F64, I32, U8


class Subsampled(NamedTuple):
    """Cells sorted by x, y, z: `xyz` f32[M,3], `feat` f32[M,F], `label` u8[M], and each raw point's cell `inverse` i32[N]."""

    xyz: F32
    feat: F32
    label: U8
    inverse: I32


def subsample(xyz: F32, feat: F32, label: U8, size: float, classes: int) -> Subsampled:
    """Replace the points of every cell of `size` metres by their barycentre, mean features and majority label.

    Shapes: xyz f32[N,3], feat f32[N,F], label u8[N]. Ties go to the lowest label; IGNORE loses against any label. Cells count from
    the cell of the minimum, cell edges lying at multiples of `size`.
    Raises: ValueError when the size is not positive, or so small that cells cannot be numbered.
    Source: HPAL's preparation of S3DIS; differs: a raw point belongs to its cell's point, not to the nearest one.
    """
    if not (np.isfinite(size) and size > 0):
        raise ValueError(f"a grid needs a positive cell size in metres, got {size}")
    inverse, count = _cells(xyz.astype(np.float64), size)
    return Subsampled(
        mean_rows(xyz, inverse, count),
        mean_rows(feat, inverse, count),
        majority_label(label, inverse, count, classes).astype(np.uint8),
        inverse.astype(np.int32),
    )


def _cells(xyz: F64, size: float) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], int]:
    corner = np.floor(xyz.min(axis=0) / size) * size
    cells = np.floor((xyz - corner) / size)
    spans = cells.max(axis=0) + 1
    if float(np.prod(spans)) >= 2.0**62:
        raise ValueError(f"a grid of {size} m has {spans.tolist()} cells along x, y, z: take a larger cell, or check the scene's units (metres)")
    index = cells.astype(np.int64)
    wide, deep = int(spans[1]), int(spans[2])
    found, inverse = np.unique((index[:, 0] * wide + index[:, 1]) * deep + index[:, 2], return_inverse=True)
    return inverse.reshape(-1).astype(np.int64), len(found)
