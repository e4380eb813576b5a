"""Losses against closed forms and loops; batches without a label; the counts behind class weights."""

import math
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from al3d.learn.losses import Balanced, Counting, CrossEntropy, Focal, Lovasz
from al3d.types import IGNORE

CONF = Path(__file__).resolve().parents[2] / "conf"
COUNTS = (50, 0, 3, 400)
LOSSES = [CrossEntropy(), Focal(), Focal(0.5), Balanced().weighed_by(COUNTS), Balanced("effective").weighed_by(COUNTS), Lovasz(), Lovasz(0.0)]
LABEL = torch.tensor([0, IGNORE, 3, IGNORE, 1, 1, 2])


def logits(rows=7, seed=0, scale=2.0):
    return scale * torch.randn((rows, 4), generator=torch.Generator().manual_seed(seed))


def labelled_rows(values, label):
    """(probabilities, class) of each labelled voxel, in Python numbers."""
    for row, true in zip(values.double().softmax(dim=1).tolist(), label.tolist(), strict=True):
        if true != IGNORE:
            yield row, true


@pytest.mark.parametrize("loss", LOSSES)
def test_without_a_label_the_loss_is_zero_with_a_zero_gradient(loss):
    values = logits().requires_grad_()
    result = loss(values, torch.full((7,), IGNORE))
    result.backward()
    assert result.item() == 0 and values.grad is not None and bool((values.grad == 0).all())


@pytest.mark.parametrize("loss", LOSSES)
def test_unlabelled_voxels_do_not_matter(loss):
    values = logits().requires_grad_()
    result = loss(values, LABEL)
    result.backward()
    unknown = LABEL == IGNORE
    assert bool((values.grad[unknown] == 0).all()) and bool((values.grad[~unknown] != 0).any(dim=1).all())
    other = values.detach().clone()
    other[unknown] = 7.0
    torch.testing.assert_close(loss(other, LABEL), result.detach())
    torch.testing.assert_close(loss(values.detach()[~unknown], LABEL[~unknown]), result.detach())


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("scale", [0.0, 1.0, 300.0])
def test_losses_and_gradients_are_finite_also_where_the_network_is_certain(loss, scale):
    values = (scale * functional.one_hot(torch.tensor([0, 1, 3, 0, 2, 1, 2]), 4).float()).to(torch.bfloat16).requires_grad_()
    result = loss(values, LABEL)
    result.backward()
    assert result.dtype == torch.float32 and math.isfinite(result.item()) and result.item() > 0 and bool(values.grad.isfinite().all())


@pytest.mark.parametrize("loss", LOSSES)
def test_descending_the_loss_finds_the_classes(loss):
    values = logits(scale=0.1).requires_grad_()
    for _ in range(200):
        (gradient,) = torch.autograd.grad(loss(values, LABEL), values)
        values = (values - 2.0 * gradient).detach().requires_grad_()
    known = LABEL != IGNORE
    assert torch.equal(values[known].argmax(dim=1), LABEL[known])


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_focal_loss_equals_a_loop(gamma):
    parts = [-((1 - row[true]) ** gamma) * math.log(row[true]) for row, true in labelled_rows(logits(), LABEL)]
    assert float(Focal(gamma)(logits(), LABEL)) == pytest.approx(sum(parts) / len(parts), rel=1e-5)


def test_focal_loss_in_closed_form():
    even = torch.zeros((5, 4))
    assert float(Focal(2.0)(even, torch.tensor([0, 1, 2, 3, IGNORE]))) == pytest.approx(0.75**2 * math.log(4), rel=1e-6)
    torch.testing.assert_close(Focal(0.0)(logits(), LABEL), CrossEntropy()(logits(), LABEL))


@pytest.mark.parametrize("loss", [Balanced(), Balanced("effective", 0.99)])
def test_balanced_loss_equals_a_loop(loss):
    loss = loss.weighed_by(COUNTS)
    parts = [(loss.weights[true], -loss.weights[true] * math.log(row[true])) for row, true in labelled_rows(logits(), LABEL)]
    wanted = sum(part for _, part in parts) / len(parts)
    assert float(loss(logits(), LABEL)) == pytest.approx(wanted, rel=1e-5)


def test_weights_in_closed_form():
    total = sum(COUNTS)
    np.testing.assert_allclose(Balanced().weighed_by(COUNTS).weights, [total / (3 * 50), 1, total / (3 * 3), total / (3 * 400)], rtol=1e-6)
    raw = np.array([(1 - 0.99) / (1 - 0.99**count) if count else 0 for count in COUNTS])
    got = np.array(Balanced("effective", 0.99).weighed_by(COUNTS).weights)
    np.testing.assert_allclose(got[[0, 2, 3]] / got[0], raw[[0, 2, 3]] / raw[0], rtol=1e-6)
    assert got[1] == 1
    np.testing.assert_allclose(Balanced("effective", 0.0).weighed_by(COUNTS).weights, 1)
    near = Balanced("effective", 1 - 1e-9).weighed_by(COUNTS).weights
    np.testing.assert_allclose(near, Balanced().weighed_by(COUNTS).weights, rtol=1e-4)


