"""The rounds of a run, read back from its folder: what was bought, and what the network trained on it could do."""

from __future__ import annotations

import csv
import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from al3d.files import whole_file, write_json
from al3d.report.fields import Fields
from al3d.types import ClassTable

#: What a fully supervised run may have different from the run that it is compared with.
FREE_KEYS = ("seed", "acquire", "pseudo", "rng")
#: Of `rounds`, what only says how much is bought: it means nothing to a run that buys everything at once.
FREE_ROUNDS = ("initial", "initial_per", "step", "base", "init", "checkpoint_every")
#: How a table marks scores of a checkpoint that was chosen; the first is too good to be true (docs/fidelity.md D-41).
CHOSEN_ON = {"val": "selects on the evaluation split", "bought_holdout": "selects on held-out bought labels"}
#: The name of the seed that buys everything.
ALL_SEED = "all"


@dataclass(frozen=True)
class Purchase:
    """What was bought before one round trained (`labels-RR/purchase.json`); round 0 is the seed.

    `class_points[i]`: bought points of class i; `unknown_points`: bought points without a class; `spent_points`: bought in all
    rounds so far; `base_points`: what the percentages divide by; `pool_class_points`: hidden classes of what could still be bought.
    """

    round: int
    name: str
    unit: str
    points: int
    units: int
    scenes: int
    clicks: int
    class_points: tuple[int, ...]
    unknown_points: int
    spent_points: int
    base_points: int
    pool_class_points: tuple[int, ...] | None
    seconds: float

    @property
    def shares(self) -> tuple[float, ...]:
        """The share 0..1 of each class among the bought points whose class is known."""
        return shares(self.class_points)

    @property
    def pool_shares(self) -> tuple[float, ...] | None:
        """The share 0..1 of each class among the purchasable points, or None when nobody knows it."""
        return None if self.pool_class_points is None else shares(self.pool_class_points)

    @property
    def spent_percent(self) -> float:
        """All points bought so far, in percent of the base."""
        return 100.0 * self.spent_points / self.base_points


@dataclass(frozen=True)
class RoundRecord:
    """One finished round: its purchase, and the network's test (`round-RR/metrics.json`).

    `miou`, `accuracy` and `iou` are fractions 0..1, None for a class that the test scenes do not have; `confusion` has the true
    class in rows; seconds are wall-clock, `predict_seconds` None when nothing was predicted. `select_on` says by what the judged checkpoint
    was chosen; `last_miou` is that of the last one, which `miou` is when nothing was chosen. `labelled_shares` and `seen_shares` are each class's share of
    the labels and of what training saw of them; empty where that is not known. `rows` is how many labelled voxels a probe
    learned from, None for a network, which counts steps. `judged_on` is val, held_answers (of `held` units that training did not see) or nothing: then `miou`
    and `accuracy` are NaN.
    """

    round: int
    purchase: Purchase
    labelled_points: int
    labelled_percent: float
    miou: float
    iou: tuple[float | None, ...]
    accuracy: float
    confusion: tuple[tuple[int, ...], ...]
    steps: int
    loss: float
    train_seconds: float
    test_seconds: float
    predict_seconds: float | None
    select_on: str = "none"
    last_miou: float | None = None
    labelled_shares: tuple[float, ...] = ()
    seen_shares: tuple[float, ...] = ()
    rows: int | None = None
    judged_on: str = "val"
    held: int = 0

    @property
    def judged(self) -> bool:
        """Whether there is a score."""
        return self.judged_on != "nothing"

    @property
    def judged_words(self) -> str:
        """What the scores are of; empty for the validation split."""
        held = f"{self.held} held {'answer' if self.held == 1 else 'answers'}"
        return {"held_answers": f"judged on {held}", "nothing": "not judged: no validation split with labels, and too few answers to hold some"}.get(
            self.judged_on, ""
        )

    @property
    def chosen_on(self) -> str:
        """A mark for tables: by what the judged checkpoint was chosen; empty for the last one."""
        return CHOSEN_ON.get(self.select_on, "")

    @property
    def seconds(self) -> float:
        """All of the round's time: buying, training, testing and predicting the pool."""
        return self.purchase.seconds + self.train_seconds + self.test_seconds + (self.predict_seconds or 0.0)


