import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from al3d.data.hashing import hash_of
from al3d.rng import generator
from al3d.types import Scene
from al3d.units.published import LAYOUTS, Published, layout_of, placed, read_ids, read_regions, write_ids, write_regions

IDS = {"s3dis": "Area_3#office_1", "scannet": "scene0012_01", "semantic_kitti": "04_000123"}
SEEDS = Path(__file__).parents[3] / "shared" / "data" / "published_seeds"


def scene_of(scene_id, points=500):
    xyz = (generator("published", scene_id).random((points, 3)) * 4).astype(np.float32)
    return Scene(scene_id, xyz, np.zeros((points, 1), np.float32), origin=np.array([10.0, -4.0, 2.0]))


def unit_of(points=500):
    """Ids -1..8, every one of them there."""
    return (np.arange(points) % 10 - 1).astype(np.int32)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_written_comes_back(tmp_path, layout):
    scene, unit = scene_of(IDS[layout]), unit_of()
    path = write_ids(tmp_path, layout, scene.id, unit)
    published = Published(tmp_path, layout)
    assert np.array_equal(published(scene).unit, unit) and published(scene).unit.dtype == np.int32
    assert published.numbers(scene).tolist() == list(range(1, 10))
    assert path == tmp_path / placed(scene.id, layout)
    assert published.stored and published.kinds == ("region",)


def test_files_are_as_redal_writes_them(tmp_path):
    unit = np.array([-1, 1, 0, 0], np.int32)
    assert np.load(write_ids(tmp_path, "s3dis", "Area_1#WC_1", unit)).tolist() == [0, 2, 1, 1]
    assert np.fromfile(write_ids(tmp_path, "semantic_kitti", "00_000001", unit), "<i4").tolist() == [0, 2, 1, 1]
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert files == ["Area_1/supervoxel/WC_1.npy", "sequences/00/supervoxel_large/000001.bin"]


def test_gaps_become_dense_and_the_file_numbers_are_kept(tmp_path):
    scene = scene_of(IDS["scannet"], 4)
    write_ids(tmp_path, "scannet", scene.id, np.array([6, -1, 2, 6], np.int32))
    published = Published(tmp_path, "scannet")
    assert published(scene).unit.tolist() == [1, -1, 0, 1]
    assert published.numbers(scene).tolist() == [3, 7]


def test_columns_of_one_are_fine(tmp_path):
    (tmp_path / "scene0000_00").mkdir()
    np.save(tmp_path / "scene0000_00" / "supervoxel.npy", np.array([[1], [0], [2]], np.int64))
    assert Published(tmp_path, "scannet")(scene_of("scene0000_00", 3)).unit.tolist() == [0, -1, 1]


def test_another_number_of_points_is_refused_with_both_counts(tmp_path):
    scene = scene_of(IDS["s3dis"])
    write_ids(tmp_path, "s3dis", scene.id, unit_of(490))
    with pytest.raises(ValueError, match=r"490 ids, but scene 'Area_3#office_1' has 500 points.*D-27"):
        Published(tmp_path, "s3dis")(scene)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_ids_in_another_order_find_their_points(tmp_path, layout):
    """The files list the points in another order than the scene: with the published points beside them, ids are matched by place."""
    scene, unit = scene_of(IDS[layout]), unit_of()
    order = generator("order").permutation(len(scene))
    write_ids(tmp_path, layout, scene.id, unit[order])
    assert not np.array_equal(Published(tmp_path, layout)(scene).unit, unit)
    write_points(tmp_path / placed(scene.id, layout, points=True), (scene.xyz + scene.origin)[order])
    assert np.array_equal(Published(tmp_path, layout)(scene).unit, unit)


def write_points(path, xyz):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".bin":
        np.insert(xyz, 3, 0, axis=1).astype(np.float32).tofile(path)
    else:
        np.save(path, xyz.astype(np.float32))


def test_a_subsampled_scene_takes_the_ids_of_the_nearest_points(tmp_path):
    scene = scene_of(IDS["s3dis"], 4000)
    unit = (scene.xyz[:, 0] > 2).astype(np.int32)
    write_ids(tmp_path, "s3dis", scene.id, unit)
    write_points(tmp_path / placed(scene.id, "s3dis", points=True), scene.xyz + scene.origin)
    fewer = replace(scene, xyz=scene.xyz[::7] + np.float32(0.01), feat=scene.feat[::7])
    found = Published(tmp_path, "s3dis")(fewer).unit
    assert (found == unit[::7]).mean() > 0.95


