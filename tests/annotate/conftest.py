"""A run without a network: the tiny store, and purchases that ask about its supervoxels."""

from functools import partial

import pytest

from al3d.data.labels import LabelState
from al3d.people.queries import write_queries


def ask(run, store, unit, asked):
    """Buy (scene, unit) pairs in this order, as a round does."""
    labels = LabelState(run, store)
    sizes = [int((store.unit(unit, scene) == number).sum()) for scene, number in asked]
    by_scene = {scene: [number for other, number in asked if other == scene] for scene, _ in asked}
    order = partial(write_queries, scenes=[scene for scene, _ in asked], unit=[number for _, number in asked], points=sizes)
    labels.append(by_scene, unit, {}, order)


@pytest.fixture
def run_folder(tiny_store, tiny_supervoxel, tmp_path):
    """A run that asks about six supervoxels of two scenes, worth most first."""
    folder = tmp_path / "run"
    ask(folder, tiny_store, tiny_supervoxel, [("t_1", 0), ("t_1", 3), ("t_2", 1), ("t_1", 5), ("t_2", 4), ("t_2", 0)])
    return folder