def shares(counts: Sequence[int]) -> tuple[float, ...]:
    """Counts divided by their sum; zeros when there is nothing."""
    total = sum(counts)
    return tuple(count / total if total else 0.0 for count in counts)


def shared_from(folder: Path) -> str | None:
    """The name of the run that the network in a round's folder was taken from, None where it was trained here. Raises: ValueError naming a malformed file."""
    for file in (folder / "shared.json", folder / "train.json"):
        if file.is_file() and not (fields := Fields.read(file)).absent("shared_from"):
            return fields.word("shared_from")
    return None


def read_rounds(run: Path) -> list[RoundRecord]:
    """The finished rounds of a run folder, in order; a round without `metrics.json` is not finished and is left out.

    Raises: FileNotFoundError without the folder; ValueError naming a malformed file, or the purchase that a tested round lacks.
    """
    purchases = {purchase.round: purchase for purchase in read_purchases(run)}
    records = []
    for round_, folder in _numbered(run, "round"):
        metrics = folder / "metrics.json"
        if not metrics.exists():
            continue
        if round_ not in purchases:
            missing = run / f"labels-{round_:02d}" / "purchase.json"
            raise ValueError(f"{metrics}: round {round_} was tested, but {missing} is missing: the run folder is incomplete")
        records.append(_record(Fields.read(metrics), purchases[round_]))
    return records


def read_compared(run: Path) -> list[RoundRecord]:
    """The rounds of a run that is compared with others. Raises: as `read_rounds`; ValueError for scores that are not of the validation split."""
    records = read_rounds(run)
    other = next((record for record in records if record.judged_on != "val"), None)
    if other is not None:
        raise ValueError(f"{run}: round {other.round} was {other.judged_words}: only scores on a validation split can be compared with other runs")
    return records


def read_purchases(run: Path) -> list[Purchase]:
    """All purchases of a run folder, in order, also those that no finished round has used yet. Raises: as `read_rounds`."""
    if not run.is_dir():
        raise FileNotFoundError(f"no run folder {run}")
    files = ((round_, folder / "purchase.json") for round_, folder in _numbered(run, "labels"))
    found = _answered(run, [_purchase(Fields.read(file), round_) for round_, file in files if file.exists()])
    lengths = sorted({len(purchase.class_points) for purchase in found})
    if len(lengths) > 1:
        raise ValueError(f"{run}: the rounds' purchase.json files speak of {lengths} classes; one run has one class table")
    return found


def _answered(run: Path, purchases: list[Purchase]) -> list[Purchase]:
    """The purchases with the classes that people had named by the last round that was trained; as they are where nobody was asked."""
    files = [file for purchase in purchases if (file := run / "answers" / f"frozen-{purchase.round:02d}.json").is_file()]
    if not files:
        return purchases
    said = [Fields(files[-1], one) for one in Fields.read(files[-1]).values["purchases"]]
    told = [
        replace(one, class_points=own.counts("class_points"), unknown_points=own.count("unknown_points")) for one, own in zip(purchases, said, strict=False)
    ]
    return [*told, *purchases[len(told) :]]


def read_identity(run: Path) -> tuple[str, dict[str, Any]]:
    """The hash and the nested configuration that define a run. Raises: ValueError naming a malformed file."""
    fields = Fields.read(run / "identity.json")
    return fields.word("hash"), dict(fields.inner("identity").values)


def find_full_supervision(run: Path) -> float | None:
    """The mean final mIoU (0..1) of the runs beside this one that bought everything and are else the same, or None.

    The same: an equal identity but for the seed, the acquisition, the random seed and how much a round buys. A run beside this one
    that cannot be read is left out with a warning.
    """
    wanted = _comparable(read_identity(run)[1])
    found = [miou for folder in sorted(run.parent.iterdir()) if (miou := _full_miou(folder, wanted)) is not None]
    return math.fsum(found) / len(found) if found else None


