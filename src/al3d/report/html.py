"""One page about one run, that opens without a network: numbers, curves, pictures, configuration and how to run it again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from al3d.files import whole_file
from al3d.report.curves import class_curves, class_shares, learning_curve
from al3d.report.page import Content, Safe, chart, element, folded, join, page, picture, swatch, table
from al3d.report.pictures import Answer, Labels, Picture, Store, saved_pictures
from al3d.report.published import curves_for
from al3d.report.rounds import Purchase, RoundRecord, read_identity, read_purchases, read_rounds, write_summary
from al3d.report.table import change, counted, duration, judged_marks, percent, percent_label
from al3d.run import features_name
from al3d.types import ClassTable

PICTURE_NOTE = "The scenes with the most bought points of each round. Grey: not bought in that round; coloured: bought, in the colour of its class."
PUBLISHED_NOTE = "Dashed: what papers print for this data set, network and method; their training may differ from this run's (docs/experiments.md)."
#: The parts of the identity that the head of the page names.
PARTS = ("dataset", "seed", "acquire", "unit", "net", "learner", "rng")


def write_report(
    run: Path,
    store: Store,
    labels: Labels,
    answer: Answer,
    full_supervision: float | None = None,
    others: Mapping[str, Sequence[RoundRecord]] | None = None,
) -> Path:
    """Write `report.html`, whole or not at all, with `report.json`, `curve.csv` and `pictures/` beside it; return the page.

    `answer` is asked for bought points only. `full_supervision` 0..1 is the mIoU of the same network trained on everything;
    `others` are runs to compare with, drawn in grey. Works at any stage of the run, also before its first round is finished.
    Raises: ValueError naming a malformed file, or when the class table is not the run's.
    """
    write_summary(run, store.classes, full_supervision)
    pictures = {purchase.round: saved_pictures(run, store, labels, purchase.round, answer) for purchase in read_purchases(run)}
    text = _document(run, store.classes, pictures, full_supervision, others or {})
    with whole_file(run / "report.html") as temporary:
        temporary.write_text(text, encoding="utf-8")
    return run / "report.html"


def _document(
    run: Path,
    classes: ClassTable,
    pictures: Mapping[int, Sequence[Picture]],
    full_supervision: float | None,
    others: Mapping[str, Sequence[RoundRecord]],
) -> str:
    digest, identity = read_identity(run)
    records, purchases = read_rounds(run), read_purchases(run)
    names = {part: name for part in PARTS if (name := part_name(identity, part))}
    title = f"{names.get('dataset', run.name)}: {names.get('acquire', 'no acquisition')} after {names.get('seed', 'no')} seed"
    return page(
        title,
        element("h1", title),
        element("ul", *(element("li", element("b", part), name) for part, name in names.items()), class_="chips"),
        element("p", f"run {run.name}, identity {digest}", class_="note"),
        _numbers(records, full_supervision),
        _state(records, purchases),
        _curves(records, classes, full_supervision, others, curves_for(identity, purchases[0].base_points) if purchases else {}),
        _bought(purchases, classes, pictures),
        _configuration(run, identity),
    )


def part_name(identity: Mapping[str, Any], part: str) -> str | None:
    """How the identity names one of its parts: by `name`, by the end of `_target_`, or plainly; the unit is the acquisition's.

    A seed or method that chooses by features carries their name in brackets.
    """
    acquire = identity.get("acquire")
    value = acquire.get("unit") if part == "unit" and isinstance(acquire, Mapping) and "unit" in acquire else identity.get(part)
    if isinstance(value, Mapping):
        features = features_name(dict(value))
        value = value.get("name") or str(value.get("_target_", "")).rpartition(".")[2] or None
        value = f"{value} ({features})" if features else value
    return None if value is None else str(value)


def _numbers(records: Sequence[RoundRecord], full_supervision: float | None) -> Safe:
    if not records:
        return Safe("")
    last = records[-1]
    bought = [record.purchase for record in records]
    cards = [
        (
            ", ".join(filter(None, ("final mIoU", last.chosen_on, last.judged_words))) if last.judged else last.judged_words,
            f"{100 * last.miou:.1f} %" if last.judged else "-",
        ),
        *([("mIoU of the last checkpoint", f"{100 * last.last_miou:.1f} %")] if last.chosen_on and last.last_miou is not None else []),
        ("labelled", f"{percent_label(last.labelled_percent)} %"),
        *([("of full supervision", f"{100 * last.miou / full_supervision:.1f} %")] if full_supervision and last.judged_on == "val" else []),
        ("points labelled", f"{last.labelled_points:,}"),
        ("units bought", f"{sum(purchase.units for purchase in bought):,}"),
        ("clicks, estimated", f"{sum(purchase.clicks for purchase in bought):,}"),
        ("time", duration(sum(record.seconds for record in records))),
    ]
    boxes = [[element("div", value, class_="value"), element("div", label, class_="label")] for label, value in cards]
    return element("div", *(element("div", *box, class_="number") for box in boxes), class_="numbers")


def _state(records: Sequence[RoundRecord], purchases: Sequence[Purchase]) -> Safe:
    """A line for a run that is still on its way."""
    waiting = [purchase.round for purchase in purchases if purchase.round not in {record.round for record in records}]
    if records and not waiting:
        return Safe("")
    words = f"Bought, but not trained yet: round {', '.join(map(str, waiting))}." if waiting else "Nothing was bought yet."
    return element("div", words, " Run the same command again to go on from here." if waiting or not records else "", class_="card warning")


def _curves(
    records: Sequence[RoundRecord],
    classes: ClassTable,
    full_supervision: float | None,
    others: Mapping[str, Sequence[RoundRecord]],
    published: Mapping[str, Sequence[tuple[float, float]]],
) -> Safe:
    if not records:
        return Safe("")
    judged = [record for record in records if record.judged]
    return join(
        [
            element("h2", "Learning curve"),
            chart(learning_curve(judged, full_supervision, others, published)) if judged else "",
            *(element("p", mark.removeprefix("; "), class_="note") for mark in judged_marks(records)),
            element("p", PUBLISHED_NOTE, class_="note") if published else "",
            element("h2", "Rounds"),
            _rounds_table(records),
            *([element("h2", "IoU of each class"), chart(class_curves(judged, classes))] if judged else []),
            folded("As a table", _iou_table(judged, classes)) if judged else "",
        ]
    )


def _rounds_table(records: Sequence[RoundRecord]) -> Safe:
    head = ("round", "bought by", "labelled %", "points", "units", "scenes", "clicks", "mIoU %", "gain", "accuracy %", "loss", "time")
    rows = [
        (
            str(record.round),
            f"{bought.name} ({bought.unit})",
            percent_label(record.labelled_percent),
            *(f"{count:,}" for count in (bought.points, bought.units, bought.scenes, bought.clicks)),
            percent(record.miou),
            change(record.miou, previous.miou if previous else None),
            percent(record.accuracy),
            f"{record.loss:.3g}",
            duration(record.seconds),
        )
        for record, previous, bought in zip(records, [None, *records], [record.purchase for record in records], strict=False)
    ]
    note = "Points, units, scenes and clicks are what the round bought; clicks are an estimate; loss is that of training. More in curve.csv and report.json."
    return join([table(head, rows), element("p", note, class_="note")])


def _iou_table(records: Sequence[RoundRecord], classes: ClassTable) -> Safe:
    head = ("class, IoU in %", *(f"round {record.round}" for record in records))
    named = zip(classes.names, classes.colors, strict=True)
    rows = [(join([swatch(color), name]), *(percent(record.iou[index]) for record in records)) for index, (name, color) in enumerate(named)]
    return table(head, [*rows, ("mean", *(percent(record.miou) for record in records))])


def _bought(purchases: Sequence[Purchase], classes: ClassTable, pictures: Mapping[int, Sequence[Picture]]) -> Safe:
    if not purchases:
        return Safe("")
    unknown = sum(purchase.unknown_points for purchase in purchases)
    items = [element("li", swatch(color), name) for name, color in zip(classes.names, classes.colors, strict=True)]
    return join(
        [
            element("h2", "What was bought"),
            chart(class_shares(purchases, classes)),
            element("p", f"{counted(unknown, 'bought point')} without a class left out.", class_="note") if unknown else "",
            element("h2", "Where it was bought"),
            element("p", PICTURE_NOTE, class_="note"),
            element("ul", *items, class_="legend"),
            *(part for purchase in purchases for part in _round_pictures(purchase, pictures.get(purchase.round, ()))),
        ]
    )


def _round_pictures(purchase: Purchase, pictures: Sequence[Picture]) -> list[Content]:
    if not pictures:
        return []
    role = "seed" if purchase.round == 0 else f"round {purchase.round}"
    title = f"{role[0].upper()}{role[1:]}: {purchase.name} bought {counted(purchase.units, 'unit')} ({purchase.unit}) in {counted(purchase.scenes, 'scene')}"
    shown = (picture(drawn.png, f"{drawn.scene}: {counted(drawn.points, 'bought point')}") for drawn in pictures)
    return [element("h3", title), element("div", *shown, class_="pictures")]


def _configuration(run: Path, identity: Mapping[str, Any]) -> Safe:
    again = f"python train.py --config-path outputs/{run.name} --config-name config hydra.run.dir=. hydra.output_subdir=null"
    starts = _text(run / "execution.jsonl").splitlines()
    return join(
        [
            element("h2", "Configuration"),
            folded("What defines this run", element("pre", json.dumps(identity, indent=2, ensure_ascii=False))),
            folded("Full configuration (config.yaml)", element("pre", _text(run / "config.yaml"))),
            folded(f"Executions: {counted(len(starts), 'start')}", element("pre", "\n".join(starts))) if starts else "",
            _devices(starts),
            element("h2", "Run it again"),
            element(
                "p", "From the root of the repository. Finished rounds are kept, so the command goes on where the run stopped; add rng=2 for another draw."
            ),
            element("pre", again),
        ]
    )


def _devices(starts: Sequence[str]) -> Safe:
    """A warning when parts of the run were made on another number of devices: its bits then depend on where it stopped."""
    used = sorted({tuple(str(values.get(key, 1)) for key in ("devices", "num_nodes")) for values in map(_values, starts) if values})
    if len(used) < 2:
        return Safe("")
    words = "; ".join(f"{devices} devices x {nodes} nodes" for devices, nodes in used)
    warning = f"This run was continued on another number of devices ({words}): a run made in one piece may differ in its last digits."
    return element("div", warning, class_="card warning")


def _values(line: str) -> dict[str, Any]:
    """The object of one line; a line cut off when the process was killed counts as empty, its text is shown all the same."""
    try:
        values = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return values if isinstance(values, dict) else {}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
