"""What an earlier run bought, as units of a new one."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.data.earlier import Earlier, find_store, last_round
from al3d.data.hashing import hash_of
from al3d.data.labels import LabelState
from al3d.data.store import Store
from al3d.files import write_json
from al3d.types import Partition
from al3d.units.point import PointUnit
from al3d.units.scene import SceneUnit


@dataclass(frozen=True)
class Halves:
    """Two units, neither of them kept: the points left and right of the middle."""

    name: str = "halves"
    stored: bool = False
    kinds: tuple[str, ...] = ("half",)

    def __call__(self, scene):
        return Partition((scene.xyz[:, 0] > 1).astype(np.int32))


def run_of(folder, store, *purchases):
    """The folder of a run that chose from `store` and made these purchases, each (ids per scene, units)."""
    write_json(folder / "identity.json", {"hash": "0", "identity": {"data": store.data_hash, "dataset": {"name": store.name}}})
    (folder / "config.yaml").write_text(f"paths:\n  data: {store.path.parent}\n")
    labels = LabelState(folder, store)
    for bought, unit in purchases:
        labels.append(bought, unit, {})
    return labels


@pytest.fixture
def mixed(tmp_path, tiny_store, tiny_supervoxel):
    """A seed of one scene, then regions, then points, then a half, then regions that hold points bought before."""
    return run_of(
        tmp_path / "mixed",
        tiny_store,
        ({"t_1": [0]}, SceneUnit()),
        ({"t_2": [3, 1], "t_3": [0]}, tiny_supervoxel),
        ({"t_4": [5, 700, 1200], "t_5": [8]}, PointUnit()),
        ({"t_4": [0]}, Halves()),
        ({"t_4": [0, 1, 2, 3]}, tiny_supervoxel),
    )


def test_the_same_points_are_asked_up_to_every_round(mixed, tiny_store):
    for index in (0, 1, 2, 3, 4, None):
        earlier = Earlier(mixed.folder, index)
        for scene in tiny_store.splits["train"]:
            unit = earlier(tiny_store.scene(scene)).unit
            assert unit.dtype == np.int32 and np.array_equal(unit >= 0, mixed.asked(scene, index))
            assert np.array_equal(np.unique(unit[unit >= 0]), np.arange(unit.max() + 1)), "dense from 0"


def test_units_are_those_that_were_bought(mixed, tiny_store, tiny_supervoxel):
    earlier = Earlier(mixed.folder)
    unit = {scene: earlier(tiny_store.scene(scene)).unit for scene in tiny_store.splits["train"]}
    assert np.all(unit["t_1"] == 0) and np.all(unit["t_6"] == -1)
    regions = tiny_store.unit(tiny_supervoxel, "t_2")
    assert np.array_equal(unit["t_2"] == 0, regions == 1) and np.array_equal(unit["t_2"] == 1, regions == 3) and unit["t_2"].max() == 1
    assert np.flatnonzero(unit["t_4"] == 0).tolist() == [5] and np.flatnonzero(unit["t_4"] == 2).tolist() == [1200], "single points"
    new = Halves()(tiny_store.scene("t_4")).unit == 0
    new[[5, 700, 1200]] = False
    assert np.array_equal(unit["t_4"] == 3, new), "what was bought of a scene in units that are not kept is one, without points bought before"
    rest = np.isin(tiny_store.unit(tiny_supervoxel, "t_4"), [0, 1, 2, 3]) & ~mixed.asked("t_4", 3)
    assert np.array_equal(unit["t_4"] > 3, rest)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["scene", "regions", "points"]), st.sets(st.integers(0, 4), min_size=1)), min_size=1, max_size=4), st.data())
def test_any_purchases_are_taken_over(tmp_path_factory, tiny_store, tiny_supervoxel, purchases, data):
    units = {"scene": SceneUnit(), "regions": tiny_supervoxel, "points": PointUnit()}
    made = [({"t_1": [0] if kind == "scene" else sorted(ids)}, units[kind]) for kind, ids in purchases]
    labels = run_of(tmp_path_factory.mktemp("run"), tiny_store, *made)
    up_to = data.draw(st.integers(0, len(purchases) - 1))
    unit = Earlier(labels.folder, up_to)(tiny_store.scene("t_1")).unit
    assert np.array_equal(unit >= 0, labels.asked("t_1", up_to))
    for number in range(unit.max() + 1):
        rounds = {index for index in range(up_to + 1) if (labels.bought("t_1", index) & (unit == number)).any()}
        assert len(rounds) == 1, "a unit is of one purchase"


def test_it_is_a_partitioner_that_is_not_stored(mixed, tiny_store, tmp_path):
    earlier = Earlier(mixed.folder, 1)
    assert not earlier.stored and earlier.kinds == ("bought",) and hash_of(earlier) != hash_of(Earlier(mixed.folder, 2))
    new = LabelState(tmp_path / "new", tiny_store)
    new.append({"t_1": [0], "t_2": [0, 1], "t_3": [0]}, earlier, {})
    assert all(np.array_equal(new.asked(scene), mixed.asked(scene, 1)) for scene in tiny_store.splits["train"])
    shutil.rmtree(mixed.folder)
    assert new.asked("t_2").any(), "the new run's labels stand alone"


@pytest.fixture
def moved(mixed, tiny_store, tmp_path):
    """The data set copied elsewhere, and a run whose configuration names a folder that is gone."""
    target = tmp_path / "elsewhere" / "renamed"
    shutil.copytree(tiny_store.path, target)
    (mixed.folder / "config.yaml").write_text(f"paths:\n  data: {tmp_path / 'gone'}\n")
    return Store(target)


def test_a_moved_data_set_is_found_by_its_content(mixed, moved):
    scene = moved.scene("t_2")
    with pytest.raises(
        FileNotFoundError, match=r"chose from tiny \(content .*\), which is not among the prepared data sets in .*gone \(nothing\).*seed\.unit\.data"
    ):
        Earlier(mixed.folder)(scene)
    assert find_store(mixed.folder, moved.path.parent).path == moved.path
    assert np.array_equal(Earlier(mixed.folder, data=moved.path.parent)(scene).unit >= 0, mixed.asked("t_2"))
    shown = Earlier(mixed.folder)
    shown.check_store(moved, shown)
    assert np.array_equal(shown(scene).unit >= 0, mixed.asked("t_2")), "compared with a data set, it needs no folder"


def test_without_a_configuration_the_folder_must_be_named(mixed, tiny_store):
    (mixed.folder / "config.yaml").unlink()
    with pytest.raises(FileNotFoundError, match=r"config\.yaml is not there.*seed\.unit\.data="):
        Earlier(mixed.folder)(tiny_store.scene("t_1"))


def test_other_data_are_refused(mixed, tiny_store, tmp_path):
    other = Store(tiny_store.path)
    other.data_hash, other.name = "f" * 32, "others"
    earlier = Earlier(mixed.folder)
    with pytest.raises(ValueError, match=rf"bought labels of tiny \(content {tiny_store.data_hash[:12]}\), but the data set here is others \(content f{{12}}"):
        earlier.check_store(other, earlier)
    earlier.check_store(tiny_store, earlier)
    scene = tiny_store.scene("t_1")
    with pytest.raises(ValueError, match="scene 't_1' has other points here"):
        earlier(replace(scene, xyz=scene.xyz + np.float32(0.01)))
    with pytest.raises(ValueError, match="scene 't_6' has other points here"):
        earlier(replace(tiny_store.scene("t_6"), xyz=scene.xyz[:9], feat=scene.feat[:9]))
    with pytest.raises(ValueError, match="which has no scene 'strange'"):
        earlier(replace(scene, id="strange"))


def test_a_partition_that_is_gone_is_named_before_anything_is_bought(mixed, moved):
    shutil.rmtree(moved.path / "unit")
    earlier = Earlier(mixed.folder, data=moved.path.parent)
    with pytest.raises(ValueError, match=r"scene 't_2' were bought by a partition that is gone .*run al3d prepare"):
        earlier.check_store(moved, earlier)
    with pytest.raises(ValueError, match="a partition that is gone"):
        earlier(moved.scene("t_2"))
    assert np.all(earlier(moved.scene("t_1")).unit == 0), "whole scenes need none"
    seed = Earlier(mixed.folder, 0)
    seed.check_store(moved, seed)


def test_wrong_folders_and_rounds_are_refused_when_the_seed_is_built(mixed, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere is not the folder of a run that bought anything"):
        Earlier(tmp_path / "nowhere")
    for wrong in (5, -1, 1.0, True):
        with pytest.raises(ValueError, match=rf"round={wrong}, but its purchases are 0 \(the seed\) to 4"):
            Earlier(mixed.folder, wrong)
    assert last_round(mixed.folder, None) == 4
    (mixed.folder / "identity.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"identity\.json is not there"):
        find_store(mixed.folder)
