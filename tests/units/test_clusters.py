"""Objects and ground cells, on a made street and on real scans."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from joblib import Parallel, delayed

from al3d.rng import generator
from al3d.types import Scene
from al3d.units.binning import cluster_sizes
from al3d.units.clusters import GROUND, OBJECT, SizedClusters, density_clusters, without_large
from al3d.units.ground import ground_points

DATA = Path(__file__).parents[3] / "shared" / "data"
KITTI = sorted((DATA / "kitti_odometry_00" / "velodyne").glob("*.bin"))
NUSCENES = sorted((DATA / "nuscenes_frame").glob("*.pcd.bin"))
LABELLED = DATA / "semantic_kitti"
pytest.importorskip("pypatchworkpp", reason="the extra al3d[ground] is not installed")


def street(feat=None):
    """A level road under a scanner 1.73 m up, three cars, a pole and a long house; the part of every point."""
    random = generator("street")
    radius, angle = 3 + 40 * random.random(20_000) ** 2, random.random(20_000) * 2 * np.pi
    road = np.stack([radius * np.cos(angle), radius * np.sin(angle), -1.73 + 0.01 * random.normal(size=20_000)], axis=1)
    box = random.random((400, 3)) * [4, 1.8, 1.2] + [0, 0, -1.2]
    cars = [box + [8, 5, 0], box + [-12, 5, 0], box + [8, -9, 0]]
    pole = random.random((120, 3)) * [0.2, 0.2, 3] + [15, 12, -1.2]
    house = random.random((6000, 3)) * [40, 0.3, 4] + [-20, 18, -1.2]
    parts = [road, *cars, pole, house]
    xyz = np.concatenate(parts).astype(np.float32)
    feat = np.full((len(xyz), 1), 0.5, np.float32) if feat is None else np.full((len(xyz), 1), feat, np.float32)
    return Scene("street", xyz, feat), np.repeat(np.arange(6), [len(part) for part in parts])


def kitti(path):
    points = np.fromfile(path, np.float32).reshape(-1, 4)
    return Scene(path.stem, points[:, :3].copy(), points[:, 3:].copy())


def shuffled(scene):
    order = generator("order", len(scene)).permutation(len(scene))
    return Scene(scene.id, scene.xyz[order], scene.feat[order]), order


def test_a_street():
    scene, part = street()
    partition = SizedClusters()(scene)
    unit, kind = partition.unit, partition.kinds()
    assert (kind[:4] == OBJECT).all() and (kind[4:] == GROUND).all(), "three cars and a pole, then cells"
    for number in range(1, 5):
        found = np.unique(unit[part == number])
        assert len(found) == 1 and kind[found[0]] == OBJECT and (part[unit == found[0]] == number).all()
    assert (unit[part == 5] == -1).all(), "the house is longer than 25 m"
    assert (kind[unit[(part == 0) & (unit >= 0)]] == GROUND).all() and (unit[part == 0] >= 0).mean() > 0.99
    assert SizedClusters(largest=None)(scene).kinds()[:5].tolist() == [OBJECT] * 5


def test_ground_cells_are_squares_in_the_scanners_frame():
    scene, _ = street()
    partition = SizedClusters(cell=10.0)(scene)
    cells = np.flatnonzero(partition.kinds() == GROUND)
    keys = [tuple(np.unique(np.floor(scene.xyz[partition.unit == cell, :2].astype(np.float64) / 10), axis=0)[0]) for cell in cells]
    assert all(len(np.unique(np.floor(scene.xyz[partition.unit == cell, :2] / 10), axis=0)) == 1 for cell in cells)
    assert keys == sorted(set(keys)) and (-1.0, -1.0) in keys and (0.0, 0.0) in keys


def test_objects_come_in_the_order_of_their_first_point():
    scene, _ = street()
    unit = SizedClusters()(scene).unit
    first = [scene.xyz[unit == number, 0].min() for number in range(4)]
    assert first == sorted(first)


def test_without_ground_everything_is_clustered():
    scene, part = street()
    partition = SizedClusters(ground=False, largest=None)(scene)
    assert (partition.kinds() == OBJECT).all()
    assert set(partition.unit[part == 4].tolist()) & set(partition.unit[part == 0].tolist()), "the pole stands on the road"


@pytest.mark.parametrize(("largest", "parts"), [(4.0, [4]), (8.0, [1, 2, 3, 4]), (50.0, [1, 2, 3, 4, 5])])
def test_every_object_is_within_the_limit(largest, parts):
    """The pole is of size 3, a car 7, the house 44; a few stray points of the road are a cluster of size 55."""
    scene, part = street()
    partition = SizedClusters(largest=largest)(scene)
    objects = np.flatnonzero(partition.kinds() == OBJECT)
    extent = np.stack([np.ptp(scene.xyz[partition.unit == number], axis=0) for number in objects])
    assert cluster_sizes(extent).max() <= largest
    assert np.unique(part[np.isin(partition.unit, objects)]).tolist() == parts


def test_large_clusters_are_removed():
    xyz = np.array([[0, 0, 0], [5, 0, 0], [0, 0, 0], [30, 0, 0], [1, 1, 1]], np.float32)
    assert without_large(xyz, np.array([1, 1, 0, 0, -1]), 25).tolist() == [1, 1, -1, -1, -1]
    assert without_large(xyz, np.full(5, -1), 25).tolist() == [-1] * 5


@pytest.mark.parametrize("count", [0, 1, 5, 19])
def test_too_few_points_are_noise(count):
    assert density_clusters(generator("few").normal(size=(count, 3)), 20, 10, 0.5).tolist() == [-1] * count


def test_moving_objects_changes_nothing_when_no_ground_is_sought():
    xyz = (generator("move").integers(-20, 20, (600, 3)) / 64 + generator("group").integers(0, 3, (600, 1)) * 8).astype(np.float32)
    unit = SizedClusters(ground=False)
    moved = xyz + np.array([32.0, -64.0, 4.0], np.float32)
    feat = np.zeros((600, 1), np.float32)
    assert unit(Scene("a", xyz, feat)).unit.max() == 2
    assert np.array_equal(unit(Scene("a", xyz, feat)).unit, unit(Scene("b", moved, feat)).unit)


@pytest.mark.slow
def test_workers_and_the_order_of_points_change_nothing():
    scene, _ = street()
    other, order = shuffled(scene)
    unit = SizedClusters()
    alone = unit(scene)
    several = Parallel(n_jobs=2, backend="loky")(delayed(unit)(each) for each in (other, scene, other))
    for partition, place in zip(several, (order, np.arange(len(scene)), order), strict=True):
        assert np.array_equal(partition.unit, alone.unit[place]) and np.array_equal(partition.kinds(), alone.kinds())


def test_a_scan_does_not_depend_on_those_before_it():
    scene, _ = street()
    first = ground_points(scene.xyz, None, 1.73)
    ground_points(scene.xyz * np.float32(1.3), None, 2.2)
    assert np.array_equal(first, ground_points(scene.xyz, None, 1.73)) and first.sum() > 19_000


def test_faint_points_below_the_view_are_not_ground():
    scene, _ = street()
    below = generator("below").normal(size=(200, 3)).astype(np.float32) * 0.05 + np.array([4, 0, -3.5], np.float32)
    xyz = np.concatenate([scene.xyz, below])
    faint = np.concatenate([np.full(len(scene), 0.5), np.zeros(200)]).astype(np.float32)
    assert not ground_points(xyz, faint, 1.73)[-200:].any()


def test_nothing_is_printed_and_printing_goes_on():
    code = (
        "import sys, numpy as np; from al3d.units.ground import ground_points; print('before', end='')\n"
        "ground_points(np.ones((50, 3), np.float32), None, 1.7); print(' after')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (result.stdout, result.stderr, result.returncode) == ("before after\n", "", 0)


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pypatchworkpp", None)
    with pytest.raises(ImportError, match=r"pip install 'al3d\[ground\]'"):
        SizedClusters()(street()[0])


def test_intensity_is_scaled():
    fraction, bytes_ = street(0.6)[0], street(153.0)[0]
    with pytest.raises(ValueError, match="'street': intensity up to 153 with full_intensity = 1: set full_intensity"):
        SizedClusters()(bytes_)
    assert np.array_equal(SizedClusters(full_intensity=255.0)(bytes_).unit, SizedClusters()(fraction).unit)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_cluster_size": 1}, "min_cluster_size = 1"),
        ({"min_samples": 0}, "min_samples = 0"),
        ({"epsilon": -1.0}, "epsilon = -1"),
        ({"largest": -3.0}, "largest = -3"),
        ({"sensor_height": float("nan")}, "sensor_height = nan"),
        ({"cell": 0.0}, "size = 0.0 m: the size of a ground cell"),
        ({"full_intensity": 0.0}, "full_intensity = 0"),
    ],
)
def test_names_what_is_wrong(options, message):
    with pytest.raises(ValueError, match=message):
        SizedClusters(**options)


@pytest.mark.skipif(not KITTI, reason="the KITTI scans are not here")
def test_a_real_scan():
    scene = kitti(KITTI[0])
    partition = SizedClusters()(scene)
    other, order = shuffled(scene)
    assert np.array_equal(SizedClusters()(other).unit, partition.unit[order])
    share = np.bincount(partition.unit + 1)[1:] / len(scene)
    kind = partition.kinds()
    assert 80 < (kind == OBJECT).sum() < 250 and 40 < (kind == GROUND).sum() < 200
    assert 0.4 < share[kind == GROUND].sum() < 0.8


@pytest.mark.skipif(not NUSCENES, reason="the nuScenes sweep is not here")
def test_a_real_sweep_of_nuscenes():
    points = np.fromfile(NUSCENES[0], np.float32).reshape(-1, 5)
    scene = Scene("sweep", points[:, :3].copy(), points[:, 3:4].copy())
    kind = SizedClusters(min_samples=1, sensor_height=1.84, full_intensity=255.0)(scene).kinds()
    assert 50 < (kind == OBJECT).sum() < 200 and 40 < (kind == GROUND).sum() < 150


@pytest.mark.skipif(not LABELLED.is_dir(), reason="the labelled SemanticKITTI scan is not here")
def test_ground_is_where_the_labels_say():
    path = next(LABELLED.rglob("*.bin"))
    scene = kitti(path)
    label = np.fromfile(next(LABELLED.rglob("*.label")), np.uint32) & 0xFFFF
    ground = ground_points(scene.xyz, scene.feat[:, 0], 1.73)
    flat = np.isin(label, [40, 44, 48, 49, 60, 72])
    assert ground[flat].mean() > 0.95
    assert ground[np.isin(label, [10, 30, 71, 80, 81])].mean() < 0.05
