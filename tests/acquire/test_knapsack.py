"""The quadratic knapsack: against brute force, its bounds against every feasible choice, and what it promises about order and ties."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from al3d.acquire import knapsack
from al3d.acquire.knapsack import Problem, choose, glover, greedy, improved, plane_bound, relax, search
from al3d.rng import generator


def instance(seed, count, kind="diverse", spread=4):
    """Pair scores of one of three kinds, costs, and a limit that some scenes fit."""
    random = generator("knapsack", seed, count)
    if kind == "diverse":  # as SeedAL's: products of diversities and 1 - cosines
        mean = random.normal(size=(count, 6)) + 1
        mean *= random.uniform(0.5, 0.9, (count, 1)) / np.linalg.norm(mean, axis=1, keepdims=True)
        own = 1 - (mean**2).sum(axis=1)
        score = own[:, None] * own * (1 - mean @ mean.T)
    elif kind == "noise":
        score = random.random((count, count))
    else:  # blocks that do not know each other, with many equal values
        score = (random.integers(0, 3, (count, count)) * (np.arange(count)[:, None] % 2 == np.arange(count) % 2)).astype(float)
    score = np.triu(score, 1)
    cost = random.integers(1, 1 + spread * 10, count)
    return (score + score.T).astype(np.float32), cost, int(random.integers(int(np.sort(cost)[:2].sum()), max(cost.sum() // 2, np.sort(cost)[:2].sum() + 1)))


def total(score, rows):
    return float(score[np.ix_(rows, rows)].sum(dtype=np.float64)) / 2


def subsets(count):
    return ((np.arange(2**count)[:, None] >> np.arange(count)) & 1).astype(np.float64)


def best_of_all(score, cost, limit):
    """The highest value of all subsets that fit, by trying every one."""
    every = subsets(len(cost))
    values = np.einsum("bi,ij,bj->b", every, score.astype(np.float64), every, optimize=True) / 2
    return float(values[every @ cost <= limit].max())


@pytest.mark.parametrize("kind", ["diverse", "noise", "blocks"])
@pytest.mark.parametrize("seed", range(12))
def test_equals_brute_force(kind, seed):
    score, cost, limit = instance(seed, 12 + seed % 4, kind)
    solution = choose(score, cost, limit)
    expected = best_of_all(score, cost, limit)
    assert cost[solution.rows].sum() <= limit
    assert total(score, solution.rows) == pytest.approx(expected, rel=1e-7)
    assert solution.optimal and solution.value == pytest.approx(expected, rel=1e-7) and solution.bound >= expected * (1 - 1e-7)


@pytest.mark.parametrize("kind", ["diverse", "noise", "blocks"])
@pytest.mark.parametrize("seed", range(6))
def test_branch_and_bound_alone_is_exact(kind, seed, monkeypatch):
    """From an empty choice, which decides nothing beforehand, it still ends at the optimum."""
    score, cost, limit = instance(seed, 13, kind)
    monkeypatch.setattr(knapsack, "search", lambda problem, kicks: np.zeros(len(problem.cost), bool))
    solution = choose(score, cost, limit)
    assert total(score, solution.rows) == pytest.approx(best_of_all(score, cost, limit), rel=1e-7)


@pytest.mark.parametrize("kind", ["diverse", "noise", "blocks"])
@pytest.mark.parametrize("seed", range(8))
def test_relaxation_holds_for_every_better_choice(kind, seed):
    score, cost, _ = instance(seed, 12, kind)
    limit = int(cost.sum() // 3)
    problem = Problem(knapsack._integers(score), cost, limit)
    known = improved(problem, greedy(problem, int(cost.argmin())))
    assert problem.value(known) > 0
    relaxed = relax(problem, known)
    every = subsets(12)
    values = np.einsum("bi,ij,bj->b", every, problem.score.astype(np.float64), every, optimize=True) / 2
    fits = every @ cost <= limit
    better = every[fits & (values >= problem.value(known))].astype(bool)
    assert values[fits].max() <= relaxed.bound * (1 + 1e-9) and values[fits].max() <= plane_bound(problem)
    assert better[:, relaxed.inside].all() and not better[:, relaxed.outside].any()
    linear = relaxed.constant + better @ relaxed.slope
    assert (values[fits & (values >= problem.value(known))] <= linear * knapsack.RESOLUTION * (1 + 1e-9)).all()


def test_relaxation_is_tight_and_decides_most_items():
    score, cost, _ = instance(3, 150)
    problem = Problem(knapsack._integers(score), cost, int(cost.sum() // 8))
    chosen = search(problem, 50)
    relaxed = relax(problem, chosen)
    assert problem.value(chosen) <= relaxed.bound <= 1.02 * problem.value(chosen)
    assert (relaxed.inside | relaxed.outside).mean() > 0.7
    assert plane_bound(problem) > relaxed.bound


def test_without_a_solution_of_the_program_the_bound_still_holds(monkeypatch):
    """The bound is made valid by linearising, whatever the solver says."""
    score, cost, limit = instance(1, 12)
    monkeypatch.setattr(knapsack, "_concave", lambda *arguments: (None, np.zeros(4)))
    solution = choose(score, cost, limit)
    assert total(score, solution.rows) == pytest.approx(best_of_all(score, cost, limit), rel=1e-7)
    assert solution.bound >= solution.value


@pytest.mark.parametrize("limit", ["MOST_RELAXED", "MOST_UNDECIDED"])
def test_large_pools_keep_an_honest_bound(monkeypatch, limit):
    score, cost, budget = instance(5, 13, "noise")
    monkeypatch.setattr(knapsack, limit, 0)
    solution = choose(score, cost, budget)
    assert solution.value <= best_of_all(score, cost, budget) * (1 + 1e-7) <= solution.bound * (1 + 2e-7)
    assert solution.nodes == 0 and solution.undecided > 0 and solution.gap > 0 and not solution.optimal


def test_the_compact_form_says_what_pairs_add():
    """At every 0/1 choice the largest z add up to the pairs' scores, so that the form and the problem agree."""
    score, _, _ = instance(2, 8, "noise")
    cost = np.arange(1, 9)
    later = np.triu(score.astype(float), 1)
    upper = later.sum(axis=1)
    matrix, most = glover(later, upper, cost, 36)
    for chosen in subsets(8):
        z = np.minimum(upper * chosen, later @ chosen)
        assert (matrix @ np.concatenate([chosen, z]) <= most + 1e-12).all()
        assert z.sum() == pytest.approx(chosen @ score.astype(float) @ chosen / 2)
        raised = np.concatenate([chosen, z + 1e-6])
        assert (matrix @ raised > most)[1:].any(), "no larger z may pass"


