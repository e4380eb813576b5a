"""What commands that compare runs leave behind: a figure as PNG and SVG, and tables in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from al3d.files import whole_file
from al3d.report.style import settings


def save_figure(draw: Callable[[], Figure], out: Path, name: str, salt: str) -> None:
    """Draw in the style of the charts and write `<name>.png` and `<name>.svg` into `out`, the same bytes every time; `salt` starts the SVG's ids."""
    with matplotlib.rc_context(settings(salt)):
        figure = draw()
        FigureCanvasAgg(figure)
        for kind in ("png", "svg"):
            with whole_file(out / f"{name}.{kind}") as temporary:
                figure.savefig(temporary, format=kind, dpi=130, metadata={"Date": None} if kind == "svg" else None)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of these cells."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
