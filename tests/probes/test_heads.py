"""Heads: what they learn, from how little, with which classes; threads, keys and states; options that are refused."""

import io
import logging
import warnings
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import lightgbm
import numba
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import yaml
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression

from al3d.compose import make_trainer
from al3d.probes.boosting import MANY, Boosting
from al3d.probes.forest import Forest
from al3d.probes.heads import BLOCK, LayerModel, learned_rows, model_of, row_weights
from al3d.probes.linear import Linear
from al3d.probes.mlp import MLP
from al3d.rng import generator, seed_of

CONF = Path(__file__).resolve().parents[2] / "conf"
HEADS = {
    "boosting": Boosting(trees=15, columns=0.5),
    "boosting_large": Boosting(trees=4, leaves=50, least=1, columns=1.0, l2=0.0),
    "forest": Forest(trees=12),
    "linear": Linear(),
    "mlp": MLP(hidden=(16,), steps=60, learning_rate=0.03),
    "mlp_dropout": MLP(hidden=(16, 8), steps=60, dropout=0.1, batch=64, learning_rate=0.03),
}
STOCHASTIC = ("boosting", "forest", "mlp", "mlp_dropout")
KEY = (7, "head", 0)
every = pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)


def blobs(many, classes=2, columns=5, apart=6.0, seed=0):
    """Rows of blobs whose centres are `apart`, and their labels, each class at least once when there are enough rows."""
    rng = generator(seed, "blobs")
    label = np.concatenate([np.arange(classes), rng.integers(classes, size=max(many - classes, 0))])[:many]
    rows = rng.normal(size=(many, columns))
    rows[:, 0] += apart * label
    return rows.astype(np.float32), label.astype(np.int64)


def checked(prob, many, classes, present):
    assert prob.dtype == np.float32 and prob.shape == (many, classes) and (prob >= 0).all()
    np.testing.assert_allclose(prob.sum(axis=1), 1, atol=1e-5)
    absent = np.setdiff1d(np.arange(classes), present)
    assert (prob[:, absent] == 0).all()
    return prob


@contextmanager
def threads(number):
    before = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(number)
    numba.set_num_threads(min(number, before[1]))
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        numba.set_num_threads(before[1])


@every
@pytest.mark.parametrize("many", [20, 2000])
def test_blobs_are_told_apart(head, many):
    model = head.fit(*blobs(many), 2, KEY)
    rows, label = blobs(4000, seed=1)
    assert (checked(model(rows), 4000, 2, [0, 1]).argmax(axis=1) == label).mean() > (0.9 if many == 20 else 0.98)


@every
def test_defaults_learn_from_twenty_rows_of_three_classes(head):
    default = type(head)()
    rows, label = blobs(3000, 3, seed=1)
    assert (default.fit(*blobs(20, 3), 3, KEY)(rows).argmax(axis=1) == label).mean() > 0.75


@every
def test_one_class_alone_is_certain(head):
    rows, _ = blobs(20)
    prob = checked(head.fit(rows, np.full(20, 2), 4, KEY)(blobs(50, seed=1)[0]), 50, 4, [2])
    assert (prob[:, 2] == 1).all()


@every
def test_one_row_is_enough(head):
    rows, _ = blobs(1)
    assert (head.fit(rows, np.array([1]), 3, KEY)(blobs(9)[0]) == [0, 1, 0]).all()


@every
def test_two_rows_of_two_classes_are_enough(head):
    rows = np.array([[-1, 0], [1, 0]], np.float32)
    prob = checked(head.fit(rows, np.array([3, 0]), 5, KEY)(rows), 2, 5, [0, 3])
    assert np.isfinite(prob).all() and prob[0, 3] >= prob[0, 0]


@every
def test_an_absent_class_gets_nothing(head):
    rows, label = blobs(200)
    there = np.array([1, 3])
    prob = checked(head.fit(rows, there[label], 5, KEY)(rows), 200, 5, there)
    assert (prob.argmax(axis=1) == there[label]).mean() > 0.97
    # The class list has no say in what is learned of the classes that are there.
    np.testing.assert_array_equal(prob[:, there], head.fit(rows, label, 2, KEY)(rows))


@every
def test_no_rows_have_no_probabilities(head):
    assert head.fit(*blobs(30, 3), 3, KEY)(np.empty((0, 5), np.float32)).shape == (0, 3)


