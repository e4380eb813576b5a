"""What a browser says, without a browser: actions, stale ones, nonsense, and what is drawn for them."""

import json
from functools import partial

import numpy as np
import pytest

from al3d.annotate.command import opened
from al3d.annotate.page import Page
from al3d.annotate.scenery import Kept
from al3d.annotate.screen import painted
from al3d.data.labels import LabelState
from al3d.people.queries import write_queries


class Paper:
    """A screen that notes what it is told."""

    def __init__(self):
        self.told = []

    def begin(self, cloud):
        self.told.append(("begin", cloud.scene.id))

    def look(self, cloud, view):
        self.told.append(("look", tuple(view.eye)))

    def draw(self, region, shown, classes, bright):
        self.told.append(("draw", shown.query.unit, len(shown.target), bright))

    def clear(self):
        self.told.append(("clear",))

    def within(self, cloud, points, low, high):
        return np.arange(len(points)) < 7


@pytest.fixture
def page(run_folder, tiny_store):
    page = Page(*opened(run_folder, tiny_store), "anna")
    page.attach(Paper())
    return page


def act(page, do, **more):
    return page.act({"do": do, "serial": page.sitting.serial, **more})


def test_a_sitting(page):
    assert [told[0] for told in page.screen.told] == ["begin", "look", "draw"]
    state = act(page, "class", index=1)
    assert state["query"]["unit"] == 3 and state["done"] == 1 and state["total"] == 6
    assert [one["count"] for one in state["classes"]] == [0, 1, 0]
    assert state["answers"][0]["class"] == "box" and state["answers"][0]["who"] == "anna"
    assert json.loads(json.dumps(state)) == state
    for _ in range(5):
        state = act(page, "unsure")
    assert state["query"] is None and state["left"] == 0 and state["unsure"] == 5
    assert page.screen.told[-1] == ("clear",)


def test_what_was_meant_for_an_earlier_query_is_dropped(page):
    serial = page.sitting.serial
    page.act({"do": "class", "serial": serial, "index": 0})
    state = page.act({"do": "class", "serial": serial, "index": 0})
    assert state["done"] == 1
    assert page.act({"do": "class", "index": 0})["done"] == 1


@pytest.mark.parametrize(
    "said",
    [{}, {"do": None}, {"do": "rm"}, {"do": ["class"]}, {"do": "class", "index": "0"}, {"do": "class", "index": True}, {"do": "class", "index": 17},
     {"do": "class"}, {"do": "show"}, {"do": "show", "round": 0, "scene": "../../etc/passwd", "unit": 0}, {"do": "show", "round": 0, "scene": 5, "unit": 0.5}],
)  # fmt: skip
def test_nonsense_changes_nothing(page, said):
    with pytest.raises(ValueError, match=r"\w"):
        page.act({"serial": page.sitting.serial, **said})
    assert page.state()["done"] == 0 and page.state()["query"]["unit"] == 0


def test_a_split_and_a_rectangle(page):
    whole = page.state()["query"]["points"]
    state = page.rectangle((0, 0), (1, 1))
    assert state["query"]["points"] == 7 and state["query"]["parts"] == 2
    state = act(page, "class", index=1)
    assert state["query"]["points"] == whole - 7 and state["query"]["part"] == 2
    state = act(page, "split")
    assert state["query"]["parts"] > 2
    while state["query"]["unit"] == 0 and state["query"]["scene"] == "t_1":
        state = act(page, "class", index=0)
    assert state["answers"][0]["class"] == "box, table"


def test_viewpoints_go_round_and_the_highlight_goes_off(page):
    act(page, "class", index=0)
    first = page.screen.told[-2]
    looks = []
    for _ in range(4):
        act(page, "view")
        looks.append(page.screen.told[-1])
    assert len(set(looks)) == 4 and looks[-1] == first
    act(page, "bright")
    assert page.screen.told[-1][-1] is False
    act(page, "bright")
    assert page.screen.told[-1][-1] is True


def test_a_lost_picture_is_drawn_again(page):
    act(page, "class", index=0)
    again = Paper()
    page.attach(again)
    assert [told[0] for told in again.told] == ["begin", "look", "draw"] and again.told[2][1] == 3


def test_the_next_ones_are_made_ready(page):
    page.prepare()
    assert all(query in page.scenery.region for query in page.run.queries[:3])


def test_what_others_did_is_seen(page, run_folder, tiny_store):
    other = Page(page.run, page.scenery, "ben")
    act(other, "class", index=2)
    assert page.tick()["done"] == 1
    other.close()


def test_another_round_joins_the_queue(page, run_folder, tiny_store, tiny_supervoxel):
    shown = page.state()["query"]
    LabelState(run_folder, tiny_store).append({"t_5": [2]}, tiny_supervoxel, {}, partial(write_queries, scenes=["t_5"], unit=[2], points=[1]))
    state = page.tick()
    assert state["query"] == shown and state["total"] == 7
    assert act(page, "class", index=0)["query"]["scene"] == "t_5"  # the newest round is worth most


def test_coarse_points_are_dim_true_or_the_regions(page):
    region = page.scenery.region(page.run.queries[0])
    cloud, true = region.cloud, region.cloud.colours(region.cloud.coarse)
    paint = painted(region, region.points[::-1], np.full((len(region.points), 3), 7, np.uint8), true)
    inside = np.isin(cloud.coarse, region.points)
    assert inside.any() and (paint[inside] == 7).all()
    near = np.linalg.norm(cloud.scene.xyz[cloud.coarse] - region.around.middle, axis=1) <= region.around.reach
    assert (paint[near & ~inside] == true[near & ~inside]).all()
    assert (paint[~near] != true[~near]).any(axis=1).all()


def test_what_is_kept_is_made_once_and_the_oldest_goes():
    made = []
    kept = Kept(lambda key: made.append(key) or key * 2, 2)
    assert [kept(key) for key in (1, 2, 1, 3, 1, 2)] == [2, 4, 2, 6, 2, 4]
    assert made == [1, 2, 3, 2] and 3 not in kept
