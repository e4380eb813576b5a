"""What a run asks of people: one query per bought unit, in the order of their worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from al3d.data.labels import LabelState
from al3d.data.store import Store
from al3d.files import whole_file
from al3d.types import I32, I64

#: The file of a purchase (`labels-RR/`) that keeps its units in the order in which they were chosen.
FILE = "queries.parquet"
#: What names a query within its run: the round, the scene and the unit.
Key = tuple[int, str, int]


@dataclass(frozen=True)
class Query:
    """One unit that a purchase asked for: `rank` is its place in the round, 0 is worth most; `points` were asked for the first time."""

    round: int
    rank: int
    scene: str
    unit: int
    points: int

    @property
    def key(self) -> Key:
        """What names it within its run: the seed and later rounds may cut scenes differently, so a unit's number is not enough."""
        return self.round, self.scene, self.unit


def queries_of(run: Path, store: Store, round_index: int | None = None) -> list[Query]:
    """The queries of a round in the order of their worth; of every round, the newest first, when no round is given.

    Raises: FileNotFoundError for a round that was not bought; ValueError for a purchase that asked nobody, or of scenes that the store does not have.
    """
    if round_index is None:
        last = sum(1 for _ in run.glob("labels-*/manifest.json"))
        return [query for earlier in reversed(range(last)) for query in queries_of(run, store, earlier)]
    table = _table(run / f"labels-{round_index:02d}")
    strange = sorted(set(table["scene"]) - set(store.sizes))
    if strange:
        raise ValueError(f"{run}: round {round_index} asks about {', '.join(strange[:5])}, which {store.path} does not have: give the run's own store")
    rows = zip(table["scene"].tolist(), table["unit"].tolist(), table["points"].tolist(), strict=True)
    return [Query(round_index, rank, scene, unit, points) for rank, (scene, unit, points) in enumerate(rows)]


def write_queries(folder: Path, scenes: Sequence[str], unit: I32, points: I64) -> None:
    """Keep the units of a purchase in their order: `scenes`, `unit` i32[U] and how many points of each are asked for, i64[U]."""
    table = pd.DataFrame({"scene": list(scenes), "unit": np.asarray(unit, np.int32), "points": np.asarray(points, np.int64)})
    with whole_file(folder / FILE) as temporary:
        table.astype({"scene": "object"}).to_parquet(temporary, index=False)


def points_of(query: Query, labels: LabelState) -> I64:
    """The points that a query asks for, as sorted indices into the scene's own order: i64[P].

    Raises: ValueError when the run asked for no such unit.
    """
    rounds, units = _first_asked(labels, query.scene, query.round)
    points = np.flatnonzero((rounds == query.round) & (units == query.unit))
    if len(points) == 0:
        raise ValueError(f"{labels.folder}: round {query.round} asked for no point of unit {query.unit} of scene {query.scene!r}")
    return points


def _table(folder: Path) -> pd.DataFrame:
    if not (folder / "manifest.json").is_file():
        raise FileNotFoundError(f"{folder}: no such purchase: run al3d train until the round is bought")
    if not (folder / FILE).is_file():
        raise ValueError(f"{folder}: asked nobody: a run that people label was started with oracle=people")
    return pd.read_parquet(folder / FILE)


@lru_cache(maxsize=2)
def _first_asked(labels: LabelState, scene: str, round_index: int) -> tuple[I32, I32]:
    """Kept for the last scenes that were looked at: who labels sees one scene many times."""
    return labels.first_asked(scene, round_index)
