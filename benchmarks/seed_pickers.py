"""Seeds at paper scale on synthetic features of the real sizes: processor seconds and peak memory of KMeans, ProbCover and Sparsify.

python benchmarks/seed_pickers.py [case ...]: one table row per case, each in a process of its own so that its peak memory is its own.
`reference` is the plain way in the same process, on a part of the pool and scaled as the case says. Processor seconds of one thread:
what else runs on the machine matters less than for wall time.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numba
import numpy as np
from scipy.spatial.distance import cdist

from al3d.acquire.budget import Ledger
from al3d.acquire.clustering import KMeans
from al3d.acquire.cover import ProbCover
from al3d.acquire.embed import directions
from al3d.acquire.pick import Picker
from al3d.acquire.thin import Sparsify
from al3d.features.kmeans import kmeans_labels
from al3d.rng import generator
from al3d.types import F32, IGNORE, Units

#: Case: units, features of each, percent of the points that are bought.
POOLS = {"rooms": (204, 768, 3.0), "thinned": (1_000, 768, 1.0), "frames": (19_130, 768, 1.0), "regions": (700_000, 64, 1.0)}


def features(count: int, width: int) -> F32:
    """Directions in 40 groups that overlap."""
    random = generator("benchmark", "seeds", count, width)
    rows = random.normal(size=(40, width)).astype(np.float32)[random.integers(0, 40, count)]
    return directions(rows + np.float32(0.6) * random.standard_normal((count, width), dtype=np.float32))


def pool(count: int, width: int) -> Units:
    """One unit per scene, of 80,000 to 120,000 points."""
    size = generator("benchmark", "sizes", count).integers(80_000, 120_000, count)
    nothing, number = np.zeros((count, 3), np.float32), np.arange(count, dtype=np.int32)
    return Units(
        scene=number,
        unit=np.zeros(count, np.int32),
        size=size,
        points=size,
        center=nothing,
        extent=nothing,
        world=nothing.astype(np.float64),
        drive=number,
        score=np.zeros((count, 1), np.float32),
        feature=features(count, width),
        kind=np.zeros(count, np.uint8),
        predicted=np.full(count, IGNORE, np.uint8),
        clicks=np.ones(count, np.int64),
        labelled=np.zeros(count, bool),
    )


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of one run."""
    started = time.process_time()
    work()
    return time.process_time() - started


def choose(picker: Picker, name: str, reference: Callable[[Units], float]) -> str:
    """Fill a ledger, after compiling on a small pool."""
    count, width, percent = POOLS[name]
    warm, units = pool(60, 8), pool(count, width)
    picker(warm, Ledger(warm, 10**6), (1,))
    ledger = Ledger(units, int(units.size.sum() * percent / 100))
    spent = seconds(lambda: picker(units, ledger, (1,)))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"{count:,} x {width} | {len(ledger.rows):,} | {100 * ledger.spent / ledger.limit:.1f} | {spent:.1f} | {reference(units):.1f} | {most:,.0f}"


def one_clustering(units: Units, count: int) -> float:
    """Reference of KMeans: one k-means with the number of clusters known beforehand; what is above it is the search."""
    return seconds(lambda: kmeans_labels(units.feature, min(500, count), "paper" if len(units) <= 2000 else "fast"))


def all_pairs(units: Units, looked_at: int = 20_000) -> float:
    """Reference of ProbCover: the distances of all pairs once, in double precision, from 1/50 of the rows."""
    rows = units.feature[:looked_at].astype(np.float64)
    part = max(1, len(rows) // 50)
    return len(rows) / part * seconds(lambda: cdist(rows[:part], rows))


def thin() -> str:
    """A threshold for at most 1,000 of 19,130 frames; reference: one pass of a Python loop at a given threshold."""
    drift = np.cumsum(generator("benchmark", "thin").standard_normal((19_130, 768), dtype=np.float32), axis=0)
    names, frames = [f"{index // 1913:02d}" for index in range(19_130)], [index % 1913 for index in range(19_130)]
    few = Sparsify(None, threshold=None)  # type: ignore[arg-type]
    Sparsify(None)(drift[:50], names[:50], frames[:50])  # type: ignore[arg-type]
    kept = len(few(drift, names, frames))
    spent = seconds(lambda: few(drift, names, frames))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def loop() -> None:
        rows, first = directions(drift), 0
        for row in range(1, len(rows)):
            if names[row] != names[first] or rows[first] @ rows[row] <= 0.97:
                first = row

    return f"19,130 x 768 | {kept:,} | - | {spent:.2f} | {seconds(loop):.2f} | {most:,.0f}"


CASES: dict[str, Callable[[], str]] = {
    "sparsify": thin,
    "kmcentroid_rooms": lambda: choose(KMeans(), "rooms", lambda units: one_clustering(units, 6)),
    "kmcentroid_thinned": lambda: choose(KMeans(), "thinned", lambda units: one_clustering(units, 10)),
    "kmcentroid_frames": lambda: choose(KMeans(), "frames", lambda units: one_clustering(units, 191)),
    "kmfurthest_frames": lambda: choose(KMeans("furthest"), "frames", lambda units: one_clustering(units, 191)),
    "kmcentroid_regions": lambda: choose(KMeans(), "regions", lambda units: one_clustering(units, 500)),
    "probcover_rooms": lambda: choose(ProbCover(13), "rooms", all_pairs),
    "probcover_frames": lambda: choose(ProbCover(19), "frames", all_pairs),
    "probcover_regions": lambda: choose(ProbCover(19), "regions", all_pairs),
}


def main(names: list[str]) -> None:
    """Print the table, a process per case."""
    if len(names) == 2 and names[0] == "--one":
        numba.set_num_threads(1)
        sys.stdout.write(f"| {names[1]} | {CASES[names[1]]()} |\n")
        return
    sys.stdout.write("| case | pool | bought | budget used, % | processor s | reference s | peak MB |\n|---|---|---|---|---|---|---|\n")
    for name in names or CASES:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        sys.stdout.write(subprocess.run([sys.executable, __file__, "--one", name], capture_output=True, text=True, check=True, env=environment).stdout)
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
