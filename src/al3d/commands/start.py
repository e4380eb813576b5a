"""Describe a folder of scans, so that labelling can begin."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from al3d.command import Command, Place, examples, plain_errors


@click.command(cls=Command, epilog=examples("al3d start scans --classes ground,building,tree"))
@click.argument("scans", type=Place())
@click.option("--classes", required=True, help="The names of the classes, with commas between them.")
@click.option("--out", type=Place(), help="The data set's folder; otherwise SCANS-al3d beside the scans.")
@click.option("--force", is_flag=True, help="Write a dataset.yaml anew that is there.")
@plain_errors()
def command(scans: Path, classes: str, out: Path | None, force: bool) -> None:
    """Describe the scans in SCANS and below it: units, up axis and lengths, each with its reason.

    PLY, LAS, LAZ, PCD, NPZ and BIN; labels are not needed. The scans stay where they are.
    """
    from al3d.data.sources.start import start

    folder, notes = start(scans, classes.split(","), out, force)
    for note in notes:
        click.echo(f"note: {note}")
    click.echo(f"wrote {folder / 'dataset.yaml'}: look at it, then ask what to label first:")
    click.echo(f"  al3d train experiment=label {shlex.quote(f'dataset.root={folder}')}")
