"""Procedural rooms: reproducible, complete, and readable as S3DIS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from al3d.data.sources.rooms import Rooms
from al3d.data.sources.s3dis import CLASSES, S3DIS
from al3d.world.layouts import LAYOUTS
from al3d.world.rooms import make_room, plan, write_room, write_rooms

POINTS = 6000


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world") / "rooms"
    write_rooms(root, points=POINTS, n_jobs=1, quiet=True)
    return root


def _bytes(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*.txt"))}


def test_same_bytes_twice_in_any_number_of_processes_and_rooms(written: Path, tmp_path: Path) -> None:
    write_rooms(tmp_path / "two", scenes=6, points=POINTS, n_jobs=2, quiet=True)
    few, all_files = _bytes(tmp_path / "two"), _bytes(written)
    rooms = {str(plan(1, index).folder) for index in range(6)}
    assert few == {name: content for name, content in all_files.items() if "/".join(name.split("/")[:2]) in rooms}
    write_room(tmp_path / "other", 2, 0, POINTS)
    assert _bytes(tmp_path / "other") != {name: content for name, content in few.items() if name.startswith("Area_1/office_1/")}


def test_every_class_is_in_train_and_val_and_shares_are_like_the_real_ones(written: Path) -> None:
    source = S3DIS(written)
    counts = {split: sum(np.bincount(source.read(scene)[1], minlength=13) for scene in source.scenes(split)) for split in ("train", "val")}
    assert (len(source.scenes("train")), len(source.scenes("val"))) == (18, 6)
    for split, count in counts.items():
        assert (count > 0).all(), (split, [CLASSES.names[label] for label in np.flatnonzero(count == 0)])
    share = dict(zip(CLASSES.names, (counts["train"] + counts["val"]) / (counts["train"] + counts["val"]).sum(), strict=True))
    assert 0.6 < share["ceiling"] + share["floor"] + share["wall"] < 0.75
    assert 0.05 < share["clutter"] < 0.15
    assert all(0.02 < share[name] < 0.10 for name in ("door", "chair", "table", "bookcase"))
    assert all(0.003 < share[name] < 0.035 for name in ("beam", "column", "window", "sofa", "board"))


@pytest.mark.parametrize("rng", [2, 3])
def test_every_class_is_there_for_other_keys(rng: int) -> None:
    for turn in (lambda index: index % 4 == 1, lambda index: index % 4 != 1):
        present = set()
        for index in filter(turn, range(24)):
            kinds, cloud = make_room(rng, index, 2000)
            present |= {kinds[piece] for piece in np.unique(cloud.piece)}
        assert present == set(CLASSES.names)


def test_rooms_are_whole_and_stand_apart(written: Path) -> None:
    source = S3DIS(written)
    boxes: dict[str, list[np.ndarray]] = {}
    for scene_id in source.scenes("train") + source.scenes("val"):
        scene, _ = source.read(scene_id)
        assert 0.45 * POINTS < len(scene) < 1.65 * POINTS
        world = scene.xyz.astype(np.float64) + scene.origin
        low, high = world.min(axis=0), world.max(axis=0)
        assert 2.3 < (high - low)[2] < 3.6
        boxes.setdefault(scene_id.split("#")[0], []).append(np.stack([low, high]))
    for area in boxes.values():
        for index, first in enumerate(area):
            assert not any(((first[0] < other[1]) & (other[0] < first[1]))[:2].all() for other in area[:index])
    assert max(np.abs(box).max() for area in boxes.values() for box in area) > 15


def test_rows_are_written_as_in_the_real_files(written: Path) -> None:
    line = (written / "Area_1/office_1/Annotations/floor_1.txt").read_text().splitlines()[0].split(" ")
    assert len(line) == 6
    assert all(len(field.split(".")[1]) == 3 for field in line[:3])
    assert all(0 <= int(field) <= 255 for field in line[3:])


def test_every_kind_of_room_occurs_and_has_its_furniture() -> None:
    assert {plan(1, index).kind for index in range(24)} == set(LAYOUTS)
    needs = {"office": {"table", "chair", "window", "door"}, "hallway": {"door", "column", "beam"}, "lounge": {"sofa"}, "storage": {"bookcase", "clutter"}}
    needs |= {"conferenceRoom": {"table", "chair", "board"}}
    for index in range(24):
        kinds, cloud = make_room(1, index, 2000)
        assert needs.get(plan(1, index).kind, set()) <= {kinds[piece] for piece in np.unique(cloud.piece)}


def test_plans_do_not_collide() -> None:
    plans = [plan(1, index) for index in range(60)]
    assert len({what.folder for what in plans}) == 60
    assert len({(what.area, what.corner) for what in plans}) == 60


def test_wrong_requests_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 2 scenes"):
        write_rooms(tmp_path / "few", scenes=1)
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="holds something"):
        write_rooms(tmp_path, scenes=2)
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_the_source_makes_its_rooms_once(tmp_path: Path) -> None:
    source = Rooms(tmp_path, rooms=4, points=1000, n_jobs=1)
    fingerprint = source.fingerprint()
    assert list(tmp_path.iterdir()) == []
    assert source.scenes("val") == ("Area_5#office_1",)
    assert len(source.scenes("train")) == 3
    scene, labels = source.read("Area_5#office_1")
    assert len(scene) == len(labels)
    marked = source.folder / "Area_5/office_1/Annotations/floor_1.txt"
    marked.write_bytes(marked.read_bytes() + b"0 0 0 1 2 3\n")
    assert len(source.read("Area_5#office_1")[0]) == len(scene) + 1
    assert source.fingerprint() == fingerprint == Rooms("/elsewhere", rooms=4, points=1000).fingerprint()
    assert fingerprint != Rooms(tmp_path, rooms=4, points=1000, rng=2).fingerprint()
    assert [path.name for path in tmp_path.iterdir()] == [source.folder.name]
