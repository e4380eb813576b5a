"""TensorBoard: `python -m al3d.report.tensorboard RUN... --out FOLDER` makes event files from the files of runs, with the methods side by side.

TensorBoard draws over whole numbers alone, so a learning curve's step is the labelled share in parts per million: 10,000 is 1 %.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from al3d.command import plain_errors
from al3d.files import whole_folder
from al3d.progress import console
from al3d.report.rounds import RoundRecord
from al3d.report.saved import markdown_table
from al3d.report.summary import (
    LoggedRun,
    Table,
    final_values,
    first_step,
    iou_table,
    pictures_of,
    purchase_table,
    read_run,
    round_values,
    shown,
    training_curve,
)
from al3d.report.table import counted

#: The steps of one percent.
STEPS_PER_PERCENT = 10_000
#: What is drawn over the labelled share; everything else of a round over rounds.
OVER_LABELLED = ("curve/", "iou/")
UNIT_NOTE = f"Steps of curve/, iou/ and study/ are labelled points in parts per million: {STEPS_PER_PERCENT:,} is 1 %."
#: The tags of a method: its mean over runs, and one standard deviation (n - 1) to both sides.
BAND = ("study/miou", "study/miou_low", "study/miou_high")


def ppm(labelled_percent: float) -> int:
    """The whole-number step of a labelled share: parts per million."""
    return round(STEPS_PER_PERCENT * labelled_percent)


def writer(folder: Path) -> Any:
    """A TensorBoard writer of event files in `folder`."""
    from torch.utils.tensorboard import SummaryWriter

    make: Any = SummaryWriter
    return make(log_dir=str(folder))


def write_round(board: Any, run: LoggedRun, record: RoundRecord) -> None:
    """Write a finished round: curves over the labelled share, what was bought over rounds, and the tables up to now."""
    for tag, value in round_values(run, record).items():
        if tag != "round":
            board.add_scalar(tag, value, ppm(record.labelled_percent) if tag.startswith(OVER_LABELLED) else record.round)
    for name, content in (("iou_per_class", iou_table(run)), ("purchases", purchase_table(run))):
        board.add_text(f"tables/{name}", as_markdown(content), record.round)


def write_pictures(board: Any, run: LoggedRun) -> None:
    """Write the report's pictures of what was bought, a step per round."""
    for purchase in run.purchases:
        for at, (file, _) in enumerate(pictures_of(run.folder, purchase.round)):
            board.add_image(f"bought/picture {at + 1}", shown(run, file), purchase.round, dataformats="HWC")


def write_training(board: Any, run: LoggedRun, record: RoundRecord) -> None:
    """Write what training logged; steps count over all rounds."""
    before = first_step(run.records, record.round)
    for step, values in training_curve(run.folder, record.round):
        for name, value in values.items():
            board.add_scalar(f"train/{name}", value, step + before)


def as_markdown(content: Table) -> str:
    """A table as Markdown, fractions with three decimals, a hyphen where there is nothing."""
    cells = [
        ["-" if cell is None else f"{cell:.3f}" if isinstance(cell, float) else f"{cell:,}" if isinstance(cell, int) else cell for cell in row]
        for row in content[1]
    ]
    return markdown_table(content[0], cells)


def write_run(folder: Path, run: LoggedRun) -> None:
    """Write everything of a run into event files."""
    board = writer(folder)
    for record in run.records:
        write_training(board, run, record)
        write_round(board, run, record)
    write_pictures(board, run)
    final = [[name.removeprefix("final/"), value] for name, value in final_values(run).items()]
    words = f"{run.folder.name}\n\n{run.method}\n\n{UNIT_NOTE}\n\n{as_markdown((['at the end', 'value'], final))}"
    board.add_text("about", words, 0)
    board.close()