def write_summary(run: Path, classes: ClassTable, full_supervision: float | None = None) -> Path:
    """Write `report.json` (the whole run in one object) and `curve.csv` (one line per finished round); return the former."""
    records = read_rounds(run)
    digest, identity = read_identity(run)
    for record in records:
        check_classes(record, classes)
    write_json(
        run / "report.json",
        {
            "hash": digest,
            "identity": identity,
            "classes": list(classes.names),
            "full_supervision": full_supervision,
            "final": _final(records, full_supervision),
            "rounds": [_as_json(record) for record in records],
            "not_trained": [purchase.round for purchase in read_purchases(run) if purchase.round not in {record.round for record in records}],
        },
    )
    _write_curve(run / "curve.csv", records, classes)
    return run / "report.json"


def check_classes(record: RoundRecord, classes: ClassTable) -> None:
    """Refuse a class table of another length than the record's. Raises: ValueError."""
    if len(record.iou) != len(classes):
        raise ValueError(f"round {record.round} speaks of {len(record.iou)} classes, the class table of {len(classes)}: the run belongs to another data set")


def _numbered(run: Path, prefix: str) -> list[tuple[int, Path]]:
    """The folders `<prefix>-RR`, by number: from 100 on a sort by name would not do."""
    found = ((re.fullmatch(rf"{prefix}-(\d+)", folder.name), folder) for folder in run.iterdir())
    return sorted((int(match[1]), folder) for match, folder in found if match)


def _purchase(fields: Fields, round_: int) -> Purchase:
    _check_round(fields, round_)
    purchase = Purchase(
        round=round_,
        name=fields.word("name"),
        unit=fields.word("unit"),
        points=fields.count("points"),
        units=fields.count("units"),
        scenes=fields.count("scenes"),
        clicks=fields.count("clicks"),
        class_points=fields.counts("class_points"),
        unknown_points=fields.count("unknown_points"),
        spent_points=fields.count("spent_points"),
        base_points=fields.count("base_points"),
        pool_class_points=None if fields.absent("pool_class_points") else fields.counts("pool_class_points"),
        seconds=fields.number("seconds"),
    )
    if purchase.base_points == 0:
        raise ValueError(f"{fields.path}: 'base_points' is 0, so there is nothing to take a percentage of")
    if purchase.pool_class_points is not None and len(purchase.pool_class_points) != len(purchase.class_points):
        raise ValueError(f"{fields.path}: 'pool_class_points' has {len(purchase.pool_class_points)} classes, 'class_points' {len(purchase.class_points)}")
    return purchase


def _record(fields: Fields, purchase: Purchase) -> RoundRecord:
    _check_round(fields, purchase.round)
    seconds = fields.inner("seconds")
    record = RoundRecord(
        round=purchase.round,
        purchase=purchase,
        labelled_points=fields.count("labelled_points"),
        labelled_percent=fields.number("labelled_percent"),
        miou=_score(fields, "miou"),
        iou=fields.numbers("iou", 0.0, 1.0),
        accuracy=_score(fields, "accuracy"),
        confusion=fields.matrix("confusion"),
        steps=fields.count("steps"),
        loss=fields.any_number("loss"),
        train_seconds=seconds.number("train"),
        test_seconds=seconds.number("test"),
        predict_seconds=None if seconds.absent("predict") else seconds.number("predict"),
        select_on="none" if fields.absent("select_on") else fields.word("select_on"),
        last_miou=None if fields.absent("miou_of") or fields.inner("miou_of").absent("last") else fields.inner("miou_of").number("last", 0.0, 1.0),
        labelled_shares=_shares_of(fields, "labelled_shares"),
        seen_shares=_shares_of(fields, "seen_shares"),
        rows=None if fields.absent("rows") else fields.count("rows"),
        judged_on="val" if fields.absent("judged_on") else fields.word("judged_on"),
        held=0 if fields.absent("held") else fields.count("held"),
    )
    if not len(record.iou) == len(record.confusion) == len(purchase.class_points):
        lengths = f"{len(record.iou)} classes in 'iou', {len(record.confusion)} in 'confusion', {len(purchase.class_points)} in the purchase"
        raise ValueError(f"{fields.path}: {lengths}: the files are of different runs")
    return record


