"""Turning clouds so that +z is up."""

from __future__ import annotations

import numpy as np

from al3d.types import F64


def rotation_to_z(up: F64) -> F64:
    """The smallest rotation f64[3,3] that takes the direction `up` f64[3] to +z; half a turn about x when `up` is -z."""
    x, y, z = up / np.linalg.norm(up)
    if z < 0 and x * x + y * y == 0:
        return np.diag([1.0, -1.0, -1.0])
    # equal on paper; each loses no digits on its side
    share = 1 / (1 + z) if z >= 0 else (1 - z) / (x * x + y * y)
    return np.array([[1 - x * x * share, -x * y * share, -x], [-x * y * share, 1 - y * y * share, -y], [x, y, z]])


def rotated(xyz: F64, rotation: F64) -> F64:
    """Rotate points f64[N,3]; column by column, so that every machine and thread count gives the same bits."""
    return np.asarray(xyz[:, [0]] * rotation[:, 0] + xyz[:, [1]] * rotation[:, 1] + xyz[:, [2]] * rotation[:, 2], dtype=np.float64)
