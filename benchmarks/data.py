"""From store to batch: milliseconds per stage, scenes per second on 2 cores and peak memory, for a large room and a LiDAR scan.

python benchmarks/data.py [--points N] [--repeats N]: stages are medians of processor time over scenes and repeats, on one core, in a
process of their own; scenes per second are by the clock. Peak memory is above what the process held before the first scene. The reference
is the published way to voxels, in NumPy alone: sorted distinct ravelled cells, and the first point's inputs and label.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from rich.table import Table

from al3d.data.augment import Augmentation, Colour, Elastic, Rotate, Scale, Turn
from al3d.data.batch import Voxeliser, collate
from al3d.data.datamodule import RoundData
from al3d.data.labels import LabelState
from al3d.data.oracle import SimulatedOracle
from al3d.data.prepare import prepare
from al3d.data.store import Store
from al3d.progress import console
from al3d.rng import generator
from al3d.types import F32, I64, U8, ClassTable, Scene
from al3d.units.scene import SceneUnit
from al3d.world.rooms import make_room

SCENES = 3
BEAMS, LIDAR_POINTS = 64, 120_000
STAGES = ("read + labels", "augment", "voxelise", "collate")
AUGMENT: dict[str, tuple[Augmentation, ...]] = {
    "room": (Elastic(), Rotate(), Scale(), Colour()),
    "scan": (Turn(), Scale(spread=0.05, isotropic=True, probability=1.0)),
}


def scan(index: int, beams: int = BEAMS, points: int = LIDAR_POINTS) -> tuple[F32, F32]:
    """One turn of `beams` between 2 and -24.8 degrees, 1.73 m above a plane, among walls at 5 to 60 m: xyz f32[N,3], intensity f32[N,1]."""
    draw = generator("benchmark scan", index)
    elevation = np.repeat(np.deg2rad(np.linspace(2, -24.8, beams)), points // beams)
    azimuth = np.tile(np.linspace(0, 2 * np.pi, points // beams, endpoint=False), beams) + draw.normal(0, 1e-4, len(elevation))
    walls = draw.uniform(5, 60, 90)[(azimuth / (2 * np.pi) * 90).astype(int) % 90] / np.cos(elevation)
    with np.errstate(divide="ignore"):
        ground = np.where(elevation < 0, 1.73 / np.sin(-np.minimum(elevation, 0)), np.inf)
    reach = np.minimum(walls, ground) + draw.normal(0, 0.02, len(elevation))
    flat = np.cos(elevation) * reach
    xyz = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation) * reach], axis=1)
    return xyz.astype(np.float32), draw.random((len(xyz), 1), np.float32)


@dataclass(frozen=True)
class Generated:
    """A source of a few scenes that are made when they are read; exactly `points` points in a room."""

    name: str
    points: int

    @property
    def classes(self) -> ClassTable:
        """Thirteen classes without a meaning."""
        return ClassTable(tuple(f"class {index}" for index in range(13)), ((0, 0, 0),) * 13)

    @property
    def features(self) -> tuple[str, ...]:
        """Colours or intensity."""
        return ("red", "green", "blue") if self.name == "room" else ("intensity",)

    @property
    def scale(self) -> dict[str, float]:
        """No lengths of its own."""
        return {}

    @property
    def splits(self) -> tuple[str, ...]:
        """Train and val."""
        return ("train", "val")

    @property
    def published(self) -> dict[str, int]:
        """Nothing is published."""
        return {}

    def scenes(self, split: str) -> tuple[str, ...]:
        """A few training scenes, one to validate."""
        return tuple(f"{split}_{index}" for index in range(SCENES if split == "train" else 1))

    def read(self, scene_id: str) -> tuple[Scene, U8]:
        """One room or one scan, with labels by place."""
        index = int(scene_id.split("_")[1])
        if self.name == "room":
            _, cloud = make_room(1, 4 * index, 2 * self.points)
            kept = np.sort(generator("benchmark room", index).permutation(len(cloud.xyz))[: self.points])
            xyz, feat = cloud.xyz[kept].astype(np.float32), cloud.color[kept].astype(np.float32)
            xyz = xyz - np.floor(xyz.min(axis=0))
        else:
            xyz, feat = scan(index)
        return Scene(scene_id, xyz, feat), (np.abs(xyz).sum(axis=1) // 1 % 13).astype(np.uint8)

    def fingerprint(self) -> str:
        """The options."""
        return f"{self.name}-{self.points}"


def opened(folder: Path, kind: str, points: int) -> tuple[Store, RoundData]:
    """The store and the loaders of a round in which every training scene is labelled."""
    store = prepare(Generated(kind, points), folder)
    labels = LabelState(folder / f"labels-{kind}", store)
    if not labels.rounds:
        labels.append({name: [0] for name in store.splits["train"]}, SceneUnit(), {})
    columns = ("x", "y", "z")
    voxeliser = Voxeliser(0.05, (*store.features, *columns), store.features, len(store.classes))
    data = RoundData(store, SimulatedOracle(store), labels, voxeliser, AUGMENT[kind], 0, 1, batch_size=1, batches=20)
    return store, data


def made(folder: Path, kind: str, points: int) -> None:
    """Prepare the store, so that making it leaves no trace in a measured process."""
    opened(folder, kind, points)


def reference(xyz: F32, feat: F32, label: U8, size: float) -> tuple[I64, F32, U8, I64]:
    """Distinct cells by one sort of ravelled numbers, then rows of first points; what the papers' code does on one core."""
    cells = np.floor(xyz / size).astype(np.int64)
    cells -= cells.min(axis=0)
    spans = cells.max(axis=0) + 1
    ravelled = (cells[:, 0] * spans[1] + cells[:, 1]) * spans[2] + cells[:, 2]
    _, first, inverse = np.unique(ravelled, return_index=True, return_inverse=True)
    return cells[first], np.concatenate([xyz, feat], axis=1)[first], label[first], inverse


