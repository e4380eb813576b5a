import numba
import numpy as np
import pytest
from clouds import room

from al3d.geometry.camera import look_at, overview, pinhole
from al3d.geometry.render import disc_radius, greyed, render
from al3d.types import Camera


def naive_index(xyz, radius, camera, largest=12.0):
    """The point in each pixel, pixel by pixel over all points."""
    seen = (xyz.astype(float) - camera.pose[:3, 3]) @ camera.pose[:3, :3]
    index = np.full((camera.height, camera.width), -1)
    depth = np.full(index.shape, np.inf)
    for i, (x, y, z) in enumerate(seen):
        if z <= 0:
            continue
        column, row = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
        r = min(max(camera.fx * radius / z, 0.5), largest)
        for v in range(max(0, int(np.rint(row - r))), min(camera.height, int(np.rint(row + r)) + 1)):
            for u in range(max(0, int(np.rint(column - r))), min(camera.width, int(np.rint(column + r)) + 1)):
                off = ((u - column) ** 2 + (v - row) ** 2) / r**2
                place = z * (1 + 1e-3 * off * min(r, 4))
                if (off <= 1 or max(abs(u - column), abs(v - row)) <= 0.5) and place < depth[v, u]:
                    depth[v, u], index[v, u] = place, i
    return index


def test_equals_the_naive_twin_but_for_rounding():
    xyz = room(800)
    camera = pinhole(look_at((12, 10, 8), (4, 3, 1)), 60, 45)
    image, index = render(xyz, np.full(xyz.shape, 120, np.uint8), camera, radius=0.15)
    expected = naive_index(xyz, 0.15, camera)
    drawn = expected >= 0
    assert drawn.mean() > 0.2
    assert (index[drawn] == expected[drawn]).mean() > 0.99
    around = np.zeros(drawn.shape, int)
    around[1:-1, 1:-1] = sum(drawn[1 + dv : 44 + dv, 1 + du : 59 + du].astype(int) for dv in (-1, 0, 1) for du in (-1, 0, 1))
    assert (index[~drawn & (around < 6)] == -1).mean() > 0.99
    assert (index[~drawn & (around >= 6)] >= 0).mean() > 0.9  # pinholes are closed
    assert image.shape == (45, 60, 3)
    assert (image[index < 0] == [248, 249, 251]).all()


def test_a_pixel_names_the_nearer_point():
    xyz = np.array([[0, 0, 5], [0, 0, 2], [0, 0, -1]], np.float32)
    rgb = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    image, index = render(xyz, rgb, Camera(10, 10, 5, 4, 11, 9), radius=0.01)
    assert index[4, 5] == 1
    assert image[4, 5].tolist() == [0, 255, 0]
    assert (index >= 0).sum() == 1


def test_surfaces_look_closed_and_threads_do_not_matter():
    xyz = room(40_000)
    camera, drawn = overview(xyz, 200, 150, cut_above=0.9)
    rgb = np.full((int(drawn.sum()), 3), 90, np.uint8)
    image, index = render(xyz[drawn], rgb, camera, shading=0)
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        alone = render(xyz[drawn], rgb, camera, shading=0)
    finally:
        numba.set_num_threads(threads)
    assert np.array_equal(alone[0], image)
    assert np.array_equal(alone[1], index)
    inner = index[65:85, 90:110]
    assert (inner >= 0).all()


@pytest.mark.parametrize("up", [(0, 0, 1), (0, -0.81, -0.58), (1, 0, 0)])
@pytest.mark.parametrize("azimuth", [None, 10.0])
def test_overview_frames_the_scene(up, azimuth):
    xyz = room(5000)
    camera, drawn = overview(xyz, 320, 240, up=up, azimuth=azimuth)
    seen = (xyz - camera.pose[:3, 3]) @ camera.pose[:3, :3]
    column, row = camera.fx * seen[:, 0] / seen[:, 2] + camera.cx, camera.fy * seen[:, 1] / seen[:, 2] + camera.cy
    assert drawn.all()
    assert (seen[:, 2] > 0).all()
    assert ((column > 0) & (column < 319) & (row > 0) & (row < 239)).mean() > 0.99
    assert max(np.ptp(column) / 320, np.ptp(row) / 240) > 0.8
    assert -camera.pose[:3, 1] @ np.array(up) / np.linalg.norm(up) > 0.5  # up is up


def test_overview_can_cut_the_ceiling():
    xyz = room(5000)
    _, drawn = overview(xyz, cut_above=0.8)
    assert xyz[drawn, 2].max() < 2.5
    assert xyz[~drawn, 2].min() > 2.3


def test_shading_darkens_the_far_side_of_an_edge_only():
    step = np.array([[x, y, 2.0 if x < 0 else 3.0] for x in np.linspace(-1, 1, 81) for y in np.linspace(-1, 1, 81)], np.float32)
    grey = np.full(step.shape, 200, np.uint8)
    image, index = render(step, grey, Camera(60, 60, 30, 30, 61, 61), radius=0.03)
    shown = index >= 0
    near = step[np.maximum(index, 0), 2] == 2.0
    assert image[shown & near].min() == 200
    assert 60 <= image[shown & ~near].min() < 160


def test_look_at_is_a_rotation_with_z_forward_and_y_down():
    pose = look_at((1, 2, 3), (4, 6, 3))
    np.testing.assert_allclose(pose[:3, :3].T @ pose[:3, :3], np.eye(3), atol=1e-12)
    np.testing.assert_allclose(pose[:3, 2], [0.6, 0.8, 0])
    np.testing.assert_allclose(pose[:3, 1], [0, 0, -1])
    assert np.linalg.det(pose[:3, :3]) > 0
    assert np.isfinite(look_at((0, 0, 5), (0, 0, 0))).all()


def test_greyed_has_little_hue():
    grey = greyed(np.array([[255, 0, 0], [0, 0, 255], [255, 255, 255]], np.uint8))
    assert np.ptp(grey, axis=1).max() < 30


def test_names_what_is_wrong():
    xyz = room(10)
    camera = Camera(10, 10, 5, 5, 11, 11)
    with pytest.raises(ValueError, match="uint8"):
        render(xyz, np.zeros((10, 3), np.float32), camera)
    with pytest.raises(ValueError, match="supersample = 0"):
        render(xyz, np.zeros((10, 3), np.uint8), camera, supersample=0)
    with pytest.raises(ValueError, match="own place"):
        look_at((1, 1, 1), (1, 1, 1))
    with pytest.raises(ValueError, match="cut_above"):
        overview(xyz, cut_above=-1.0)
    assert (disc_radius(xyz) > 0).all()
