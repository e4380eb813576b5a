"""Procedural data in an official raw layout: `al3d world semantic_kitti --out DIR --scenes 4`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from al3d.progress import console
from al3d.world.drives import write_nuscenes_drives, write_semantic_kitti_drives
from al3d.world.rooms import write_rooms
from al3d.world.scannet import write_scannet

ROOMS: dict[str, Callable[..., None]] = {"s3dis": write_rooms, "scannet": write_scannet}
DRIVES: dict[str, Callable[..., None]] = {"semantic_kitti": write_semantic_kitti_drives, "nuscenes": write_nuscenes_drives}


def write(layout: str, out: Path, *, scenes: int, rng: int, points: int, frames: int, jobs: int) -> None:
    """Write `scenes` rooms of about `points` points, or drives of `frames` scans. Raises: FileExistsError when `out` holds something already."""
    if layout in ROOMS:
        ROOMS[layout](out, scenes, rng, points, jobs)
        what = f"{scenes} rooms"
    else:
        DRIVES[layout](out, scenes, rng, frames, jobs)
        what = f"{scenes} drives of {frames} scans"
    console.print(f"wrote {what}: al3d train dataset={layout} dataset.root={out}", markup=False)
