"""Dropout passes and augmented views of the pool: against naive loops over the same draws."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from al3d.data.augment import Flip, Rotate
from al3d.data.batch import Batch, Voxeliser
from al3d.data.datamodule import RoundData
from al3d.data.labels import LabelState
from al3d.data.oracle import SimulatedOracle
from al3d.learn.losses import CrossEntropy
from al3d.learn.segmenter import Segmenter
from al3d.rng import seed_of


@dataclass
class Output:
    logits: torch.Tensor
    feature: torch.Tensor


@dataclass
class Wide(Output):
    bottleneck: torch.Tensor


class DropNet(nn.Module):
    """Two layers with dropout between them; `seen` counts the rows of each call and whether its dropout was active."""

    def __init__(self, inputs=3, rate=0.5):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm, self.drop, self.last = nn.Linear(inputs, 16), nn.BatchNorm1d(16), nn.Dropout(rate), nn.Linear(16, 4)
        self.seen = []

    def forward(self, coord, feat):
        self.seen.append((len(feat), self.drop.training, self.norm.training))
        feature = self.drop(self.norm(self.first(feat)).relu())
        return Output(self.last(feature), feature)


def batch(count=40, index=0, seed=0):
    random = torch.Generator().manual_seed(seed)
    coord = torch.zeros((count, 4), dtype=torch.int32)
    coord[:, 1] = torch.arange(count, dtype=torch.int32)
    inverse = torch.randint(0, count, (3 * count,), generator=random)
    return Batch(coord, torch.randn((count, 3), generator=random), torch.full((count,), 255), inverse, [index])


def module(passes=1, rng=7, round_index=2, **more):
    net = Segmenter(more.pop("net", None) or DropNet(), 4, partial(torch.optim.SGD, lr=0.1), CrossEntropy(), rng=rng, round_index=round_index, **more)
    net.passes = passes
    return net.eval()


def predict(net, item):
    with torch.inference_mode():
        return net.predict_step(item, 0)


def naive_pass(net, item, view, number):
    """One pass with dropout alone active, its draws keyed by (scene, view, pass)."""
    torch.manual_seed(seed_of(net.rng, "pass", net.round_index, item.index[0], view, number))
    net.net.eval()
    net.net.drop.train()
    with torch.inference_mode():
        output = net.net(item.coord, item.feat)
    net.net.eval()
    prob = output.logits.softmax(1).double().numpy()
    return prob, output.feature.double().numpy(), -(prob * np.log(prob)).sum(axis=1)


def same(one, two):
    return all(np.array_equal(getattr(one, name), getattr(two, name)) for name in ("prob", "feature", "entropy_of_passes"))


def test_passes_are_the_mean_of_a_loop_and_leave_the_network_as_it_was():
    net, item = module(5), batch()
    got = predict(net, item)
    for name, values in zip(
        ("prob", "feature", "entropy_of_passes"), zip(*[naive_pass(net, item, 0, number) for number in range(5)], strict=True), strict=True
    ):
        np.testing.assert_allclose(getattr(got, name), np.mean(values, axis=0), atol=1e-5)
    assert got.entropy_of_passes.shape == (40,) and got.inverse is None and got.prob.dtype == got.entropy_of_passes.dtype == np.float32
    assert [(dropping, normalising) for _, dropping, normalising in net.net.seen[:5]] == [(True, False)] * 5, "dropout is active, batch norm is not"
    assert not any(part.training for part in net.modules())
    entropy_of_mean = -(got.prob * np.log(got.prob)).sum(axis=1)
    assert (entropy_of_mean - got.entropy_of_passes > -1e-6).all() and (entropy_of_mean - got.entropy_of_passes).max() > 0.01, "passes disagree"


def test_passes_are_keyed_by_scene_round_and_rng():
    item = batch()
    first = predict(module(3), item)
    torch.rand(100)
    np.random.default_rng().random()
    assert same(first, predict(module(3), item))
    net = module(3)
    predict(net, batch(index=5))
    assert same(first, predict(net, item)), "what was predicted before does not matter"
    for other in (predict(module(3), replace(item, index=[1])), predict(module(3, rng=8), item), predict(module(3, round_index=3), item)):
        assert not np.array_equal(first.prob, other.prob)


def test_one_pass_is_what_was_predicted_without_passes():
    net, item = module(), batch()
    got = predict(net, item)
    with torch.inference_mode():
        output = net.net(item.coord, item.feat)
    assert np.array_equal(got.prob, output.logits.softmax(1).numpy()) and np.array_equal(got.feature, output.feature.numpy())
    assert got.entropy_of_passes is None and got.inverse is None and not any(dropping for _, dropping, _ in net.net.seen)


@pytest.mark.parametrize("tile_voxels", [None, 30])
def test_the_bottleneck_feature_of_a_voxel_is_that_of_the_coarse_voxel_around_it(tile_voxels):
    class Coarse(nn.Module):
        """Its bottleneck names the coarse voxels by their corner, rows sorted as the networks sort them."""

        def forward(self, coord, feat):
            corners = sorted({(int(b), *(int(value) // 16 for value in axes)) for b, *axes in coord.tolist()})
            return Wide(torch.zeros(len(coord), 4), feat, torch.tensor(corners, dtype=torch.float32))

    item = batch(100)
    item.coord[:, 1] -= 50
    net = module(net=Coarse(), tile_voxels=tile_voxels, tile_halo=0)
    net.feature = "bottleneck"
    got = predict(net, item)
    assert np.array_equal(got.feature[:, 1], item.coord[:, 1].numpy() // 16) and got.feature.shape == (100, 4)
    net.feature = "penultimate"
    assert np.array_equal(predict(net, item).feature, item.feat.numpy())


def test_dropout_stays_inactive_after_a_pass_that_fails():
    class Failing(DropNet):
        def forward(self, coord, feat):
            raise RuntimeError("no")

    net = module(2, net=Failing())
    with pytest.raises(RuntimeError, match="no"):
        predict(net, batch())
    assert not any(part.training for part in net.modules())


@pytest.mark.parametrize("passes", [1, 4])
def test_tiles_with_passes_cover_every_voxel(passes):
    item = batch(50)
    tiled = module(passes, tile_voxels=12, tile_halo=2)
    got = predict(tiled, item)
    assert len(tiled.net.seen) >= 5 * passes and max(rows for rows, _, _ in tiled.net.seen) < 50
    np.testing.assert_allclose(got.prob.sum(axis=1), 1, atol=1e-5)
    assert same(got, predict(module(passes, tile_voxels=12, tile_halo=2), item))
    without = module(passes, net=DropNet(rate=0.0), tile_voxels=12, tile_halo=2)
    whole = predict(module(net=DropNet(rate=0.0)), item)
    np.testing.assert_allclose(predict(without, item).prob, whole.prob, atol=1e-6, err_msg="without dropout tiles and passes change nothing")


def as_views(item, count):
    """Copies of a scene with other voxels each, of as many points."""
    return replace(item, views=[batch(40 + number, item.index[0], seed=number) for number in range(1, count)])


@pytest.mark.parametrize("passes", [1, 3])
def test_views_are_averaged_point_by_point(passes):
    item = batch()
    points = len(item.inverse)
    others = [replace(one, inverse=one.inverse[:points]) for one in as_views(item, 4).views]
    item = replace(item, views=others)
    net = module(passes)
    got = predict(net, item)
    rows = []
    for number, view in enumerate((item, *others)):
        single = predict(module(), replace(view, views=[]))
        alone = [naive_pass(net, view, number, turn) for turn in range(passes)] if passes > 1 else [(single.prob, single.feature, np.zeros(len(view.coord)))]
        rows.append([np.mean(part, axis=0)[view.inverse.numpy()] for part in zip(*alone, strict=True)])
    prob, feature, entropy = (np.mean(part, axis=0) for part in zip(*rows, strict=True))
    np.testing.assert_allclose(got.prob, prob, atol=1e-5)
    np.testing.assert_allclose(got.feature, feature, atol=1e-5)
    assert np.array_equal(got.inverse, np.arange(points)) and got.inverse.dtype == np.int64 and got.prob.dtype == np.float32
    if passes == 1:
        assert got.entropy_of_passes is None
    else:
        np.testing.assert_allclose(got.entropy_of_passes, entropy, atol=1e-5)


def pool_batches(store, folder, workers, views, rng=3, round_index=1):
    voxeliser = Voxeliser(0.05, ("red", "x"), store.features, 3)
    data = RoundData(
        store, SimulatedOracle(store), LabelState(folder, store), voxeliser, (Rotate(), Flip()), round_index, rng, 2, 1, [range(3)], workers, views=views
    )
    loader = data.predict_dataloader()
    assert isinstance(loader, DataLoader)
    return list(loader)


def test_views_of_the_pool_have_the_same_bits_on_any_number_of_workers(tiny_store, tmp_path):
    alone, shared = (pool_batches(tiny_store, tmp_path, workers, 3) for workers in (0, 2))
    assert [one.index for one in alone] == [[0], [1], [2]]
    for one, two in zip(alone, shared, strict=True):
        assert len(one.views) == 2
        for left, right in zip((one, *one.views), (two, *two.views), strict=True):
            assert all(torch.equal(getattr(left, name), getattr(right, name)) for name in ("coord", "feat", "inverse", "label"))
        assert len({len(view.inverse) for view in (one, *one.views)}) == 1, "each view has every point"
        assert not torch.equal(one.views[0].feat, one.views[1].feat)
        assert bool((one.label == 255).all())
    net = module(net=DropNet(2))
    first, second = (predict(net, batches[1]) for batches in (alone, shared))
    assert np.array_equal(first.prob, second.prob) and len(first.prob) == tiny_store.sizes["t_2"]
    other = pool_batches(tiny_store, tmp_path, 0, 3, round_index=2)
    assert not torch.equal(other[0].inverse, alone[0].inverse) or not torch.equal(other[0].feat, alone[0].feat)


def test_a_single_view_is_the_scene_as_it_is(tiny_store, tmp_path):
    (one, *_), (two, *_) = pool_batches(tiny_store, tmp_path, 0, 1, rng=3), pool_batches(tiny_store, tmp_path, 0, 1, rng=4)
    assert not one.views and torch.equal(one.feat, two.feat) and torch.equal(one.inverse, two.inverse)
