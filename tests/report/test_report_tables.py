"""The tables that a terminal and a log file show."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console
from rich.table import Table

from al3d.report.rounds import read_rounds
from al3d.report.table import curve_table, duration, percent_label, round_table, unlike_labels
from al3d.types import ClassTable

from .fake_run import THREE_CLASSES, Fake, make_fake


def _printed(table: Table, width: int = 100) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width, soft_wrap=True).print(table)
    return file.getvalue().splitlines()


def test_round_table_says_everything_in_100_columns(fake: Fake) -> None:
    records = read_rounds(fake.run)
    lines = _printed(round_table(records[2], fake.classes, records[1]))
    text = "\n".join(lines)
    assert max(map(len, lines)) <= 100
    assert "Round 2: 3.00 % labelled, mIoU" in lines[0]
    assert f"{100 * records[2].miou:.1f}" in lines[0]
    for name, iou, points in zip(fake.classes.names, records[2].iou, records[2].purchase.class_points, strict=True):
        assert name in text
        assert f"{points:,}" in text
        assert iou is None or f"{100 * iou:.1f}" in text
    assert "37 bought points have no class" in text


def test_twenty_classes_with_long_names_fit_and_every_row_is_as_wide(fake: Fake) -> None:
    record = read_rounds(fake.run)[1]
    big = replace(record, iou=(0.123456,) * 20, purchase=replace(record.purchase, class_points=(123_456_789,) * 20))
    classes = ClassTable(tuple(f"construction vehicle number {index}" for index in range(20)), ((0, 0, 0),) * 20)
    lines = _printed(round_table(big, classes, big))
    assert max(map(len, lines)) <= 100
    assert sum("123,456,789" in line for line in lines) == 10
    assert all(line.count("123,456,789") in (0, 2) for line in lines)


def test_tables_do_not_shrink_in_a_log_file(fake: Fake) -> None:
    records = read_rounds(fake.run)
    assert _printed(curve_table(records), width=80) == _printed(curve_table(records), width=100)
    assert _printed(round_table(records[0], fake.classes), width=80) == _printed(round_table(records[0], fake.classes), width=100)


def test_names_are_not_read_as_markup(fake: Fake) -> None:
    record = read_rounds(fake.run)[0]
    small = replace(record, iou=(0.5, None, 0.1), purchase=replace(record.purchase, name="[bold]x", class_points=(5, 0, 1)))
    text = "\n".join(_printed(round_table(small, ClassTable(("[red]ground", "box", "ball"), THREE_CLASSES.colors))))
    assert "[red]ground" in text
    assert "[bold]x" in text


def test_curve_table_has_a_row_per_round_with_its_gain(fake: Fake) -> None:
    records = read_rounds(fake.run)
    text = "\n".join(_printed(curve_table(records)))
    assert f"{100 * (records[1].miou - records[0].miou):+.1f}" in text
    assert sum(f"{100 * record.miou:.1f}" in text for record in records) == 4


def test_another_class_table_is_refused(fake: Fake) -> None:
    with pytest.raises(ValueError, match="class table of 3"):
        round_table(read_rounds(fake.run)[0], THREE_CLASSES)


def test_small_percentages_and_durations_stay_readable() -> None:
    assert [percent_label(value) for value in (0, 0.0123, 0.5, 1.25, 100)] == ["0", "0.0123", "0.500", "1.25", "100.00"]
    assert [duration(value) for value in (1.25, 59, 61, 7512)] == ["1.2 s", "59 s", "1 min 01 s", "2 h 05 min"]


def test_make_fake_is_deterministic(tmp_path: object, fake: Fake) -> None:
    again = make_fake(fake.run.parent / "again", fake.classes)
    assert read_rounds(again.run) == read_rounds(fake.run)


def test_a_round_table_warns_where_training_saw_other_labels_than_there_are(fake: Fake) -> None:
    """The case that went wrong: table : box : cylinder 65 : 22 : 13 in the labels and 18 : 56 : 26 in what training saw."""
    record = read_rounds(fake.run)[1]
    labelled, seen = (0.65, 0.22, 0.13), (0.18, 0.56, 0.26)
    pad = (0.0,) * (len(fake.classes) - 3)
    warned = unlike_labels(replace(record, labelled_shares=labelled + pad, seen_shares=seen + pad), fake.classes)
    assert len(warned) == 4 and fake.classes.names[0] in warned[0] and "18.0" in warned[0] and "65.0" in warned[0] and "learner.draw=labels" in warned[-1]
    assert not unlike_labels(replace(record, labelled_shares=labelled + pad, seen_shares=(0.6, 0.25, 0.15) + pad), fake.classes)
    assert not unlike_labels(record, fake.classes), "older runs do not know"
    printed = _printed(round_table(replace(record, labelled_shares=labelled + pad, seen_shares=seen + pad), fake.classes))
    assert any("training saw" in line for line in printed)
