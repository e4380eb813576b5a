"""Show runs in Weights & Biases or TensorBoard, from their files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from al3d.command import Command, Place, examples, plain_errors

data = click.option("--data", type=Place(), help="The folder of prepared data sets, for class names before there is a report.")
project = click.option("--project", help="W&B project; otherwise the run's logger.wandb.project, or al3d.")
entity = click.option("--entity", help="W&B user or team; otherwise the run's, or your own.")
group = click.option("--group", help="The study that the runs belong to; otherwise the run's, or the name of its data set.")


@click.group(epilog=examples("al3d track wandb outputs/NAME --project al3d", "al3d track tensorboard outputs/NAME --out board"))
def command() -> None:
    """Show runs elsewhere; the files of a run remain the truth, and everything can be made again from them."""


@command.command("wandb", cls=Command, epilog=examples("al3d track wandb outputs/NAME outputs/OTHER --project al3d --group my_study"))
@click.argument("runs", nargs=-1, required=True, type=Place())
@project
@entity
@group
@click.option(
    "--offline/--no-offline",
    default=None,
    help="Write W&B's files below the run folder, which `wandb sync` uploads; otherwise as the run was configured.",
)
@click.option("--new", is_flag=True, help="Another W&B run with a fresh id and everything in it.")
@click.option("--timeout", type=float, help="Seconds to wait for one answer; otherwise the run's, or 60.")
@data
@plain_errors()
def wandb(runs: tuple[Path, ...], new: bool, data: Path | None, **given: Any) -> None:
    """Send what Weights & Biases lacks of RUNS."""
    from al3d.report.wandb import send_runs

    send_runs(runs, {name: value for name, value in given.items() if value is not None}, new, data)


@command.command("dashboard", cls=Command, epilog=examples("al3d track dashboard --project al3d --entity me --group my_study outputs/NAME"))
@click.argument("runs", nargs=-1, type=Place())
@project
@entity
@group
@click.option("--definition", type=Place(), help="The view's definition; otherwise the one that comes with al3d.")
@data
@plain_errors()
def dashboard(runs: tuple[Path, ...], project: str | None, entity: str | None, group: str | None, definition: Path | None, data: Path | None) -> None:
    """Make the view of the study --group in Weights & Biases; RUNS name the classes that it shows."""
    from al3d.report.dashboard import DEFINITION, save_dashboard
    from al3d.report.summary import class_names

    names = list(dict.fromkeys(name for run in runs for name in class_names(run, data)))
    save_dashboard(definition or DEFINITION, group, project or "al3d", entity, names)


@command.command("tensorboard", cls=Command, epilog=examples("al3d track tensorboard outputs/NAME outputs/OTHER --out board"))
@click.argument("runs", nargs=-1, required=True, type=Place())
@click.option("--out", type=Place(), required=True, help="The folder of the event files; an older board there is replaced.")
@data
@plain_errors()
def tensorboard(runs: tuple[Path, ...], out: Path, data: Path | None) -> None:
    """Make TensorBoard event files from the files of RUNS, with the methods side by side."""
    from al3d.report.tensorboard import show_study

    show_study(runs, out, data)
