"""Choosing what is best in pairs within a budget: the quadratic knapsack problem, solved with a bound that says how good the choice is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from al3d.rng import generator
from al3d.types import F32, F64, I64, Array, Bool

#: Scores become integers of the largest one's 2^32th, so that sums are exact: no result depends on the order of adding.
RESOLUTION = 2.0**32
#: More undecided items than this are left to the search: the compact form's relaxation is too weak for them.
MOST_UNDECIDED = 300
#: More items than this are left to the search, with the upper planes as the only bound: the relaxation's time grows with their cube.
MOST_RELAXED = 1500
#: Steps of the quadratic program: a limit that every machine reaches alike.
MOST_STEPS = 20_000
#: The search starts from so many items, spread over all of them.
STARTS = 40
#: Kicks times the square of the number of items: what the search may take.
MOST_TRIED = 20_000_000
#: Relative slack of every comparison with a bound, for rounding errors.
SLACK = 1e-9


@dataclass(frozen=True)
class Solution:
    """A choice: `rows` i64, sorted; the sum of its pair scores; a proven upper `bound` of that sum for any choice.

    `undecided` is how many items the relaxation left to branch and bound, `nodes` how many of its nodes were looked at. `hurried`: the time
    limit stopped it, so that another machine may choose otherwise.
    """

    rows: I64
    value: float
    bound: float
    undecided: int = 0
    nodes: int = 0
    hurried: bool = False

    @property
    def gap(self) -> float:
        """By what part of the bound the best choice may be better."""
        return max(0.0, (self.bound - self.value) / self.bound) if self.bound > 0 else 0.0

    @property
    def optimal(self) -> bool:
        """Whether no choice is better, but for rounding."""
        return self.gap <= 1e-6


@dataclass(frozen=True, eq=False)
class Problem:
    """Maximise the sum of `score` i64[U,U] (symmetric, not negative, zero diagonal) over chosen pairs, with `cost` i64[U] up to `limit`."""

    score: I64
    cost: I64
    limit: int

    def value(self, chosen: Bool) -> int:
        """The sum over the chosen pairs, exactly."""
        return int(self.score[np.ix_(chosen, chosen)].sum()) // 2

    def fits(self, chosen: Bool) -> bool:
        """Whether the choice is within the limit."""
        return int(self.cost[chosen].sum()) <= self.limit


@dataclass(frozen=True, eq=False)
class Relaxation:
    """An upper bound, and what it decides: items that every better choice has (`inside`) or lacks (`outside`), bool[U].

    `slope` f64[U] and `constant` bound the value of every choice that is better than the one known: value <= constant + slope . x.
    """

    bound: float
    inside: Bool
    outside: Bool
    slope: F64
    constant: float


def choose(score: F32, cost: I64, limit: int, nodes: int = 2000, seconds: float = 600.0, kicks: int = 200) -> Solution:
    """The rows whose pairs score highest in sum, with costs within `limit`.

    `score` f32[U,U] symmetric, not negative (the diagonal is not looked at); `cost` i64[U] positive. A search gives a good choice; a convex
    relaxation bounds the best one and decides most items; branch and bound (HiGHS) decides the rest, up to `nodes` nodes. `seconds` is
    only a safety net. Items are sorted by what they are worth first, so that the order of the rows matters in exact ties alone; those go
    to the earlier row. What costs nothing of the value still fills the limit.
    Raises: ValueError for a negative score or a cost below 1.
    """
    if len(score) and (score.min() < 0 or cost.min() < 1):
        raise ValueError(f"pair scores must not be negative and costs be at least 1, got {score.min()} and {cost.min()}")
    whole = _integers(score)
    affordable = np.flatnonzero(cost <= limit)
    strength = whole[:, affordable].sum(axis=1)
    order = affordable[np.lexsort((affordable, cost[affordable], -strength[affordable]))]
    problem = Problem(whole[np.ix_(order, order)], cost[order], limit)
    unit = float(score.max(initial=0)) / RESOLUTION
    if not len(order):
        return Solution(order, 0.0, 0.0)
    if best_pair(problem) is None:
        return Solution(np.sort(order[greedy(problem, 0)]), 0.0, 0.0)
    chosen = search(problem, kicks)
    chosen, bound, undecided, seen, hurried = _proven(problem, chosen, nodes, seconds)
    known = np.zeros(len(cost), bool)
    known[order[chosen]] = True
    everything = Problem(whole, cost, limit)
    known = settled(everything, known)
    value = everything.value(known)
    return Solution(np.flatnonzero(known), value * unit, max(bound, float(value)) * unit, undecided, seen, hurried)


def _integers(score: F32) -> I64:
    largest = float(score.max(initial=0)) or 1.0
    whole = np.rint(score.astype(np.float64) * (RESOLUTION / largest)).astype(np.int64)
    np.fill_diagonal(whole, 0)
    return whole


def _proven(problem: Problem, chosen: Bool, nodes: int, seconds: float) -> tuple[Bool, float, int, int, bool]:
    """A choice at least as good, the bound, and how branch and bound went: undecided items, nodes, whether time ended it."""
    if len(chosen) > MOST_RELAXED:
        return chosen, plane_bound(problem), len(chosen), 0, False
    relaxed = relax(problem, chosen)
    undecided = int((~relaxed.inside & ~relaxed.outside).sum())
    if undecided == 0:
        return chosen, float(problem.value(chosen)), 0, 0, False
    plane = plane_bound(problem)
    if undecided > MOST_UNDECIDED:
        return chosen, min(relaxed.bound, plane), undecided, 0, False
    other, bound, seen, hurried = branch(problem, relaxed, chosen, nodes, seconds)
    better = other if problem.fits(other) and problem.value(other) > problem.value(chosen) else chosen
    return better, min(relaxed.bound, plane, bound), undecided, seen, hurried


# ---- Search -------------------------------------------------------------------------------------------------------------------------


def search(problem: Problem, kicks: int) -> Bool:
    """A good choice: greedy from many items and from the best pair, exchanges of one for one, then kicks that drop a tenth and fill up with others.

    Source: the greedy and exchange heuristics of the quadratic knapsack problem (Gallo, Hammer and Simeone, 1980), iterated.
    """
    count = len(problem.cost)
    starts = np.unique(np.linspace(0, count - 1, min(STARTS, count)).astype(int)).tolist()
    pair = best_pair(problem)
    best = max((improved(problem, greedy(problem, *start)) for start in [pair or (0,), *((start,) for start in starts)]), key=problem.value)
    value, random = problem.value(best), generator("pairs in a knapsack", count)
    for _ in range(min(kicks, max(1, MOST_TRIED // count**2))):
        inside = np.flatnonzero(best)
        dropped = random.choice(inside, max(1, len(inside) // 10), replace=False)
        other = best.copy()
        other[dropped] = False
        fill(problem, other, banned=dropped)
        other = improved(problem, other)
        if problem.value(other) > value:
            best, value = other, problem.value(other)
    return best


def best_pair(problem: Problem) -> tuple[int, int] | None:
    """The pair of the highest score of those that fit, the earlier of equal ones; None when no pair of a positive score fits."""
    fits = problem.cost[:, None] + problem.cost[None, :] <= problem.limit
    first, second = np.unravel_index(int(np.where(fits, problem.score, 0).argmax()), fits.shape)
    return (int(first), int(second)) if fits[first, second] and problem.score[first, second] > 0 else None


def greedy(problem: Problem, *start: int) -> Bool:
    """Beginning with some items, always the item that adds most per cost of those that fit."""
    chosen = np.zeros(len(problem.cost), bool)
    chosen[list(start)] = True
    fill(problem, chosen)
    return chosen


def fill(problem: Problem, chosen: Bool, banned: Sequence[int] | I64 = ()) -> None:
    """Add to `chosen`, in place, what adds most per cost until nothing fits; ties go to the earlier item."""
    gain = problem.score[chosen].sum(axis=0)
    left = problem.limit - int(problem.cost[chosen].sum())
    free = ~chosen
    free[np.asarray(banned, np.int64)] = False
    while True:
        ratio = np.where(free & (problem.cost <= left), gain / problem.cost, -1.0)
        row = int(ratio.argmax())
        if ratio[row] < 0:
            return
        chosen[row], free[row] = True, False
        left -= int(problem.cost[row])
        gain += problem.score[row]


def improved(problem: Problem, chosen: Bool) -> Bool:
    """The choice after the best exchange of one item for another, again and again, filling up in between."""
    chosen = chosen.copy()
    while True:
        fill(problem, chosen)
        inside, outside, gain = _exchanges(problem, chosen)
        if gain.size == 0 or gain.max() <= 0:
            return chosen
        leaves, enters = np.unravel_index(int(gain.argmax()), gain.shape)
        chosen[inside[leaves]], chosen[outside[enters]] = False, True


def settled(problem: Problem, chosen: Bool) -> Bool:
    """The choice with ties gone to earlier items, and filled up where a cheaper one among them left room, until neither changes anything."""
    while True:
        chosen = earlier(problem, chosen)
        before = int(chosen.sum())
        fill(problem, chosen)
        if int(chosen.sum()) == before:
            return chosen


def earlier(problem: Problem, chosen: Bool) -> Bool:
    """The choice with items exchanged for earlier ones wherever that changes nothing of the value and fits."""
    chosen = chosen.copy()
    while True:
        inside, outside, gain = _exchanges(problem, chosen)
        same = (gain == 0) & (outside[None, :] < inside[:, None])
        if not same.any():
            return chosen
        leaves = int(np.flatnonzero(same.any(axis=1))[-1])
        enters = int(np.flatnonzero(same[leaves])[0])
        chosen[inside[leaves]], chosen[outside[enters]] = False, True


def _exchanges(problem: Problem, chosen: Bool) -> tuple[I64, I64, I64]:
    """Items inside and outside, and what exchanging each pair of them adds, i64[inside,outside]; -1 where that does not fit."""
    inside, outside = np.flatnonzero(chosen), np.flatnonzero(~chosen)
    gain = problem.score[inside].sum(axis=0)
    left = problem.limit - int(problem.cost[inside].sum())
    added = gain[outside][None, :] - gain[inside][:, None] - problem.score[np.ix_(inside, outside)]
    fits = problem.cost[outside][None, :] - problem.cost[inside][:, None] <= left
    return inside, outside, np.where(fits, added, -1)


# ---- Bounds -------------------------------------------------------------------------------------------------------------------------


def plane_bound(problem: Problem) -> float:
    """An upper bound: what each item could add at most beside any others, and the best fractions of items by that.

    Source: the second upper plane of Gallo, Hammer and Simeone (1980); Caprara, Pisinger and Toth (1999) without their multipliers.
    """
    pairs = zip(problem.score, problem.cost.tolist(), strict=True)
    upper = np.array([_fractional(row.astype(np.float64), problem.cost, max(0, problem.limit - own)) for row, own in pairs])
    return _fractional(upper / 2, problem.cost, problem.limit) * (1 + SLACK)


def relax(problem: Problem, chosen: Bool) -> Relaxation:
    """The convex relaxation along the main direction of the scores, and the items that it decides.

    With S = r pp' + (rest), p the eigenvector of the largest eigenvalue and m the second eigenvalue, a choice x has
    x'Sx = (r - m) t^2 - |Wx|^2 + m sum(x) with t = p.x, since x is 0 or 1. Only t^2 is not concave, and a choice that beats the known one
    has t between two close numbers, where a chord bounds t^2: what is left is one concave quadratic program over fractions of items, no more
    of them than fit by number. SeedAL's scores d_i d_j (1 - <m_i, m_j>) have a single positive eigenvalue, so the bound is tight for them.
    Whatever the solver returns, the bound is made valid by linearising at its point and pricing with its multipliers; items whose price
    exceeds the gap are decided.
    Source: convex reformulation of binary quadratic programs (Billionnet, Elloumi and Plateau, 2009), with one direction split off.
    """
    score = problem.score / RESOLUTION
    known = problem.value(chosen) / RESOLUTION
    values, vectors = np.linalg.eigh(score)
    second = float(values[-2]) if len(values) > 1 else 0.0
    main = vectors[:, -1] * (1.0 if vectors[:, -1].sum() >= 0 else -1.0)
    curve = float(values[-1]) - second
    rest = (vectors[:, :-1] * np.sqrt(np.maximum(second - values[:-1], 0))).T
    least, most = _range(problem, main, curve, second, known)
    weight, items = problem.cost / problem.limit, _most_items(problem)
    point, prices = _concave(rest, main, curve, second, weight, items, least, most)
    if point is None:
        point, prices = chosen.astype(np.float64), np.zeros(4)
    pressed = rest @ point
    slope = (curve * (least + most) * main + second) / 2 - rest.T @ pressed
    constant = (pressed @ pressed - curve * least * most) / 2
    if not prices.any():
        prices = np.array([_price(slope, weight), 0.0, 0.0, 0.0])
    reduced = slope - prices[0] * weight + (prices[1] - prices[2]) * main - prices[3]
    bound = constant + prices[0] - prices[1] * least + prices[2] * most + prices[3] * items + np.maximum(reduced, 0).sum()
    bound += SLACK * max(abs(bound), known)
    inside, outside = (bound - reduced < known) & (reduced > 0), (bound + reduced < known) & (reduced < 0)
    return Relaxation(bound * RESOLUTION, inside, outside, slope, constant + SLACK * max(abs(bound), known))


def _concave(rest: F64, main: F64, curve: float, second: float, weight: F64, items: int, least: float, most: float) -> tuple[F64 | None, F64]:
    """The solution of the concave program (None when the solver gave up) and the multipliers of limit, least, most and number of items."""
    import highspy

    count = len(main)
    model = highspy.HighsModel()
    model.lp_ = _program(
        (curve * (least + most) * main + second) / 2,
        sparse.csr_array(np.stack([weight, main, np.ones(count)])),
        np.array([-np.inf, least, -np.inf]),
        np.array([1.0, most, items]),
        np.ones(count),
    )
    model.hessian_.dim_, model.hessian_.format_ = count, highspy.HessianFormat.kTriangular
    square, below = rest.T @ rest, np.arange(count, 0, -1)
    model.hessian_.start_ = np.concatenate([[0], np.cumsum(below)])
    columns, rows = np.triu_indices(count)
    model.hessian_.index_, model.hessian_.value_ = rows, -square[rows, columns]
    highs = _solver(qp_iteration_limit=MOST_STEPS)
    highs.passModel(model)
    highs.run()
    if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return None, np.zeros(4)
    solution = highs.getSolution()
    limit, between, number = (float(value) for value in solution.row_dual)
    return np.clip(np.asarray(solution.col_value), 0, 1), np.maximum([limit, -between, between, number], 0.0)


def _range(problem: Problem, main: F64, curve: float, second: float, known: float) -> tuple[float, float]:
    """Between what numbers `main . x` is for every choice that fits and is not worse than the known value."""
    most = min(_fractional(main, problem.cost, problem.limit), float(np.sort(np.maximum(main, 0))[-_most_items(problem) :].sum()))
    if main.min() < 0:
        return -_fractional(-main, problem.cost, problem.limit), most
    scale = curve + min(0.0, second)
    square = (2 * known - max(0.0, second) * _most_items(problem)) / scale if scale > 0 else 0.0
    return float(np.sqrt(max(0.0, square))) * (1 - SLACK), most * (1 + SLACK)


def _fractional(worth: F64, cost: I64, limit: int) -> float:
    """The most worth of fractions of items within a limit; items of negative worth stay outside."""
    order = np.argsort(-worth / cost, kind="stable")
    order = order[worth[order] > 0]
    spent = np.cumsum(cost[order])
    whole = int(np.searchsorted(spent, limit, side="right"))
    total = float(worth[order[:whole]].sum())
    if whole == len(order):
        return total
    left = limit - (int(spent[whole - 1]) if whole else 0)
    return total + float(worth[order[whole]]) * left / int(cost[order[whole]])


def _price(slope: F64, weight: F64) -> float:
    """The multiplier of the limit in the linear program over fractions."""
    ratio = np.maximum(slope, 0) / weight
    order = np.argsort(-ratio, kind="stable")
    spent = np.cumsum(weight[order])
    first = int(np.searchsorted(spent, 1.0, side="right"))
    return float(ratio[order[first]]) if first < len(order) else 0.0


def _most_items(problem: Problem) -> int:
    return int(np.searchsorted(np.cumsum(np.sort(problem.cost)), problem.limit, side="right"))


# ---- Branch and bound ---------------------------------------------------------------------------------------------------------------


def branch(problem: Problem, relaxed: Relaxation, chosen: Bool, nodes: int, seconds: float) -> tuple[Bool, float, int, bool]:
    """Decide the undecided items with HiGHS: the choice, its bound, the nodes seen, whether time ran out.

    Glover's compact form: z_i stands for x_i times what i adds with the later items, z_i <= U_i x_i and z_i <= sum_{j>i} s_ij x_j, with U_i
    from a fractional knapsack (the lower bounds L_i are 0). The relaxation's linear bound and the number of items that fit are rows too; the
    known choice is where it starts. One thread, a fixed random seed and a limit in nodes: the same bits every time.
    Source: Glover, "Improved linear integer programming formulations of nonlinear integer problems", 1975.
    """
    free = np.flatnonzero(~relaxed.inside & ~relaxed.outside)
    inside = np.flatnonzero(relaxed.inside)
    score = problem.score / RESOLUTION
    already = float(problem.value(relaxed.inside)) / RESOLUTION
    linear = score[np.ix_(free, inside)].sum(axis=1)
    left = problem.limit - int(problem.cost[inside].sum())
    later = np.triu(score[np.ix_(free, free)], 1)
    upper = np.array([_fractional(row, problem.cost[free], max(0, left - int(own))) for row, own in zip(later, problem.cost[free], strict=True)])
    matrix, most = glover(later, upper, problem.cost[free], left)
    more = np.zeros((2, 2 * len(free)))
    more[0, : len(free)], more[0, len(free) :], more[1, : len(free)] = linear - relaxed.slope[free], 1, 1
    matrix = sparse.csr_array(sparse.vstack([matrix, sparse.csr_array(more)], format="csr"))
    most = np.append(most, [relaxed.constant + relaxed.slope[inside].sum() - already, _most_items(problem) - len(inside)])
    start = chosen[free].astype(np.float64)
    start = np.concatenate([start, start * (later @ start)])
    answer, bound, seen, hurried = solve(np.concatenate([linear, np.ones(len(free))]), matrix, most, len(free), start, nodes, seconds)
    result = relaxed.inside.copy()
    result[free] = answer[: len(free)] > 0.5
    return (result if len(answer) else chosen), (bound + already) * RESOLUTION * (1 + SLACK), seen, hurried


def glover(later: F64, upper: F64, cost: I64, limit: int) -> tuple[sparse.csr_array, F64]:
    """The rows of Glover's form over (x, z) and their upper limits: the budget, z <= U x, z <= later x."""
    count = len(later)
    budget = sparse.csr_array(np.concatenate([cost / max(limit, 1), np.zeros(count)])[None])
    one = sparse.eye_array(count)
    rows = [budget, sparse.hstack([-sparse.diags_array(upper), one]), sparse.hstack([-sparse.csr_array(later), one])]
    return sparse.csr_array(sparse.vstack(rows, format="csr")), np.concatenate([[1.0], np.zeros(2 * count)])


