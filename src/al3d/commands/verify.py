"""Look whether a run and its prepared data set are whole."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from al3d.command import Command, Place, examples, plain_errors


@click.command(cls=Command, epilog=examples("al3d verify outputs/NAME", "al3d verify outputs/NAME --data data"))
@click.argument("run", type=Place())
@click.option("--data", type=Place(), help="The folder of prepared data sets; otherwise the run's own paths.data.")
@plain_errors()
def command(run: Path, data: Path | None) -> None:
    """Name every file of RUN, and of the data set that it chose from, that is damaged, with the way out.

    Arrays, checkpoints and harvests are compared with their checksums, scenes and labels with what was prepared; of
    JSON files it is seen that they can be read. Ends with 1 when something is damaged.
    """
    from al3d.data.earlier import find_store
    from al3d.data.verify import damages_of_run, damages_of_store
    from al3d.trust import saved_config

    saved_config(run)
    found = list(damages_of_run(run))
    store = find_store(run, data)
    found += damages_of_store(store)
    for line in found:
        click.echo(line, err=True)
    if found:
        sys.exit(f"al3d: {len(found)} damages in {run} and {store.path}")
    click.echo(f"{run} and {store.path}: nothing damaged was found")
