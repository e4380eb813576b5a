"""Seeds that others published: what is bought, in which order, and what is said when the list and the data do not fit."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from al3d.acquire.acquirer import Acquirer
from al3d.acquire.budget import Budget
from al3d.acquire.listed import Listed
from al3d.acquire.pick import Top
from al3d.acquire.published import Published
from al3d.acquire.reduce import join
from al3d.units.scene import SceneUnit

CONF = Path(__file__).parents[2] / "conf"
ROOMS = ("Area_1#office_1", "Area_1#office_2", "Area_2#WC_1")
#: Three regions, and one point in none.
REGIONS = [0, 0, 1, 2, -1]


@dataclass(frozen=True)
class FakeUnit:
    """A partition with `counts[scene]` regions."""

    name: str = "supervoxel-1-1"


class FakeStore:
    """As much of a store as a list is compared with."""

    name = "rooms"

    def __init__(self, regions=3, scenes=ROOMS):
        self.splits = {"train": scenes, "val": ("Area_5#office_1",)}
        self.regions = regions if isinstance(regions, dict) else dict.fromkeys(scenes, regions)
        self.read = []

    def unit(self, unit, scene):
        self.read.append(scene)
        return np.arange(-1, self.regions[scene], dtype=np.int32)


def written(folder, content, name="list.json"):
    path = folder / name
    path.write_text(json.dumps(content))
    return path


def bought(make_view, score, unit=None, rooms=ROOMS):
    """(scene, unit) in the order of buying, from scenes of three regions, or of whole scenes when `unit` is all zeros."""
    ids = REGIONS if unit is None else unit
    views = [make_view(ids, index=index) for index in range(len(rooms))]
    views = [replace(view, scene=replace(view.scene, id=scene), whole=unit is not None) for view, scene in zip(views, rooms, strict=True)]
    method = Acquirer("published", SceneUnit(), Top(above=0.0), Budget(None, "everything"), score)
    units = join([method.local(view) for view in views])
    rows, _ = method.select(units, 0, [], 15, (1,))
    return [(rooms[units.scene[row]], int(units.unit[row])) for row in rows]


def test_exactly_the_listed_scenes_are_bought_in_their_order(make_view, tmp_path):
    score = Published(written(tmp_path, ["/x/Area_2/coords/WC_1.npy", "Area_1/coords/office_1.npy"]))
    assert bought(make_view, score, [0] * 5) == [("Area_2#WC_1", 0), ("Area_1#office_1", 0)]


def test_of_a_listed_scan_every_region_is_bought(make_view, tmp_path):
    score = Published(written(tmp_path, ["Area_2/coords/WC_1.npy", "Area_1/coords/office_1.npy"]))
    assert bought(make_view, score) == [(scene, unit) for scene in ("Area_2#WC_1", "Area_1#office_1") for unit in range(3)]


def test_listed_regions_are_bought_by_their_number_less_one(make_view, tmp_path):
    regions = {"Area_2#WC_1": [3, 1], "Area_1#office_1": [2], "Area_1#office_2": []}
    score = Published(written(tmp_path, regions))
    assert bought(make_view, score) == [("Area_2#WC_1", 2), ("Area_2#WC_1", 0), ("Area_1#office_1", 1)]
    ours = {scene: [number - 1 for number in ids] for scene, ids in regions.items()}
    assert bought(make_view, Listed(written(tmp_path, ours, "ours.json"))) == bought(make_view, score), "as a list that counts from 0"


def test_scores_are_one_first_and_fall_to_zero_for_what_is_not_listed(make_view, tmp_path):
    view = make_view([0, 1, 2, 0, -1])
    score = Published(written(tmp_path, {view.scene.id: [3, 1], "other": [1, 2, 3]}))(view)
    assert score.dtype == np.float32 and score[2] == 1 > score[0] == score[3] > 0 == score[1] == score[4]
    assert score[0] == pytest.approx(1 - 1 / 6)


def test_a_region_that_is_not_there_and_regions_of_whole_scenes_are_refused_when_scored(make_view, tmp_path):
    score = Published(written(tmp_path, {"Area_1#office_2": [4]}))
    with pytest.raises(
        ValueError,
        match=r"list\.json: 1 scenes have fewer regions than are listed: Area_1#office_2 has 3, region 4 is listed; region ids are not portable.*D-27",
    ):
        bought(make_view, score)
    with pytest.raises(ValueError, match=r"lists regions, but whole scenes are asked for: add unit@seed\.unit=supervoxel"):
        bought(make_view, score, [0] * 5)


def test_missing_scenes_are_listed_or_skipped(tmp_path):
    far = [f"Area_6/coords/office_{number}.npy" for number in range(1, 13)]
    path = written(tmp_path, ["Area_1/coords/office_1.npy", "Area_5/coords/office_1.npy", *far])
    store, unit = FakeStore(), SceneUnit()
    with pytest.raises(ValueError, match=r"13 of 14 listed scenes are not in the training split of rooms \(3 scenes") as error:
        Published(path).check_store(store, unit)
    text = str(error.value)
    assert "Area_5#office_1, Area_6#office_1, " in text and "Area_6#office_9 and 3 more" in text and "Area_6#office_10" not in text and "missing=skip" in text
    with pytest.warns(UserWarning, match="13 of 14 listed scenes are not there and left out"):
        Published(path, missing="skip").check_store(store, unit)
    with pytest.raises(ValueError, match="12 of 12 listed scenes are not in"):
        Published(written(tmp_path, far, "far.json"), missing="skip").check_store(store, unit)
    assert store.read == [], "whole scenes need no partition"


def test_skipped_scenes_do_not_stop_the_others(make_view, tmp_path):
    score = Published(written(tmp_path, ["Area_6#office_9", "Area_1#office_2"]), missing="skip")
    assert bought(make_view, score, [0] * 5) == [("Area_1#office_2", 0)]


def quiet(score, store, unit):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score.check_store(store, unit)


def test_scans_with_other_numbers_of_regions_are_bought_whole_with_a_warning(tmp_path):
    scans = written(tmp_path, list(ROOMS))
    lists = written(tmp_path, {scene: [1, 2, 3] for scene in ROOMS}, "regions.json")
    quiet(Published(scans, lists), FakeStore(3), FakeUnit())
    quiet(Published(scans), FakeStore(4), FakeUnit())
    quiet(Published(scans, lists), FakeStore(4), SceneUnit())
    other = FakeStore({**dict.fromkeys(ROOMS, 3), "Area_1#office_2": 5})
    with pytest.warns(
        UserWarning, match=r"1 of 3 scenes have another number of regions: Area_1#office_2 3 there, 5 here; region ids are not portable.*bought whole"
    ):
        Published(scans, lists).check_store(other, FakeUnit())


def test_the_two_lists_beside_a_published_one_say_how_many_regions_there_are(tmp_path):
    label = written(tmp_path, {"Area_1#office_1": [1, 3]}, "init_label_region.json")
    scans = written(tmp_path, ["Area_1/coords/office_1.npy"], "init_label_scan.json")
    written(tmp_path, {"Area_1#office_1": [2], "Area_2#WC_1": [1]}, "init_ulabel_region.json")
    quiet(Published(label), FakeStore(3), FakeUnit())
    quiet(Published(scans), FakeStore(3), FakeUnit())
    with pytest.raises(ValueError, match=r"1 of 1 scenes have another number of regions: Area_1#office_1 3 there, 4 here.*D-27.*or give the list of scans"):
        Published(label).check_store(FakeStore(4), FakeUnit())
    with pytest.warns(UserWarning, match="3 there, 4 here"):
        Published(scans).check_store(FakeStore(4), FakeUnit())


def test_listed_regions_must_exist_and_may_be_the_whole_scene(tmp_path):
    path = written(tmp_path, {"Area_1#office_1": [1, 2, 3], "Area_2#WC_1": [2]})
    quiet(Published(path), FakeStore(3), FakeUnit())
    with pytest.raises(ValueError, match="1 scenes have fewer regions than are listed: Area_1#office_1 has 2, region 3 is listed"):
        Published(path).check_store(FakeStore(2), FakeUnit())
    with pytest.warns(UserWarning, match=r"of 1 scenes the first regions alone are listed: Area_1#office_1 1\.\.3 of 4\. If whole scenes were meant"):
        Published(path).check_store(FakeStore(4), FakeUnit())
    with pytest.raises(ValueError, match="whole scenes are asked for"):
        Published(path).check_store(FakeStore(3), SceneUnit())


def test_wrong_lists_are_refused_when_the_seed_is_built(tmp_path):
    scans, regions = written(tmp_path, ["a", "b"]), written(tmp_path, {"a": [1], "c": [1]}, "regions.json")
    with pytest.raises(ValueError, match=r"are not lists of the same scenes: b, c in one of them alone"):
        Published(scans, regions)
    with pytest.raises(ValueError, match="lists regions already: leave region_list="):
        Published(regions, regions)
    with pytest.raises(ValueError, match="lists nothing"):
        Published(written(tmp_path, [], "empty.json"))
    with pytest.raises(ValueError, match="missing='ignore' is not one of error, skip"):
        Published(scans, missing="ignore")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json"):
        Published(tmp_path / "nowhere.json")


@pytest.mark.parametrize(("choice", "wanted"), [("published", Published), ("list", Listed)])
def test_the_configuration_builds(tmp_path, choice, wanted):
    path = written(tmp_path, ["Area_1#office_1"])
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        config = compose("train", overrides=[f"seed={choice}", f"seed.score.file={path}"])
    OmegaConf.update(config, "classes", 13)
    seed = instantiate(config.seed, _convert_="all")
    assert isinstance(seed, Acquirer) and isinstance(seed.score, wanted) and seed.name == choice and not seed.predicts
    assert seed.unit == SceneUnit() and seed.budget.per == "everything" and seed.pick == Top(above=0.0)
    assert seed.extras == () and seed.partitions == (seed.unit,)
