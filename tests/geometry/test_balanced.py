"""The assignment of points to centres with prescribed sizes, against linear programming; starts by k-means++."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment, linprog
from scipy.sparse import eye_array, kron, vstack

from al3d.geometry import balanced
from al3d.geometry.balanced import assign, means, plus_plus
from al3d.rng import generator


def costs(points, centres, squared):
    distance = np.linalg.norm(points[:, None] - centres[None], axis=2)
    return distance**2 if squared else distance


def optimum(cost, lower, upper):
    """The least total cost, by linear programming: its vertices are whole numbers."""
    count, centres = cost.shape
    once = kron(eye_array(count), np.ones((1, centres)))
    size = kron(np.ones((1, count)), eye_array(centres))
    limits = np.concatenate([np.full(centres, upper), np.full(centres, -lower)])
    return linprog(cost.ravel(), A_ub=vstack([size, -size]), b_ub=limits, A_eq=once, b_eq=np.ones(count), method="highs").fun


@st.composite
def problems(draw):
    random = generator("balanced", draw(st.integers(0, 10_000)))
    count = draw(st.integers(1, 120))
    centres = draw(st.integers(1, min(count, 12)))
    points = random.normal(size=(count, 3)) * 10.0 ** random.integers(-1, 3, 3)
    if draw(st.booleans()):
        points = np.round(points)
    mean = count / centres
    lower = draw(st.integers(0, int(mean)))
    upper = draw(st.integers(int(np.ceil(mean)), count))
    return points, points[random.choice(count, centres, replace=False)], lower, upper


@settings(max_examples=60, deadline=None, derandomize=True)
@given(problems(), st.booleans())
def test_no_assignment_is_cheaper(problem, squared):
    points, centres, lower, upper = problem
    label = assign(points, centres, lower, upper, squared)
    size = np.bincount(label, minlength=len(centres))
    assert len(size) == len(centres) and size.min() >= lower and size.max() <= upper
    cost = costs(points, centres, squared)
    assert cost[np.arange(len(points)), label].sum() == pytest.approx(optimum(cost, lower, upper), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("squared", [False, True])
def test_prices_of_a_sample_and_long_lists_of_moves_change_nothing(squared, monkeypatch):
    points = generator("levels").normal(size=(1200, 3)) * [20, 20, 2] + generator("side").integers(0, 2, (1200, 1)) * 30
    points = points[np.lexsort(points.T)]
    centres = points[[3, 5, 700, 702, 704, 1100]]
    cost = costs(points, centres, squared)
    rows, columns = linear_sum_assignment(np.repeat(cost, 200, axis=1))
    expected = cost[rows, columns // 200].sum()
    for small in (10**9, 300, 20):
        monkeypatch.setattr(balanced, "SMALL", small)
        label = assign(points, centres, 200, 200, squared)
        assert np.bincount(label).tolist() == [200] * 6
        assert cost[np.arange(1200), label].sum() == pytest.approx(expected, rel=1e-12)


def test_equal_points_are_shared_evenly():
    points = np.full((9001, 3), 2.0)
    assert sorted(np.bincount(assign(points, points[:4], 2000, 3000, False)).tolist()) == [2250, 2250, 2250, 2251]


def test_without_limits_every_point_goes_to_its_nearest_centre():
    points = generator("nearest").normal(size=(6000, 3))
    centres = points[:9]
    assert np.array_equal(assign(points, centres, 0, 6000, False), costs(points, centres, False).argmin(axis=1))


@pytest.mark.parametrize(("lower", "upper"), [(0, 3), (4, 9), (3, 2), (-1, 9)])
def test_sizes_that_do_not_exist_are_named(lower, upper):
    with pytest.raises(ValueError, match=f"10 points cannot be shared among 3 centres with {lower} to {upper} points each"):
        assign(np.zeros((10, 3)), np.zeros((3, 3)), lower, upper, False)


def test_starts_are_points_spread_out_and_keyed():
    places = np.repeat(generator("places").normal(size=(6, 3)) * 1000, 50, axis=0)
    points = places + generator("noise").normal(size=places.shape)
    centres = plus_plus(points, 6, generator("start", 0))
    nearest = costs(centres, points, False).argmin(axis=1)
    assert np.array_equal(points[nearest], centres)
    assert sorted(nearest // 50) == list(range(6)), "one in each group"
    assert np.array_equal(centres, plus_plus(points, 6, generator("start", 0)))
    assert not np.array_equal(centres, plus_plus(points, 6, generator("start", 1)))


def test_starts_in_a_cloud_with_too_few_places():
    points = np.repeat(np.eye(3), 5, axis=0)
    centres = plus_plus(points, 8, generator("few"))
    assert centres.shape == (8, 3) and len(np.unique(centres, axis=0)) == 3


def test_means():
    points = np.array([[0.0, 0, 0], [2, 4, 6], [1, 1, 1]])
    assert means(points, np.array([1, 1, 0]), 2).tolist() == [[1, 1, 1], [1, 2, 3]]
