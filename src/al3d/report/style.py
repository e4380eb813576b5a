"""How the charts look, and how a figure becomes an SVG that is the same every time."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Color = tuple[float, float, float]

INK = "#1f2430"
MUTED = "#5d6675"
GRID = "#e6e9ee"
GREY = "#b9c0cb"
ACCENT = "#2457c5"
#: The contrast to white that text needs to be read (WCAG 2.2, level AA).
READABLE = 4.5

_SETTINGS = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "axes.edgecolor": GREY,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "text.color": INK,
}


def settings(salt: str) -> matplotlib.RcParams:
    """The style as matplotlib parameters, to be used in `matplotlib.rc_context`; `salt` makes the ids of the SVG repeat."""
    return matplotlib.RcParams({**matplotlib.rcParamsDefault, **_SETTINGS, "svg.hashsalt": salt})


def as_svg(figure: Figure, name: str, title: str) -> str:
    """The figure as an `<svg>` element for use inside a page, without date; call it inside the `rc_context` that drew the figure.

    `name` becomes part of every id, so that several charts can stand in one page; `title` is what a screen reader says.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = text.replace("'DejaVu Sans'", "system-ui, 'Segoe UI', 'DejaVu Sans'")
    return text.replace("<svg ", f'<svg role="img" aria-label="{html.escape(title)}" ', 1)


def readable(color: Sequence[int]) -> Color:
    """A class colour 0..255 as 0..1, darkened until it can be read on white; its hue stays.

    Source: relative luminance and contrast of WCAG 2.2.
    """
    red, green, blue = (value / 255 for value in color)
    factor = 1.0
    while 1.05 / (_luminance((factor * red, factor * green, factor * blue)) + 0.05) < READABLE:
        factor *= 0.95
    return (factor * red, factor * green, factor * blue)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions near the wanted ones, in their order, at least `gap` apart and inside [low, high] if there is room.

    Neighbours that are too close form a block that is centred on the mean of what its members wanted.
    """
    order = sorted(range(len(wanted)), key=lambda index: (wanted[index], index))
    gap = min(gap, (high - low) / max(len(wanted) - 1, 1))
    blocks: list[tuple[float, int]] = []
    for index in order:
        blocks.append((wanted[index], 1))
        while len(blocks) > 1 and _bottom(blocks[-1], gap, low, high) < _top(blocks[-2], gap, low, high) + gap * (1 - 1e-9):
            (mean, count), (mean_below, count_below) = blocks.pop(), blocks.pop()
            blocks.append(((mean * count + mean_below * count_below) / (count + count_below), count + count_below))
    places = [_bottom(block, gap, low, high) + step * gap for block in blocks for step in range(block[1])]
    result = [0.0] * len(wanted)
    for index, place in zip(order, places, strict=True):
        result[index] = place
    return result


def bare(axes: Axes, grid: str) -> None:
    """Keep only the grid lines along one axis ("x" or "y") and the line under the chart."""
    axes.grid(visible=False, axis="y" if grid == "x" else "x")
    axes.spines["left"].set_visible(False)


def _bottom(block: tuple[float, int], gap: float, low: float, high: float) -> float:
    mean, count = block
    return max(low, min(mean - gap * (count - 1) / 2, high - gap * (count - 1)))


def _top(block: tuple[float, int], gap: float, low: float, high: float) -> float:
    return _bottom(block, gap, low, high) + gap * (block[1] - 1)


def _luminance(color: Color) -> float:
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
