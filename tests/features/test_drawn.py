"""Drawn pictures: where cameras stand, what they see, what is drawn of scenes without colour, and that none of it is left to chance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import pytest
from PIL import Image as Photograph

from al3d.features.any_views import AnyViews
from al3d.features.drawn import BACKGROUND, NIGHT, DrawnViews, LidarViews, RoomViews
from al3d.features.handcrafted import Handcrafted
from al3d.features.photographs import Photographs
from al3d.features.view_choice import most_seen
from al3d.features.view_colours import has_colours, paint
from al3d.features.view_places import standing_places
from al3d.features.view_scans import scanned_around, scanner_place
from al3d.geometry.camera import look_at, pinhole
from al3d.types import Camera, Image, Scene

ROOM = RoomViews(views=6, size=48)
LIDAR = LidarViews(size=48)
KITTI = Path(__file__).resolve().parents[3] / "shared/data/semantic_kitti/sequences/08/velodyne/000000.bin"


def sheet(random, count, low, high):
    """Points on a rectangle or in a box between two corners."""
    return random.uniform(low, high, (count, 3))


def box(random, count, low, high):
    """Points on the six sides of a hollow box."""
    points = random.random((count, 3))
    axis = random.integers(0, 3, count)
    points[np.arange(count), axis] = random.integers(0, 2, count)
    return np.asarray(low) + points * (np.asarray(high) - np.asarray(low))


def room(random=None, width=6.0, depth=5.0, cupboard=True):
    """A closed room, 2.7 m high: a hollow cupboard on the floor, a table, and floor below both."""
    random = random or np.random.default_rng(3)
    parts = [box(random, 30_000, (0, 0, 0), (width, depth, 2.7)), sheet(random, 2000, (1, 3.4, 0.72), (2.6, 4.4, 0.76))]
    if cupboard:
        parts.append(box(random, 4000, (3.0, 1.5, 0), (4.2, 2.7, 2.1)))
    return np.concatenate(parts).astype(np.float32)


def scene_of(xyz, feat=None, **options):
    return Scene("made", xyz, np.empty((len(xyz), 0), np.float32) if feat is None else feat.astype(np.float32), **options)


def street(columns=600, beams=24, sequence="00"):
    """What a scanner 1.7 m above a road between two walls sees, wall intensity 0.9, road 0.1."""
    turn, lift = np.meshgrid(np.linspace(-np.pi, np.pi, columns, endpoint=False), np.radians(np.linspace(-24, 3, beams)))
    way = np.stack([np.cos(lift) * np.cos(turn), np.cos(lift) * np.sin(turn), np.sin(lift)], axis=-1).reshape(-1, 3)
    to_road = np.where(way[:, 2] < 0, -1.7 / np.minimum(way[:, 2], -1e-9), 60)
    to_wall = 8 / np.maximum(np.abs(way[:, 1]), 1e-9)
    distance = np.minimum(np.minimum(to_road, to_wall), 60)
    feat = np.where(to_wall < to_road, 0.9, 0.1)[:, None]
    return scene_of((way * distance[:, None]).astype(np.float32), feat, sequence=sequence, frame=0 if sequence else None)


def blank(picture, background):
    return (picture == np.array(background)).all(axis=2)


# Where people stand.


def test_people_stand_on_free_floor_and_not_in_furniture():
    places = standing_places(room(), 12)
    assert len(places) == 12
    np.testing.assert_allclose(places[:, 2], 1.5, atol=0.1)
    x, y = places[:, 0], places[:, 1]
    assert ((x > 0.2) & (x < 5.8) & (y > 0.2) & (y < 4.8)).all()
    near_cupboard = (x > 2.8) & (x < 4.4) & (y > 1.3) & (y < 2.9)
    on_table = (x > 0.8) & (x < 2.8) & (y > 3.2) & (y < 4.6)
    assert not near_cupboard.any() and not on_table.any()


def test_the_first_has_most_room_and_the_others_are_spread():
    empty = room(cupboard=False, width=9.0)
    places = standing_places(empty, 8)
    assert places[0, 0] > 4.5 and 2.0 < places[0, 1] < 3.2  # far from the table and from all walls
    gap = np.linalg.norm(places[:, None, :2] - places[None, :, :2], axis=2) + 99 * np.eye(8)
    assert gap.min() > 1.2
    assert np.array_equal(standing_places(empty, 3), places[:3])  # an order: more places never change the first ones


def test_a_crowded_room_is_looked_at_over_the_furniture():
    random = np.random.default_rng(0)
    crowded = np.concatenate([box(random, 30_000, (0, 0, 0), (4, 4, 2.7)), sheet(random, 30_000, (0.1, 0.1, 0.4), (3.9, 3.9, 0.75))])
    places = standing_places(crowded.astype(np.float32), 3)
    assert len(places) == 3
    np.testing.assert_allclose(places[:, 2], 1.5, atol=0.1)


def test_nobody_stands_outside_or_in_a_lump():
    assert len(standing_places(np.random.default_rng(0).random((20_000, 3)).astype(np.float32) * 4, 3)) == 0
    random = np.random.default_rng(1)
    two = np.concatenate([box(random, 20_000, (0, 0, 0), (5, 4, 2.7)), box(random, 3000, (12, 0, 0), (13.4, 1.4, 2.7))])  # 10 m apart
    places = standing_places(two.astype(np.float32), 6)
    assert (places[:, 0] < 5).all()


# Which cameras are taken.


def test_most_seen_is_greedy_over_what_is_new():
    """Two walls apart: after one was seen, the other is worth more, however often the first is offered."""
    random = np.random.default_rng(0)
    walls = np.concatenate([sheet(random, 4000, (5, -3, -3), (5, 3, 3)), sheet(random, 3000, (-5, -2.5, -2.5), (-5, 2.5, 2.5))]).astype(np.float32)
    east, west, up = (look_at((0, 0, 0), way) for way in ((1, 0, 0), (-1, 0, 0), (0, 0, 1)))
    assert most_seen(walls, [up, east, east, west], [0, 0, 0, 0], 3, 4, 75.0) == [1, 3, 2]
    assert most_seen(walls, [up, east, east, west], [0, 1, 1, 1], 4, 1, 75.0)[:2] == [1, 0]  # a group that is used up waits
    assert sorted(most_seen(walls, [up, east], [0, 1], 9, 1, 75.0)) == [0, 1]


def test_room_views_see_surface_from_inside_and_look_apart():
    xyz = room()
    cameras = RoomViews(views=8, size=64).cameras(scene_of(xyz), xyz)
    assert len(cameras) == 8
    eyes = np.array([camera.pose[:3, 3] for camera in cameras])
    assert ((eyes > 0.2) & (eyes < [5.8, 4.8, 2.5])).all()
    ways = np.array([camera.pose[:3, 2] for camera in cameras])
    assert (ways[:, 2] < 0).all()
    assert len(np.unique(ways[:, :2].round(3), axis=0)) >= 4
    pictures = RoomViews(views=8, size=64)(scene_of(xyz))
    assert max(blank(picture, BACKGROUND).mean() for picture in pictures) < 0.02  # a closed room has no hole


def test_a_wall_hides_the_room_behind_it():
    random = np.random.default_rng(0)
    near, far = box(random, 60_000, (0, 0, 0), (4, 4, 2.7)), box(random, 8000, (4.6, 0, 0), (7, 4, 2.7))
    red, green = np.tile([0.9, 0.1, 0.1], (len(near), 1)), np.tile([0.1, 0.9, 0.1], (len(far), 1))
    scene = scene_of(np.concatenate([near, far]).astype(np.float32), np.concatenate([red, green]))
    views = RoomViews(views=12, size=96)  # so large that no point is thinned away
    for picture, camera in zip(views(scene), views.cameras(scene, scene.xyz), strict=True):
        green_share = (picture[..., 1] > picture[..., 0]).mean()
        assert green_share < 0.01 if camera.pose[0, 3] < 4 else green_share > 0.98


# Small things and what one camera saw.


def table(random=None):
    random = random or np.random.default_rng(0)
    return np.concatenate([sheet(random, 4000, (0, 0, 0), (1.2, 0.8, 0)), box(random, 2000, (0.4, 0.3, 0), (0.6, 0.5, 0.3))]).astype(np.float32)


def test_small_things_are_looked_at_from_above_and_around():
    cameras = ROOM.cameras(scene_of(table()), table())
    ways = np.array([camera.pose[:3, 2] for camera in cameras])
    assert (ways[:, 2] < -0.15).all()
    middle = np.array([0.6, 0.4, 0.1])
    for camera in cameras:
        seen = camera.pose[:3, :3].T @ (middle - camera.pose[:3, 3])
        assert seen[2] > 0 and np.abs(seen[:2] / seen[2] * camera.fx).max() < 24


def test_a_single_camera_decides_the_side():
    xyz = table()
    eye = np.array([0.6, -1.5, 1.0])
    taken = pinhole(look_at(eye, (0.6, 0.4, 0.1)), 64, 48, 70.0)
    scene = scene_of(xyz, images=(Image(None, taken),))
    cameras = RoomViews(views=16, size=48).cameras(scene, xyz)
    from_above = np.array([camera.pose[:3, 3] - [0.6, 0.4, 0.1] for camera in cameras])
    turn = np.degrees(np.arctan2(from_above[:, 1], from_above[:, 0]))
    assert ((turn > -145) & (turn < -35)).all()
    assert abs(turn[0] + 90) < 3
    assert turn.min() < -120 and turn.max() > -60
    large = room()
    overhead = replace(taken, pose=look_at((3, -3, 9), (3, 2.5, 0)), fx=20.0, fy=20.0)
    assert (np.array([one.pose[1, 3] for one in ROOM.cameras(scene_of(large, images=(Image(None, overhead),)), large)]) < 2.5).all()
    elsewhere = replace(taken, pose=look_at((3, 2.5, 1.5), (0, 0, 1.5)))  # it shows a corner of the room alone
    inside = ROOM.cameras(scene_of(large, images=(Image(None, elsewhere),)), large)
    assert all(0 < one.pose[2, 3] < 2.7 for one in inside)


@pytest.mark.parametrize(
    "xyz",
    [
        np.array([[1, 2, 3]]),
        np.ones((50, 3)),
        np.array([[0, 0, 0], [10, 0, 0]]),
        np.outer(np.linspace(0, 5, 300), [1, 1, 0]),
        np.outer(np.linspace(0, 5, 300), [0, 0, 1]),
        box(np.random.default_rng(0), 500, (0, 0, 0), (0.01, 0.01, 0.01)),
        np.random.default_rng(0).uniform(0, 8, (2000, 3)) * [1, 1, 0],
    ],
    ids=["one point", "equal points", "two points", "level line", "upright line", "tiny closed box", "plane"],
)
def test_degenerate_clouds_still_give_pictures(xyz):
    pictures = RoomViews(views=2, size=32)(scene_of(xyz.astype(np.float32)))
    assert len(pictures) == 2
    assert all(picture.shape == (32, 32, 3) and picture.dtype == np.uint8 for picture in pictures)
    assert all(not blank(picture, BACKGROUND).all() for picture in pictures)


def test_an_empty_region_and_an_outlier_change_nothing_much():
    xyz = room()
    plain = RoomViews(views=4, size=48)
    far = np.concatenate([xyz, [[500.0, 0, 0], [-3000, 10, 5]]]).astype(np.float32)
    expected, found = plain.cameras(scene_of(xyz), xyz), plain.cameras(scene_of(far), far)
    eyes = [np.array([camera.pose[:3, 3] for camera in cameras]) for cameras in (expected, found)]
    assert np.abs(eyes[0][:, 2] - eyes[1][:, 2]).max() < 0.1
    assert ((eyes[1] > 0.2) & (eyes[1] < [5.8, 4.8, 2.5])).all()


# LiDAR.


def test_lidar_shows_front_left_back_and_right_and_the_bird():
    """A pillar in front, seen in the first picture alone; the left wall is red in the second."""
    scene = street()
    pictures = LIDAR(scene)
    assert len(pictures) == 5
    front, left, back, right, bird = pictures
    assert front.shape == left.shape == back.shape == right.shape and front.shape[1] == 144 and bird.shape == (48, 48, 3)
    only_left = scene_of(scene.xyz[scene.xyz[:, 1] > 2], sequence="00", frame=0)
    empty = [blank(picture, NIGHT).mean() for picture in LIDAR(only_left)]
    assert empty[1] < 0.1 and empty[3] > 0.99
    assert blank(LIDAR(only_left)[4][:, 30:], NIGHT).all()  # left of the front is left in the bird's-eye view
    only_front = scene_of(scene.xyz[scene.xyz[:, 0] > 4], sequence="00", frame=0)
    assert blank(LIDAR(only_front)[2], NIGHT).all()
    assert blank(LIDAR(only_front)[4][30:], NIGHT).all()


@pytest.mark.parametrize("beams", [16, 32, 64])
def test_no_part_of_a_heading_is_empty(beams):
    for picture in LidarViews(size=96)(street(900, beams))[:4]:
        third = len(picture) // 3
        drawn = ~blank(picture, NIGHT)
        assert drawn[:third].mean() > 0.5 and drawn[third:-third].mean() > 0.85 and drawn[-third:].mean() > 0.85


def test_the_own_vehicle_is_left_out():
    scene = street()
    hood = np.random.default_rng(0).uniform(-1, 1, (3000, 3)) * [1.5, 0.8, 0.2] + [0, 0, -0.8]
    both = scene_of(np.concatenate([scene.xyz, hood]).astype(np.float32), np.concatenate([scene.feat, np.full((3000, 1), 0.5)]), sequence="00", frame=0)
    without, shown = LIDAR(both), LidarViews(size=48, nearest=0)(both)
    assert without[0].shape == LIDAR(scene)[0].shape
    assert shown[0].shape[0] > without[0].shape[0]  # it would fill the lower part
    alone = scene_of(hood.astype(np.float32), sequence="00", frame=0)
    assert not blank(LIDAR(alone)[0], NIGHT).all()  # nothing farther away: then it is drawn


def test_a_scan_is_told_from_rooms_and_maps():
    assert scanned_around(street())
    lone = street(sequence=None)
    assert scanned_around(lone)
    moved = replace(lone, xyz=(lone.xyz + np.float32(30)).astype(np.float32), origin=np.full(3, -30.0))  # the folder's source moves scenes so
    assert scanned_around(moved)
    np.testing.assert_array_equal(scanner_place(moved), [30, 30, 30])
    assert not scanned_around(replace(moved, origin=np.zeros(3)))  # its points lie to one side of the origin
    assert not scanned_around(scene_of(room()))
    merged = np.concatenate([lone.xyz, lone.xyz + [25, 0, 0], lone.xyz + [0, 30, 0]]).astype(np.float32)
    assert not scanned_around(scene_of(merged))  # walls behind walls
    with pytest.raises(ValueError, match=r"\[0\.0, 0\.0, 0\.0\].*no scanner stood there: set views@features.views=room"):
        LIDAR.check(replace(moved, origin=np.zeros(3)))


def test_moving_the_frame_moves_nothing_in_the_pictures():
    lone = street(sequence=None)
    moved = replace(lone, xyz=lone.xyz + np.float32(32), origin=np.full(3, -32.0))
    for a, b in zip(LIDAR(lone), LIDAR(moved), strict=True):
        assert a.shape == b.shape and (np.abs(a.astype(int) - b).max(axis=2) > 12).mean() < 0.05


@pytest.mark.skipif(not KITTI.is_file(), reason="the real scan is not here")
def test_a_real_scan():
    points = np.fromfile(KITTI, np.float32).reshape(-1, 4)
    scene = scene_of(points[:, :3].copy(), points[:, 3:])
    assert scanned_around(scene)
    pictures = LidarViews(size=96)(scene)
    for picture in pictures[:4]:
        drawn = ~blank(picture, NIGHT)
        assert drawn.mean() > 0.75 and drawn[: len(picture) // 4].mean() > 0.4
    assert len({picture.tobytes() for picture in pictures}) == 5


# Colours.


def test_colours_are_found():
    one = np.random.default_rng(0).random((100, 4)).astype(np.float32)
    assert has_colours(one[:, :3]) and has_colours(one)
    assert not has_colours(one[:, :2]) and not has_colours(one * 255) and not has_colours(one - 0.5) and not has_colours(np.ones((9, 3), np.float32))
    xyz = room()[:100]
    np.testing.assert_allclose(paint(scene_of(xyz, one), "auto").base, one[:, :3] * 255, rtol=1e-5)
    assert paint(scene_of(xyz, one), "geometry").normal is not None


def test_real_colours_arrive_in_the_picture():
    xyz = room(cupboard=False)
    orange = scene_of(xyz, np.tile([0.8, 0.4, 0.2], (len(xyz), 1)) + np.linspace(0, 1e-3, len(xyz))[:, None])
    for picture in RoomViews(views=2, size=160)(orange):
        np.testing.assert_allclose(np.median(picture.reshape(-1, 3), axis=0), [204, 102, 51], rtol=0.1)  # but for the shading of edges


def test_structure_is_visible_without_colours():
    """Ground, high and low parts, and bright and dull surfaces differ by far more than a step of the histogram's bins."""
    scene = street()
    made = paint(scene, "auto")
    wall, road = scene.feat[:, 0] > 0.5, scene.feat[:, 0] < 0.5
    high = wall & (scene.xyz[:, 2] > -0.2)
    assert np.abs(made.base[high].mean(axis=0) - made.base[road].mean(axis=0)).max() > 64
    dull = paint(scene, "geometry").base
    assert dull[road].mean() > 1.3 * made.base[road].mean()  # the road reflects little
    seen = made.seen_from(scene.xyz, np.zeros(3))
    assert seen.dtype == np.uint8 and (seen <= np.ceil(made.base)).all()


