"""Measure and draw what can be asked for."""

from __future__ import annotations

from pathlib import Path

import click

from al3d.command import Command, CountOrAll, Place, config_dir, examples, hydra_words, plain_errors


@click.command(
    cls=Command,
    epilog=examples(
        "al3d units dataset=rooms --unit supervoxel,voxel:size=0.5,auto",
        "al3d units dataset=folder dataset.root=/path --unit supervoxel --export regions",
    ),
)
@hydra_words
@click.option("--unit", default="supervoxel", show_default=True, help="What to measure, of conf/unit, separated by commas; with options as voxel:size=0.5.")
@click.option("--split", default="train", show_default=True, help="Whose scenes.")
@click.option("--scenes", type=CountOrAll(), default=12, show_default=True, help="How many of them, evenly spaced.")
@click.option("--scene", help="The scene in the picture; the first measured one otherwise.")
@click.option("--out", type=Place(), help="Where table.csv, table.md, sizes.png and scene.png go; outputs/units/DATASET otherwise.")
@click.option("--export", type=Place(), help="Write the first unit's ids of every scene of the split as ReDAL's files here, and measure nothing.")
@config_dir
@plain_errors()
def command(
    words: tuple[str, ...],
    unit: str,
    split: str,
    scenes: int | None,
    scene: str | None,
    out: Path | None,
    export: Path | None,
    config_dir: Path | None,
) -> None:
    """Measure units on the data set that the words choose, as train's words do, and draw them."""
    from al3d.units import report

    config, units = report.composed(words, unit, config_dir)
    source, cases = report.prepared(config, units)
    if export is not None:
        report.export(source, config.dataset.grid, cases[0].unit, split, export)
    else:
        report.show(config, source, cases, split, scenes, scene, out)