def solve(worth: F64, matrix: sparse.csr_array, most: F64, binary: int, start: F64, nodes: int, seconds: float) -> tuple[Array, float, int, bool]:
    """Maximise `worth . v` with `matrix v <= most`, v >= 0, the first `binary` of them 0 or 1: values (empty: none found), bound, nodes, time ran out."""
    import highspy

    program = _program(worth, matrix, np.full(len(most), -np.inf), most, np.where(np.arange(len(worth)) < binary, 1.0, np.inf))
    kinds = highspy.HighsVarType
    program.integrality_ = [kinds.kInteger if index < binary else kinds.kContinuous for index in range(len(worth))]
    highs = _solver(mip_max_nodes=nodes, time_limit=float(seconds), mip_rel_gap=0.0, mip_abs_gap=1e-9, mip_feasibility_tolerance=1e-9)
    highs.passModel(program)
    guess = highspy.HighsSolution()
    guess.col_value = start.tolist()
    highs.setSolution(guess)
    highs.run()
    status, info = highs.getModelStatus(), highs.getInfo()
    found = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    answer = np.asarray(highs.getSolution().col_value) if found else np.empty(0)
    bound = -np.inf if status == highspy.HighsModelStatus.kInfeasible else float(info.mip_dual_bound)
    return answer, bound, int(info.mip_node_count), status == highspy.HighsModelStatus.kTimeLimit


def _program(worth: F64, matrix: sparse.csr_array, least: F64, most: F64, upper: F64) -> Any:
    """Maximise `worth . v` with `least <= matrix v <= most` and `0 <= v <= upper`."""
    import highspy

    program = highspy.HighsLp()
    program.num_col_, program.num_row_ = len(worth), len(most)
    program.sense_ = highspy.ObjSense.kMaximize
    program.col_cost_, program.col_lower_, program.col_upper_ = worth, np.zeros(len(worth)), upper
    program.row_lower_, program.row_upper_ = least, most
    program.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    program.a_matrix_.start_, program.a_matrix_.index_, program.a_matrix_.value_ = matrix.indptr, matrix.indices, matrix.data
    return program


def _solver(**options: float) -> Any:
    """HiGHS, silent, on one thread, with a fixed random seed. Raises: ValueError for an option that it does not take."""
    import highspy

    make: Any = highspy.Highs
    highs = make()
    for name, value in {"output_flag": False, "threads": 1, "random_seed": 0, "primal_feasibility_tolerance": 1e-9, **options}.items():
        if highs.setOptionValue(name, value) != highspy.HighsStatus.kOk:
            raise ValueError(f"HiGHS does not take the option {name}={value!r}")
    return highs
