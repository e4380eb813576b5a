"""Several runs of one setting side by side: `python -m al3d.report.results RUN... --out FOLDER` draws and tabulates them as they are."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from al3d.files import whole_file
from al3d.progress import console
from al3d.report.html import part_name
from al3d.report.rounds import ALL_SEED, RoundRecord, read_compared, read_identity
from al3d.report.saved import markdown_table, save_figure
from al3d.report.style import MUTED, bare
from al3d.run import differing_keys
from al3d.types import F64

COLOURS = ("#2457c5", "#d1495b", "#5a8f29", "#8a5cb8", "#c77d0a", "#2b8a8a")
#: What may differ between runs that are drawn together.
FREE = ("seed", "acquire", "rng")
Runs = Mapping[str, Sequence[Sequence[RoundRecord]]]


def grouped(folders: Sequence[Path]) -> dict[str, list[list[RoundRecord]]]:
    """The finished rounds of every run, by method name; the seed comes first where it is not random.

    Raises: ValueError when runs differ in more than seed, acquisition and random seed (names the keys), or one has no finished round.
    """
    first = {key: value for key, value in read_identity(folders[0])[1].items() if key not in FREE}
    groups: dict[str, list[list[RoundRecord]]] = {}
    for folder in folders:
        identity = read_identity(folder)[1]
        differing = differing_keys(first, {key: value for key, value in identity.items() if key not in FREE})
        if differing:
            raise ValueError(f"{folder} cannot be compared with {folders[0]}: {'; '.join(differing)}")
        records = read_compared(folder)
        if not records:
            raise ValueError(f"{folder} has no finished round: run it first")
        mark = f", {records[-1].chosen_on}" if records[-1].chosen_on else ""
        groups.setdefault(f"{method_name(identity)}{mark}", []).append(records)
    return groups


def method_name(identity: Mapping[str, Any]) -> str:
    """How a run stands in a table: "fully supervised", or acquisition and unit, with the seed where it is not random."""
    seed = part_name(identity, "seed")
    if seed == ALL_SEED:
        return "fully supervised"
    unit = str(identity["acquire"]["unit"]["_target_"]).rsplit(".", 2)[-2]  # al3d.units.<unit>.<Class>
    name = f"{part_name(identity, 'acquire')} ({unit})"
    return name if seed == "random" else f"{name} after {seed}"


def curve_figure(groups: Runs) -> Figure:
    """Mean learning curve of each method with its single runs thin behind it; full supervision as a line."""
    figure = Figure(figsize=(8.6, 4.8), layout="constrained")
    axes = figure.add_subplot()
    bare(axes, grid="y")
    curves = {name: runs for name, runs in groups.items() if name != "fully supervised"}
    for colour, (name, runs) in zip(COLOURS * (1 + len(curves) // len(COLOURS)), curves.items(), strict=False):
        percent, miou = _stacked(runs)
        for one in range(len(miou)):
            axes.plot(percent[one], miou[one], color=colour, linewidth=0.8, alpha=0.35)
        axes.plot(percent.mean(axis=0), miou.mean(axis=0), color=colour, linewidth=2.2, marker="o", markersize=4.5, label=name)
    _full_line(axes, groups)
    axes.set_xlabel("labelled points, % of the training points")
    axes.set_ylabel("mIoU, %")
    axes.legend(frameon=False, loc="lower right")
    return figure


def _full_line(axes: Axes, groups: Runs) -> None:
    runs = groups.get("fully supervised")
    if runs:
        level = 100 * float(np.mean([records[-1].miou for records in runs]))
        axes.axhline(level, color=MUTED, linestyle="--", linewidth=1.2, label=f"fully supervised: {level:.1f}")


def _stacked(runs: Sequence[Sequence[RoundRecord]]) -> tuple[F64, F64]:
    """Percent labelled and mIoU in percent of the rounds that every run has finished: two f64[runs, rounds]."""
    rounds = min(map(len, runs))
    percent = np.array([[record.labelled_percent for record in records[:rounds]] for records in runs])
    return percent, 100 * np.array([[record.miou for record in records[:rounds]] for records in runs])


def table(groups: Runs) -> str:
    """A Markdown table: per method and round the mean mIoU in percent over runs, and its standard deviation (n - 1)."""
    rounds = max(len(_stacked(runs)[0][0]) for runs in groups.values())
    head = ["method", "runs", *(f"round {index}" for index in range(rounds)), "labelled at the end, %"]
    lines = []
    for name, runs in groups.items():
        percent, miou = _stacked(runs)
        cells = [f"{column.mean():.1f} ± {column.std(ddof=1):.1f}" if len(column) > 1 else f"{column[0]:.1f}" for column in miou.T]
        lines.append([name, str(len(runs)), *cells, *[""] * (rounds - len(cells)), f"{percent[:, -1].mean():.1f}"])
    return markdown_table(head, lines)


def every_run(groups: Runs) -> str:
    """A Markdown table of every single run, nothing averaged."""
    rounds = max(len(records) for runs in groups.values() for records in runs)
    lines = []
    for name, runs in groups.items():
        for number, records in enumerate(runs, start=1):
            cells = [f"{100 * record.miou:.1f}" for record in records]
            lines.append([name, str(number), *cells, *[""] * (rounds - len(cells))])
    return markdown_table(["method", "run", *(f"round {index}" for index in range(rounds))], lines)


def write_results(folders: Sequence[Path], out: Path) -> None:
    """Write `curves.png`, `curves.svg` and `tables.md` of these runs into `out`. Raises: as `grouped`."""
    groups = grouped(folders)
    save_figure(lambda: curve_figure(groups), out, "curves", "results")
    with whole_file(out / "tables.md") as temporary:
        temporary.write_text(table(groups) + "\n" + every_run(groups), encoding="utf-8")
    console.print(table(groups), markup=False)


def main() -> None:
    """Read run folders from the command line."""
    parser = argparse.ArgumentParser(description="Draw and tabulate runs that differ only in seed, acquisition and rng.")
    parser.add_argument("runs", nargs="+", type=Path, help="run folders")
    parser.add_argument("--out", type=Path, default=Path("results"), help="where curves and tables go")
    chosen = parser.parse_args()
    write_results(sorted(chosen.runs), chosen.out)


if __name__ == "__main__":
    main()
