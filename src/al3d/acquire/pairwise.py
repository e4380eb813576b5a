"""SeedAL: the scenes whose views differ most, within themselves and from each other, for the points they cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from al3d.acquire.budget import Ledger
from al3d.acquire.knapsack import Solution, choose
from al3d.arrays import elsewhere
from al3d.progress import console
from al3d.rng import Key
from al3d.types import F32, F64, I64, Array, Units

#: Scenes whose views are read, or whose pairs are scored, at once.
BLOCK = 256
#: A diversity below this is rounding: the views are the same.
ALIKE = 1e-12
#: More candidates than this make too many pairs to hold.
MOST_CANDIDATES = 4000

#: The score of pairs from the diversities within the first and the second scene, f64[R,1] and f64[1,U], and between them, f64[R,U].
SCORES: Mapping[str, Callable[[F64, F64, F64], F64]] = {
    "seedal": lambda first, second, between: first * second * between,
    "intra": lambda first, second, between: first * second + 0 * between,
    "intra_similarity": lambda first, second, between: np.maximum(1 - first, 0) * np.maximum(1 - second, 0) + 0 * between,
    "inter": lambda first, second, between: between,
    "inter_similarity": lambda first, second, between: np.maximum(1 - between, 0),
}


@dataclass(frozen=True, eq=False)
class Diversity:
    """What pair scores are made of.

    `within` f64[U]: 1 less the mean cosine of a scene's pairs of views. `mean` f64[U,D]: the mean of its views at length 1, whose products are the
    mean cosines between scenes. `views` i64[U]: how many there are.
    """

    within: F64
    mean: F64
    views: I64

    @cached_property
    def products(self) -> Callable[[I64 | slice], F64]:
        """The mean cosine over all pairs of a view of some rows and a view of each scene, f64[R,U]."""
        other = elsewhere("products", len(self.mean) * self.mean.size, self.mean)
        return (lambda rows: self.mean[rows] @ self.mean.T) if other is None else other.products(self.mean)

    def between(self, rows: I64 | slice) -> F64:
        """1 less the mean cosine over all pairs of a view of `rows` and a view of each scene, f64[R,U]."""
        return np.asarray(1 - self.products(rows))


@dataclass(frozen=True)
class PairwiseDiversity:
    """Buy the set of scenes that is most diverse in pairs: maximise the sum of s_ij over its pairs within the budget, never above it.

    Features are views f32[U,K,D] with rows of NaN where a scene has fewer. `score` "seedal": d_i d_j D_ij, with the diversity d_i within a scene
    and D_ij between two; "intra": d_i d_j; "inter": D_ij; "intra_similarity": (1 - d_i)(1 - d_j); "inter_similarity": 1 - D_ij, where a mean
    cosine below 0 counts as 0. `center` takes the mean of all views of the pool off first, without which the cosines of handcrafted
    features are all near 1 (our addition). `by_points` lets a pair count by the product of its scenes' points (our addition): the
    plain sum over pairs grows with the square of the number of scenes, so many small scenes beat few large ones, whatever they hold.
    `edges` keeps only scenes of the E best pairs as candidates; the pairs within them keep their scores.
    `nodes` limits branch and bound; `seconds` is a safety net, and when it ends the search, the printed line says that the choice cannot be
    reproduced. A scene with one view has d_i = 0. Ties go to the earlier scene. When not even two scenes fit, the one with the highest sum
    over all its pairs is bought. Random draws have their own key: the choice is the same for every `rng`.
    Source: SeedAL (its optimisation, exactly), with E = 80 for S3DIS and 1200 for SemanticKITTI. Its code takes a wrong block of the
    cosines where scenes have different numbers of views (docs/fidelity.md D-04) and accepts a wrong status of its solver; here both are right.
    The variants are the ablations of its supplement, which prints no formulas.
    Raises: ValueError for an unknown score or limits below 1, and while choosing for features that are no views, or scores that are all 0.
    """

    score: str = "seedal"
    edges: int | None = None
    center: bool = False
    by_points: bool = False
    nodes: int = 2000
    seconds: float = 600.0
    needs: frozenset[str] = frozenset({"feature"})

    def __post_init__(self) -> None:
        if self.score not in SCORES:
            raise ValueError(f"pick.score={self.score!r} is not one of {', '.join(SCORES)}")
        if (self.edges is not None and self.edges < 1) or self.nodes < 1 or self.seconds <= 0:
            raise ValueError(f"pick.edges={self.edges}, nodes={self.nodes} and seconds={self.seconds} must be positive (edges: or null for all)")

    def __call__(self, units: Units, ledger: Ledger, key: Key) -> None:
        if units.feature.ndim != 3:
            raise ValueError(f"pairs of scenes are compared by their views, but the features are {list(units.feature.shape)}: set seed.embedding=views")
        pool = np.flatnonzero((units.size > 0) & (ledger.cost <= ledger.limit))
        if len(pool) == 0:
            return
        started = time.perf_counter()
        diversity = diversities(units.feature[pool], self.center)
        _warn_of_twins(units.feature[pool], units.scene[pool])
        candidates = np.arange(len(pool)) if self.edges is None else touched(diversity, self.score, self.edges)
        if len(candidates) > MOST_CANDIDATES:
            raise ValueError(
                f"{len(candidates):,} scenes make too many pairs (at most {MOST_CANDIDATES:,} scenes): set seed.pick.edges=1200, "
                "or thin the drives more: seed.thin.at_most=1000"
            )
        score = pair_scores(_of(diversity, candidates), self.score)
        if len(pool) > 1 and score.max(initial=0) <= 0:
            raise ValueError(_nothing_differs(diversity, self.score))
        rows = pool[candidates]
        if self.by_points:
            score = weighed(score, units.size[rows])
        solution = choose(score, ledger.cost[rows], ledger.limit, self.nodes, self.seconds)
        console.print(_words(solution, self.score, len(units), len(rows), time.perf_counter() - started), markup=False)
        ledger.notes.update(objective=solution.value, bound=solution.bound, gap=solution.gap, nodes=solution.nodes, reproducible=not solution.hurried)
        worth = score[:, solution.rows].sum(axis=1, dtype=np.float64)[solution.rows]
        for row in rows[solution.rows[np.argsort(-worth, kind="stable")]].tolist():
            ledger.admit(row)


def diversities(feature: Array, center: bool = False) -> Diversity:
    """The diversities of scenes from their views [U,K,D] (rows of NaN are none), read in blocks.

    With views at length 1 and their sum z of k, the mean cosine over pairs within a scene is (|z|^2 - k) / (k (k - 1)), and between two scenes the
    product of their means: no pair of views is formed. A view of zeros has cosine 0 with everything. Raises: ValueError for a scene without a view.
    """
    there = ~np.isnan(feature[:, :, 0])
    views = there.sum(axis=1)
    if (views == 0).any():
        raise ValueError(f"row {int(np.flatnonzero(views == 0)[0])} of the pool has no view: describe its scene again")
    middle = _middle(feature, there) if center else np.zeros(feature.shape[2])
    mean, own = np.empty((len(feature), feature.shape[2])), np.empty(len(feature))
    for start in range(0, len(feature), BLOCK):
        part = slice(start, start + BLOCK)
        unit = np.where(there[part, :, None], feature[part].astype(np.float64) - middle, 0.0)
        length = np.sqrt(np.einsum("ukd,ukd->uk", unit, unit))
        unit /= np.maximum(length, 1e-12 * max(1.0, float(length.max(initial=0))))[:, :, None]
        mean[part] = unit.sum(axis=1) / views[part, None]
        own[part] = np.einsum("ukd,ukd->u", unit, unit)
    square = np.einsum("ud,ud->u", mean, mean) * views**2
    within = np.where(views > 1, 1 - (square - own) / np.maximum(views * (views - 1), 1), 0.0)
    return Diversity(np.where(within < ALIKE, 0.0, within), mean, views)


def _middle(feature: Array, there: Array) -> F64:
    total = np.zeros(feature.shape[2])
    for start in range(0, len(feature), BLOCK):
        part = slice(start, start + BLOCK)
        total += feature[part][there[part]].sum(axis=0, dtype=np.float64)
    return np.asarray(total / there.sum())


def pair_scores(diversity: Diversity, score: str) -> F32:
    """The scores of all pairs of scenes, f32[U,U], with a zero diagonal; rounded to f32, so that they do not depend on the order of scenes."""
    result: F32 = np.concatenate([_block(diversity, score, slice(start, start + BLOCK)) for start in range(0, len(diversity.within), BLOCK)])
    np.maximum(result, result.T.copy(), out=result)
    np.fill_diagonal(result, 0)
    return result


def weighed(score: F32, points: I64) -> F32:
    """Pair scores f32[U,U] times the points of both scenes, in units of their mean: f32[U,U]."""
    share = points / points.mean()
    return np.asarray(score * share[:, None] * share[None, :], dtype=np.float32)


def touched(diversity: Diversity, score: str, edges: int) -> I64:
    """The scenes of the best `edges` pairs, sorted; of equal pairs the earlier ones are taken. Pairs of a score of 0 are none."""
    best = np.empty(0, np.float32)
    pairs = np.empty((0, 2), np.int64)
    count = len(diversity.within)
    for start in range(0, count, BLOCK):
        block = _block(diversity, score, slice(start, start + BLOCK))
        block[np.arange(count)[None, :] <= np.arange(start, start + len(block))[:, None]] = 0
        least = np.partition(block.reshape(-1), -edges)[-edges] if block.size > edges else 0
        first, second = np.nonzero((block >= least) & (block > 0))
        best = np.concatenate([best, block[first, second]])
        pairs = np.concatenate([pairs, np.stack([first + start, second], axis=1)])
        kept = np.argsort(-best, kind="stable")[:edges]
        best, pairs = best[kept], pairs[kept]
    return np.unique(pairs)


def _block(diversity: Diversity, score: str, rows: slice) -> F32:
    between = diversity.between(rows)
    between[between < ALIKE] = 0
    return np.asarray(SCORES[score](diversity.within[rows, None], diversity.within[None, :], between), dtype=np.float32)


def _of(diversity: Diversity, rows: I64) -> Diversity:
    return Diversity(diversity.within[rows], diversity.mean[rows], diversity.views[rows])


def _nothing_differs(diversity: Diversity, score: str) -> str:
    if score in ("seedal", "intra") and (diversity.views == 1).all():
        return (
            f"score={score} compares the views of a scene, but every scene of the pool has one view only: draw more of them "
            "(views@features.views=drawn), take the patches of one (features.tokens=patches), or choose another seed such as seed=kcenter"
        )
    way = "set seed.pick.center=false, " if score.endswith("similarity") else ""
    return f"score={score} is 0 for all pairs of the pool's {len(diversity.within)} scenes: {way}choose other features, or another seed such as seed=kcenter"


def _warn_of_twins(feature: Array, scene: Array) -> None:
    """Say which scenes have the same features as another one: probably a scene is twice in the data."""
    seen: dict[bytes, int] = {}
    twins = [(seen[form], number) for number, form in zip(scene.tolist(), map(Array.tobytes, feature), strict=True) if seen.setdefault(form, number) != number]
    if twins:
        listing = ", ".join(f"{second} as {first}" for first, second in twins[:5])
        more = f" and {len(twins) - 5} more" if len(twins) > 5 else ""
        console.print(f"{len(twins)} scenes have the same features as another one (training scenes by number: {listing}{more})", markup=False)


def _words(solution: Solution, score: str, scenes: int, candidates: int, seconds: float) -> str:
    state = "optimal" if solution.optimal else f"at most {100 * solution.gap:.2g} % below the best possible"
    late = "; the time limit ended the search, so another run may choose otherwise: raise pick.seconds, or lower pick.nodes" if solution.hurried else ""
    chosen = f"{score}: {len(solution.rows)} of {scenes} scenes ({candidates} candidates)"
    return f"{chosen}, pair scores sum to {solution.value:.6g} of at most {solution.bound:.6g}: {state}, in {seconds:.1f} s{late}"
