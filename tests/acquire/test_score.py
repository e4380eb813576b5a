"""Scores: closed forms, one sign, and no randomness but the key's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.acquire.score import Confidence, Entropy, Extra, Margin, Random, WeightedSum
from al3d.data.extras import SurfaceVariation

PROB = [[0.5, 0.25, 0.25], [1.0, 0.0, 0.0], [0.25, 0.25, 0.5]]
ALL = [Confidence(), Margin(), Entropy(), Entropy("mean_bits")]


@pytest.mark.parametrize(
    "score, wanted",
    [
        (Confidence(), [0.5, 0, 0.5]),
        (Margin(), [-0.25, -1, -0.25]),
        (Entropy(), [1.5 * np.log(2), 0, 1.5 * np.log(2)]),
        (Entropy("mean_bits"), [0.5, 0, 0.5]),
    ],
)
def test_closed_forms_are_copied_from_voxels_to_points(make_view, score, wanted):
    view = make_view([0] * 5, prob=PROB, inverse=[2, 0, 1, 1, 0])
    values = score(view)
    assert values.dtype == np.float32 and values.shape == (5,)
    np.testing.assert_allclose(values, np.array(wanted)[[2, 0, 1, 1, 0]], atol=1e-6)


@pytest.mark.parametrize("score", ALL)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(classes=st.integers(2, 20), peak=st.integers(0, 19), height=st.floats(0.05, 0.99))
def test_a_flat_distribution_scores_above_a_peaked_one(make_view, score, classes, peak, height):
    flat = np.full(classes, 1 / classes)
    peaked = (1 - height) * flat
    peaked[peak % classes] += height
    values = score(make_view([0, 0], prob=[flat, peaked]))
    assert values[0] > values[1]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(2, 19), st.integers(0, 1000))
def test_mean_bits_is_the_sum_over_classes_and_ln_2(make_view, classes, seed):
    prob = np.random.default_rng(seed).dirichlet(np.full(classes, 0.3), 50).astype(np.float32)
    view = make_view(np.zeros(50), prob=prob)
    np.testing.assert_allclose(Entropy("mean_bits")(view), Entropy()(view) / (classes * np.log(2)), rtol=1e-5)
    naive = [-sum(p * np.log2(p) for p in row.tolist() if p > 0) / classes for row in prob]
    np.testing.assert_allclose(Entropy("mean_bits")(view), naive, rtol=1e-4, atol=1e-6)


def test_uncertainty_is_never_negative_by_rounding(make_view):
    view = make_view([0, 0], prob=np.array([[1 + 1e-6, 0], [1, 1e-9]]))
    assert (Entropy()(view) >= 0).all() and (Confidence()(view) >= 0).all()


def test_margin_of_two_classes_and_of_one(make_view):
    np.testing.assert_allclose(Margin()(make_view([0, 0], prob=[[0.9, 0.1], [0.4, 0.6]])), [-0.8, -0.2], atol=1e-6)
    with pytest.raises(ValueError, match="two classes"):
        Margin()(make_view([0], prob=[[1.0]]))


@pytest.mark.parametrize("score", ALL)
def test_a_view_without_predictions_is_refused(make_view, score):
    with pytest.raises(ValueError, match="'room'.*predict"):
        score(make_view([0]))


def test_random_is_one_number_per_unit_keyed_by_scene_alone(make_view):
    unit = [0, 2, 1, -1, 2, 0]
    first = Random()(make_view(unit, key=(0, "acquire", 1, "a")))
    again = Random()(make_view(unit, key=(0, "acquire", 1, "a"), index=7, asked=[1, 0, 0, 0, 0, 0]))
    assert np.array_equal(first, again) and first.dtype == np.float32
    assert first[0] == first[5] and first[1] == first[4] and len({*first[:3].tolist()}) == 3
    for key in ((0, "acquire", 1, "b"), (0, "acquire", 2, "a"), (1, "acquire", 1, "a")):
        assert not np.array_equal(first, Random()(make_view(unit, key=key)))


def test_random_is_uniform(make_view):
    values = Random()(make_view(np.arange(20_000), key=(3,)))
    counts = np.histogram(values, 10, (0, 1))[0]
    assert counts.sum() == 20_000 and abs(counts - 2000).max() < 5 * np.sqrt(2000 * 0.9)


def test_extra_reads_the_prepared_array(make_view):
    values = np.array([0.1, 0.2, 0.3], np.float32)
    score = Extra(SurfaceVariation(20))
    assert score.extras == (SurfaceVariation(20),) and not score.needs
    assert np.array_equal(score(make_view([0] * 3, extra={"surface_variation": values})), values)


class Broken:
    needs = frozenset({"prob"})
    extras = ("never prepared",)

    def __call__(self, view):
        raise AssertionError("a term of weight 0 was computed")


def test_weighted_sum_adds_and_skips_weight_zero(make_view):
    view = make_view([0] * 3, prob=PROB, extra={"surface_variation": np.array([1, 2, 3], np.float32)})
    score = WeightedSum([2.0, 0, 0.5], [Extra(SurfaceVariation(20)), Broken(), Extra(SurfaceVariation(20))])
    np.testing.assert_allclose(score(view), [2.5, 5, 7.5])
    assert not score.needs and score.extras == (SurfaceVariation(20), SurfaceVariation(20))
    assert WeightedSum((1, 1), (Confidence(), Extra(SurfaceVariation()))).needs == {"prob"}


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="as many weights, got 1"):
        WeightedSum((1.0,), (Confidence(), Margin()))
    with pytest.raises(ValueError, match="every weight .* is 0"):
        WeightedSum((0.0,), (Confidence(),))
    with pytest.raises(ValueError, match="form='bits'"):
        Entropy("bits")
