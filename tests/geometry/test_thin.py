import numpy as np
import pytest
from clouds import room

from al3d.geometry.thin import thinned, trimmed_box


def test_few_points_all_stay():
    assert np.array_equal(thinned(room(500), 500), np.arange(500))


@pytest.mark.parametrize("limit", [1, 17, 400, 3000])
def test_keeps_at_most_the_limit_and_every_place(limit):
    xyz = room(20_000)
    rows = thinned(xyz, limit)
    assert 0 < len(rows) <= limit
    assert (np.diff(rows) > 0).all()
    if limit >= 400:
        assert len(rows) > limit / 2  # not far fewer either
        gap = np.sqrt(((xyz[:500, None] - xyz[rows][None]) ** 2).sum(axis=2)).min(axis=1)
        area = 2 * np.prod(np.ptp(xyz, axis=0)) / np.ptp(xyz, axis=0).min()
        assert gap.max() < 8 * np.sqrt(area / limit)


def test_dense_places_lose_points_and_sparse_ones_none():
    draw = np.random.default_rng(1)
    dense = draw.uniform(0, 1, (9000, 3)) * [1, 1, 0]
    sparse = draw.uniform(0, 1, (40, 3)) * [8, 8, 0] + [2, 0, 0]
    rows = thinned(np.concatenate([dense, sparse]).astype(np.float32), 3000)
    assert (rows >= 9000).sum() >= 39
    assert (rows < 9000).sum() < 3000


def test_one_far_outlier_changes_little():
    xyz = room(20_000)
    far = np.concatenate([xyz, [[1e6, 0, 0]]]).astype(np.float32)
    rows = thinned(far, 3000)
    assert len(rows) > 1000
    np.testing.assert_allclose(trimmed_box(far)[1], trimmed_box(xyz)[1], atol=0.05)


def test_equal_points_leave_the_first():
    assert thinned(np.ones((100, 3), np.float32), 5).tolist() == [0]
    with pytest.raises(ValueError, match="limit = 0"):
        thinned(np.ones((3, 3), np.float32), 0)
