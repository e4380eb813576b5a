"""The figures of a comparison: learning curves with bands, a forest of differences, and the win matrix."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from al3d.report.compare.areas import round_means
from al3d.report.compare.axes import Axis, costs
from al3d.report.compare.runs import StudyRun
from al3d.report.compare.sentences import VERDICTS, points
from al3d.report.compare.study import TARGETS, Comparison, Line, Outcome, Panel, baseline_of
from al3d.report.published import curves_for
from al3d.report.results import COLOURS
from al3d.report.style import ACCENT, GREY, INK, MUTED, as_svg, bare, settings, spread
from al3d.report.table import counted

#: Random selection, in greys; the methods, in colours that are told apart by markers too when there are more of them.
BASELINE_COLOURS = (INK, "#7d8594", "#a8afbb")
MORE_COLOURS = (*COLOURS, "#b0307f", "#6b6b1e", "#1c6e4a", "#8c4a2f")
MARKERS = "osD^vPX"
RED = "#c0392b"
BAND = 0.1
#: More lines than these in one chart have no bands: the bands would cover each other. A chart for each method has them.
MOST_BANDS = 6
#: How the curves of a data set are arranged: all in one chart, one chart for each seed, or one for each method beside its random.
POOLED, BY_SEED, BY_METHOD = "pooled", "by-seed", "by-method"
#: Charts side by side at most.
COLUMNS = 4


@dataclass(frozen=True)
class Look:
    """How a method is drawn everywhere."""

    colour: str
    marker: str


def looks(comparison: Comparison) -> dict[str, Look]:
    """A colour and a marker for every method, the same in every figure of the page."""
    baselines = [name for name in comparison.methods if not comparison.of(name)]
    others = [name for name in comparison.methods if comparison.of(name)]
    found = {name: Look(BASELINE_COLOURS[place % len(BASELINE_COLOURS)], "o") for place, name in enumerate(baselines)}
    count = len(MORE_COLOURS)
    return found | {name: Look(MORE_COLOURS[place % count], MARKERS[(place + place // count) % len(MARKERS)]) for place, name in enumerate(others)}


def drawn(draw: Callable[[], Figure], salt: str, title: str, legend: Mapping[str, Look] | None = None) -> tuple[str, Figure]:
    """The figure as SVG for a page, and the figure itself to be saved; only the latter has the `legend`, since a page has one for all."""
    with matplotlib.rc_context(settings(salt)):
        figure = draw()
        FigureCanvasAgg(figure)
        svg = as_svg(figure, salt, title)
        if legend:
            entries: list[Any] = [Line2D([], [], color=look.colour, marker=look.marker, label=_plain(name)) for name, look in legend.items()]
            widest = 0.5 + 0.068 * max(len(name) for name in legend)  # inches of an entry in this size
            columns = max(1, min(3, len(entries), int(figure.get_figwidth() / widest)))
            figure.legend(handles=entries, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
    return svg, figure


def layouts_of(panel: Panel) -> list[str]:
    """In which arrangements a data set's curves are worth drawing."""
    methods = [line for line in panel.lines if not line.baseline]
    return [POOLED, *([BY_SEED] if len(panel.seeds) > 1 else []), *([BY_METHOD] if len(methods) > 1 else [])]


