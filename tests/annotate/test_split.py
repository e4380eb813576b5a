"""A cut loses no point; a rectangle holds what the camera shows in it."""

import numpy as np
import pytest

from al3d.annotate.split import PARTS, in_rectangle, parts_of
from al3d.geometry.camera import look_at


@pytest.mark.parametrize("count", [6, 7, 100, 30_000])
def test_parts_are_all_points_once(count):
    random = np.random.default_rng(count)
    points = np.sort(random.choice(10**6, count, replace=False))
    parts = parts_of(random.random((count, 3)).astype(np.float32), random.integers(0, 255, (count, 3)).astype(np.uint8), points)
    assert 2 <= len(parts) <= PARTS
    assert np.sort(np.concatenate(parts)).tolist() == points.tolist()
    assert [len(part) for part in parts] == sorted((len(part) for part in parts), reverse=True)


def test_the_same_points_give_the_same_parts():
    random = np.random.default_rng(0)
    xyz, colours, points = random.random((500, 3)).astype(np.float32), np.zeros((500, 3), np.uint8), np.arange(500)
    first, second = parts_of(xyz, colours, points), parts_of(xyz, colours, points)
    assert [part.tolist() for part in first] == [part.tolist() for part in second]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_points_stay_whole(count):
    parts = parts_of(np.zeros((count, 3), np.float32), np.zeros((count, 3), np.uint8), np.arange(count))
    assert [part.tolist() for part in parts] == [list(range(count))]


def test_points_in_one_place_lose_nothing():
    parts = parts_of(np.zeros((50, 3), np.float32), np.zeros((50, 3), np.uint8), np.arange(50))
    assert sum(map(len, parts)) == 50


def test_a_rectangle_on_the_screen():
    pose = look_at([0, -5, 0], [0, 0, 0])  # x to the right, z upwards
    points = np.array([[0, 0, 0], [1, 0, 0], [-1, 0, 0], [0, 0, 1], [0, -10, 0]], np.float64)
    fov, aspect = np.radians(60), 2.0

    def held(low, high):
        return in_rectangle(points, pose, fov, aspect, low, high).tolist()

    assert held((0, 0), (1, 1)) == [True, True, True, True, False]  # the last one is behind the camera
    assert held((0.52, 0.2), (1, 0.8)) == [False, True, False, False, False]
    assert held((0.4, 0), (0.6, 0.45)) == [False, False, False, True, False]