def test_other_places_are_refused(tmp_path):
    scene = scene_of(IDS["s3dis"])
    write_ids(tmp_path, "s3dis", scene.id, unit_of())
    write_points(tmp_path / placed(scene.id, "s3dis", points=True), scene.xyz + scene.origin + 50)
    with pytest.raises(ValueError, match="500 of the 500 points .* lie elsewhere.*D-27"):
        Published(tmp_path, "s3dis")(scene)
    write_points(tmp_path / placed(scene.id, "s3dis", points=True), scene.xyz[:-1] + scene.origin)
    with pytest.raises(ValueError, match="500 ids for 499 published points"):
        Published(tmp_path, "s3dis")(scene)


def test_the_hash_follows_the_files_and_not_their_place(tmp_path):
    first = write_ids(tmp_path / "a", "s3dis", IDS["s3dis"], unit_of())
    second = write_ids(tmp_path / "b", "s3dis", IDS["s3dis"], unit_of())
    os.utime(second, ns=(first.stat().st_mtime_ns,) * 2)
    here, there = Published(tmp_path / "a", "s3dis"), Published(tmp_path / "b", "s3dis")
    assert hash_of(here) == hash_of(there)
    write_ids(tmp_path / "b", "s3dis", IDS["s3dis"], unit_of(501))
    assert hash_of(Published(tmp_path / "b", "s3dis")) != hash_of(here)
    write_ids(tmp_path / "a", "s3dis", "Area_3#office_2", unit_of())
    assert hash_of(Published(tmp_path / "a", "s3dis")) != hash_of(here)


def test_a_list_from_another_run_is_refused(tmp_path):
    scene = scene_of(IDS["s3dis"])
    write_ids(tmp_path, "s3dis", scene.id, unit_of())
    write_regions(tmp_path / "regions.json", {scene.id: range(1, 10), "Area_3#office_9": [1]})
    assert Published(tmp_path, "s3dis", regions=tmp_path / "regions.json")(scene).unit.max() == 8
    write_regions(tmp_path / "other.json", {scene.id: range(1, 13)})
    with pytest.raises(ValueError, match="9 regions up to 9, but .*other.json lists 12 up to 12.*D-27"):
        Published(tmp_path, "s3dis", regions=tmp_path / "other.json")(scene)


def test_lists_come_back(tmp_path):
    lists = {"Area_1#office_1": [1, 2, 3], "00_000000": []}
    write_regions(tmp_path / "list.json", lists)
    assert read_regions(tmp_path / "list.json") == lists == json.loads((tmp_path / "list.json").read_text())


@pytest.mark.skipif(not SEEDS.is_dir(), reason="the published lists are not here")
@pytest.mark.parametrize(("name", "rooms", "count"), [("redal", 4, 718), ("seedal", 17, 859)])
def test_the_published_lists_are_read(name, rooms, count):
    lists = read_regions(SEEDS / f"{name}_s3dis_regions.json")
    assert (len(lists), sum(map(len, lists.values()))) == (rooms, count)
    assert layout_of(lists) == "s3dis" and all(ids == list(range(1, len(ids) + 1)) for ids in lists.values())


def test_layouts_are_known_by_their_scenes():
    assert [layout_of([scene_id]) for scene_id in IDS.values()] == list(IDS)
    for ids in ([], ["learn_00"], list(IDS.values())):
        with pytest.raises(ValueError, match="no published layout"):
            layout_of(ids)


@pytest.mark.parametrize("content", ['["a"]', '{"a": [0]}', '{"a": [1, 1]}', '{"a": [true]}', '{"a": 3}', "{"])
def test_broken_lists_are_named(tmp_path, content):
    (tmp_path / "list.json").write_text(content)
    with pytest.raises(ValueError, match="list.json"):
        read_regions(tmp_path / "list.json")


def test_broken_files_are_named(tmp_path):
    (tmp_path / "odd.bin").write_bytes(b"12345")
    np.save(tmp_path / "half.npy", np.array([0.5]))
    np.save(tmp_path / "minus.npy", np.array([-1, 2]))
    (tmp_path / "text.npy").write_text("no")
    for name, message in (("odd.bin", "5 bytes"), ("half.npy", "whole numbers"), ("minus.npy", "from -1 to 2"), ("text.npy", "array file")):
        with pytest.raises(ValueError, match=f"{name}.*{message}"):
            read_ids(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="none.npy"):
        read_ids(tmp_path / "none.npy")


def test_nothing_and_nonsense_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no s3dis partition"):
        Published(tmp_path, "s3dis")
    with pytest.raises(ValueError, match="layout='pcl'"):
        Published(tmp_path, "pcl")
    with pytest.raises(FileNotFoundError, match="no list of regions"):
        Published(tmp_path, "s3dis", regions=tmp_path / "none.json")
    write_ids(tmp_path, "s3dis", IDS["s3dis"], unit_of())
    with pytest.raises(ValueError, match="'learn_00' has no place"):
        Published(tmp_path, "s3dis")(scene_of("learn_00"))
    with pytest.raises(FileNotFoundError, match="office_7"):
        Published(tmp_path, "s3dis")(scene_of("Area_3#office_7"))