@given(st.integers(0, 10**6), st.integers(2, 14), st.sampled_from(["diverse", "noise", "blocks"]), st.integers(1, 60))
@settings(max_examples=60, deadline=None)
@example(34605, 12, "blocks", 44)  # a tie that went to an earlier and cheaper item left room for another
def test_never_above_the_limit_and_nothing_more_fits(seed, count, kind, limit):
    score, cost, _ = instance(seed, count, kind)
    solution = choose(score, cost, limit, nodes=20, kicks=5)
    assert cost[solution.rows].sum() <= limit
    assert len(np.unique(solution.rows)) == len(solution.rows) and np.array_equal(solution.rows, np.sort(solution.rows))
    left = np.setdiff1d(np.arange(count), solution.rows)
    assert (cost[left] > limit - cost[solution.rows].sum()).all(), "something that fits was left"
    assert solution.value <= solution.bound * (1 + 1e-12)
    assert solution.value == pytest.approx(total(score, solution.rows), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_the_order_of_rows_does_not_matter(seed):
    score, cost, _ = instance(seed, 40)
    limit = int(cost.sum() // 4)
    order = generator("knapsack", "order", seed).permutation(40)
    first = choose(score, cost, limit)
    second = choose(score[np.ix_(order, order)], cost[order], limit)
    assert np.array_equal(np.sort(order[second.rows]), first.rows) and second.value == first.value


def test_ties_go_to_the_earlier_row():
    ones = np.ones((6, 6), np.float32)
    assert choose(ones, np.full(6, 10), 35).rows.tolist() == [0, 1, 2]
    copies = np.tile(instance(4, 5, "noise")[0], (2, 2))  # rows 5..9 are copies of 0..4
    solution = choose(copies, np.full(10, 1), 3)
    twins = solution.rows[solution.rows >= 5] - 5
    assert np.isin(twins, solution.rows).all(), "a copy is taken only after its original"


def test_the_search_is_deterministic_and_better_than_greedy():
    gains = []
    for seed in range(6):
        score, cost, _ = instance(seed, 60, "noise")
        problem = Problem(knapsack._integers(score), cost, int(cost.sum() // 5))
        found = search(problem, 30)
        assert np.array_equal(found, search(problem, 30)) and problem.fits(found)
        plain = max(problem.value(greedy(problem, start)) for start in range(60))
        assert problem.value(improved(problem, greedy(problem, 0))) >= problem.value(greedy(problem, 0))
        gains.append(problem.value(found) / plain)
    assert min(gains) >= 1 and max(gains) > 1


def test_a_limit_of_nodes_is_kept_and_the_gap_stays_honest():
    score, cost, _ = instance(9, 40, "noise")
    limit = int(cost.sum() // 3)
    short, long = choose(score, cost, limit, nodes=1, kicks=0), choose(score, cost, limit, nodes=300, kicks=0)
    assert short.nodes <= 1 < long.nodes and short.undecided > 0
    assert short.gap >= long.gap and short.value <= long.value <= short.bound and not short.hurried


def test_a_hurried_search_says_so():
    score, cost, _ = instance(9, 120, "noise")
    solution = choose(score, cost, int(cost.sum() // 3), seconds=1e-3)
    assert solution.hurried and solution.gap > 0


def test_one_item_or_none():
    score, cost, _ = instance(1, 6, "noise")
    assert choose(score, np.full(6, 10), 9).rows.tolist() == []
    assert choose(score, np.full(6, 10), 20).rows.tolist() == sorted(np.unravel_index(score.argmax(), (6, 6)))
    alone = choose(score, np.full(6, 10), 15)
    assert alone.rows.tolist() == [int(score.sum(axis=1).argmax())] and alone.value == 0 == alone.gap
    assert choose(np.zeros((1, 1), np.float32), np.array([3]), 5).rows.tolist() == [0]
    assert choose(score, cost, int(cost.sum())).rows.tolist() == list(range(6))


def test_wrong_numbers_are_refused():
    score, cost, limit = instance(1, 5, "noise")
    with pytest.raises(ValueError, match="must not be negative"):
        choose(-score, cost, limit)
    with pytest.raises(ValueError, match="costs be at least 1"):
        choose(score, cost * 0, limit)
    with pytest.raises(ValueError, match="does not take the option nonsense"):
        knapsack._solver(nonsense=1)


def test_combinations_are_what_brute_force_tries():
    """The twin above, once more with plain loops."""
    score, cost, limit = instance(3, 9)
    plain = max(
        sum(float(score[i, j]) for i, j in combinations(rows, 2))
        for size in range(10)
        for rows in combinations(range(9), size)
        if sum(int(cost[i]) for i in rows) <= limit
    )
    assert best_of_all(score, cost, limit) == pytest.approx(plain)
