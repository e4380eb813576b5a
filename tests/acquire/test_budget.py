"""The ledger never overspends, and rounds meet their cumulative limits."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.acquire.acquirer import Acquirer
from al3d.acquire.budget import Budget, Ledger, Spent
from al3d.acquire.pick import Top
from al3d.units.point import PointUnit
from al3d.units.scene import SceneUnit

PROPERTY = settings(max_examples=25, deadline=None, derandomize=True)
POOLS = st.lists(st.integers(0, 40), min_size=1, max_size=30)


def propose(ledger, units, order):
    """Offer every purchasable row in `order`, as a picker does; returns the rows that were admitted."""
    return [row for row in order if units.size[row] > 0 and not ledger.full and ledger.admit(row)]


@PROPERTY
@given(POOLS, st.integers(0, 300), st.sampled_from(["include", "exclude", "skip_to_fit"]), st.randoms(use_true_random=False))
def test_ledger_against_the_rule_in_words(make_units, sizes, limit, overshoot, random):
    units = make_units(sizes)
    order = list(range(len(sizes)))
    random.shuffle(order)
    ledger = Ledger(units, limit, overshoot)
    bought = propose(ledger, units, order)
    wanted, spent = [], 0
    for row in (row for row in order if sizes[row] > 0):
        if spent >= limit:
            break
        fits = spent + sizes[row] <= limit
        if fits or overshoot == "include":
            wanted.append(row)
            spent += sizes[row]
        elif overshoot == "exclude":
            break
    assert bought == wanted == list(ledger.rows)
    assert ledger.spent == spent == sum(sizes[row] for row in bought)
    if overshoot == "include":
        assert not bought or spent - sizes[bought[-1]] < limit
    else:
        assert spent <= max(limit, 0)
    if overshoot == "skip_to_fit" and limit > 0:
        left = [sizes[row] for row in order if sizes[row] > 0 and row not in bought]
        assert all(size > limit - spent for size in left)


@PROPERTY
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9)), min_size=1, max_size=30), st.integers(1, 4), st.sampled_from(["points", "units"]))
def test_per_scene_caps_the_units_of_a_scene(make_units, pairs, cap, measure):
    scenes = sorted(scene for scene, _ in pairs)
    units = make_units([size for _, size in pairs], scenes)
    ledger = Ledger(units, 10**6, "skip_to_fit", measure, cap)
    bought = propose(ledger, units, range(len(pairs)))
    counts = np.bincount(units.scene[bought], minlength=4)
    assert counts.tolist() == np.minimum(np.bincount(units.scene, minlength=4), cap).tolist()


def test_units_are_counted_one_by_one_whatever_their_size(make_units):
    units = make_units([50, 1, 0, 7])
    ledger = Ledger(units, 2, "exclude", "units")
    assert propose(ledger, units, [3, 0, 1]) == [3, 0] and ledger.spent == 2 and ledger.full


def test_exclude_stays_closed_although_smaller_rows_would_fit(make_units):
    units = make_units([5, 9, 1])
    ledger = Ledger(units, 10, "exclude")
    assert [ledger.admit(row) for row in (0, 1, 2)] == [True, False, False] and ledger.full


def test_drop_gives_a_row_back_in_exchange(make_units):
    units = make_units([5, 6, 4, 3], [0, 0, 0, 1])
    ledger = Ledger(units, 10, "exclude")
    assert ledger.admit(0) and ledger.admit(2)
    assert ledger.admit(1, drop=0) and ledger.rows == (2, 1) and ledger.spent == 10
    assert ledger.admit(0, drop=1) and ledger.rows == (2, 0) and ledger.spent == 9
    assert not ledger.admit(1, drop=2), "5 + 6 would exceed 10"
    assert ledger.rows == (2, 0) and ledger.spent == 9 and not ledger.closed


def test_drop_frees_the_place_of_its_own_scene_only(make_units):
    units = make_units([1, 1, 1, 1], [0, 0, 1, 1])
    ledger = Ledger(units, 10, per_scene=1)
    assert ledger.admit(0) and ledger.admit(2)
    assert not ledger.admit(3, drop=0) and ledger.rows == (0, 2)
    assert ledger.admit(1, drop=0) and ledger.rows == (2, 1)
    assert ledger.admit(3, drop=2) and ledger.rows == (1, 3)


def test_a_swap_never_crosses_the_limit_even_under_include(make_units):
    units = make_units([5, 6, 20])
    ledger = Ledger(units, 10, "include")
    assert ledger.admit(0) and not ledger.admit(2, drop=0) and ledger.rows == (0,)


@pytest.mark.parametrize(
    "row, drop, words", [(0, None, "already"), (2, None, "no unasked"), (9, None, "no unasked"), (-1, None, "no unasked"), (1, 1, "given"), (1, 7, "given")]
)
def test_rows_that_cannot_be_bought_raise(make_units, row, drop, words):
    ledger = Ledger(make_units([3, 3, 0]), 10)
    ledger.admit(0)
    with pytest.raises(ValueError, match=words):
        ledger.admit(row, drop)
    assert ledger.rows == (0,) and ledger.spent == 3


def test_wrong_words_are_named():
    with pytest.raises(ValueError, match="overshoot='round'"):
        Budget(1, overshoot="round")
    with pytest.raises(ValueError, match="per='share'"):
        Budget(1, "share")
    for amount in (None, 0, -1):
        with pytest.raises(ValueError, match="positive number of points"):
            Budget(amount, "points")
    with pytest.raises(ValueError, match="at most 100"):
        Budget(101)


def simulate(budget, sizes, base, rounds, overshoot, make_units):
    """Buy over several rounds from one pool; returns what each round's ledger said and the sizes that are left."""
    left, history, limits = np.array(sizes), [], []
    for round_index in range(rounds):
        units = make_units(left)
        ledger = budget.open(units, round_index, history, base, overshoot)
        bought = propose(ledger, units, range(len(left)))
        limits.append((ledger.limit, ledger.spent))
        history.append(Spent(int(left[bought].sum()), len(bought)))
        left[bought] = 0
    return history, limits, left


