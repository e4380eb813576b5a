"""What the test finds and what it does not call; Holm; intervals; rankings."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from al3d.report.compare.statistics import (
    DRAWS,
    Bound,
    SignFlip,
    blocks_needed,
    bootstrap,
    degrees_of_freedom,
    firsts,
    holm,
    kendall,
    lower_bound,
    resamples,
    sign_flip,
    smallest_p,
    stratified_mean,
    weights,
    win_shares,
    within_reach,
)
from al3d.rng import generator

SEEDS = [seed for seed in ("random", "kcenter", "seedal") for _ in range(6)]
#: The spread of a block's difference of area, in fractions of mIoU: two networks, trained from the same seed, differ by so much.
SPREAD = 0.025
LEVEL = 0.05


def studies(count, methods, effect, name, blocks=18):
    """Differences [studies, methods, blocks] to one shared random run a block: the spread is the difference's, half of its variance random's own."""
    rng = generator("simulated studies", name)
    own, shared = rng.normal(0, SPREAD / np.sqrt(2), (count, methods, blocks)), rng.normal(0, SPREAD / np.sqrt(2), (count, 1, blocks))
    return own - shared + effect


def slack(share, count):
    """Three standard errors of a share that was counted in so many studies."""
    return 3 * np.sqrt(share * (1 - share) / count)


def test_a_true_effect_of_two_points_is_found():
    found = [sign_flip(one, SEEDS, ("power", place)).p < LEVEL for place, one in enumerate(studies(200, 1, 0.02, "power")[:, 0])]
    assert np.mean(found) >= 0.80


@pytest.mark.slow
def test_a_true_effect_of_two_points_is_found_after_holm_among_four_methods():
    effects = np.array([0.02, 0, 0, 0])[:, None]
    found = [
        holm([sign_flip(one, SEEDS, ("power", place, m)).p for m, one in enumerate(study)])[0] < LEVEL
        for place, study in enumerate(studies(400, 4, effects, "family"))
    ]
    assert np.mean(found) >= 0.70


@pytest.mark.parametrize("count", [300, pytest.param(5000, marks=pytest.mark.slow)])
def test_under_the_null_at_most_one_in_twenty_is_called(count):
    p = np.array([sign_flip(one, SEEDS, ("null", place)).p for place, one in enumerate(studies(count, 1, 0, "null")[:, 0])])
    assert np.mean(p < LEVEL) <= LEVEL + slack(LEVEL, len(p))
    assert np.mean(p < 0.5) == pytest.approx(0.5, abs=slack(0.5, len(p)) + 0.01), "a test that never calls would pass the line above"


@pytest.mark.parametrize("blocks", [6, 9])
def test_the_exact_test_keeps_its_level_too(blocks):
    strata = ["a", "b", "c"] * (blocks // 3)
    p = np.array([sign_flip(one, strata, ("null",)).p for one in studies(1000, 1, 0, f"exact {blocks}", blocks)[:, 0]])
    assert np.mean(p < LEVEL) <= LEVEL + slack(LEVEL, len(p))
    assert np.mean(p < 0.25) == pytest.approx(0.25, abs=slack(0.25, len(p)) + 2 / 2**blocks)


@pytest.mark.parametrize("count", [150, pytest.param(2000, marks=pytest.mark.slow)])
def test_holm_keeps_a_family_of_methods_that_share_random_at_one_in_twenty(count):
    calls = [min(holm([sign_flip(one, SEEDS, ("family", m), 2000).p for m, one in enumerate(study)])) < LEVEL for study in studies(count, 4, 0, "null family")]
    assert np.mean(calls) <= LEVEL + slack(LEVEL, len(calls))
    assert np.mean(calls) > 0.005


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=6), st.data())
def test_exact_p_counts_every_pattern(values, data):
    strata = data.draw(st.lists(st.sampled_from("ab"), min_size=len(values), max_size=len(values)))
    differences = np.array(values, float)
    statistic = abs(stratified_mean(differences, strata))
    patterns = [np.array(signs) for signs in itertools.product((-1, 1), repeat=len(values))]
    naive = np.mean([abs(stratified_mean(signs * differences, strata)) >= statistic - 1e-12 for signs in patterns])
    result = sign_flip(differences, strata, ("k",))
    assert result.exact and result.p == pytest.approx(naive)
    assert sign_flip(-differences, strata, ("k",)).p == pytest.approx(result.p)


def test_the_smallest_p_of_blocks_and_the_draws():
    assert sign_flip(np.full(5, 1.0), ["a"] * 5, ("k",)).p == pytest.approx(2 / 32)
    six = sign_flip(np.full(6, 1.0), ["a"] * 6, ("k",))
    assert six.p == six.smallest == pytest.approx(2 / 64)
    assert sign_flip(np.zeros(6), ["a"] * 6, ("k",)).p == 1.0
    many = sign_flip(np.full(40, 1.0), ["a"] * 40, ("k",))
    assert not many.exact and many.p == many.smallest == pytest.approx(1 / (DRAWS + 1))
    noisy = generator("d").normal(0.3, 1, 20)
    assert sign_flip(noisy, ["a"] * 20, ("k",)) == sign_flip(noisy, ["a"] * 20, ("k",))
    assert sign_flip(noisy, ["a"] * 20, ("k",)).p != sign_flip(noisy, ["a"] * 20, ("other",)).p
    with pytest.raises(ValueError, match="finite differences"):
        sign_flip(np.array([np.nan]), ["a"], ("k",))


def test_drawn_and_exact_p_agree():
    values = generator("agree").normal(0.4, 1, 13)
    exact, drawn = sign_flip(values, ["a"] * 13, ("k",)), sign_flip(values, ["a"] * 13, ("k",), draws=8000)
    assert exact.exact and not drawn.exact
    assert drawn.p == pytest.approx(exact.p, abs=slack(exact.p, 8000) + 2e-4)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_its_steps_reject(p):
    adjusted = holm(p)
    assert all(raw <= high <= 1 for raw, high in zip(p, adjusted, strict=True))
    for level in (0.01, 0.05, 0.3):
        order = sorted(range(len(p)), key=lambda place: p[place])
        rejected = set()
        for step, place in enumerate(order):
            if p[place] * (len(p) - step) > level:
                break
            rejected.add(place)
        assert {place for place, value in enumerate(adjusted) if value <= level} == rejected


def test_holm_of_a_known_family():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_strata_weigh_the_same():
    assert weights(["a", "a", "a", "b"]) == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])
    assert stratified_mean(np.array([1.0, 2, 3, 10]), ["a", "a", "a", "b"]) == pytest.approx(6)


def test_resamples_stay_in_their_stratum_and_single_blocks_are_drawn_together():
    strata = ["a", "b", "a", "b", "b"]
    drawn = resamples(strata, ("k",), 500)
    assert all(strata[block] == strata[place] for row in drawn[:50] for place, block in enumerate(row))
    assert {int(block) for block in np.unique(drawn)} == set(range(5))
    alone = resamples(["a", "b", "c"], ("k",), 500)
    assert all(set(np.unique(column)) == {0, 1, 2} for column in alone.T)
    one = resamples(["a", "b", "b", "b"], ("k",), 500)
    assert set(np.unique(one[:, 0])) == {0, 1, 2, 3}


@pytest.mark.parametrize("blocks", range(1, 17))
def test_the_smallest_p_is_what_the_largest_difference_gives(blocks):
    huge = sign_flip(np.full(blocks, 100.0), ["a"] * blocks, ("k",))
    assert huge.smallest == smallest_p(blocks)
    assert huge.p == pytest.approx(huge.smallest, rel=1e-12 if huge.exact else 4), "drawn: one or a few of the draws are as far out by luck"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(6, 9), st.floats(0, 1)), min_size=1, max_size=6))
def test_what_is_within_reach_is_what_a_huge_difference_of_that_method_alone_would_give(methods):
    tests = [SignFlip(max(p, smallest_p(blocks)), exact=True, smallest=smallest_p(blocks)) for blocks, p in methods]
    for place, reach in enumerate(within_reach(tests)):
        p = [test.p for test in tests]
        p[place] = tests[place].smallest
        assert reach == holm(p)[place] <= holm([test.p for test in tests])[place] + 1e-12


def test_six_blocks_cannot_tell_among_four_methods_and_eight_can():
    six, eight = SignFlip(2 / 64, exact=True, smallest=2 / 64), SignFlip(2 / 256, exact=True, smallest=2 / 256)
    assert within_reach([six] * 4) == pytest.approx([4 * 2 / 64] * 4)
    assert within_reach([eight] * 4) == pytest.approx([4 * 2 / 256] * 4)
    lost = SignFlip(0.9, exact=False, smallest=1 / 10_001)
    assert within_reach([six, lost])[0] == pytest.approx(2 * 2 / 64), "a second method costs six blocks their chance"
    called = SignFlip(1 / 10_001, exact=False, smallest=1 / 10_001)
    assert within_reach([six, called])[0] == pytest.approx(2 / 64), "unless it is called first"
    needed = [blocks_needed(methods, 0.05) for methods in (1, 2, 3, 4, 6, 7, 12, 13)]
    assert needed == [6, 7, 7, 8, 8, 9, 9, 10]
    assert all(methods * smallest_p(blocks) < 0.05 <= methods * smallest_p(blocks - 1) for methods, blocks in zip((2, 4, 13), (7, 8, 10), strict=True))
    assert blocks_needed(6, 0.05, draws=100) is None and blocks_needed(4, 0.05, draws=100) == 8


def test_degrees_of_freedom_are_those_of_student_where_all_strata_are_alike():
    assert degrees_of_freedom(["a"] * 7) == pytest.approx(6)
    assert degrees_of_freedom(["a", "a", "b", "b", "c", "c"]) == pytest.approx(3)
    assert degrees_of_freedom(["a", "b", "c"]) == pytest.approx(2), "single blocks are one stratum"
    assert 2 < degrees_of_freedom(["a"] * 3 + ["b"] * 30) < 31


def test_the_spread_of_the_bootstrap_is_that_of_the_stratified_mean():
    values, strata = generator("spread").normal(0, 1, 27), ["a"] * 9 + ["b"] * 18
    a, b = values[:9], values[9:]
    expected = np.sqrt((a.var(ddof=1) / 9 + b.var(ddof=1) / 18) / 4) * stats.t.ppf(0.975, degrees_of_freedom(strata))
    interval = bootstrap(values, strata, ("k",))
    assert interval.mean == pytest.approx((a.mean() + b.mean()) / 2)
    assert (interval.high - interval.low) / 2 == pytest.approx(expected, rel=0.06)


def test_a_bootstrap_of_many_blocks_is_students_interval():
    values = generator("student").normal(0.3, 1, 60)
    interval = bootstrap(values, ["a"] * 60, ("k",), 0.9)
    expected = stats.t.interval(0.9, 59, values.mean(), stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("strata", ["aa", "abc", "aabbcc", *(pytest.param(one, marks=pytest.mark.slow) for one in ("aaa", "aaaaaa", "aaaaab"))])
def test_intervals_of_few_blocks_cover_the_truth_as_often_as_they_say(strata):
    samples = studies(300, 1, 0.02, f"coverage {strata}", len(strata))[:, 0]
    intervals = [bootstrap(one, list(strata), ("cover", place), draws=600) for place, one in enumerate(samples)]
    assert np.mean([one.low <= 0.02 <= one.high for one in intervals]) == pytest.approx(0.95, abs=slack(0.95, 300) + 0.02)


def test_intervals_cover_the_truth_as_often_as_they_say():
    samples = studies(200, 1, 0.02, "coverage")[:, 0]
    intervals = [bootstrap(one, SEEDS, ("cover", place), draws=1000) for place, one in enumerate(samples)]
    assert np.mean([one.low <= 0.02 <= one.high for one in intervals]) == pytest.approx(0.945, abs=slack(0.945, 200))


def test_one_block_has_no_interval():
    interval = bootstrap(np.array([0.3]), ["a"], ("k",))
    assert (interval.mean, interval.low, interval.high) == (0.3, None, None)


def test_kendall_is_scipys():
    scores = generator("tau").integers(0, 5, (6, 7)).astype(float)
    ours = kendall(scores)
    for one, other in itertools.combinations(range(6), 2):
        assert ours[one, other] == pytest.approx(stats.kendalltau(scores[one], scores[other]).statistic)
    assert np.isnan(kendall(np.array([[1.0, 1.0], [1.0, 2.0]]))[0, 1])


def test_who_is_first_and_who_wins():
    scores = np.array([[1.0, 2.0, 0.0]] * 4)
    assert firsts(scores, ["a"] * 4, ("k",), 200).tolist() == [0, 1, 0]
    assert firsts(np.ones((4, 2)), ["a"] * 4, ("k",), 200) == pytest.approx([0.5, 0.5])
    close = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    assert firsts(close, ["a"] * 4, ("k",), 4000) == pytest.approx([0.5, 0.5], abs=0.03)
    wins = win_shares({"x": {("a", "1"): 0.5, ("a", "2"): 0.5}, "y": {("a", "1"): 0.4, ("a", "2"): 0.5, ("a", "3"): 9.0}})
    assert wins == {("x", "y"): (1.5, 2), ("y", "x"): (0.5, 2)}


def test_the_lower_bound_is_that_of_student():
    values = generator("lower bound").normal(0.01, 0.02, 7)
    found = lower_bound(values)
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(stats.t.interval(0.90, 6, values.mean(), stats.sem(values))[0])
    assert lower_bound(values, level=0.99).low < found.low
    p = stats.ttest_1samp(values, 0, alternative="greater").pvalue
    assert lower_bound(values, level=1 - p).low == pytest.approx(0, abs=1e-12), "where p is 0.05, the bound of 95 % is 0"


def test_the_lower_bound_goes_by_the_spread_within_strata():
    strata = ["a"] * 3 + ["b"] * 3
    apart = np.array([0.01, 0.012, 0.011, 0.1, 0.102, 0.101])
    found, alone = lower_bound(apart, strata), lower_bound(apart)
    assert found.mean == pytest.approx(alone.mean) and alone.low < 0.02 < 0.05 < found.low
    error = np.sqrt(2 * 0.001**2 / 3) / 2
    assert found.low == pytest.approx(found.mean - stats.t.ppf(0.95, 4) * error)
    uneven = lower_bound(np.array([0.0, 0.2, 0.2, 0.2]), ["a", "b", "b", "b"])
    assert uneven.mean == pytest.approx(0.1) and uneven.low < 0, "a stratum of a single block has no spread of its own: it counts with the others"


def test_a_bound_above_zero():
    assert lower_bound(np.array([0.02])) == Bound(0.02, None) and not Bound(0.02, None).above_zero
    assert not Bound(0.02, 0.0).above_zero and Bound(0.02, 1e-6).above_zero
    assert lower_bound(np.array([0.02, 0.02])).above_zero and not lower_bound(np.zeros(3)).above_zero
    for wrong in (np.zeros(0), np.array([0.1, np.nan])):
        with pytest.raises(ValueError, match="a bound needs finite differences"):
            lower_bound(wrong)


@pytest.mark.parametrize("blocks", [2, 3, 6, 18])
def test_the_bound_is_exceeded_by_the_truth_in_one_study_of_twenty(blocks):
    drawn = generator("bounds", blocks).normal(0.0, SPREAD, (2000, blocks))
    strata = (SEEDS * 2)[:blocks] if blocks > 6 else None
    above = np.mean([lower_bound(one, strata).above_zero for one in drawn])
    assert abs(above - 0.05) < slack(0.05, 2000)
