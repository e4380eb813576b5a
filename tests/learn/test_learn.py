"""Losses, metrics and the segmenter, with a network of two layers."""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from al3d.data.batch import Batch
from al3d.learn.checkpoint import load_weights
from al3d.learn.losses import CrossEntropy
from al3d.learn.metrics import scores
from al3d.learn.segmenter import Segmenter
from al3d.types import IGNORE


@dataclass
class Output:
    logits: torch.Tensor
    feature: torch.Tensor


class FakeNet(nn.Module):
    def __init__(self, inputs=3, classes=3, width=5):
        super().__init__()
        self.first, self.last = nn.Linear(inputs, width), nn.Linear(width, classes)

    def forward(self, coord, feat):
        feature = self.first(feat).relu()
        return Output(self.last(feature), feature)


def batch(label, point_label=None, inverse=None):
    label = torch.tensor(label)
    count = len(label)
    random = torch.Generator().manual_seed(count)
    return Batch(
        coord=torch.zeros((count, 4), dtype=torch.int32),
        feat=torch.randn((count, 3), generator=random),
        label=label,
        inverse=torch.arange(count) if inverse is None else torch.tensor(inverse),
        index=[0],
        point_label=None if point_label is None else torch.tensor(point_label),
    )


def module(**more):
    torch.manual_seed(0)
    return Segmenter(**{"net": FakeNet(), "classes": 3, "optimizer": partial(torch.optim.SGD, lr=0.1), "loss": CrossEntropy(), **more})


def trainer(**more):
    settings = {"accelerator": "cpu", "devices": 1, "logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    return pl.Trainer(**settings, max_epochs=-1, use_distributed_sampler=False, **more)


def loader(items):
    return torch.utils.data.DataLoader(items, batch_size=None)


def test_loss_is_the_mean_over_labelled_voxels():
    logits, label = torch.randn(6, 4), torch.tensor([0, IGNORE, 3, IGNORE, 1, 1])
    rows = [0, 2, 4, 5]
    wanted = -torch.log_softmax(logits, 1)[rows, label[rows]].mean()
    torch.testing.assert_close(CrossEntropy()(logits, label), wanted)
    assert CrossEntropy(0.1)(logits, label) != CrossEntropy()(logits, label)


def test_loss_without_a_labelled_voxel_is_zero_with_zero_gradients():
    net = FakeNet()
    loss = CrossEntropy()(net(None, torch.randn(5, 3)).logits, torch.full((5,), IGNORE))
    loss.backward()
    assert loss.item() == 0 and all(p.grad is not None and bool((p.grad == 0).all()) for p in net.parameters())


def test_scores_in_closed_form():
    result = scores(np.array([[3, 1, 0], [2, 4, 0], [0, 0, 5]]))
    np.testing.assert_allclose(result.iou, [3 / 6, 4 / 7, 1])
    assert result.miou == pytest.approx((3 / 6 + 4 / 7 + 1) / 3) and result.accuracy == pytest.approx(12 / 15)


def test_absent_class_is_left_out_and_never_predicted_class_is_zero():
    result = scores(np.array([[6, 2, 0], [0, 0, 0], [4, 0, 0]]))
    assert np.isnan(result.iou[1]) and result.iou[2] == 0 and result.iou[0] == pytest.approx(0.5)
    assert result.miou == pytest.approx(0.25) and result.accuracy == pytest.approx(0.5)
    with np.errstate(all="raise"):
        assert np.isnan(scores(np.diag([1, 0])).iou[1])
    with pytest.raises(ValueError, match="no labelled point"):
        scores(np.zeros((3, 3), int))


def test_scores_equal_counting_points():
    random = np.random.default_rng(0)
    truth, predicted = random.integers(0, 4, 500), random.integers(0, 5, 500)
    confusion = np.zeros((5, 5), int)
    np.add.at(confusion, (truth, predicted), 1)
    wanted = [((truth == c) & (predicted == c)).sum() / ((truth == c) | (predicted == c)).sum() for c in range(4)]
    np.testing.assert_allclose(scores(confusion).iou[:4], wanted)
    assert scores(confusion).miou == pytest.approx(np.mean(wanted))


def test_training_step_learns_from_known_labels_and_rests_without():
    net, items = module(), [batch([0, 1, 2, IGNORE])] * 40
    before = float(net.loss(net(items[0]).logits, items[0].label))
    trainer(max_steps=40).fit(net, loader(items))
    assert float(net.loss(net(items[0]).logits, items[0].label)) < before * 0.8
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    trainer(max_steps=3).fit(net, loader([batch([IGNORE] * 4)] * 3))
    assert all(torch.equal(value, weights[name]) for name, value in net.state_dict().items())


def test_cosine_schedule_ends_at_zero_and_constant_stays():
    class Rates(pl.Callback):
        def __init__(self):
            self.rates = []

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    for schedule, wanted in (("constant", [0.1] * 8), ("cosine", [0.05 * (1 + math.cos(math.pi * step / 8)) for step in range(8)])):
        watch = Rates()
        run = trainer(max_steps=8, callbacks=[watch])
        run.fit(module(schedule=schedule), loader([batch([0, 1, 2])] * 3))
        np.testing.assert_allclose(watch.rates, wanted, atol=1e-9)
    assert run.optimizers[0].param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="schedule='linear' is not one of constant, cosine"):
        module(schedule="linear")


