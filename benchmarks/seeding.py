"""SeedAL's selection at paper scale: pair diversities, and how good, how fast and how large each way of choosing is.

python benchmarks/seeding.py [case ...]: prints one table; each case runs in a process of its own, so that its peak memory is its own.

Pools have the papers' numbers: 204 rooms of 13 views, 950 scans of 19, 768 numbers each. A view is a common direction, one of its scene's type
(11 kinds of room; a random walk for the frames of a drive), one of the scene, and one of 40 kinds of object, with noise; scenes differ in how
mixed they are. Rooms cost 0.6 million points times a lognormal factor (as many regions differ in S3DIS) with a budget of 3.3 % of all; scans cost
120,000 +- 7,000 points with a budget of 184 of them. `rooms-noise` and `scans-noise` have independent uniform pair scores instead: the worst case.

Ways: greedy (best of 40 starts), greedy + exchanges, search (with kicks), compact (Glover's form alone, HiGHS, 60 s), al3d (search, relaxation, branch
and bound: what seed=seedal does). The reference is the authors' form with one variable per pair (HiGHS, 60 s), at 40 rooms and at 204.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
from scipy import sparse

from al3d.acquire.knapsack import RESOLUTION, Problem, _fractional, _integers, choose, glover, greedy, improved, plane_bound, search, solve
from al3d.acquire.pairwise import diversities, pair_scores
from al3d.rng import generator
from al3d.types import F32, F64, I64

LIMIT_SECONDS = 60.0
STARTS = 40


def views(kind: str, count: int) -> F32:
    """Views of scenes that resemble each other as the module says, f32[count,K,768]."""
    random = generator("benchmark", "seeding", kind, count)
    each, width = (13, 768) if kind == "rooms" else (19, 768)
    common, objects = random.normal(size=width), random.normal(size=(40, width))
    if kind == "rooms":
        about = random.normal(size=(11, width))[random.integers(0, 11, count)]
    else:
        walk = np.cumsum(0.25 * random.normal(size=(10, -(-count // 10), width)), axis=1).reshape(-1, width)[:count]
        about = walk * np.sqrt(width) / np.linalg.norm(walk, axis=1).mean()
    mixed = random.uniform(0.5, 1.2, count)
    result = np.empty((count, each, width), np.float32)
    for scene in range(count):
        own = 0.8 * objects[random.integers(0, 40, each)] + 0.5 * random.normal(size=(each, width))
        result[scene] = common + 0.6 * about[scene] + 0.3 * random.normal(size=width) + mixed[scene] * own
    return result


def problem_of(kind: str, count: int) -> tuple[F32, I64, int]:
    """Pair scores, costs and the budget."""
    form = kind.removesuffix("-noise")
    random = generator("benchmark", "seeding", "sizes", kind, count)
    if kind.endswith("noise"):
        score = np.triu(random.random((count, count)), 1)
        scores = (score + score.T).astype(np.float32)
    else:
        scores = pair_scores(diversities(views(form, count)), "seedal")
    if form == "rooms":
        cost = (600_000 * np.exp(0.7 * random.normal(size=count))).astype(np.int64)
        return scores, cost, int(0.033 * cost.sum())
    return scores, random.normal(120_000, 7_000, count).astype(np.int64), int(184 * 120_000 * count / 950)


def line(kind: str, count: int, way: str, value: float, bound: float | None, seconds: float, more: str = "") -> str:
    """One row of the table."""
    gap = "" if bound is None else f"{100 * (bound - value) / bound:9.4f}"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return f"{kind:12} {count:5} {way:20} {value:12.4f} {'' if bound is None else f'{bound:12.4f}':>12} {gap:>9} {seconds:9.2f} {peak:6.2f}  {more}"


def heuristics(kind: str, count: int) -> list[str]:
    score, cost, limit = problem_of(kind, count)
    problem = Problem(_integers(score), cost, limit)
    scale = float(score.max()) / RESOLUTION
    starts = np.unique(np.linspace(0, count - 1, min(STARTS, count)).astype(int)).tolist()
    ways: dict[str, Callable[[], object]] = {
        "greedy": lambda: max((greedy(problem, start) for start in starts), key=problem.value),
        "greedy + exchanges": lambda: max((improved(problem, greedy(problem, start)) for start in starts), key=problem.value),
        "search": lambda: search(problem, 200),
    }
    rows = []
    for name, way in ways.items():
        started = time.perf_counter()
        chosen = way()
        rows.append(line(kind, count, name, problem.value(chosen) * scale, None, time.perf_counter() - started))  # type: ignore[arg-type]
    started = time.perf_counter()
    rows.append(f"{kind:12} {count:5} {'upper planes':20} {'':12} {plane_bound(problem) * scale:12.4f} {'':9} {time.perf_counter() - started:9.2f}")
    return rows


def whole(kind: str, count: int) -> list[str]:
    score, cost, limit = problem_of(kind, count)
    started = time.perf_counter()
    found = choose(score, cost, limit)
    more = f"{len(found.rows)} scenes, {found.undecided} undecided, {found.nodes} nodes{', stopped by time' if found.hurried else ''}"
    return [line(kind, count, "al3d", found.value, found.bound, time.perf_counter() - started, more)]


def compact(kind: str, count: int) -> list[str]:
    """Glover's form of the whole problem, without search and relaxation."""
    score, cost, limit = problem_of(kind, count)
    later = np.triu(score.astype(np.float64), 1)
    started = time.perf_counter()
    upper = np.array([_fractional(row, cost, limit - int(own)) for row, own in zip(later, cost, strict=True)])
    matrix, most = glover(later, upper, cost, limit)
    worth = np.concatenate([np.zeros(count), np.ones(count)])
    answer, bound, nodes, _ = solve(worth, matrix, most, count, np.zeros(2 * count), 10**9, LIMIT_SECONDS)
    return [line(kind, count, "compact", value_of(answer, score, count), bound, time.perf_counter() - started, f"{nodes} nodes")]


