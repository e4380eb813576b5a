"""Tables for the terminal and the log file: one after each round, one at the end. Readable without colour."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from al3d.data.draw import unlike
from al3d.report.rounds import RoundRecord, check_classes
from al3d.types import ClassTable

#: Classes beyond this number stand in two blocks side by side.
ONE_BLOCK = 8
NAME_WIDTH = 20
TABLE_WIDTH = 98


def round_table(record: RoundRecord, classes: ClassTable, previous: RoundRecord | None = None) -> Table:
    """The table of one round: IoU and bought points per class, at most 98 columns wide, with or without a terminal.

    `previous` adds the change of each IoU, in percent points. `+` and the class names carry the meaning, colour none of it.
    Raises: ValueError when the class table does not fit the record.
    """
    check_classes(record, classes)
    rows = [_class_cells(record, classes, previous, index) for index in range(len(classes))]
    blocks = 1 if len(rows) <= ONE_BLOCK else 2
    height = -(-len(rows) // blocks)
    table = _table(_title(record, previous), "\n".join([_caption(record), *unlike_labels(record, classes)]))
    for block in range(blocks):
        _class_columns(table, first=block == 0)
    for index in range(height):
        parts = [rows[at] if at < len(rows) else _BLANK for at in range(index, height * blocks, height)]
        table.add_row(*(Text(cell) for part in parts for cell in part))
    table.width = TABLE_WIDTH if blocks == 2 else TABLE_WIDTH - 24
    return table


def curve_table(records: Sequence[RoundRecord]) -> Table:
    """One row per round: how much is labelled, what it cost, how good the network is. At most 98 columns wide."""
    marks = [*sorted({f"; {record.chosen_on}" for record in records if record.chosen_on}), *judged_marks(records)]
    table = _table("Rounds", f"clicks: an estimate; gain: percent points of mIoU over the round before{''.join(marks)}")
    for name in ("round", "labelled %", "points", "units", "scenes", "clicks", "mIoU %", "gain", "accuracy %", "time"):
        table.add_column(name, justify="right", no_wrap=True)
    for record, previous in zip(records, [None, *records], strict=False):
        bought = record.purchase
        table.add_row(
            str(record.round),
            percent_label(record.labelled_percent),
            *(f"{count:,}" for count in (record.labelled_points, bought.units, bought.scenes, bought.clicks)),
            percent(record.miou),
            change(record.miou, previous.miou if previous else None),
            percent(record.accuracy),
            duration(record.seconds),
        )
    table.width = TABLE_WIDTH
    return table


def judged_marks(records: Sequence[RoundRecord]) -> list[str]:
    """What a table says where scores are not of the validation split; nothing where they are."""
    held = [str(record.held) for record in records if record.judged_on == "held_answers"]
    unjudged = [str(record.round) for record in records if not record.judged]
    words = [f"; mIoU on held answers alone ({', '.join(held)} of them)"] if held else []
    return [*words, f"; round {', '.join(unjudged)} not judged"] if unjudged else words


def percent_label(percent: float) -> str:
    """A percentage with three meaningful digits: 0.0123, 1.25, 12.5, 100."""
    if percent == 0:
        return "0"
    decimals = 2
    for limit, places in ((0.001, 6), (0.01, 5), (0.1, 4), (1.0, 3)):
        if percent < limit:
            decimals = places
            break
    return f"{percent:.{decimals}f}"


def duration(seconds: float) -> str:
    """Seconds as a person says them: 8 s, 3 min 20 s, 2 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def change(now: float | None, before: float | None) -> str:
    """The difference of two fractions in percent points, with its sign; empty when one is not known."""
    return "" if now is None or before is None or math.isnan(now - before) else f"{100 * (now - before):+.1f}"


def percent(fraction: float | None) -> str:
    """A fraction as percent with one decimal; a hyphen when it is not known."""
    return "-" if fraction is None or math.isnan(fraction) else f"{100 * fraction:.1f}"


_BLANK = ("", "", "", "", "")


def _table(title: str, caption: str) -> Table:
    return Table(
        title=Text(title, style="bold"),
        caption=Text(caption, style="dim"),
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1),
    )


def _class_columns(table: Table, first: bool) -> None:
    table.add_column("class" if first else "| class", no_wrap=True, overflow="ellipsis", ratio=1)
    for name, width in (("IoU %", 5), ("+/-", 5), ("bought", 9), ("share %", 7)):
        table.add_column(name, justify="right", no_wrap=True, min_width=width)


def _class_cells(record: RoundRecord, classes: ClassTable, previous: RoundRecord | None, index: int) -> tuple[str, ...]:
    bought = record.purchase
    name = classes.names[index]
    before = previous.iou[index] if previous else None
    return (
        name if len(name) <= NAME_WIDTH else name[: NAME_WIDTH - 1] + ".",
        percent(record.iou[index]),
        change(record.iou[index], before),
        f"{bought.class_points[index]:,}",
        percent(bought.shares[index]) if bought.class_points[index] else "-",
    )


def _title(record: RoundRecord, previous: RoundRecord | None) -> str:
    gain = change(record.miou, previous.miou if previous else None)
    miou = f"mIoU {percent(record.miou)} %{f' ({gain})' if gain else ''}"
    chosen = f"\n{record.chosen_on}; the last checkpoint: mIoU {percent(record.last_miou)} %" if record.chosen_on else ""
    scores = (
        f"{miou}, accuracy {percent(record.accuracy)} %{f', {record.judged_words}' if record.judged_words else ''}" if record.judged else record.judged_words
    )
    return f"Round {record.round}: {percent_label(record.labelled_percent)} % labelled, {scores}{chosen}"


def _caption(record: RoundRecord) -> str:
    """Two or three lines, broken here: the console may not wrap."""
    bought = record.purchase
    role = "seed" if record.round == 0 else "acquisition"
    where = f"{counted(bought.units, 'unit')} ({bought.unit}) in {counted(bought.scenes, 'scene')}, about {counted(bought.clicks, 'click')}"
    spent = f"buying {duration(bought.seconds)}, training {duration(record.train_seconds)}, testing {duration(record.test_seconds)}"
    lines = [
        f"{role} {bought.name} bought {bought.points:,} points: {where}",
        f"{f'{record.steps:,} steps' if record.rows is None else f'{record.rows:,} labelled voxels'}, loss {record.loss:.4g}; {spent}",
    ]
    if bought.unknown_points:
        lines.append(f"{bought.unknown_points:,} bought points have no class; the shares leave them out")
    return "\n".join(lines)


def unlike_labels(record: RoundRecord, classes: ClassTable) -> list[str]:
    """Lines of warning where what training saw is not what the labels say, the worst class first; at most three."""
    pairs = [(record.seen_shares[number], record.labelled_shares[number], number) for number in unlike(record.seen_shares, record.labelled_shares)]
    worst = sorted(pairs, key=lambda pair: min(pair[:2]) / max(pair[:2]))[:3]
    lines = [f"training saw {classes.names[number]} as {percent(seen)} % of its labels, {percent(own)} % they are" for seen, own, number in worst]
    return [*lines, "  learner.draw=labels learner.draw_exponent=1 lets it see the labels as they are"] if lines else []


def counted(count: int, noun: str) -> str:
    """A number with its noun: 1 scene, 2 scenes."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
