"""Drives through the street: the same everywhere, stable objects, the order of the points, pictures that fit."""

from itertools import islice

import numba
import numpy as np
import pytest

from al3d.geometry.camera import in_view, project
from al3d.world.street import HDL32, HDL64, THIN, drive, pictures, scanner, town
from al3d.world.street.driving import _scene, ego_pose
from al3d.world.street.road import road_of, standing
from al3d.world.street.scanner import directions
from al3d.world.street.traffic import moving, streams_of
from al3d.world.sweep import CATEGORIES

SMALL = HDL64.thinned(240)


def same(one, other):
    for name in ("xyz", "intensity", "ring", "category", "moving", "instance", "pose"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def test_a_drive_is_a_function_of_its_key():
    long, short = list(drive(3, 2, SMALL, 4, shots=False)), list(drive(3, 2, SMALL, 2, shots=False))
    for one, other in zip(long, short, strict=False):
        same(one, other)
    key = (3, "street", 2)
    streams = [streams_of(key, road_of(key, length), None) for length in (200.0, 900.0)]
    assert streams[0] == streams[1]
    other = next(iter(drive(3, 5, SMALL, 1, shots=False)))
    assert len(other.xyz) != len(long[0].xyz) or not np.array_equal(other.xyz, long[0].xyz)
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        same(next(iter(drive(3, 2, SMALL, 1))), long[0])
    finally:
        numba.set_num_threads(threads)


def test_a_drive_needs_a_frame():
    with pytest.raises(ValueError, match="frames = 0"):
        drive(1, 0, SMALL, 0)


@pytest.mark.parametrize("sensor", [SMALL, HDL32.thinned(120)])
def test_shapes_and_ranges(sensor):
    for frame, sweep in enumerate(drive(1, 1, sensor, 2, shots=False)):
        count = len(sweep.xyz)
        assert (sweep.xyz.dtype, sweep.xyz.shape) == (np.float32, (count, 3))
        assert [sweep.intensity.dtype, sweep.ring.dtype, sweep.category.dtype, sweep.moving.dtype, sweep.instance.dtype] == [
            np.float32, np.uint8, np.uint8, np.bool_, np.int32,
        ]  # fmt: skip
        assert {len(getattr(sweep, name)) for name in ("intensity", "ring", "category", "moving", "instance")} == {count}
        assert np.isfinite(sweep.xyz).all()
        assert 0 <= sweep.intensity.min() < sweep.intensity.max() <= 1
        assert sweep.category.max() < len(CATEGORIES)
        assert np.linalg.norm(sweep.xyz, axis=1).max() < sensor.reach
        np.testing.assert_allclose(sweep.pose[:3, :3] @ sweep.pose[:3, :3].T, np.eye(3), atol=1e-12)
        assert sweep.time == pytest.approx(frame / sensor.rate)
        assert sweep.shots == ()


def test_order_of_the_64_beams():
    sweep = next(iter(drive(1, 0, SMALL, 1, shots=False)))
    assert (np.diff(sweep.ring.astype(int)) <= 0).all()
    assert (sweep.ring[0], sweep.ring[-1]) == (63, 0)
    azimuth = np.degrees(np.arctan2(sweep.xyz[:, 1], sweep.xyz[:, 0])) % 360
    for ring in (0, 20, 63):
        assert (np.diff(azimuth[sweep.ring == ring]) > 0).all()
    assert not (sweep.xyz == 0).all(axis=1).any()


def test_order_of_the_32_beams():
    sweep = next(iter(drive(1, 0, HDL32, 1, shots=False)))
    assert len(sweep.xyz) == 1084 * 32
    np.testing.assert_array_equal(sweep.ring, np.arange(1084 * 32) % 32)
    far = np.linalg.norm(sweep.xyz, axis=1) > 3
    azimuth = np.degrees(np.unwrap(np.arctan2(sweep.xyz[far, 1], sweep.xyz[far, 0])))
    assert azimuth[-1] - azimuth[0] == pytest.approx(-360, abs=3)
    assert azimuth[0] == pytest.approx(98, abs=3)
    empty = np.linalg.norm(sweep.xyz, axis=1) < 1
    assert (sweep.category[empty] == 0).all()


@pytest.mark.parametrize("sensor", [HDL64, HDL32])
def test_points_lie_on_their_beams(sensor):
    sweep = next(iter(drive(2, 0, sensor.thinned(60), 1, shots=False)))
    distance = np.linalg.norm(sweep.xyz, axis=1)
    far = distance > 2
    elevation = np.degrees(np.arcsin(sweep.xyz[far, 2] / distance[far]))
    np.testing.assert_allclose(elevation, np.array(sensor.elevations)[sweep.ring[far]], atol=1e-3)


def test_instances_stay_and_only_movers_move():
    places, moves = {}, {}
    for number_of_drive, sweep in ((one, sweep) for one in (2, 4, 5, 10) for sweep in drive(1, one, HDL64.thinned(480), 5, shots=False)):
        world = sweep.xyz @ sweep.pose[:3, :3].T + sweep.pose[:3, 3]
        things = np.isin(sweep.category, [CATEGORIES.index(name) for name in town.THINGS])
        np.testing.assert_array_equal(sweep.instance > 0, things)
        assert not sweep.moving[~things].any()
        for number in np.unique(sweep.instance[sweep.instance > 0]):
            mine = sweep.instance == number
            assert len(np.unique(sweep.category[mine])) == 1
            assert len(np.unique(sweep.moving[mine])) == 1
            if mine.sum() > 40:
                places.setdefault((number_of_drive, number), []).append((sweep.time, world[mine].mean(axis=0), sweep.category[mine][0], sweep.moving[mine][0]))
    for track in places.values():
        assert len({(category, flag) for _, _, category, flag in track}) == 1
        if len(track) > 3:
            pace = np.linalg.norm(track[-1][1] - track[0][1]) / (track[-1][0] - track[0][0])
            moves.setdefault(bool(track[0][3]), []).append(pace)
    assert max(moves[False]) < 1.5  # other sides come into view, so that the middle of the points drifts
    assert min(moves[True]) > 0.7


def test_the_ego_vehicle_drives_on_the_road():
    key = (1, "street", 4)
    road = road_of(key, 300.0)
    for frame, sweep in enumerate(drive(1, 4, THIN, 4, shots=False)):
        ground = np.isin(sweep.category, [CATEGORIES.index("road"), CATEGORIES.index("lane-marking")])
        near = np.abs(sweep.xyz[ground][:, :2]).max(axis=1) < 8
        assert np.median(sweep.xyz[ground][near][:, 2]) == pytest.approx(-THIN.mount, abs=0.1), frame
        assert sweep.pose[2, 2] > 0.99
        assert np.hypot(*sweep.pose[:2, 3]) < 300
    assert road.x[int(192 / 0.5)] == 0


def test_every_category_occurs_in_a_dozen_drives():
    found = np.zeros(len(CATEGORIES), np.int64)
    for index in range(12):
        for sweep in islice(drive(1, index, HDL64.thinned(800), 1, shots=False), 1):
            found += np.bincount(sweep.category, minlength=len(CATEGORIES))
    assert (found > 0).all(), [name for name, count in zip(CATEGORIES, found, strict=True) if not count]


def scene_of(index, sensor):
    """Road, stage and pose of the first frame of drive `index` of the world 1, put together by hand."""
    key = (1, "street", index)
    road = road_of(key, 250.0)
    streams = streams_of(key, road, town.guest_of(index, "road"))
    fixed = [placed for number in range(-5, 6) for placed in town.furnished(key, index, road, number)]
    stage, _, _ = _scene(fixed, moving(key, streams, road, 0.0, 0.0, 110.0), {})
    return road, stage, ego_pose(key, road, streams[0].lateral, 0.0, 0, sensor.mount)


@pytest.mark.parametrize(("sensor", "index"), [(HDL64, 0), (HDL64, 5), (HDL32, 2)])
def test_pictures_show_what_the_points_hit(sensor, index):
    road, stage, pose = scene_of(index, sensor)
    sweep = next(iter(drive(1, index, sensor, 1)))
    np.testing.assert_array_equal(sweep.pose, pose)
    assert [shot.name for shot in sweep.shots] == [lens.name for lens in sensor.cameras]
    agree = total = 0
    for shot in sweep.shots:
        assert shot.image.shape == (shot.camera.height, shot.camera.width, 3)
        picture = pictures.taken(road, stage, shot.camera, pose, 0.0, np.array([0.0, 0.5, 0.86]))
        pixel, depth = project(shot.camera, sweep.xyz)
        seen = in_view(shot.camera, pixel, depth) & (sweep.category > 0)
        column, row = np.rint(pixel[seen]).astype(int).T
        distance = np.linalg.norm(sweep.xyz[seen] - shot.camera.pose[:3, 3], axis=1)
        visible = distance < picture.distance[row, column] + 0.5
        agree += (picture.category[row, column] == sweep.category[seen])[visible].sum()
        total += visible.sum()
        road_seen = sweep.category[seen] == CATEGORIES.index("road")
        if road_seen.sum() > 100:
            assert (np.abs(distance - picture.distance[row, column]) < 0.3)[road_seen].mean() > 0.8
    assert total > 2000
    assert agree / total > 0.85


def test_colours_of_the_ground():
    sweep = next(iter(drive(1, 0, HDL64, 1)))
    shot = sweep.shots[0]
    pixel, depth = project(shot.camera, sweep.xyz)
    near = in_view(shot.camera, pixel, depth) & (depth < 20)
    column, row = np.rint(pixel[near]).astype(int).T
    color, category = shot.image[row, column].astype(float), sweep.category[near]
    road, walk = (np.median(color[category == CATEGORIES.index(name)], axis=0) for name in ("road", "sidewalk"))
    leaves = np.median(color[category == CATEGORIES.index("vegetation")], axis=0)
    assert walk.mean() > road.mean() + 20
    assert leaves[1] > leaves[[0, 2]].max()


def test_the_roof_hides_the_ground_behind():
    rays, ring = directions(HDL64)
    blocked = np.isfinite(scanner._roof(HDL64, rays))
    share = np.bincount(ring[blocked], minlength=64) / HDL64.columns
    assert 0.2 < share[0] < 0.6
    assert share[25:].max() == 0


def test_static_things_stand_on_the_ground_beside_the_lanes():
    key = (1, "street", 3)
    road = road_of(key, 250.0)
    for number in range(-3, 6):
        for placed in town.furnished(key, 3, road, number):
            centre = placed.shape.matrix[:, :2, 3].mean(axis=0)
            x, y, _, _ = standing(road, 0.0, streams_of(key, road, None)[0].lateral)
            assert np.hypot(*(centre - [x, y])) > 2.0
