"""What a probe learns from: the labelled voxels of a round and their descriptions, gathered scene by scene."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, runtime_checkable

import numpy as np

from al3d.probes.description import Description
from al3d.probes.heads import Head, MakeTrainer
from al3d.rng import Key, generator
from al3d.types import F32, F64, I64, IGNORE, Array, Bool


@runtime_checkable
class Fitted(Protocol):
    """What stands where a network would be and is fitted to its labels at once: a probe."""

    descriptions: tuple[Description, ...]
    head: Head

    def standardise(self, mean: F64, deviation: F64) -> None:
        """Say what the columns of the descriptions are like, f64[D] each."""
        ...

    def fit(self, rows: F32, label: I64, key: Key, trainer: MakeTrainer | None = None) -> float:
        """Learn the classes `label` i64[n] of description rows f32[n,D]; returns the mean cross-entropy over them, in nats."""
        ...


#: Of a class that is rare, at least about so many voxels stay when there are more labels than a head can take.
RARE = 50
#: No more labelled voxels than about these are gathered, so that memory does not grow with what is labelled.
MOST = 300_000


def chances(class_voxels: I64, most: int | None) -> F64:
    """With what probability a labelled voxel of each class is kept, f64[C], so that about `most` stay of `class_voxels` i64[S,C]; None: all of them.

    The same for all classes, but for rare ones, which keep about `RARE` voxels.
    """
    counts = class_voxels.sum(axis=0)
    if most is None or counts.sum() <= most:
        return np.ones(len(counts))
    return np.asarray(np.minimum(1.0, np.maximum(most / counts.sum(), RARE / np.maximum(counts, 1))))


def gathered(names: Iterable[str], label_of: Callable[[str], I64], rows_of: Callable[[str], F32], chance: F64, key: Key) -> tuple[F32, I64]:
    """The descriptions f32[n,D] and classes i64[n] of the labelled voxels of some scenes; which ones are kept is drawn by (key, scene).

    Raises: ValueError when there is no label.
    """
    rows: list[F32] = []
    labels: list[I64] = []
    for name in names:
        label = label_of(name)
        kept = np.flatnonzero(label != IGNORE)
        kept = kept[_drawn(chance[label[kept]], (*key, "rows", name))]
        if len(kept):
            rows.append(rows_of(name)[kept])
            labels.append(label[kept])
    if not rows:
        raise ValueError("there is no labelled voxel to learn from: the seed bought nothing that has a class")
    return np.concatenate(rows), np.concatenate(labels)


def _drawn(chance: Array, key: Key) -> Bool:
    """Which of the rows stay; none is drawn where all of them do."""
    return np.ones(len(chance), dtype=bool) if (chance >= 1).all() else np.asarray(generator(*key).random(len(chance)) < chance)
