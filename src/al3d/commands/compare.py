"""Say which methods beat random, by how much and how surely."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from al3d.command import Command, Place, examples, plain_errors


@click.command(
    cls=Command,
    epilog=examples(
        "al3d compare outputs --out study.html",
        "al3d compare outputs/rooms-* outputs/street-* --out study.html --seconds-per-click 3",
    ),
)
@click.argument("runs", nargs=-1, required=True, type=Place())
@click.option("--out", type=Place(), default="study.html", show_default=True, help="The page; the rest goes into the folder of that name.")
@click.option("--from-round", "start", type=click.IntRange(0, 1), default=1, show_default=True, help="Areas count from here; 0: the seed's round too.")
@click.option("--level", type=float, default=0.05, show_default=True, help="Level of significance; intervals cover 1 - LEVEL.")
@click.option("--draws", type=int, default=10_000, show_default=True, help="Draws of tests and intervals.")
@click.option("--rare", "rare_share", type=float, default=0.02, show_default=True, help="Classes below this share of the points are rare.")
@click.option("--seconds-per-click", type=float, default=5.0, show_default=True, help="For the axis of labelling time.")
@click.option("--allow-mixed", is_flag=True, help="Compare runs of different protocols all the same; the page says what differs.")
@click.option("--unfinished", is_flag=True, help="Use runs that are still on their way, as far as they are.")
@plain_errors()
def command(runs: tuple[Path, ...], out: Path, **options: Any) -> None:
    """Compare the methods of a study: which beat random selection at the same unit and budget, by how much, and how sure that is.

    RUNS are run folders, or folders that hold some. They are paired by (seed method, rng). Within a data set they must have the
    same protocol: everything but seed, acquisition, rng and the number of rounds is equal. Fully supervised runs (seed=all) serve as
    the level to reach.

    The page opens without a network and explains its figures; they lie beside it as PNG, the tables as CSV and LaTeX.
    """
    from al3d.report.compare.command import write_comparison
    from al3d.report.compare.study import Options

    write_comparison(runs, out, Options(**options))
