"""Columns of a level grid, and the numbers of cells."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.types import Scene
from al3d.units.cells import cell_ids
from al3d.units.column import Column
from al3d.units.point import PointUnit
from al3d.units.voxel import VoxelUnit

POINTS = st.lists(st.tuples(*[st.floats(-50, 50, width=32)] * 3), min_size=1, max_size=60)


def scene_of(xyz):
    xyz = np.asarray(xyz, np.float32)
    return Scene("test", xyz, np.zeros((len(xyz), 1), np.float32))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(POINTS, st.sampled_from([0.5, 1.0, 2.0, 0.3]))
def test_columns_equal_a_sorted_list_of_cells(points, size):
    xyz = np.array(points, np.float32)
    cells = [tuple(cell) for cell in np.floor(xyz[:, :2].astype(np.float64) / size).astype(int)]
    number = {cell: i for i, cell in enumerate(sorted(set(cells)))}
    assert Column(size)(scene_of(xyz)).unit.tolist() == [number[cell] for cell in cells]


def test_height_does_not_matter():
    xyz = np.random.default_rng(0).uniform(-3, 3, (5000, 3)).astype(np.float32)
    lifted = xyz + np.array([0, 0, 7.3], np.float32) * np.random.default_rng(1).random((5000, 1)).astype(np.float32)
    assert np.array_equal(Column(0.5)(scene_of(xyz)).unit, Column(0.5)(scene_of(lifted)).unit)
    assert VoxelUnit(0.5)(scene_of(xyz)).unit.max() > Column(0.5)(scene_of(xyz)).unit.max() == 143


def test_moving_by_whole_cells_changes_nothing():
    xyz = np.random.default_rng(0).integers(-1000, 1000, (800, 3)).astype(np.float32) / 64
    moved = xyz + np.array([3.0, -17.0, 0.25], np.float32)
    assert np.array_equal(Column(1.0)(scene_of(xyz)).unit, Column(1.0)(scene_of(moved)).unit)


def test_cells_below_zero_are_cells_of_their_own():
    assert cell_ids(np.array([[-0.1, 0.1], [0.1, 0.1], [-0.9, 0.9], [0.1, -0.1]], np.float32), 1.0, "s").tolist() == [0, 2, 0, 1]


def test_points_of_a_subsampled_cloud_are_units():
    scene = scene_of(np.random.default_rng(0).random((50, 3)))
    partition = PointUnit()(scene)
    assert partition.unit.tolist() == list(range(50)) and not partition.kinds().any()


@pytest.mark.parametrize(("make", "message"), [(lambda: Column(0.0), "size = 0.0 m: the size of a column"), (lambda: Column(float("nan")), "size = nan")])
def test_names_a_size_that_makes_no_sense(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_too_many_columns_are_named():
    with pytest.raises(ValueError, match=r"scene 'test'.*columns of 1e-10 m are too many"):
        Column(1e-10)(scene_of([[0, 0, 0], [1e3, 1e3, 0]]))
