import numpy as np
import pytest
from clouds import awkward, naive_nearest, room

from al3d.geometry.features import colour_discontinuity, local_features, surface_variation
from al3d.rng import generator


def naive_variation(xyz, neighbours):
    around = naive_nearest(xyz, neighbours + 1)
    values = []
    for row in around:
        points = xyz[row].astype(np.float64)
        points = points - points.mean(axis=0)
        eigenvalues = np.linalg.eigvalsh(points.T @ points / len(points))
        values.append(eigenvalues[0] / eigenvalues.sum() if eigenvalues.sum() > 0 else 0)
    return np.array(values)


def naive_discontinuity(xyz, rgb, neighbours):
    around = naive_nearest(xyz, neighbours)
    return np.abs(rgb[around].astype(np.float64) - rgb[:, None]).mean(axis=(1, 2))


@pytest.mark.parametrize("neighbours", [1, 5, 50])
@pytest.mark.parametrize("name", sorted(awkward(60)))
def test_equal_the_naive_twins(name, neighbours):
    xyz = awkward(200)[name]
    rgb = generator("colours").random(xyz.shape).astype(np.float32)
    variation, discontinuity = local_features(xyz, rgb, neighbours)
    # relative coordinates lose up to 1e-7 of the spread where a far cluster takes part
    np.testing.assert_allclose(variation, naive_variation(xyz, neighbours), atol=1e-6)
    np.testing.assert_allclose(discontinuity, naive_discontinuity(xyz, rgb, neighbours), atol=1e-6)
    np.testing.assert_array_equal(variation, surface_variation(xyz, neighbours))
    np.testing.assert_allclose(discontinuity, colour_discontinuity(xyz, rgb, neighbours, clip=None), atol=1e-7)


def test_room_and_clips():
    xyz = room(3000)
    rgb = generator("colours").random(xyz.shape).astype(np.float32)
    full = surface_variation(xyz)
    np.testing.assert_allclose(full, naive_variation(xyz, 50), atol=1e-7)
    np.testing.assert_array_equal(surface_variation(xyz, clip=0.1), np.minimum(full, np.float32(0.1)))
    assert full.dtype == np.float32
    assert full.max() > 0.05  # corners
    assert colour_discontinuity(xyz, rgb).max() == np.float32(0.1)


def test_a_flat_wall_has_no_variation_and_equal_points_give_zero():
    draw = generator("wall")
    wall = np.c_[draw.random((500, 2)), np.full(500, 2.5)].astype(np.float32)
    assert surface_variation(wall).max() < 1e-7
    assert not surface_variation(np.ones((100, 3), np.float32)).any()


def test_a_ball_is_isotropic():
    ball = generator("ball").normal(size=(2000, 3)).astype(np.float32)
    everything = surface_variation(ball, neighbours=1999)
    assert abs(everything.mean() - 1 / 3) < 0.04


def test_names_what_is_wrong():
    with pytest.raises(ValueError, match="one colour"):
        colour_discontinuity(room(10), np.zeros((9, 3), np.float32))
    with pytest.raises(ValueError, match="neighbours = 0"):
        surface_variation(room(10), 0)
