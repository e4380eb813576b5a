"""Queries keep the order in which they were chosen, and know the points that were asked through them first."""

from functools import partial

import numpy as np
import pytest

from al3d.data.labels import LabelState
from al3d.people.queries import Query, points_of, queries_of, write_queries
from al3d.units.point import PointUnit


def bought(labels, unit, asked):
    """Buy (scene, unit) pairs in this order."""
    by_scene = {scene: [number for other, number in asked if other == scene] for scene, _ in asked}
    order = partial(write_queries, scenes=[scene for scene, _ in asked], unit=[number for _, number in asked], points=[1] * len(asked))
    labels.append(by_scene, unit, {}, order)


def test_the_newest_round_comes_first(tiny_store, tmp_path):
    labels = LabelState(tmp_path, tiny_store)
    bought(labels, PointUnit(), [("t_2", 4)])
    bought(labels, PointUnit(), [("t_5", 17), ("t_1", 3)])
    assert queries_of(tmp_path, tiny_store) == [Query(1, 0, "t_5", 17, 1), Query(1, 1, "t_1", 3, 1), Query(0, 0, "t_2", 4, 1)]


def test_points_are_those_asked_first(tiny_store, tiny_supervoxel, tmp_path):
    labels = LabelState(tmp_path, tiny_store)
    unit = np.asarray(tiny_store.unit(tiny_supervoxel, "t_1"))
    members = np.flatnonzero(unit == 2)
    bought(labels, PointUnit(), [("t_1", int(members[1])), ("t_1", int(members[4]))])
    bought(labels, tiny_supervoxel, [("t_1", 2), ("t_1", 0)])
    assert points_of(Query(0, 0, "t_1", int(members[1]), 1), labels).tolist() == [members[1]]
    assert points_of(Query(1, 0, "t_1", 2, 1), labels).tolist() == [point for point in members.tolist() if point not in (members[1], members[4])]
    assert points_of(Query(1, 1, "t_1", 0, 1), labels).tolist() == np.flatnonzero(unit == 0).tolist()
    with pytest.raises(ValueError, match="round 1 asked for no point of unit 1 of scene 't_1'"):
        points_of(Query(1, 0, "t_1", 1, 1), labels)


def test_what_was_not_asked_of_people(tiny_store, tiny_supervoxel, tmp_path):
    labels = LabelState(tmp_path, tiny_store)
    labels.append({"t_1": [0]}, tiny_supervoxel, {})
    with pytest.raises(ValueError, match="asked nobody: a run that people label was started with oracle=people"):
        queries_of(tmp_path, tiny_store, 0)
    with pytest.raises(FileNotFoundError, match="labels-01: no such purchase"):
        queries_of(tmp_path, tiny_store, 1)
