"""The label log at the size of SemanticKITTI: bytes on disk, seconds to open it, seconds to form a scene's mask.

python benchmarks/labels.py [scans]: prints one table row per number of rounds. Scans share eight partition files, as links.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from al3d.data.hashing import hash_of
from al3d.data.labels import LabelState
from al3d.rng import generator
from al3d.units.supervoxel import Supervoxel

POINTS, UNITS, FILES = 120_000, 1_500, 8


class FakeStore:
    """Sizes, and a folder of unit ids in which many scans are links to few files."""

    def __init__(self, path: Path, scans: int, partitioner: Supervoxel) -> None:
        self.path = path
        names = [f"{index // 2000:02d}_{index % 2000:06d}" for index in range(scans)]
        self.sizes: Mapping[str, int] = dict.fromkeys(names, POINTS)
        folder = path / "unit" / hash_of(partitioner)
        folder.mkdir(parents=True)
        shared = [_partition(path / f"{number}.npy", number) for number in range(FILES)]
        self.files = dict(zip(names, (shared[index % FILES] for index in range(scans)), strict=True))
        for name, file in self.files.items():
            os.symlink(file, folder / f"{name}.npy")
        self.ids = {file: np.load(file) for file in shared}

    def unit(self, partitioner: Supervoxel, name: str) -> np.ndarray:
        """Unit ids of a scan."""
        return self.ids[self.files[name]]


def _partition(path: Path, number: int) -> Path:
    """Runs of equal ids, as a sweep over regions gives them, with a few points outside."""
    random = generator("partition", number)
    ids = np.sort(random.integers(0, UNITS, POINTS)).astype(np.int32)
    ids[random.random(POINTS) < 0.01] = -1
    np.save(path, ids)
    return path


def fastest(work: Callable[[], object], repeats: int = 7) -> float:
    """The smallest processor time of several repeats, in seconds."""
    times = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


def measure(folder: Path, scans: int, rounds: int) -> dict[str, float]:
    """Buy 1 % of the regions of every scan in every round; then measure `bytes`, `open` and `asked` (seconds)."""
    partitioner = Supervoxel(0.1, 2.0)
    store = FakeStore(folder / "store", scans, partitioner)
    labels = LabelState(folder / "run", store)  # type: ignore[arg-type]
    for round_index in range(rounds):
        chosen = generator("buy", round_index).integers(0, UNITS, (scans, UNITS // 100))
        labels.append({name: chosen[row].tolist() for row, name in enumerate(store.sizes)}, partitioner, {"round": round_index})
    size = sum(file.stat().st_size for file in (folder / "run").rglob("*") if file.is_file())
    some = list(store.sizes)[:: max(1, scans // 40)]
    fresh = LabelState(folder / "run", store)  # type: ignore[arg-type]
    each = fastest(lambda: [fresh.asked(name) for name in some]) / len(some)
    return {"bytes": float(size), "open": fastest(lambda: LabelState(folder / "run", store)), "asked": each}  # type: ignore[arg-type]


def main() -> None:
    """Print the table."""
    scans = int(sys.argv[1]) if len(sys.argv) > 1 else 19_130
    print(f"{scans:,} scans of {POINTS:,} points, {UNITS:,} units each, {UNITS // 100} bought in every scan and round")
    print("rounds   megabytes   open (ms)   a scene's mask (ms)")
    for rounds in (1, 5, 10):
        with tempfile.TemporaryDirectory() as folder:
            figures = measure(Path(folder), scans, rounds)
        print(f"{rounds:6}   {figures['bytes'] / 1e6:9.1f}   {figures['open'] * 1e3:9.2f}   {figures['asked'] * 1e3:19.2f}")


if __name__ == "__main__":
    main()
