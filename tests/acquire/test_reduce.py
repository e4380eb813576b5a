"""Rows of units against a loop over units; joined in any order; written and read."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.acquire.reduce import describe, join, load_units, save_units
from al3d.rng import generator
from al3d.types import IGNORE, Units

COLUMNS = tuple(Units.__dataclass_fields__)


def equal(one, two):
    return all(np.array_equal(getattr(one, name), getattr(two, name)) and getattr(one, name).dtype == getattr(two, name).dtype for name in COLUMNS)


def naive(view, score, with_labelled, shortlist):
    """One dictionary per kept unit, in order of the ids."""
    rows = []
    for unit in range(view.unit.max(initial=-1) + 1):
        inside = np.flatnonzero(view.unit == unit)
        unasked = inside[~view.asked[inside]]
        xyz = view.scene.xyz[inside].astype(np.float64)
        rows.append(
            {
                "unit": unit,
                "size": len(unasked),
                "points": len(inside),
                "labelled": 2 * (len(inside) - len(unasked)) >= len(inside),
                "score": score[unasked].astype(np.float64).mean() if len(unasked) else 0.0,
                "feature": view.feature[view.inverse[inside]].astype(np.float64).mean(axis=0),
                "center": xyz.mean(axis=0),
                "extent": xyz.max(axis=0) - xyz.min(axis=0),
            }
        )
    pool = sorted((row for row in rows if row["size"]), key=lambda row: -np.float32(row["score"]))[:shortlist]
    kept = {row["unit"] for row in pool} | {row["unit"] for row in rows if with_labelled and row["labelled"] and (shortlist is None or not row["size"])}
    return [row for row in rows if row["unit"] in kept]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 8), st.booleans(), st.one_of(st.none(), st.integers(1, 4)))
def test_describe_equals_a_loop_over_units(make_view, seed, points, units, with_labelled, shortlist):
    random = generator("describe", seed)
    unit = np.unique(random.integers(-1, units, points), return_inverse=True)[1] - int(random.integers(0, 2))
    voxels = int(random.integers(1, points + 1))
    feature, score = random.normal(size=(voxels, 5)).astype(np.float32), random.random(points, dtype=np.float32)
    view = make_view(unit, random.random(points) < 0.4, inverse=random.integers(0, voxels, points), feature=feature, index=4)
    got = describe(view, score, True, with_labelled, shortlist)
    wanted = naive(view, score, with_labelled, shortlist)
    for name in ("unit", "size", "points", "labelled"):
        assert getattr(got, name).tolist() == [row[name] for row in wanted]
    assert (got.scene == 4).all() and (got.kind == 0).all() and got.score.shape == (len(wanted), 1)
    np.testing.assert_allclose(got.score[:, 0], [row["score"] for row in wanted], atol=1e-6)
    for name in ("feature", "center", "extent"):
        rows = np.array([row[name] for row in wanted]).reshape(len(wanted), getattr(got, name).shape[1])
        np.testing.assert_allclose(getattr(got, name), rows, atol=1e-5)
    np.testing.assert_allclose(got.world, got.center, atol=1e-6)
    assert len(set(got.drive.tolist())) <= 1 and (got.predicted == IGNORE).all()
    dtypes = {name: getattr(got, name).dtype.str[1:] for name in COLUMNS if name not in ("points", "world", "drive", "predicted", "clicks")}
    assert dtypes == {"scene": "i4", "unit": "i4", "size": "i8", "center": "f4", "extent": "f4", "score": "f4", "feature": "f4", "kind": "u1", "labelled": "b1"}


def test_labelled_starts_at_half(make_view):
    unit = [0, 0, 1, 1, 1, 2, 2]
    units = describe(make_view(unit, [1, 0, 1, 0, 0, 1, 1]), None, with_labelled=True)
    assert units.unit.tolist() == [0, 1, 2] and units.labelled.tolist() == [True, False, True] and units.size.tolist() == [1, 2, 0]
    assert describe(make_view(unit, [1, 0, 1, 0, 0, 1, 1]), None).unit.tolist() == [0, 1]


def test_shortlist_keeps_the_best_and_the_earlier_of_equals(make_view):
    score = np.array([0.1, 0.9, 0.5, 0.9, 0.5], np.float32)
    assert describe(make_view(range(5)), score, shortlist=3).unit.tolist() == [1, 2, 3]
    assert describe(make_view(range(5), [0, 1, 0, 0, 0]), score, shortlist=1).unit.tolist() == [3]


@pytest.mark.parametrize("asked", [[0, 0, 0], [1, 1, 1]])
def test_a_scene_without_units_gives_no_rows(make_view, asked):
    view = make_view([-1, -1, -1], asked, feature=np.ones((3, 4), np.float32))
    units = describe(view, np.ones(3, np.float32), True, True, 2)
    assert len(units) == 0 and units.score.shape == (0, 1) and units.feature.shape == (0, 4) and units.center.shape == (0, 3)
    assert equal(join([units, units]), units)


def test_broken_scores_are_refused_with_the_scene(make_view):
    for score in (np.ones(2, np.float32), np.ones((3, 0), np.float32), np.ones((3, 1, 1), np.float32), np.array([0, np.nan, 1], np.float32)):
        with pytest.raises(ValueError, match="scene .room.: .*finite"):
            describe(make_view([0, 0, 1]), score)
    with pytest.raises(ValueError, match="not predicted"):
        describe(make_view([0, 0, 1]), None, with_feature=True)


def parts(make_view):
    score = generator("parts").random((5, 12), dtype=np.float32)
    return [describe(make_view(np.arange(12) % (index + 2), index=index), score[index]) for index in range(5)]


def test_join_does_not_depend_on_the_order_of_parts(make_view):
    wanted = join(parts(make_view))
    assert list(zip(wanted.scene.tolist(), wanted.unit.tolist(), strict=True)) == [(scene, unit) for scene in range(5) for unit in range(scene + 2)]
    for seed in range(5):
        shuffled = parts(make_view)
        generator(seed).shuffle(shuffled)
        assert equal(join(shuffled), wanted)
        assert equal(join([join(shuffled[:2]), join(shuffled[2:])]), wanted)


def test_join_finds_rows_that_came_twice(make_view):
    with pytest.raises(ValueError, match="unit 0 of scene 2 was harvested twice"):
        join([*parts(make_view), parts(make_view)[2]])
    with pytest.raises(ValueError, match="no scenes"):
        join([])


def test_units_come_back_from_a_file(make_view, tmp_path):
    units = join(parts(make_view))
    save_units(tmp_path / "deep" / "00001.npz", units)
    assert equal(load_units(tmp_path / "deep" / "00001.npz"), units)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["00001.npz"]


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut", "half", "flipped", "column"])
def test_a_corrupt_file_is_named(make_view, tmp_path, content):
    path = tmp_path / "00000.npz"
    save_units(path, join(parts(make_view)))
    whole = path.read_bytes()
    if content == "half":
        path.write_bytes(whole[: len(whole) // 2])
    elif content == "flipped":
        path.write_bytes(whole[:200] + bytes(byte ^ 0xFF for byte in whole[200:260]) + whole[260:])
    elif content == "column":
        np.savez(path, scene=np.zeros(1))
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"00000\.npz is not a readable file of units.*delete it"):
        load_units(path)


def test_world_places_drives_and_predicted_classes(make_view):
    prob = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.7, 0.3]])
    view = make_view([0, 0, 0, 1], prob=prob)
    turned = np.array([[0, -1, 0, 10], [1, 0, 0, 20], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    drives = []
    for sequence, scene_id in (("08", "a"), ("08", "b"), ("09", "c"), (None, "d"), (None, "e")):
        scene = replace(view.scene, id=scene_id, sequence=sequence, pose=turned, origin=np.array([1.0, 2.0, 3.0]))
        units = describe(replace(view, scene=scene), None)
        x, y, z = scene.xyz[3].astype(float) + [1, 2, 3]
        np.testing.assert_allclose(units.world[1], [10 - y, 20 + x, z], atol=1e-6)
        assert units.predicted.tolist() == [1, 0] and units.points.tolist() == [3, 1] and units.clicks.tolist() == [2, 1]
        drives.append(int(units.drive[0]))
    assert drives[0] == drives[1] and len(set(drives)) == 4


def test_two_scores_are_two_columns(make_view):
    score = np.array([[1, 10], [3, 20], [5, 60]], np.float32)
    assert describe(make_view([0, 0, 1]), score).score.tolist() == [[2, 15], [5, 60]]
