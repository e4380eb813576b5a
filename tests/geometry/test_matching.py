"""Nearest points within a radius, against brute force."""

import numba
import numpy as np
import pytest

from al3d.geometry.matching import index_points, nearest_within


def brute(points, queries, radius):
    found = []
    for query in queries:
        squared = ((points - query) ** 2).sum(axis=1) if len(points) else np.zeros(0)
        near = [row for row in range(len(points)) if squared[row] <= radius * radius]
        found.append(min(near, key=lambda row: (squared[row], row)) if near else -1)
    return found


@pytest.mark.parametrize("seed", range(8))
def test_equals_brute_force(seed):
    random = np.random.default_rng(seed)
    points = random.uniform(-2, 2, (int(random.integers(0, 300)), 3)) + [3000.0, -500.0, 0.0]
    queries = random.uniform(-2.2, 2.2, (200, 3)) + [3000.0, -500.0, 0.0]
    radius = float(random.uniform(0.05, 0.8))
    assert nearest_within(index_points(points, radius), queries).tolist() == brute(points, queries, radius)


def test_ties_go_to_the_smallest_index_on_any_number_of_threads():
    points = np.array([[1.0, 0, 0], [-1.0, 0, 0], [0, 1.0, 0], [1.0, 0, 0]])[[1, 0, 3, 2]]
    queries = np.zeros((50, 3))
    threads = numba.get_num_threads()
    try:
        for count in {1, threads}:
            numba.set_num_threads(count)
            assert set(nearest_within(index_points(points, 1.0), queries).tolist()) == {0}
    finally:
        numba.set_num_threads(threads)


def test_what_cannot_be_matched_is_refused():
    with pytest.raises(ValueError, match="must be positive"):
        index_points(np.zeros((1, 3)), 0.0)
    with pytest.raises(ValueError, match="cannot be matched"):
        index_points(np.array([[1e7, 0, 0]]), 0.1)
    assert nearest_within(index_points(np.zeros((0, 3)), 0.1), np.zeros((2, 3))).tolist() == [-1, -1]
    assert nearest_within(index_points(np.zeros((1, 3)), 0.1), np.array([[1e9, 0, 0]])).tolist() == [-1]
