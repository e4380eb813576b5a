"""Regions of nearly equal size."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from al3d.rng import generator
from al3d.types import Scene
from al3d.units.kmeans_region import KMeansRegion, size_bounds
from al3d.units.order import by_first_appearance, canonical_order

SCANS = sorted((Path(__file__).parents[3] / "shared" / "data" / "kitti_odometry_00" / "velodyne").glob("*.bin"))


def scene_of(xyz, feat=None):
    xyz = np.asarray(xyz, np.float32)
    return Scene("test", xyz, np.zeros((len(xyz), 1), np.float32) if feat is None else np.asarray(feat, np.float32))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(1, 300_000), st.integers(1, 64), st.sampled_from([0.0, 0.01, 0.05, 0.3, 1.0]))
@example(400, 20, 0.05)
@example(30, 20, 0.05)
@example(39, 20, 0.05)
def test_such_sizes_always_exist(points, regions, tolerance):
    regions = min(regions, points)
    fewest, most = size_bounds(points, regions, tolerance)
    assert 1 <= fewest <= most
    assert fewest * regions <= points <= most * regions
    assert fewest == 1 or fewest <= (1 - tolerance) * points / regions + 1e-9
    if tolerance * points / regions >= 1:
        assert most == int(np.floor((1 + tolerance) * points / regions + 1e-9)), "nothing widened where the mean allows the tolerance"


def test_published_sizes():
    assert size_bounds(122_820, 20, 0.05) == (5833, 6448)
    assert size_bounds(400, 20, 0.05) == (19, 21)
    assert size_bounds(20, 20, 0.05) == (1, 1)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(1, 900), st.integers(1, 25), st.booleans())
def test_sizes_are_kept(count, regions, squared):
    unit = KMeansRegion(regions, squared=squared)(scene_of(generator("sizes", count).normal(size=(count, 3)))).unit
    used = min(regions, count)
    size = np.bincount(unit, minlength=used)
    fewest, most = size_bounds(count, used, 0.05)
    assert unit.min() == 0 and len(size) == used and size.min() >= fewest and size.max() <= most


def test_groups_of_the_right_size_are_found():
    group = np.repeat(np.arange(5), 200)
    xyz = generator("centres").normal(size=(5, 3))[group] * 100 + generator("noise").normal(size=(1000, 3))
    unit = KMeansRegion(5)(scene_of(xyz)).unit
    assert np.array_equal(by_first_appearance(unit.astype(np.int64)), by_first_appearance(group))


def test_ids_follow_the_first_point_by_place():
    xyz = generator("ids").normal(size=(3000, 3)).astype(np.float32)
    scene = scene_of(xyz)
    unit = KMeansRegion(9)(scene).unit
    first = [np.flatnonzero(unit[canonical_order(scene)] == region)[0] for region in range(9)]
    assert first == sorted(first)


def test_moving_the_scene_changes_nothing():
    xyz = generator("move").integers(-4000, 4000, (5000, 3)) / 64
    regions = KMeansRegion()
    assert np.array_equal(regions(scene_of(xyz)).unit, regions(scene_of(xyz + [64.0, -128.0, 32.0])).unit)


def test_iterations_make_regions_tighter_and_options_matter():
    xyz = generator("iterate").normal(size=(4000, 3)) * [10, 10, 1]

    def spread(unit):
        return sum(xyz[unit == region].var(axis=0).sum() * (unit == region).sum() for region in range(20))

    units = [KMeansRegion(iterations=count, squared=True)(scene_of(xyz)).unit for count in (0, 1, 10)]
    assert spread(units[0]) > spread(units[1]) > spread(units[2])
    assert not np.array_equal(units[1], KMeansRegion(squared=False)(scene_of(xyz)).unit)
    assert not np.array_equal(units[1], KMeansRegion(squared=True, rng=1)(scene_of(xyz)).unit)


def test_points_equal_in_all_may_change_places_but_no_others():
    xyz = generator("twins").integers(0, 6, (2000, 3)).astype(np.float32)
    feat = generator("grey").integers(0, 3, (2000, 1)).astype(np.float32)
    order = generator("order").permutation(2000)
    regions = KMeansRegion()
    rows = np.column_stack([xyz, feat, regions(scene_of(xyz, feat)).unit])
    other = np.column_stack([xyz[order], feat[order], regions(scene_of(xyz[order], feat[order])).unit])
    assert np.array_equal(rows[np.lexsort(rows.T)], other[np.lexsort(other.T)])


@pytest.mark.skipif(not SCANS, reason="the KITTI scans are not here")
def test_a_real_scan():
    points = np.fromfile(SCANS[0], np.float32).reshape(-1, 4)
    unit = KMeansRegion()(Scene("scan", points[:, :3].copy(), points[:, 3:].copy())).unit
    size = np.bincount(unit)
    fewest, most = size_bounds(len(points), 20, 0.05)
    assert len(size) == 20 and fewest <= size.min() and size.max() <= most
    extent = [np.ptp(points[unit == region, :2], axis=0).max() for region in range(20)]
    assert np.median(extent) < np.ptp(points[:, :2], axis=0).max() / 2


@pytest.mark.parametrize(
    ("options", "message"), [({"regions": 0}, "regions = 0"), ({"tolerance": -0.1}, "tolerance = -0.1"), ({"iterations": -1}, "iterations = -1")]
)
def test_names_what_is_wrong(options, message):
    with pytest.raises(ValueError, match=message):
        KMeansRegion(**options)
