"""Augmentations: pure, keyed, and true to what they promise."""

import numpy as np
import pytest
from scipy import ndimage

from al3d.data.augment import Affine, Colour, Elastic, Flip, Rotate, Scale, Turn
from al3d.rng import generator

ALL = [Elastic(), Elastic(probability=1.0), Rotate(), Scale(), Scale(isotropic=True), Flip(), Colour(), Colour(1.0, probability=1.0), Turn(), Affine()]


def cloud(points=200, features=4):
    random = generator("cloud", points, features)
    return random.random((points, 3), np.float32) * [3, 2, 1] + [5, -3, 0], random.random((points, features), np.float32)


def arrays(points=200, features=4):
    xyz, feat = cloud(points, features)
    return xyz.astype(np.float32), feat


@pytest.mark.parametrize("step", ALL)
@pytest.mark.parametrize("shape", [(200, 4), (1, 3), (2, 1), (50, 3)])
def test_arguments_stay_and_shapes_and_types_are_kept(step, shape):
    xyz, feat = arrays(*shape)
    copies = xyz.copy(), feat.copy()
    xyz.setflags(write=False)
    feat.setflags(write=False)
    for seed in range(5):
        out_xyz, out_feat = step(xyz, feat, generator("step", seed))
        assert out_xyz.shape == xyz.shape and out_feat.shape == feat.shape and out_xyz.dtype == out_feat.dtype == np.float32
        assert np.isfinite(out_xyz).all() and np.isfinite(out_feat).all()
    assert np.array_equal(xyz, copies[0]) and np.array_equal(feat, copies[1])


@pytest.mark.parametrize("step", ALL)
def test_equal_keys_give_equal_scenes_and_other_keys_others(step):
    xyz, feat = arrays()
    outcomes = [np.concatenate(step(xyz, feat, generator("a", seed)), axis=1) for seed in (0, 0, 1, 2, 3, 4, 5, 6)]
    assert np.array_equal(outcomes[0], outcomes[1])
    assert any(not np.array_equal(outcomes[0], other) for other in outcomes[2:])


def distances(xyz):
    return np.linalg.norm(xyz[:, None].astype(np.float64) - xyz[None], axis=2)


@pytest.mark.parametrize("seed", range(5))
def test_rotation_keeps_distances_and_handedness_and_nearly_the_upright(seed):
    xyz, feat = arrays(40)
    turned, _ = Rotate(tilt_probability=1.0)(xyz, feat, generator(seed))
    np.testing.assert_allclose(distances(turned), distances(xyz), atol=1e-5)
    frame = (turned[1:4] - turned[0]).astype(np.float64)
    assert np.linalg.det(frame) == pytest.approx(np.linalg.det((xyz[1:4] - xyz[0]).astype(np.float64)), abs=1e-5)
    assert np.abs(turned[:, 2] - xyz[:, 2]).max() < 2 * np.sin(np.pi / 64) * 4
    flat, _ = Rotate(tilt_probability=0.0)(xyz, feat, generator(seed))
    np.testing.assert_allclose(flat[:, 2], xyz[:, 2], atol=1e-6)
    assert np.abs(flat - xyz).max() > 0.01


def test_rotations_reach_every_direction():
    xyz, feat = np.array([[-1, 0, 0], [1, 0, 0]], np.float32), np.zeros((2, 1), np.float32)
    ends = [Rotate()(xyz, feat, generator(seed))[0][1] for seed in range(400)]
    angles = np.arctan2([end[1] for end in ends], [end[0] for end in ends])
    assert (np.histogram(angles, 8, (-np.pi, np.pi))[0] > 20).all()


def test_flip_mirrors_each_axis_half_of_the_time_and_never_z():
    xyz, feat = np.ones((1, 3), np.float32), np.zeros((1, 1), np.float32)
    signs = np.array([Flip()(xyz, feat, generator(seed))[0][0] for seed in range(400)])
    assert (signs[:, 2] == 1).all() and set(np.unique(signs)) == {-1, 1}
    assert all(120 < (signs[:, 0] == x)[signs[:, 1] == y].sum() * 2 < 280 for x in (-1, 1) for y in (-1, 1))
    assert np.array_equal(Flip(0.0)(xyz, feat, generator(1))[0], xyz)


def test_scale_stays_within_its_spread():
    xyz, feat = np.ones((1, 3), np.float32), np.zeros((1, 1), np.float32)
    factors = np.array([Scale(0.1, probability=1.0)(xyz, feat, generator(seed))[0][0] for seed in range(200)])
    assert factors.min() >= 0.9 - 1e-6 and factors.max() <= 1.1 + 1e-6 and factors.std() > 0.03
    alike = np.array([Scale(0.1, True, 1.0)(xyz, feat, generator(seed))[0][0] for seed in range(20)])
    assert (alike == alike[:, :1]).all() and not (factors == factors[:, :1]).all()


def test_colours_stay_colours_and_other_attributes_stay_themselves():
    xyz, feat = arrays(500, 5)
    feat[:, 0] = 0.4  # a constant channel
    for seed in range(30):
        same, out = Colour(1.0, 0.5, 0.5, 1.0)(xyz, feat, generator(seed))
        assert same is xyz and out[:, :3].min() >= 0 and out[:, :3].max() <= 1
        assert np.array_equal(out[:, 3:], feat[:, 3:])
    stretched = Colour(1.0, 0.0, 0.0, 0.0)(xyz, feat * np.float32(0.5), generator(3))[1]
    assert np.allclose(stretched[:, 0], 0.2) and np.ptp(stretched[:, 1]) > np.ptp(feat[:, 1] * 0.5)


