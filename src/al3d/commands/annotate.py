"""Label what a run asks about, on a page in the browser."""

from __future__ import annotations

from pathlib import Path

import click

from al3d.command import Command, Place, examples, plain_errors
from al3d.trust import trust_option


@click.command(
    cls=Command, epilog=examples("al3d annotate outputs/NAME", "al3d annotate outputs/NAME --who anna --second 0.1")
)
@click.argument("run", type=Place())
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Where the page is on this machine; 0 takes a free one.",
)
@click.option("--who", help="Who labels; the name of the user otherwise.")
@click.option(
    "--second",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="The share of the regions that a second person is asked about.",
)
@click.option(
    "--train",
    type=click.IntRange(1),
    metavar="N",
    help="Train in the background after every N new answers, and ask about what matters next.",
)
@click.option("--data", type=Place(), help="The folder of prepared data sets; the one that the run names otherwise.")
@trust_option
@plain_errors()
def command(run: Path, port: int, who: str | None, second: float, train: int | None, data: Path | None) -> None:
    """Label the regions that RUN asks about, one after the other, the one that is worth most first.

    Prints the address of a page that only this machine reaches. Every answer is kept in RUN/answers as it is
    given: the page may be closed, and this command be ended, at any time. Several people may label one run at once.
    """
    from al3d.annotate.command import annotate

    annotate(run, data, port, who, second, train)
