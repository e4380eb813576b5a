"""What a seed alone is worth: `python -m al3d.report.seeds RUN... --out FOLDER` draws first rounds against the spread of random seeds."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from al3d.files import whole_file
from al3d.progress import console
from al3d.report.html import part_name
from al3d.report.rounds import read_compared, read_identity
from al3d.report.saved import markdown_table, save_figure
from al3d.report.style import MUTED, bare
from al3d.run import differing_keys
from al3d.types import F64

RANDOM = "random"
#: What may differ between the runs of one data set: nothing but the seed matters in a first round.
FREE = ("seed", "acquire", "rng")
BLUE, RED = "#2457c5", "#d1495b"


@dataclass(frozen=True, eq=False)
class Trial:
    """First rounds of one seed on one data set: mIoU f64[runs] 0..1 and the labelled percentages f64[runs]."""

    miou: F64
    percent: F64


Trials = Mapping[str, Mapping[str, Trial]]


def first_rounds(folders: Sequence[Path]) -> dict[str, dict[str, Trial]]:
    """Data set -> seed -> its first rounds; random seeds come first, then the others by falling mean.

    Raises: ValueError when runs of one data set differ in more than seed, acquisition and random seed, or one has no finished round.
    """
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    first: dict[str, tuple[Path, dict[str, object]]] = {}
    for folder in folders:
        identity = read_identity(folder)[1]
        name, rest = str(part_name(identity, "dataset")), {key: value for key, value in identity.items() if key not in FREE}
        earlier, wanted = first.setdefault(name, (folder, rest))
        if differing := differing_keys(wanted, rest):
            raise ValueError(f"{folder} cannot be compared with {earlier}: {'; '.join(differing)}")
        records = read_compared(folder)
        if not records:
            raise ValueError(f"{folder} has no finished round: run it first")
        found.setdefault(name, {}).setdefault(seed_title(identity), []).append((records[0].miou, records[0].labelled_percent))
    trials = {name: {seed: Trial(*np.array(pairs).T) for seed, pairs in seeds.items()} for name, seeds in found.items()}
    return {name: dict(sorted(seeds.items(), key=lambda item: (item[0] != RANDOM, -item[1].miou.mean()))) for name, seeds in sorted(trials.items())}


def seed_title(identity: Mapping[str, object]) -> str:
    """The seed's name, with its features, and its unit where that is not the scene."""
    seed = identity["seed"]
    unit = seed.get("unit") if isinstance(seed, Mapping) else None
    name = str(unit["_target_"]).rsplit(".", 2)[-2] if isinstance(unit, Mapping) and "_target_" in unit else "scene"
    return f"{part_name(identity, 'seed')}{'' if name == 'scene' else ', ' + name}"


def figure_of(trials: Trials) -> Figure:
    """One panel per data set: every training a dot; the middle half and the range of the random seeds as bands behind all."""
    figure = Figure(figsize=(4.6 * len(trials), 1.4 + 0.34 * max(map(len, trials.values()))), layout="constrained")
    for place, (name, seeds) in enumerate(trials.items(), start=1):
        axes = figure.add_subplot(1, len(trials), place)
        bare(axes, grid="x")
        _panel(axes, seeds)
        axes.set_title(name)
        axes.set_xlabel("mIoU after the first round, %")
    return figure


def _panel(axes: Axes, seeds: Mapping[str, Trial]) -> None:
    if RANDOM in seeds:
        draws = 100 * seeds[RANDOM].miou
        axes.axvspan(draws.min(), draws.max(), color=MUTED, alpha=0.12, linewidth=0)
        axes.axvspan(*np.quantile(draws, [0.25, 0.75]), color=MUTED, alpha=0.22, linewidth=0)
    for row, (seed, trial) in enumerate(seeds.items()):
        colour = MUTED if seed == RANDOM else BLUE
        axes.plot(100 * trial.miou, np.full(len(trial.miou), row), "o", color=colour, markersize=5, alpha=0.55, markeredgewidth=0)
        axes.plot(100 * trial.miou.mean(), row, "|", color=RED, markersize=15, markeredgewidth=2.2)
    axes.set_yticks(range(len(seeds)), list(seeds))
    axes.set_ylim(len(seeds) - 0.5, -0.5)


def table(seeds: Mapping[str, Trial]) -> str:
    """A Markdown table: per seed the mean mIoU and its standard deviation (n - 1), and the share of random draws below that mean."""
    lines = []
    draws = seeds[RANDOM].miou if RANDOM in seeds else np.zeros(0)
    for seed, trial in seeds.items():
        percent = 100 * trial.miou
        spread = f" ± {percent.std(ddof=1):.1f}" if len(percent) > 1 else ""
        below = f"{(draws < trial.miou.mean()).sum()} of {len(draws)}" if len(draws) and seed != RANDOM else ""
        lines.append(
            [seed, str(len(percent)), f"{trial.percent.mean():.1f}", f"{percent.mean():.1f}{spread}", f"{percent.min():.1f}", f"{percent.max():.1f}", below]
        )
    return markdown_table(["seed", "trainings", "labelled, %", "mIoU, %", "lowest", "highest", "random draws below"], lines)


def write_seeds(folders: Sequence[Path], out: Path) -> None:
    """Write `seeds.png`, `seeds.svg` and `tables.md` of these runs into `out`. Raises: as `first_rounds`."""
    trials = first_rounds(folders)
    save_figure(lambda: figure_of(trials), out, "seeds", "seeds")
    text = "\n".join(f"## {name}\n\n{table(seeds)}" for name, seeds in trials.items())
    with whole_file(out / "tables.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    console.print(text, markup=False)


def main() -> None:
    """Read run folders from the command line."""
    parser = argparse.ArgumentParser(description="Draw and tabulate the first rounds of runs that differ in their seed, one panel per data set.")
    parser.add_argument("runs", nargs="+", type=Path, help="run folders")
    parser.add_argument("--out", type=Path, default=Path("seeds"), help="where the figure and the tables go")
    chosen = parser.parse_args()
    write_seeds(sorted(chosen.runs), chosen.out)


if __name__ == "__main__":
    main()
