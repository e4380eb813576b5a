"""How much labels depend on tiles, and how fast and in how much memory a large scan is labelled.

python benchmarks/predict.py RUN [--rooms 12] [--points 20000000] [--only tiles|speed]: RUN is the folder of a run on generated rooms
(python train.py experiment=first_round seed=random dataset=rooms). The scan is a building of copies of its validation rooms, side by side. The
reference of the first table is the network on the whole building at once, that of the second is reading the same file with laspy and nothing else.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import laspy
import numpy as np
import torch
from rich.table import Table as Lines

from al3d.predict.command import Options, predict
from al3d.predict.pieces import survey, voxelised
from al3d.predict.scans import FileReader, las_chunks
from al3d.predict.table import Table
from al3d.predict.tiling import boxes, density, run_tiles
from al3d.predict.trained import Trained, load
from al3d.progress import console


def rooms_of(trained: Trained) -> list[tuple[Any, Any]]:
    """Places and colours of the validation rooms."""
    if trained.source is None:
        raise ValueError("the run's data set was not opened")
    return [(scene.xyz, scene.feat) for scene in (trained.source.read(name)[0] for name in trained.source.scenes("val"))]


def building(rooms: list[tuple[Any, Any]], count: int) -> Iterator[tuple[Any, Any]]:
    """`count` rooms in a square, each in a field as large as the largest room and a wall's thickness."""
    side = int(np.ceil(np.sqrt(count)))
    field = np.max([xyz.max(axis=0) - xyz.min(axis=0) for xyz, _ in rooms], axis=0) + 0.2
    for number in range(count):
        xyz, colour = rooms[number % len(rooms)]
        place = np.array([number % side, number // side, 0]) * field
        yield xyz - xyz.min(axis=0) + place, colour


def write_building(path: Path, rooms: list[tuple[Any, Any]], count: int) -> int:
    """A LAS file of the building, in millimetres; returns its points."""
    header = laspy.LasHeader(point_format=7, version="1.4")
    header.offsets, header.scales = np.array([500000.0, 4000000.0, 100.0]), np.full(3, 0.001)
    points = 0
    with laspy.open(path, mode="w", header=header) as writer:
        for xyz, colour in building(rooms, count):
            record = laspy.ScaleAwarePointRecord.zeros(len(xyz), header=header)
            for place, axis in enumerate("xyz"):
                record[axis] = xyz[:, place] + header.offsets[place]
            for place, name in enumerate(("red", "green", "blue")):
                record[name] = np.rint(colour[:, place] * 255).astype(np.uint16) << 8
            writer.write_points(record)
            points += len(xyz)
    return points


def tile_table(trained: Trained, path: Path) -> None:
    """Labels and probabilities of tiled runs against those of the whole building."""
    reader = FileReader(path, trained.inputs.attributes)
    found = survey(reader, trained.frame)
    cells = voxelised(reader, trained.frame, trained.inputs, found).cells

    def run(most: int | None, halo: int) -> tuple[Any, Any, int, float]:
        prob = Table(None, cells.count, {"prob": (np.float32, len(trained.classes))})
        tiles, started = boxes(density(cells), most, halo), time.process_time()
        *_, (_, labelled) = run_tiles(trained.net, cells, tiles, halo, trained.device, prob)
        return labelled.label.copy(), prob.read("prob", 0, prob.rows), len(tiles), time.process_time() - started

    label, prob, _, seconds = run(None, 0)
    console.print(f"whole: {cells.count:,} voxels of {trained.inputs.size} m in {seconds:.1f} s of one core, {found.points:,} points")
    lines = Lines("at most seen", "halo", "tiles", "other label, %", "largest difference of a probability", "99.9 % below", "core time, whole = 1")
    for most in (cells.count // 2, cells.count // 4, cells.count // 10):
        for halo in (0, 16, 32, 64, 96, 128, 192):
            other, values, tiles, taken = run(most, halo)
            difference = np.abs(values - prob).max(axis=1)
            numbers = (f"{100 * (other != label).mean():.4f}", f"{difference.max():.5f}", f"{np.quantile(difference, 0.999):.5f}", f"{taken / seconds:.1f}")
            lines.add_row(f"{most:,}", str(halo), str(tiles), *numbers)
    console.print(lines)


class Watch(threading.Thread):
    """The largest memory of this process that no file backs, in bytes, looked up ten times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most, self.running = 0, True

    def run(self) -> None:
        while self.running:
            lines = Path("/proc/self/status").read_text().splitlines()
            self.most = max([self.most, *(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))])
            time.sleep(0.1)


def speed(run: Path, path: Path, out: Path) -> None:
    """One line: seconds and peaks of labelling one file, in a process of its own."""
    watch = Watch()
    watch.start()
    started, begun = time.perf_counter(), time.process_time()
    predict(Options(run=run, scans=str(path), out=out, format="las"))
    seconds, cores = time.perf_counter() - started, time.process_time() - begun
    watch.running = False
    resident = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    console.print(f"RESULT {seconds:.2f} {cores:.2f} {watch.most} {resident}")


def speed_table(run: Path, folder: Path, rooms: list[tuple[Any, Any]], points: int) -> None:
    lines = Lines("points", "MB file", "s", "core s", "points per core s", "laspy reads, core s", "peak MB (own)", "peak MB (resident)")
    average = sum(len(xyz) for xyz, _ in rooms) / len(rooms)
    for wanted in (points // 20, points // 4, points):
        path = folder / f"building_{wanted}.las"
        count = write_building(path, rooms, max(1, round(wanted / average)))
        started = time.process_time()
        chunks = las_chunks(path, 1_000_000)
        next(chunks)
        sum(float(np.asarray(chunk["x"]).sum()) for chunk in chunks)
        reading = time.process_time() - started
        words = [sys.executable, __file__, str(run), "--file", str(path), "--out", str(folder / f"out_{wanted}")]
        told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        seconds, cores, own, resident = (float(word) for word in told.split("RESULT ")[1].split()[:4])
        size = f"{path.stat().st_size / 1e6:,.0f}"
        lines.add_row(
            f"{count:,}", size, f"{seconds:.0f}", f"{cores:.0f}", f"{count / cores:,.0f}", f"{reading:.1f}", f"{own / 1e6:,.0f}", f"{resident / 1e6:,.0f}"
        )
        path.unlink()
    console.print(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--rooms", type=int, default=12)
    parser.add_argument("--points", type=int, default=20_000_000)
    parser.add_argument("--only", choices=("tiles", "speed"))
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.file:
        speed(given.run, given.file, given.out)
        return
    trained = load(given.run, with_source=True)
    rooms = rooms_of(trained)
    with tempfile.TemporaryDirectory() as folder:
        if given.only != "speed":
            write_building(Path(folder, "building.las"), rooms, given.rooms)
            tile_table(trained, Path(folder, "building.las"))
        if given.only != "tiles":
            speed_table(given.run, Path(folder), rooms, given.points)


if __name__ == "__main__":
    main()
