"""What paired blocks can tell: a sign-flip test, Holm's correction, bootstrap intervals, and how stable a ranking is.

A block is one seed method with one random seed; its stratum is the seed method. Every draw is keyed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, t

from al3d.rng import Key, generator
from al3d.types import F64, I64

#: With fewer blocks there is no p-value: the smallest possible one of five is 2 / 32 = 0.0625.
LEAST_BLOCKS = 6
DRAWS = 10_000
#: Two sums of the same numbers in another order may differ by so little, relative to their size.
TIE = 1e-9


@dataclass(frozen=True)
class SignFlip:
    """The result of a test: two-sided `p`, whether all sign patterns were counted, and the smallest `p` that so many blocks (and draws) can give."""

    p: float
    exact: bool
    smallest: float


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval; the ends are None where there is nothing to resample (a single block)."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Bound:
    """A mean with its one-sided lower confidence bound; None where a single value says nothing of the spread."""

    mean: float
    low: float | None

    @property
    def above_zero(self) -> bool:
        """Whether it is shown that the mean lies above 0."""
        return self.low is not None and self.low > 0


def weights(strata: Sequence[str]) -> F64:
    """How much each block counts, f64[B], summing to 1: every stratum the same, and the blocks of a stratum the same."""
    place, count = _places(strata)
    return 1.0 / (len(count) * count[place])


def stratified_mean(values: F64, strata: Sequence[str]) -> float:
    """The mean over strata of the mean within each. `values` f64[B]."""
    return float(weights(strata) @ values)


def sign_flip(differences: F64, strata: Sequence[str], key: Key, draws: int = DRAWS) -> SignFlip:
    """Test whether paired differences f64[B] are centred on 0: their signs are exchanged at random, block by block.

    Two-sided; the statistic is the absolute stratified mean. All 2^B patterns are counted when they are no more than `draws`; else so many are
    drawn, and the observed one is counted with them, so that p is never 0.
    Raises: ValueError without a block, or for differences that are not finite.

    Source: Fisher's randomisation test for pairs (The Design of Experiments, 1935); the "+ 1" of Phipson and Smyth, "Permutation p-values should
    never be zero", 2010. Stratified here: the seed methods count the same however many blocks each has.
    """
    if len(differences) == 0 or not np.isfinite(differences).all():
        raise ValueError(f"a sign-flip test needs finite differences, got {differences.tolist()}")
    weighted = weights(strata) * differences
    observed = abs(weighted.sum()) - TIE * np.abs(weighted).sum()
    blocks = len(differences)
    patterns = 1 << blocks
    if patterns <= draws:
        signs = 2 * ((np.arange(patterns)[:, None] >> np.arange(blocks)) & 1) - 1
        return SignFlip(float(np.mean(np.abs(signs @ weighted) >= observed)), exact=True, smallest=smallest_p(blocks, draws))
    coins = np.frombuffer(generator(*key, "sign flip").bytes(-(-draws * blocks // 8)), np.uint8)
    heads = np.unpackbits(coins, count=draws * blocks).reshape(draws, blocks)
    beyond = int(np.count_nonzero(np.abs(2 * (heads @ weighted) - weighted.sum()) >= observed))
    return SignFlip((1 + beyond) / (1 + draws), exact=False, smallest=smallest_p(blocks, draws))


def smallest_p(blocks: int, draws: int = DRAWS) -> float:
    """The smallest p that a sign-flip test of so many blocks can give: 2 of all 2^B patterns are as far out as the observed one; drawn, 1 of draws + 1."""
    counted = 2.0 ** (1 - blocks)
    return counted if 1 << blocks <= draws else max(counted, 1 / (1 + draws))


def within_reach(tests: Sequence[SignFlip]) -> list[float]:
    """For each test of a family the smallest p after Holm's correction that its own blocks allow, the other tests being as they are, f[M].

    Where this is not below the level, no difference, however large, could have been called: that says nothing about the method.
    """
    p = [test.p for test in tests]
    return [holm([*p[:place], test.smallest, *p[place + 1 :]])[place] for place, test in enumerate(tests)]


def blocks_needed(tests: int, level: float, draws: int = DRAWS) -> int | None:
    """The fewest blocks (at least `LEAST_BLOCKS`) with which a method among `tests` can have p < `level` after Holm; None: not with so few draws."""
    return next((blocks for blocks in range(LEAST_BLOCKS, 64) if tests * smallest_p(blocks, draws) < level), None)


def holm(p: Sequence[float]) -> list[float]:
    """P-values adjusted for their number, in the given order: the chance of any false call among them stays below the level.

    Source: Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979.
    """
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(np.asarray(p)[order] * np.arange(len(p), 0, -1)))
    return [float(value) for value in adjusted]


def resamples(strata: Sequence[str], key: Key, draws: int = DRAWS) -> I64:
    """Blocks drawn with replacement within each stratum: i64[draws, B], entry b a block of b's stratum.

    Strata of a single block are drawn from together, since alone they would never vary.
    """
    place, count = _places(_merged(strata))
    drawn = np.empty((draws, len(place)), np.int64)
    rng = generator(*key, "bootstrap")
    for stratum, size in enumerate(count):
        members = np.flatnonzero(place == stratum)
        drawn[:, members] = members[rng.integers(0, size, (draws, size))]
    return drawn


def bootstrap(values: F64, strata: Sequence[str], key: Key, level: float = 0.95, draws: int = DRAWS) -> Interval:
    """The stratified mean of `values` f64[B] with a percentile interval over resampled blocks.

    Deviations from a stratum's mean are widened by sqrt(n / (n - 1)) and by the ratio of Student's to the normal quantile, with the degrees of
    freedom of the stratified mean: otherwise intervals of few blocks are far too narrow (of two blocks they hold the truth in 62 % of studies, not 95 %).
    Source: Efron's percentile bootstrap; the widening by sqrt(n / (n - 1)) is that of Rao and Wu, "Resampling Inference With Complex Survey Data",
    1988; correcting it to Student's quantile is Hesterberg's expanded percentile interval, "What Teachers Should Know About the Bootstrap", 2015. He
    moves the percentages, which few blocks do not allow; here the deviations are widened instead.
    """
    mean = stratified_mean(values, strata)
    if len(values) < 2:
        return Interval(mean, None, None)
    place, count = _places(_merged(strata))
    centre = (np.bincount(place, weights=values) / count)[place]
    student = t.ppf((1 + level) / 2, degrees_of_freedom(strata)) / norm.ppf((1 + level) / 2)
    widened = centre + (values - centre) * student * np.sqrt(count / np.maximum(count - 1, 1))[place]
    means = widened[resamples(strata, key, draws)] @ weights(strata)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean, float(low), float(high))


def lower_bound(differences: F64, strata: Sequence[str] | None = None, level: float = 0.95) -> Bound:
    """The stratified mean of paired differences f64[B] and what it exceeds with confidence `level`, by Student's t; `strata` None: all are one.

    The standard error is that of the spread within strata, strata of a single block taken together; degrees of freedom as for `bootstrap`.
    Raises: ValueError without a difference, or for differences that are not finite.

    Source: Student, "The Probable Error of a Mean", 1908. Unlike `bootstrap` this assumes normal differences, needs no draws, and has one side.
    """
    if len(differences) == 0 or not np.isfinite(differences).all():
        raise ValueError(f"a bound needs finite differences, got {np.asarray(differences).tolist()}")
    names = [""] * len(differences) if strata is None else list(strata)
    mean = stratified_mean(differences, names)
    if len(differences) < 2:
        return Bound(mean, None)
    place, count = _places(_merged(names))
    centre = np.bincount(place, weights=differences) / count
    variance = np.bincount(place, weights=(differences - centre[place]) ** 2) / np.maximum(count - 1, 1)
    error = math.sqrt(float(weights(names) ** 2 @ variance[place]))
    return Bound(mean, mean - float(t.ppf(level, degrees_of_freedom(names))) * error)


def degrees_of_freedom(strata: Sequence[str]) -> float:
    """Of the stratified mean's standard error, were the spread the same everywhere: blocks less strata where these are of one size, fewer where not.

    Source: Satterthwaite, "An Approximate Distribution of Estimates of Variance Components", 1946. Needs two blocks or more.
    """
    place, count = _places(_merged(strata))
    variance = np.bincount(place, weights=weights(strata) ** 2)
    return float(variance.sum() ** 2 / (variance**2 / np.maximum(count - 1, 1)).sum())


def kendall(scores: F64) -> F64:
    """Kendall's tau-b between the rankings of M methods in every two blocks: f64[B, B] from scores f64[B, M]; NaN where a block ties them all.

    Source: Kendall, "The Treatment of Ties in Ranking Problems", 1945.
    """
    first, second = np.triu_indices(scores.shape[1], 1)
    order = np.sign(scores[:, first] - scores[:, second])
    untied = np.abs(order).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(order @ order.T / np.sqrt(np.outer(untied, untied)))


def firsts(scores: F64, strata: Sequence[str], key: Key, draws: int = DRAWS) -> F64:
    """How often each of M methods has the highest stratified mean when the blocks are resampled, f64[M] summing to 1; ties are shared."""
    means = np.einsum("dbm,b->dm", scores[resamples(strata, key, draws)], weights(strata))
    best = means >= means.max(axis=1, keepdims=True) - TIE
    return np.asarray((best / best.sum(axis=1, keepdims=True)).mean(axis=0))


def win_shares(scores: Mapping[str, Mapping[tuple[str, ...], float]]) -> dict[tuple[str, str], tuple[float, int]]:
    """For every two methods: in how many of the blocks that both have the first scores higher (a tie counts half), and how many those are."""
    found = {}
    for one, mine in scores.items():
        for other, theirs in scores.items():
            shared = [(mine[block], theirs[block]) for block in mine if block in theirs]
            if one != other:
                found[one, other] = (sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in shared), len(shared))
    return found


def _places(strata: Sequence[str]) -> tuple[I64, I64]:
    """The number of each block's stratum, and how many blocks each stratum has."""
    _, place, count = np.unique(np.asarray(strata, dtype=str), return_inverse=True, return_counts=True)
    return place, count


def _merged(strata: Sequence[str]) -> list[str]:
    """The strata with those of a single block put together; with the smallest other one, if there is only one such."""
    sizes = {name: strata.count(name) for name in sorted(set(strata))}
    single = {name for name, size in sizes.items() if size == 1}
    if len(single) == 1 and len(sizes) > 1:
        single.add(min((name for name in sizes if name not in single), key=lambda name: (sizes[name], name)))
    return ["(single blocks)" if name in single else name for name in strata]
