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

from al3d.report.compare.areas import Curve, band, curve_of, mean_curve
from al3d.report.compare.axes import Axis, costs
from al3d.report.compare.runs import StudyRun
from al3d.report.compare.sentences import VERDICTS, points
from al3d.report.compare.study import TARGETS, Comparison, Outcome, Panel
from al3d.report.published import curves_for
from al3d.report.results import COLOURS
from al3d.report.style import ACCENT, GREY, INK, MUTED, as_svg, bare, settings

#: Random selection, in greys; the methods, in colours that are told apart by markers too when there are more of them.
BASELINE_COLOURS = (INK, "#7d8594", "#a8afbb")
MORE_COLOURS = (*COLOURS, "#b0307f", "#6b6b1e", "#1c6e4a", "#8c4a2f")
MARKERS = "osD^vPX"
RED = "#c0392b"
BAND = 0.1


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
            figure.legend(handles=entries, loc="outside lower center", ncols=min(3, len(entries)), frameon=False, fontsize=9)
    return svg, figure


def curve_figure(panel: Panel, axis: Axis, seconds_per_click: float, look: Mapping[str, Look], by_seed: bool = False) -> Figure:
    """Mean learning curves of one data set over one axis, with a band of one standard deviation over runs; a panel per seed, or all pooled.

    Dashed with crosses: what papers print, where the data are the real ones. Full supervision and `TARGETS` of it as lines.
    """
    seeds = panel.seeds if by_seed else ("",)
    figure = Figure(figsize=(5.6 if len(seeds) == 1 else 3.5 * len(seeds) + 0.5, 3.9), layout="constrained")
    for place, axes in enumerate(figure.subplots(1, len(seeds), sharey=True, squeeze=False)[0]):
        bare(axes, grid="y")
        lines = [(line, [run for block, run in line.runs.items() if seeds[place] in ("", block[0])]) for line in panel.lines]
        for line, runs in lines:
            if runs:
                _mean_line(axes, [_curve(run, axis, seconds_per_click) for run in runs], look[line.name], front=not line.baseline)
        if axis.key == "percent":
            _published(axes, [run for _, runs in lines for run in runs])
        _full(axes, panel, first=place == 0)
        axes.set_title(_plain(f"after {seeds[place]}" if by_seed else panel.dataset))
        axes.set_xlabel(axis.label)
    figure.axes[0].set_ylabel("mIoU, %")
    return figure


def forest_figure(comparison: Comparison) -> Figure:
    """Every method's difference of area to random with its interval, by data set; filled where it is significant."""
    level = comparison.options.level
    groups = [(panel.dataset, [outcome for outcome in comparison.outcomes if outcome.dataset == panel.dataset]) for panel in comparison.panels]
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
            _forest_row(axes, outcome, at, level)
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


def _curve(run: StudyRun, axis: Axis, seconds_per_click: float) -> Curve:
    values = [value / axis.scale for value in costs(run, axis.key, seconds_per_click)]
    return curve_of(values, [100 * record.miou for record in run.records])


def _mean_line(axes: Axes, curves: Sequence[Curve], look: Look, front: bool) -> None:
    mean, spread = mean_curve(curves), band(curves)
    if len(curves) > 1:
        axes.fill_between(mean.cost, mean.score - spread, mean.score + spread, color=look.colour, alpha=BAND, linewidth=0, zorder=2)
    ends: dict[str, Any] = {"marker": look.marker, "markersize": 4.5, "markevery": max(1, len(mean.cost) // 12)}
    axes.plot(mean.cost, mean.score, color=look.colour, linewidth=2.0, zorder=4 if front else 3, **ends)


def _published(axes: Axes, runs: Sequence[StudyRun]) -> None:
    """What papers print for the setting of these runs; nothing where the data cannot be the real ones."""
    found: dict[str, Sequence[tuple[float, float]]] = {}
    for run in runs:
        found |= curves_for(run.identity, run.records[0].purchase.base_points)
    for name, curve in found.items():
        x, y = zip(*curve, strict=True)
        axes.plot(x, y, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), marker="x", markersize=5, zorder=2)
        axes.annotate(_plain(name), (x[-1], y[-1]), (-2, 5), textcoords="offset points", ha="right", fontsize=8, color=MUTED)


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


def _forest_row(axes: Axes, outcome: Outcome, at: float, level: float) -> None:
    words: dict[str, Any] = {"xycoords": axes.get_yaxis_transform(), "va": "center", "fontsize": 9.5, "annotation_clip": False}
    if outcome.difference is None:
        axes.annotate("no random at this unit and budget", (1.02, at), **words, color=MUTED)
        return
    verdict = outcome.verdict(level)
    colour = {"beats": ACCENT, "worse": RED}.get(verdict, MUTED)
    mean = 100 * outcome.difference.mean
    low, high = (None if end is None else 100 * end for end in (outcome.difference.low, outcome.difference.high))
    if low is not None and high is not None:
        axes.plot([low, high], [at, at], color=colour, linewidth=2.2, solid_capstyle="round", zorder=3)
    fill = colour if verdict in ("beats", "worse") else "white"
    axes.plot(mean, at, marker="o", markersize=7.5, color=colour, markerfacecolor=fill, markeredgewidth=1.6, zorder=4)
    chance = "" if outcome.adjusted is None else f", p {'< 0.001' if outcome.adjusted < 0.001 else f'= {outcome.adjusted:.3f}'}"
    axes.annotate(f"{points(outcome.difference)}{chance}, {VERDICTS[verdict]}", (1.02, at), **words, color=INK if verdict in ("beats", "worse") else MUTED)


def _plain(words: str) -> str:
    """Words that matplotlib must not read as mathematics."""
    return words.replace("$", r"\$")
