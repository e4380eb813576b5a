"""Read a data set's raw files and say what to mend."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from al3d.command import Command, CountOrAll, config_dir, examples, hydra_words, plain_errors


@click.command(
    cls=Command,
    epilog=examples("al3d check dataset=folder dataset.root=/path/to/my_scans", "al3d check dataset=s3dis dataset.root=/path --scenes all"),
)
@hydra_words
@click.option("--scenes", type=CountOrAll(), default=20, show_default=True, help="How many of each split are read, a fixed sample.")
@config_dir
@plain_errors()
def command(words: tuple[str, ...], scenes: int | None, config_dir: Path | None) -> None:
    """Verify the data set that the words choose, as train's words do; the exit code is 1 when something is broken."""
    from al3d.configuration import composed
    from al3d.data.check import check_configured

    if check_configured(composed(words, config_dir), scenes):
        sys.exit(1)
