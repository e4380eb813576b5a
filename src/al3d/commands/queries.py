"""Write what a run asks as files for other tools."""

from __future__ import annotations

from pathlib import Path

import click

from al3d.command import Command, Place, examples, plain_errors


@click.command(
    cls=Command,
    epilog=examples("al3d queries outputs/NAME --out asked", "al3d queries outputs/NAME --out asked --format csv"),
)
@click.argument("run", type=Place())
@click.option("--out", type=Place(), required=True, help="Where the files go.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(("ply", "las", "label", "pcd", "csv")),
    default="ply",
    show_default=True,
    help="What the other tool reads.",
)
@click.option("--data", type=Place(), help="The folder of prepared data sets; otherwise the run's own paths.data.")
@plain_errors()
def command(run: Path, out: Path, kind: str, data: Path | None) -> None:
    """Write the queries of RUN, with what was answered: a file a scene, or a table with a row a query.

    Label them in CloudCompare (ply), QGIS (las) or point_labeler (label), or fill in the table, and read them
    with al3d answers.
    """
    from al3d.data.earlier import find_store
    from al3d.people.exchange import export_queries

    files = export_queries(run, find_store(run, data), out, kind)
    number = f"{len(files)} {'file' if len(files) == 1 else 'files'}"
    click.echo(f"wrote {number} and classes.csv, which has the numbers of the classes, to {out}")
