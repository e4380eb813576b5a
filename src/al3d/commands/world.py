"""Generate rooms or drives in the files of public data sets."""

from __future__ import annotations

from pathlib import Path

import click

from al3d.command import Command, Place, examples, plain_errors

LAYOUTS = ("s3dis", "scannet", "semantic_kitti", "nuscenes")


@click.command(
    cls=Command,
    epilog=examples("al3d world semantic_kitti --out data/made_kitti --scenes 4", "al3d world s3dis --out data/made_s3dis --scenes 24"),
)
@click.argument("layout", type=click.Choice(LAYOUTS))
@click.option("--out", type=Place(), required=True, help="An empty or a new folder.")
@click.option("--scenes", type=click.IntRange(2), default=8, show_default=True, help="Rooms (s3dis, scannet) or drives.")
@click.option("--rng", type=click.IntRange(0), default=1, show_default=True, help="Another number makes another world.")
@click.option("--points", type=click.IntRange(1000), default=60_000, show_default=True, help="Points of a room of usual size.")
@click.option("--frames", type=click.IntRange(1), default=20, show_default=True, help="Scans of a drive.")
@click.option("--jobs", type=click.IntRange(-1), default=-1, show_default=True, help="Processes; -1: all cores.")
@plain_errors()
def command(layout: str, out: Path, scenes: int, rng: int, points: int, frames: int, jobs: int) -> None:
    """Write procedural data in an official raw layout, down to names and label ids."""
    from al3d.world.raw import write

    write(layout, out, scenes=scenes, rng=rng, points=points, frames=frames, jobs=jobs)