@every
def test_threads_change_no_bit(head):
    rows, label = blobs(MANY + 1000, 3, apart=1.0)  # fewer are boosted on one thread
    found = []
    for number in (1, 2):
        with threads(number):
            found.append(head.fit(rows, label, 3, KEY)(rows))
    np.testing.assert_array_equal(*found)


@every
def test_the_same_key_gives_the_same_bits_and_leaves_other_draws_alone(head):
    rows, label = blobs(600, 3, apart=1.0)
    torch.manual_seed(1)
    first = head.fit(rows, label, 3, KEY)(rows)
    drawn = torch.rand(3)
    torch.manual_seed(1)
    torch.testing.assert_close(drawn, torch.rand(3))
    np.testing.assert_array_equal(first, head.fit(rows.copy(), label.copy(), 3, KEY)(rows))


@every
def test_another_key_changes_what_is_drawn(head):
    rows, label = blobs(600, 3, apart=1.0)
    other, _ = blobs(600, 3, apart=1.0, seed=1)
    models = [head.fit(rows, label, 3, key)(other) for key in (KEY, (8, "head", 0))]
    drawing = any(head == HEADS[name] for name in STOCHASTIC)
    assert (models[0] != models[1]).any() == drawing
    few = [replace(head, rows=100).fit(rows, label, 3, key)(other) for key in (KEY, (8, "head", 0))]
    assert (few[0] != few[1]).any()


@every
def test_the_rows_are_left_as_they_are_and_may_be_read_only(head):
    rows, label = blobs(100, 3)
    before = rows.copy(), label.copy()
    rows.setflags(write=False)
    label.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        head.fit(rows, label, 3, KEY)(rows)
    np.testing.assert_array_equal(rows, before[0])
    np.testing.assert_array_equal(label, before[1])


@every
@pytest.mark.parametrize("classes", [1, 2, 3])
def test_a_state_gives_the_same_bits(head, classes):
    rows, label = blobs(200, classes, apart=1.0)
    model = head.fit(rows, label, 4, KEY)
    file = io.BytesIO()
    torch.save(model.state(), file)
    file.seek(0)
    again = model_of(torch.load(file, weights_only=True))
    np.testing.assert_array_equal(again(rows), model(rows))
    assert type(again) is type(model)
    assert all(torch.equal(value, again.state()[name]) for name, value in model.state().items())


@every
def test_a_state_is_a_copy(head):
    rows, label = blobs(50, 3)
    model = head.fit(rows, label, 3, KEY)
    before = model(rows)
    for value in model.state().values():
        value.zero_()
    np.testing.assert_array_equal(model(rows), before)


def damaged(state, **changes):
    return {name: value for name, value in {**state, **changes}.items() if value is not None}


@every
def test_damaged_states_are_refused(head):
    model = head.fit(*blobs(100, 3, apart=1.0), 4, KEY)
    state = model.state()
    for name in state:
        with pytest.raises(ValueError, match="missing|lacks|holds weight and bias"):
            model_of(damaged(state, **{name: None}))
    for changes, what in (
        ({"kind": torch.tensor(list(b"svm"), dtype=torch.uint8)}, "kind 'svm' is unknown"),
        ({"present": torch.tensor([0, 2, 1])}, "in order"),
        ({"present": torch.tensor([0, 1, 4])}, "in order"),
        ({"present": torch.tensor([0, 1])}, "needs as many"),
        ({"classes": torch.tensor(2)}, "of the 2 classes"),
    ):
        with pytest.raises(ValueError, match=what):
            model_of(damaged(state, **changes))
    if "trees.value" in state:
        inner = [
            ({"trees.root": state["trees.root"].flip(0)[:-1]}, "no trees"),
            ({"trees.feature": state["trees.feature"] + 5}, "no trees"),
        ]
        if head.name == "forest":
            inner.append(({"trees.value": -state["trees.value"] - 1}, "shares of classes"))
    else:
        inner = [
            ({"weight.0": state["weight.0"].T[1:]}, "do not fit"),
            ({"bias.0": torch.full_like(state["bias.0"], torch.nan)}, "not finite"),
            ({"bias.0": state["bias.0"].double()}, "do not fit"),
            ({"weight.7": state["weight.0"]}, "weight and bias of each"),
        ]
    for changes, what in inner:
        with pytest.raises(ValueError, match=what):
            model_of(damaged(state, **changes))


