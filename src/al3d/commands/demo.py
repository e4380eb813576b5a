"""Label generated rooms for three minutes, beside random labels."""

from __future__ import annotations

import os
from pathlib import Path

import click

from al3d.command import Command, Place, examples, plain_errors


@click.command(cls=Command, epilog=examples("al3d demo", "al3d demo --out outputs/demo --jobs 1"))
@click.option("--out", type=Place(), default="outputs/demo", show_default=True, help="Where runs and page go.")
@click.option("--data", type=Place(), default="data", show_default=True, help="Where the rooms are made.")
@click.option("--jobs", type=click.IntRange(1), default=min(2, os.cpu_count() or 1), show_default=True, help="Runs at once.")
@plain_errors()
def command(out: Path, data: Path, jobs: int) -> None:
    """Active learning on generated rooms, from the labels of a few regions to a page that compares what was bought with random buying.

    Needs no GPU and no download; about three minutes on two cores. Run again, it goes on where it was stopped.
    """
    from al3d.demo import show

    show(data, out, jobs)
