"""Charts of one run as SVG text: the learning curve, the IoU of each class, and which classes were bought."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from al3d.report.rounds import Purchase, RoundRecord, check_classes
from al3d.report.style import ACCENT, GREY, INK, MUTED, Color, as_svg, bare, readable, settings, spread
from al3d.types import ClassTable

#: The share of full supervision that active learning is usually measured against.
TARGET = 0.9
POOL_NOTE = "pool shares come from hidden labels; the method never saw them"
PANELS_PER_ROW = 4


_HALO = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85}


def learning_curve(
    records: Sequence[RoundRecord],
    full_supervision: float | None = None,
    others: Mapping[str, Sequence[RoundRecord]] | None = None,
    published: Mapping[str, Sequence[tuple[float, float]]] | None = None,
) -> str:
    """MIoU against labelled points, both in percent; other runs in grey, full supervision and 90 % of it as lines.

    `published` are curves that papers print, (labelled, mIoU) in percent: dashed, a cross at each value.

    Raises: ValueError without a record.
    """
    _need(records)
    with matplotlib.rc_context(settings("learning-curve")):
        figure = Figure(figsize=(9.2, 4.4), layout="constrained")
        axes = figure.add_subplot()
        bare(axes, grid="y")
        ends = [(_place(other)[0][-1], _place(other)[1][-1], name) for name, other in (others or {}).items() if other]
        for other in (others or {}).values():
            axes.plot(*_place(other), color=GREY, linewidth=1.5, marker="o", markersize=3.5, zorder=2)
        for curve in (published or {}).values():
            axes.plot(*zip(*curve, strict=True), color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), marker="x", markersize=5, zorder=2)
        ends += [(*curve[-1], name) for name, curve in (published or {}).items()]
        _supervision_lines(axes, full_supervision)
        percents, mious = _place(records)
        _main_line(axes, percents, mious)
        places = [_place(other) for other in (records, *(others or {}).values()) if other]
        places += [([x for x, _ in curve], [y for _, y in curve]) for curve in (published or {}).values()]
        _learning_limits(axes, [x for place in places for x in place[0]], [y for place in places for y in place[1]], full_supervision)
        _end_labels(axes, [(percent, miou, name, MUTED) for percent, miou, name in ends], figure.get_figheight())
        axes.set_xlabel("labelled points, % of the base")
        axes.set_ylabel("mIoU, %")
        return as_svg(figure, "curve", f"Learning curve: mIoU of {mious[-1]:.1f} % with {percents[-1]:.3g} % of the points labelled")


def class_curves(records: Sequence[RoundRecord], classes: ClassTable) -> str:
    """The IoU of each class over the rounds, its name at the end of its line; a class without a number is named below.

    Raises: ValueError without a record, or when the class table does not fit.
    """
    _need(records)
    for record in records:
        check_classes(record, classes)
    with matplotlib.rc_context(settings("class-curves")):
        figure = Figure(figsize=(9.2, max(4.2, 0.27 * len(classes) + 1.0)), layout="constrained")
        axes = figure.add_subplot()
        bare(axes, grid="y")
        rounds = [record.round for record in records]
        ends, absent = [], []
        for index, (name, color) in enumerate(zip(classes.names, map(readable, classes.colors), strict=True)):
            values = [math.nan if record.iou[index] is None else 100 * float(record.iou[index] or 0.0) for record in records]
            known = [at for at, value in enumerate(values) if not math.isnan(value)]
            if not known:
                absent.append(name)
                continue
            axes.plot(rounds, values, color=color, linewidth=1.9, marker="o", markersize=4)
            ends.append((float(rounds[known[-1]]), values[known[-1]], f"{name} {values[known[-1]]:.1f}", color))
        axes.set_ylim(-2, 102)
        axes.set_xlim(rounds[0] - 0.15, max(rounds[-1], rounds[0] + 1))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _end_labels(axes, ends, figure.get_figheight())
        axes.set_xlabel("round" if not absent else f"round   (not in the test scenes: {_plain(', '.join(absent))})")
        axes.set_ylabel("IoU, %")
        return as_svg(figure, "classes", "IoU of each class over the rounds, in percent")


def class_shares(purchases: Sequence[Purchase], classes: ClassTable) -> str:
    """For each round, the share of each class in what was bought (coloured) and in what could be bought (grey).

    Raises: ValueError without a purchase.
    """
    _need(purchases)
    across = min(len(purchases), PANELS_PER_ROW)
    down = -(-len(purchases) // across)
    with matplotlib.rc_context(settings("class-shares")):
        figure = Figure(figsize=(9.2, down * (0.3 * len(classes) + 1.0) + 0.4), layout="constrained")
        panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
        for axes, purchase in zip(panels.flat, purchases, strict=False):
            _shares_panel(axes, purchase, classes)
        for axes in panels.flat[len(purchases) :]:
            axes.set_visible(False)
        known = any(purchase.pool_shares for purchase in purchases)
        panels[0, 0].set_ylim(len(classes) - 0.4, -0.6)
        figure.supxlabel(f"share of the points, %: coloured bought{f', grey in the pool ({POOL_NOTE})' if known else ''}", fontsize=10.5, color=MUTED)
        return as_svg(figure, "shares", "Class shares of the bought points, beside those of the pool where known")


def _shares_panel(axes: Axes, purchase: Purchase, classes: ClassTable) -> None:
    bare(axes, grid="x")
    places = range(len(classes))
    bought = [100 * share for share in purchase.shares]
    pool = purchase.pool_shares
    axes.barh([place - (0.19 if pool else 0.0) for place in places], bought, 0.38 if pool else 0.6, color=[readable(color) for color in classes.colors])
    if pool:
        axes.barh([place + 0.19 for place in places], [100 * share for share in pool], 0.38, color=GREY)
    axes.set_yticks(list(places), [_plain(name) for name in classes.names], color=INK)
    axes.set_title(f"round {purchase.round}" + (" (seed)" if purchase.round == 0 else ""))
    axes.xaxis.set_major_locator(MaxNLocator(4))


def _place(records: Sequence[RoundRecord]) -> tuple[list[float], list[float]]:
    return [record.labelled_percent for record in records], [100 * record.miou for record in records]


def _main_line(axes: Axes, percents: Sequence[float], mious: Sequence[float]) -> None:
    """The run itself, its numbers above its points."""
    axes.plot(percents, mious, color=ACCENT, linewidth=2.4, marker="o", markersize=6, zorder=4)
    look: dict[str, Any] = {"ha": "center", "color": ACCENT, "fontweight": "bold", "bbox": _HALO, "zorder": 5}
    for percent, miou in zip(percents, mious, strict=True):
        axes.annotate(f"{miou:.1f}", (percent, miou), (0, 9), textcoords="offset points", **look)


def _supervision_lines(axes: Axes, full_supervision: float | None) -> None:
    if full_supervision is None:
        return
    for level, words in ((full_supervision, "fully supervised"), (TARGET * full_supervision, f"{100 * TARGET:.0f} % of it")):
        axes.axhline(100 * level, color=MUTED, linewidth=1.2, linestyle=(0, (5, 3)), zorder=1)
        axes.annotate(f"{words}: {100 * level:.1f}", (0, 100 * level), (4, 3), xycoords=("axes fraction", "data"), textcoords="offset points", color=MUTED)


def _learning_limits(axes: Axes, percents: Sequence[float], mious: Sequence[float], full_supervision: float | None) -> None:
    """Start at 0 % labelled; above and below, leave room for the numbers at the points."""
    levels = [*mious, *(() if full_supervision is None else (100 * full_supervision, 100 * TARGET * full_supervision))]
    room = max(4.0, 0.14 * (max(levels) - min(levels)))
    axes.set_ylim(max(0.0, min(levels) - room), min(104.0, max(levels) + room))
    axes.set_xlim(0.0, 1.05 * max(percents) or 1.0)


def _end_labels(axes: Axes, ends: Sequence[tuple[float, float, str, str | Color]], inches: float) -> None:
    """Names to the right of the chart, at the height of their line's end or as near as the others allow, with a thin leader."""
    low, high = axes.get_ylim()
    heights = spread([end[1] for end in ends], 0.19 * (high - low) / (inches - 0.9), low, high)
    for (x, y, words, color), height in zip(ends, heights, strict=True):
        axes.annotate(
            _plain(words),
            (x, y),
            (1.03, height),
            xycoords="data",
            textcoords=axes.get_yaxis_transform(),
            va="center",
            color=color,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": color, "linewidth": 0.7, "alpha": 0.5, "shrinkA": 2, "shrinkB": 4, "relpos": (0, 0.5)},
        )


def _plain(words: str) -> str:
    """Words that matplotlib must not read as mathematics."""
    return words.replace("$", r"\$")


def _need(items: Sequence[object]) -> None:
    if not items:
        raise ValueError("nothing to draw: no round is finished")
