"""Choosing at paper scale on synthetic pools of the real sizes: seconds and peak memory of every picker, and of the scores of a frame.

python benchmarks/acquire.py [part ...]: prints one table row per case, each in a process of its own so that its peak memory is its own.
`times the reference` compares with the naive or published way, run in the same process on a smaller pool and scaled as it grows (the row
says how). Sizes: methods as published; SemanticKITTI has 19,130 scans, 739,235 supervoxels, 382,600 k-means regions.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from al3d.acquire.budget import Ledger
from al3d.acquire.fusion import RankFusion
from al3d.acquire.hierarchy import HierarchicalMargin
from al3d.acquire.interframe import divergence_and_entropy
from al3d.acquire.kcenter import KCenter
from al3d.acquire.pick import ClusterDecay, Picker
from al3d.acquire.strata import Kinds, Stratified
from al3d.acquire.suppress import Suppress
from al3d.acquire.swap import SwapNearby
from al3d.rng import generator
from al3d.types import Scene, Units, View


def pool(rows: int, width: int, scenes: int, name: str, labelled: int = 0, size: int = 3000, scores: int = 1, span: float = 100.0) -> Units:
    """A pool of random rows with clustered features."""
    random = generator("benchmark", name)
    centres = random.normal(size=(200, width)).astype(np.float32)
    feature = centres[random.integers(0, 200, rows)]
    feature += 0.3 * random.standard_normal((rows, width), dtype=np.float32)
    scene = np.sort(random.integers(0, scenes, rows)).astype(np.int32)
    starts = np.searchsorted(scene, scene)
    points = random.integers(max(1, size // 2), size * 3 // 2 + 1, rows)
    known = np.zeros(rows, bool)
    known[random.choice(rows, labelled, replace=False)] = True
    place = random.uniform(0, span, (rows, 3)).astype(np.float32) * np.array([1, 1, 0.03], np.float32)
    return Units(
        scene=scene,
        unit=(np.arange(rows) - starts).astype(np.int32),
        size=np.where(known, 0, points),
        points=points,
        center=place,
        extent=random.uniform(0.2, 4, (rows, 3)).astype(np.float32),
        world=place.astype(np.float64),
        drive=(scene // 2000).astype(np.int32),
        score=random.random((rows, scores), dtype=np.float32),
        feature=feature,
        kind=random.integers(0, 4, rows).astype(np.uint8),
        predicted=random.integers(0, 19, rows).astype(np.uint8),
        labelled=known,
    )


def timed(work: Callable[[], object]) -> float:
    """Wall seconds of one run."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def choosing(picker: Picker, units: Units, share: float, warm: Units, measure: str = "points", count: int | None = None, overshoot: str = "skip_to_fit") -> str:
    """Seconds to fill a ledger, after compiling on a small pool."""
    picker(warm, Ledger(warm, int(warm.size.sum() * share), overshoot, measure), (1,))
    limit = count if count is not None else int(units.points.sum() * share)
    ledger = Ledger(units, limit, overshoot, measure)
    seconds = timed(lambda: picker(units, ledger, (1,)))
    return f"{seconds:8.2f} s   {len(ledger.rows):>7,} of {len(units):>9,} rows"


def redal() -> str:
    """ReDAL, 1 % of 739,235 regions, best tenth clustered."""
    return choosing(ClusterDecay(150, 0.95, 0.1), pool(739_235, 96, 19_130, "redal"), 0.01, pool(2000, 96, 50, "warm"), overshoot="include")


def redal_untrimmed() -> str:
    """ReDAL, 1 % of 739,235 regions, all clustered."""
    return choosing(ClusterDecay(150, 0.95, 1.0), pool(739_235, 96, 19_130, "redal"), 0.01, pool(2000, 96, 50, "warm"), overshoot="include")


def basal() -> str:
    """BaSAL, 1 % of 1,000,000 clusters against 20,000 labelled, four strata."""
    return choosing(Stratified(Kinds(), RankFusion()), pool(1_000_000, 96, 19_130, "basal", 20_000, 800), 0.01, pool(2000, 96, 50, "warm", 100))


