"""A procedural street with its LiDAR scanners and cameras: `drive` yields sweeps."""

from al3d.world.street.driving import drive
from al3d.world.street.sensors import HDL32, HDL64, THIN, Lens, Sensor

__all__ = ["HDL32", "HDL64", "THIN", "Lens", "Sensor", "drive"]
