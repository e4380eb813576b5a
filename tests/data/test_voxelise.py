"""Voxels against a dictionary of cells."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.data.voxelise import LIMIT, first_label, first_rows, majority_label, mean_rows, voxelise
from al3d.geometry.bounds import bounds
from al3d.rng import generator
from al3d.types import IGNORE

PROPERTY = settings(max_examples=25, deadline=None, derandomize=True)


def cloud(seed, points):
    random = generator("voxels", seed)
    return random.normal(size=(points, 3)).astype(np.float32) * 2 - 50


@PROPERTY
@given(st.integers(0, 10**6), st.integers(1, 80), st.sampled_from([0.05, 0.3, 1.0, 100.0]))
def test_voxels_are_the_sorted_distinct_cells(seed, points, size):
    xyz = cloud(seed, points)
    coord, inverse = voxelise(xyz, size)
    cells = [tuple(int(np.rint(value)) for value in (row - xyz.min(axis=0)) / np.float32(size)) for row in xyz]
    assert [tuple(row) for row in coord.tolist()] == sorted(set(cells))
    assert [tuple(row) for row in coord[inverse].tolist()] == cells
    assert coord.dtype == np.int32 and inverse.dtype == np.int64 and coord.min(axis=0).tolist() == [0, 0, 0]


@PROPERTY
@given(st.integers(0, 10**6), st.integers(1, 80), st.integers(1, 5))
def test_a_label_is_the_majority_of_known_points_and_the_lower_class_of_equals(seed, points, voxels):
    random = generator("labels", seed)
    inverse, label = random.integers(0, voxels, points), random.choice(np.array([0, 1, 2, IGNORE, IGNORE], np.uint8), points)
    wanted = []
    for voxel in range(voxels):
        votes = Counter(int(value) for value in label[inverse == voxel] if value != IGNORE)
        wanted.append(min(votes, key=lambda value: (-votes[value], value)) if votes else IGNORE)
    got = majority_label(label, inverse, voxels, 3)
    assert got.tolist() == wanted and got.dtype == np.int64
    order = random.permutation(points)
    assert majority_label(label[order], inverse[order], voxels, 3).tolist() == wanted


def test_one_asked_point_outweighs_any_number_of_unknown_ones():
    label = np.array([IGNORE] * 9 + [2, IGNORE], np.uint8)
    assert majority_label(label, np.array([0] * 10 + [1]), 2, 3).tolist() == [2, IGNORE]


@PROPERTY
@given(st.integers(0, 10**6), st.integers(1, 80))
def test_rows_of_voxels_equal_a_loop_and_order_does_not_matter_to_the_mean(seed, points):
    xyz = cloud(seed, points)
    coord, inverse = voxelise(xyz, 1.0)
    values = generator("values", seed).normal(size=(points, 4)).astype(np.float32)
    mean, first = mean_rows(values, inverse, len(coord)), first_rows(values, inverse, len(coord))
    assert mean.dtype == np.float32
    for voxel in range(len(coord)):
        inside = np.flatnonzero(inverse == voxel)
        np.testing.assert_allclose(mean[voxel], values[inside].astype(np.float64).mean(axis=0), rtol=1e-6, atol=1e-6)
        assert np.array_equal(first[voxel], values[inside[0]])
    order = generator("order", seed).permutation(points)
    shuffled, back = voxelise(xyz[order], 1.0)
    assert np.array_equal(shuffled, coord) and np.array_equal(back, inverse[order])
    np.testing.assert_allclose(mean_rows(values[order], back, len(coord)), mean, rtol=1e-6, atol=1e-7)


def test_a_cloud_may_span_the_limit_but_not_more():
    edge = np.array([[0, 0, 0], [LIMIT, LIMIT, LIMIT], [LIMIT, 0, 0], [0, 0, LIMIT]], np.float32)
    coord, inverse = voxelise(edge, 1.0)
    assert coord.tolist() == [[0, 0, 0], [0, 0, LIMIT], [LIMIT, 0, 0], [LIMIT, LIMIT, LIMIT]] and inverse.tolist() == [0, 3, 2, 1]
    with pytest.raises(ValueError, match="spans 32,001 voxels of 1.0 m along x .*: at most 32,000"):
        voxelise(edge + np.array([0, 0, 0], np.float32) + (edge > 0), 1.0)


def test_a_single_point_is_one_voxel():
    coord, inverse = voxelise(np.array([[-3.2, 1e4, 0.1]], np.float32), 0.05)
    assert coord.tolist() == [[0, 0, 0]] and inverse.tolist() == [0]


@PROPERTY
@given(st.integers(0, 10**6), st.integers(1, 80), st.integers(1, 5))
def test_the_first_points_label_wins_even_when_it_is_unknown(seed, points, voxels):
    random = generator("first", seed)
    inverse = np.concatenate([np.arange(voxels), random.integers(0, voxels, points)])
    label = random.choice(np.array([0, 1, 2, IGNORE], np.uint8), voxels + points)
    got = first_label(label, inverse, voxels)
    assert got.tolist() == [int(label[np.flatnonzero(inverse == voxel)[0]]) for voxel in range(voxels)] and got.dtype == np.int64


def test_first_loses_an_asked_point_that_majority_keeps():
    label, inverse = np.array([IGNORE, 2, 1, 0], np.uint8), np.array([0, 0, 1, 1])
    assert first_label(label, inverse, 2).tolist() == [IGNORE, 1] and majority_label(label, inverse, 2, 3).tolist() == [2, 0]


@PROPERTY
@given(st.integers(0, 10**6), st.integers(1, 300), st.sampled_from([0.05, 0.3, 1.0, 100.0]))
def test_compiled_loops_have_the_bits_of_numpy(seed, points, size):
    xyz = cloud(seed, points)
    cells = np.rint((xyz - xyz.min(axis=0)) / np.float32(size)).astype(np.int64)
    keys, back = np.unique((cells[:, 0] << 32) | (cells[:, 1] << 16) | cells[:, 2], return_inverse=True)
    coord, inverse = voxelise(xyz, size)
    assert np.array_equal(coord, np.stack([keys >> 32, (keys >> 16) & 0xFFFF, keys & 0xFFFF], axis=1)) and np.array_equal(inverse, back)
    low, high = bounds(xyz)
    assert np.array_equal(low, xyz.min(axis=0)) and np.array_equal(high, xyz.max(axis=0)) and low.dtype == np.float32
    values = generator("bits", seed).normal(size=(points, 3)).astype(np.float32)
    sums = np.stack([np.bincount(inverse, weights=column, minlength=len(coord)) for column in values.T], axis=1)
    assert np.array_equal(mean_rows(values, inverse, len(coord)), (sums / np.bincount(inverse)[:, None]).astype(np.float32))
    assert np.array_equal(mean_rows(np.asfortranarray(values), inverse, len(coord)), mean_rows(values, inverse, len(coord)))