@PROPERTY
@given(st.lists(st.integers(1, 30), min_size=60, max_size=120), st.floats(1, 15), st.sampled_from(["include", "exclude", "skip_to_fit"]))
def test_cumulative_limits_carry_overshoot_and_remainder(make_units, sizes, percent, overshoot):
    base, rounds = sum(sizes), 5
    budget = Budget(percent, initial=percent)
    history, limits, left = simulate(budget, sizes, base, rounds, overshoot, make_units)
    spent = 0
    for round_index, (bought, (limit, in_ledger)) in enumerate(zip(history, limits, strict=True)):
        meeting_point = percent * base / 100 * (round_index + 1)
        assert abs(limit + spent - meeting_point) <= 0.5 + 1e-6
        spent += bought.points
        assert bought.points == in_ledger
        if overshoot == "include":
            assert meeting_point - 0.51 <= spent < meeting_point + max(sizes) or limit <= 0
        else:
            assert meeting_point - max(sizes) < spent <= meeting_point + 0.51
    assert spent == base - left.sum(), "the history equals what is gone from the pool"


def test_limits_start_from_what_the_seed_spent_unless_told(make_units):
    history = [Spent(130, 2)]
    assert Budget(10).limit(1, history, 1000) == 100
    assert Budget(10, initial=10).limit(1, history, 1000) == 70
    assert Budget(10).limit(2, [*history, Spent(105, 4)], 1000) == 95
    assert Budget(50, "points").limit(2, [*history, Spent(40, 4)], 1000) == 60
    assert Budget(7, "units").limit(2, [*history, Spent(40, 5)], 1000) == 9
    assert Budget(3, "units").limit(0, [], 1000) == 3
    assert Budget(10).limit(0, [], 999) == round(99.9)


def test_a_pool_that_is_too_small_is_said_with_both_numbers(make_units):
    with pytest.raises(ValueError, match=r"round 1 should buy 1,500 points but the pool holds 1,040"):
        Budget(1500, "points").open(make_units([1000, 40, 0]), 1, [Spent(10, 1)], 5000)
    with pytest.raises(ValueError, match=r"should buy 3 units but the pool holds 2"):
        Budget(3, "units").open(make_units([1000, 40, 0]), 0, [], 5000)


def test_everything_buys_everything(make_units):
    units = make_units([4, 0, 9, 1])
    ledger = Budget(per="everything").open(units, 0, [], 100)
    assert propose(ledger, units, range(4)) == [0, 2, 3] and ledger.full


