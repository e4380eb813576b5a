"""Write procedural data in an official raw layout: `python -m al3d.world layout=semantic_kitti out=DIR scenes=4 rng=1`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from al3d.command import key_values, plain_errors, whole_number
from al3d.progress import console
from al3d.world.drives import write_nuscenes_drives, write_semantic_kitti_drives
from al3d.world.rooms import write_rooms
from al3d.world.scannet import write_scannet

USAGE = """usage: python -m al3d.world layout=s3dis|scannet|semantic_kitti|nuscenes out=FOLDER [scenes=N] [rng=K] [points=P] [frames=F] [jobs=J]
  scenes   rooms (s3dis, scannet) or drives (semantic_kitti, nuscenes); default 8
  rng      another number makes another world; default 1
  points   points of a room of usual size; default 60000
  frames   scans of a drive; default 20
  jobs     processes, -1 for all cores; default -1"""
OPTIONS = {"layout": None, "out": None, "scenes": "8", "rng": "1", "points": "60000", "frames": "20", "jobs": "-1"}
ROOMS: dict[str, Callable[..., None]] = {"s3dis": write_rooms, "scannet": write_scannet}
DRIVES: dict[str, Callable[..., None]] = {"semantic_kitti": write_semantic_kitti_drives, "nuscenes": write_nuscenes_drives}


def main(arguments: list[str]) -> None:
    """Write the data set that the arguments ask for.

    Raises: ValueError for an unknown layout or option; FileExistsError when `out` holds something already.
    """
    options = key_values(arguments, OPTIONS, USAGE)
    layout, out = options["layout"], Path(options["out"]).expanduser()
    if layout not in ROOMS | DRIVES:
        raise ValueError(f"layout={layout} is not one of {', '.join(sorted(ROOMS | DRIVES))}\n{USAGE}")
    scenes, rng, jobs = whole_number(options, "scenes", 2), whole_number(options, "rng", 0), whole_number(options, "jobs", -1)
    if layout in ROOMS:
        ROOMS[layout](out, scenes, rng, whole_number(options, "points", 1000), jobs)
        console.print(f"wrote {scenes} rooms: python train.py dataset={layout} dataset.root={out}", markup=False)
    else:
        frames = whole_number(options, "frames", 1)
        DRIVES[layout](out, scenes, rng, frames, jobs)
        console.print(f"wrote {scenes} drives of {frames} scans: python train.py dataset={layout} dataset.root={out}", markup=False)


if __name__ == "__main__":
    with plain_errors():
        main(sys.argv[1:])
