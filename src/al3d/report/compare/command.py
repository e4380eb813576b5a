"""The page of a comparison, with its figures and tables beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from al3d.files import whole_file
from al3d.progress import console, stage
from al3d.report.compare.figures import POOLED, Look, curve_figure, drawn, forest_figure, layouts_of, looks, wins_figure
from al3d.report.compare.page import document
from al3d.report.compare.runs import grouped
from al3d.report.compare.sentences import gain_notes, reach_notes, sentences
from al3d.report.compare.study import Comparison, Options, compare
from al3d.report.compare.tables import as_csv, as_latex, curve_sheet, pooled_wins, round_sheet, sheets_of
from al3d.report.style import settings
from al3d.report.table import counted


def write_comparison(folders: Sequence[Path], out: Path, options: Options | None = None, quiet: bool = False) -> Comparison:
    """Compare runs, write the page `out` (a .html file) and the folder of the same name without ending beside it; return what was found.

    `folders` are run folders, or folders that hold some. `options` as in `Options`. `quiet` prints nothing.
    Raises: ValueError when `out` is no .html file; as `compare`.
    """
    if out.suffix != ".html":
        raise ValueError(f"--out {out}: the page's name must end in .html, such as study.html")
    comparison = compare(folders, options)
    beside = out.with_suffix("")
    look = looks(comparison)
    charts, forest = _draw(comparison, look, beside, quiet)
    sheets = sheets_of(comparison)
    for sheet in [*sheets, round_sheet(comparison), curve_sheet(comparison)]:
        _write(beside / f"{sheet.name}.csv", as_csv(sheet))
    for sheet in sheets:
        _write(beside / f"{sheet.name}.tex", as_latex(sheet))
    _write(out, document(comparison, sheets, forest, charts, look, beside.name))
    if not quiet:
        for words in gain_notes(comparison):
            console.print(words, markup=False)
        for method, words in sentences(comparison).items():
            console.print(f"{method} {words}.", markup=False)
        for words in reach_notes(comparison):
            console.print(words, markup=False)
        for words in grouped(comparison.left_out):
            console.print(f"left out: {words}", markup=False)
        runs = sum(len(line.runs) for panel in comparison.panels for line in panel.lines)
        console.print(f"page: {out}\n{counted(runs, 'run')} on {counted(len(comparison.panels), 'data set')}", markup=False)
    return comparison


def _draw(comparison: Comparison, look: Mapping[str, Look], beside: Path, quiet: bool) -> tuple[dict[tuple[str, str, str], str], str | None]:
    """All figures: saved as PNG into `beside`, and as SVG for the page; curves by data set, axis and layout, and the forest."""
    wanted = [(panel, axis, layout) for panel in comparison.panels for axis in panel.axes for layout in layouts_of(panel)]
    charts = {}
    with stage("draw", len(wanted) + 2, quiet) as line:
        for panel, axis, layout in wanted:
            name = f"curves-{panel.dataset}-{axis.key}{'' if layout == POOLED else f'-{layout}'}"
            legend = {each.name: look[each.name] for each in panel.lines}
            svg, figure = drawn(
                lambda panel=panel, axis=axis, layout=layout: curve_figure(  # type: ignore[misc]
                    panel, axis, comparison.options.seconds_per_click, look, layout
                ),
                name,
                f"Learning curves on {panel.dataset} over {axis.title}",
                legend,
            )
            charts[panel.dataset, axis.key, layout] = svg
            _save(figure, beside / f"{name}.png")
            line.advance()
        forest = None
        if any(outcome.difference for outcome in comparison.outcomes):
            forest, figure = drawn(lambda: forest_figure(comparison, look), "forest", "Differences of area to random, with intervals")
            _save(figure, beside / "forest.png")
        line.advance()
        wins = pooled_wins(comparison)
        names = [name for name in comparison.methods if any(name in pair for pair in wins)]
        if len(names) > 1:
            _save(drawn(lambda: wins_figure(names, wins), "wins", "Win matrix")[1], beside / "wins.png")
        line.advance()
    return charts, forest


def _save(figure: Figure, path: Path) -> None:
    with matplotlib.rc_context(settings(path.stem)), whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def _write(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
