"""What every point is described by: each column against its definition, and what must not change it."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.data.hashing import hash_of
from al3d.geometry.shape import SHAPE
from al3d.probes.geometric import LARGEST, Geometric
from al3d.rng import generator
from al3d.types import Scene

RGB = ("red", "green", "blue")
ROOM = Geometric(0.05, RGB)
DATA = Path(__file__).parents[3] / "shared" / "data"
KITTI = sorted((DATA / "kitti_odometry_00" / "velodyne").glob("*.bin"))
NUSCENES = sorted((DATA / "nuscenes_frame").glob("*.pcd.bin"))


@cache
def room(points=3000, key=0):
    """A floor, two walls, a box and a pole with colours; places are multiples of 1/1024 m, so that moving the scene rounds nothing."""
    draw = generator("described room", key)
    spots = draw.random((points, 3)) * [3, 2, 2]
    part = draw.integers(0, 5, points)
    spots[part == 0, 2] = 0
    spots[part == 1, 0] = 0
    spots[part == 2, 1] = 0
    spots[part == 3] = spots[part == 3] * [0.2, 0.2, 0.25] + [1.5, 1, 0]
    spots[part == 4] = spots[part == 4] * [0.01, 0.01, 1] + [2.5, 1.5, 0]
    xyz = np.rint((spots + draw.normal(size=(points, 3)) * 0.004) * 1024) / 1024
    return Scene("room", xyz.astype(np.float32), draw.random((points, 3)).astype(np.float32))


def moved(scene, by):
    return Scene(scene.id, (scene.xyz + np.float32(by)).astype(np.float32), scene.feat)


def column(describe, scene, name):
    return describe(scene)[:, describe.columns.index(name)]


def naive_shape(points):
    """Linearity, planarity, scattering, 1 - |z| of the normal and |z| of the first direction, of points f64[K,3]."""
    values, vectors = np.linalg.eigh(np.cov(points.T, bias=True))
    return (values[2] - values[1]) / values[2], (values[1] - values[0]) / values[2], values[0] / values[2], 1 - abs(vectors[2, 0]), abs(vectors[2, 2])


def naive(describe, scene):
    """A column after the other for some points, by its words: every cell by its corners, every distance."""
    xyz = scene.xyz.astype(np.float64) - scene.xyz.min(axis=0).astype(np.float64)
    some = generator("some").choice(len(scene), 60, replace=False)
    found = {name: [] for name in describe.columns}
    finer = None
    for number, scale in enumerate(describe.scales):
        size = scale * describe.length
        _, inverse = np.unique(np.floor(xyz / size), axis=0, return_inverse=True)
        inverse = inverse.reshape(-1)
        centre = np.stack([xyz[inverse == cell].mean(axis=0) for cell in range(inverse.max() + 1)])
        colour = np.stack([scene.feat[inverse == cell].mean(axis=0) for cell in range(inverse.max() + 1)])
        asked = centre[inverse] if finer is None else finer
        finer = centre[inverse]
        for row in some:
            cell = inverse[row]
            distance = np.linalg.norm(centre - asked[row], axis=1)
            near = np.argsort(distance)[: describe.neighbours + 1]
            for name, value in zip(SHAPE, naive_shape(centre[near]), strict=True):
                found[f"{name}_{scale:g}"].append(value)
            found[f"above_lowest_{scale:g}"].append(xyz[row, 2] - centre[near, 2].min())
            found[f"below_highest_{scale:g}"].append(centre[near, 2].max() - xyz[row, 2])
            found[f"above_mean_{scale:g}"].append(xyz[row, 2] - centre[near, 2].mean())
            for place, name in enumerate(RGB):
                found[f"contrast_{name}_{scale:g}"].append(colour[near, place].mean() - scene.feat[row, place])
                if number == 1:
                    found[f"mean_{name}"].append(colour[near, place].mean())
            if number == 0:
                for width in (8, 32):
                    columns = np.floor(centre[:, :2] / (width * describe.length))
                    level = centre[(np.abs(columns - columns[cell]) <= 1).all(axis=1), 2]
                    found[f"above_ground_{width}"].append(xyz[row, 2] - level.min())
                    found[f"relief_{width}"].append(level.max() - level.min())
    for place, name in enumerate(RGB):
        found[name] = list(scene.feat[some, place])
    return some, {name: np.array(values) for name, values in found.items() if values}


def test_every_column_is_what_its_name_says():
    rows = ROOM(room())
    assert rows.dtype == np.float32 and rows.shape == (3000, len(ROOM.columns)) and np.isfinite(rows).all()
    some, expected = naive(ROOM, room())
    assert set(expected) == set(ROOM.columns)
    for name, values in expected.items():
        got = rows[some, ROOM.columns.index(name)]
        # a neighbour as near as the last, but for rounding, may take its place
        share = np.isclose(got, values, atol=2e-4).mean()
        assert share > 0.95, f"{name}: {share:.0%} as defined, at most {np.abs(got - values).max():.2g} away"


def test_columns_are_named_and_counted():
    assert len(set(ROOM.columns)) == len(ROOM.columns) == 54
    assert len(Geometric(0.1, ("intensity",)).columns) == 41
    assert len(Geometric(0.1, ()).columns) == len(Geometric(0.1, ("one",)).columns) == 36
    assert {"linearity_2", "verticality_0.5", "above_ground_32", "red", "mean_red"} <= set(Geometric(0.1, RGB, scales=[0.5, 2]).columns)
    scene = room()
    flat = Scene("no colours", scene.xyz, np.ones((len(scene), 1), np.float32))
    bare = Scene("nothing", scene.xyz, np.empty((len(scene), 0), np.float32))
    np.testing.assert_array_equal(Geometric(0.05, ("one",))(flat), Geometric(0.05, ())(bare))
    for scales in ((1.0,), (0.5, 3.0)):
        describe = replace(ROOM, scales=scales)
        assert describe(scene).shape == (len(scene), len(describe.columns))
    mixed = Scene("mixed", scene.xyz, np.concatenate([np.ones((len(scene), 1), np.float32), scene.feat], axis=1))
    np.testing.assert_array_equal(Geometric(0.05, ("one", *RGB))(mixed), ROOM(scene))


def test_floor_wall_and_pole_are_told_apart():
    scene = room()
    floor = (np.abs(scene.xyz[:, 2]) < 0.02) & (scene.xyz[:, :2] > [0.5, 0.5]).all(axis=1) & (scene.xyz[:, 0] < 1.2)
    wall = (np.abs(scene.xyz[:, 0]) < 0.02) & (scene.xyz[:, 1] > 0.5) & (scene.xyz[:, 2] > 0.5)
    pole = (np.abs(scene.xyz[:, 0] - 2.5) < 0.05) & (np.abs(scene.xyz[:, 1] - 1.5) < 0.05) & (scene.xyz[:, 2] > 0.5)
    assert min(floor.sum(), wall.sum(), pole.sum()) > 100
    vertical = column(ROOM, scene, "verticality_2")
    assert np.median(vertical[floor]) < 0.02 and np.median(vertical[wall]) > 0.8
    assert np.median(column(ROOM, scene, "linearity_1")[pole]) > 0.8 and np.median(column(ROOM, scene, "steepness_1")[pole]) > 0.95
    ground = column(ROOM, scene, "above_ground_8")
    assert np.abs(ground[floor]).max() < 0.05
    np.testing.assert_allclose(ground[pole], scene.xyz[pole, 2], atol=0.05)


@pytest.mark.parametrize("by", [(16, 0, 0), (0, -32, 0), (0, 0, 8), (-64, 128, -16)])
def test_where_the_scene_stands_changes_nothing(by):
    np.testing.assert_array_equal(ROOM(moved(room(), by)), ROOM(room()))


def test_the_order_of_the_points_changes_nothing():
    scene = room()
    order = generator("order").permutation(len(scene))
    np.testing.assert_allclose(ROOM(Scene("shuffled", scene.xyz[order], scene.feat[order])), ROOM(scene)[order], atol=1e-6)


def test_threads_change_nothing():
    threads = numba.get_num_threads()
    together = ROOM(room(20_000))
    try:
        numba.set_num_threads(1)
        alone = ROOM(room(20_000))
    finally:
        numba.set_num_threads(threads)
    np.testing.assert_array_equal(together, alone)


def degenerate():
    draw = generator("degenerate")
    clusters = np.repeat(np.arange(10), 5)[:, None] * [900.0, -700, 400] + draw.normal(size=(50, 3)) * 0.01
    return {
        "one point": np.ones((1, 3)),
        "two points": np.eye(3)[:2],
        "three points": np.eye(3),
        "all equal": np.full((40, 3), 2.5),
        "pairs of equal points": np.repeat(draw.random((30, 3)), 2, axis=0),
        "a line": np.outer(np.arange(40), [0.1, 0, 0]),
        "an upright line": np.outer(np.arange(40), [0, 0, 0.1]),
        "ten far clusters": clusters,
        "two points a long way from each other": np.eye(3)[:2] * 50_000,
    }


@pytest.mark.parametrize("name", degenerate())
def test_degenerate_clouds_give_finite_numbers(name):
    xyz = degenerate()[name].astype(np.float32)
    rows = ROOM(Scene(name, xyz, np.full((len(xyz), 3), 0.5, np.float32)))
    assert np.isfinite(rows).all() and np.abs(rows).max() <= LARGEST
    assert np.isfinite(rows.astype(np.float16)).all()
    if len(xyz) < 3 or name == "all equal":
        assert not rows[
            :, [number for number, column in enumerate(ROOM.columns) if column.startswith(("linear", "planar", "scatter", "vertical", "steep"))]
        ].any()
    np.testing.assert_allclose(rows[:, [ROOM.columns.index(f"contrast_{colour}_1") for colour in RGB]], 0, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    cells=st.lists(st.tuples(*[st.integers(0, 40)] * 3), min_size=1, max_size=80),
    shift=st.tuples(*[st.integers(-1000, 1000)] * 3),
    length=st.sampled_from([0.03, 0.25, 1.0]),
    seed=st.integers(0, 99),
)
def test_any_lattice_may_be_moved_and_shuffled(cells, shift, length, seed):
    xyz = np.array(cells, np.float32) / 8
    feat = generator("lattice", seed).random((len(xyz), 3)).astype(np.float32)
    describe = Geometric(length, RGB, scales=(1.0, 3.0), neighbours=5)
    rows = describe(Scene("lattice", xyz, feat))
    assert np.isfinite(rows).all() and np.abs(rows).max() <= LARGEST
    order = generator("shuffle", seed).permutation(len(xyz))
    other = describe(Scene("moved", xyz[order] + np.array(shift, np.float32), feat[order]))
    np.testing.assert_allclose(other, rows[order], atol=2e-5)
    shares = rows[:, [number for number, name in enumerate(describe.columns) if name.startswith(("linear", "planar", "scatter", "vertical", "steep"))]]
    assert shares.min() >= 0 and shares.max() <= 1


def test_identity_holds_every_option():
    ones = [ROOM, replace(ROOM, length=0.1), replace(ROOM, attributes=()), replace(ROOM, scales=(1.0, 2.0)), replace(ROOM, neighbours=8)]
    assert len({hash_of(one.identity) for one in ones}) == len(ones)
    listed = Geometric(0.05, list(RGB), scales=[1, 2, 4, 8])
    assert listed == ROOM and hash_of(listed.identity) == hash_of(ROOM.identity)
    assert (ROOM.name, ROOM.parallel, ROOM.points) == ("geometric", True, False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"length": 0}, "geometric.length=0"),
        ({"length": float("nan")}, "geometric.length=nan"),
        ({"scales": []}, "geometric.scales="),
        ({"scales": [1, -2]}, "geometric.scales="),
        ({"scales": [2, 1]}, "ascending"),
        ({"scales": [1, 1]}, "each scale once"),
        ({"neighbours": 1}, "geometric.neighbours=1"),
        ({"attributes": ["red", "red"]}, "geometric.attributes="),
    ],
)
def test_nonsense_is_refused_by_name(options, words):
    with pytest.raises(ValueError, match=words) as error:
        Geometric(**{"length": 0.1, "attributes": RGB, **options})
    assert str(error.value).startswith("net.descriptions.")


def test_a_scene_with_other_columns_is_refused():
    scene = room()
    ROOM.check(scene)
    with pytest.raises(ValueError, match="'room' has 3 attributes, .* names 1"):
        Geometric(0.05, ("intensity",)).check(scene)
    with pytest.raises(ValueError, match="name the columns"):
        Geometric(0.05, ())(scene)


@pytest.mark.skipif(not KITTI, reason="no scans in ../shared/data/kitti_odometry_00")
def test_a_scan_of_kitti():
    points = np.fromfile(KITTI[0], np.float32).reshape(-1, 4)
    describe = Geometric(0.1, ("intensity",))
    scene = Scene("scan", points[:, :3].copy(), points[:, 3:].copy())
    rows = describe(scene)
    assert np.isfinite(rows.astype(np.float16)).all()
    distance = np.linalg.norm(scene.xyz[:, :2], axis=1)
    road = (scene.xyz[:, 2] < -1.6) & (distance > 5) & (distance < 10)
    assert road.sum() > 1000
    assert np.median(column(describe, scene, "verticality_4")[road]) < 0.05 and np.median(column(describe, scene, "above_ground_8")[road]) < 0.2


@pytest.mark.skipif(not NUSCENES, reason="no frame in ../shared/data/nuscenes_frame")
def test_a_frame_of_nuscenes():
    points = np.fromfile(NUSCENES[0], np.float32).reshape(-1, 5)
    rows = Geometric(0.1, ("intensity",))(Scene("frame", points[:, :3].copy(), points[:, 3:4].copy()))
    assert np.isfinite(rows.astype(np.float16)).all() and len(rows) == len(points)
