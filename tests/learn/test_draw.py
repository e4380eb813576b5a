"""Training sees the labels as they are: what each class weighs in the loss, through the real loaders and losses, against what was labelled."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from al3d.data.batch import Crop, Voxeliser, Voxels
from al3d.data.datamodule import RoundData
from al3d.data.draw import Draw, unlike
from al3d.data.labels import LabelState
from al3d.data.oracle import SimulatedOracle
from al3d.data.prepare import voxel_counts
from al3d.data.samplers import TrainBatches
from al3d.learn.losses import Balanced, CrossEntropy, Focal, voxel_weights
from al3d.learn.prior import LEAST, pool_shares, shift_of
from al3d.learn.segmenter import Segmenter
from al3d.rng import generator
from al3d.types import IGNORE
from al3d.units.scene import SceneUnit

INPUTS = ("red", "green", "blue", "x", "y", "z")


@pytest.fixture
def labels(tiny_store, tiny_supervoxel, tmp_path):
    """The case that went wrong: whole scenes hold most of the labels, and many scenes hold a few regions each."""
    state = LabelState(tmp_path / "run", tiny_store)
    state.append({"t_2": [0]}, SceneUnit(), {})
    regions = {name: [region_with_most(tiny_store, tiny_supervoxel, name, 1), 0] for name in ("t_1", "t_3", "t_4", "t_5", "t_6")}
    state.append(regions, tiny_supervoxel, {})
    return state


def region_with_most(store, unit, name, label):
    ids = store.unit(unit, name)
    truth = SimulatedOracle(store).answer(name, np.ones(len(ids), dtype=bool))
    return int(np.bincount(ids[(ids >= 0) & (truth == label)]).argmax())


class Ranked(RoundData):
    """A rank of several, without starting any."""

    rank, world = 0, 1

    def _place(self):
        return self.rank, self.world


def loaders(store, labels, tmp_path, draw, batches, world=1, accumulate=1, **more):
    voxeliser = Voxeliser(0.05, INPUTS, store.features, len(store.classes))
    for rank in range(world):
        data = Ranked(
            store, SimulatedOracle(store), labels, voxeliser, (), 1, rng=0, batch_size=4 // accumulate, batches=batches * accumulate, draw=draw, **more
        )
        data.rank, data.world = rank, world
        data.count_labels(tmp_path / "labelled.json")
        yield data, data.train_dataloader()


def weights_by_class(loaded, loss, draw, classes=3):
    """What each class weighs in the gradient of the loss of a network that knows nothing: per voxel it is the weight times a constant."""
    module = Segmenter(net=torch.nn.Identity(), classes=classes, optimizer=torch.optim.SGD, loss=loss, draw=draw.by, draw_exponent=draw.exponent)
    total = np.zeros(classes)
    for _, loader in loaded:
        for batch in loader:
            logits = torch.zeros((len(batch.label), classes), dtype=torch.float64, requires_grad=True)
            module.labelled_loss(logits, batch).backward()
            known = batch.label != IGNORE
            own = -logits.grad[known].gather(1, batch.label[known, None])[:, 0]
            total += np.bincount(batch.label[known].numpy(), weights=own.numpy(), minlength=classes)
    return total / total.sum()


def labelled_voxels(store, labels, tmp_path):
    (data, _), *_ = loaders(store, labels, tmp_path, Draw("labels"), 1)
    return data.training.class_voxels(quiet=True)


WAYS = {
    "plain": {},
    "two ranks": {"world": 2},
    "accumulated": {"accumulate": 2},
    "cropped": {"crop": Crop(150)},
    "both": {"world": 2, "accumulate": 2, "crop": Crop(150)},
}


@pytest.mark.parametrize(
    ("way", "loss"),
    [*(pytest.param(way, CrossEntropy(), marks=[pytest.mark.slow] if "crop" in options else []) for way, options in WAYS.items()), ("plain", Focal())],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_at_exponent_one_every_class_weighs_what_its_labels_are(tiny_store, labels, tmp_path, way, loss):
    counts = labelled_voxels(tiny_store, labels, tmp_path)
    wanted = counts.sum(axis=0) / counts.sum()
    cropped = "crop" in WAYS[way]
    draw = Draw("labels", 1.0)
    seen = weights_by_class(loaders(tiny_store, labels, tmp_path, draw, 1200 if cropped else 60, **WAYS[way]), loss, draw)
    np.testing.assert_allclose(seen, wanted, atol=0.02 if cropped else 0.005)
    assert not unlike(seen, wanted)


@pytest.mark.parametrize("exponent", [0.0, 0.5])
def test_other_exponents_give_the_shares_of_arithmetic(tiny_store, labels, tmp_path, exponent):
    counts = labelled_voxels(tiny_store, labels, tmp_path)
    scenes = counts.sum(axis=1)
    powers = scenes[scenes > 0] ** exponent
    wanted = (powers / powers.sum()) @ (counts[scenes > 0] / scenes[scenes > 0, None])
    draw = Draw("labels", exponent)
    np.testing.assert_allclose(draw.class_shares(counts), wanted)
    np.testing.assert_allclose(weights_by_class(loaders(tiny_store, labels, tmp_path, draw, 60), CrossEntropy(), draw), wanted, atol=0.005)
    assert np.abs(wanted - counts.sum(axis=0) / counts.sum()).max() > 0.05, "this case must tell them apart"


def test_scenes_drawn_equally_see_other_labels_than_there_are(tiny_store, labels, tmp_path):
    """What the papers' code does, and why it is not the default."""
    counts = labelled_voxels(tiny_store, labels, tmp_path)
    seen = weights_by_class(loaders(tiny_store, labels, tmp_path, Draw("scenes"), 60), CrossEntropy(), Draw("scenes"))
    assert np.abs(seen - counts.sum(axis=0) / counts.sum()).max() > 0.05


