"""The tables of a comparison: the same rows for the page, as CSV and as LaTeX."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from al3d.report.compare.areas import mean_curve, round_means
from al3d.report.compare.axes import costs, square_metres
from al3d.report.compare.runs import StudyRun
from al3d.report.compare.sentences import VERDICTS, no_gain
from al3d.report.compare.statistics import Interval
from al3d.report.compare.study import (
    TARGETS,
    Comparison,
    Line,
    Panel,
    area_interval,
    labels_needed,
    miou_curve,
    rare_mean,
    wins_of,
)
from al3d.report.table import counted

Cell = str | int | float | None
NOT_REACHED = "not reached"
_TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", **{sign: f"\\{sign}" for sign in "&%$#_{}"}}


@dataclass(frozen=True)
class Column:
    """A column: its `key` in CSV, its title for people, with how many digits they see its numbers, and whether they see it where all are 0."""

    key: str
    title: str
    digits: int | None = None
    signed: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Sheet:
    """A table: `name` of its files, title, columns, rows (numbers as they are, None: nothing to say) and a note for people."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = field(default="")

    def __post_init__(self) -> None:
        wrong = [row for row in self.rows if len(row) != len(self.columns)]
        if wrong:
            raise ValueError(f"table {self.name} has {len(self.columns)} columns, but a row of {len(wrong[0])} cells")


def shown(cell: Cell, column: Column) -> str:
    """A cell for people: a minus sign that is one, a dash for nothing."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return "–"
    if isinstance(cell, str) or column.digits is None:
        return f"{cell:,}" if isinstance(cell, int) else str(cell)
    text = f"{cell:{'+' if column.signed else ''},.{column.digits}f}"
    small = float(text.replace(",", "")) == 0
    if small and cell != 0 and not column.signed:
        return f"< {10**-column.digits:.{column.digits}f}"
    return (text.lstrip("+-") if small else text).replace("-", "\u2212")


def as_csv(sheet: Sheet) -> str:
    """The table with the keys of its columns as head, full numbers, empty where nothing is known."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.key for column in sheet.columns])
    writer.writerows([_plain(cell) for cell in row] for row in sheet.rows)
    return text.getvalue()


