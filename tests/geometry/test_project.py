"""Where points of a scene land in a picture."""

from __future__ import annotations

import numpy as np

from al3d.geometry.camera import in_view, look_at, pinhole, project
from al3d.geometry.render import render


def test_the_middle_and_the_sides() -> None:
    camera = pinhole(look_at((0, 0, 0), (1, 0, 0)), 101, 51, 90)
    xyz = np.array([[2, 0, 0], [2, -1, 0], [2, 0, 0.5], [-1, 0, 0], [1, 5, 0]], np.float32)
    pixel, depth = project(camera, xyz)
    np.testing.assert_allclose(depth, [2, 2, 2, -1, 1], atol=1e-12)
    np.testing.assert_allclose(pixel[:3], [[50, 25], [50 + camera.fx / 2, 25], [50, 25 - camera.fy / 4]], atol=1e-9)
    assert np.isnan(pixel[3]).all()
    assert in_view(camera, pixel, depth).tolist() == [True, True, True, False, False]


def test_a_drawn_point_is_where_it_projects() -> None:
    random = np.random.default_rng(3)
    xyz = random.uniform(-1, 1, (40, 3)).astype(np.float32)
    camera = pinhole(look_at((4, 1, 2), (0, 0, 0)), 640, 480, 40)
    _, index = render(xyz, np.zeros((40, 3), np.uint8), camera, radius=1e-6)
    pixel, depth = project(camera, xyz)
    for row, column in np.argwhere(index >= 0):
        assert np.abs(pixel[index[row, column]] - (column, row)).max() <= 1.5
    assert in_view(camera, pixel, depth).sum() >= len(np.unique(index)) - 1 > 20
