"""What a drive through a procedural street yields: LiDAR sweeps with their truth and the pictures taken meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

from al3d.types import F32, F64, I32, U8, Bool, Camera

#: What a point of a street can be; raw layouts map these names to their own ids. "noise" is a false echo.
CATEGORIES = (
    "noise", "car", "bicycle", "motorcycle", "truck", "bus", "trailer", "construction-vehicle", "other-vehicle",
    "person", "bicyclist", "motorcyclist", "road", "lane-marking", "parking", "sidewalk", "other-ground", "terrain",
    "building", "fence", "barrier", "vegetation", "trunk", "pole", "traffic-sign", "traffic-cone", "other-object",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Shot:
    """One picture: the camera's `name`, `image` u8[H,W,3], the `camera` with its pose in the sweep's sensor frame, `time` in seconds."""

    name: str
    image: U8
    camera: Camera
    time: float


@dataclass(frozen=True, eq=False)
class Sweep:
    """One turn of the scanner, in the order in which its points were measured.

    Shapes: `xyz` f32[N,3] metres in the sensor's frame (x forward, y left, z up); `intensity` f32[N] 0..1; `ring` u8[N], 0 the lowest
    beam; `category` u8[N] into `CATEGORIES`; `moving` bool[N]; `instance` i32[N], from 1 on, the same number for the same object in
    every sweep, 0 for stuff; `pose` f64[4,4] sensor to world; `time` in seconds from the start of the drive; `shots` maybe none.
    """

    xyz: F32
    intensity: F32
    ring: U8
    category: U8
    moving: Bool
    instance: I32
    pose: F64
    time: float
    shots: tuple[Shot, ...] = ()
