"""Units that a file names."""

import json
from dataclasses import replace

import numpy as np
import pytest

from al3d.acquire.acquirer import Acquirer
from al3d.acquire.budget import Budget
from al3d.acquire.listed import Listed
from al3d.acquire.pick import Top
from al3d.acquire.reduce import join
from al3d.units.scene import SceneUnit


def written(folder, content):
    path = folder / "list.json"
    path.write_text(json.dumps(content))
    return path


def bought(make_view, path, amount=100, per="units"):
    views = [make_view([0, 0, 1, 2, -1], index=index) for index in range(3)]
    views = [replace(view, scene=replace(view.scene, id=f"s{index}")) for index, view in enumerate(views)]
    method = Acquirer("list", SceneUnit(), Top(above=0.0), Budget(amount, per), Listed(path))
    units = join([method.local(view) for view in views])
    rows, _ = method.select(units, 0, [], 15, (1,))
    return [(f"s{units.scene[row]}", int(units.unit[row])) for row in rows]


def test_only_listed_units_are_bought_in_the_order_of_the_list(make_view, tmp_path):
    path = written(tmp_path, {"s2": [1, 0], "s0": [2], "elsewhere": [7]})
    assert bought(make_view, path, 9) == [("s2", 1), ("s2", 0), ("s0", 2)]
    assert bought(make_view, path, 2) == [("s2", 1), ("s2", 0)], "the budget holds"


def test_a_list_of_scenes_means_all_of_them(make_view, tmp_path):
    rows = bought(make_view, written(tmp_path, ["s1", "s0"]), 9)
    assert [scene for scene, _ in rows] == ["s1"] * 3 + ["s0"] * 3


@pytest.mark.parametrize("content", [3, {"s0": 1}, {"s0": [-1]}, {"s0": ["1"]}, [1], {"s0": [True]}])
def test_other_files_are_refused(make_view, tmp_path, content):
    with pytest.raises(ValueError, match=r"list\.json: give a list of scenes"):
        bought(make_view, written(tmp_path, content))


def test_units_that_are_not_there_are_named(make_view, tmp_path):
    with pytest.raises(ValueError, match=r"'s1' has 3 units, but unit 3 is listed"):
        bought(make_view, written(tmp_path, {"s1": [3]}))
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json: no such list"):
        bought(make_view, tmp_path / "nowhere.json")


def test_scenes_that_the_data_set_does_not_have_are_named_before_anything_is_bought(tiny_store, tmp_path):
    train, val = tiny_store.splits["train"][0], tiny_store.splits["val"][0]
    Listed(written(tmp_path, [train, val])).check_store(tiny_store, SceneUnit())
    for content in ([train, "zz"], {"zz": [0], train: [0]}, [f"{train}.ply", "zz"]):
        with pytest.raises(ValueError, match=r"list\.json: .*'zz'.* of 2 listed scenes\) are not among the data set's 8 scenes, such as 't_1'"):
            Listed(written(tmp_path, content)).check_store(tiny_store, SceneUnit())


def test_scores_fall_with_the_place(make_view, tmp_path):
    view = make_view([0, 1, 2, -1])
    score = Listed(written(tmp_path, {view.scene.id: [2, 0]}))(view)
    assert score[2] == 1 > score[0] > 0 == score[1] == score[3]
    assert np.isfinite(score).all()
