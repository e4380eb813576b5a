"""The heavy steps of a harvest and a choice in NumPy and in torch on a device, on synthetic pools of SemanticKITTI's sizes.

One row per case. `numpy` is the reference, in the same process with the same threads; `torch` includes sending the arrays and fetching the result, after
a first run on a small pool. `agrees` compares both results: the share of equal choices or labels, or the largest difference by the largest value.
Seconds are the clock's on a GPU, the process's processor seconds on the CPU, which other work on the machine does not lengthen. `auto` says whether
trainer.compute=auto would compute the case on a GPU. --share makes pools smaller (scans stay whole).
Run: python benchmarks/on_device.py [--device cpu|cuda] [--share 1.0] [CASE ...]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from al3d.acquire.cover import balls
from al3d.acquire.distances import covering, summed
from al3d.acquire.diverse import typicality
from al3d.acquire.embed import embedding
from al3d.acquire.pairwise import Diversity, touched
from al3d.arrays import LEAST
from al3d.data.voxelise import voxelise
from al3d.features.kmeans import kmeans_labels
from al3d.learn.on_device import computing_on
from al3d.progress import console
from al3d.rng import generator
from al3d.types import Scene, View

REGIONS, SCANS, POINTS, VOXELS, CLASSES = 739_235, 19_130, 124_000, 60_000, 19


@dataclass(frozen=True)
class Case:
    """A step of choosing: `make(share)` its arrays, `work(arrays)` the result; `kind` and `size(share)` are what decides with `auto`."""

    name: str
    make: Callable[[float], tuple[np.ndarray, ...]]
    work: Callable[..., np.ndarray]
    kind: str
    size: Callable[[float], float]
    choice: bool = True


def rows(count: int, width: int = 96, name: str = "") -> np.ndarray:
    """Clustered features."""
    random = generator("on device", name, count, width)
    feature = 3 * random.standard_normal((200, width), dtype=np.float32)[random.integers(0, 200, count)]
    for start in range(0, count, 50_000):
        part = feature[start : start + 50_000]
        part += random.standard_normal(part.shape, dtype=np.float32)
    return feature


def farthest(feature: np.ndarray, picks: int) -> np.ndarray:
    """k-center from row 0."""
    covered, taken = covering(feature, np.zeros(1, np.int64)), []
    for _ in range(picks):
        taken.append(covered.farthest()[0])
        covered.take(taken[-1])
    return np.array(taken)


def drawn(feature: np.ndarray, picks: int) -> np.ndarray:
    """What a k-means++ draw reads and does, always at the same rows; the sums that are drawn from."""
    covered = covering(feature, np.zeros(1, np.int64))
    for row in np.linspace(1, len(feature) - 1, picks).astype(int).tolist():
        sums, _ = covered.sums(4096), (covered.farthest(), covered.part(0, 4096))
        covered.close(row, 0)
        covered.take(row)
    return sums


def typical(feature: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """TypiClust's typicality within given clusters."""
    return typicality(feature, cluster, 20)


def pure(feature: np.ndarray, label: np.ndarray) -> np.ndarray:
    """ProbCover's two passes over all pairs."""
    pairs = balls(feature)
    return pairs.within(np.arange(len(feature)), float(np.median(pairs.to_other(label))))


def best_pairs(mean: np.ndarray) -> np.ndarray:
    """SeedAL: the scenes of the best 1,200 of all pairs of scans."""
    return touched(Diversity(np.ones(len(mean)), mean, np.full(len(mean), 5)), "seedal", 1200)


def scan(width: int = 96) -> tuple[np.ndarray, ...]:
    """A predicted scan: units and voxels of points, features and probabilities of voxels."""
    random = generator("on device", "scan")
    inverse = np.sort(np.r_[np.arange(VOXELS), random.integers(0, VOXELS, POINTS - VOXELS)])
    unit = np.sort(random.integers(0, 60, POINTS)).astype(np.int32)
    return unit, inverse, random.random((VOXELS, width), np.float32), random.dirichlet(np.ones(CLASSES), VOXELS).astype(np.float32)


def harvested(kind: str) -> Callable[..., np.ndarray]:
    """Unit features of a scan."""

    def work(unit: np.ndarray, inverse: np.ndarray, feature: np.ndarray, prob: np.ndarray) -> np.ndarray:
        scene = Scene("scan", np.zeros((len(unit), 3), np.float32), np.zeros((len(unit), 1), np.float32))
        total = np.bincount(unit)
        view = View(scene, 0, unit, np.zeros(len(total), np.uint8), np.zeros(len(unit), bool), (), prob, feature, inverse)
        return embedding(view, kind, unit >= 0, np.arange(len(total)), total).astype(np.float32)

    return work