def test_a_surface_is_darker_seen_edge_on():
    plane = (np.random.default_rng(0).uniform(-1, 1, (3000, 3)) * [1, 1, 0]).astype(np.float32)
    made = paint(scene_of(plane), "geometry")
    middle = np.abs(plane).max(axis=1) < 0.5
    above, beside = made.seen_from(plane, [0, 0, 5]), made.seen_from(plane, [5, 0, 0.1])
    assert above[middle].mean() > 1.2 * beside[middle].mean()


def test_a_raw_intensity_looks_as_a_scaled_one_and_a_constant_one_as_none():
    scene = street()
    raw = replace(scene, feat=scene.feat * np.float32(256))
    np.testing.assert_allclose(paint(raw, "auto").base, paint(scene, "auto").base, atol=1e-3)
    constant = replace(scene, feat=np.ones_like(scene.feat))
    np.testing.assert_array_equal(paint(constant, "auto").base, paint(scene, "geometry").base)


# The same bytes every time, and options.


@pytest.mark.parametrize(("views", "scene"), [(ROOM, scene_of(room())), (LIDAR, street()), (ROOM, scene_of(table()))], ids=["room", "lidar", "table"])
def test_the_same_features_on_any_number_of_threads(views, scene):
    threads = numba.get_num_threads()
    first = views(scene)
    try:
        numba.set_num_threads(1)
        second = views(scene)
    finally:
        numba.set_num_threads(threads)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert Handcrafted()(first).tobytes() == Handcrafted()(second).tobytes()