def test_a_state_of_something_else_is_refused():
    for state in ({}, {"weight": torch.zeros(3)}, {"kind": torch.zeros(2, dtype=torch.uint8), "present": torch.zeros(1), "classes": torch.zeros(1)}):
        with pytest.raises(ValueError, match="no state|unknown"):
            model_of(state)
    with pytest.raises(ValueError, match="each layer needs"):
        LayerModel("linear", (), (), np.zeros(1, np.int64), 1)


@every
def test_balance_favours_the_rare_class(head):
    rng = generator(0, "rare")
    label = np.repeat([0, 1], [900, 60])
    rows = (rng.normal(size=(960, 3)) + label[:, None] * [1.2, 0, 0]).astype(np.float32)
    options = {"least": 20} if isinstance(head, Forest) else {}
    shares = [replace(head, balance=balance, **options).fit(rows, label, 2, KEY)(rows)[:, 1].mean() for balance in (0.0, 0.5, 1.0)]
    assert shares[0] < shares[1] < shares[2]
    assert shares[0] == pytest.approx(60 / 960, abs=0.05) and shares[2] > 0.2


@every
@pytest.mark.parametrize(
    ("rows", "label", "what"),
    [
        (np.zeros((0, 3), np.float32), np.zeros(0, np.int64), "at least one row"),
        (np.zeros((4, 3)), np.zeros(4, np.int64), "float64"),
        (np.zeros((4, 3), np.float32), np.zeros(3, np.int64), r"labels \[3\]"),
        (np.zeros((4, 3), np.float32), np.array([0, 1, 2, 3]), r"within 0\.\.2, got 0\.\.3"),
        (np.zeros((4, 3), np.float32), np.array([0, 1, -1, 1]), r"got -1\.\.1"),
        (np.array([[0], [np.nan]], np.float32), np.array([0, 1]), "row 1 of 2 is not finite"),
    ],
)
def test_what_cannot_be_learned_is_refused(head, rows, label, what):
    with pytest.raises(ValueError, match=what):
        head.fit(rows, label, 3, KEY)


@every
def test_rows_of_another_width_are_refused(head):
    model = head.fit(*blobs(30, 3), 3, KEY)
    with pytest.raises(ValueError, match=r"float32 \[V,5\]"):
        model(np.zeros((3, 4), np.float32))


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (Boosting, {"trees": 0, "leaves": 1, "learning_rate": 0.0, "least": 0, "l2": -1.0, "columns": 0.0, "bins": 1, "balance": 1.5, "rows": 0}),
        (Forest, {"trees": 0, "least": 0, "columns": 1.5, "balance": -0.5, "rows": 0}),
        (Linear, {"l2": 0.0, "steps": 0, "balance": 2.0, "rows": 0}),
        (MLP, {"hidden": (0,), "dropout": 1.0, "steps": 0, "batch": 0, "learning_rate": 0.0, "weight_decay": -1.0, "balance": 2.0, "rows": 0}),
    ],
)
def test_wrong_options_are_named(make, options):
    assert set(options) == {field.name for field in fields(make)}
    for name, value in options.items():
        with pytest.raises(ValueError, match=rf"net\.head\.{name}=.*: give "):
            make(**{name: value})


def test_a_sample_of_the_rows_is_uniform_and_keeps_every_class():
    rows = np.arange(1000, dtype=np.float32)[:, None]
    label = np.zeros(1000, np.int64)
    label[500] = 3
    seen = np.zeros(1000)
    for draw in range(300):
        taken, place, present = learned_rows(rows, label, 4, 100, (draw,))
        assert len(taken) in (100, 101) and present.tolist() == [0, 3] and place.sum() == 1
        assert (np.diff(taken[:, 0]) > 0).all() and place[taken[:, 0] == 500] == 1
        seen[taken[:, 0].astype(int)] += 1
    rest = np.delete(seen, 500)
    assert seen[500] == 300 and rest.mean() == pytest.approx(30, abs=0.1) and rest.std() == pytest.approx((300 * 0.1 * 0.9) ** 0.5, rel=0.15)
    whole = learned_rows(rows, label, 4, 1000, KEY)
    np.testing.assert_array_equal(whole[0], rows)


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_row_weights_in_closed_form(balance):
    place = np.repeat([0, 1, 2], [90, 9, 1])
    weight = row_weights(place, balance)
    assert weight.mean() == pytest.approx(1)
    np.testing.assert_allclose(weight[[90, 99]] / weight[0], [10**balance, 90**balance])


