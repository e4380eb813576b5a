"""Write what a run bought as lists that ReDAL and SeedAL read."""

from __future__ import annotations

from pathlib import Path

import click

from al3d.command import Command, Place, examples, plain_errors
from al3d.trust import trust_option


@click.command(
    cls=Command,
    epilog=examples("al3d export outputs/NAME --out lists", "al3d export outputs/NAME --out lists --round 0"),
)
@click.argument("run", type=Place())
@click.option("--out", type=Place(), required=True, help="Where the lists go.")
@click.option(
    "--round",
    "round_index",
    type=click.IntRange(0),
    help="What was bought up to this round; 0 is the seed alone; otherwise everything.",
)
@click.option("--data", type=Place(), help="The folder of prepared data sets; otherwise the run's own paths.data.")
@click.option("--partition", help="Which stored partition the regions are of, a folder name in the data set's unit/.")
@trust_option
@plain_errors()
def command(run: Path, out: Path, round_index: int | None, data: Path | None, partition: str | None) -> None:
    """Write what RUN bought as lists of scans and regions, and as units.json, which seed=list and acquire=list read."""
    from al3d.report.export import export

    export(run, out, round_index, data, partition)