@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_a_balanced_loss_gives_every_class_the_same_weight_of_what_is_seen(tiny_store, labels, tmp_path, exponent):
    counts = labelled_voxels(tiny_store, labels, tmp_path)
    draw = Draw("labels", exponent)
    loss = Balanced().weighed_by(draw.class_shares(counts) * counts.sum())
    seen = weights_by_class(loaders(tiny_store, labels, tmp_path, draw, 60), loss, draw)
    np.testing.assert_allclose(seen, 1 / 3, atol=0.01)


def test_batches_of_unequal_numbers_of_scenes_weigh_labels_the_same(tiny_store, labels, tmp_path):
    counts = labelled_voxels(tiny_store, labels, tmp_path)
    limited = {"batch_voxels": 3700, "voxel_counts": voxel_counts(tiny_store, 0.05)}
    draw = Draw("labels", 0.5)
    made = list(loaders(tiny_store, labels, tmp_path, draw, 150, **limited))
    assert len({len(batch.index) for batch in made[0][1]}) > 1
    np.testing.assert_allclose(weights_by_class(made, CrossEntropy(), draw), draw.class_shares(counts), atol=0.015)


def test_voxel_weights_are_those_of_the_loss(tiny_store, labels, tmp_path):
    for draw in (Draw("labels"), Draw("scenes")):
        _, loader = next(loaders(tiny_store, labels, tmp_path, draw, 2))
        for batch in loader:
            logits = torch.zeros((len(batch.label), 3), dtype=torch.float64, requires_grad=True)
            Segmenter(torch.nn.Identity(), 3, torch.optim.SGD, CrossEntropy(), draw=draw.by).labelled_loss(logits, batch).backward()
            known = batch.label != IGNORE
            own = -1.5 * logits.grad[known].gather(1, batch.label[known, None])[:, 0]
            weights = voxel_weights(batch, draw.weighs)
            torch.testing.assert_close(weights[known], own.to(torch.float64), rtol=1e-5, atol=1e-8)
            assert not weights[~known].any()


def test_counts_wait_for_the_first_process_and_are_kept(tiny_store, labels, tmp_path):
    counts = labelled_voxels(tiny_store, labels, tmp_path)
    (data, _) = next(loaders(tiny_store, labels, tmp_path, Draw("labels"), 1))
    assert np.array_equal(data.count_labels(tmp_path / "labelled.json"), counts)
    data._class_voxels = None
    with pytest.raises(ValueError, match="call count_labels first"):
        data.train_dataloader()


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=40), st.floats(0, 2), st.floats(0, 1))
def test_the_floor_changes_how_often_and_not_how_much(voxels, exponent, floor):
    draw, counts = Draw("labels", exponent, floor), np.array(voxels)
    probability = draw.probability(counts)
    assert probability.sum() == pytest.approx(1) and (probability >= 0).all()
    np.testing.assert_allclose(probability * draw.weight(counts), draw.wanted(counts), atol=1e-12)
    assert probability.min() * len(counts) >= floor / 2 - 1e-9, "even after all shares were scaled to add up to 1"


