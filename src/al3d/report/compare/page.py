"""The page of a comparison: sentences first, then the forest, the curves with their switches, the win matrix and the tables."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping, Sequence

from al3d.report.compare.axes import Axis
from al3d.report.compare.figures import BY_METHOD, BY_SEED, COLUMNS, MOST_BANDS, POOLED, Look, layouts_of
from al3d.report.compare.runs import grouped
from al3d.report.compare.sentences import gain_notes, headline, reach_notes, sentences
from al3d.report.compare.statistics import LEAST_BLOCKS
from al3d.report.compare.study import Comparison, Panel
from al3d.report.compare.tables import Cell, Column, Sheet, pooled_wins, shown, unranked
from al3d.report.page import Content, Safe, element, folded, join, page
from al3d.report.published import curves_for
from al3d.report.table import counted

#: Charts by (data set, axis, layout), layouts as in `figures.layouts_of`.
Charts = Mapping[tuple[str, str, str], str]
MARKS = {"beats": "\u25b2", "worse": "\u25bc", "even": "\u2248", "short": "?", "untested": "?", "unranked": "?", "alone": "\u2013"}
#: What the switch calls the layouts.
LAYOUTS = {POOLED: "all in one", BY_SEED: "seed by seed", BY_METHOD: "method by method"}
#: More methods than these have their names upright above the win matrix.
UPRIGHT = 8
#: How wide one of several charts must stay, in pixels.
CHART = 250

STYLE = """
main { max-width: 1240px; }
.findings { list-style: none; margin: 14px 0; padding: 0; display: grid; gap: 8px; }
.findings li { background: var(--card); border: 1px solid var(--line); border-left: 5px solid var(--muted); border-radius: 8px;
  padding: 9px 14px; overflow-wrap: anywhere; }