def as_latex(sheet: Sheet) -> str:
    """The table as a `tabular` for the booktabs package; columns of text are set left, numbers right."""
    numeric = [column.digits is not None or any(isinstance(row[place], int) for row in sheet.rows) for place, column in enumerate(sheet.columns)]
    rows = [[latex_text(shown(cell, column)) for cell, column in zip(row, sheet.columns, strict=True)] for row in sheet.rows]
    lines = [
        f"% {sheet.title}. Needs \\usepackage{{booktabs}}.",
        f"\\begin{{tabular}}{{{''.join('r' if number else 'l' for number in numeric)}}}",
        "\\toprule",
        " & ".join(latex_text(column.title) for column in sheet.columns) + r" \\",
        "\\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        "\\bottomrule",
        "\\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def latex_text(text: str) -> str:
    """Text in which nothing is a command of LaTeX."""
    escaped = "".join(_TEX.get(sign, sign) for sign in text)
    return escaped.replace("\u2212", "$-$").replace("–", "--").replace("<", "$<$").replace("m²", "m$^2$")


def sheets_of(comparison: Comparison) -> list[Sheet]:
    """Every table that people read, in the order of the page."""
    classes = [class_sheet(comparison, panel) for panel in comparison.panels]
    ordered = [difference_sheet(comparison), gain_sheet(comparison), area_sheet(comparison), labels_sheet(comparison), stability_sheet(comparison)]
    return [*ordered, wins_sheet(comparison), rare_sheet(comparison), *classes, cost_sheet(comparison)]


def difference_sheet(comparison: Comparison) -> Sheet:
    """Every method against random: the difference of areas, its interval and its test."""
    level = comparison.options.level
    columns = (
        Column("dataset", "data set"),
        Column("method", "method"),
        Column("against", "against"),
        Column("blocks", "blocks"),
        Column("difference_points", "difference", 2, signed=True),
        *_ends("difference", level),
        Column("p", "p", 4),
        Column("p_holm", "p (Holm)", 4),
        Column("p_holm_smallest", "at best", 4),
        Column("blocks_won", "won", 1),
        Column("from_seed_points", "with round 0", 2, signed=True),
        Column("verdict", "verdict"),
        Column("note", "note"),
    )
    rows: list[tuple[Cell, ...]] = []
    for outcome in comparison.outcomes:
        test, from_seed = outcome.test, outcome.from_seed
        rows.append(
            (
                *(outcome.dataset, outcome.method, outcome.baseline, outcome.blocks or None),
                *_scaled(outcome.difference),
                *((test.p, outcome.adjusted, outcome.reach) if test else (None, None, None)),
                outcome.wins if outcome.blocks else None,
                100 * from_seed.mean if from_seed else None,
                VERDICTS[outcome.verdict(level)],
                "; ".join(filter(None, (outcome.why, no_gain(outcome.gain) if outcome.gain and outcome.verdict(level) == "unranked" else ""))) or None,
            )
        )
    note = (
        "Difference of areas under the budget curve, method minus random, in points of mIoU, paired by (seed method, rng). p: two-sided sign-flip test. "
        "At best: the smallest p (Holm) that so many blocks allow, the other methods being as they are; not below the level means that nothing could have "
        "been called. Won: blocks in which the method has the larger area, a tie as one half."
    )
    return Sheet("differences", "Each method against random at the same unit and budget", columns, tuple(rows), note)


def gain_sheet(comparison: Comparison) -> Sheet:
    """Whether more labels helped random: without that there is nothing to rank methods by."""
    columns = (
        Column("dataset", "data set"),
        Column("method", "method"),
        Column("budget", "a round buys"),
        Column("blocks", "blocks"),
        Column("first_miou", "first mIoU", 2),
        Column("last_miou", "last mIoU", 2),
        Column("rise_points", "rise", 2, signed=True),
        Column("rise_bound", "95 % bound", 2, signed=True),
        Column("more_labels", "more labels"),
    )
    rows: list[tuple[Cell, ...]] = []
    for panel in comparison.panels:
        gains = [gain for gain in comparison.gains if gain.dataset == panel.dataset]
        if not gains:
            rows.append((panel.dataset, *(None,) * (len(columns) - 2), "not checked: no random"))
        for gain in gains:
            bound = None if gain.rise.low is None else 100 * gain.rise.low
            numbers = (100 * gain.first, 100 * gain.last, 100 * gain.rise.mean, bound)
            told = "helped" if gain.rise.above_zero else "did not help: methods cannot be ranked"
            rows.append((gain.dataset, gain.baseline, gain.budget, gain.blocks, *numbers, told))
    note = (
        "mIoU of random's last round minus that of its first, in points, paired within blocks, with its one-sided lower bound (Student's t). Where the bound "
        "is not above 0, what was bought did not matter to this training, and no method is called better or worse."
    )
    return Sheet("more-labels", "Did more labels help?", columns, tuple(rows), note)


def area_sheet(comparison: Comparison) -> Sheet:
    """The area under every method's budget curve, pooled and after each seed."""
    options = comparison.options
    seeds = sorted({seed for panel in comparison.panels for seed in panel.seeds})
    apart = tuple(Column(f"area_after_{seed}", f"after {seed}", 2) for seed in seeds) if len(seeds) > 1 else ()
    columns = (
        Column("dataset", "data set"),
        Column("method", "method"),
        Column("runs", "runs"),
        Column("from_percent", "from %", 2),
        Column("to_percent", "to %", 2),
        Column("area", "AUBC", 2),
        *_ends("area", options.level),
        *apart,
        Column("area_from_seed", "with round 0", 2),
        Column("final_miou", "last mIoU", 2),
        Column("final_miou_std", "± over runs", 2),
    )
    rows: list[tuple[Cell, ...]] = []
    for panel, line in _lines(comparison):
        areas, last = panel.areas[line.name], [100 * run.records[-1].miou for run in line.runs.values()]
        by_seed = [[100 * value for block, value in areas.miou.items() if block[0] == seed] for seed in seeds] if apart else []
        rows.append(
            (
                *(panel.dataset, line.name, len(line.runs)),
                *panel.ranges[line.budget],
                *_scaled(area_interval(panel, line, options)),
                *(float(np.mean(values)) if values else None for values in by_seed),
                100 * area_interval(panel, line, options, lambda areas: areas.from_seed).mean,
                float(np.mean(last)),
                float(np.std(last, ddof=1)) if len(last) > 1 else None,
            )
        )
    note = "AUBC: mean mIoU in percent over the labelled percentages from-to, which all runs of the data set and budget cover."
    return Sheet("areas", "Area under the budget curve", columns, tuple(rows), note)


def labels_sheet(comparison: Comparison) -> Sheet:
    """What part of the labels reaches 90 and 95 % of full supervision."""
    columns = (
        Column("dataset", "data set"),
        Column("method", "method"),
        Column("full_supervision", "full supervision, mIoU", 2),
        *(Column(f"percent_for_{100 * share:.0f}", f"labels for {100 * share:.0f} %", 2) for share in TARGETS),
        Column("labelled_percent", "labelled at most, %", 2),
        Column("reached_percent", "reached there, % of full", 1),
    )
    rows: list[tuple[Cell, ...]] = []
    for panel, line in _lines(comparison):
        full, mean = panel.full_supervision, mean_curve([miou_curve(run) for run in line.runs.values()])
        missing: Cell = None if full is None else NOT_REACHED
        needed = [missing if percent is None else percent for percent in labels_needed(panel, line)]
        reached = None if full is None else 100 * float(mean.score[-1]) / full
        rows.append((panel.dataset, line.name, None if full is None else 100 * full, *needed, float(mean.cost[-1]), reached))
    without = [panel.dataset for panel in comparison.panels if not panel.full]
    trained = ", ".join(f"{panel.dataset}: {counted(len(panel.full), 'run')}" for panel in comparison.panels if panel.full)
    note = "The smallest labelled percentage at which the mean curve, straight between rounds, reaches that share of the fully supervised mIoU"
    note += f"{f' ({trained})' if trained else ''}. The seed's own percentage: reached before any method bought."
    note += f" For {', '.join(without)} no fully supervised run was given (seed=all rounds.n=1)." if without else ""
    return Sheet("labels-needed", "Labels needed for 90 and 95 % of full supervision", columns, tuple(rows), note)


def stability_sheet(comparison: Comparison) -> Sheet:
    """How stable the ranking of the methods is over blocks."""
    columns = (
        Column("dataset", "data set"),
        Column("budget", "a round buys"),
        Column("method", "method"),
        Column("blocks", "blocks"),
        Column("mean_rank", "mean rank", 2),
        Column("first_percent", "first, %", 1),
        Column("kendall_tau", "Kendall's tau", 2),
        Column("kendall_tau_lowest", "lowest tau", 2),
    )
    rows: list[tuple[Cell, ...]] = []
    for stable in comparison.stabilities:
        for name, rank, first in sorted(zip(stable.methods, stable.rank, stable.first, strict=True), key=lambda row: row[1]):
            rows.append((stable.dataset, stable.budget, name, stable.blocks, rank, 100 * first, stable.tau, stable.lowest))
    note = (
        "Methods are ranked by area in every block that has them all. First: in how many of the resampled studies the method leads. Kendall's tau "
        "between the rankings of two blocks, mean and lowest over all pairs: 1 says that every block ranks alike, 0 that blocks agree no more than chance."
    )
    without = [f"{name} on {stable.dataset}" for stable in comparison.stabilities for name in stable.without]
    note += f" Not ranked, since too few of the blocks are shared: {', '.join(without)}." if without else ""
    note += f" Not ranked, since more labels did not help there: {', '.join(refused)}." if (refused := unranked(comparison)) else ""
    return Sheet("stability", "How stable the ranking is", columns, tuple(rows), note)


def wins_sheet(comparison: Comparison) -> Sheet:
    """The win matrix as a list: data set, winner, loser, blocks."""
    columns = (
        Column("dataset", "data set"),
        Column("method", "method"),
        Column("other", "against"),
        Column("blocks_won", "won", 1),
        Column("blocks", "of blocks"),
    )
    rows: list[tuple[Cell, ...]] = []
    for panel in comparison.panels:
        for budget in panel.ranges:
            rows += [(panel.dataset, one, other, won, count) for (one, other), (won, count) in wins_of(panel, budget).items() if count]
    return Sheet("wins", "Blocks in which one method has the larger area", columns, tuple(rows), "A tie counts one half for both.")


def pooled_wins(comparison: Comparison) -> dict[tuple[str, str], tuple[float, int]]:
    """Blocks won over all data sets on which methods can be ranked, of how many."""
    found: dict[tuple[str, str], tuple[float, int]] = {}
    for panel in comparison.panels:
        for budget in panel.ranges:
            for pair, (won, count) in wins_of(panel, budget).items() if comparison.ranks(panel.dataset, budget) else ():
                before = found.get(pair, (0.0, 0))
                found[pair] = (before[0] + won, before[1] + count)
    return {pair: (won, count) for pair, (won, count) in found.items() if count}


def unranked(comparison: Comparison) -> list[str]:
    """The data sets, and budgets where there are several, whose methods cannot be ranked, since more labels did not help random."""
    return [
        panel.dataset if len(panel.ranges) == 1 else f"{panel.dataset} ({budget} a round)"
        for panel in comparison.panels
        for budget in panel.ranges
        if not comparison.ranks(panel.dataset, budget)
    ]


def rare_sheet(comparison: Comparison) -> Sheet:
    """What the methods do for rare classes."""
    options = comparison.options
    columns = (
        Column("dataset", "data set"),
        Column("method", "method"),
        Column("rare_classes", "rare classes"),
        Column("rare_area", "mean IoU of rare classes", 2),
        Column("difference_points", "difference to random", 2, signed=True),
        *_ends("difference", options.level),
    )
    rows: list[tuple[Cell, ...]] = []
    for panel, line in _lines(comparison):
        rare = panel.rare(options.rare_share)
        if not rare:
            continue
        values = [100 * rare_mean(classes, rare) for classes in panel.areas[line.name].classes.values()]
        outcome = next((one for one in comparison.outcomes if one.dataset == panel.dataset and one.method == line.name), None)
        names = ", ".join(panel.classes[index] for index in rare)
        rows.append((panel.dataset, line.name, names, float(np.mean(values)), *_scaled(outcome.rare if outcome else None)))
    none = [panel.dataset for panel in comparison.panels if not panel.rare(options.rare_share)]
    sources = dict.fromkeys(f"{panel.dataset}: {panel.shares_of}" for panel in comparison.panels)
    note = (
        f"Rare: below {100 * options.rare_share:g} % of the points ({'; '.join(sources)}). Areas as above, of the mean IoU of these classes; no test is made."
    )
    note += f" None of the classes of {', '.join(none)} is that rare." if none else ""
    return Sheet("rare-classes", "Rare classes", columns, tuple(rows), note)


def class_sheet(comparison: Comparison, panel: Panel) -> Sheet:
    """One data set, a row per class: random's area, then each method's difference to it at its own unit."""
    baselines = [line for line in panel.lines if line.baseline]
    outcomes = [outcome for outcome in comparison.outcomes if outcome.dataset == panel.dataset and outcome.classes]
    columns = (
        Column("class", "class"),
        Column("share_percent", "share of points, %", 2),
        *(Column(f"area {line.name}", line.name, 1) for line in baselines),
        *(Column(f"difference {outcome.method}", outcome.method, 1, signed=True) for outcome in outcomes),
    )
    means = [np.mean(list(panel.areas[line.name].classes.values()), axis=0) for line in baselines]
    rows = tuple(
        (
            name,
            100 * panel.shares[index],
            *(_percent(mean[index]) for mean in means),
            *(_percent(outcome.classes[index]) for outcome in outcomes),
        )
        for index, name in enumerate(panel.classes)
    )
    note = "IoU in percent, its mean over the budget; methods as differences to random at their unit, in points. Descriptive: classes are not tested."
    return Sheet(f"classes-{panel.dataset}", f"{panel.dataset}: IoU of each class", columns, rows, note)


def cost_sheet(comparison: Comparison) -> Sheet:
    """What a round costs in computing time, and what the study did."""
    columns = (
        Column("dataset", "data set"),
        Column("method", "method"),
        Column("device", "device"),
        Column("runs", "runs"),
        Column("rounds", "rounds"),
        Column("buying_seconds", "buying, s", 1),
        Column("training_seconds", "training, s", 1),
        Column("testing_seconds", "testing, s", 1),
        Column("predicting_seconds", "predicting, s", 1),
        Column("round_seconds", "a round, s", 1),
        Column("gpu_seconds", "on GPU, s", 1, optional=True),
        Column("cpu_seconds", "on CPU, s", 1, optional=True),
        Column("unknown_seconds", "device unknown, s", 1, optional=True),
        Column("hours", "all rounds, h", 2),
        Column("shared_rounds", "shared rounds", optional=True),
        Column("hours_once", "shared once, h", 2),
    )
    rows: list[tuple[Cell, ...]] = []
    paid = {run.path.name for _, line in _lines(comparison) for run in line.runs.values()}
    for panel, line in _lines(comparison):
        for device in sorted({run.device for run in line.runs.values()}):
            runs = [run for run in line.runs.values() if run.device == device]
            rows.append((panel.dataset, line.name, device, len(runs), *_costs(runs, paid)))
    note = (
        "Seconds by the clock, means over rounds. On GPU, on CPU: those of a round times the processes that trained, by device; unknown where that was not "
        "written down (trainer.accelerator=auto). Buying, that is choosing and asking, always runs on the CPU, in one process. Predicting is a dash where its "
        "time was not recorded. All rounds: the hours of all runs as if each stood alone. Shared rounds were trained in another run of the same seed: the "
        "last column counts each of them once, so that its sum is what the study took."
    )
    return Sheet("cost", "Computing time", columns, tuple(rows), note)


def round_sheet(comparison: Comparison) -> Sheet:
    """Every round of every run, nothing averaged."""
    options = comparison.options
    words = ("dataset", "method", "seed", "rng", "protocol", "run", "round", "labelled_percent", "labelled_points", "units", "clicks", "square_metres")
    numbers = ("labelling_seconds", "miou", "buying_seconds", "training_seconds", "testing_seconds", "predicting_seconds", "shared", "device")
    rows: list[tuple[Cell, ...]] = []
    for panel, line in _lines(comparison):
        for (seed, rng), run in line.runs.items():
            axes = [costs(run, axis, options.seconds_per_click) for axis in ("units", "clicks")]
            metres: Sequence[float | None] = square_metres(run) or [None] * len(run.records)
            seconds = costs(run, "seconds", options.seconds_per_click)
            for place, record in enumerate(run.records):
                rows.append(
                    (
                        *(panel.dataset, line.name, seed, int(rng), line.protocol, run.path.name, record.round),
                        *(record.labelled_percent, record.labelled_points, *(int(axis[place]) for axis in axes), metres[place], seconds[place]),
                        *(record.miou, record.purchase.seconds, record.train_seconds, record.test_seconds, record.predict_seconds),
                        *(int(record.round in run.shared), run.device),
                    )
                )
    return Sheet("rounds", "Every round", tuple(Column(key, key) for key in (*words, *numbers)), tuple(rows))


def curve_sheet(comparison: Comparison) -> Sheet:
    """The mean curves as drawn: data set, method, seed ("all" pools them), axis, cost, mean and standard deviation of the mIoU in percent."""
    rows: list[tuple[Cell, ...]] = []
    for panel, line in _lines(comparison):
        for axis in panel.axes:
            for seed in ("all", *panel.seeds):
                runs = [run for block, run in line.runs.items() if seed in ("all", block[0])]
                if not runs:
                    continue
                spent = [costs(run, axis.key, comparison.options.seconds_per_click) for run in runs]
                means = round_means(spent, [[100 * record.miou for record in run.records] for run in runs])
                rows += [
                    (panel.dataset, line.name, seed, axis.key, float(cost), float(score), float(std) if len(runs) > 1 else None, len(runs))
                    for cost, score, std in zip(*means, strict=True)
                ]
    keys = ("dataset", "method", "seed", "axis", "cost", "miou_percent", "std", "runs")
    return Sheet("curves", "Mean learning curves", tuple(Column(key, key) for key in keys), tuple(rows))


def _lines(comparison: Comparison) -> list[tuple[Panel, Line]]:
    return [(panel, line) for panel in comparison.panels for line in panel.lines]


def _ends(of: str, level: float) -> tuple[Column, Column]:
    share = f"{100 * (1 - level):g} %"
    return Column(f"{of}_low", f"{share} from", 2, of == "difference"), Column(f"{of}_high", "to", 2, of == "difference")


def _scaled(interval: Interval | None) -> tuple[Cell, Cell, Cell]:
    if interval is None:
        return None, None, None
    return 100 * interval.mean, *(None if end is None else 100 * end for end in (interval.low, interval.high))  # type: ignore[return-value]


def _percent(fraction: float) -> float | None:
    return None if math.isnan(fraction) else 100 * float(fraction)


def _costs(runs: Sequence[StudyRun], paid: set[str]) -> tuple[Cell, ...]:
    """Mean seconds of a round by kind, then by device; the hours of all rounds; shared rounds, and the hours when those count once.

    `paid` are the runs whose first rounds are counted somewhere; a source that was not given is counted here, and then added.
    """
    records = [(run, record) for run in runs for record in run.records]
    kinds = [
        [record.purchase.seconds for _, record in records],
        [record.train_seconds for _, record in records],
        [record.test_seconds for _, record in records],
        [record.predict_seconds for _, record in records if record.predict_seconds is not None],
    ]
    means = [float(np.mean(values)) if values else None for values in kinds]
    each = math.fsum(record.seconds for _, record in records) / len(records)
    buying = math.fsum(kinds[0])
    network = math.fsum((record.seconds - record.purchase.seconds) * max(run.processes, default=1) for run, record in records)
    shared = []
    for run, record in records:
        source = run.shared.get(record.round)
        if source in paid:
            shared.append((record.train_seconds + record.test_seconds) * max(run.processes, default=1))
        elif source is not None:
            paid.add(source)
    device = runs[0].device
    gpu, unknown = (network if device == "GPU" else 0.0), (network if device not in ("CPU", "GPU") else 0.0)
    devices = [seconds / len(records) for seconds in (gpu, buying + network - gpu - unknown, unknown)]
    hours = [seconds / 3600 for seconds in (buying + network, buying + network - math.fsum(shared))]
    return (len(records), *means, each, *devices, hours[0], len(shared), hours[1])


def _plain(cell: Cell) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    return f"{cell:.8g}" if isinstance(cell, float) else str(cell)
