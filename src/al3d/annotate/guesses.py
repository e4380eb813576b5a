"""What the model took a query for when it asked: from the rows of units that its round was chosen from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from al3d.acquire.reduce import load_units
from al3d.people.queries import Key, Query
from al3d.types import IGNORE


def guesses_of(run: Path, queries: Sequence[Query]) -> dict[Key, int]:
    """The class that most points of each query were predicted as; nothing for a first purchase, which no model chose."""
    found: dict[Key, int] = {}
    for round_index in sorted({query.round for query in queries} - {0}):
        found |= _of_round(run / f"round-{round_index - 1:02d}", round_index)
    return found


def _of_round(folder: Path, round_index: int) -> dict[Key, int]:
    """Rows name scenes by number, the table of the choice by name: the same unit has the same number, size and centre in both."""
    chosen_file, rows = folder / "selection.parquet", sorted(folder.glob("units/*.npz"))
    if not chosen_file.is_file() or not rows:
        return {}
    parts = [load_units(path) for path in rows]
    units = pd.DataFrame(
        {
            "unit": np.concatenate([part.unit for part in parts]),
            "size": np.concatenate([part.size for part in parts]),
            **{axis: np.concatenate([part.center[:, column] for part in parts]) for column, axis in enumerate("xyz")},
            "predicted": np.concatenate([part.predicted for part in parts]),
        }
    )
    same = ["unit", "size", "x", "y", "z"]
    chosen = pd.read_parquet(chosen_file, columns=["scene", *same]).merge(units.drop_duplicates(same, keep=False), on=same)
    known = chosen[chosen["predicted"] != IGNORE]
    return {(round_index, str(scene), int(unit)): int(label) for scene, unit, label in zip(known["scene"], known["unit"], known["predicted"], strict=True)}
