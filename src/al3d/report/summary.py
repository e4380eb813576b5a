"""What loggers show of a run, read from its files alone: names, tags, values of a round, tables, pictures, training curves."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from al3d.data.earlier import find_store
from al3d.files import read_json
from al3d.report.html import part_name
from al3d.report.legend import below, legend
from al3d.report.results import method_name
from al3d.report.rounds import Purchase, RoundRecord, finite, read_identity, read_purchases, read_rounds
from al3d.types import U8

#: The parts of the identity that tags name.
TAGGED = ("dataset", "seed", "acquire", "unit", "net", "rng")
#: The longest tag that W&B takes.
TAG_LENGTH = 64
Table = tuple[list[str], list[list[Any]]]
Values = dict[str, float]


@dataclass(frozen=True)
class LoggedRun:
    """A run folder's finished rounds and purchases; `classes` are the names of the classes, in the order of the labels.

    `data`: the folder of prepared data sets, None for the one that config.yaml names.
    """

    folder: Path
    hash: str
    identity: Mapping[str, Any]
    classes: tuple[str, ...]
    records: tuple[RoundRecord, ...]
    purchases: tuple[Purchase, ...]
    data: Path | None = None

    @cached_property
    def config(self) -> dict[str, Any]:
        """The full configuration, config.yaml; what defines the run where that file is missing."""
        file = self.folder / "config.yaml"
        return dict(yaml.safe_load(file.read_text(encoding="utf-8"))) if file.is_file() else dict(self.identity)

    @cached_property
    def legend(self) -> U8 | None:
        """The colours of the classes in pictures, u8[H,W,3]; None where the prepared data set is not there to say them."""
        try:
            classes = find_store(self.folder, self.data).classes
        except FileNotFoundError:
            return None
        return legend(classes)

    @property
    def method(self) -> str:
        """What runs of one method share: acquisition and unit, and the seed where it is not random."""
        return method_name(self.identity)

    @property
    def dataset(self) -> str:
        """The data set's name, which is the name of the study unless another is given."""
        return part_name(self.identity, "dataset") or "al3d"


def read_run(folder: Path, classes: Sequence[str] | None = None, data: Path | None = None) -> LoggedRun:
    """Read a run folder, finished or not. `classes`: the names, where they are known; `data`: the folder of prepared data sets.

    Without `classes` they come from report.json, or else from the prepared data set.
    Raises: FileNotFoundError without the folder, or when nothing says what the classes are called; ValueError naming a malformed file.
    """
    digest, identity = read_identity(folder)
    records, purchases = tuple(read_rounds(folder)), tuple(read_purchases(folder))
    names = tuple(classes) if classes is not None else class_names(folder, data)
    for purchase in purchases:
        if len(purchase.class_points) != len(names):
            raise ValueError(f"{folder}: purchase {purchase.round} speaks of {len(purchase.class_points)} classes, but {len(names)} names are known")
    return LoggedRun(folder, digest, identity, names, records, purchases, data)


def read_head(folder: Path) -> LoggedRun:
    """What defines a run, without its rounds. Raises: ValueError naming a malformed file."""
    digest, identity = read_identity(folder)
    return LoggedRun(folder, digest, identity, (), (), ())


def class_names(folder: Path, data: Path | None = None) -> tuple[str, ...]:
    """The names of a run's classes: from report.json, or else from the prepared data set. Raises: FileNotFoundError when neither is there."""
    report = folder / "report.json"
    return tuple(read_json(report)["classes"]) if report.is_file() else tuple(find_store(folder, data).classes.names)


def tags_of(identity: Mapping[str, Any]) -> list[str]:
    """`part:name` for data set, seed, acquisition, unit, network and random seed, at most 64 characters each."""
    named = ((part, part_name(identity, part)) for part in TAGGED)
    return [f"{part}:{name}"[:TAG_LENGTH] for part, name in named if name]


def first_step(records: Sequence[RoundRecord], round_index: int) -> int:
    """The optimiser steps of all rounds before `round_index`."""
    return sum(record.steps for record in records if record.round < round_index)


