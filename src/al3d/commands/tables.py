"""Print a paper's table with our runs beside it."""

from __future__ import annotations

from pathlib import Path

import click

from al3d.command import Command, Place, config_dir, examples, plain_errors


@click.command(cls=Command, epilog=examples("al3d tables redal_s3dis_spvcnn outputs --out results"))
@click.argument("table")
@click.argument("runs", nargs=-1, type=Place())
@click.option("--out", type=Place(), default="results", show_default=True, help="Where the table goes.")
@config_dir
@plain_errors()
def command(table: str, runs: tuple[Path, ...], out: Path, config_dir: Path | None) -> None:
    """Print a published TABLE, a file of conf/experiment/table, with RUNS beside it; write it as Markdown and CSV.

    A folder that holds runs stands for them all.
    """
    from al3d.report.tables import run_folders, write_table

    write_table(table, run_folders(runs), out, config_dir)
