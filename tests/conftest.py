"""What several test files share: a tiny data set in the folder layout, made by code, and its store."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plyfile import PlyData, PlyElement

from al3d.data.extras import ColourDiscontinuity, SurfaceVariation
from al3d.data.prepare import prepare
from al3d.data.sources.folder import Folder
from al3d.data.store import Store
from al3d.rng import generator
from al3d.threads import limit_threads
from al3d.units.supervoxel import Supervoxel

TINY_CARD = """name: tiny
classes: [table, box, ball]
splits:
  train: [t_1, t_2, t_3, t_4, t_5, t_6]
  val: [v_1, v_2]
scale: {voxel: 0.05, supervoxel_voxel: 0.05, supervoxel_seed: 0.4, neighbours: 20}
"""
# Several test processes share the cores: with one thread each they take a tenth of the time.
limit_threads(1)

CHECKOUT = Path(__file__).resolve().parent.parent
#: What tools keep in the checkout while tests run: Python's and numba's compiled functions, and hypothesis' notes.
CACHES = {"__pycache__", ".hypothesis"}


_testing = False


def _stay_outside(event: str, details: tuple[Any, ...]) -> None:
    """Refuse to write into the checkout while a test runs: what one test leaves there, the next start of the suite finds."""
    writes = event == "os.mkdir" or (event == "open" and details[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    if not (_testing and writes and isinstance(details[0], str)):
        return
    path = Path(os.path.abspath(details[0]))
    if path.is_relative_to(CHECKOUT) and not CACHES & {*path.relative_to(CHECKOUT).parts} and not (event == "os.mkdir" and path.is_dir()):
        raise RuntimeError(f"a test writes {path}, inside the checkout: give it a temporary folder")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Watch where a test and its fixtures write; pytest itself keeps its notes in the checkout."""
    global _testing
    _testing = True
    try:
        return (yield)
    finally:
        _testing = False


sys.addaudithook(_stay_outside)

_COLOURS = np.array([[140, 110, 80], [210, 60, 50], [60, 80, 200]])


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with dataset.yaml and 6 train + 2 val scenes of about 3,000 points: a table with boxes and a ball, coloured, 3 classes."""
    root = tmp_path_factory.mktemp("tiny")
    (root / "scenes").mkdir()
    (root / "dataset.yaml").write_text(TINY_CARD)
    for name in (*(f"t_{number}" for number in range(1, 7)), "v_1", "v_2"):
        _write_scene(root / "scenes" / f"{name}.ply", name)
    return root


@pytest.fixture(scope="session")
def tiny_supervoxel() -> Supervoxel:
    """The partition that `tiny_store` was prepared with."""
    return Supervoxel(0.05, 0.4, minimum_points=20)


@pytest.fixture(scope="session")
def tiny_store(tiny_root: Path, tiny_supervoxel: Supervoxel, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """`tiny_root`, prepared with supervoxels and both extras."""
    extras = (SurfaceVariation(20), ColourDiscontinuity(20))
    return prepare(Folder(tiny_root), tmp_path_factory.mktemp("store"), extras=extras, partitioners=(tiny_supervoxel,))


def _write_scene(path: Path, name: str) -> None:
    random = generator("tiny", name)
    table = np.column_stack([random.uniform(0, 2, 1800), random.uniform(0, 1.5, 1800), random.normal(0.7, 0.003, 1800)])
    parts = [(table, 0)]
    for _ in range(int(random.integers(2, 4))):
        parts.append((_box(random, 300), 1))
    parts.append((_ball(random, 400), 2))
    xyz = np.concatenate([points for points, _ in parts])
    label = np.concatenate([np.full(len(points), number) for points, number in parts])
    colour = np.clip(_COLOURS[label] + random.normal(0, 12, (len(label), 3)), 0, 255)
    order = random.permutation(len(label))
    fields = [("x", "f4"), ("y", "f4"), ("z", "f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1"), ("label", "u1")]
    vertices = np.empty(len(label), dtype=fields)
    for place, axis in enumerate("xyz"):
        vertices[axis] = xyz[order, place]
    for place, channel in enumerate(("red", "green", "blue")):
        vertices[channel] = colour[order, place]
    vertices["label"] = label[order]
    PlyData([PlyElement.describe(vertices, "vertex")]).write(str(path))


def _box(random: np.random.Generator, count: int) -> np.ndarray:
    """Points on the five visible sides of a box that stands on the table."""
    size, place = random.uniform(0.15, 0.35, 3), random.uniform([0.1, 0.1], [1.6, 1.1])
    points = random.random((count, 3))
    side = random.integers(0, 5, count)
    axis = np.array([0, 0, 1, 1, 2])[side]
    points[np.arange(count), axis] = np.array([0, 1, 0, 1, 1])[side]
    return points * size + [*place, 0.7]


def _ball(random: np.random.Generator, count: int) -> np.ndarray:
    direction = random.normal(size=(count, 3))
    return direction / np.linalg.norm(direction, axis=1, keepdims=True) * 0.12 + [*random.uniform([0.2, 0.2], [1.8, 1.3]), 0.82]