def small(store: Store) -> tuple[F32, F32, U8]:
    """A few points, shaped as the store's."""
    scene = store.scene(store.splits["train"][0])
    return np.array(scene.xyz[:100]), np.array(scene.feat[:100]), np.zeros(100, np.uint8)


def resident(field: str, process: int | str = "self") -> float:
    """The resident size of a process in MiB: VmRSS now, VmHWM at its peak."""
    return int(Path(f"/proc/{process}/status").read_text().split(f"{field}:")[1].split()[0]) / 1024


def forget_peak(process: int | str) -> None:
    """Count the peak from now on."""
    Path(f"/proc/{process}/clear_refs").write_text("5")


def timed(work: Callable[[], Any], seconds: dict[str, list[float]], stage: str) -> Any:
    started = time.process_time()
    result = work()
    seconds[stage].append(time.process_time() - started)
    return result


def stages(folder: Path, kind: str, points: int, repeats: int) -> dict[str, float]:
    """Median milliseconds of each stage of `TrainScenes`, and of the reference, over all scenes and repeats; `peak` MiB above idle."""
    one_thread()
    store, data = opened(folder, kind, points)
    oracle, seconds = SimulatedOracle(store), {stage: [] for stage in (*STAGES, "reference")}
    data.voxeliser(*small(store))  # compiled before anything is measured
    idle = resident("VmRSS")
    forget_peak("self")
    for number in range(repeats):
        for name in store.splits["train"]:

            def read(name: str = name) -> tuple[F32, F32, U8]:
                scene = store.scene(name)
                return np.array(scene.xyz), np.array(scene.feat), oracle.answer(name, data.labels.asked(name, 0))

            def augment(xyz: F32, feat: F32, draw: np.random.Generator) -> tuple[F32, F32]:
                for step in data.augment:
                    xyz, feat = step(xyz, feat, draw)
                return xyz.astype(np.float32), feat

            xyz, feat, label = timed(read, seconds, "read + labels")
            xyz, feat = timed(lambda: augment(xyz, feat, generator(name, number)), seconds, "augment")  # noqa: B023  (called at once)
            voxels = timed(lambda: data.voxeliser(xyz, feat, label), seconds, "voxelise")  # noqa: B023
            timed(lambda: collate([(0, voxels)]), seconds, "collate")  # noqa: B023
    peak = resident("VmHWM") - idle
    for name in store.splits["train"]:
        scene = store.scene(name)
        xyz, feat, label = np.array(scene.xyz), np.array(scene.feat), oracle.answer(name, data.labels.asked(name, 0))
        for _ in range(repeats):
            timed(lambda: reference(xyz, feat, label, 0.05), seconds, "reference")  # noqa: B023
    return {stage: 1000 * statistics.median(values) for stage, values in seconds.items()} | {"peak": peak, "voxels": float(len(voxels.coord))}