def write_method(folder: Path, runs: Sequence[LoggedRun], classes: Sequence[str]) -> None:
    """Write the mean over the runs of one method, of the rounds that all have finished, at their mean labelled share."""
    board = writer(folder)
    for records in zip(*(run.records for run in runs), strict=False):
        if any(record.judged_on != "val" for record in records):
            continue  # scores on other points cannot be averaged
        step = ppm(float(np.mean([record.labelled_percent for record in records])))
        mious = [record.miou for record in records]
        mean, spread = float(np.mean(mious)), float(np.std(mious, ddof=1)) if len(mious) > 1 else 0.0
        for tag, value in zip(BAND, (mean, mean - spread, mean + spread), strict=True):
            board.add_scalar(tag, value, step)
        for at, name in enumerate(classes):
            known = [value for record in records if (value := record.iou[at]) is not None]
            if known:
                board.add_scalar(f"study/iou/{name}", float(np.mean(known)), step)
    words = "; ".join(run.folder.name for run in runs)
    board.add_text("about", f"mean over {counted(len(runs), 'run')}, band: one standard deviation: {words}\n\n{UNIT_NOTE}", 0)
    board.close()


def layout(classes: Sequence[str]) -> dict[str, dict[str, list[Any]]]:
    """The custom scalars of a study: the methods' learning curves with bands, their classes, and the single runs."""
    return {
        "mIoU over labelled points (10,000 = 1 %), methods": {"mean over runs, band: one standard deviation": ["Margin", list(BAND)]},
        "IoU of each class, methods": {name: ["Multiline", [f"^study/iou/{re.escape(name)}$"]] for name in classes},
        "single runs": {"mIoU over labelled points (10,000 = 1 %)": ["Multiline", ["^curve/miou$"]], "training loss": ["Multiline", ["^train/loss$"]]},
    }


def write_study(folders: Sequence[Path], out: Path, data: Path | None = None) -> dict[str, list[str]]:
    """Write `out`, whole and in place of an older one: `methods/<method>`, `runs/<run>` and the layout; returns the runs of each method.

    Raises: ValueError when runs speak of other classes, or have the same name; as `read_run`.
    """
    runs = [read_run(folder, data=data) for folder in folders]
    if not runs:
        raise ValueError("name run folders, for example: python -m al3d.report.tensorboard outputs/NAME --out board")
    for run in runs[1:]:
        if run.classes != runs[0].classes:
            raise ValueError(f"{run.folder} has other classes than {runs[0].folder}: write them into boards of their own")
    groups: dict[str, list[LoggedRun]] = {}
    for run in runs:
        groups.setdefault(run.method, []).append(run)
    names = [_folder_name(name) for name in (*groups, *(run.folder.resolve().name for run in runs))]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"the name {min(twice)} stands for several runs or methods: give each run once")
    _check_replaceable(out)
    with whole_folder(out) as temporary:
        for method, members in groups.items():
            write_method(temporary / "methods" / _folder_name(method), members, runs[0].classes)
        for run in runs:
            write_run(temporary / "runs" / _folder_name(run.folder.resolve().name), run)
        board = writer(temporary / "methods")
        board.add_custom_scalars(layout(runs[0].classes))
        board.close()
    return {method: [run.folder.name for run in members] for method, members in groups.items()}


def _check_replaceable(out: Path) -> None:
    """Refuse to replace a folder that is not a board. Raises: ValueError naming it."""
    others = [entry.name for entry in out.iterdir() if entry.name not in ("methods", "runs")] if out.is_dir() else []
    if others:
        raise ValueError(f"{out} holds {others[0]}, so it is not a board written here: give --out a new folder")


def _folder_name(name: str) -> str:
    """A name that every file system takes; TensorBoard shows it."""
    return re.sub(r"[^\w. ()+-]+", "_", name).strip()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Make TensorBoard event files from the files of runs, with the methods side by side.")
    parser.add_argument("runs", nargs="+", type=Path, help="run folders")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the event files; an older board there is replaced")
    parser.add_argument("--data", type=Path, default=None, help="the folder of prepared data sets, for class names before there is a report")
    chosen = parser.parse_args()
    with plain_errors():
        found: Mapping[str, Sequence[str]] = write_study([run.expanduser() for run in chosen.runs], chosen.out.expanduser(), chosen.data)
        for method, members in found.items():
            console.print(f"{method}: {', '.join(members)}", markup=False)
        console.print(f"look at it: tensorboard --logdir {chosen.out} (the tab Custom Scalars compares the methods)", markup=False)


if __name__ == "__main__":
    main()
