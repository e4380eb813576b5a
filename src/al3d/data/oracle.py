"""The oracle of an experiment: it knows the ground truth and tells only what it is asked."""

from __future__ import annotations

from dataclasses import dataclass

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

    def answer(self, scene_id: str, asked: Bool) -> U8:
        """The labels of the asked points: bool[N] -> u8[N], IGNORE elsewhere and where nobody knows.

        Raises: ValueError for an unknown scene or a mask that does not fit it.
        """
        self.store.check(scene_id)
        size = self.store.sizes[scene_id]
        if asked.dtype != np.bool_ or asked.shape != (size,):
            raise ValueError(f"scene {scene_id!r}: asked must be bool [{size}], one per point, got {asked.dtype} {list(asked.shape)}")
        return np.where(asked, mapped(self.store.path / "truth" / f"{scene_id}.npy"), np.uint8(IGNORE))

    def raw_labels(self, scene_id: str) -> U8:
        """The labels of the points before the grid, u8[raw N], for evaluation only."""
        self.store.check(scene_id)
        if self.store.grid is None:
            return mapped(self.store.path / "truth" / f"{scene_id}.npy")
        return mapped(self.store.path / "raw" / scene_id / "label.npy")
