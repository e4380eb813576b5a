"""The time and disk of preparing the full data sets on 16 cores, computed from rates that are measured here on one.

python benchmarks/scale.py [--cores 16] [--scenes 3]: generates a few scenes of each data set in its official files and size, prepares them with
one process through its own source and scales up. Rates are by the clock, read and write included, from a warm cache; cores are taken to add up,
which holds while the disk keeps up.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
from rich.table import Table

from al3d.data.extras import ColourDiscontinuity, Extra, SurfaceVariation
from al3d.data.prepare import prepare
from al3d.data.sources.nuscenes import NuScenes
from al3d.data.sources.s3dis import S3DIS
from al3d.data.sources.scannet import ScanNet
from al3d.data.sources.semantic_kitti import SemanticKITTI
from al3d.progress import console
from al3d.types import Partitioner, Scene, Source
from al3d.units.supervoxel import Supervoxel
from al3d.world.drives import write_nuscenes_drives, write_semantic_kitti_drives
from al3d.world.rooms import write_rooms
from al3d.world.scannet import write_scannet


@dataclass(frozen=True)
class DataSet:
    """A published data set: its scenes (and those to train on, which get extras and units) and the points of a scene."""

    name: str
    scenes: int
    train: int
    points: int
    extras: tuple[Extra, ...]
    unit: Partitioner


COLOURED = (SurfaceVariation(50), ColourDiscontinuity(50))
INDOOR, OUTDOOR = Supervoxel(0.1, 1.0), Supervoxel(0.5, 10.0, colour=0.0, spatial=1.0)
DATA_SETS = (
    DataSet("S3DIS", 272, 204, 273_000_000 // 272, COLOURED, INDOOR),
    DataSet("ScanNet", 1_513, 1_201, 150_000, COLOURED, INDOOR),
    DataSet("nuScenes", 34_149, 28_130, 34_688, COLOURED[:1], OUTDOOR),
    DataSet("SemanticKITTI", 23_201, 19_130, 122_821, COLOURED[:1], OUTDOOR),
)


def written(root: Path, name: str, scenes: int) -> Source:
    """About `scenes` generated scenes in the data set's official files, of its own size, and the source that reads them."""
    if name == "S3DIS":
        write_rooms(root, scenes + 1, points=1_000_000)
        return S3DIS(root)
    if name == "ScanNet":
        write_scannet(root, scenes + 1, points=150_000)
        return ScanNet(root, frames=0)
    if name == "nuScenes":
        write_nuscenes_drives(root, 2, frames=scenes)
        return NuScenes(root, version="v1.0-mini")
    write_semantic_kitti_drives(root, 2, frames=scenes, shots=False)
    return SemanticKITTI(root, splits={"train": ("00",), "val": ("08",)})


def clocked(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def measure(folder: Path, what: DataSet, scenes: int) -> dict[str, float]:
    """Seconds of one core per million points: `scenes` (read, hash, write), each extra, `units`; `bytes` on disk per point; `points` per scene."""
    source = written(folder / "raw", what.name, scenes)
    listed = source.scenes("train")
    first, _ = source.read(listed[0])  # compiled, and in the cache
    small = Scene("small", first.xyz[:5000], first.feat[:5000])
    for maker in (*what.extras, what.unit):
        maker(small)
    seconds: dict[str, float] = {}
    seconds["read"], _ = clocked(lambda: [source.read(scene) for scene in listed])
    seconds["scenes"], store = clocked(lambda: prepare(source, folder, ("train",)))
    for extra in what.extras:
        seconds[extra.name], _ = clocked(lambda: prepare(source, folder, ("train",), extras=(extra,)))  # noqa: B023  (called at once)
    seconds["units"], _ = clocked(lambda: prepare(source, folder, ("train",), partitioners=(what.unit,)))
    points = sum(store.sizes.values())
    size = {part: sum(file.stat().st_size for file in (store.path / part).rglob("*") if file.is_file()) for part in ("scenes", "truth", "extra", "unit")}
    rates = {name: value / points * 1e6 for name, value in seconds.items()}
    return rates | {"bytes": (size["scenes"] + size["truth"]) / points, "train bytes": (size["extra"] + size["unit"]) / points, "points": points / len(listed)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cores", type=int, default=16)
    parser.add_argument("--scenes", type=int, default=3)
    options = parser.parse_args()
    numba.set_num_threads(1)
    columns = ("", "read", "read + write", "surface variation", "colour discontinuity", "VCCS", "bytes a point: scenes + train")
    rates = Table(*columns, title="seconds of one core per million points")
    columns = ("", "scenes", "million points", "scenes, core hours", "extras", "VCCS", f"minutes on {options.cores} cores", "GB on disk")
    totals = Table(*columns, title="full data sets")
    for what in DATA_SETS:
        with tempfile.TemporaryDirectory() as name:
            found = measure(Path(name), what, options.scenes)
        extras = [found.get(key) for key in ("surface_variation", "colour_discontinuity")]
        shown = [f"{value:.2f}" if value is not None else "-" for value in (found["read"], found["scenes"], *extras, found["units"])]
        rates.add_row(what.name, *shown, f"{found['bytes']:.1f} + {found['train bytes']:.1f}")
        million, train = what.scenes * what.points / 1e6, what.train * what.points / 1e6
        hours = [million * found["scenes"] / 3600, train * sum(value or 0 for value in extras) / 3600, train * found["units"] / 3600]
        gigabytes = (million * found["bytes"] + train * found["train bytes"]) / 1e3
        totals.add_row(
            what.name, f"{what.scenes:,}", f"{million:,.0f}", *(f"{one:.2f}" for one in hours), f"{sum(hours) * 60 / options.cores:.1f}", f"{gigabytes:,.1f}"
        )
    console.width = max(console.width, 130)
    console.print(rates)
    console.print(totals)


if __name__ == "__main__":
    main()