def test_many_points_are_thinned_to_the_same_picture():
    random = np.random.default_rng(0)
    few, many = box(random, 40_000, (0, 0, 0), (5, 4, 2.7)), box(random, 300_000, (0, 0, 0), (5, 4, 2.7))
    small = RoomViews(views=2, size=32)
    pictures = [small(scene_of(cloud.astype(np.float32), 0.5 + 0.4 * np.sin(cloud))) for cloud in (few, many)]
    assert all(blank(picture, BACKGROUND).mean() < 0.02 for both in pictures for picture in both)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: RoomViews(views=0), "views=0"),
        (lambda: RoomViews(size=8), "size=8"),
        (lambda: RoomViews(field_of_view=170), "field_of_view=170"),
        (lambda: RoomViews(colours="red"), "colours='red' is not one of auto, rgb"),
        (lambda: LidarViews(reach=0), "reach=0"),
        (lambda: LidarViews(nearest=-1), "nearest=-1"),
        (lambda: LidarViews(size=5000), "size=5000"),
        (lambda: RoomViews(colours="rgb").check(street()), "has 1 attributes, but colours=rgb reads 3"),
        (lambda: LidarViews(colours="intensity").check(scene_of(room(), sequence="a", frame=0)), "reads 1"),
    ],
)
def test_names_what_is_wrong(make, words):
    with pytest.raises(ValueError, match=words):
        make()


# Which way.


def test_drawn_chooses_by_the_scene():
    drawn = DrawnViews(RoomViews(views=2, size=32), LidarViews(size=32))
    assert [len(drawn(scene)) for scene in (street(), street(sequence=None), scene_of(room()))] == [5, 5, 2]
    drawn.check(scene_of(room()))


def test_any_takes_photographs_where_there_are_some(tmp_path):
    path = tmp_path / "a.png"
    Photograph.fromarray(np.full((4, 5, 3), 7, np.uint8)).save(path)
    views = AnyViews(Photographs(), RoomViews(views=2, size=32))
    xyz = room()
    camera = Camera(10, 10, 5, 5, 11, 11)
    assert views(scene_of(xyz, images=(Image(path),)))[0].shape == (4, 5, 3)
    for images in ((), (Image(None, camera),), (Image(tmp_path / "gone.png"),)):
        views.check(scene_of(xyz, images=images))
        assert [picture.shape for picture in views(scene_of(xyz, images=images))] == [(32, 32, 3)] * 2
    with pytest.raises(FileNotFoundError, match=r"gone\.png is not there"):
        views.check(scene_of(xyz, images=(Image(path), Image(tmp_path / "gone.png"))))