def test_overshoot_defaults_by_unit_and_can_be_set(make_units):
    units = make_units([6, 6, 6], score=[3, 2, 1])
    for unit, budget, wanted in (
        (SceneUnit(), Budget(7, "points"), [0, 1]),
        (PointUnit(), Budget(7, "points"), [0]),
        (PointUnit(), Budget(7, "points", overshoot="include"), [0, 1]),
        (SceneUnit(), Budget(7, "points", overshoot="exclude"), [0]),
    ):
        rows, ledger = Acquirer("x", unit, Top(), budget).select(units, 0, [], 100, ())
        assert rows.tolist() == wanted and ledger.spent == 6 * len(wanted)


def test_a_round_that_buys_nothing_says_what_did_not_fit(make_units):
    method = Acquirer("entropy", PointUnit(), Top(), Budget(7, "points"))
    with pytest.raises(ValueError, match=r"round 2 of entropy bought nothing: .*first unit \(1 of scene 0\) has 800 points and 7 points are left") as caught:
        method.select(make_units([0, 800, 900]), 2, [Spent(7, 1), Spent(7, 1)], 10_000, ())
    assert "raise the budget" in str(caught.value)


def test_a_round_whose_budget_was_overspent_buys_nothing_and_later_ones_go_on(make_units):
    method = Acquirer("entropy", PointUnit(), Top(), Budget(10, "points"))
    units = make_units([5, 5, 5, 5, 5, 5, 5, 5])
    rows, ledger = method.select(units, 2, [Spent(10, 1), Spent(25, 1)], 10_000, ())
    assert len(rows) == 0 and ledger.limit == -5
    rows, _ = method.select(units, 3, [Spent(10, 1), Spent(25, 1), Spent(0, 0)], 10_000, ())
    assert len(rows) == 1  # 10 + 3 * 10 planned, 35 spent


def test_an_empty_pool_says_so(make_units):
    method = Acquirer("entropy", PointUnit(), Top(), Budget(per="everything"))
    with pytest.raises(ValueError, match=r"round 3 of entropy .* run fewer rounds"):
        method.select(make_units([0, 0]), 3, [], 10_000, ())


def test_clicks_are_estimated_when_buying_and_counted_afterwards(make_units):
    units = replace(make_units([10, 10, 10, 10]), clicks=np.array([1, 3, 2, 1]))
    budget = Budget(4, "clicks")
    ledger = budget.open(units, 1, [Spent(100, 1, 9)], 1000)
    assert (ledger.limit, ledger.measure) == (4, "clicks")
    assert [ledger.admit(row) for row in range(4)] == [True, True, False, False]
    assert ledger.spent == 4 and ledger.full
    assert budget.limit(2, [Spent(100, 1, 9), Spent(20, 2, 6)], 1000) == 2, "it took 6 clicks instead of 4"
    with pytest.raises(ValueError, match="should buy 8 clicks but the pool holds 7"):
        Budget(8, "clicks").open(units, 1, [Spent(100, 1, 9)], 1000)


@PROPERTY
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), min_size=1, max_size=40), st.integers(1, 6), st.integers(1, 3))
def test_so_many_units_of_every_scene(make_units, pairs, amount, round_index):
    """Of every scene `amount` units, or all that it has; what other rounds spent does not matter."""
    scenes = sorted(scene for scene, _ in pairs)
    units = make_units([size for _, size in pairs], scenes)
    ledger = Budget(amount, "units_per_scene").open(units, round_index, [Spent(10**9, 10**6)] * round_index, base=1)
    bought = propose(ledger, units, reversed(range(len(pairs))))
    for scene in set(scenes):
        there = int(((units.scene == scene) & (units.size > 0)).sum())
        assert int((units.scene[bought] == scene).sum()) == min(there, amount)
    assert ledger.full and ledger.spent == len(bought) == ledger.limit


def test_units_per_scene_are_whole_and_the_cap_still_holds(make_units):
    with pytest.raises(ValueError, match=r"budget\.amount=2\.5 units_per_scene: give a whole number"):
        Budget(2.5, "units_per_scene")
    units = make_units([5] * 6, [0, 0, 0, 1, 1, 1])
    ledger = Budget(3, "units_per_scene", per_scene=2).open(units, 0, [], base=30)
    assert len(propose(ledger, units, range(6))) == 4 and ledger.full
