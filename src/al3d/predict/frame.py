"""From a file's frame to the one that a network was trained in: metres, +z up, relative to an origin."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from al3d.geometry.upright import rotated
from al3d.types import F64


@dataclass(frozen=True, eq=False)
class Frame:
    """`factor` brings a file's units to metres, `rotation` f64[3,3] its up to +z; `sensor`: points stay relative to the scanner."""

    factor: float = 1.0
    rotation: F64 = field(default_factory=lambda: np.eye(3))
    sensor: bool = False

    def metres(self, xyz: F64) -> F64:
        """Places f64[N,3] of the file in metres with +z up."""
        return rotated(xyz * self.factor, self.rotation)

    def origin(self, low: F64) -> F64:
        """What is subtracted before coordinates become float32: the floor, in whole metres, of the lowest place `low` f64[3]."""
        return np.zeros(3) if self.sensor else np.floor(low)