def _score(fields: Fields, key: str) -> float:
    """A score, NaN where the round says that it was not judged."""
    unjudged = fields.values.get("judged_on") == "nothing"
    return math.nan if unjudged and fields.absent(key) else fields.number(key, 0.0, 1.0)


def _shares_of(fields: Fields, key: str) -> tuple[float, ...]:
    return () if fields.absent(key) else tuple(value or 0.0 for value in fields.numbers(key, 0.0, 1.0))


def _check_round(fields: Fields, round_: int) -> None:
    if fields.count("round") != round_:
        raise ValueError(f"{fields.path}: is about round {fields.count('round')}, but lies in the folder of round {round_}: was it copied?")


def _comparable(identity: dict[str, Any]) -> dict[str, Any]:
    """The identity without what full supervision may have different."""
    kept = {key: value for key, value in identity.items() if key not in FREE_KEYS}
    if isinstance(kept.get("rounds"), dict):
        kept["rounds"] = {key: value for key, value in kept["rounds"].items() if key not in FREE_ROUNDS}
    return kept


def _full_miou(folder: Path, wanted: dict[str, Any]) -> float | None:
    """The final mIoU of `folder` if it is a fully supervised run with the identity `wanted`."""
    if folder.name.startswith(".") or not (folder / "identity.json").is_file():
        return None
    try:
        identity = read_identity(folder)[1]
        seed = identity.get("seed")
        if not isinstance(seed, dict) or seed.get("name") != ALL_SEED or _comparable(identity) != wanted:
            return None
        records = read_rounds(folder)
    except ValueError as error:
        warnings.warn(f"left out of the comparison with full supervision: {error}", stacklevel=2)
        return None
    return records[-1].miou if records and records[-1].judged_on == "val" else None


def _final(records: Sequence[RoundRecord], full_supervision: float | None) -> dict[str, Any] | None:
    if not records:
        return None
    last = records[-1]
    return {
        "round": last.round,
        "miou": finite(last.miou),
        "labelled_percent": last.labelled_percent,
        "labelled_points": last.labelled_points,
        "clicks": sum(record.purchase.clicks for record in records),
        "share_of_full_supervision": last.miou / full_supervision if full_supervision and last.judged else None,
        "seconds": math.fsum(record.seconds for record in records),
    }


def _as_json(record: RoundRecord) -> dict[str, Any]:
    purchase = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(record.purchase).items()}
    values = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(record).items()}
    return {**values, "loss": finite(record.loss), "miou": finite(record.miou), "accuracy": finite(record.accuracy), "purchase": purchase}


def finite(value: float) -> float | None:
    """A number as JSON and tables can say it: None where it is not finite."""
    return value if math.isfinite(value) else None


def _write_curve(path: Path, records: Sequence[RoundRecord], classes: ClassTable) -> None:
    """One line per round; `units`, `scenes` and `clicks` are the round's own, the totals add up for other cost axes."""
    cost = ["units", "units_total", "scenes", "clicks", "clicks_total"]
    spent = ["train_seconds", "test_seconds", "predict_seconds", "purchase_seconds"]
    judged = ["judged_on", "held"] if any(record.judged_on != "val" for record in records) else []
    head = ["round", "labelled_points", "labelled_percent", *cost, "miou", *(f"iou_{name}" for name in classes.names), *spent, *judged]
    units = clicks = 0
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(head)
        for record in records:
            bought = record.purchase
            units, clicks = units + bought.units, clicks + bought.clicks
            table.writerow(
                [
                    record.round,
                    record.labelled_points,
                    record.labelled_percent,
                    bought.units,
                    units,
                    bought.scenes,
                    bought.clicks,
                    clicks,
                    finite(record.miou),
                    *record.iou,
                    record.train_seconds,
                    record.test_seconds,
                    record.predict_seconds,
                    bought.seconds,
                    *([record.judged_on, record.held] if judged else []),
                ]
            )
