"""Draw and tabulate runs of one setting side by side."""

from __future__ import annotations

from pathlib import Path

import click

from al3d.command import Command, Place, examples, plain_errors


@click.command(
    cls=Command,
    epilog=examples("al3d results outputs/rooms-minkunet-* --out results", "al3d results outputs/* --seeds --out seeds"),
)
@click.argument("runs", nargs=-1, required=True, type=Place())
@click.option("--out", type=Place(), default="results", show_default=True, help="Where curves and tables go.")
@click.option("--seeds", is_flag=True, help="What a seed alone is worth: the first rounds, a panel for each data set.")
@plain_errors()
def command(runs: tuple[Path, ...], out: Path, seeds: bool) -> None:
    """Draw and tabulate RUNS that differ only in seed, acquisition and rng."""
    from al3d.report.results import write_results
    from al3d.report.seeds import write_seeds

    (write_seeds if seeds else write_results)(sorted(runs), out)