.findings li.beats { border-left-color: var(--accent); }
.findings li.worse { border-left-color: #c0392b; }
.findings .mark { display: inline-block; width: 1.5em; color: var(--muted); }
.findings .beats .mark { color: var(--accent); }
.wide svg { min-width: 700px; }
.keys { display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 13.5px; margin: 8px 0; padding: 0; list-style: none; }
.keys svg { vertical-align: -2px; margin-right: 6px; background: #ffffff; border-radius: 3px; }
.switch { margin: 10px 0; }
.switch > input { position: absolute; opacity: 0; pointer-events: none; }
.bar { display: inline-flex; flex-wrap: wrap; gap: 4px; margin: 4px 18px 4px 0; font-size: 13.5px; }
.bar b { font-weight: 500; color: var(--muted); padding: 3px 4px 3px 0; }
.bar label { border: 1px solid var(--line); background: var(--card); border-radius: 999px; padding: 3px 12px; cursor: pointer; }
.view { display: none; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 12px; }
.view.by-seed, .view.by-method { grid-template-columns: 1fr; }
.view .card { margin: 0; }
.view.pooled .chart svg { max-width: 600px; }
.view.by-seed .chart svg, .view.by-method .chart svg { max-width: min(100%, var(--most)); min-width: var(--least); }
th { white-space: normal; vertical-align: bottom; }
.matrix td, .matrix th { text-align: center; }
.matrix td:first-child, .matrix th:first-child { text-align: left; }
.matrix tbody th { white-space: nowrap; }
.upright { width: auto; }
.upright thead th + th { writing-mode: sideways-lr; text-align: left; white-space: nowrap; padding: 8px 4px; }
@supports not (writing-mode: sideways-lr) { .upright thead th + th { writing-mode: vertical-rl; transform: rotate(180deg); } }
td.text, th.text { text-align: left; }
td.strong { font-weight: 650; }
@media print { main { max-width: none; padding: 0; } table { font-size: 9px; } th, td { padding: 2px 3px; } .card { overflow: visible; } }
"""


def document(comparison: Comparison, sheets: Sequence[Sheet], forest: str | None, charts: Charts, look: Mapping[str, Look], beside: str) -> str:
    """The whole page; `beside` is the folder in which its tables and figures lie as files."""
    names = ", ".join(panel.dataset for panel in comparison.panels)
    by_name = {sheet.name: sheet for sheet in sheets}
    classes = [sheet for sheet in sheets if sheet.name.startswith("classes-")]
    return page(
        f"Comparison on {names}",
        element("style", Safe(STYLE + _switch_style(_axes(comparison), _layouts(comparison)))),
        element("h1", f"Which method is worth its labels? {names}"),
        _chips(comparison),
        _findings(comparison),
        _warnings(comparison),
        element("h2", "Against random, at the same unit and budget"),
        *_forest(comparison, forest),
        folded("As a table", _sheet(by_name["differences"])),
        folded("Did more labels help?", _sheet(by_name["more-labels"])),
        element("h2", "Learning curves"),
        _curves(comparison, charts, look),
        _titled(by_name["areas"]),
        element("h2", "Win matrix"),
        _wins(comparison),
        _labels(comparison, by_name["labels-needed"]),
        _titled(by_name["stability"], _no_ranking(comparison)),
        _titled(by_name["rare-classes"], f"No class has less than {100 * comparison.options.rare_share:g} % of the points (--rare)."),
        *(folded(sheet.title, _sheet(sheet, heat=True)) for sheet in classes),
        _titled(by_name["cost"]),
        element("h2", "How this was computed"),
        *(element("p", words) for words in _method(comparison)),
        folded(f"The {counted(sum(len(line.runs) for panel in comparison.panels for line in panel.lines), 'run')}", _runs(comparison)),
        element("p", f"Tables as CSV and LaTeX, and figures as PNG, lie beside this page in {beside}/.", class_="note"),
    )


def _chips(comparison: Comparison) -> Safe:
    lines = [line for panel in comparison.panels for line in panel.lines]
    seeds = sorted({seed for panel in comparison.panels for seed in panel.seeds})
    rngs = sorted({int(block[1]) for line in lines for block in line.blocks})
    full = sum(len(panel.full) for panel in comparison.panels)
    entries = {
        "data sets": ", ".join(panel.dataset for panel in comparison.panels),
        "methods": str(len(comparison.methods)),
        "seeds": ", ".join(seeds),
        "rng": ", ".join(map(str, rngs)),
        "blocks of a method": _span([len(line.blocks) for line in lines]),
        "rounds": _span([len(run.records) for line in lines for run in line.runs.values()]),
        "runs": f"{sum(len(line.runs) for line in lines)}{f' and {full} fully supervised' if full else ''}",
    }
    return element("ul", *(element("li", element("b", key), value) for key, value in entries.items()), class_="chips")


def _span(counts: Sequence[int]) -> str:
    return str(min(counts)) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"


def _findings(comparison: Comparison) -> Safe:
    """Where more labels did not help; a sentence per method, its mark that of the best verdict it has anywhere; what the study is too small for."""
    items = []
    for method, words in sentences(comparison).items():
        kind = headline(comparison.of(method), comparison.options.level)
        items.append(
            element("li", Safe(f'<span class="mark" aria-hidden="true">{MARKS[kind]}</span>'), element("b", method), f" {_unbroken(words)}.", class_=kind)
        )
    helped = [element("div", words, class_="card warning") for words in gain_notes(comparison)]
    if not items:
        return join([*helped, element("p", "Only random selection was given: there is nothing to compare it with.")])
    notes = [element("div", words, class_="card warning") for words in reach_notes(comparison)]
    if all(outcome.difference is None for outcome in comparison.outcomes):
        words = "Nothing could be compared with random: run acquire=random with the same unit, budget, seed and rng, and give those folders too."
        return join([*helped, element("ul", *items, class_="findings"), element("div", words, class_="card warning")])
    share = f"{100 * (1 - comparison.options.level):g}"
    note = f"Numbers: difference of area under the budget curve to random, in points of mIoU, with its {share} % interval."
    return join([*helped, element("ul", *items, class_="findings"), *notes, element("p", note, class_="note")])


def _unbroken(words: str) -> str:
    """The same words, differences and their intervals without a place to break a line."""
    return re.sub(r"\S+ \[[^]]*\]", lambda found: found[0].replace(" ", "\u00a0"), words)


def _warnings(comparison: Comparison) -> Safe:
    words = []
    for panel in comparison.panels:
        words += [f"{panel.dataset}: {remark}" for remark in panel.remarks]
        words += [f"{panel.dataset}, protocols were mixed (--allow-mixed); {difference}" for difference in panel.otherwise]
    cards: list[Content] = [element("div", word, class_="card warning") for word in words]
    if comparison.left_out:
        cards.append(element("div", "Left out:", element("ul", *(element("li", word) for word in grouped(comparison.left_out))), class_="card warning"))
    return join(cards)


def _forest(comparison: Comparison, forest: str | None) -> list[Safe]:
    if forest is None:
        return [element("p", "No method could be compared with random.")]
    return [element("div", Safe(forest), class_="card chart wide"), element("p", _forest_note(comparison), class_="note")]


def _forest_note(comparison: Comparison) -> str:
    level = comparison.options.level
    few = any(outcome.verdict(level) == "untested" for outcome in comparison.outcomes)
    words = f"Lines: {100 * (1 - level):g} % intervals, each for itself. Filled and bold: p < {level:g} in a sign-flip test after Holm's correction for the "
    words += "methods of its data set; the p beside a line is the corrected one, so an interval can leave out 0 where p is not small."
    words += f" With fewer than {LEAST_BLOCKS} blocks (seed method, rng) there is no p-value." if few else ""
    alone = [outcome for outcome in comparison.outcomes if outcome.difference is None]
    words += f" Not drawn, since there is no random to compare with: {', '.join(f'{one.method} on {one.dataset}' for one in alone)}." if alone else ""
    return words


def _labels(comparison: Comparison, sheet: Sheet) -> Safe:
    """The table of labels needed, or how to get what it needs."""
    if any(panel.full for panel in comparison.panels):
        return _titled(sheet)
    words = (
        "No fully supervised run was given, so it is not known what 100 % is. Train one with the command of one of these runs and seed=all rounds.n=1, better "
        "three with other rng (in a study's file: full: [1, 2, 3]), and give their folders too."
    )
    return join([element("h2", sheet.title), element("p", words)])


def _axes(comparison: Comparison) -> list[Axis]:
    found: dict[str, Axis] = {}
    for panel in comparison.panels:
        for axis in panel.axes:
            found.setdefault(axis.key, axis)
    order = [axis.key for axis in max((panel.axes for panel in comparison.panels), key=len)]
    return sorted(found.values(), key=lambda axis: order.index(axis.key))


def _layouts(comparison: Comparison) -> list[str]:
    found = {layout for panel in comparison.panels for layout in layouts_of(panel)}
    return [layout for layout in LAYOUTS if layout in found]


def _switch_style(axes: Sequence[Axis], layouts: Sequence[str]) -> str:
    """What makes the buttons work without a script: a checked input shows its view and marks its label."""
    shows = [f"#axis-{axis.key}:checked ~ #layout-{layout}:checked ~ .view.{axis.key}.{layout}" for axis in axes for layout in layouts]
    inputs = [*(f"axis-{axis.key}" for axis in axes), *(f"layout-{layout}" for layout in layouts)]
    marked = ", ".join(f'#{name}:checked ~ .bar label[for="{name}"]' for name in inputs)
    focused = ", ".join(f'#{name}:focus-visible ~ .bar label[for="{name}"]' for name in inputs)
    return (
        f"{', '.join(shows)} {{ display: grid; }}\n"
        f"{marked} {{ border-color: var(--accent); color: var(--accent); font-weight: 600; }}\n"
        f"{focused} {{ outline: 2px solid var(--accent); }}\n"
        f"@media print {{ .bar {{ display: none; }} }}\n"
    )


def _curves(comparison: Comparison, charts: Charts, look: Mapping[str, Look]) -> Safe:
    axes, layouts = _axes(comparison), _layouts(comparison)
    inputs = [_radio("axis", axis.key, place == 0) for place, axis in enumerate(axes)]
    inputs += [_radio("layout", layout, place == 0) for place, layout in enumerate(layouts)]
    bars: list[Content] = [_bar("over", "axis", {axis.key: axis.title for axis in axes})]
    if len(layouts) > 1:
        bars.append(_bar("charts", "layout", {layout: LAYOUTS[layout] for layout in layouts}))
    views = [_view(comparison, charts, axis, layout) for axis in axes for layout in layouts]
    keys = [element("li", _key(look[name]), name) for name in comparison.methods]
    missing = [panel.dataset for panel in comparison.panels if "square_metres" not in {axis.key for axis in panel.axes}]
    note = "Points: a round's mean cost and mean mIoU over runs; band: one standard deviation over runs"
    many = [panel.dataset for panel in comparison.panels if len(panel.lines) > MOST_BANDS]
    note += f" (with more than {MOST_BANDS} methods only in the charts method by method)." if many else "."
    note += " Dashed, with crosses: what the papers print for the setting, in the colour of its method." if _printed(comparison) else ""
    note += " Clicks: one per class in a bought unit, an estimate."
    note += f" Labelling time is {comparison.options.seconds_per_click:g} s a click: stated (--seconds-per-click), not measured."
    note += f" Square metres are not recorded on {', '.join(missing)}, and without dataset.grid they cannot be estimated." if missing else ""
    return join(
        [
            element("div", *inputs, *bars, element("ul", *keys, class_="keys"), *views, class_="switch"),
            element("p", note, class_="note"),
        ]
    )


def _printed(comparison: Comparison) -> bool:
    runs = [run for panel in comparison.panels for line in panel.lines for run in line.runs.values()]
    return any(curves_for(run.identity, run.records[0].purchase.base_points) for run in runs)


def _radio(group: str, key: str, checked: bool) -> Safe:
    return Safe(f'<input type="radio" name="{group}" id="{group}-{key}"{" checked" if checked else ""}>')


def _bar(title: str, group: str, names: Mapping[str, str]) -> Safe:
    return element("div", element("b", title), *(element("label", words, for_=f"{group}-{key}") for key, words in names.items()), class_="bar")


def _view(comparison: Comparison, charts: Charts, axis: Axis, layout: str) -> Safe:
    cards = []
    for panel in comparison.panels:
        svg = charts.get((panel.dataset, axis.key, layout)) or charts.get((panel.dataset, axis.key, POOLED))
        if svg is None:
            cards.append(element("div", f"{panel.dataset}: {axis.title} not recorded", class_="card muted"))
        else:
            cards.append(element("div", Safe(svg), class_="card chart", style=_widths(panel, layout)))
    return element("div", *cards, class_=f"view {axis.key} {layout}")


def _widths(panel: Panel, layout: str) -> str:
    """How narrow and how wide a row of charts may be."""
    charts = len(panel.seeds) if layout == BY_SEED else sum(not line.baseline for line in panel.lines)
    columns = max(1, min(charts, COLUMNS))
    return f"--least:{CHART * columns}px;--most:{max(2, columns) * CHART * 3 // 2}px"


def _key(look: Look) -> Safe:
    """A short line with a method's colour and marker, drawn as its curve is."""
    shapes = {
        "o": '<circle cx="15" cy="7" r="3.6"/>',
        "s": '<rect x="11.6" y="3.6" width="6.8" height="6.8"/>',
        "D": '<path d="M15 2.4 19.6 7 15 11.6 10.4 7Z"/>',
        "^": '<path d="M15 2.6 19.4 10.6 10.6 10.6Z"/>',
        "v": '<path d="M15 11.4 19.4 3.4 10.6 3.4Z"/>',
        "P": '<path d="M13.5 3h3v2.5h2.5v3h-2.5v2.500h-3v-2.500h-2.500v-3h2.500z"/>',
        "X": '<path d="M11 4.500 12.500 3 15 5.500 17.500 3 19 4.500 16.500 7 19 9.500 17.500 11 15 8.500 12.500 11 11 9.500 13.500 7Z"/>',
    }
    line = '<line x1="1" y1="7" x2="29" y2="7" stroke-width="2.4"/>'
    colour = html.escape(look.colour)
    return Safe(f'<svg width="30" height="14" fill="{colour}" stroke="{colour}" stroke-width="0" aria-hidden="true">{line}{shapes[look.marker]}</svg>')


def _no_ranking(comparison: Comparison) -> str:
    refused = unranked(comparison)
    if refused:
        return f"There is no ranking: more labels did not help random on {', '.join(refused)}."
    return "There is no ranking: no two methods of one budget share two blocks."


def _wins(comparison: Comparison) -> Safe:
    wins, refused = pooled_wins(comparison), unranked(comparison)
    left_out = f" Left out, since more labels did not help there: {', '.join(refused)}; wins.csv has their blocks." if refused else ""
    names = [name for name in comparison.methods if any(name in pair for pair in wins)]
    if len(names) < 2:
        return element("p", f"There are no two methods with a block in common.{left_out}")
    rows = []
    for one in names:
        cells = [element("th", one, scope="row")]
        for other in names:
            won, count = wins.get((one, other), (0.0, 0))
            cells.append(_heat(f"{won:g} / {count}", 2 * won / count - 1) if count else element("td", "–" if one != other else ""))
        rows.append(element("tr", *cells))
    head = element("thead", element("tr", element("th", "beats", scope="col"), *(element("th", name, scope="col") for name in names)))
    note = "Blocks, over all data sets, in which the method of the row has a larger area than that of the column; a tie is one half. Units may differ."
    note += left_out
    table = element("table", head, element("tbody", *rows), class_=f"matrix{' upright' if len(names) > UPRIGHT else ''}")
    return join([element("div", table, class_="card"), element("p", note, class_="note")])


def _heat(words: str, strength: float) -> Safe:
    """A cell on blue (1) to red (-1); the words carry the meaning."""
    colour = "36,87,197" if strength > 0 else "209,73,91"
    return element("td", words, style=f"background:rgba({colour},{min(1.0, abs(strength)) * 0.42:.2f})")


def _titled(sheet: Sheet, otherwise: str = "") -> Safe:
    """A table under its title, or words where it has no row."""
    return join([element("h2", sheet.title), _sheet(sheet) if sheet.rows else element("p", otherwise)])


def _sheet(sheet: Sheet, heat: bool = False) -> Safe:
    """A table on a card, its note below; with `heat` the signed columns are coloured, 10 points being the strongest."""
    used = [place for place, column in enumerate(sheet.columns) if place == 0 or any(_said(row[place], column) for row in sheet.rows)]
    words = {place for place in used if sheet.columns[place].digits is None and any(isinstance(row[place], str) for row in sheet.rows)}
    titles = ((sheet.columns[place].title, "text" if place in words else "") for place in used)
    head = element("thead", element("tr", *(element("th", title, scope="col", class_=kind) for title, kind in titles)))
    body, before = [], None
    for row in sheet.rows:
        repeated = row[0] == before and sheet.columns[0].key == "dataset"
        body.append(element("tr", *(_td(row[place], sheet.columns[place], heat, repeated and place == 0) for place in used)))
        before = row[0]
    table = element("div", element("table", head, element("tbody", *body)), class_="card")
    return join([table, element("p", sheet.note, class_="note") if sheet.note else ""])


def _td(cell: Cell, column: Column, heat: bool, repeated: bool) -> Safe:
    words = "" if repeated else shown(cell, column)
    if heat and column.signed and isinstance(cell, float) and not math.isnan(cell):
        return _heat(words, cell / 10)
    strong = column.key == "verdict" and cell in ("beats random", "worse than random")
    return element("td", words, class_=" ".join(_classes(cell, column, strong)))


def _classes(cell: Cell, column: Column, strong: bool) -> list[str]:
    return [*(["text"] if isinstance(cell, str) and column.digits is None else []), *(["strong"] if strong else [])]


def _said(cell: Cell, column: Column) -> bool:
    nothing = cell is None or (isinstance(cell, float) and math.isnan(cell))
    return not nothing and not (column.optional and cell == 0)


def _method(comparison: Comparison) -> list[str]:
    """What the numbers are, for a reader who wants to write about them."""
    options = comparison.options
    start = "from the first purchase on (round 1)" if options.start else "from the seed's round on"
    return [
        f"Area under the budget curve (AUBC): the trapezoid of mIoU over the labelled percentage {start}, on the budgets that all runs of a data set cover, "
        "divided by its width: a mean mIoU. "
        + ("The seed's round is left out because the methods share it there; with it, areas stand in the columns 'with round 0'." if options.start else ""),
        "A block is one seed method with one rng; a method and random are paired by blocks. The difference is the mean over seed methods of the mean "
        f"within each. The two-sided test exchanges the signs of the blocks' differences ({options.draws:,} keyed draws, or all patterns if fewer). "
        "Holm's correction counts the methods that were tested on a data set; over several data sets nothing is corrected. "
        f"Intervals: percentile bootstrap over blocks within each seed method, {options.draws:,} keyed draws, widened for few blocks. They and the test speak "
        "of other random seeds on the same data set and seed methods, not of other data sets.",
        "Whether methods can be ranked at all: the mIoU of random's last round minus that of its first, paired within blocks, must have a one-sided 95 % lower "
        "bound above 0 (Student's t on the stratified mean). Where it has not, no method is called better or worse, and none has a rank.",
        "Within a data set all runs have the same protocol: everything but seed, acquisition, rng and the number of rounds is equal.",
    ]


def _runs(comparison: Comparison) -> Safe:
    rows = [
        element("tr", *(element("td", words, class_="text") for words in (panel.dataset, line.name, seed, rng, str(len(run.records)), run.path.name)))
        for panel in comparison.panels
        for line in panel.lines
        for (seed, rng), run in line.runs.items()
    ]
    head = element("thead", element("tr", *(element("th", words, scope="col") for words in ("data set", "method", "seed", "rng", "rounds", "folder"))))
    return element("div", element("table", head, element("tbody", *rows)), class_="card")
