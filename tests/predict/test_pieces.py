"""A scan in pieces is the same voxels as a whole scene, wherever chunks and squares end."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.data.batch import Voxeliser
from al3d.data.grid import subsample
from al3d.geometry.upright import rotated, rotation_to_z
from al3d.predict import pieces, tiling
from al3d.predict.frame import Frame
from al3d.predict.pieces import Cells, survey, voxelised
from al3d.predict.table import Table
from al3d.predict.tiling import CELL, Box, Density, boxes, density, run_tiles, seen_voxels
from al3d.predict.trained import Inputs
from al3d.rng import generator
from al3d.types import IGNORE

PROPERTY = settings(max_examples=20, deadline=None, derandomize=True)
NAMES = ("red", "green", "x", "z")


class Arrays:
    """A scan that is an array."""

    placed = False

    def __init__(self, xyz, feat):
        self.xyz, self.feat = xyz, feat

    def places(self, size):
        yield from (self.xyz[start : start + size] for start in range(0, len(self.xyz), size))

    def points(self, size):
        for start in range(0, len(self.xyz), size):
            part = slice(start, start + size)
            yield self.xyz[part], {"red": self.feat[part, 0], "green": self.feat[part, 1]}


def cloud(seed, count, extent=(6.0, 4.0, 1.0)):
    random = generator("pieces", seed)
    return random.uniform(-1, 1, (count, 3)) * extent + [100, 200, 3], random.random((count, 2)).astype(np.float32)


def whole(xyz, feat, inputs):
    """Coordinates, inputs, and each point's voxel, by what training and testing use."""
    local = (xyz - np.floor(xyz.min(axis=0))).astype(np.float32)
    label, inverse = np.full(len(xyz), IGNORE, np.uint8), np.arange(len(xyz))
    if inputs.grid:
        local, feat, label, inverse = subsample(local, feat, label, inputs.grid, 3)
    voxels = Voxeliser(inputs.size, inputs.names, ("red", "green"), 3, inputs.reduce, inputs.center)(local, feat, label)
    return voxels.coord, voxels.feat, voxels.inverse[inverse]


def in_pieces(reader, inputs, folder, chunk):
    found = survey(reader, Frame(), chunk)
    voxels = voxelised(reader, Frame(), inputs, found, folder, chunk)
    coord, feat, number = seen_voxels(voxels.cells, boxes(density(voxels.cells), None, 0)[0])
    back = np.empty(len(number), np.int64)
    back[number] = np.arange(len(number))
    every = np.concatenate([voxels.voxels_of(index) for index in range(len(found.chunks))])
    return coord, feat, np.where(every < 0, -1, back[np.maximum(every, 0)])


@PROPERTY
@given(st.integers(0, 10**6), st.integers(1, 900), st.integers(30, 400), st.sampled_from([None, 0.02, 0.11]), st.booleans(), st.booleans())
def test_pieces_are_the_voxels_of_the_whole(seed, count, chunk, grid, center, on_disk):
    xyz, feat = cloud(seed, count)
    inputs = Inputs(NAMES, 0.05, grid, center, "mean")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "SIDE", 64)
        patch.setattr(tiling, "SIDE", 64)
        with tempfile.TemporaryDirectory() as folder:
            got = in_pieces(Arrays(xyz, feat), inputs, Path(folder) if on_disk else None, chunk)
    for mine, wanted in zip(got, whole(xyz, feat, inputs), strict=True):
        assert np.array_equal(mine, wanted)


@PROPERTY
@given(st.integers(0, 10**6), st.integers(1, 600), st.integers(1, 200))
def test_the_first_point_of_a_voxel_is_the_first_of_the_file(seed, count, chunk):
    xyz, feat = cloud(seed, count, (0.3, 0.2, 0.1))
    inputs = Inputs(NAMES, 0.05, None, True, "first")
    for mine, wanted in zip(in_pieces(Arrays(xyz, feat), inputs, None, chunk), whole(xyz, feat, inputs), strict=True):
        assert np.array_equal(mine, wanted)


def test_points_that_are_not_finite_have_no_voxel_and_change_nothing():
    xyz, feat = cloud(1, 500)
    inputs = Inputs(NAMES, 0.05)
    clean = in_pieces(Arrays(xyz, feat), inputs, None, 100)
    dirty_xyz, dirty_feat = np.insert(xyz, [0, 250, 500], [np.nan, 1, np.inf], axis=0), np.insert(feat, [0, 250, 500], 0.5, axis=0)
    dirty_feat = np.insert(dirty_feat, 300, [np.nan, 0.1], axis=0)
    dirty_xyz = np.insert(dirty_xyz, 300, xyz[7], axis=0)
    dirty_xyz[251] = [np.nan, np.nan, np.nan]
    coord, rows, voxel = in_pieces(Arrays(dirty_xyz, dirty_feat), inputs, None, 100)
    lost = np.array([0, 251, 300, 503])
    assert (voxel[lost] == -1).all() and (voxel >= 0).sum() == 500
    assert np.array_equal(coord, clean[0]) and np.array_equal(rows, clean[1]) and np.array_equal(np.delete(voxel, lost), clean[2])


