"""The charts: what they say, that they repeat, and that their labels do not overlap."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.report.curves import POOL_NOTE, class_curves, class_shares, learning_curve
from al3d.report.published import curves_for
from al3d.report.rounds import RoundRecord, read_rounds
from al3d.report.style import readable, spread
from al3d.types import ClassTable

from .fake_run import THREE_CLASSES, Fake


def _words(svg: str) -> list[str]:
    return ["".join(node.itertext()).strip() for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("text")]


def _charts(records: list[RoundRecord], classes: ClassTable) -> list[str]:
    return [learning_curve(records, 0.64, {"other": records}), class_curves(records, classes), class_shares([record.purchase for record in records], classes)]


def test_charts_repeat_and_leave_the_settings_alone(fake: Fake) -> None:
    records = read_rounds(fake.run)
    before = dict(matplotlib.rcParams)
    assert _charts(records, fake.classes) == _charts(records, fake.classes)
    assert dict(matplotlib.rcParams) == before


def test_charts_hold_no_address_and_no_date_and_share_no_id(fake: Fake) -> None:
    charts = _charts(read_rounds(fake.run), fake.classes)
    for svg in charts:
        assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", svg)
        assert "dc:date" not in svg
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in charts]
    assert not ids[0] & ids[1] and not ids[1] & ids[2] and not ids[0] & ids[2]
    for svg, own in zip(charts, ids, strict=True):
        assert set(re.findall(r"url\(#([^)]+)\)", svg)) | set(re.findall(r'href="#([^"]+)"', svg)) <= own


def test_learning_curve_names_levels_and_other_runs(fake: Fake) -> None:
    records = read_rounds(fake.run)
    words = _words(learning_curve(records, 0.64, {"entropy $1": records}))
    assert {"fully supervised: 64.0", "90 % of it: 57.6", "entropy $1", f"{100 * records[1].miou:.1f}"} <= set(words)
    assert not any("supervised" in word for word in _words(learning_curve(records)))


def test_class_curves_name_every_class_and_the_absent_one(fake: Fake) -> None:
    records = read_rounds(fake.run)
    words = _words(class_curves(records, fake.classes))
    assert f"wall {100 * float(records[-1].iou[2] or 0):.1f}" in words
    assert any("not in the test scenes: beam" in word for word in words)
    assert not any(word.startswith("beam ") for word in words)


def test_a_class_that_vanishes_keeps_its_last_value(fake: Fake) -> None:
    records = read_rounds(fake.run)
    records[-1] = replace(records[-1], iou=(None, *records[-1].iou[1:]))
    assert f"ceiling {100 * float(records[-2].iou[0] or 0):.1f}" in _words(class_curves(records, fake.classes))


def test_pool_shares_come_with_their_note_only_when_known(fake: Fake) -> None:
    purchases = [record.purchase for record in read_rounds(fake.run)]
    assert any(POOL_NOTE in word for word in _words(class_shares(purchases, fake.classes)))
    hidden = [replace(purchase, pool_class_points=None) for purchase in purchases]
    assert not any("pool" in word for word in _words(class_shares(hidden, fake.classes)))


@pytest.mark.parametrize("rounds", [1, 9])
def test_any_number_of_rounds_is_drawn(fake: Fake, rounds: int) -> None:
    first = read_rounds(fake.run)[0]
    records = [replace(first, round=round_, purchase=replace(first.purchase, round=round_)) for round_ in range(rounds)]
    words = _words(class_shares([record.purchase for record in records], fake.classes))
    assert sum(word.startswith("round ") for word in words) == rounds
    assert len(_charts(records, fake.classes)) == 3


def test_nothing_to_draw_is_an_error(fake: Fake) -> None:
    for draw in (lambda: learning_curve([]), lambda: class_curves([], fake.classes), lambda: class_shares([], fake.classes)):
        with pytest.raises(ValueError, match="nothing to draw"):
            draw()
    with pytest.raises(ValueError, match="class table"):
        class_curves(read_rounds(fake.run), THREE_CLASSES)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=24), st.floats(0.5, 30))
def test_spread_labels_keep_their_order_and_distance(wanted: list[float], gap: float) -> None:
    places = np.array(spread(wanted, gap, 0.0, 100.0))
    order = np.argsort(wanted, kind="stable")
    apart = min(gap, 100.0 / max(len(wanted) - 1, 1))
    assert (np.diff(places[order]) >= apart - 1e-6).all()
    assert places.min() >= -1e-6
    assert places.max() <= 100 + 1e-6


def test_spread_leaves_distant_labels_where_they_are() -> None:
    assert spread([50.0, 10.0, 90.0], 5.0, 0.0, 100.0) == [50.0, 10.0, 90.0]
    assert spread([50.0, 50.0], 5.0, 0.0, 100.0) == pytest.approx([47.5, 52.5])


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_readable_colours_have_contrast_and_keep_their_hue(color: tuple[int, int, int]) -> None:
    shown = np.array(readable(color))
    linear = np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4)
    assert 1.05 / (linear @ (0.2126, 0.7152, 0.0722) + 0.05) >= 4.5
    assert np.allclose(np.cross(shown, np.array(color) / 255), 0, atol=1e-9)


def test_published_curves_are_drawn_dashed_and_named_only_over_their_own_data(fake: Fake) -> None:
    records = read_rounds(fake.run)
    plain, drawn = learning_curve(records), learning_curve(records, published={"a paper": [(1.0, 30.0), (4.0, 60.0)]})
    assert "a paper" in _words(drawn) and "a paper" not in _words(plain)
    assert drawn.count("stroke-dasharray") > plain.count("stroke-dasharray")
    target = {"_target_": "al3d.units.supervoxel.SupervoxelUnit"}
    identity = {
        "dataset": {"name": "s3dis"},
        "net": {"_target_": "al3d.nets.spvcnn.SPVCNN"},
        "acquire": {"name": "redal", "unit": target},
        "learner": {"_target_": "al3d.learn.segmenter.Segmenter"},
        "seed": {"name": "random"},
    }
    real = curves_for(identity, 200_000_000)
    assert real["ReDAL's paper: ReDAL"][-1] == (15.0, 57.97), "ReDAL's figure 5"
    assert real["SeedAL's paper: ReDAL"][0] == (3.0, 30.7), "after random seeds"
    assert curves_for(identity, 1_000_000) == {}, "a generated twin of the same name gets none"
    assert curves_for({**identity, "dataset": {"name": "rooms"}}, 200_000_000) == {}