@given(st.lists(st.integers(0, 10**7), min_size=2, max_size=20), st.sampled_from([Balanced(), Balanced("effective"), Balanced("effective", 0.9)]))
def test_weights_favour_rare_classes_and_average_to_one(counts, loss):
    weights = np.array(loss.weighed_by(counts).weights)
    number = np.array(counts)
    assert np.isfinite(weights).all() and (weights > 0).all() and (weights[number == 0] == 1).all()
    bought = number > 0
    if bought.any():
        assert (weights * number).sum() / number.sum() == pytest.approx(1, rel=1e-6)
        order = np.argsort(number[bought], kind="stable")
        assert (np.diff(weights[bought][order]) <= 1e-9 * weights[bought][order][:-1]).all()


def test_equal_counts_give_cross_entropy():
    torch.testing.assert_close(Balanced().weighed_by((7, 7, 7, 7))(logits(), LABEL), CrossEntropy()(logits(), LABEL))
    with pytest.raises(ValueError, match="needs the labels of each class"):
        Balanced()(logits(), LABEL)
    assert isinstance(Balanced(), Counting) and not isinstance(CrossEntropy(), Counting)


def naive_lovasz(values, label):
    """The Lovasz extension of 1 - IoU at the errors, class by class: errors in falling order, each times what its voxel adds to the set's loss."""
    rows = list(labelled_rows(values, label))
    losses = []
    for one in sorted({true for _, true in rows}):
        errors = [abs((true == one) - row[one]) for row, true in rows]
        order = sorted(range(len(rows)), key=lambda place: -errors[place])
        total, before = 0.0, 0.0
        for count in range(1, len(rows) + 1):
            wrong = set(order[:count])
            truth = {place for place, (_, true) in enumerate(rows) if true == one}
            predicted = (truth - wrong) | {place for place in wrong if place not in truth}
            after = 1 - len(truth & predicted) / len(truth | predicted)
            total, before = total + errors[order[count - 1]] * (after - before), after
        losses.append(total)
    return sum(losses) / len(losses)


@pytest.mark.parametrize("seed", range(5))
def test_lovasz_equals_a_loop(seed):
    values = logits(seed=seed)
    assert float(Lovasz(0.0)(values, LABEL)) == pytest.approx(naive_lovasz(values, LABEL), rel=1e-5)
    both = float(Lovasz(0.0)(values, LABEL)) + 0.3 * float(CrossEntropy()(values, LABEL))
    assert float(Lovasz(0.3)(values, LABEL)) == pytest.approx(both, rel=1e-5)


def test_lovasz_of_certain_predictions_is_one_minus_the_mean_iou():
    label = torch.tensor([0, 0, 1, 2])
    for guess in product(range(3), repeat=4):
        hits = [sum(g == t == c for g, t in zip(guess, label.tolist(), strict=True)) for c in range(3)]
        unions = [sum(c in (g, t) for g, t in zip(guess, label.tolist(), strict=True)) for c in range(3)]
        wanted = 1 - np.mean([hit / union for hit, union in zip(hits, unions, strict=True)])
        assert float(Lovasz(0.0)(200.0 * functional.one_hot(torch.tensor(guess), 3), label)) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (partial(Focal, -1.0), "gamma=-1"),
        (partial(Balanced, "frequent"), "weighting='frequent' is not one of inverse, effective"),
        (partial(Balanced, beta=1.0), "beta=1.0"),
        (partial(Lovasz, -0.1), "cross_entropy=-0.1"),
    ],
)
def test_wrong_options_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()


NAMES = {group: sorted(path.stem for path in (CONF / group).glob("*.yaml")) for group in ("loss", "learner")}


@pytest.mark.parametrize(
    ("learner", "loss"),
    [*(("supervised", loss) for loss in NAMES["loss"]), *((learner, "balanced") for learner in NAMES["learner"] if learner != "supervised")],
)
def test_every_loss_goes_with_every_learner(learner, loss):
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        config = compose("train", overrides=[f"learner={learner}", f"loss@learner.loss={loss}"])
    module = instantiate(config.learner)(net=torch.nn.Identity(), classes=4)
    assert module.loss == instantiate(config.learner.loss)
    module.weigh(COUNTS)
    assert float(module.loss(logits(), LABEL)) > 0
