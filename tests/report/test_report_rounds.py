"""Reading a run folder back, and the two summary files."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from al3d.report.rounds import find_full_supervision, read_purchases, read_rounds, shares, write_summary

from .fake_run import ROOM_CLASSES, THREE_CLASSES, Fake, make_fake, write, write_run


def _edit(file: Path, **values: Any) -> None:
    write(file, {**json.loads(file.read_text()), **values})


def test_records_hold_what_the_files_say(fake: Fake) -> None:
    records = read_rounds(fake.run)
    assert [record.round for record in records] == [0, 1, 2, 3]
    metrics = json.loads((fake.run / "round-02" / "metrics.json").read_text())
    assert (records[2].miou, list(records[2].iou), records[2].iou[3]) == (metrics["miou"], metrics["iou"], None)
    assert records[2].purchase.name == "redal"
    assert records[0].predict_seconds == 30.0
    assert records[3].predict_seconds is None
    assert records[0].seconds == 1.5 + 61.0 + 12.0 + 30.0


def test_unfinished_rounds_are_left_out_of_the_records_but_not_of_the_purchases(fake: Fake) -> None:
    (fake.run / "round-03" / "metrics.json").unlink()
    (fake.run / ".labels-04.7.tmp").mkdir()
    (fake.run / "labels-04").mkdir()
    assert [record.round for record in read_rounds(fake.run)] == [0, 1, 2]
    assert [purchase.round for purchase in read_purchases(fake.run)] == [0, 1, 2, 3]


def test_rounds_are_in_numerical_order(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", THREE_CLASSES, rounds=3)
    for part in ("labels", "round"):
        (run / f"{part}-02").rename(run / f"{part}-100")
    _edit(run / "labels-100" / "purchase.json", round=100)
    _edit(run / "round-100" / "metrics.json", round=100)
    assert [record.round for record in read_rounds(run)] == [0, 1, 100]


@pytest.mark.parametrize(
    ("file", "key", "value"),
    [
        ("round-01/metrics.json", "miou", 1.5),
        ("round-01/metrics.json", "miou", float("nan")),
        ("round-01/metrics.json", "iou", [0.5, "half", None]),
        ("round-01/metrics.json", "iou", [0.5]),
        ("round-01/metrics.json", "confusion", [[1, 2], [3]]),
        ("round-01/metrics.json", "round", 2),
        ("round-01/metrics.json", "seconds", 3.0),
        ("labels-01/purchase.json", "points", -1),
        ("labels-01/purchase.json", "points", True),
        ("labels-01/purchase.json", "unit", None),
        ("labels-01/purchase.json", "base_points", 0),
        ("labels-01/purchase.json", "pool_class_points", [1, 2]),
    ],
)
def test_a_wrong_value_is_refused_with_its_file(fake: Fake, file: str, key: str, value: Any) -> None:
    _edit(fake.run / file, **{key: value})
    with pytest.raises(ValueError, match=file.replace(".", r"\.")):
        read_rounds(fake.run)


def test_a_missing_field_or_a_broken_file_is_refused_with_its_file(fake: Fake) -> None:
    file = fake.run / "round-01" / "metrics.json"
    values = json.loads(file.read_text())
    del values["accuracy"]
    write(file, values)
    with pytest.raises(ValueError, match="metrics.json: has no 'accuracy'"):
        read_rounds(fake.run)
    file.write_text('{"round": 1,')
    with pytest.raises(ValueError, match="metrics.json: line 1 is not JSON"):
        read_rounds(fake.run)
    file.write_text("[1]")
    with pytest.raises(ValueError, match="one JSON object"):
        read_rounds(fake.run)


def test_a_tested_round_without_its_purchase_is_refused(fake: Fake) -> None:
    (fake.run / "labels-01" / "purchase.json").unlink()
    with pytest.raises(ValueError, match="labels-01"):
        read_rounds(fake.run)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_rounds(fake.run / "nowhere")


def test_summary_and_curve_agree_with_the_records(fake: Fake) -> None:
    _edit(fake.run / "round-03" / "metrics.json", loss=float("nan"))
    records = read_rounds(fake.run)
    summary = json.loads(write_summary(fake.run, fake.classes, 0.64).read_text(), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert summary["final"]["share_of_full_supervision"] == pytest.approx(records[-1].miou / 0.64)
    assert summary["rounds"][1]["purchase"]["class_points"] == list(records[1].purchase.class_points)
    assert summary["rounds"][3]["loss"] is None
    assert summary["not_trained"] == []
    with (fake.run / "curve.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["miou"]) for row in rows] == [record.miou for record in records]
    assert rows[2]["iou_beam"] == ""
    assert float(rows[2]["iou_wall"]) == records[2].iou[2]
    assert int(rows[3]["clicks_total"]) == sum(record.purchase.clicks for record in records)


def test_summary_refuses_another_class_table(fake: Fake) -> None:
    with pytest.raises(ValueError, match="13 classes"):
        write_summary(fake.run, THREE_CLASSES)


def test_summary_of_a_run_that_has_not_finished_a_round(tmp_path: Path) -> None:
    run = make_fake(tmp_path / "run", ROOM_CLASSES, rounds=1).run
    (run / "round-00" / "metrics.json").unlink()
    summary = json.loads(write_summary(run, ROOM_CLASSES).read_text())
    assert (summary["final"], summary["rounds"], summary["not_trained"]) == (None, [], [0])


def test_full_supervision_is_the_mean_of_the_runs_that_bought_everything(fake: Fake) -> None:
    assert find_full_supervision(fake.run) is None
    first = write_run(fake.run.parent / "all-1", ROOM_CLASSES, 1, seed="all", rng=1, lift=0.1)
    second = write_run(fake.run.parent / "all-2", ROOM_CLASSES, 1, seed="all", rng=2, lift=0.2)
    wanted = (read_rounds(first)[-1].miou + read_rounds(second)[-1].miou) / 2
    assert find_full_supervision(fake.run) == pytest.approx(wanted)


def test_full_supervision_of_another_network_does_not_count_and_a_broken_run_warns(fake: Fake) -> None:
    other = write_run(fake.run.parent / "all-1", ROOM_CLASSES, 1, seed="all")
    identity = json.loads((other / "identity.json").read_text())
    for change in ({"net": {"name": "spvcnn"}}, {"rounds": {"initial": 1.0, "epochs": 100}}):
        write(other / "identity.json", {**identity, "identity": {**identity["identity"], **change}})
        assert find_full_supervision(fake.run) is None
    (other / "identity.json").write_text("{")
    with pytest.warns(UserWarning, match="all-1"):
        assert find_full_supervision(fake.run) is None


def test_shares() -> None:
    assert shares([1, 3, 0]) == (0.25, 0.75, 0.0)
    assert shares([0, 0]) == (0.0, 0.0)
