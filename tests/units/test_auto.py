from pathlib import Path

import numpy as np
import pytest

from al3d.data.hashing import hash_of
from al3d.rng import generator
from al3d.types import Scene
from al3d.units.auto import Auto, _say, fitting_voxel, nearest_step, sampled, step
from al3d.units.smallest import regions_of

SCANS = sorted((Path(__file__).parents[3] / "shared" / "data" / "kitti_odometry_00" / "velodyne").glob("*.bin"))


def scene_of(xyz, name="test"):
    xyz = np.asarray(xyz, np.float32)
    return Scene(name, xyz, np.zeros((len(xyz), 1), np.float32))


def box(points, size, key=0):
    """Points on the walls of a box of `size` metres."""
    draw = generator("auto box", key)
    xyz = draw.random((points, 3)) * size
    axis = draw.integers(0, 3, points)
    xyz[np.arange(points), axis] = draw.integers(0, 2, points) * np.asarray(size, float)[axis]
    return xyz


def scan(points=20_000):
    """A flat ground, seen from the middle: the spacing grows with the distance."""
    draw = generator("auto scan")
    away = 2 * 35 ** draw.random(points)
    turn = draw.random(points) * 2 * np.pi
    return np.stack([away * np.cos(turn), away * np.sin(turn), draw.normal(0, 0.02, points)], axis=1)


def test_usual_lengths_stay_where_they_suit():
    chosen = Auto(0.1, 1.0).chosen(scene_of(box(40_000, [6, 5, 3])))
    assert (chosen.voxel, chosen.seed) == (0.1, 1.0)


@pytest.mark.parametrize("factor", [0.01, 0.1, 10.0, 100.0])
@pytest.mark.parametrize("usual", [(0.1, 1.0), (1.0, 10.0), (0.01, 0.1)])
def test_scenes_of_every_size_get_a_fitting_number_of_regions(factor, usual):
    scene = scene_of(box(40_000, np.array([6, 5, 3]) * factor))
    chosen = Auto(*usual).chosen(scene)
    ids = Auto(*usual)(scene).unit
    assert 25 <= ids.max() + 1 <= 350
    assert 4.9 <= chosen.seed / chosen.voxel <= 50.1
    assert (ids < 0).mean() < 0.05


def test_lengths_scale_with_the_scene():
    first, second = (Auto(0.5, 50.0).chosen(scene_of(box(20_000, np.array([6, 5, 3]) * factor))) for factor in (0.1, 1))
    assert second.seed == pytest.approx(10 * first.seed) and second.voxel == pytest.approx(10 * first.voxel)


def test_scans_get_voxels_that_reach_far():
    xyz = np.asarray(scan(), np.float32)
    voxel, least = fitting_voxel(xyz, 0.01)
    assert voxel > 2 * least > 0.02
    even = np.asarray(box(20_000, [6, 5, 3]), np.float32)
    assert fitting_voxel(even, 0.3)[0] == 0.3
    assert fitting_voxel(even, 0.001)[0] >= fitting_voxel(even, 0.001)[1]


@pytest.mark.skipif(not SCANS, reason="the real LiDAR scans are not here")
@pytest.mark.parametrize("usual", [(0.5, 10.0), (0.2, 2.0)])
def test_a_real_scan_gets_the_published_lengths(usual):
    chosen = Auto(*usual).chosen(scene_of(np.fromfile(SCANS[0], np.float32).reshape(-1, 4)[:, :3]))
    assert (chosen.voxel, chosen.seed) == (0.5, 10.0)


@pytest.mark.parametrize(
    "xyz",
    [
        np.ones((1, 3)),
        np.zeros((300, 3)),
        box(200, [3, 3, 0]),
        np.linspace(0, 5, 200)[:, None] * [1, 0, 0],
        np.concatenate([box(200, [1, 1, 1]), box(200, [1, 1, 1]) + 1e4]),
    ],
    ids=["one point", "all equal", "plane", "line", "far clusters"],
)
def test_awkward_clouds_and_the_order_of_points(xyz):
    unit, scene = Auto(0.1, 1.0), scene_of(xyz)
    ids = unit(scene).unit
    assert ids.dtype == np.int32
    assert ids.max() >= (0 if np.ptp(scene.xyz) > 1 else -1), "a single voxel is too little for a seed, as in PCL"
    assert np.array_equal(np.unique(ids[ids >= 0]), np.arange(ids.max() + 1))
    order = generator("auto order").permutation(len(scene))
    shuffled = scene_of(scene.xyz[order])
    assert unit.chosen(shuffled) == unit.chosen(scene)
    assert np.array_equal(unit(shuffled).unit, ids[order])


def test_steps():
    assert [step(place) for place in range(-3, 4)] == [0.1, 0.2, 0.5, 1, 2, 5, 10]
    assert all(nearest_step(step(place)) == place for place in range(-12, 12))
    assert step(nearest_step(0.34)) == 0.5 and step(nearest_step(8.0)) == 10


def test_a_sample_does_not_depend_on_the_order():
    xyz = np.asarray(box(30_000, [6, 5, 3]), np.float32)
    order = generator("sample order").permutation(len(xyz))
    chosen = sampled(xyz, 1000)
    assert 700 < chosen.sum() < 1400
    assert np.array_equal(sampled(xyz[order], 1000), chosen[order])
    assert sampled(xyz[:50], 1000).all() and sampled(np.ones((9000, 3), np.float32), 100).any()


def test_regions_are_counted_without_specks():
    xyz = np.concatenate([box(1000, [1, 1, 1]), [[50, 50, 50]]])
    assert regions_of(scene_of(xyz), 100.0) == 1
    assert regions_of(scene_of(xyz), 10.0) == 1, "one point far away is no region"


def test_each_choice_is_printed_once(monkeypatch):
    _say.cache_clear()
    lines = []
    monkeypatch.setattr("al3d.units.auto.console.print", lambda words, **_: lines.append(words))
    for key in range(3):
        Auto(0.1, 1.0)(scene_of(box(40_000, [6, 5, 3], key)))
    assert lines == ["unit=auto picks supervoxels on voxels of 0.1 m with seeds every 1 m"]


def test_its_hash_follows_its_fields():
    assert hash_of(Auto(0.1, 1.0)) == hash_of(Auto(0.1, 1.0)) != hash_of(Auto(0.1, 1.0, regions=50))


@pytest.mark.parametrize(("make", "message"), [(lambda: Auto(0.1, 1.0, regions=0), "regions = 0"), (lambda: Auto(1.0, 0.1), "not larger")])
def test_names_what_is_wrong(make, message):
    with pytest.raises(ValueError, match=message):
        make()
