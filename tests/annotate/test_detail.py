"""What is sent of a scene: bounded, centred, and the region's surroundings without the region."""

import numpy as np
import pytest

from al3d.annotate import detail
from al3d.annotate.detail import BACKGROUND, cloud_of, dimmed, sensor_of, surroundings
from al3d.types import Scene


def scene(count=5000, feat=3, offset=0.0):
    random = np.random.default_rng(1)
    xyz = (random.random((count, 3)) * [10, 10, 3] + offset).astype(np.float32)
    return Scene("a", xyz, random.random((count, feat)).astype(np.float32))


def test_a_large_scene_is_thinned(monkeypatch):
    monkeypatch.setattr(detail, "COARSE", 300)
    monkeypatch.setattr(detail, "LOOKED_AT", 2000)
    cloud = cloud_of(scene())
    assert 100 < len(cloud.coarse) <= 300
    assert len(np.unique(cloud.coarse)) == len(cloud.coarse) and cloud.coarse.max() < 5000


def test_places_are_centred_so_that_float32_keeps_them():
    far = scene(offset=np.array([50_000.0, -30_000.0, 0.0]))
    cloud = cloud_of(far)
    assert np.abs(cloud.places(np.arange(5000))).max() < 11
    assert np.allclose(cloud.places(np.arange(50)) + cloud.centre, far.xyz[:50], atol=0.01)


@pytest.mark.parametrize("limit", [10**6, 200])
def test_surroundings_are_what_lies_around_without_the_region(limit):
    own = scene()
    region = np.flatnonzero(np.linalg.norm(own.xyz - [5, 5, 1.5], axis=1) < 1)
    around = surroundings(own.xyz, region, 0.01, limit)
    away = np.linalg.norm(own.xyz - around.middle, axis=1)
    expected = np.setdiff1d(np.flatnonzero(away <= around.reach), region)
    if limit > 5000:
        assert around.rows.tolist() == expected.tolist()
    else:
        assert len(around.rows) <= limit and set(around.rows.tolist()) <= set(expected.tolist())


def test_colours_are_the_scenes_own_or_show_height():
    coloured, grey, bare = (cloud_of(scene(feat=feat)) for feat in (3, 1, 0))
    rows = np.array([3, 1, 4])
    assert coloured.colours(rows).tolist() == np.rint(255 * coloured.scene.feat[rows]).astype(int).tolist()
    for cloud in (grey, bare):
        low, high = (cloud.colours(np.array([pick(cloud.scene.xyz[:, 2])]))[0].astype(int) for pick in (np.argmin, np.argmax))
        assert low[2] > low[0] and high[0] > high[2]  # blue below, red above
    assert len(np.unique(grey.colours(np.arange(5000)), axis=0)) > len(np.unique(bare.colours(np.arange(5000)), axis=0))


def test_dim_is_close_to_the_background():
    colour = np.array([[255, 255, 255], [0, 0, 0]], np.uint8)
    assert np.abs(dimmed(colour).astype(int) - BACKGROUND).max() < 80


def test_where_a_scene_was_seen_from():
    own = scene()
    assert sensor_of(own) is None
    frame = Scene("a", own.xyz, own.feat, sequence="00", frame=3)
    assert sensor_of(frame).tolist() == [0, 0, 0]
