"""Buying: choose rows from the pool, log them, ask the oracle, and write down what was bought."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from al3d.acquire.budget import Spent
from al3d.acquire.pool import Pool
from al3d.files import whole_file
from al3d.people.queries import write_queries
from al3d.types import I64, IGNORE, Oracle, Units


@dataclass(frozen=True)
class Answers:
    """What the oracle's answers add up to: points per class, points it could not name, and estimated clicks.

    A click is one class present in one bought unit (a unit is split until it is pure); at point level it is a point.
    """

    class_points: tuple[int, ...]
    unknown_points: int
    clicks: int


def buy(pool: Pool, units: Units, oracle: Oracle, base: int, selection_file: Path | None, before: Callable[[I64], None] | None = None) -> None:
    """Choose from `units`, write the selection table, then log the purchase; the log's rename is what makes it count.

    `before` is told the bought rows of `units` before the purchase counts: what it writes is there when the purchase is.
    Raises: ValueError as `Acquirer.select`.
    """
    started = time.perf_counter()
    labels, method = pool.labels, pool.method
    history = [Spent(record["points"], record["units"], record["clicks"]) for record in map(labels.purchase, range(labels.rounds))]
    rows, ledger = method.select(units, labels.rounds, history, base, pool.key)
    bought = _by_scene(pool, units, rows)
    if selection_file is not None:
        _write_selection(selection_file, pool, units, rows)
    points = int(units.size[rows].sum())
    record = {
        "round": labels.rounds,
        "name": method.title,
        "unit": method.unit.name,
        "points": points,
        "units": len(rows),
        "scenes": len(bought),
        "spent_points": points + sum(spent.points for spent in history),
        "base_points": base,
        **_answers(pool, bought, oracle),
        **({"notes": ledger.notes} if ledger.notes else {}),
        "seconds": round(time.perf_counter() - started, 3),
    }
    if before is not None:
        before(rows)
    queries = partial(write_queries, scenes=[pool.scenes[scene] for scene in units.scene[rows].tolist()], unit=units.unit[rows], points=units.size[rows])
    labels.append(bought, method.unit, record, None if oracle.simulated else queries)


def _by_scene(pool: Pool, units: Units, rows: I64) -> dict[str, list[int]]:
    bought: dict[str, list[int]] = {}
    for scene, unit in zip(units.scene[rows].tolist(), units.unit[rows].tolist(), strict=True):
        bought.setdefault(pool.scenes[scene], []).append(unit)
    return bought


def _write_selection(path: Path, pool: Pool, units: Units, rows: I64) -> None:
    table = pd.DataFrame(
        {
            "scene": [pool.scenes[index] for index in units.scene[rows].tolist()],
            "unit": units.unit[rows],
            "size": units.size[rows],
            "order": np.arange(len(rows)),
            "score": units.score[rows, 0],
            **{axis: units.center[rows, column] for column, axis in enumerate("xyz")},
        }
    )
    with whole_file(path) as temporary:
        table.to_parquet(temporary, index=False)


def _answers(pool: Pool, bought: Mapping[str, list[int]], oracle: Oracle) -> dict[str, Any]:
    """The answers about what was bought, and the hidden class counts of what is left (simulated oracles only, for the report).

    People have not answered yet: each query costs them a click.
    """
    classes = len(pool.store.classes)
    answers = [_scene_answers(pool, name, ids, oracle, classes) for name, ids in bought.items()]
    counts = np.array([answer.class_points for answer in answers], dtype=int).reshape(-1, classes).sum(axis=0)
    left = None
    if oracle.simulated:
        earlier = [np.array(pool.labels.purchase(r)["class_points"]) for r in range(pool.labels.rounds)]
        left = (_truth(pool, oracle, classes) - counts - sum(earlier, np.zeros(classes, int))).tolist()
    return {
        "class_points": counts.tolist(),
        "unknown_points": sum(answer.unknown_points for answer in answers),
        "clicks": sum(answer.clicks for answer in answers) if oracle.simulated else sum(map(len, bought.values())),
        "pool_class_points": left,
    }


def _scene_answers(pool: Pool, name: str, ids: list[int], oracle: Oracle, classes: int) -> Answers:
    partition = pool.store.unit(pool.method.unit, name)
    new = np.isin(partition, ids) & ~pool.labels.asked(name)
    label = oracle.answer(name, new)[new]
    known = label != IGNORE
    pairs = np.unique(partition[new][known].astype(np.int64) * classes + label[known])
    return Answers(tuple(np.bincount(label[known], minlength=classes).tolist()), int((~known).sum()), len(pairs))


def _truth(pool: Pool, oracle: Oracle, classes: int) -> Any:
    """Points per class of the whole training split: only counted, only for the report, never seen by a method."""
    total = np.zeros(classes, dtype=int)
    for name in pool.scenes:
        label = oracle.answer(name, np.ones(pool.store.sizes[name], dtype=bool))
        total += np.bincount(label[label != IGNORE], minlength=classes)
    return total