@pytest.mark.parametrize(
    ("options", "says"),
    [({"by": "points"}, "learner.draw='points'"), ({"exponent": -1}, "learner.draw_exponent=-1"), ({"floor": 2}, "learner.draw_floor=2")],
)
def test_wrong_options_are_named(options, says):
    with pytest.raises(ValueError, match=says):
        Draw(**options)


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=12), st.integers(0, 5), st.integers(1, 3))
def test_scenes_are_drawn_as_often_as_they_should_be(shares, key, world):
    """Over n draws of a row, every scene within a few of n times its probability; ranks share one row."""
    probability = np.array(shares) / np.sum(shares)
    batches = 40
    drawn = [
        scene
        for rank in range(world)
        for batch in TrainBatches(range(len(shares)), 2, batches, ("t", key), rank, world, probability=probability)
        for scene, _ in batch
    ]
    counts = np.bincount(drawn, minlength=len(shares))
    assert np.abs(counts - probability * 2 * batches * world).max() <= 3 + np.log2(batches * 2 * world)


def test_crops_by_labels_hold_each_labelled_voxel_equally_often():
    """A corner that is labelled, and a line far away: nearest crops see the edges of what is labelled less."""
    random = generator("crops", 1)
    coord = np.array([(x, y, 0) for x, y in product(range(30), range(20))], np.int32)
    label = np.where((coord[:, 0] < 8) & (coord[:, 1] < 5), 0, np.where(coord[:, 0] == 27, 1, IGNORE))
    scene = Voxels(coord, np.zeros((600, 1), np.float32), np.arange(600), label)
    draws = 3000
    weight = {by: np.zeros(600) for by in ("labels", "nearest")}
    for by, total in weight.items():
        for _ in range(draws):
            points = Crop(120, by).points(scene, random)
            known = points & (label != IGNORE)
            assert points.sum() <= 120 and known.any()
            total[known] += 1 / known.sum() / draws
    number = (label != IGNORE).sum()
    assert np.abs(weight["labels"][label != IGNORE] * number - 1).max() < 0.35, "each by itself, to chance"
    assert abs(weight["labels"][label == 1].sum() - 20 / number) < 0.02
    assert abs(weight["nearest"][label == 1].sum() - 20 / number) < 0.05
    assert weight["nearest"][label != IGNORE].max() / weight["nearest"][label != IGNORE].min() > 1.5


def test_a_column_of_voxels_above_one_place_stays_whole():
    scene = Voxels(np.array([(0, 0, z) for z in range(9)], np.int32), np.zeros((9, 1), np.float32), np.arange(9), np.full(9, IGNORE))
    assert Crop(4, "labels").points(scene, generator("column", 0)).all()


def test_shares_of_a_pool_are_found_without_its_labels():
    """Two overlapping classes, trained half and half, nine to one in the pool: probabilities by Bayes are what a perfect network says."""
    random = generator("pool", 1)
    label = random.random(20_000) < 0.1
    place = random.normal(np.where(label, 1.0, -1.0), 1.0)
    odds = np.exp(2 * place)
    prob = np.stack([1 / (1 + odds), odds / (1 + odds), np.zeros_like(odds)], axis=1).astype(np.float32)
    found = pool_shares(prob, np.array([0.5, 0.5, 0.0]))
    np.testing.assert_allclose(found, [0.9, 0.1, 0], atol=0.02)
    shift = np.array(shift_of(found, [0.5, 0.5, 0.0], 1.0))
    assert shift[2] == 0 and shift[0] > 0 > shift[1]
    corrected = (np.log(np.maximum(prob, 1e-12)) + shift)[:, :2].argmax(axis=1)
    assert (corrected == label).mean() > (prob.argmax(axis=1) == label).mean() + 0.05
    np.testing.assert_allclose(shift_of(found, [0.5, 0.5, 0.0], 0.5), shift / 2)
    assert np.isfinite(shift_of([0, 1, 0], [0.5, 0.5, 0], 1.0)).all() and shift_of([0, 1, 0], [0.5, 0.5, 0], 1.0)[0] == pytest.approx(np.log(LEAST / 0.5))
