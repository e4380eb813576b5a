"""Time and memory of every unit of conf/unit: `python benchmarks/units.py [--points 100000 1000000 5000000] [--threads 2] [--repeats 2] [--units voxel ...]`.

Clouds are a furnished room (dataset=rooms, its lengths), and with --scan a scanner's frame (dataset=semantic_kitti, its lengths).
Compilation is paid before, on a small cloud. Each figure is the best of the repeats, in a process of its own that reads the cloud from a file;
memory is the peak above what the process held before, its free memory given back.
The ratio is the time over that of `np.unique` on the room's 25 cm cells in the same process: sorting the points once, the least that a unit of space costs.
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import os
import tempfile
import time
from pathlib import Path

import numba
import numpy as np
from geometry import resident, room
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from rich.table import Table

from al3d.progress import console
from al3d.rng import generator
from al3d.types import F32, Partitioner, Scene

CONF = Path(__file__).resolve().parents[1] / "conf"
SMALL = 3000
DATASETS = {"room": "rooms", "scan": "semantic_kitti"}


def scan(points: int) -> tuple[F32, F32]:
    """A flat street with 60 boxes as a scanner sees it, the spacing growing with the distance up to 70 m."""
    draw = generator("benchmark scan")
    away, turn = 3 * (70 / 3) ** draw.random(points), draw.random(points) * 2 * np.pi
    xyz = np.stack([away * np.cos(turn), away * np.sin(turn), -1.7 + draw.normal(0, 0.02, points)], axis=1)
    boxes = draw.uniform(-60, 60, (60, 2))
    inside = np.flatnonzero(draw.random(points) < 0.4)
    size = draw.uniform(1, 6, (60, 3))
    which = draw.integers(0, 60, len(inside))
    xyz[inside] = np.column_stack([boxes[which], np.full(len(inside), -1.7)]) + draw.random((len(inside), 3)) * size[which]
    return xyz.astype(np.float32), np.zeros((points, 1), np.float32)


def write(folder: Path, kind: str, points: int) -> None:
    """Write a cloud, so that making it leaves no trace in a measured process."""
    xyz, feat = room(points) if kind == "room" else scan(points)
    np.savez(folder / f"{points}.npz", xyz=xyz, feat=feat)


def scene_of(folder: Path, points: int) -> Scene:
    """The cloud of a row."""
    with np.load(folder / f"{points}.npz", allow_pickle=False) as stored:
        return Scene(f"cloud-{points}", stored["xyz"], stored["feat"])


def unit_of(name: str, kind: str) -> Partitioner:
    """A unit of conf/unit with the lengths of the data set that the cloud stands for."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", [f"dataset={DATASETS[kind]}", "dataset.root=." if kind == "scan" else "rng=1", f"unit@acquire.unit={name}"])
    unit: Partitioner = instantiate(config.acquire.unit)
    return unit


def measure(folder: Path, name: str, kind: str, points: int, threads: int, repeats: int) -> tuple[float, float, float, int] | str:
    """Best seconds, the reference's, peak MiB and the number of units; or why there are none."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    numba.set_num_threads(threads)
    try:
        unit = unit_of(name, kind)
        unit(scene_of(folder, SMALL))
        scene = scene_of(folder, points)
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        before, seconds = resident("VmRSS"), []
        for _ in range(repeats):
            started = time.perf_counter()
            ids = unit(scene).unit
            seconds.append(time.perf_counter() - started)
        memory = resident("VmHWM") - before
        reference = min(_sorting(scene) for _ in range(repeats))
        return min(seconds), reference, memory, int(ids.max(initial=-1)) + 1
    except (ValueError, ImportError) as error:
        return str(error).splitlines()[0][:60]


def within(limit: int, row: tuple[Path, str, str, int, int, int]) -> tuple[float, float, float, int] | str:
    """`measure` in a process of its own, which is ended after `limit` seconds."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        try:
            return pool.apply_async(measure, row).get(timeout=limit)
        except multiprocessing.TimeoutError:
            return f"over {limit} s"


def _sorting(scene: Scene) -> float:
    started = time.perf_counter()
    cell = np.floor(scene.xyz / 0.25).astype(np.int64) + 2**20
    np.unique((cell[:, 0] << 42) | (cell[:, 1] << 21) | cell[:, 2], return_inverse=True)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, nargs="+", default=[100_000, 1_000_000, 5_000_000])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--limit", type=int, default=300, help="seconds that one row may take")
    parser.add_argument("--scan", action="store_true", help="a scanner's frame in place of the room")
    parser.add_argument("--units", nargs="+", help="some of conf/unit (all)")
    options = parser.parse_args()
    kind = "scan" if options.scan else "room"
    names = options.units or [path.stem for path in sorted((CONF / "unit").glob("*.yaml")) if not path.stem.startswith("_")]
    table = Table("unit", "points", "units", "seconds", "x sorting", "peak MiB", title=f"a {kind}, {options.threads} threads, best of {options.repeats}")
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        with context.Pool(1) as pool:
            pool.starmap(write, [(Path(folder), kind, points) for points in (SMALL, *options.points)])
        for name in names:
            for points in options.points:
                found = within(options.limit, (Path(folder), name, kind, points, options.threads, options.repeats))
                if isinstance(found, str):
                    table.add_row(name, f"{points:,}", found)
                    continue
                seconds, reference, memory, units = found
                table.add_row(name, f"{points:,}", f"{units:,}", f"{seconds:.3f}", f"{seconds / reference:.1f}", f"{memory:.0f}")
    console.print(table)


if __name__ == "__main__":
    main()
