import numpy as np

from al3d.geometry.ground import height_above_ground


def slope(count=20_000, tilt=0.1):
    spots = np.random.default_rng(0).uniform(-30, 30, (count, 2))
    return np.column_stack([spots, tilt * spots[:, 0]])


def test_a_slope_is_ground_and_a_box_stands_on_it():
    ground = slope()
    spots = np.random.default_rng(1).uniform(4, 6, (300, 2))
    box = np.column_stack([spots, 0.1 * spots[:, 0] + 1.5])
    height = height_above_ground(np.concatenate([ground, box]).astype(np.float32))
    assert np.quantile(height[:20_000], 0.99) < 0.8  # of six metres between its ends
    np.testing.assert_allclose(height[20_000:], 1.5, atol=0.7)
    assert height.min() >= 0


def test_a_far_tree_top_without_ground_below_is_high():
    ground = np.random.default_rng(0).uniform(-20, 20, (20_000, 3)) * [1, 1, 0]
    top = np.random.default_rng(1).normal(size=(200, 3)) * 0.3 + [26, 0, 6]
    height = height_above_ground(np.concatenate([ground, top]).astype(np.float32))
    assert height[20_000:].min() > 3


def test_tiny_and_degenerate_clouds():
    for xyz in (np.zeros((1, 3)), np.ones((9, 3)), np.outer(np.linspace(0, 1, 50), [0, 0, 1]), np.array([[0, 0, 0], [1e6, 0, 5]])):
        height = height_above_ground(xyz.astype(np.float32))
        assert np.isfinite(height).all() and (height >= 0).all()
    cup = np.random.default_rng(2).uniform(0, 0.1, (3000, 3))
    assert 0.05 < height_above_ground(cup.astype(np.float32)).max() <= 0.1
