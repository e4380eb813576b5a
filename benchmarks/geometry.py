"""Time and memory of the geometry on a synthetic room: `python benchmarks/geometry.py [--points 1000000] [--threads 2] [--repeats 3]`.

Compilation is paid before (every function runs once on a small cloud); each figure is the best of the repeats. Memory is how far the peak of
the process is above what it held before the runs (an upper bound), each row in a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from rich.table import Table
from scipy.spatial import cKDTree

from al3d.geometry.camera import overview
from al3d.geometry.features import local_features
from al3d.geometry.neighbours import nearest
from al3d.geometry.render import disc_radius, render
from al3d.geometry.vccs import vccs
from al3d.progress import console
from al3d.rng import generator
from al3d.types import F32

SMALL = 2000


def room(points: int) -> tuple[F32, F32]:
    """A room of 8 x 6 x 3 m with 40 boxes, noise of 5 mm, points evenly on the surfaces, in random order; and colours by place."""
    draw = generator("benchmark room")
    size = np.concatenate([[[8.0, 6, 3]], draw.uniform(0.3, 1.2, (40, 3))])
    corner = np.concatenate([[[0.0, 0, 0]], draw.random((40, 3)) * [6.8, 4.8, 0.5]])
    area = size[:, [1, 0, 0]] * size[:, [2, 2, 1]]
    face = draw.choice(area.size, points, p=area.ravel() / area.sum())
    box, axis = face // 3, face % 3
    place = draw.random((points, 3))
    place[np.arange(points), axis] = draw.integers(0, 2, points)
    xyz = corner[box] + place * size[box] + draw.normal(size=(points, 3)) * 0.005
    rgb = np.clip(0.5 + 0.3 * np.sin(xyz * 3 + box[:, None]) + draw.normal(size=(points, 3)) * 0.03, 0, 1)
    return xyz.astype(np.float32), rgb.astype(np.float32)


def scipy_nearest(xyz: F32, threads: int) -> None:
    cKDTree(xyz).query(xyz, 51, workers=threads)


def prepare(folder: Path, points: int) -> None:
    """Write the room and its disc sizes, so that making them leaves no trace in a measured process."""
    xyz, rgb = room(points)
    np.savez(folder / f"{points}.npz", xyz=xyz, rgb=rgb, radius=disc_radius(xyz))


def task(name: str, folder: Path, points: int, threads: int) -> Callable[[], Any]:
    """What one row of the table runs."""
    with np.load(folder / f"{points}.npz", allow_pickle=False) as stored:
        xyz, rgb, radius = stored["xyz"], stored["rgb"], stored["radius"]
    camera, _ = overview(xyz)
    tasks: dict[str, Callable[[], Any]] = {
        "VCCS 0.1 / 1.0": lambda: vccs(xyz, rgb, 0.1, 1.0),
        "nearest, k = 51": lambda: nearest(xyz, 51),
        "both features": lambda: local_features(xyz, rgb, 50),
        "one view": lambda: render(xyz, np.rint(rgb * 255).astype(np.uint8), camera, radius),
        "scipy cKDTree, k = 51": lambda: scipy_nearest(xyz, threads),
    }
    return tasks[name]


def resident(field: str) -> float:
    """The resident size of this process in MiB: VmRSS now, VmHWM at its peak."""
    return int(Path("/proc/self/status").read_text().split(f"{field}:")[1].split()[0]) / 1024


def measure(name: str, folder: Path, points: int, threads: int, repeats: int) -> tuple[float, float]:
    """Best seconds and peak MiB of one row, after compilation."""
    numba.set_num_threads(threads)
    task(name, folder, SMALL, threads)()
    run = task(name, folder, points, threads)
    before, seconds = resident("VmRSS"), []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return min(seconds), resident("VmHWM") - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    names = ("VCCS 0.1 / 1.0", "nearest, k = 51", "both features", "one view", "scipy cKDTree, k = 51")
    context = multiprocessing.get_context("spawn")
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        with context.Pool(1) as pool:
            pool.starmap(prepare, [(Path(folder), points) for points in (SMALL, options.points)])
        for name in names:
            with context.Pool(1) as pool:
                rows[name] = pool.apply(measure, (name, Path(folder), options.points, options.threads, options.repeats))
    table = Table("", "seconds", "peak MiB", title=f"{options.points} points, {options.threads} threads")
    for name, (seconds, memory) in rows.items():
        table.add_row(name, f"{seconds:.2f}", f"{memory:.0f}")
    console.print(table)
    ratio = rows["scipy cKDTree, k = 51"][0] / rows["nearest, k = 51"][0]
    console.print(f"nearest is {ratio:.1f} times as fast as cKDTree in file order with workers={options.threads}")


if __name__ == "__main__":
    main()
