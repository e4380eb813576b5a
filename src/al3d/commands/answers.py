"""Read answers from files that other tools have edited."""

from __future__ import annotations

from pathlib import Path

import click

from al3d.command import Command, Place, examples, plain_errors


@click.command(cls=Command, epilog=examples("al3d answers outputs/NAME asked/*.ply --who anna"))
@click.argument("run", type=Place())
@click.argument("files", type=Place(), nargs=-1, required=True)
@click.option("--who", default=None, help="Whose answers they are; otherwise the name of the account.")
@click.option("--data", type=Place(), help="The folder of prepared data sets; otherwise the run's own paths.data.")
@plain_errors()
def command(run: Path, files: tuple[Path, ...], who: str | None, data: Path | None) -> None:
    """Record what FILES, written by al3d queries and edited since, say about the queries of RUN.

    Everything is checked before anything is recorded; reading a file twice changes nothing.
    """
    import getpass

    from al3d.data.earlier import find_store
    from al3d.people.imports import import_answers

    new = import_answers(run, find_store(run, data), files, who or getpass.getuser())
    click.echo(
        f"recorded {new} {'answer' if new == 1 else 'answers'}; run al3d train with the same words again to go on"
    )
