"""What loggers show of a run comes from its files."""

from __future__ import annotations

import dataclasses
import json
import types
from pathlib import Path

import pytest

from al3d.report import summary
from al3d.report.legend import legend
from al3d.report.summary import (
    area_under,
    class_names,
    final_values,
    first_step,
    iou_table,
    pictures_of,
    purchase_table,
    read_run,
    round_values,
    shown,
    tags_of,
    training_curve,
)

from .fake_run import THREE_CLASSES
from .shown_run import shown_run


def test_values_of_a_round_are_those_of_its_files(tmp_path: Path) -> None:
    run = read_run(shown_run(tmp_path / "run"))
    values = round_values(run, run.records[2])
    assert values["round"] == 2 and values["curve/labelled_percent"] == 3.0 and values["curve/miou"] == run.records[2].miou
    assert values["curve/clicks"] == 400 + 121 + 122
    assert [values[f"iou/{name}"] for name in run.classes] == list(run.records[2].iou)
    assert sum(values[f"bought_share/{name}"] for name in run.classes) == pytest.approx(1.0)


def test_a_class_without_a_number_is_left_out(tmp_path: Path) -> None:
    run = read_run(shown_run(tmp_path / "run", 1))
    record = dataclasses.replace(run.records[0], iou=(0.5, None, 0.25))
    assert [name for name in round_values(run, record) if name.startswith("iou/")] == ["iou/ground", "iou/ball <&>"]


def test_the_area_under_a_curve_is_the_mean_over_what_is_labelled(tmp_path: Path) -> None:
    first, second, third = read_run(shown_run(tmp_path / "run")).records
    records = [dataclasses.replace(one, labelled_percent=x, miou=y) for one, x, y in ((first, 1.0, 0.2), (second, 2.0, 0.4), (third, 5.0, 0.8))]
    assert area_under(records) == pytest.approx((1 * 0.3 + 3 * 0.6) / 4)
    assert area_under(records[:1]) is None
    assert area_under([records[0], dataclasses.replace(records[1], labelled_percent=1.0)]) is None


def test_of_two_starts_the_later_one_counts_where_both_made_a_step(tmp_path: Path) -> None:
    curve = training_curve(shown_run(tmp_path / "run", 1), 0)
    assert curve == [(9, {"loss": 0.9}), (19, {"loss": 0.7}), (29, {"loss": 0.6})]
    assert training_curve(tmp_path / "run", 7) == []


def test_tables_and_summary_agree_with_the_records(tmp_path: Path) -> None:
    run = read_run(shown_run(tmp_path / "run"))
    head, rows = iou_table(run)
    assert head[3:] == list(run.classes) and [row[2] for row in rows] == [record.miou for record in run.records]
    head, rows = purchase_table(run)
    assert [dict(zip(head, row, strict=True))["points"] for row in rows] == [purchase.points for purchase in run.purchases]
    final = final_values(run)
    assert final["final/miou"] == run.records[-1].miou and final["final/round"] == 2
    assert first_step(run.records, 2) == 2000
    assert tags_of(run.identity) == ["dataset:rooms", "seed:random", "acquire:redal", "unit:Supervoxel", "net:minkunet", "rng:1"]


def test_class_names_need_a_report_or_the_data(tmp_path: Path) -> None:
    run = shown_run(tmp_path / "run", 1)
    assert class_names(run) == ("ground", "box", "ball <&>")
    with pytest.raises(ValueError, match="3 classes, but 2 names"):
        read_run(run, ["a", "b"])
    (run / "report.json").unlink()
    file = run / "identity.json"
    content = json.loads(file.read_text())
    content["identity"]["data"] = "0123456789abcdef"
    file.write_text(json.dumps(content))
    with pytest.raises(FileNotFoundError, match="0123456789ab.*--data FOLDER"):
        class_names(run, tmp_path / "nowhere")


def test_a_picture_has_the_colours_of_the_classes_below_where_the_data_set_says_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shown_run(tmp_path / "run", 1)
    ((file, _),) = pictures_of(folder, 0)
    assert shown(read_run(folder), file).shape == (4, 6, 3)
    asked = []

    def store(run: Path, data: Path | None) -> object:
        asked.append((run, data))
        return types.SimpleNamespace(classes=THREE_CLASSES)

    monkeypatch.setattr(summary, "find_store", store)
    picture = shown(read_run(folder, THREE_CLASSES.names, tmp_path / "data"), file)
    assert asked == [(folder, tmp_path / "data")] and (picture[4:] == legend(THREE_CLASSES)).all()
