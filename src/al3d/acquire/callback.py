"""The harvest: while a Trainer predicts the pool, keep a few numbers per unit, in files of whole blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl

from al3d.acquire.pool import Pool
from al3d.acquire.pseudo import save_classes
from al3d.acquire.reduce import join, save_units
from al3d.data.batch import Batch
from al3d.data.samplers import share_of
from al3d.learn.segmenter import Prediction
from al3d.types import U8, Units, View


class ActiveLearning(pl.Callback):
    """Turns predicted scenes into rows of units and writes a block's file when its last scene is in.

    Blocks do not depend on the number of ranks; a block whose file exists is not predicted again. A score that compares frames gets a
    sliding window of views: a scene is scored when the last frame of its window is predicted, and forgotten when no later one needs it.
    With a `classes_file`, for pseudo-labels, the predicted class of every point of a block is kept too, written before its rows.
    """

    def __init__(self, pool: Pool, units_file: Callable[[int], Path], classes_file: Callable[[int], Path] | None = None) -> None:
        self.pool, self.units_file, self.classes_file = pool, units_file, classes_file
        self.windows = pool.windows()
        self._views: dict[int, View] = {}
        self._waiting: set[int] = set()
        self._rows: dict[int, Units] = {}
        self._classes: dict[int, U8] = {}

    def missing(self) -> tuple[range, ...]:
        """The blocks that lack a file."""
        kinds = [file for file in (self.units_file, self.classes_file) if file is not None]
        return tuple(block for number, block in enumerate(self.pool.blocks()) if not all(file(number).is_file() for file in kinds))

    @cached_property
    def unfinished(self) -> tuple[range, ...]:
        """The blocks that lacked a file when this was first asked: all ranks share these, though some finish theirs before others begin."""
        return self.missing()

    def to_predict(self, blocks: Sequence[range]) -> list[int]:
        """The scenes of some blocks and all that their windows reach, in order."""
        return sorted({other for block in blocks for scene in block for other in self.windows[scene]})

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note which scenes this rank must score."""
        self.begin(share_of(self.unfinished, trainer.global_rank, trainer.world_size))

    def begin(self, blocks: Sequence[range]) -> None:
        """Forget everything, and expect the scenes of these blocks."""
        self._views.clear()
        self._rows.clear()
        self._classes.clear()
        self._waiting = {scene for block in blocks for scene in block}

    def on_predict_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Score every scene whose window is complete now, and write the blocks that are."""
        if not isinstance(outputs, Prediction) or not isinstance(batch, Batch):
            raise ValueError(f"the harvest needs a Prediction for a Batch, got {type(outputs).__name__} for {type(batch).__name__}")
        index = batch.index[0]
        inverse = batch.inverse.cpu().numpy() if outputs.inverse is None else outputs.inverse
        self._views[index] = self.pool.view(index, outputs.prob, outputs.feature, inverse, outputs.entropy_of_passes)
        ready = [scene for scene in self._asking(index) if all(other in self._views for other in self.windows[scene])]
        for scene in ready:
            self._waiting.remove(scene)
            others = tuple(self._views[other] for other in self.windows[scene] if other != scene)
            self._rows[scene] = self.pool.method.local(replace(self._views[scene], neighbours=others))
            if self.classes_file is not None:
                self._classes[scene] = self._views[scene].predicted().argmax(axis=1).astype(np.uint8)[self._views[scene].inverse]
        for other in {other for scene in (index, *ready) for other in self.windows[scene]}:
            if not self._asking(other):
                self._views.pop(other, None)
        self._write(ready)

    def _asking(self, index: int) -> list[int]:
        """The scenes still to be scored whose windows hold scene `index`."""
        reach = 2 * self.pool.method.context
        near = range(max(0, index - reach), min(len(self.windows), index + reach + 1))
        return [scene for scene in near if scene in self._waiting and index in self.windows[scene]]

    def _write(self, scored: Sequence[int]) -> None:
        for number, block in enumerate(self.pool.blocks()):
            if any(scene in block for scene in scored) and all(scene in self._rows for scene in block):
                if self.classes_file is not None:
                    save_classes(self.classes_file(number), [self._classes.pop(scene) for scene in block])
                save_units(self.units_file(number), join([self._rows.pop(scene) for scene in block]))
