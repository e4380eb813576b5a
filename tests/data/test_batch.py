"""From scene arrays to one batch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.data.batch import Batch, Crop, Voxeliser, collate, judged
from al3d.data.voxelise import first_rows, mean_rows, voxelise
from al3d.rng import generator
from al3d.types import IGNORE

NAMES = ("red", "green", "blue")


def arrays(seed, points=120):
    random = generator("batch", seed)
    xyz = (random.random((points, 3)) * [1, 0.5, 0.25] + [10, -20, 3]).astype(np.float32)
    return xyz, random.random((points, 3), np.float32), random.choice(np.array([0, 1, 2, IGNORE], np.uint8), points)


def test_inputs_are_chosen_by_name_and_in_order():
    xyz, feat, label = arrays(0)
    voxels = Voxeliser(0.1, ("z", "blue", "x", "red"), NAMES, 3)(xyz, feat, label)
    coord, inverse = voxelise(xyz, 0.1)
    low, high = xyz.min(axis=0), xyz.max(axis=0)
    columns = np.stack([xyz[:, 2] - low[2], feat[:, 2], xyz[:, 0] - (low[0] + high[0]) / 2, feat[:, 0]], axis=1)
    assert np.array_equal(voxels.coord, coord) and np.array_equal(voxels.inverse, inverse)
    np.testing.assert_allclose(voxels.feat, mean_rows(columns, inverse, len(coord)), atol=1e-5)
    assert voxels.feat.dtype == np.float32 and voxels.label.dtype == np.int64 and len(voxels.label) == len(coord)


def test_a_moved_scene_gives_the_same_inputs_when_centred():
    xyz, feat, label = arrays(1)
    moved = xyz + np.array([64, -32, 16], np.float32)
    for center, same in ((True, True), (False, False)):
        make = Voxeliser(0.1, ("x", "y", "z"), NAMES, 3, center=center)
        rows = [make(points, feat, label).feat for points in (xyz, moved)]
        assert (rows[0].shape == rows[1].shape and np.allclose(rows[0], rows[1], atol=2e-2)) == same


def test_first_keeps_the_first_point():
    xyz, feat, label = arrays(2)
    voxels = Voxeliser(0.1, NAMES, NAMES, 3, reduce="first")(xyz, feat, label)
    assert np.array_equal(voxels.feat, first_rows(feat, voxels.inverse, len(voxels.coord)))


@pytest.mark.parametrize(
    "values, words",
    [
        ({"inputs": ("red", "intensity")}, r"names \['intensity'\]; this data set has red, green, blue, x, y, z"),
        ({"inputs": ()}, "names nothing"),
        ({"size": 0.0}, "positive size"),
        ({"size": float("nan")}, "positive size"),
        ({"reduce": "last"}, "reduce mean or first"),
        ({"voxel_label": "last"}, r"dataset\.voxel_label='last' is not one of majority, first"),
    ],
)
def test_wrong_options_are_named(values, words):
    with pytest.raises(ValueError, match=words):
        Voxeliser(**{"size": 0.1, "inputs": ["red"], "attributes": NAMES, "classes": 3, **values})


def test_collate_puts_scenes_side_by_side():
    make = Voxeliser(0.1, ("red", "x"), NAMES, 3)
    items = [(scene, make(*arrays(scene, 50 + 10 * scene))) for scene in (4, 0, 2)]
    batch = collate(items)
    assert batch.index == [4, 0, 2] and batch.point_label is None
    assert (batch.coord.dtype, batch.feat.dtype, batch.label.dtype, batch.inverse.dtype) == (torch.int32, torch.float32, torch.int64, torch.int64)
    point = 0
    for place, (scene, voxels) in enumerate(items):
        rows = batch.coord[:, 0] == place
        assert np.array_equal(batch.coord[rows, 1:], voxels.coord) and np.array_equal(batch.feat[rows], voxels.feat)
        assert np.array_equal(batch.label[rows], voxels.label)
        inverse = batch.inverse[point : point + 50 + 10 * scene]
        assert bool((batch.coord[inverse, 0] == place).all()) and np.array_equal(batch.coord[inverse, 1:], voxels.coord[voxels.inverse])
        point += 50 + 10 * scene
    assert point == len(batch.inverse)
    keys = [tuple(row) for row in batch.coord.tolist()]
    assert keys == sorted(set(keys)), "sorted by (scene in batch, x, y, z), each once"


def test_judged_points_come_back_through_the_raw_map():
    batch = collate([(3, Voxeliser(0.1, ("red",), NAMES, 3)(*arrays(5, 20)))])
    label = np.array([0, 1, IGNORE], np.uint8)
    raw = judged(batch, label, np.array([19, 0, 7], np.int32))
    assert torch.equal(raw.inverse, batch.inverse[[19, 0, 7]]) and raw.point_label.tolist() == [0, 1, IGNORE]
    assert judged(batch, label, None).inverse is batch.inverse and batch.point_label is None
    assert isinstance(raw, Batch) and raw.index == [3]


def test_the_first_points_label_on_request():
    xyz, feat, label = arrays(3)
    voxels = Voxeliser(0.3, NAMES, NAMES, 3, voxel_label="first")(xyz, feat, label)
    assert np.array_equal(voxels.label, first_rows(label, voxels.inverse, len(voxels.coord)))
    lost = (Voxeliser(0.3, NAMES, NAMES, 3)(xyz, feat, label).label != IGNORE) & (voxels.label == IGNORE)
    assert lost.any()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.integers(1, 150), st.integers(1, 60))
def test_a_crop_is_what_is_nearest_to_a_labelled_voxel(seed, points, size):
    voxels = Voxeliser(0.1, ("red", "x"), NAMES, 3)(*arrays(seed, points))
    got, again = (Crop(size)(voxels, generator("crop", seed)) for _ in range(2))
    assert all(np.array_equal(getattr(got, name), getattr(again, name)) for name in ("coord", "feat", "inverse", "label"))
    if len(voxels.coord) <= size:
        assert got is voxels
        return
    random, labelled = generator("crop", seed), [row for row, label in enumerate(voxels.label) if label != IGNORE]
    middle = labelled[random.integers(len(labelled))] if labelled else random.integers(len(voxels.coord))
    far = [int(((row[:2] - voxels.coord[middle, :2]) ** 2).sum()) for row in voxels.coord]
    kept = sorted(sorted(range(len(far)), key=lambda row: (far[row], row))[:size])
    assert np.array_equal(got.coord, voxels.coord[kept]) and np.array_equal(got.feat, voxels.feat[kept]) and np.array_equal(got.label, voxels.label[kept])
    assert not labelled or (got.label != IGNORE).any()
    inside = [row for row, voxel in enumerate(voxels.inverse) if voxel in kept]
    assert np.array_equal(got.coord[got.inverse], voxels.coord[voxels.inverse[inside]])
    assert (got.coord.dtype, got.inverse.dtype, got.label.dtype) == (np.int32, np.int64, np.int64)


def test_a_crop_moves_with_its_key():
    voxels = Voxeliser(0.05, ("x",), NAMES, 3)(*arrays(0, 400))
    crops = {Crop(30)(voxels, generator("crop", key)).coord.tobytes() for key in range(8)}
    assert len(crops) > 4


@pytest.mark.parametrize("size", [0, -3, 2.5, "many", True])
def test_a_crop_needs_a_number_of_voxels(size):
    with pytest.raises(ValueError, match=r"dataset\.crop_voxels=.*: give a whole number of voxels from 1 on, or null"):
        Crop(size)
