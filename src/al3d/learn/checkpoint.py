"""Checkpoints that a killed training goes on from, bit for bit."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from al3d.data.batch import Batch
from al3d.data.whole import check_archive
from al3d.files import TRAIN, whole_file, write_json
from al3d.learn.losses import voxel_weights
from al3d.progress import Stage


class DataWait(pl.Callback):
    """Measures how much of a training is spent waiting for the next batch; logged as `waiting`, 0..1."""

    def __init__(self) -> None:
        self.waited, self.worked = 0.0, 0.0
        self._then = time.perf_counter()

    @property
    def fraction(self) -> float:
        """The share of the time so far that was spent waiting."""
        return self.waited / max(self.waited + self.worked, 1e-9)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """What lies between two epochs (checkpoints, judging) is not waiting."""
        self._then = time.perf_counter()

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, batch_idx: int) -> None:
        """The batch has come."""
        now = time.perf_counter()
        self.waited, self._then = self.waited + now - self._then, now

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int) -> None:
        """The batch is done."""
        now = time.perf_counter()
        self.worked, self._then = self.worked + now - self._then, now
        pl_module.log("waiting", self.fraction, on_step=True, on_epoch=False, batch_size=1)


class Seen(pl.Callback):
    """Adds up what the labels of each class weighed in the loss of a training so far, over all ranks; `by_scene` as in `voxel_weights`."""

    def __init__(self, classes: int, by_scene: bool) -> None:
        self.classes, self.by_scene = classes, by_scene
        self.total = torch.zeros(classes + 1, dtype=torch.float64)
        self._sum: Callable[[torch.Tensor], torch.Tensor] = torch.clone

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count where the network is; ranks are added up when somebody asks, and the first goes on from what all of them had counted."""
        self.total = self.total.to(pl_module.device) * trainer.is_global_zero
        self._sum = lambda total: trainer.strategy.reduce(total.clone(), reduce_op="sum")

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int) -> None:
        """Count one batch; its last row is for voxels without a label."""
        self.total.index_add_(0, batch.label.clamp(max=self.classes), voxel_weights(batch, self.by_scene))

    @property
    def weights(self) -> list[float]:
        """What each class weighed, and at last what has none; every rank must ask."""
        return [float(value) for value in self._sum(self.total).cpu()]

    @property
    def shares(self) -> list[float]:
        """The same of the classes, as shares of 1 to six digits: ranks may be added up in another order after a restart."""
        weights = self.weights[: self.classes]
        return [round(value / max(sum(weights), 1e-300), 6) for value in weights]

    def state_dict(self) -> dict[str, Any]:
        """What was counted so far."""
        return {"weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what the stopped training had counted."""
        self.total = torch.tensor(state_dict["weights"], dtype=torch.float64)


class Resume(pl.Callback):
    """After every epoch writes `resume` under a temporary name and renames it; at the end of training writes `final` and removes it.

    `final` exists only when the training is over; `train.json` beside it says how it went. `started` is a `perf_counter`. A training that has
    had `enough` before its last step is over, too; where `best` names a file, the network in it becomes the final one.
    Lightning's own checkpoint callback is not used: its `save_last` lags behind
    its monitor, and it does not rename.
    """

    def __init__(
        self,
        resume: Path,
        final: Path,
        started: float,
        wait: DataWait | None = None,
        seen: Seen | None = None,
        best: Path | None = None,
        enough: Callable[[], bool] = lambda: False,
    ) -> None:
        self.resume, self.final, self.started, self.wait, self.seen, self.best, self.enough = resume, final, started, wait, seen, best, enough

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Go on with the next epoch, where Lightning would train one batch more in the one that is over.

        With `max_steps` it takes a file written at the end of an epoch for one written before its validation was done (2.6.4).
        """
        loop = trainer.fit_loop
        if loop.restarted_on_epoch_end:
            loop.epoch_progress.increment_completed()
            loop.epoch_loop.restarting = False
            loop.reset_restart_stage()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the resume file, unless this was the last epoch."""
        if trainer.global_step < trainer.max_steps and not self.enough():
            save_whole(trainer, self.resume)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the final file if every step was made, or no more are wanted."""
        if trainer.global_step >= trainer.max_steps or self.enough():
            self._summarise(trainer)
            if self.best is None:
                save_whole(trainer, self.final)
            elif trainer.is_global_zero:
                os.replace(self.best, self.final)
            trainer.strategy.barrier("final")
            if trainer.is_global_zero:
                self.resume.unlink(missing_ok=True)

    def _summarise(self, trainer: pl.Trainer) -> None:
        """`train.json`: steps, last loss, the seconds of this process, `waiting` for data among them (a killed one's are not counted), and what was seen."""
        seen = {} if self.seen is None else {"class_shares": self.seen.shares}
        if trainer.is_global_zero:
            loss = float(trainer.callback_metrics["loss"])
            seconds = round(time.perf_counter() - self.started, 3)
            waiting = 0.0 if self.wait is None else round(self.wait.waited, 3)
            write_json(self.final.with_name("train.json"), {"steps": trainer.global_step, "loss": loss, "seconds": seconds, "waiting": waiting, **seen})


def save_whole(trainer: pl.Trainer, path: Path) -> None:
    """Write a checkpoint under a temporary name and rename it; every rank must call this."""
    if trainer.is_global_zero:
        with whole_file(path) as temporary:
            trainer.save_checkpoint(temporary)
    else:
        trainer.save_checkpoint(path)  # takes part in what the ranks do together, writes nothing
    trainer.strategy.barrier("renamed")


def load_weights(module: pl.LightningModule, path: Path) -> list[dict[str, Any]]:
    """Load a round's weights, without unpickling anything; returns the states of its optimisers.

    Raises: ValueError naming the file when it does not fit the network.
    """
    check_archive(path, TRAIN)
    content = torch.load(path, map_location="cpu", weights_only=True)
    try:
        module.load_state_dict(content["state_dict"])
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit this network: {error}") from error
    return list(content.get("optimizer_states", []))


class ShowProgress(pl.Callback):
    """One line per stage: batches done, an estimate, and the loss."""

    def __init__(self, line: Stage) -> None:
        self.line = line

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count the steps that an earlier process made."""
        self.line.advance(trainer.global_step)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int) -> None:
        """Advance, with the latest loss."""
        self.line.advance()
        loss = trainer.callback_metrics.get("loss")
        if loss is not None and trainer.global_step % 10 == 0:
            self.line.note(f"loss {float(loss):.3f}")

    def on_test_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Advance by one scene."""
        self.line.advance()

    def on_predict_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Advance by one scene."""
        self.line.advance()
