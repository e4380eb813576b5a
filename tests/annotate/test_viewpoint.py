"""A region is looked at from where most of it is seen; a naive twin says what is seen."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.annotate.viewpoint import CELLS, candidates, spacing_of, viewpoints, visibility
from al3d.geometry.camera import look_at


def naive_visibility(sample, near, eye, target, radius, spacing):
    """Compare every point with every other one in its cell."""
    cells = int(np.clip(2 * radius / (1.5 * spacing), *CELLS))
    window, pose = 1.3 * radius / np.linalg.norm(eye - target), look_at(eye, target)
    slack = 2 * 2 * 1.3 * radius / cells

    def place(point):
        x, y, z = (np.asarray(point, np.float64) - pose[:3, 3]) @ pose[:3, :3]
        if z <= 1e-6 or abs(x / z / window) >= 1 or abs(y / z / window) >= 1:
            return None, z
        return (int((y / z / window + 1) / 2 * cells), int((x / z / window + 1) / 2 * cells)), z

    own, other = [place(point) for point in sample], [place(point) for point in near]
    seen = before = 0
    for cell, depth in own:
        if cell is None:
            continue
        hidden = any(depth > away + slack for there, away in other if there == cell)
        before += hidden
        seen += not hidden and not any(depth > away + slack for there, away in own if there == cell)
    return seen / len(own), before / len(own)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(0, 60), st.floats(0.02, 0.5))
def test_what_is_seen_is_what_a_naive_count_says(seed, points, others, spacing):
    random = np.random.default_rng(seed)
    sample = random.normal(0, 0.5, (points, 3)).astype(np.float32)
    near = random.normal(0, 2, (others, 3)).astype(np.float32)
    eyes, _ = candidates(np.zeros(3), 1.0)
    eye = eyes[random.integers(len(eyes))]
    assert visibility(sample, near, eye, np.zeros(3), 1.0, spacing) == pytest.approx(naive_visibility(sample, near, eye, np.zeros(3), 1.0, spacing))


def patch(side=1.0, step=0.05, height=0.0):
    x, y = np.meshgrid(np.arange(0, side, step), np.arange(0, side, step))
    return np.stack([x.ravel(), y.ravel(), np.full(x.size, height)], axis=1).astype(np.float32)


def test_a_wall_is_not_looked_through():
    region = patch() + np.float32([0, 0, 0.5])
    wall = np.stack([np.full(8100, 1.6), *(part.ravel() for part in np.meshgrid(np.linspace(-1, 2, 90), np.linspace(0, 4, 90)))], axis=1)
    best = viewpoints(region, wall.astype(np.float32), 0.05, 0.05)[0]
    assert best.seen > 0.9 and best.before == 0
    assert best.eye[0] < 1.6 and best.eye[2] > 0.5


def test_a_floor_is_seen_from_above_though_nothing_lies_below():
    table = patch(height=1.0)
    views = viewpoints(table, np.zeros((0, 3), np.float32), 0.05, 0.05)
    assert all(view.eye[2] > 1 for view in views[:2])


def test_the_side_of_the_sensor_is_preferred():
    region = np.random.default_rng(0).normal(0, 0.2, (500, 3)).astype(np.float32)
    sensor = np.array([3.0, -4.0, 2.0])
    best = viewpoints(region, np.zeros((0, 3), np.float32), 0.02, 0.02, sensor)[0]
    assert (best.eye - best.target) @ sensor / np.linalg.norm(best.eye - best.target) / np.linalg.norm(sensor) > 0.95


def test_next_viewpoints_look_from_elsewhere():
    views = viewpoints(patch(), np.zeros((0, 3), np.float32), 0.05, 0.05)
    directions = [(view.eye - view.target) / np.linalg.norm(view.eye - view.target) for view in views]
    assert len(views) == 4
    assert max(directions[0] @ other for other in directions[1:]) < np.cos(np.radians(39))


@pytest.mark.parametrize("points", [1, 2, 3])
def test_few_points_are_enough(points):
    region = np.zeros((points, 3), np.float32)
    view = viewpoints(region, patch(height=-1), 0.01, 0.05)[0]
    assert np.isfinite(view.eye).all() and np.linalg.norm(view.eye - view.target) > 0.1


def test_no_points_are_refused():
    with pytest.raises(ValueError, match="without points"):
        viewpoints(np.zeros((0, 3), np.float32), patch(), 0.05, 0.05)


def test_spacing():
    assert spacing_of(patch(step=0.05)) == pytest.approx(0.05, rel=1e-3)
    assert spacing_of(np.zeros((1, 3), np.float32)) == 0