def curve_figure(panel: Panel, axis: Axis, seconds_per_click: float, look: Mapping[str, Look], layout: str = POOLED) -> Figure:
    """Mean learning curves of one data set over one axis, with a band of one standard deviation over runs, in one of `layouts_of`.

    Dashed with crosses: what papers print, where the data are the real ones. Full supervision and `TARGETS` of it as lines.
    """
    charts = _charts(panel, layout)
    columns = min(len(charts), COLUMNS)
    rows = -(-len(charts) // columns)
    figure = Figure(figsize=(5.6, 3.9) if len(charts) == 1 else (3.1 * columns + 0.5, 2.9 * rows + 0.3), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for place, (axes, (title, chosen)) in enumerate(zip(grid.flat, charts, strict=False)):
        bare(axes, grid="y")
        for line, runs in chosen:
            if runs:
                spent = [[cost / axis.scale for cost in costs(run, axis.key, seconds_per_click)] for run in runs]
                _mean_line(axes, spent, runs, look[line.name], front=not line.baseline, shade=len(chosen) <= MOST_BANDS)
        if axis.key == "percent":
            _published(axes, chosen, look)
        _full(axes, panel, first=place == 0)
        axes.set_title(_plain(title))
        axes.tick_params(labelbottom=place + columns >= len(charts))
    for axes in list(grid.flat)[len(charts) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel("mIoU, %")
    if len(charts) == 1:
        grid[0, 0].set_xlabel(axis.label)
    else:
        figure.supxlabel(axis.label, fontsize=10.5, color=MUTED)
        figure.suptitle(_plain(panel.dataset), x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK)
    return figure


def _charts(panel: Panel, layout: str) -> list[tuple[str, list[tuple[Line, list[StudyRun]]]]]:
    """The charts of an arrangement: a title, and lines with those of their runs that belong there."""
    if layout == BY_METHOD:
        found = []
        for line in panel.lines:
            baseline = baseline_of(panel, line)[0]
            if not line.baseline:
                found.append((line.name, [(one, list(one.runs.values())) for one in (baseline, line) if one is not None]))
        return found
    seeds = panel.seeds if layout == BY_SEED else ("",)
    lines = {seed: [(line, [run for block, run in line.runs.items() if seed in ("", block[0])]) for line in panel.lines] for seed in seeds}
    return [(f"after {seed}" if seed else panel.dataset, chosen) for seed, chosen in lines.items()]


def forest_figure(comparison: Comparison, look: Mapping[str, Look]) -> Figure:
    """Every method's difference of area to random with its interval, by data set, in the method's colour; filled where it is significant."""
    level = comparison.options.level
    compared = [outcome for outcome in comparison.outcomes if outcome.difference is not None]
    groups = [(panel.dataset, [outcome for outcome in compared if outcome.dataset == panel.dataset]) for panel in comparison.panels]
    groups = [(name, outcomes) for name, outcomes in groups if outcomes]
    height = sum(len(outcomes) + 1.4 for _, outcomes in groups)
    figure = Figure(figsize=(9.6, 0.3 * height + 0.9), layout="constrained")
    axes = figure.add_subplot()
    bare(axes, grid="x")
    axes.axvline(0, color=INK, linewidth=1.1, zorder=1)
    places, labels, at = [], [], 0.0
    for name, outcomes in groups:
        axes.annotate(_plain(name), (0, at), xycoords=axes.get_yaxis_transform(), fontweight="bold", va="center", color=INK)
        for outcome in outcomes:
            at += 1
            places.append(at)
            labels.append(_plain(outcome.method))
            _forest_row(axes, outcome, at, level, look[outcome.method])
        at += 1.4
    axes.set_yticks(places, labels, color=INK)
    axes.set_ylim(at - 0.8, -0.8)
    axes.margins(x=0.06)
    axes.set_xlabel("difference of area under the budget curve to random at the same unit and budget, points of mIoU", x=0.6)
    return figure


def wins_figure(names: Sequence[str], wins: Mapping[tuple[str, str], tuple[float, int]]) -> Figure:
    """The win matrix: in which share of the shared blocks the method of a row has a larger area than that of a column."""
    share = np.full((len(names), len(names)), np.nan)
    figure = Figure(figsize=(2.6 + 0.85 * len(names), 1.9 + 0.5 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    for row, one in enumerate(names):
        for column, other in enumerate(names):
            won, count = wins.get((one, other), (0.0, 0))
            if count:
                share[row, column] = won / count
                dark = abs(share[row, column] - 0.5) > 0.35
                axes.text(column, row, f"{won:g} / {count}", ha="center", va="center", fontsize=9, color="white" if dark else INK)
    colours = LinearSegmentedColormap.from_list("wins", [RED, "#f7f7f7", ACCENT]).with_extremes(bad="white")
    axes.imshow(share, cmap=colours, vmin=0, vmax=1, aspect="auto")
    axes.grid(visible=False)
    axes.set_xticks(range(len(names)), [_plain(name) for name in names], rotation=30, ha="right")
    axes.set_yticks(range(len(names)), [_plain(name) for name in names])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title("blocks in which the row beats the column")
    return figure


def _mean_line(axes: Axes, spent: Sequence[Sequence[float]], runs: Sequence[StudyRun], look: Look, front: bool, shade: bool) -> None:
    cost, mean, width = round_means(spent, [[100 * record.miou for record in run.records] for run in runs])
    if len(runs) > 1 and shade:
        axes.fill_between(cost, mean - width, mean + width, color=look.colour, alpha=BAND, linewidth=0, zorder=2)
    axes.plot(cost, mean, color=look.colour, linewidth=2.0, marker=look.marker, markersize=4.5, zorder=4 if front else 3)


def _published(axes: Axes, lines: Sequence[tuple[Line, Sequence[StudyRun]]], look: Mapping[str, Look]) -> None:
    """What papers print for the setting of these runs, each in the colour of its method; nothing where the data cannot be the real ones."""
    found: dict[str, tuple[Sequence[tuple[float, float]], str]] = {}
    for line, runs in lines:
        for run in runs:
            for name, curve in curves_for(run.identity, run.records[0].purchase.base_points).items():
                found.setdefault(name, (curve, look[line.name].colour))
    for printed, colour in found.values():
        x, y = zip(*printed, strict=True)
        axes.plot(x, y, color=colour, linewidth=1.2, linestyle=(0, (4, 3)), marker="x", markersize=5, alpha=0.8, zorder=2)
    low, high = axes.get_ylim()
    places = spread([printed[-1][1] for printed, _ in found.values()], (high - low) / 18, low, high)
    for place, (name, (printed, colour)) in zip(places, found.items(), strict=True):
        words: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 7.5, "annotation_clip": False}
        box = {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.6}
        axes.annotate(_plain(name), (printed[-1][0], place), (6, 0), **words, color=colour, bbox=box, zorder=5)


def _full(axes: Axes, panel: Panel, first: bool) -> None:
    full = panel.full_supervision
    if full is None:
        return
    for share in (1.0, *TARGETS):
        words = "fully supervised" if share == 1 else f"{100 * share:.0f} % of it"
        axes.axhline(100 * share * full, color=GREY if share < 1 else MUTED, linewidth=1.0, zorder=1)
        if first:
            place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
            axes.annotate(f"{words}: {100 * share * full:.1f}", (0, 100 * share * full), (3, 2), **place, color=MUTED, fontsize=8)


def _forest_row(axes: Axes, outcome: Outcome, at: float, level: float, look: Look) -> None:
    if outcome.difference is None:
        return
    verdict = outcome.verdict(level)
    called = verdict in ("beats", "worse")
    low, high = (None if end is None else 100 * end for end in (outcome.difference.low, outcome.difference.high))
    if low is not None and high is not None:
        axes.plot([low, high], [at, at], color=look.colour, linewidth=2.2, solid_capstyle="round", zorder=3)
    fill = look.colour if called else "white"
    axes.plot(100 * outcome.difference.mean, at, marker=look.marker, markersize=7.5, color=look.colour, markerfacecolor=fill, markeredgewidth=1.6, zorder=4)
    chance = "" if outcome.adjusted is None else f", p {'< 0.001' if outcome.adjusted < 0.001 else f'= {outcome.adjusted:.3f}'}"
    words = f"{points(outcome.difference)}, {counted(outcome.blocks, 'block')}{chance}: {VERDICTS[verdict]}"
    style: dict[str, Any] = {"xycoords": axes.get_yaxis_transform(), "va": "center", "fontsize": 9.5, "annotation_clip": False}
    axes.annotate(words, (1.02, at), **style, color=INK if called else MUTED, fontweight="bold" if called else "normal")


def _plain(words: str) -> str:
    """Words that matplotlib must not read as mathematics."""
    return words.replace("$", r"\$")
