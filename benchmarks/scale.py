"""The time and disk of preparing the full data sets on 16 cores, computed from rates that are measured here on one.

python benchmarks/scale.py [--cores 16] [--scenes 3]: writes a few scenes of each official raw format and size, prepares them with one process
and scales up. Rates are by the clock, read and write included, from a warm cache; cores are taken to add up, which holds while the disk keeps up.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.lib.recfunctions import repack_fields
from plyfile import PlyData, PlyElement
from rich.table import Table

from al3d.data.extras import ColourDiscontinuity, Extra, SurfaceVariation
from al3d.data.prepare import prepare
from al3d.data.sources.ply import read_ply
from al3d.data.sources.s3dis import S3DIS
from al3d.progress import console
from al3d.types import U8, ClassTable, Partitioner, Scene
from al3d.units.supervoxel import Supervoxel
from al3d.world.rooms import make_room, write_room
from data import scan


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


@dataclass(frozen=True)
class Raw:
    """A source that reads scenes in the data set's raw format, with the parts of al3d that its own source reads with."""

    root: Path
    name: str
    count: int

    @property
    def classes(self) -> ClassTable:
        """As many classes as labels can have."""
        return ClassTable(tuple(str(index) for index in range(20)), ((0, 0, 0),) * 20)

    @property
    def features(self) -> tuple[str, ...]:
        """Colours or intensity."""
        return ("red", "green", "blue") if self.name in ("S3DIS", "ScanNet") else ("intensity",)

    @property
    def scale(self) -> dict[str, float]:
        """No lengths of its own."""
        return {}

    @property
    def splits(self) -> tuple[str, ...]:
        """Train alone."""
        return ("train",)

    @property
    def published(self) -> dict[str, int]:
        """Nothing to check against."""
        return {}

    def scenes(self, split: str) -> tuple[str, ...]:
        """`count` scenes."""
        return tuple(f"scene_{index}" for index in range(self.count))

    def read(self, scene_id: str) -> tuple[Scene, U8]:
        """One scene from its files."""
        base = self.root / scene_id
        if self.name == "S3DIS":
            source = S3DIS(base, splits={"train": (1, 2, 3, 4, 6)})
            scene, label = source.read(_only(source.scenes("train")))
            return Scene(scene_id, scene.xyz, scene.feat), label
        if self.name == "ScanNet":
            cloud, labels = read_ply(base / "mesh.ply"), read_ply(base / "labels.ply")
            xyz = cloud.xyz - np.floor(cloud.xyz.min(axis=0))
            return Scene(scene_id, xyz.astype(np.float32), (cloud.colour / 255).astype(np.float32)), (labels.label % 20).astype(np.uint8)
        columns = 5 if self.name == "nuScenes" else 4
        points = np.fromfile(base / "points.bin", "<f4").reshape(-1, columns)
        label = np.fromfile(base / "labels.bin", "u1" if columns == 5 else "<u4")
        return Scene(scene_id, points[:, :3].copy(), points[:, 3:4].copy()), (label & 0xFF).astype(np.uint8)

    def fingerprint(self) -> str:
        """There is only one."""
        return "benchmark"


def _only(names: Sequence[str]) -> str:
    (name,) = names
    return name


def write_raw(root: Path, what: DataSet, index: int) -> None:
    """One scene in the raw format; sizes are close to the published ones."""
    base = root / f"scene_{index}"
    if what.name == "S3DIS":
        write_room(base, 1, index * 4, what.points)
        return
    base.mkdir(parents=True)
    if what.name == "ScanNet":
        _, cloud = make_room(1, index * 4, what.points)
        fields = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1"), ("alpha", "u1"), ("label", "<u2")]
        rows = np.zeros(len(cloud.xyz), fields)
        for column, axis in enumerate("xyz"):
            rows[axis] = cloud.xyz[:, column]
        for column, channel in enumerate(("red", "green", "blue")):
            rows[channel] = np.rint(cloud.color[:, column] * 255)
        for name, kept in (("mesh.ply", [field for field, _ in fields[:-1]]), ("labels.ply", [field for field, _ in fields])):
            PlyData([PlyElement.describe(repack_fields(rows[kept]), "vertex")], byte_order="<").write(str(base / name))
        return
    outdoor = what.name == "nuScenes"
    xyz, intensity = scan(index, 32 if outdoor else 64, what.points)
    columns = [xyz, intensity, *([np.zeros_like(intensity)] if outdoor else [])]
    np.concatenate(columns, axis=1).astype("<f4").tofile(base / "points.bin")
    (np.abs(xyz).sum(axis=1) // 1 % 16).astype("u1" if outdoor else "<u4").tofile(base / "labels.bin")


def clocked(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def measure(folder: Path, what: DataSet, scenes: int) -> dict[str, float]:
    """Seconds of one core per million points: `scenes` (read, hash, write), each extra, `units`; `bytes` on disk per point; `points` per scene."""
    for index in range(scenes):
        write_raw(folder / "raw", what, index)
    source = Raw(folder / "raw", what.name, scenes)
    source.read("scene_0")  # compiled, and in the cache
    small, _ = source.read("scene_0")
    small = Scene("small", small.xyz[:5000], small.feat[:5000])
    for maker in (*what.extras, what.unit):
        maker(small)
    seconds: dict[str, float] = {}
    seconds["read"], _ = clocked(lambda: [source.read(scene) for scene in source.scenes("train")])
    seconds["scenes"], store = clocked(lambda: prepare(source, folder, ("train",)))
    for extra in what.extras:
        seconds[extra.name], _ = clocked(lambda: prepare(source, folder, ("train",), extras=(extra,)))  # noqa: B023  (called at once)
    seconds["units"], _ = clocked(lambda: prepare(source, folder, ("train",), partitioners=(what.unit,)))
    points = sum(store.sizes.values())
    size = {part: sum(file.stat().st_size for file in (store.path / part).rglob("*") if file.is_file()) for part in ("scenes", "truth", "extra", "unit")}
    rates = {name: value / points * 1e6 for name, value in seconds.items()}
    return rates | {"bytes": (size["scenes"] + size["truth"]) / points, "train bytes": (size["extra"] + size["unit"]) / points, "points": points / scenes}


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
