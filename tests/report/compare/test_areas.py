"""Areas, means and crossings of learning curves, against closed forms and finely sampled twins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.report.compare.areas import area, common_range, curve_of, first_reaching, mean_curve, round_means

steps = st.lists(st.tuples(st.floats(0.1, 5), st.floats(0, 1)), min_size=2, max_size=7)


def made(points):
    return curve_of(np.cumsum([step for step, _ in points]).tolist(), [score for _, score in points])


def test_area_is_the_mean_score():
    line = curve_of([1, 3, 5], [0.2, 0.4, 0.6])
    assert area(line, 1, 5) == pytest.approx(0.4)
    assert area(line, 2, 3) == pytest.approx(0.35)
    assert area(line, 4, 4) == pytest.approx(0.5)
    assert area(curve_of([0, 1, 3], [0, 1, 1]), 0, 3) == pytest.approx(2.5 / 3)
    with pytest.raises(ValueError, match="no area from 3 to 2"):
        area(line, 3, 2)


@settings(max_examples=15, deadline=None)
@given(steps, st.floats(0, 1), st.floats(0, 1))
def test_area_is_that_of_a_fine_sample(points, one, other):
    curve = made(points)
    width = curve.cost[-1] - curve.cost[0]
    low, high = sorted(curve.cost[0] + width * share for share in (one, other))
    middles = low + (high - low) * (np.arange(5_000) + 0.5) / 5_000
    assert area(curve, low, high) == pytest.approx(curve.at(middles).mean(), abs=1e-3)


@settings(max_examples=15, deadline=None)
@given(st.lists(steps, min_size=1, max_size=4))
def test_mean_of_curves_is_the_mean_everywhere_and_so_is_its_area(lists):
    curves = [made(points) for points in lists]
    low, high = common_range(curves)
    if high < low:
        with pytest.raises(ValueError, match="no cost in common"):
            mean_curve(curves)
        return
    mean = mean_curve(curves)
    at = np.linspace(low, high, 37)
    assert mean.at(at) == pytest.approx(np.mean([curve.at(at) for curve in curves], axis=0))
    assert area(mean, low, high) == pytest.approx(np.mean([area(curve, low, high) for curve in curves]))


def test_round_means_start_where_the_runs_start():
    cost, mean, width = round_means([[1, 3, 5], [2, 4]], [[0.1, 0.5, 0.9], [0.3, 0.1]])
    assert (cost.tolist(), mean.tolist()) == (pytest.approx([1.5, 3.5]), pytest.approx([0.2, 0.3]))
    assert width == pytest.approx([np.sqrt(0.02), np.sqrt(0.08)])
    assert round_means([[1, 2]], [[0.1, 0.2]])[2].tolist() == [0, 0]


@settings(max_examples=20, deadline=None)
@given(steps, st.floats(0, 1))
def test_first_reaching_is_the_smallest_cost(points, level):
    curve = made(points)
    found = first_reaching(curve, level)
    if found is None:
        assert curve.score.max() < level
        return
    assert float(curve.at(np.array([found]))[0]) >= level - 1e-9
    before = np.linspace(curve.cost[0], found, 200, endpoint=False)
    assert len(before) == 0 or found == curve.cost[0] or (curve.at(before) < level).all()


def test_a_round_without_a_purchase_is_averaged_and_a_falling_cost_refused():
    curve = curve_of([3, 5, 5, 7], [0.1, 0.2, 0.4, 0.5])
    assert curve.cost.tolist() == [3, 5, 7]
    assert curve.score == pytest.approx([0.1, 0.3, 0.5])
    with pytest.raises(ValueError, match="the cost falls"):
        curve_of([3, 2], [0, 0])
    with pytest.raises(ValueError, match="at least one point"):
        curve_of([], [])
