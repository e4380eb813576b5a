"""From a file's frame to the one that a network was trained in: metres, +z up, relative to an origin."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from al3d.types import F64


@dataclass(frozen=True, eq=False)
class Frame:
    """`factor` brings a file's units to metres, `rotation` f64[3,3] its up to +z; `sensor`: points stay relative to the scanner."""

    factor: float = 1.0
    rotation: F64 = field(default_factory=lambda: np.eye(3))
    sensor: bool = False

    def metres(self, xyz: F64) -> F64:
        """Places f64[N,3] of the file in metres with +z up."""
        scaled = xyz * self.factor
        turn = self.rotation
        # column by column, as the reader of folders does: the same bits on every machine and thread count
        return np.asarray(scaled[:, [0]] * turn[:, 0] + scaled[:, [1]] * turn[:, 1] + scaled[:, [2]] * turn[:, 2], dtype=np.float64)

    def origin(self, low: F64) -> F64:
        """What is subtracted before coordinates become float32: the floor, in whole metres, of the lowest place `low` f64[3]."""
        return np.zeros(3) if self.sensor else np.floor(low)


def upright(up: F64) -> F64:
    """The smallest rotation f64[3,3] that takes the direction `up` f64[3] to +z, as the reader of folders turns scenes."""
    x, y, z = up / np.linalg.norm(up)
    if z < 0 and x * x + y * y == 0:
        return np.diag([1.0, -1.0, -1.0])
    # equal on paper; each loses no digits on its side
    share = 1 / (1 + z) if z >= 0 else (1 - z) / (x * x + y * y)
    return np.array([[1 - x * x * share, -x * y * share, -x], [-x * y * share, 1 - y * y * share, -y], [x, y, z]])
