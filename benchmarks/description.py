"""Time and memory of describing every point of a room: `python benchmarks/description.py [--points 1000000] [--length 0.02] [--subset 50000]`.

The reference in the same run: the eigenvalue features of the same scales by SciPy's cKDTree and NumPy, on a part of the room; how many times as long
it takes a point, and how far the values of both are apart at most. Everything runs on one thread, compilation is paid before, times are the processor's, the
best of the repeats. Memory is how far the peak of the process is above what it held before, the result included.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from geometry import resident, room
from rich.table import Table
from scipy.spatial import cKDTree

from al3d.geometry.shape import from_corner
from al3d.probes.geometric import Geometric
from al3d.progress import console
from al3d.types import Array, Scene

COMPARED = ("linearity", "planarity", "scattering", "verticality")
SMALL = 2000


def reference(describe: Geometric, scene: Scene) -> Array:
    """COMPARED at every scale, f64[N, 4 * scales], with plain SciPy and NumPy: all neighbours in memory at once."""
    xyz, found = from_corner(scene.xyz).astype(np.float64), []
    asked, back = None, None
    for scale in describe.scales:
        _, inverse, count = np.unique(np.floor(xyz / (scale * describe.length)).astype(np.int64), axis=0, return_inverse=True, return_counts=True)
        inverse = inverse.reshape(-1)
        centre = np.stack([np.bincount(inverse, xyz[:, axis]) for axis in range(3)], axis=1) / count[:, None]
        if asked is None:
            asked, back = centre, inverse
        near = centre[cKDTree(centre).query(asked, describe.neighbours + 1)[1]]
        near -= near.mean(axis=1, keepdims=True)
        values, vectors = np.linalg.eigh(near.transpose(0, 2, 1) @ near)
        shares = values / np.maximum(values[:, 2:], 1e-30)
        shape = (1 - shares[:, 1], shares[:, 1] - shares[:, 0], shares[:, 0], 1 - np.abs(vectors[:, 2, 0]))
        found.append(np.stack(shape, axis=1)[back])
        asked, back = centre, inverse
    return np.concatenate(found, axis=1)


def best(work: Callable[[], Any], repeats: int) -> tuple[Any, float]:
    """The result and the least seconds of the processor: with shared cores the clock says little."""
    result, seconds = None, []
    for _ in range(repeats):
        result = None  # two results at once would count twice in the peak
        started = time.process_time()
        result = work()
        seconds.append(time.process_time() - started)
    return result, min(seconds)


def part(scene: Scene, points: int) -> Scene:
    """About `points` of the points nearest to the middle, as dense as in the whole."""
    order = np.argsort(np.linalg.norm(scene.xyz[:, :2] - scene.xyz[:, :2].mean(axis=0), axis=1))[:points]
    return Scene("part", scene.xyz[order], scene.feat[order])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--length", type=float, default=0.02)
    parser.add_argument("--subset", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    numba.set_num_threads(1)
    describe = Geometric(options.length, ("red", "green", "blue"))
    scene = Scene("room", *room(options.points))
    few = part(scene, options.subset)
    describe(part(scene, SMALL))
    held = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    rows, seconds = best(lambda: describe(scene), options.repeats)
    peak = resident("VmHWM") - held
    ours, few_seconds = best(lambda: describe(few), options.repeats)
    theirs, slow = best(lambda: reference(describe, few), options.repeats)
    table = Table("", "rows", "columns", "seconds", "microseconds a point", "peak MiB", title="one thread")
    console.print(f"a result of {rows.nbytes / 2**20:.0f} MiB, scales {list(describe.scales)} of {options.length} m, {describe.neighbours} neighbours")
    table.add_row("geometric, a room", f"{len(rows):,}", str(rows.shape[1]), f"{seconds:.2f}", f"{seconds / len(rows) * 1e6:.2f}", f"{peak:.0f}")
    table.add_row("geometric, a part of it", f"{len(ours):,}", str(ours.shape[1]), f"{few_seconds:.3f}", f"{few_seconds / len(ours) * 1e6:.2f}", "")
    table.add_row("SciPy and NumPy, the part", f"{len(theirs):,}", str(theirs.shape[1]), f"{slow:.3f}", f"{slow / len(theirs) * 1e6:.2f}", "")
    console.print(table)
    picked = [describe.columns.index(f"{name}_{scale:g}") for scale in describe.scales for name in COMPARED]
    away = np.abs(ours[:, picked] - theirs)
    console.print(f"SciPy and NumPy take {slow / few_seconds:.1f} times as long for {theirs.shape[1]} of the {ours.shape[1]} columns")
    console.print(f"values differ by at most {away.max():.2g}, by more than 1e-4 in {np.mean(away > 1e-4):.2g} of all")


if __name__ == "__main__":
    main()