def round_values(run: LoggedRun, record: RoundRecord) -> Values:
    """What loggers draw of a finished round, by name: fractions 0..1, percent where the name says so, counts of what the round bought."""
    bought = record.purchase
    values: Values = {
        "round": record.round,
        "curve/labelled_percent": record.labelled_percent,
        "curve/labelled_points": record.labelled_points,
        "curve/miou": record.miou,
        "curve/accuracy": record.accuracy,
        "curve/clicks": sum(purchase.clicks for purchase in run.purchases if purchase.round <= record.round),
    }
    values = {name: value for name, value in values.items() if math.isfinite(value)}  # a round that was not judged has no score
    values |= {f"iou/{name}": value for name, value in zip(run.classes, record.iou, strict=True) if value is not None}
    values |= {"bought/points": bought.points, "bought/units": bought.units, "bought/scenes": bought.scenes, "bought/clicks": bought.clicks}
    values |= {f"bought_share/{name}": share for name, share in zip(run.classes, bought.shares, strict=True)}
    guessed = read_json(run.folder / f"round-{record.round:02d}" / "metrics.json").get("pseudo") or {}
    return values | {f"pseudo/{key}": guessed[key] for key in ("points", "accuracy") if guessed.get(key) is not None}


def final_values(run: LoggedRun) -> dict[str, float | int]:
    """The run in a few numbers: the last round's, and the area under the learning curve where it is one; empty without a finished round."""
    if not run.records:
        return {}
    last, area = run.records[-1], area_under(run.records)
    values: dict[str, float | int] = {
        "final/round": last.round,
        "final/miou": last.miou,
        "final/labelled_percent": last.labelled_percent,
        "final/labelled_points": last.labelled_points,
        "final/clicks": sum(record.purchase.clicks for record in run.records),
    }
    values |= {} if area is None else {"final/area_under_curve": area}
    values = {name: value for name, value in values.items() if math.isfinite(value)}
    return values | {f"final/iou/{name}": value for name, value in zip(run.classes, last.iou, strict=True) if value is not None}


def area_under(records: Sequence[RoundRecord]) -> float | None:
    """The mean mIoU 0..1 over the labelled percentages from the first to the last round, joined by straight lines; None for a single amount."""
    if not all(record.judged for record in records):
        return None
    span = records[-1].labelled_percent - records[0].labelled_percent
    if span <= 0:
        return None
    pairs = zip(records, records[1:], strict=False)
    return math.fsum((after.labelled_percent - before.labelled_percent) * (before.miou + after.miou) / 2 for before, after in pairs) / span


def iou_table(run: LoggedRun) -> Table:
    """(head, rows): a row per finished round with labelled percent, mIoU and the IoU of each class 0..1, None where the test has none."""
    head = ["round", "labelled_percent", "miou", *run.classes]
    return head, [[record.round, record.labelled_percent, finite(record.miou), *record.iou] for record in run.records]


def purchase_table(run: LoggedRun) -> Table:
    """(head, rows): a row per purchase, those no round was trained on included, with the bought points of each class."""
    head = ["round", "name", "unit", "units", "scenes", "points", "clicks", "spent_percent", *(f"points_{name}" for name in run.classes)]
    rows = [[one.round, one.name, one.unit, one.units, one.scenes, one.points, one.clicks, one.spent_percent, *one.class_points] for one in run.purchases]
    return head, rows


def training_curve(run: Path, round_index: int) -> list[tuple[int, Values]]:
    """(step within the round, values) of what training logged, in order; of steps that several starts made, the last start's."""
    found: dict[int, Values] = {}
    folder = run / f"round-{round_index:02d}" / "csv"
    for file in sorted(folder.glob("start-*/metrics.csv"), key=lambda file: int(file.parent.name.removeprefix("start-"))):
        with file.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                values = {key: float(value) for key, value in row.items() if key not in ("step", "epoch") and value and "/" not in key}
                if values and row.get("step"):
                    found[int(row["step"])] = values
    return sorted(found.items())


def pictures_of(run: Path, round_index: int) -> list[tuple[Path, str]]:
    """(file, caption) of the pictures that the report drew of what was bought before a round; empty before there is a report."""
    folder = run / "pictures" / f"round-{round_index:02d}"
    index = folder / "pictures.json"
    if not index.is_file():
        return []
    return [(folder / item["file"], f"round {round_index}, {item['scene']}: {item['points']:,} points bought") for item in read_json(index)["pictures"]]


def shown(run: LoggedRun, file: Path) -> U8:
    """A picture u8[H,W,3] as loggers show it: with the colours of the classes below, where they are known."""
    with Image.open(file) as image:
        picture = np.asarray(image.convert("RGB"))
    return picture if run.legend is None else below(picture, run.legend)


def labels_of(run: Path, round_index: int) -> list[Path]:
    """The folders labels-00 ... labels-RR, the label state that round RR trained on, with what the network guessed for that round."""
    folders = [run / f"labels-{index:02d}" for index in range(round_index + 1)]
    guessed = run / f"pseudo-{round_index:02d}"
    return [*folders, guessed] if guessed.is_dir() else folders
