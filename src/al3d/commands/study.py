"""Plan and run data sets x seeds x methods x random seeds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from al3d.command import Command, Place, config_dir, examples, hydra_words, plain_errors


class Study(click.Group):
    """The group of commands; answers `study=core do=run`."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if "=" in args[0]:
            raise click.UsageError(f"{args[0]}: say for example al3d study plan core --rng 1,2, or al3d study cells dataset=rooms rng=1,2", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=Study, epilog=examples("al3d study plan core", "al3d study run core --rng 1,2 --jobs 2", "al3d study cells dataset=rooms rng=1,2"))
def command() -> None:
    """Data sets x seeds x methods x random seeds, from one file; a study that was stopped goes on where it was."""


def part_of_study(function: Callable[..., None]) -> Callable[..., None]:
    """The options that plan and run share."""
    options = (
        click.argument("study", default="core"),
        click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="Cells at once."),
        click.option("--out", type=Place(), default="outputs/studies", show_default=True, help="Where the study's runs go: OUT/STUDY/CELL."),
        click.option("--osd", type=Place(), help="The folder of the real table scenes; without it their cells are not run."),
        *(click.option(f"--{part}", default="all", show_default=True, help="Some of them, separated by commas.") for part in PARTS),
    )
    for option in reversed(options):
        function = option(function)
    return function


PARTS = ("datasets", "seeds", "methods", "rng")


@command.command("plan", cls=Command, epilog=examples("al3d study plan core --osd /path/to/osd"))
@part_of_study
@plain_errors()
def plan(study: str, jobs: int, out: Path, osd: Path | None, **parts: Any) -> None:
    """Print the cells of STUDY, what is done, and how long the rest will take.

    STUDY is core, full, pilot, or a YAML file like those in src/al3d/report/studies.
    """
    from al3d.report.study import show_plan

    show_plan(study, out, jobs, osd, parts)


@command.command("run", cls=Command, epilog=examples("al3d study run core --osd /path/to/osd --hours 8"))
@part_of_study
@click.option("--hours", type=click.FloatRange(0), help="No new cell is begun after so many hours.")
@config_dir
@plain_errors()
def run(study: str, jobs: int, out: Path, osd: Path | None, hours: float | None, config_dir: Path | None, **parts: Any) -> None:
    """Run what is not done of STUDY."""
    from al3d.report.study import run_study

    run_study(study, out, jobs, osd, parts, hours, config_dir)


@command.command("cells", cls=Command, epilog=examples("al3d study cells dataset=rooms,street acquire=random,redal rng=1,2,3"))
@hydra_words
@config_dir
@plain_errors()
def cells(words: tuple[str, ...], config_dir: Path | None) -> None:
    r"""Which runs of a sweep are there, and how far they are; nothing is prepared, made or written.

    The words are train's; several values of one option, separated by commas, are several runs, as for train -m. A line for every run,
    its fields separated by tabs: state, rounds, folder, options.

    \b
    state    finished, started, new, refused (the folder is then the reason), or
             repeated (the folder is then what the same run was called before)
    """
    from al3d.report.cells import cells as found

    for one in found(words, config_dir):
        sys.stdout.write(f"{one.line()}\n")