def test_nothing_finite_and_far_apart_are_said():
    with pytest.raises(ValueError, match="none of them with finite coordinates"):
        survey(Arrays(np.full((3, 3), np.nan), np.zeros((3, 2), np.float32)), Frame())
    far = np.array([[0.0, 0, 0], [3e6, 0, 0]])
    with pytest.raises(ValueError, match="remove stray points"):
        survey(Arrays(far, np.zeros((2, 2), np.float32)), Frame())
    broken = Arrays(np.zeros((2, 3)), np.full((2, 2), np.nan, np.float32))
    with pytest.raises(ValueError, match="nothing to label"):
        voxelised(broken, Frame(), Inputs(NAMES, 0.05), survey(broken, Frame()))


@pytest.mark.parametrize("up", [(0, 0, 1), (0, -1, 0), (0, 0, -1), (0.1, 0.2, -3), (1, 1, 1)])
def test_scans_are_turned_as_the_reader_of_folders_turns_scenes(up):
    direction, xyz = np.array(up, float), cloud(2, 50)[0]
    assert np.array_equal(Frame(0.001, rotation_to_z(direction)).metres(xyz), rotated(xyz * 0.001, rotation_to_z(direction)))
    assert np.allclose(rotation_to_z(direction) @ direction / np.linalg.norm(direction), [0, 0, 1])


@PROPERTY
@given(st.integers(0, 10**6), st.integers(1, 300), st.integers(1, 5000), st.integers(0, 70))
def test_boxes_hold_every_voxel_once(seed, count, most, halo):
    random = generator("boxes", seed)
    place = np.unique(random.integers(0, (60, 25), (count, 2)), axis=0).astype(np.int64)
    found = Density(place, random.integers(1, 300, len(place)))
    tiles = boxes(found, most, halo)
    held = np.stack([tile.holds((place * CELL).astype(np.int32)) for tile in tiles])
    assert (held.sum(axis=0) == 1).all()
    for tile, own in zip(tiles, held, strict=True):
        seen = tile.grown(-(-halo // CELL) * CELL).holds((place * CELL).astype(np.int32))
        width = max(tile.high[0] - tile.low[0], tile.high[1] - tile.low[1])
        assert found.count[seen].sum() <= most or width < 2 * max(halo + CELL, CELL), "only a narrow tile may see more"
        assert own.any()
    assert len(boxes(found, None, halo)) == 1


def neighbour_sum(coord, feat):
    """A network that sees three voxels far and where coarse voxels of 16 lie."""
    near = ((coord[:, None, 1:] - coord[None, :, 1:]).abs() <= 3).all(dim=2).to(feat.dtype)
    near *= (coord[:, None, 1:] // 16 == coord[None, :, 1:] // 16).all(dim=2)
    return type("Output", (), {"logits": near @ feat})()


@PROPERTY
@given(st.integers(0, 10**6), st.integers(1, 500), st.integers(1, 400))
def test_a_halo_as_wide_as_the_network_sees_changes_nothing(seed, count, most):
    random = generator("tiled", seed)
    coord = random.integers(0, (700, 300, 5), (count, 3)).astype(np.int32)
    coord[: count // 2, :2] %= 40
    cells = Cells(None, count, 3)
    cells.put(np.arange(count), coord, random.integers(0, 9, (count, 3)).astype(np.float32))
    cells.close(False)
    results = []
    for limit, halo in ((None, 0), (most, 3)):
        prob = Table(None, cells.count, {"prob": (np.float16, 3)})
        tiles = boxes(density(cells), limit, halo)
        *_, (done, labelled) = run_tiles(neighbour_sum, cells, tiles, halo, torch.device("cpu"), prob)
        assert done == len(tiles)
        results.append((labelled.label, prob.read("prob", 0, cells.count).copy()))
    assert np.array_equal(results[0][0], results[1][0]) and np.array_equal(results[0][1], results[1][1])
    assert (results[0][0] < 3).all()


def test_a_table_on_the_disk_is_a_table_in_memory(tmp_path):
    random = generator("table")
    tables = [Table(folder, 50, {"a": (np.float32, 3), "b": (np.int64, 1)}) for folder in (None, tmp_path)]
    for start in (30, 0, 12):
        a, b = random.random((15, 3)), random.integers(0, 99, 15)
        for table in tables:
            table.write("a", start, a)
            table.write("b", start, b)
    for start, stop in ((0, 27), (12, 13), (30, 45)):
        for name in "ab":
            one, other = (table.read(name, start, stop) for table in tables)
            assert np.array_equal(one, other) and one.dtype == other.dtype and one.shape == other.shape


def test_a_box_grows_and_holds_its_lower_border():
    grown = Box((16, 0), (32, 16)).grown(4)
    assert grown == Box((12, -4), (36, 20))
    assert grown.holds(np.array([[12, -4], [36, 0], [35, 19], [11, 0]], np.int32)).tolist() == [True, False, True, False]
