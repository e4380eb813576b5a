"""Time, memory and worth of features without downloaded weights: `python benchmarks/descriptors.py [--rooms 48] [--points 1000000] [--part costs]`.

The first table says what describing a scene costs, beside what the surface variation of all its points costs in the same run. The second
says whether the features of generated scenes tell what the generator knows: a room's type, and in which drive a frame was taken. Features
are compared as seeds do it: mean over the scene's rows, the pool's mean taken off, cosine. `pairs` is how often two scenes of one kind are
more alike than one of them and a scene of another kind (50 % by chance); `nearest` how often the most similar scene is of the same kind.
The mean colour of the scene's points is the reference that needs no features.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from geometry import room
from rich.table import Table

from al3d.data.prepare import prepare
from al3d.data.sources.rooms import Rooms
from al3d.data.sources.street import Street
from al3d.features.drawn import LidarViews, RoomViews
from al3d.features.geometry import Geometry
from al3d.features.handcrafted import Handcrafted
from al3d.features.network import Network
from al3d.geometry.features import surface_variation
from al3d.nets.minkunet import MinkUNet
from al3d.progress import console
from al3d.rng import generator
from al3d.types import F32, Array, Scene

GEOMETRY = {"rooms": Geometry("geometry", 0.05, 0.1), "street": Geometry("geometry", 0.05, 0.5)}


def seconds(work: Callable[[], Any], repeats: int = 2) -> tuple[float, float]:
    """The least time by the clock, and the least that the processors worked: with shared cores only the latter says something."""
    clock, processor = [], []
    for _ in range(repeats):
        start = time.perf_counter(), time.process_time()
        work()
        clock.append(time.perf_counter() - start[0])
        processor.append(time.process_time() - start[1])
    return min(clock), min(processor)


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def costs(scenes: dict[str, tuple[Scene, Geometry, float]], weights: Path) -> Table:
    table = Table("scene", "features", "rows", "s", "processor s", "peak GB so far")
    picture = generator("benchmark picture").integers(0, 256, (224, 224, 3), dtype=np.uint8)
    encoder = Handcrafted()
    for name, made in (("picture 224 x 224", lambda: encoder([picture])), ("its patches", lambda: encoder.patches(picture))):
        table.add_row(name, "handcrafted", str(len(made())), *(f"{value:.4f}" for value in seconds(made, 10)), f"{peak():.2f}")
    for name, (scene, geometry, size) in scenes.items():
        unit = np.unique((scene.xyz // 1.0).astype(np.int64), axis=0, return_inverse=True)[1].reshape(-1).astype(np.int32)
        network = Network("network", str(weights), net=lambda c, k: MinkUNet(c, k, width=0.25), inputs=("red", "x", "y", "z"), voxel=size, attributes=("red",))
        one = Scene(scene.id, scene.xyz, np.ascontiguousarray(scene.feat[:, :1]))
        works: list[tuple[str, Callable[[], Array]]] = [
            ("surface variation, 50 neighbours (reference)", lambda scene=scene: surface_variation(scene.xyz)),
            ("geometry, 32 parts", lambda scene=scene, geometry=geometry: geometry(scene)),
            ("geometry, cubes of 1 m", lambda scene=scene, geometry=geometry, unit=unit: geometry.of_units(scene, unit)),
            ("network of width 0.25, 32 parts", lambda one=one, network=network: network(one)),
        ]
        for label, work in works:
            rows = len(work())
            table.add_row(f"{name}, {len(scene):,} points", label, f"{rows:,}", *(f"{value:.2f}" for value in seconds(work)), f"{peak():.2f}")
    return table


def likeness(rows: Sequence[F32]) -> Array:
    """Cosines between the scenes' mean rows after the pool's mean was taken off."""
    mean = np.stack([one.mean(axis=0, dtype=np.float64) for one in rows])
    away = mean - mean.mean(axis=0)
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-12)
    return np.asarray(away @ away.T)


def told_apart(alike: Array, kind: Array) -> tuple[float, float, float]:
    """`pairs`, `nearest`, and what `nearest` is by chance; kinds with one scene alone are left out as the one that is asked about."""
    same = kind[:, None] == kind[None]
    np.fill_diagonal(same, False)
    other = kind[:, None] != kind[None]
    asked = np.flatnonzero(same.any(axis=1))
    wins = [np.mean((alike[i, same[i]][:, None] > alike[i, other[i]]) + 0.5 * (alike[i, same[i]][:, None] == alike[i, other[i]])) for i in asked]
    lone = alike - 2 * np.eye(len(alike))
    nearest = np.mean([same[i, lone[i].argmax()] for i in asked])
    return float(np.mean(wins)), float(nearest), float(np.mean([same[i].sum() / (len(kind) - 1) for i in asked]))


def worth(data: Path, rooms: int) -> Table:
    table = Table("scenes", "kinds", "features", "pairs", "nearest", "nearest by chance")
    encoder = Handcrafted()
    store = prepare(Rooms(data / "rooms", rooms=rooms, points=40_000), data)
    names = [name for split in store.splits.values() for name in split]
    kinds = np.array([name.split("#")[1].split("_")[0] for name in names])
    made = {"mean colour": lambda scene: scene.feat.mean(axis=0)[None], "handcrafted, 8 drawn views": lambda scene: encoder(RoomViews(8)(scene))}
    made |= {"geometry": GEOMETRY["rooms"], "geometry without colours": Geometry("geometry", 0.05, 0.1, attributes=False)}
    _rows(table, "rooms", [store.scene(name) for name in names], kinds, made)
    store = prepare(Street(data / "street", drives=8, frames=20, columns=480), data)
    names = [name for split in store.splits.values() for name in split]
    kinds = np.array([name.split("_")[0] for name in names])
    made = {"mean intensity": lambda scene: np.c_[scene.feat, np.ones(len(scene))].mean(axis=0)[None]}
    made |= {"handcrafted, 5 drawn views": lambda scene: np.concatenate([encoder([picture]) for picture in LidarViews()(scene)])}
    made |= {"geometry": GEOMETRY["street"], "geometry without intensity": Geometry("geometry", 0.05, 0.5, attributes=False)}
    _rows(table, "street", [store.scene(name) for name in names], kinds, made)
    return table


def _rows(table: Table, name: str, scenes: list[Scene], kinds: Array, made: dict[str, Any]) -> None:
    for label, work in made.items():
        pairs, nearest, chance = told_apart(likeness([work(scene) for scene in scenes]), kinds)
        count = f"{len(scenes)} {name}"
        table.add_row(count, str(len(set(kinds))), label, f"{100 * pairs:.1f} %", f"{100 * nearest:.1f} %", f"{100 * chance:.1f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rooms", type=int, default=48)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--data", type=Path, default=Path("data"), help="where generated scenes are kept")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--part", choices=("all", "costs", "worth"), default="all")
    options = parser.parse_args()
    numba.set_num_threads(options.threads)
    torch.set_num_threads(options.threads)
    if options.part != "costs":
        console.print(worth(options.data, options.rooms))
    if options.part == "worth":
        return
    weights = options.data / "descriptors.pt"
    torch.manual_seed(0)
    torch.save(MinkUNet(4, 1, width=0.25).state_dict(), weights)
    xyz, rgb = room(options.points)
    scans = Street(options.data / "street", drives=2, frames=1, columns=2170)
    scan = scans.read(scans.scenes("train")[0])[0]
    console.print(f"{options.threads} threads; the best of two runs, of ten for pictures")
    warm = Scene("warm", *(part[:2000] for part in (xyz, rgb)))
    GEOMETRY["rooms"](warm)
    console.print(costs({"room": (Scene("room", xyz, rgb), GEOMETRY["rooms"], 0.05), "scan": (scan, GEOMETRY["street"], 0.05)}, weights))


if __name__ == "__main__":
    main()