def test_every_point_is_counted_once_and_unknown_ones_not_at_all():
    net = module()
    items = [batch([IGNORE] * 4, [0, 1, IGNORE, 2, 2, 0], [0, 1, 1, 3, 3, 2]), batch([IGNORE] * 3, [1, 1, IGNORE], [2, 2, 0])]
    wanted = np.zeros((3, 3), int)
    for item in items:
        winner = net(item).logits.argmax(1)[item.inverse]
        for true, guess in zip(item.point_label.tolist(), winner.tolist(), strict=True):
            if true != IGNORE:
                wanted[true, guess] += 1
    with pytest.raises(ValueError, match="not been tested"):
        net.judged()
    for _ in range(2):  # a second test starts from nothing
        trainer().test(net, loader(items), verbose=False)
        assert np.array_equal(net.judged(), wanted) and wanted.sum() == 7 and net.judged().dtype == np.int64


def test_a_test_without_labels_is_refused():
    with pytest.raises(ValueError, match="labels to be judged by"):
        module().test_step(batch([0, 1]), 0)


def test_prediction_is_a_probability_and_a_feature_per_voxel():
    net, item = module(), batch([IGNORE] * 4)
    (got,) = trainer().predict(net, loader([item]))
    assert got.prob.shape == (4, 3) and got.feature.shape == (4, 5) and got.prob.dtype == got.feature.dtype == np.float32
    np.testing.assert_allclose(got.prob.sum(axis=1), 1, atol=1e-6)
    with torch.no_grad():
        np.testing.assert_allclose(got.prob, net(item).logits.softmax(1), atol=1e-6)


def test_weights_that_do_not_fit_are_named(tmp_path):
    torch.save({"state_dict": module().state_dict()}, tmp_path / "last.ckpt")
    net = module()
    with torch.no_grad():
        net.net.last.weight.zero_()
    load_weights(net, tmp_path / "last.ckpt")
    assert bool(net.net.last.weight.any())
    with pytest.raises(ValueError, match=r"last\.ckpt does not fit this network"):
        load_weights(module(net=FakeNet(width=6)), tmp_path / "last.ckpt")


def test_tiles_judge_and_predict_every_voxel_once():
    item = batch([IGNORE] * 40, [place % 3 for place in range(60)], [place % 40 for place in range(60)])
    item.coord[:, 1] = torch.arange(40, dtype=torch.int32)
    results = []
    for size in (None, 40, 7):
        net = module(tile_voxels=size, tile_halo=3)
        trainer().test(net, loader([item]), verbose=False)
        (got,) = trainer().predict(net, loader([item]))
        results.append((net.judged(), got.prob, got.feature))
    assert all(np.array_equal(one, two) for one, two in zip(results[0], results[1], strict=True))
    assert np.array_equal(results[2][0], results[0][0]) and results[0][0].sum() == 60
    for one, two in zip(results[0][1:], results[2][1:], strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"learner\.tile_voxels=-3"):
        module(tile_voxels=-3)