def pairs(kind: str, count: int) -> list[str]:
    """The authors' form: one variable per pair, at most each of its scenes."""
    score, cost, limit = problem_of(kind, count)
    first, second = np.triu_indices(count, 1)
    number = len(first)
    started = time.perf_counter()
    one, index = sparse.eye_array(number), np.arange(number)
    ends = [sparse.csr_array((-np.ones(number), (index, end)), shape=(number, count)) for end in (first, second)]
    budget = sparse.csr_array(np.concatenate([cost / limit, np.zeros(number)])[None])
    matrix = sparse.csr_array(sparse.vstack([budget, *(sparse.hstack([end, one]) for end in ends)], format="csr"))
    most = np.concatenate([[1.0], np.zeros(2 * number)])
    worth = np.concatenate([np.zeros(count), score[first, second].astype(np.float64)])
    answer, bound, nodes, _ = solve(worth, matrix, most, count, np.zeros(count + number), 10**9, LIMIT_SECONDS)
    return [line(kind, count, "pairs (reference)", value_of(answer, score, count), bound, time.perf_counter() - started, f"{nodes} nodes")]


def value_of(answer: F64, score: F32, count: int) -> float:
    rows = np.flatnonzero(answer[:count] > 0.5)
    return float(score[np.ix_(rows, rows)].sum(dtype=np.float64)) / 2


def features(kind: str, count: int) -> list[str]:
    """Diversities and scores; the reference forms every pair of views, on a part that grows with the square."""
    feature = views(kind, count)
    started = time.perf_counter()
    score = pair_scores(diversities(feature, center=True), "seedal")
    seconds = time.perf_counter() - started
    part = feature[: min(count, 100)]
    started = time.perf_counter()
    flat = part.reshape(-1, part.shape[2])
    flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    cosine = (flat @ flat.T).reshape(len(part), part.shape[1], len(part), part.shape[1]).mean(axis=(1, 3))
    naive = (time.perf_counter() - started) * (count / len(part)) ** 2
    more = f"all pairs of views: {naive:.2f} s (from {len(part)}), {(count * feature.shape[1]) ** 2 * 4 / 2**30:.2f} GiB"
    plain = pair_scores(diversities(part), "inter")
    difference = np.abs(plain - (1 - cosine))[~np.eye(len(part), dtype=bool)].max()
    return [line(kind, count, "diversities", float(score.sum()) / 2, None, seconds, f"{more}, differ by {difference:.0e}")]


CASES: dict[str, Callable[[], list[str]]] = {
    f"{name}-{kind}-{count}": (lambda way=way, kind=kind, count=count: way(kind, count))  # type: ignore[misc]
    for name, way, sizes in (
        ("features", features, (("rooms", 204), ("scans", 950))),
        ("pairs", pairs, (("rooms", 40), ("rooms", 204))),
        ("compact", compact, (("rooms", 40), ("rooms", 204), ("scans", 950))),
        ("search", heuristics, (("rooms", 40), ("rooms", 204), ("scans", 950), ("rooms-noise", 204), ("scans-noise", 950))),
        ("al3d", whole, (("rooms", 40), ("rooms", 204), ("scans", 950), ("rooms-noise", 204), ("scans-noise", 950))),
    )
    for kind, count in sizes
}


def main(names: list[str]) -> None:
    """Run the named cases, or all, one process each."""
    if len(names) == 2 and names[0] == "--one":
        print("\n".join(CASES[names[1]]()), flush=True)
        return
    unknown = sorted(set(names) - set(CASES))
    if unknown:
        raise SystemExit(f"no case {', '.join(unknown)}; there are: {', '.join(CASES)}")
    print(f"{'pool':12} {'size':>5} {'way':20} {'objective':>12} {'bound':>12} {'gap %':>9} {'seconds':>9} {'GiB':>6}  remarks", flush=True)
    for name in names or CASES:
        subprocess.run([sys.executable, __file__, "--one", name], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
