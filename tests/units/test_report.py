"""The command that measures units, on the tiny data set."""

import csv
import io

import click
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from al3d.commands.units import command
from al3d.data.sources.folder import Folder
from al3d.types import ClassTable
from al3d.units import report
from al3d.units.published import Published, read_regions
from al3d.units.quality import class_borders, measure, neighbours_of, summary
from al3d.units.supervoxel import Supervoxel
from al3d.world.rooms import write_rooms


@pytest.fixture
def printed(monkeypatch):
    """The lines that the command prints, tables rendered."""
    console = Console(width=100, record=True, file=io.StringIO(), soft_wrap=True)
    monkeypatch.setattr(report, "console", console)
    return lambda: console.export_text()


def main(*words):
    command.main([*words], prog_name="al3d units", standalone_mode=False)


@pytest.fixture
def options(tiny_root, tmp_path):
    return ["dataset=folder", f"dataset.root={tiny_root}", "--out", str(tmp_path / "out"), "--scenes", "3"]


def test_the_report_of_two_units(options, tiny_root, tmp_path, printed):
    main(*options, "--unit", "supervoxel,voxel:size=0.2", "--split", "val")
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {"table.csv", "table.md", "sizes.png", "scene.png"}
    rows = list(csv.DictReader((out / "table.csv").open()))
    assert [row["unit"] for row in rows] == ["supervoxel-0.05-0.4", "voxel-0.2"]
    source, measured = Folder(tiny_root), []
    for scene_id in source.scenes("val"):
        scene, label = source.read(scene_id)
        around = neighbours_of(scene.xyz)
        unit = Supervoxel(0.05, 0.4, minimum_points="auto")(scene).unit
        measured.append(measure(scene.xyz, unit, label, 3, 0.05, around, class_borders(label, around)))
    expected = summary(measured).row()
    assert {key: float(rows[0][key]) for key in expected} == pytest.approx(expected, nan_ok=True)
    text = printed()
    assert "supervoxel-0.05-0.4" in text and "best mIoU %" in text and "…" not in text
    assert max(map(len, text.splitlines()[:-1])) <= 100
    assert (out / "table.md").read_text().count("\n") == 4
    for name, least in (("scene.png", 400), ("sizes.png", 200)):
        image = Image.open(out / name)
        assert image.height > least and len(set(image.convert("RGB").resize((80, 60)).get_flattened_data())) > 20


def test_auto_says_what_it_picked(options, printed):
    main(*options, "--unit", "auto")
    assert "auto picked: supervoxel-" in printed()


def test_what_is_exported_can_be_imported(tmp_path, printed):
    rooms, out = tmp_path / "rooms", tmp_path / "export"
    write_rooms(rooms, scenes=2, points=2000, n_jobs=1, quiet=True)
    words = ["dataset=s3dis", f"dataset.root={rooms}"]
    source = report.data_source(report.composed(words, "voxel")[0])
    main(*words, "--unit", "supervoxel:minimum_points=20", "--export", str(out))
    published = Published(out, "s3dis", regions=out / "regions.json")
    for scene_id in source.scenes("train"):
        scene = source.read(scene_id)[0]
        unit = Supervoxel(0.1, 1.0, minimum_points=20)(scene).unit
        assert np.array_equal(published(scene).unit, unit)
        assert read_regions(out / "regions.json")[scene_id] == list(range(1, unit.max() + 2))
    main(*words, "--unit", f"published:root={out}:layout=s3dis", "--out", str(tmp_path / "out"))
    assert list(csv.DictReader((tmp_path / "out" / "table.csv").open()))[0]["outside"] != ""


def test_colours_tell_neighbouring_ids_apart():
    colours = report.unit_colors(np.array([-1, 0, 1, 2, 3], np.int32)).astype(int)
    assert colours[0].tolist() == list(report.NOWHERE)
    assert min(np.abs(first - second).sum() for first, second in zip(colours[1:], colours[2:], strict=False)) > 100
    assert report.unit_colors(np.array([-1, -1], np.int32)).tolist() == [list(report.NOWHERE)] * 2


def test_scenes_are_evenly_spaced(tiny_root):
    source = Folder(tiny_root)
    assert report.chosen_scenes(source, "train", 3, "") == ("t_1", "t_3", "t_6")
    assert report.chosen_scenes(source, "train", 1, "t_4") == ("t_1", "t_4")
    assert len(report.chosen_scenes(source, "train", None, "")) == 6


def test_a_scene_without_known_classes_is_drawn(tiny_root, tmp_path):
    scene, label = Folder(tiny_root).read("t_1")
    shown = report.Shown(scene, np.full(len(label), 255, np.uint8), (np.full(len(label), -1, np.int32),))
    report.picture(shown, ClassTable(("a",), ((1, 2, 3),)), ["none"], tmp_path / "scene.png")
    assert Image.open(tmp_path / "scene.png").width > 800


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--unit", "nonsense"], "Could not find 'unit/nonsense'"),
        (["--unit", "voxel:length=1"], "length"),
        (["--unit", ""], "names nothing"),
        (["dataset.nonsense=1"], "nonsense"),
        (["--split", "test"], "no split 'test'"),
        (["--scene", "t_9"], "--scene t_9 is not in --split train"),
        (["report"], "report"),
        (["--export", "/nowhere"], "no published layout"),
        (["dataset.root=/nowhere/at/all"], "/nowhere/at/all"),
    ],
)
def test_names_what_is_wrong(options, printed, words, message):
    with pytest.raises(SystemExit, match=message):
        main(*options, *words)


@pytest.mark.parametrize(("word", "message"), [("unit=voxel", "unit=voxel: say --unit voxel"), ("scenes=0", "scenes=0: say --scenes 0")])
def test_words_of_before_are_answered(options, word, message):
    with pytest.raises(click.UsageError, match=message):
        main(*options, word)
