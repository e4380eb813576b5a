"""A run that asked people about three regions and two points of the tiny data set."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from al3d.data.labels import LabelState
from al3d.data.store import Store
from al3d.files import write_json
from al3d.people.queries import write_queries
from al3d.types import Partitioner
from al3d.units.point import PointUnit
from al3d.units.supervoxel import Supervoxel

ASKED = [("t_2", 1), ("t_1", 2), ("t_1", 0)]
POINTS = [("t_1", 11), ("t_3", 5)]


def buy(labels: LabelState, unit: Partitioner, asked: list[tuple[str, int]]) -> None:
    """Log a purchase of (scene, unit) pairs in this order."""
    sizes = [int((labels.store.unit(unit, scene) == number).sum()) for scene, number in asked]
    order = partial(write_queries, scenes=[scene for scene, _ in asked], unit=[number for _, number in asked], points=sizes)
    labels.append({scene: [number for other, number in asked if other == scene] for scene, _ in asked}, unit, {}, order)


@pytest.fixture
def asked_run(tiny_store: Store, tiny_supervoxel: Supervoxel, tmp_path: Path) -> Path:
    """The folder of a run with five queries in two rounds."""
    run = tmp_path / "run"
    write_json(run / "identity.json", {"hash": "0ef22f9f3d", "identity": {}})
    labels = LabelState(run, tiny_store)
    buy(labels, tiny_supervoxel, ASKED)
    buy(labels, PointUnit(), POINTS)
    return run