def lidal() -> str:
    """LiDAL, 1 % of 382,600 regions."""
    units = pool(382_600, 0, 19_130, "lidal", size=6141, scores=2, span=3000.0)
    return choosing(SwapNearby(5.0), units, 0.01, pool(500, 0, 20, "warm", scores=2), overshoot="exclude")


def hpal_few() -> str:
    """HPAL, 2,600 points of 204 rooms, best 2,000 of each."""
    return choosing(Suppress(0.2, 0.8), pool(204 * 2000, 96, 204, "hpal", size=1, span=8.0), 1, pool(500, 96, 5, "warm", size=1), "units", 2600)


def hpal_many() -> str:
    """HPAL, 26,000 points of 204 rooms, best 2,000 of each."""
    return choosing(Suppress(0.2, 0.8), pool(204 * 2000, 96, 204, "hpal", size=1, span=8.0), 1, pool(500, 96, 5, "warm", size=1), "units", 26_000)


def coreset() -> str:
    """CoreSet, 191 of 19,130 scans."""
    return choosing(KCenter(), pool(19_130, 96, 19_130, "coreset", 191, 120_000), 0.01, pool(500, 96, 500, "warm", 5), "units", 191)


def frame(points: int, classes: int, number: int) -> View:
    """A frame of a drive with random predictions."""
    random = generator("benchmark", "frame", number)
    voxels = points // 2
    place = random.normal(size=(points, 3)) * [15, 15, 1] + [number, 0, 0]
    base = generator("benchmark", "place").normal(size=(points, 3)) * [15, 15, 1]
    place[: points // 2] = base[: points // 2] + random.normal(0, 0.03, (points // 2, 3))
    scene = Scene(f"f{number}", place.astype(np.float32), np.zeros((points, 1), np.float32), sequence="00", frame=number)
    return View(
        scene=scene,
        index=number,
        unit=np.arange(points, dtype=np.int32) % 20,
        kind=np.zeros(20, np.uint8),
        asked=np.zeros(points, bool),
        prob=random.dirichlet(np.ones(classes), voxels).astype(np.float32),
        inverse=random.integers(0, voxels, points),
    )


def lidal_score() -> str:
    """LiDAL's scores of a 120,000-point frame against 24 others, 19 classes."""
    views = [frame(120_000, 19, number) for number in range(25)]
    divergence_and_entropy(views[0], views[1:2], 0.1)
    seconds = timed(lambda: divergence_and_entropy(views[0], views[1:], 0.1))
    return f"{seconds:8.2f} s   first time for these neighbours; {timed(lambda: divergence_and_entropy(views[0], views[1:], 0.1)):.2f} s when they are indexed"


def hpal_score() -> str:
    """HPAL's scores of 204 rooms of 60,000 points, 13 classes."""
    views = [frame(60_000, 13, number) for number in range(4)]
    score = HierarchicalMargin()
    score(views[0])
    seconds = timed(lambda: [score(view) for view in views[1:]]) / 3
    return f"{204 * seconds:8.2f} s   204 times the mean of 3 rooms ({seconds * 1000:.0f} ms)"


CASES = (redal, redal_untrimmed, basal, lidal, lidal_score, hpal_few, hpal_many, hpal_score, coreset)


def main(names: list[str]) -> None:
    """Run the named cases (all by default), each in its own process."""
    print(f"{'case':16} {'seconds':>10}   what{'':32} peak MB")
    for case in [case for case in CASES if not names or case.__name__ in names]:
        done = subprocess.run([sys.executable, __file__, "--one", case.__name__], capture_output=True, text=True, check=True)
        print(f"{case.__name__:16} {done.stdout.strip()}   {case.__doc__}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        line = next(case for case in CASES if case.__name__ == sys.argv[2])()
        print(f"{line:45} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:8.0f} MB")
    else:
        main(sys.argv[1:])
