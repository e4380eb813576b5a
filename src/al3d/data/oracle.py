"""The oracle of an experiment: it knows the ground truth and tells only what it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from al3d.data.store import Store, mapped
from al3d.types import IGNORE, U8, Bool


@dataclass(frozen=True)
class SimulatedOracle:
    """Answers from the prepared ground truth; the only reader of `truth/` and of raw labels."""

    store: Store

    @property
    def simulated(self) -> bool:
        """Every answer is known beforehand."""
        return True

    def heard(self, run: Path, round_index: int) -> SimulatedOracle:
        """The same in every round of every run."""
        return self

    def listen(self, run: Path, round_index: int, every: bool) -> str | None:
        """Nobody is waited for."""
        return None

    def answered(self, scene_id: str, asked: Bool) -> Bool:
        """The asked points that were answered: all."""
        return asked

    def check(self, scene_id: str, asked: Bool) -> None:
        """Raises: ValueError for an unknown scene or a mask that does not fit it."""
        self.store.check(scene_id)
        size = self.store.sizes[scene_id]
        if asked.dtype != np.bool_ or asked.shape != (size,):
            raise ValueError(f"scene {scene_id!r}: asked must be bool [{size}], one per point, got {asked.dtype} {list(asked.shape)}")

    def answer(self, scene_id: str, asked: Bool) -> U8:
        """The labels of the asked points: bool[N] -> u8[N], IGNORE elsewhere and where nobody knows.

        Raises: ValueError for an unknown scene or a mask that does not fit it.
        """
        self.check(scene_id, asked)
        return np.where(asked, mapped(self.store.path / "truth" / f"{scene_id}.npy"), np.uint8(IGNORE))

    def raw_labels(self, scene_id: str) -> U8:
        """The labels of the points before the grid, u8[raw N], for evaluation only."""
        self.store.check(scene_id)
        if self.store.grid is None:
            return mapped(self.store.path / "truth" / f"{scene_id}.npy")
        return mapped(self.store.path / "raw" / scene_id / "label.npy")


@dataclass(frozen=True)
class WithoutClasses(SimulatedOracle):
    """Answers like the simulated oracle, but does not know some `classes` (by name): points of those are bought and stay without a label.

    What networks are judged by is not touched. Source: ReDAL, figure 2 (labels without the floor).
    Raises: ValueError for a class that the data set does not have.
    """

    classes: Sequence[str] = ()

    def __post_init__(self) -> None:
        unknown = sorted(set(self.classes) - set(self.store.classes.names))
        if unknown:
            raise ValueError(f"oracle.classes names {', '.join(unknown)}, but {self.store.name} has {', '.join(self.store.classes.names)}")

    def answer(self, scene_id: str, asked: Bool) -> U8:
        """The labels of the asked points, IGNORE for those of the classes left out too."""
        answer = super().answer(scene_id, asked)
        hidden = [index for index, name in enumerate(self.store.classes.names) if name in self.classes]
        return np.where(np.isin(answer, hidden), np.uint8(IGNORE), answer)
