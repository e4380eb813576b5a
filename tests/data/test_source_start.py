"""A first dataset.yaml says what the scans are like and why, and nothing that is there is lost."""

import numpy as np
import pytest
import yaml
from plyfile import PlyData, PlyElement

from al3d.data.prepare import prepare
from al3d.data.sources.card import read_card
from al3d.data.sources.folder import Folder
from al3d.data.sources.start import start
from al3d.types import IGNORE


def ply(path, xyz, colour=True):
    """Write points, of one colour where they have any."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = [(axis, "f8") for axis in "xyz"] + [(name, "u1") for name in ("red", "green", "blue") if colour]
    table = np.full(len(xyz), 90, fields)
    for place, axis in enumerate("xyz"):
        table[axis] = xyz[:, place]
    PlyData([PlyElement.describe(table, "vertex")]).write(path)


def room(seed=0, step=0.05):
    """A floor of 4 x 3 m with a box on it: f64[N,3], z up."""
    random = np.random.default_rng(seed)
    floor = np.stack(np.meshgrid(np.arange(0, 4, step), np.arange(0, 3, step), [0.0], indexing="ij"), axis=-1).reshape(-1, 3)
    top = np.stack(np.meshgrid(np.arange(1, 2, step), np.arange(1, 2, step), [0.5], indexing="ij"), axis=-1).reshape(-1, 3)
    side = np.stack(np.meshgrid([1.0], np.arange(1, 2, step), np.arange(0, 0.5, step), indexing="ij"), axis=-1).reshape(-1, 3)
    points = np.concatenate([floor, top, side])
    return points + random.normal(0, 0.02 * step, points.shape)


def test_nested_scans_become_a_data_set(tmp_path):
    for name in ("one/room.ply", "two/room.ply", "two/a b.ply", ".hidden/x.ply"):
        ply(tmp_path / "scans" / name, room())
    out, notes = start(tmp_path / "scans", ["floor", "a box"])
    assert (out, notes) == (tmp_path / "scans-al3d", [])
    card = read_card(out / "dataset.yaml")
    assert card.splits == {"train": ("one_room", "two_a_b", "two_room"), "val": ()}
    assert (card.classes.names, card.factor, card.up, card.scale["voxel"]) == (("floor", "a box"), 1.0, (0, 0, 1), 0.1)
    lines = (out / "dataset.yaml").read_text().splitlines()
    assert all("  # " in line for line in lines if line.partition(":")[0].strip() in ("classes", "units", "up", "voxel", "supervoxel_seed"))
    store = prepare(Folder(out), tmp_path / "data")
    assert len(store.sizes) == 3 and store.labelled("one_room") == 0
    assert (Folder(out).read("two_a_b")[1] == IGNORE).all()


def test_scans_that_lie_right_stay_where_they_are(tmp_path):
    ply(tmp_path / "scenes" / "001.ply", room())
    out, _ = start(tmp_path, ["floor", "box"])
    assert out == tmp_path and sorted(path.name for path in tmp_path.iterdir()) == ["dataset.yaml", "scenes"]
    assert Folder(out).scenes("train") == ("001",)


def test_a_description_that_is_there_is_kept(tmp_path):
    ply(tmp_path / "scenes" / "a.ply", room())
    (tmp_path / "dataset.yaml").write_text("mine")
    with pytest.raises(ValueError, match=r"dataset.yaml is there already: it was not touched; --force writes it anew"):
        start(tmp_path, ["floor", "box"])
    assert (tmp_path / "dataset.yaml").read_text() == "mine"
    start(tmp_path, ["floor", "box"], force=True)
    assert yaml.safe_load((tmp_path / "dataset.yaml").read_text())["classes"] == ["floor", "box"]


def test_millimetres(tmp_path):
    ply(tmp_path / "a.ply", 1000 * room())
    card = read_card(start(tmp_path, ["floor", "box"], tmp_path / "out")[0] / "dataset.yaml")
    assert (card.factor, card.scale["voxel"]) == (0.001, 0.1)


@pytest.mark.parametrize("tilt", [0.0, 0.6])
def test_the_frame_of_a_camera(tmp_path, tilt):
    """z forward and y down, the camera above the floor at the origin."""
    turn = np.array([[1, 0, 0], [0, np.sin(tilt), -np.cos(tilt)], [0, np.cos(tilt), np.sin(tilt)]])
    ply(tmp_path / "a.ply", (room() - [2, -1, 1.2]) @ turn.T)
    card = read_card(start(tmp_path, ["floor", "box"], tmp_path / "out")[0] / "dataset.yaml")
    assert np.dot(card.up, turn @ [0, 0, 1]) > 0.99


@pytest.mark.parametrize(
    ("classes", "words"), [(["one"], "at least two different names"), (["a", "a"], "at least two different names"), (["a", " "], "at least two")]
)
def test_class_names(tmp_path, classes, words):
    ply(tmp_path / "a.ply", room())
    with pytest.raises(ValueError, match=words):
        start(tmp_path, classes)


def test_folders_that_cannot_be_described(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no file ending in .ply"):
        start(tmp_path / "empty", ["a", "b"])
    with pytest.raises(FileNotFoundError, match="no such folder"):
        start(tmp_path / "gone", ["a", "b"])
    ply(tmp_path / "mixed" / "a.ply", room())
    ply(tmp_path / "mixed" / "b.ply", room(), colour=False)
    with pytest.raises(ValueError, match=r"a.ply has colours and .*b.ply has not"):
        start(tmp_path / "mixed", ["a", "b"])
    ply(tmp_path / "degrees" / "a.ply", room() * [1e-5, 1e-5, 1] + [13.4, 52.5, 30])
    with pytest.raises(ValueError, match="look like degrees"):
        start(tmp_path / "degrees", ["a", "b"])
    assert not list(tmp_path.glob("*-al3d"))


def test_a_data_set_among_its_scans_is_not_scanned_again(tmp_path):
    ply(tmp_path / "room.ply", room())
    for _ in range(2):
        out, _ = start(tmp_path, ["floor", "box"], tmp_path / "mine", force=True)
        assert read_card(out / "dataset.yaml").splits["train"] == ("room",)


def test_no_file_of_a_data_set_is_replaced_by_a_link(tmp_path):
    ply(tmp_path / "scans" / "room.ply", room())
    mine = tmp_path / "mine" / "scenes" / "room.ply"
    ply(mine, room(1))
    before = mine.read_bytes()
    with pytest.raises(ValueError, match=r"room.ply is a file that would be lost"):
        start(tmp_path / "scans", ["floor", "box"], tmp_path / "mine", force=True)
    assert mine.read_bytes() == before and not mine.is_symlink() and not (tmp_path / "mine" / "dataset.yaml").exists()
