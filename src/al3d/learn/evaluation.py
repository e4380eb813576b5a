"""Which checkpoint stands for a round: the last, or the best of several, judged while the round trains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from al3d.data.batch import Batch
from al3d.learn.checkpoint import save_whole
from al3d.learn.metrics import scores
from al3d.learn.options import LEAST_HELD as LEAST_HELD
from al3d.learn.options import Evaluation as Evaluation


class KeepBest(pl.Callback):
    """Judges the network at the end of every epoch after a fraction `after` of the training, and keeps the best as `file`.

    `loader` gives this rank's share of what it is judged on. Of equal scores the earlier stays. With a `patience` the training is `stopped` when
    so many judgements in a row found nothing better. What was best so far is part of the resume
    file, so this callback must come before the one that writes it. Judging draws no random number and changes no weight.
    """

    def __init__(self, file: Path, loader: Callable[[], DataLoader[Batch]], after: float, absent: str, patience: int | None = None) -> None:
        self.file, self.loader, self.after, self.absent, self.patience = file, loader, after, absent, patience
        self.best, self.step, self.waited = -1.0, -1, 0

    @property
    def stopped(self) -> bool:
        """Whether the patience is at its end."""
        return self.patience is not None and self.waited >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """The best score so far, its step, and how many judgements came after it."""
        return {"best": self.best, "step": self.step, "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what was best when the training was stopped."""
        self.best, self.step, self.waited = float(state_dict["best"]), int(state_dict["step"]), int(state_dict.get("waited", 0))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Judge, and keep the network if it is better than all before."""
        if trainer.global_step < self.after * trainer.max_steps:
            return
        score = self._judge(trainer, pl_module)
        self.waited += 1
        if score > self.best:
            self.best, self.step, self.waited = score, trainer.global_step, 0
            save_whole(trainer, self.file)
        trainer.should_stop = trainer.should_stop or self.stopped

    def _judge(self, trainer: pl.Trainer, pl_module: Any) -> float:
        modes = [(part, part.training) for part in pl_module.modules()]
        pl_module.eval()
        with torch.no_grad(), trainer.precision_plugin.val_step_context():
            for batch in self.loader():
                pl_module.count(pl_module.transfer_batch_to_device(batch, pl_module.device, 0))
        for part, training in modes:
            part.training = training
        return scores(pl_module.counted(), self.absent).miou