def rate(folder: Path, kind: str, points: int, workers: int) -> tuple[float, float]:
    """Scenes per second through the loader, and the largest peak MiB of its workers (of this process without any)."""
    one_thread()
    _, data = opened(folder, kind, points)
    data.workers = workers
    iterator = iter(data.train_dataloader())
    for _ in range(2 * max(workers, 1)):
        next(iterator)
    started, count = time.perf_counter(), 0
    for _ in iterator:
        count += 1
    seconds = time.perf_counter() - started
    peaks = [resident("VmHWM", worker.pid) for worker in iterator._workers] if workers else [resident("VmHWM")]
    return count / seconds, max(peaks)


def one_thread() -> None:
    torch.set_num_threads(1)
    numba.set_num_threads(1)


def alone(work: Callable[..., Any], *arguments: Any) -> Any:
    """The result of `work` in a fresh process that may have children."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=_answer, args=(answers, work, *arguments))
    process.start()
    result = answers.get(timeout=600)
    process.join()
    return result


def _answer(answers: Any, work: Callable[..., Any], *arguments: Any) -> None:
    answers.put(work(*arguments))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=1_000_000, help="points of a room; a scan has 120,000")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    table = Table("", "room", "scan", title=f"from store to batch: a room of {options.points:,} points and a scan of {LIDAR_POINTS:,}, voxels of 5 cm")
    with tempfile.TemporaryDirectory() as name:
        folder, kinds = Path(name), ("room", "scan")
        for kind in kinds:
            alone(made, folder, kind, options.points)
        found = {kind: alone(stages, folder, kind, options.points, options.repeats) for kind in kinds}
        rates = {(kind, workers): alone(rate, folder, kind, options.points, workers) for kind in kinds for workers in (0, 2)}
    for stage in STAGES:
        table.add_row(f"{stage}, ms", *(f"{found[kind][stage]:.1f}" for kind in kinds))
    table.add_row("voxels", *(f"{found[kind]['voxels']:,.0f}" for kind in kinds))
    table.add_row("reference voxelise (first point), ms", *(f"{found[kind]['reference']:.1f}" for kind in kinds))
    table.add_row("voxelise / reference", *(f"{found[kind]['voxelise'] / found[kind]['reference']:.2f}" for kind in kinds))
    table.add_row("scenes per second, no worker", *(f"{rates[kind, 0][0]:.1f}" for kind in kinds))
    table.add_row("scenes per second, 2 workers", *(f"{rates[kind, 2][0]:.1f}" for kind in kinds))
    table.add_row("peak MiB above idle, one scene at a time", *(f"{found[kind]['peak']:.0f}" for kind in kinds))
    table.add_row("peak MiB of one of 2 workers, all told", *(f"{rates[kind, 2][1]:.0f}" for kind in kinds))
    console.print(table)


if __name__ == "__main__":
    main()