def test_boosting_says_what_lightgbm_says():
    rows, label = blobs(500, 3, apart=1.0)
    head = Boosting(trees=20)
    data = lightgbm.Dataset(rows, label, weight=row_weights(label, head.balance))
    wanted = lightgbm.train(head.options(500, 3, KEY), data, head.trees).predict(rows)
    prob = head.fit(rows, label, 3, KEY)(rows)
    np.testing.assert_allclose(prob, wanted, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(prob.argmax(axis=1), wanted.argmax(axis=1))


def test_forest_says_what_scikit_learn_says():
    rows, label = blobs(500, 3, apart=1.0)
    other, _ = blobs(500, 3, apart=1.0, seed=1)
    grown = ExtraTreesClassifier(30, max_features=0.6, random_state=seed_of(*KEY, "forest") % 2**32).fit(rows, label, row_weights(label, 1.0))
    prob = Forest(trees=30, columns=0.6, balance=1.0).fit(rows, label, 3, KEY)(other)
    np.testing.assert_allclose(prob, grown.predict_proba(other), rtol=0, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
def test_linear_says_what_scikit_learn_says(classes):
    rows, label = blobs(500, classes, apart=1.0)
    wanted = LogisticRegression(C=0.5, tol=1e-3).fit(rows, label, row_weights(label, 0.5)).predict_proba(rows)
    np.testing.assert_allclose(Linear(l2=2.0).fit(rows, label, classes, KEY)(rows), wanted, rtol=0, atol=1e-5)


def test_more_l2_gives_smaller_weights():
    sizes = [float(Linear(l2=l2).fit(*blobs(200, 3), 3, KEY).weight[0].norm()) for l2 in (0.01, 1.0, 100.0)]
    assert sizes[0] > sizes[1] > sizes[2]


@pytest.mark.parametrize("many", [1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 1])
def test_layers_equal_numpy_in_blocks_of_any_number_of_rows(many):
    model = MLP(hidden=(9, 7), steps=5).fit(*blobs(100, 3), 3, KEY)
    rows = blobs(many, 3, seed=4)[0]
    value = rows.astype(np.float64)
    for number, (weight, bias) in enumerate(zip(model.weight, model.bias, strict=True)):
        value = (np.maximum(value, 0) if number else value) @ weight.numpy().T + bias.numpy()
    wanted = np.exp(value) / np.exp(value).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model(rows), wanted, atol=1e-5)


def test_the_trainer_that_is_given_trains():
    asked = []

    def make(**options):
        asked.append(options)
        return partial(make_trainer, {"accelerator": "cpu", "devices": 1})(**options)

    rows, label = blobs(300, 3, apart=1.0)
    head = HEADS["mlp_dropout"]
    np.testing.assert_array_equal(head.fit(rows, label, 3, KEY, make)(rows), head.fit(rows, label, 3, KEY)(rows))
    assert asked == [{"max_steps": 60, "logger": False}]


@every
def test_fits_are_silent_and_write_nothing(head, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    level = logging.getLogger("pytorch_lightning").level
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for many in (3, 20, 400):
            head.fit(*blobs(many, 3), 3, KEY)
    assert capfd.readouterr() == ("", "") and not list(tmp_path.iterdir())
    assert logging.getLogger("pytorch_lightning").level == level


def test_the_perceptron_sees_each_batch_by_its_number_alone():
    seen = []

    class Watching(pl.Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            seen.append(batch[0].clone())

    rows, label = blobs(300, 3)
    for steps in (4, 9):
        make = partial(make_trainer, {"accelerator": "cpu", "devices": 1}, callbacks=[Watching()])
        MLP(hidden=(4,), steps=steps, batch=32).fit(rows, label, 3, KEY, make)
    assert [one.shape for one in seen] == [(32, 5)] * 13
    assert all(torch.equal(one, other) for one, other in zip(seen[:4], seen[4:8], strict=True)) and not torch.equal(seen[0], seen[1])


@pytest.mark.parametrize("name", ["boosting", "forest", "linear", "mlp"])
def test_configuration_files_have_every_option_at_its_default(name):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(overrides=[f"+head={name}"]).head
    head = instantiate(config)
    assert head == type(head)() and head.name == name and hash(head) == hash(type(head)())
    assert set(yaml.safe_load((CONF / "head" / f"{name}.yaml").read_text())) == {field.name for field in fields(head)} | {"_target_"}
    if name == "mlp":
        assert head.hidden == (64, 64)