def test_colour_leaves_scenes_without_colours_alone():
    xyz, feat = arrays(10, 2)
    assert Colour(1.0, probability=1.0)(xyz, feat, generator(0))[1] is feat


@pytest.mark.parametrize("flatten", [(1, 1, 0), (0, 0, 1), (0, 0, 0)])
def test_elastic_moves_flat_and_tiny_clouds_smoothly(flatten):
    xyz, feat = arrays(300)
    xyz = (xyz * np.array(flatten, np.float32)).astype(np.float32)
    out, same = Elastic(probability=1.0)(xyz, feat, generator(1))
    assert same is feat and out.dtype == np.float32 and np.isfinite(out).all() and np.abs(out - xyz).max() > 1e-3


@pytest.mark.parametrize("points", [1, 2, 4000])
def test_elastic_interpolates_between_the_corners_as_scipy_does(points):
    """The same displacement by `map_coordinates`, a component at a time."""
    xyz = (generator("points").random((points, 3)) * [3, 2, 1] - 1).astype(np.float32)
    ours, random, twin = Elastic(((0.2, 0.4),), probability=2.0)(xyz, xyz, generator(3))[0], generator(3), xyz
    random.random()
    low = xyz.min(axis=0)
    noise = random.standard_normal((3, *(int(n) for n in (xyz.max(axis=0) - low) // 0.2 + 3)), dtype=np.float32)
    for _ in range(2):
        for axis in (1, 2, 3):
            noise = ndimage.uniform_filter1d(noise, 3, axis=axis, mode="constant")
    at = ((xyz - low) / np.float32(0.2)).T
    twin = xyz + 0.4 * np.stack([ndimage.map_coordinates(part, at, order=1, mode="nearest") for part in noise], axis=1)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, twin, atol=1e-6)


def test_elastic_moves_neighbours_together():
    random = generator("neighbours")
    one = random.random((300, 3), np.float32) * 3
    both = np.concatenate([one, one + np.float32(1e-3)])
    out = Elastic(probability=1.0)(both, np.zeros((600, 1), np.float32), generator(2))[0]
    moved = (out - both)[:300], (out - both)[300:]
    assert np.abs(moved[0] - moved[1]).max() < 0.02 < np.abs(moved[0]).max()


def matrices(step, count):
    """The linear maps of `count` draws: the rows are where the unit vectors go."""
    return np.array([step(np.eye(3, dtype=np.float32), np.zeros((3, 1), np.float32), generator("map", seed))[0] for seed in range(count)])


def test_turn_keeps_the_scanner_and_the_heights():
    xyz, feat = arrays(30)
    with_origin = np.concatenate([np.zeros((1, 3), np.float32), xyz])
    for seed in range(5):
        turned, same = Turn()(with_origin, np.zeros((31, 1), np.float32), generator(seed))
        assert np.array_equal(turned[0], [0, 0, 0]) and np.array_equal(turned[:, 2], with_origin[:, 2])
        np.testing.assert_allclose(distances(turned), distances(with_origin), atol=1e-5)
        assert np.abs(turned - with_origin).max() > 0.01
    ends = matrices(Turn(), 400)
    assert np.allclose(np.linalg.det(ends), 1, atol=1e-5)
    assert (np.histogram(np.arctan2(ends[:, 0, 1], ends[:, 0, 0]), 8, (-np.pi, np.pi))[0] > 20).all()
    assert np.abs(np.arctan2(*matrices(Turn(0.2), 100)[:, 0, 1::-1].T)).max() <= 0.2 + 1e-6


def test_affine_is_the_unit_matrix_with_noise_and_x_mirrored_half_of_the_time():
    maps = matrices(Affine(), 2000)
    mirrored = maps[:, 0, 0] < 0
    assert 900 < mirrored.sum() < 1100
    maps[mirrored, 0, 0] *= -1
    noise = maps - np.eye(3)
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=0.012)
    np.testing.assert_allclose(noise.std(axis=0), 0.1, atol=0.008)
    correlation = np.corrcoef(noise.reshape(-1, 9).T) - np.eye(9)
    assert np.abs(correlation).max() < 0.1, "the nine entries are drawn apart"
    assert abs(np.corrcoef(mirrored, noise[:, 0, 1])[0, 1]) < 0.1, "the shear does not know of the mirror"


def test_affine_without_noise_only_mirrors_x():
    xyz, feat = arrays(20)
    assert np.array_equal(Affine(0.0, 0.0)(xyz, feat, generator(1))[0], xyz)
    mirrored, same = Affine(0.0, 1.0)(xyz, feat, generator(1))
    assert np.array_equal(mirrored, xyz * [-1, 1, 1]) and same is feat


def test_affine_maps_rows_of_one_scene_alike():
    xyz, feat = arrays(50)
    out = Affine()(xyz, feat, generator(4))[0]
    matrix = np.linalg.lstsq(xyz.astype(np.float64), out.astype(np.float64), rcond=None)[0]
    np.testing.assert_allclose(xyz @ matrix, out, atol=1e-4)
