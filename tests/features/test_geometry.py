"""Parts of scenes and the shape of clouds: closed forms, naive twins, and what must not change them."""

from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.data.hashing import hash_of
from al3d.features.geometry import BINS, LEAST, RADIUS, Geometry, _pair_angles, opponents, surroundings
from al3d.features.parts import counts, cut, histograms, members, members_of_parts, sums, thinned
from al3d.geometry.tree import build
from al3d.rng import generator
from al3d.types import Scene

CONF = Path(__file__).resolve().parents[2] / "conf"
ROOM = Geometry("geometry", 0.05, 0.1)
#: The blocks in their order: shares, then the sizes that are not means over voxels.
NAMES = [f"{word} {scale}" for scale in ("fine", "coarse") for word in ("linearity", "planarity", "scattering", "steep planes", "steep lines")]
NAMES += ["azimuth", "between normals", "towards", "height", "points", "full", "across", "along", "up"]


def scene(xyz, feat=None):
    xyz = np.ascontiguousarray(xyz, dtype=np.float32)
    return Scene("made", xyz, np.zeros((len(xyz), 0), np.float32) if feat is None else np.ascontiguousarray(feat, dtype=np.float32))


def cluttered(points=6000, key=0):
    """A floor, two walls, some boxes and a pole, 4 x 3 x 2.5 m, with colours."""
    draw = generator("cluttered", key)
    size, sides = np.array([4, 3, 2.5]), draw.integers(0, 3, points)
    xyz = draw.random((points, 3)) * size
    xyz[np.arange(points), sides] = 0
    box = draw.random((points // 3, 3)) * [0.8, 0.5, 0.7]
    box[np.arange(len(box)), draw.integers(0, 3, len(box))] *= 0
    pole = np.column_stack([np.full(300, 3.2), np.full(300, 2.1), draw.uniform(0, 2, 300)])
    xyz = np.concatenate([xyz, box + [1.2, 1.0, 0], pole]) + draw.normal(size=(points + len(box) + 300, 3)) * 0.002
    return scene(xyz, draw.random((len(xyz), 3)))


def lattice(*counts_, step=1.0):
    return np.stack(np.meshgrid(*(np.arange(count) * step for count in counts_), indexing="ij"), axis=-1).reshape(-1, 3)


def blocks(row):
    """Name -> block of a row; attributes last."""
    starts = np.cumsum([0, *(4 if name == "azimuth" else BINS for name in NAMES)])
    parts = {name: row[start:stop] for name, start, stop in zip(NAMES, starts, starts[1:], strict=False)}
    return parts | {"attributes": row[starts[-1] :]}


# Parts.


def naive_cut(place, parts, least):
    """The same cut, with lists and loops."""

    def halves(rows, wanted):
        spans = [max(place[row][axis] for row in rows) - min(place[row][axis] for row in rows) for axis in (0, 1)]
        axis = 0 if spans[0] >= spans[1] else 1
        values = sorted(place[row][axis] for row in rows)
        best = None
        for at in range(1, len(values)):
            aim = len(values) * (wanted // 2) / wanted
            fits = values[at] > values[at - 1] and least <= at <= len(values) - least
            if fits and (best is None or abs(at - aim) < abs(best - aim)):
                best = at
        if best is None:
            return None
        return [row for row in rows if place[row][axis] < values[best]], [row for row in rows if place[row][axis] >= values[best]]

    def walk(rows, wanted):
        pair = halves(rows, wanted) if wanted > 1 else None
        return [rows] if pair is None else walk(pair[0], wanted // 2) + walk(pair[1], wanted - wanted // 2)

    groups = walk(list(range(len(place))), max(1, min(parts, len(place) // least)))
    part = np.empty(len(place), int)
    for number, rows in enumerate(groups):
        part[rows] = number
    return part


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 5), st.integers(1, 12), st.integers(0, 10**6))
def test_cut_equals_its_naive_twin(places, parts, least, values, key):
    place = generator("cut", key).integers(0, values, (places, 2))
    part = cut(place, parts, least)
    assert np.array_equal(part, naive_cut(place.tolist(), parts, least))
    assert np.array_equal(np.unique(part), np.arange(part.max() + 1)) and part.max() < parts
    assert part.max() == 0 or np.bincount(part).min() >= least


def test_cut_makes_equal_compact_parts():
    place = lattice(8, 8, 1)[:, :2]
    part = cut(place, 16)
    assert np.array_equal(np.bincount(part), np.full(16, 4))
    assert all(np.ptp(place[part == number], axis=0).max() == 1 for number in range(16)), "squares of 2 x 2"
    assert np.array_equal(np.bincount(cut(lattice(9, 4, 1)[:, :2], 3)), [12, 12, 12]), "a third against two thirds, then halves"


def test_cut_does_not_depend_on_the_order_nor_on_where_the_places_are():
    draw = generator("order")
    place = draw.integers(0, 40, (500, 2))
    order = draw.permutation(500)
    part = cut(place, 11, 8)
    assert np.array_equal(cut(place[order], 11, 8), part[order])
    assert np.array_equal(cut(place + [700, -33], 11, 8), part)
    for one in np.unique(place, axis=0):
        assert len(set(part[(place == one).all(axis=1)])) == 1


def test_cut_refuses_nothing_to_cut_into():
    with pytest.raises(ValueError, match="parts=0, least=1"):
        cut(np.zeros((3, 2)), 0)


def test_thinned_is_the_mean_of_every_voxel_and_forgets_the_order():
    cloud = cluttered(900)
    thin = thinned(cloud, 0.25)
    assert len(thin.xyz) == thin.of_point.max() + 1 < len(cloud) and thin.points.sum() == len(cloud)
    for voxel in range(0, len(thin.xyz), 7):
        inside = thin.of_point == voxel
        assert thin.points[voxel] == inside.sum() and np.ptp(cloud.xyz[inside], axis=0).max() <= 0.2501
        assert np.allclose(thin.xyz[voxel], cloud.xyz[inside].mean(axis=0, dtype=np.float64), atol=1e-6)
        assert np.allclose(thin.feat[voxel], cloud.feat[inside].mean(axis=0, dtype=np.float64), atol=1e-6)
    order = generator("thinned").permutation(len(cloud))
    other = thinned(scene(cloud.xyz[order], cloud.feat[order]), 0.25)
    assert np.array_equal(other.xyz, thin.xyz) and np.array_equal(other.feat, thin.feat) and np.array_equal(other.of_point, thin.of_point[order])


def test_members_are_the_pairs_of_units_and_voxels():
    draw = generator("members")
    unit, voxel = draw.integers(-1, 5, 200).astype(np.int32), draw.integers(0, 9, 200)
    within = members(unit, voxel, 9)
    pairs: dict[tuple[int, int], int] = {}
    for one, other in zip(unit.tolist(), voxel.tolist(), strict=True):
        if one >= 0:
            pairs[one, other] = pairs.get((one, other), 0) + 1
    assert within.groups == 5 and list(zip(within.group, within.voxel, strict=True)) == sorted(pairs)
    assert list(within.points) == [pairs[key] for key in sorted(pairs)]
    assert list(counts(within)) == [sum(one == group for one, _ in pairs) for group in range(5)]
    assert members(np.full(4, -1, np.int32), voxel[:4], 9).groups == 0


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(2, 9), st.integers(0, 10**6))
def test_histograms_equal_their_naive_twin(voxels, bins, key):
    draw = generator("histograms", key)
    value, weight, part = draw.random(voxels) * draw.integers(1, 3), draw.random(voxels), np.sort(draw.integers(0, 3, voxels))
    part = np.unique(part, return_inverse=True)[1].astype(np.int32)
    expected = np.zeros((part.max() + 1, bins))
    for one, share, group in zip(value, weight, part, strict=True):
        for centre in range(bins):
            expected[group, centre] += share * max(0.0, 1 - abs(min(one, 1) * (bins - 1) - centre))
    expected /= np.bincount(part)[:, None]
    found = histograms(value, weight, members_of_parts(part), bins)
    assert np.allclose(found, expected)
    assert np.allclose(sums(weight, members_of_parts(part))[:, 0], found.sum(axis=1) * np.bincount(part))


# Surroundings.


@pytest.mark.parametrize(
    ("cloud", "expected"),
    [(lattice(21, 1, 1), (1, 0, 0)), (lattice(15, 15, 1), (0, 1, 0)), (lattice(11, 11, 11), (0, 0, 1))],
    ids=["line", "plane", "full"],
)
@pytest.mark.parametrize("turn", [0.0, 0.7])
def test_shape_in_closed_form(cloud, expected, turn):
    rotation = np.linalg.qr(generator("turn").normal(size=(3, 3)))[0] if turn else np.eye(3)
    xyz = ((cloud - cloud.mean(axis=0)) @ rotation.T).astype(np.float32)
    middle = int(np.linalg.norm(xyz, axis=1).argmin())
    around = surroundings(build(xyz), 4.5)
    assert [around.linearity[middle], around.planarity[middle], around.scattering[middle]] == pytest.approx(expected, abs=1e-5)
    assert around.near[middle] == (np.linalg.norm(cloud - cloud.mean(axis=0), axis=1) < 4.5).sum()
    if expected[0]:
        assert abs(around.along[middle] @ rotation[:, 0]) == pytest.approx(1, abs=1e-5)
    if expected[1]:
        assert abs(around.normal[middle] @ rotation[:, 2]) == pytest.approx(1, abs=1e-5)


def naive_surroundings(xyz, radius):
    rows = []
    for point in xyz.astype(np.float64):
        near = xyz[np.linalg.norm(xyz - point, axis=1) < radius].astype(np.float64)
        small, middle, large = np.maximum(np.linalg.eigvalsh(np.cov(near.T, bias=True)), 0) if len(near) > 1 else np.zeros(3)
        known = len(near) >= 4 and large > 0
        rows.append([(large - middle) / large, (middle - small) / large, small / large, len(near)] if known else [0, 0, 0, len(near)])
    return np.array(rows)


def test_surroundings_equal_their_naive_twin():
    xyz = np.concatenate([cluttered(500).xyz, np.float32([[9, 9, 9]])])
    around = surroundings(build(xyz), 0.4)
    found = np.stack([around.linearity, around.planarity, around.scattering, around.near], axis=1)
    assert np.allclose(found, naive_surroundings(xyz, 0.4), atol=2e-4)
    assert found[-1].tolist() == [0, 0, 0, 1], "a lone point has no shape"


def test_pair_angles_equal_their_naive_twin():
    xyz = cluttered(120).xyz[:150]
    draw = generator("pairs")
    normal = draw.normal(size=xyz.shape)
    normal = (normal / np.linalg.norm(normal, axis=1, keepdims=True)).astype(np.float32)
    planarity = draw.random(len(xyz), dtype=np.float32)
    expected = np.zeros((len(xyz), 2 * BINS))
    for i in range(len(xyz)):
        distance = np.linalg.norm(xyz.astype(float) - xyz[i], axis=1)
        near = np.flatnonzero((distance > 0) & (distance < 0.5))
        for j in near:
            way = (xyz[j].astype(float) - xyz[i]) / distance[j]
            for start, cosine in ((0, normal[i] @ normal[j]), (BINS, normal[i] @ way)):
                place = np.degrees(np.arccos(min(1, abs(cosine)))) / 90 * (BINS - 1)
                for centre in range(BINS):
                    expected[i, start + centre] += planarity[i] * planarity[j] * max(0.0, 1 - abs(place - centre)) / len(near)
    assert np.allclose(_pair_angles(build(xyz), normal, planarity, 0.5), expected, atol=1e-4)


# The extractor.


def test_floor_and_wall_in_closed_form():
    """On surfaces without an edge nearby every share is in one bin."""
    flat = lattice(80, 80, 1, step=0.05) * [1, 1, 0]
    inner = (np.abs(flat[:, :2] - 2).max(axis=1) < 1).astype(np.int32) - 1
    floor = blocks(ROOM.of_units(scene(flat), inner)[0])
    wall = blocks(ROOM.of_units(scene(flat[:, [0, 2, 1]]), inner)[0])
    for row in (floor, wall):
        assert row["scattering fine"] == pytest.approx([1] + [0] * 7, abs=1e-3) and (row["between normals"] > 0.01).tolist() == [True] + [False] * 7
        assert (
            (row["towards"] > 0.01).tolist() == [False] * 7 + [True]
            and min(row["between normals"][0], row["towards"][-1]) > 0.85
            and (row["planarity fine"] ** 2 * np.linspace(0, 1, BINS)).sum() > 0.9
        )
    assert floor["steep planes fine"].argmax() == 0 and wall["steep planes fine"].argmax() == BINS - 1
    assert floor["azimuth"].max() < 1e-3 and wall["azimuth"].min() > 0.4, "a floor has no azimuth, one wall all of it"
    assert floor["height"][0] == pytest.approx(1, abs=1e-3) and wall["height"][:3].max() < 0.8
    assert wall["along"].argmax() > 0 and wall["across"][0] == pytest.approx(1, abs=1e-3) and floor["up"][0] == pytest.approx(1, abs=1e-3)


def test_rows_do_not_depend_on_the_order_of_the_points():
    cloud = cluttered()
    unit = (np.arange(len(cloud)) % 7).astype(np.int32)
    order = generator("geometry order").permutation(len(cloud))
    mixed = scene(cloud.xyz[order], cloud.feat[order])
    assert np.array_equal(ROOM(mixed), ROOM(cloud)) and np.array_equal(ROOM.of_units(mixed, unit[order]), ROOM.of_units(cloud, unit))


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one core")
def test_rows_do_not_depend_on_the_threads():
    before = numba.get_num_threads()
    try:
        rows = []
        for threads in (1, 2):
            numba.set_num_threads(threads)
            rows.append(ROOM(cluttered()))
    finally:
        numba.set_num_threads(before)
    assert np.array_equal(*rows)


def test_moving_and_turning_a_scene():
    """Exact where the voxels turn with it (a quarter, on a lattice); close at any angle; the sides of the scene are no matter."""
    draw = generator("turned")
    cells = draw.permutation(lattice(30, 20, 24))[:3000]
    cloud, unit = scene(cells * 0.05), (cells[:, 0] // 10).astype(np.int32)
    rows = ROOM.of_units(cloud, unit)
    quarter = scene(cells[:, [1, 0, 2]] * [-0.05, 0.05, 0.05])
    # The coarse voxels of the turned cloud may be counted from another corner: only the fine half is exact.
    exact = np.r_[0 : 5 * BINS, 10 * BINS : 10 * BINS + 4]
    assert np.allclose(ROOM.of_units(quarter, unit)[:, exact], rows[:, exact], atol=2e-3)
    room = cluttered(12000)
    moved = scene(room.xyz + np.float32([64, -32, 8]), room.feat)
    assert np.allclose(ROOM.of_units(moved, np.zeros(len(room), np.int32)), ROOM.of_units(room, np.zeros(len(room), np.int32)), atol=0.02)
    angle = 0.6
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    turned = scene(room.xyz @ rotation.T, room.feat)
    whole = np.zeros(len(room), np.int32)
    one, other = (ROOM.of_units(each, whole)[0] for each in (room, turned))
    tipped = ROOM.of_units(scene(room.xyz[:, [2, 1, 0]], room.feat), whole)[0]
    assert np.linalg.norm(one - other) < 0.35 < np.linalg.norm(one - tipped), "turning about z changes little, tipping over much"


def test_parts_add_up_to_the_whole():
    """A share of the whole is the mean of the parts' shares over their voxels."""
    cloud = cluttered()
    thin = thinned(cloud, ROOM.length / 2)
    part = cut(thin.xyz[:, :2], 32, LEAST)
    rows, number = ROOM(cloud).astype(np.float64) ** 2, np.bincount(part)
    whole = ROOM.of_units(cloud, np.zeros(len(cloud), np.int32))[0].astype(np.float64) ** 2
    shares = np.r_[0 : 10 * BINS, 10 * BINS + 4 : 15 * BINS + 4, 18 * BINS + 4 : 21 * BINS + 4]
    assert len(rows) == len(number) == 32 and rows.shape[1] == 21 * BINS + 4
    assert np.allclose((rows * number[:, None]).sum(axis=0)[shares] / number.sum(), whole[shares], atol=1e-5)
    assert len(ROOM(scene(cloud.xyz[:40], cloud.feat[:40]))) <= 2, "a tiny scene has fewer parts"


def test_every_block_is_at_most_one_long():
    for row in ROOM(cluttered()):
        for name, block in blocks(row).items():
            assert np.linalg.norm(block) <= (np.sqrt(3) if name == "attributes" else 1) + 1e-5, name


def test_right_angles_leave_no_holes():
    """Exact right angles and equal points are where a rounded share could fall below zero."""
    cube = lattice(12, 12, 12, step=0.05)
    shell = cube[((cube == 0) | (cube == cube.max())).any(axis=1)]
    with np.errstate(all="raise"):
        assert np.isfinite(ROOM(scene(np.repeat(shell, 3, axis=0)))).all() and np.isfinite(ROOM(scene(np.ones((50, 3))))).all()


def test_every_unit_has_a_row_however_small():
    cloud = cluttered()
    unit = np.full(len(cloud), -1, np.int32)
    unit[:5] = np.arange(5)
    unit[5:900] = 5
    rows = ROOM.of_units(cloud, unit)
    assert rows.shape == (6, 172) and rows.dtype == np.float32 and np.isfinite(rows).all() and (np.linalg.norm(rows, axis=1) > 1).all()
    assert ROOM.of_units(cloud, np.full(len(cloud), -1, np.int32)).shape == (0, 172)
    assert np.isfinite(ROOM(scene([[1, 2, 3]], [[0, 0, 1]]))).all() and ROOM(scene([[1, 2, 3]] * 5)).shape == (1, 148)


def test_lengths_follow_the_data_set():
    """A table in centimetres looks like the same table ten times larger with lengths ten times larger."""
    cloud = cluttered()
    small, large = Geometry("geometry", 0.005, 0.01), Geometry("geometry", 0.05, 0.1)
    rows = small(scene(cloud.xyz / 10, cloud.feat))
    assert rows.shape == large(cloud).shape and np.median(np.abs(rows - large(cloud))) < 1e-3
    assert Geometry("geometry", 0.01, 0.01).length == 0.02 and Geometry("geometry", 0.05, 0.5).length == 0.5 and RADIUS == 4


def test_attributes_can_be_left_out_and_scaled():
    cloud = cluttered()
    with_, without = ROOM(cloud), replace(ROOM, attributes=False)(cloud)
    assert np.array_equal(with_[:, :148], without) and without.shape[1] == 148
    loud = scene(cloud.xyz, cloud.feat * 255)
    assert np.allclose(replace(ROOM, attribute_scale=255.0)(loud), with_, atol=1e-4)
    lidar = scene(cloud.xyz, cloud.feat[:, :1])
    assert ROOM(lidar).shape[1] == 156


def test_opponent_colours():
    found = opponents(np.array([[0.5, 0.5, 0.5], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]], np.float32))
    root = np.sqrt(0.5) / 2
    assert np.allclose(found, [[0.5, 0.5, 0.5], [1 / 3, 1, 0.5 - root], [1 / 3, 0, 0.5 - root], [1 / 3, 0.5, 1], [2 / 3, 0.5, 0]], atol=1e-6)


def test_files_are_told_apart_by_what_counts():
    made = [ROOM, replace(ROOM, parts=8), replace(ROOM, attributes=False), replace(ROOM, attribute_scale=255.0), replace(ROOM, supervoxel_voxel=0.2)]
    assert len({hash_of(one.identity) for one in made}) == len(made)
    assert hash_of(replace(ROOM, center=True, name="shape").identity) == hash_of(ROOM.identity)


def test_wrong_options_and_scenes_are_refused():
    with pytest.raises(ValueError, match=r"features\.parts=0"):
        replace(ROOM, parts=0)
    with pytest.raises(ValueError, match=r"features\.voxel=-1"):
        replace(ROOM, voxel=-1.0)
    with pytest.raises(ValueError, match=r"scene 'made' is 100,000 m wide: at most 32,000 voxels of 0\.05 m fit; check dataset\.scale"):
        ROOM.check(scene([[0, 0, 0], [100_000, 0, 0]]))
    ROOM.check(cluttered(500))


@pytest.mark.parametrize(("dataset", "length"), [("rooms", 0.1), ("street", 0.5)])
def test_configuration(dataset, length):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", overrides=["features=geometry", "seed=kcenter", f"dataset={dataset}"])
    made = instantiate(config.seed, _convert_="all").features
    assert isinstance(made, Geometry) and made.name == "geometry" and made.length == length and made.center and made.parallel and made.of is None
