"""Tiles: every voxel once, bounded, and the whole scene's bits where one tile is enough."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.learn.tiles import Tiles, cores, surrounded
from al3d.nets.minkunet import MinkUNet
from al3d.rng import generator

PROPERTY = settings(max_examples=25, deadline=None, derandomize=True)


def scene(seed, count, extent=(40, 25, 6)):
    """Distinct voxels, sorted by x, y, z, with a batch column."""
    coord = np.unique(generator("tiles", seed).integers(0, extent, (count, 3)).astype(np.int32), axis=0)
    return torch.from_numpy(np.concatenate([np.zeros((len(coord), 1), np.int32), coord], axis=1))


def naive(place, rows, most):
    """Halve by sorting, over and over."""
    spans = [place[rows, axis].max() - place[rows, axis].min() for axis in (0, 1)]
    axis = int(np.argmax(spans))
    if len(rows) <= most or spans[axis] == 0:
        return [rows.tolist()]
    values = sorted(place[rows, axis].tolist())
    cut = values[len(values) // 2]
    cut = cut if cut > values[0] else cut + 1
    return naive(place, rows[place[rows, axis] < cut], most) + naive(place, rows[place[rows, axis] >= cut], most)


@PROPERTY
@given(st.integers(0, 10**6), st.integers(1, 400), st.integers(1, 60), st.sampled_from([(40, 25, 6), (3, 2, 50), (1, 60, 4), (1, 1, 9)]))
def test_cores_hold_every_voxel_once_and_not_too_many(seed, count, most, extent):
    place = scene(seed, count, extent)[:, 1:3].numpy()
    found = list(cores(place, most))
    assert [rows.tolist() for rows in found] == naive(place, np.arange(len(place)), most)
    assert np.array_equal(np.sort(np.concatenate(found)), np.arange(len(place)))
    for rows in found:
        assert len(rows) <= most or len(np.unique(place[rows], axis=0)) == 1, "only one column of voxels may be larger"
        assert np.all(np.diff(rows) > 0)


@PROPERTY
@given(st.integers(0, 10**6), st.integers(1, 300), st.integers(0, 12))
def test_a_halo_is_everything_near_the_box(seed, count, halo):
    place = scene(seed, count)[:, 1:3].numpy()
    for core in cores(place, 40):
        low, high = place[core].min(axis=0), place[core].max(axis=0)
        wanted = [row for row, (x, y) in enumerate(place) if low[0] - halo <= x <= high[0] + halo and low[1] - halo <= y <= high[1] + halo]
        assert surrounded(place, core, halo).tolist() == wanted and set(core.tolist()) <= set(wanted)


def neighbour_sum(coord, feat):
    """A network that sees two voxels far: the sum of the features of the voxels in reach, and where it is."""
    near = ((coord[:, None, 1:] - coord[None, :, 1:]).abs() <= 2).all(dim=2).to(feat.dtype)
    return near @ feat, coord.clone()


@PROPERTY
@given(st.integers(0, 10**6), st.integers(1, 300), st.integers(1, 80))
def test_a_halo_as_wide_as_the_network_sees_changes_nothing(seed, count, most):
    coord = scene(seed, count)
    feat = torch.from_numpy(generator("feat", seed).integers(0, 9, (len(coord), 2)).astype(np.float64))
    whole, again = neighbour_sum(coord, feat), Tiles(most, 2)(neighbour_sum, coord, feat)
    assert all(torch.equal(one, two) for one, two in zip(whole, again, strict=True))


def test_without_a_halo_edges_differ_and_sizes_are_bounded():
    coord = scene(1, 2000)
    feat = torch.ones((len(coord), 1), dtype=torch.float64)
    sizes = []

    def watched(part, values):
        sizes.append(len(part))
        return neighbour_sum(part, values)

    got = Tiles(200, 0)(watched, coord, feat)[0]
    assert max(sizes) <= 200 and sum(sizes) == len(coord)
    assert not torch.equal(got, neighbour_sum(coord, feat)[0])


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    made = MinkUNet(2, 3, width=0.125).eval()
    with torch.no_grad():
        for value in made.parameters():
            value += 0.05 * torch.randn(value.shape)
    return made


def test_a_real_network_in_tiles(net):
    coord = scene(3, 4000, (120, 60, 10))
    feat = torch.from_numpy(generator("real").random((len(coord), 2), np.float32))

    def run(part, values):
        output = net(part, values)
        return output.logits, output.feature

    with torch.no_grad():
        whole = run(coord, feat)
        one = Tiles(len(coord), 0)(run, coord, feat)
        assert all(torch.equal(a, b) for a, b in zip(whole, one, strict=True)), "one tile is the whole scene, bit by bit"
        again = [Tiles(700, 16)(run, coord, feat)[0] for _ in range(2)]
        assert torch.equal(*again)
        wide = Tiles(700, 120)(run, coord, feat)[0]
        torch.testing.assert_close(wide, whole[0], rtol=1e-4, atol=1e-4)
        errors = [(Tiles(700, halo)(run, coord, feat)[0] - whole[0]).abs().mean() for halo in (0, 8, 32)]
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize(("values", "words"), [({"voxels": 0}, "tile_voxels=0"), ({"voxels": "8k"}, "tile_voxels='8k'"), ({"halo": -1}, "tile_halo=-1")])
def test_wrong_sizes_are_named(values, words):
    with pytest.raises(ValueError, match=f"learner.{words}: give a whole number from"):
        Tiles(**values)
    with pytest.raises(ValueError, match="tile_halo=None"):
        Tiles(5, None)
