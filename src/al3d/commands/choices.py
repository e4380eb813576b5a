"""Show what each method would buy next, on one trained run."""

from __future__ import annotations

from pathlib import Path

import click

from al3d.command import Command, Place, config_dir, examples, hydra_words, plain_errors
from al3d.trust import trust_option


@click.command(
    cls=Command,
    epilog=examples(
        "al3d choices outputs/NAME --methods redal,entropy,random",
        "al3d choices outputs/NAME --percent 1 paths.data=/other/data",
    ),
)
@click.argument("run", type=Place())
@hydra_words
@click.option(
    "--methods",
    default="",
    help="Of conf/acquire, separated by commas; all otherwise; with options as redal:unit=voxel.",
)
@click.option(
    "--percent",
    type=click.FloatRange(0, 100, min_open=True),
    default=2.0,
    show_default=True,
    help="How much each may buy, in percent of the run's base.",
)
@click.option("--scene", help="The scene in the picture; otherwise the one in which most methods buy something.")
@click.option("--out", type=Place(), help="Where choices.png, .csv, .md and agreement.csv go; RUN/choices otherwise.")
@config_dir
@trust_option
@plain_errors()
def command(
    run: Path,
    words: tuple[str, ...],
    methods: str,
    percent: float,
    scene: str | None,
    out: Path | None,
    config_dir: Path | None,
) -> None:
    """Let methods choose from one trained network's predictions; nothing in RUN changes.

    The words say how this is executed: paths.data=..., dataset.source.root=..., trainer.threads=2, prepare.workers=2.
    """
    from al3d.report.choices import show

    show(run, words, methods=methods, percent=percent, scene=scene or "", out=out, config_dir=config_dir)