def cloud() -> tuple[np.ndarray]:
    """Points as dense near the sensor as a scanner's."""
    random = generator("on device", "cloud")
    reach, turn = random.exponential(12, POINTS), random.uniform(0, 2 * np.pi, POINTS)
    return (np.stack([reach * np.cos(turn), reach * np.sin(turn), random.normal(0, 1, POINTS)], axis=1).astype(np.float32),)


def labels(count: int, clusters: int) -> np.ndarray:
    return generator("on device", "labels", count).integers(0, clusters, count).astype(np.int32)


CASES = (
    Case("kmeans_150", lambda s: (rows(int(REGIONS * s / 10)),), lambda f: kmeans_labels(f, 150), "products", lambda s: REGIONS * s / 10 * 150 * 96),
    Case("kmeans_400", lambda s: (rows(int(REGIONS * s)),), lambda f: kmeans_labels(f, 400), "products", lambda s: REGIONS * s * 400 * 96),
    Case("kcenter_scans", lambda s: (rows(int(SCANS * s)),), lambda f: farthest(f, 191), "numbers", lambda s: SCANS * s * 96),
    Case("kcenter_regions", lambda s: (rows(int(REGIONS * s)),), lambda f: farthest(f, len(f) // 100), "numbers", lambda s: REGIONS * s * 96),
    Case("badge_200", lambda s: (rows(int(REGIONS * s), 512),), lambda f: drawn(f, 200), "numbers", lambda s: REGIONS * s * 512, False),
    Case("typicality", lambda s: (rows(int(REGIONS * s)), labels(int(REGIONS * s), 500)), typical, "products", lambda s: (REGIONS * s / 500) ** 2 * 96, False),
    Case("fusion", lambda s: (rows(int(250_000 * s)), rows(5000, 96, "known")), summed, "products", lambda s: 250_000 * s * 5000 * 96, False),
    Case("probcover", lambda s: (rows(int(20_000 * s)), labels(int(20_000 * s), 19)), pure, "products", lambda s: (20_000 * s) ** 2 * 96),
    Case("seedal_pairs", lambda s: (rows(int(SCANS * s), 768).astype(np.float64) / 80,), best_pairs, "products", lambda s: (SCANS * s) ** 2 * 768),
    Case("harvest_mean", lambda s: scan(), harvested("mean"), "numbers", lambda s: VOXELS * 96, False),
    Case("harvest_gradient", lambda s: scan(), harvested("gradient"), "numbers", lambda s: VOXELS * 96 * CLASSES, False),
    Case("voxels", lambda s: cloud(), lambda xyz: voxelise(xyz, 0.05)[1], "keys", lambda s: POINTS),
)  # fmt: skip


def measured(case: Case, share: float, device: torch.device | None, repeats: int, clock: Callable[[], float]) -> tuple[float, np.ndarray]:
    """The least seconds of some runs, and the result."""
    with nullcontext() if device is None else computing_on(device, any_size=True):
        case.work(*case.make(min(share, 0.005)))
        arrays, least = case.make(share), np.inf
        for _ in range(repeats):
            started = clock()
            result = case.work(*arrays)
            least = min(least, clock() - started)
    return least, result


def agreement(case: Case, one: np.ndarray, other: np.ndarray) -> str:
    if not case.choice:
        return f"within {np.abs(one.astype(float) - other).max() / max(np.abs(one).max(), 1e-30):.1e}"
    return f"{100 * (one == other).mean():.3f} % equal" if one.shape == other.shape else "other lengths"


def say(text: str) -> None:
    """Prints a line as it is."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def main() -> None:
    """Run the named cases, all by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--json", type=Path, help="add every case to this file too, a line of JSON each")
    parser.add_argument("case", nargs="*", help=f"all unless named: {', '.join(case.name for case in CASES)}")
    given = parser.parse_args()
    unknown = set(given.case) - {case.name for case in CASES}
    if unknown:
        parser.error(f"there is no case {', '.join(sorted(unknown))}")
    device = torch.device(given.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device} ({torch.get_num_threads()} threads)"
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    say(f"device: {name}; share {given.share:g} of the pools")
    say(f"{'case':17} {'numpy s':>9} {'torch s':>9} {'times':>7}  {'auto':5} agrees")
    for case in [case for case in CASES if not given.case or case.name in given.case]:
        here, wanted = measured(case, given.share, None, given.repeats, clock)
        there, got = measured(case, given.share, device, given.repeats, clock)
        auto = "torch" if case.size(given.share) >= LEAST[case.kind] else "numpy"
        say(f"{case.name:17} {here:9.3f} {there:9.3f} {here / there:6.2f}x  {auto:5} {agreement(case, wanted, got)}")
        if given.json is not None:
            with given.json.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"case": case.name, "numpy": here, "torch": there, "agrees": agreement(case, wanted, got)}) + "\n")


if __name__ == "__main__":
    main()
