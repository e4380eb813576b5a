"""The oracle tells what it is asked and nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.data.oracle import SimulatedOracle, WithoutClasses
from al3d.data.prepare import prepare
from al3d.types import IGNORE, ClassTable, Oracle, Scene

COUNT = 100


class OneRoom:
    """A single scene per split; a third of the points has no label."""

    name, features, scale = "one", ("one",), {}
    classes = ClassTable(("a", "b"), ((0, 0, 0), (1, 1, 1)))

    def scenes(self, split):
        return (split,)

    def read(self, scene_id):
        xyz = np.random.default_rng(0).random((COUNT, 3), np.float32)
        return Scene(scene_id, xyz, np.ones((COUNT, 1), np.float32)), np.resize(np.array([0, 1, IGNORE], np.uint8), COUNT)

    def fingerprint(self):
        return ""


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    return SimulatedOracle(prepare(OneRoom(), tmp_path_factory.mktemp("root")))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.floats(0, 1))
def test_answers_what_is_asked(oracle, seed, share):
    asked = np.random.default_rng(seed).random(COUNT) < share
    typed: Oracle = oracle
    answer = typed.answer("train", asked)
    truth = OneRoom().read("train")[1]
    assert typed.simulated
    assert answer.dtype == np.uint8
    assert answer.tolist() == [int(label) if known else IGNORE for label, known in zip(truth, asked, strict=True)]


@pytest.mark.parametrize("asked", [np.zeros(99, bool), np.zeros((100, 1), bool), np.zeros(100, np.uint8)])
def test_a_mask_that_does_not_fit(oracle, asked):
    with pytest.raises(ValueError, match=r"scene 'train': asked must be bool \[100\], one per point, got"):
        oracle.answer("train", asked)


def test_unknown_scene(oracle):
    with pytest.raises(ValueError, match="one has no scene 'x'"):
        oracle.answer("x", np.zeros(COUNT, bool))


def test_an_answer_cannot_change_the_truth(oracle):
    answer = oracle.answer("train", np.ones(COUNT, bool))
    answer[:] = 0
    np.testing.assert_array_equal(oracle.answer("train", np.ones(COUNT, bool)), OneRoom().read("train")[1])


def test_raw_labels_with_and_without_a_grid(oracle, tmp_path):
    truth = OneRoom().read("train")[1]
    np.testing.assert_array_equal(oracle.raw_labels("train"), truth)
    coarse = SimulatedOracle(prepare(OneRoom(), tmp_path, grid=0.5))
    np.testing.assert_array_equal(coarse.raw_labels("train"), truth)
    size, inverse = coarse.store.sizes["train"], coarse.store.inverse("train")
    assert (size, coarse.store.raw_sizes["train"], len(inverse)) == (8, COUNT, COUNT)
    answer = coarse.answer("train", np.ones(size, bool))
    for cell in range(size):
        votes = np.bincount(truth[(inverse == cell) & (truth != IGNORE)], minlength=2)
        assert answer[cell] == (votes.argmax() if votes.any() else IGNORE)


def test_an_oracle_without_a_class_tells_the_others_and_judges_by_all(oracle):
    blind, everything = WithoutClasses(oracle.store, ["b"]), np.ones(COUNT, bool)
    told, known = blind.answer("train", everything), oracle.answer("train", everything)
    assert (told[known == 0] == 0).all() and (told[known != 0] == IGNORE).all() and (known == 1).any()
    assert np.array_equal(blind.raw_labels("train"), oracle.raw_labels("train"))
    with pytest.raises(ValueError, match="oracle.classes names c, but one has a, b"):
        WithoutClasses(oracle.store, ["c"])
