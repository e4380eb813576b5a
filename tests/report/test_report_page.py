"""The page about a run, and its pictures."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from al3d.report.drawing import UNKNOWN_COLOR, class_colors, draw, has_ceiling
from al3d.report.html import part_name, write_report
from al3d.report.page import Safe, element, picture, table
from al3d.report.pictures import bought_pictures, saved_pictures
from al3d.report.rounds import read_rounds
from al3d.types import IGNORE, U8, Bool, Camera, Image

from .fake_run import ROOM_CLASSES, THREE_CLASSES, Fake, FakeLabels, make_fake, write


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Fake:
    """A run of two rounds whose page is written; tests read it only."""
    fake = make_fake(tmp_path_factory.mktemp("outputs") / "rooms-redal", THREE_CLASSES, rounds=2)
    write_report(fake.run, fake.store, fake.labels, fake.answer, 0.64)
    return fake


class _Balance(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_from_outside(made: Fake) -> None:
    text = (made.run / "report.html").read_text()
    assert not re.search(r"https?://|//[a-z]", re.sub(r'xmlns(:\w+)?="[^"]*"|base64,[^"]*', "", text))
    assert "<script" not in text
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", text)


def test_the_page_is_well_formed_and_escapes_what_it_quotes(made: Fake) -> None:
    text = (made.run / "report.html").read_text()
    parser = _Balance()
    parser.feed(text)
    assert parser.open == []
    assert "ball &lt;&amp;&gt;" in text
    assert "ball <" not in text
    assert "&lt;b&gt;not bold" in text


def test_the_page_says_what_counts(made: Fake) -> None:
    text = (made.run / "report.html").read_text()
    last = read_rounds(made.run)[-1]
    numbers = (f"{100 * last.miou:.1f} %", f"{100 * last.miou / 0.64:.1f} %")
    for words in (*numbers, "of full supervision", "clicks, estimated", "rooms: redal after random seed", "supervoxel", "al3d train --config-path"):
        assert words in text, words
    assert str(made.run.parent) not in text
    assert (made.run / "report.json").is_file()
    assert (made.run / "curve.csv").is_file()


def test_the_page_repeats(made: Fake) -> None:
    before = (made.run / "report.html").read_bytes()
    (made.run / "pictures" / "round-01" / "pictures.json").unlink()
    assert write_report(made.run, made.store, made.labels, made.answer, 0.64).read_bytes() == before


def test_a_run_on_its_way_has_a_page(tmp_path: Path) -> None:
    fake = make_fake(tmp_path / "run", ROOM_CLASSES, rounds=1, points=True)
    (fake.run / "round-00" / "metrics.json").unlink()
    (fake.run / "config.yaml").unlink()
    text = write_report(fake.run, fake.store, fake.labels, fake.answer).read_text()
    assert "Bought, but not trained yet: round 0." in text
    assert "Learning curve" not in text
    assert "What was bought" in text
    (fake.run / "labels-00" / "purchase.json").unlink()
    assert "Nothing was bought yet." in write_report(fake.run, fake.store, fake.labels, fake.answer).read_text()


def test_another_number_of_devices_is_said(made: Fake, tmp_path: Path) -> None:
    fake = make_fake(tmp_path / "run", THREE_CLASSES, rounds=0)
    (fake.run / "execution.jsonl").write_text('{"devices": 1}\n{"devices": 2}\n{"dev')
    assert "another number of devices" in write_report(fake.run, fake.store, fake.labels, fake.answer).read_text()
    assert "another number of devices" not in (made.run / "report.html").read_text()


def test_pictures_are_saved_and_drawn_again_only_for_another_purchase(made: Fake) -> None:
    folder = made.run / "pictures" / "round-01"
    index = json.loads((folder / "pictures.json").read_text())
    assert len(index["pictures"]) == 3
    assert all((folder / item["file"]).is_file() and "/" not in item["file"] for item in index["pictures"])

    def refuse(scene_id: str, asked: Bool) -> U8:
        raise AssertionError("asked again")

    kept = saved_pictures(made.run, made.store, made.labels, 1, refuse)
    assert [picture.scene for picture in kept] == [item["scene"] for item in index["pictures"]]
    purchase = made.run / "labels-01" / "purchase.json"
    before = purchase.read_text()
    write(purchase, {**json.loads(before), "seconds": 9.0})
    with pytest.raises(AssertionError, match="asked again"):
        saved_pictures(made.run, made.store, made.labels, 1, refuse)
    purchase.write_text(before)


def test_the_scenes_with_most_bought_points_are_drawn_and_only_those_points_asked_for(made: Fake) -> None:
    asked: dict[str, int] = {}

    def answer(scene_id: str, mask: Bool) -> U8:
        asked[scene_id] = int(mask.sum())
        return made.answer(scene_id, mask)

    pictures = bought_pictures(made.store, made.labels, 1, answer, limit=2, width=160, height=120)
    sizes = {name: int(made.labels.bought(name, 1).sum()) for name in made.labels.names}
    assert [picture.points for picture in pictures] == sorted(sizes.values(), reverse=True)[:2]
    assert asked == {picture.scene: sizes[picture.scene] for picture in pictures}
    assert Picture.open(io.BytesIO(pictures[0].png)).size == (160, 120)


@pytest.mark.parametrize("points", [False, True])
def test_bought_points_show_in_their_colour_and_nothing_else_does(made: Fake, points: bool) -> None:
    scene = made.store.scene("hall")
    labels = FakeLabels(made.store, points=points)
    bought = labels.bought("hall", 1)
    purple = replace(THREE_CLASSES, colors=((200, 0, 200),) * 3)

    def count(mask: Bool) -> int:
        image = draw(scene, mask, made.answer("hall", mask), purple, 320, 240).astype(int)
        return int((image[:, :, 0] - image[:, :, 1] > 60).sum())

    assert count(bought) > 200
    assert count(np.zeros_like(bought)) == 0


def test_a_ceiling_is_seen_as_one(made: Fake) -> None:
    xyz = made.store.scene("hall").xyz
    assert has_ceiling(xyz)
    assert not has_ceiling(np.ascontiguousarray(xyz[xyz[:, 2] < 2.0]) * np.float32(0.5))
    assert not has_ceiling(np.ascontiguousarray(xyz[6000:18000]))


def test_a_wide_frame_without_colours_is_drawn(made: Fake) -> None:
    scene = made.store.scene("hall")
    wide = replace(scene, xyz=scene.xyz * np.float32(20), feat=scene.feat[:, :1].copy())
    bought = made.labels.bought("hall", 1)
    assert draw(wide, bought, made.answer("hall", bought), THREE_CLASSES, 160, 120).std() > 5


def test_a_scene_with_a_camera_is_seen_from_its_side(made: Fake) -> None:
    scene = made.store.scene("hall")
    bought = made.labels.bought("hall", 1)
    images = []
    for x in (-5.0, 11.0):
        pose = np.eye(4)
        pose[:3, 3] = (x, 2.0, 2.0)
        seen = replace(scene, images=(Image(None, Camera(500, 500, 319.5, 239.5, 640, 480, pose)),))
        images.append(draw(seen, bought, made.answer("hall", bought), THREE_CLASSES, 160, 120))
    assert (images[0] != images[1]).any()


def test_an_unknown_class_is_pink() -> None:
    assert class_colors(np.array([1, IGNORE], np.uint8), THREE_CLASSES).tolist() == [list(THREE_CLASSES.colors[1]), list(UNKNOWN_COLOR)]


def test_scene_ids_that_differ_only_in_odd_characters_get_files_of_their_own(made: Fake, tmp_path: Path) -> None:
    fake = make_fake(tmp_path / "run", THREE_CLASSES, rounds=1, points=True)
    labels = replace(fake.labels, names=("a/b", "a b"))
    saved_pictures(fake.run, fake.store, labels, 0, fake.answer)
    assert sorted(file.name for file in (fake.run / "pictures" / "round-00").glob("*.png")) == ["a_b.png", "a_b_2.png"]


def test_elements_escape_text_and_attributes_but_not_each_other() -> None:
    assert element("p", "a < b", element("b", "&"), class_='"x"') == '<p class="&quot;x&quot;">a &lt; b<b>&amp;</b></p>'
    assert "&lt;i&gt;" in table(["<i>"], [[Safe("<u>1</u>")]])
    assert "<u>1</u>" in table(["<i>"], [[Safe("<u>1</u>")]])
    assert 'alt="&lt;x&gt;"' in picture(b"png", "<x>")


def test_parts_are_named_by_name_target_or_value() -> None:
    identity = {"net": {"_target_": "al3d.nets.MinkUNet"}, "rng": 3, "acquire": {"name": "redal", "unit": {"name": "point"}}, "unit": "scene", "learner": {}}
    assert [part_name(identity, part) for part in ("net", "rng", "acquire", "unit", "learner", "seed")] == ["MinkUNet", "3", "redal", "point", None, None]
