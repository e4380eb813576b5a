"""The harvest: while a Trainer predicts the pool, keep a few numbers per unit, in files of whole blocks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from al3d.acquire.pool import Pool
from al3d.acquire.reduce import join, save_units
from al3d.data.batch import Batch
from al3d.learn.segmenter import Prediction
from al3d.types import Units


class ActiveLearning(pl.Callback):
    """Turns each predicted scene into rows of units and writes a block's file when its last scene is in.

    Blocks do not depend on the number of ranks; a block whose file exists is not predicted again.
    """

    def __init__(self, pool: Pool, units_file: Callable[[int], Path]) -> None:
        self.pool, self.units_file = pool, units_file
        self._rows: dict[int, Units] = {}

    def missing(self) -> tuple[range, ...]:
        """The blocks that have no file yet."""
        return tuple(block for number, block in enumerate(self.pool.blocks()) if not self.units_file(number).is_file())

    def on_predict_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Keep the rows of one scene; write its block once it is complete."""
        if not isinstance(outputs, Prediction) or not isinstance(batch, Batch):
            raise ValueError(f"the harvest needs a Prediction for a Batch, got {type(outputs).__name__} for {type(batch).__name__}")
        index = batch.index[0]
        view = self.pool.view(index, outputs.prob, outputs.feature, batch.inverse.cpu().numpy())
        self._rows[index] = self.pool.method.local(view)
        for number, block in enumerate(self.pool.blocks()):
            if index in block and all(scene in self._rows for scene in block):
                save_units(self.units_file(number), join([self._rows.pop(scene) for scene in block]))
