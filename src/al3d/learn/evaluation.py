"""Which checkpoint stands for a round: the last, or the best of several, judged while the round trains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from al3d.data.batch import Batch
from al3d.learn.checkpoint import save_whole
from al3d.learn.metrics import ABSENT, scores

SELECT_ON = ("none", "val", "bought_holdout")
JUDGE_ON = ("auto", "val", "bought_holdout", "none")
#: A score on fewer held-out units than this says nothing.
LEAST_HELD = 5


@dataclass(frozen=True)
class Evaluation:
    """How networks are judged; see conf/eval/default.yaml.

    Choosing on the evaluation split makes every score too good; tables mark it (docs/fidelity.md D-41). Raises: ValueError for a wrong option.
    """

    select_on: str = "none"
    after: float = 0.0
    holdout: float = 0.1
    absent: str = "excluded"
    votes: int = 1
    first_after: float | None = None
    judge_on: str = "auto"

    def __post_init__(self) -> None:
        if self.select_on not in SELECT_ON:
            raise ValueError(f"eval.select_on={self.select_on!r} is not one of {', '.join(SELECT_ON)}")
        if self.judge_on not in JUDGE_ON:
            raise ValueError(f"eval.judge_on={self.judge_on!r} is not one of {', '.join(JUDGE_ON)}")
        if self.absent not in ABSENT:
            raise ValueError(f"eval.absent={self.absent!r} is not one of {', '.join(ABSENT)}")
        if not 0 <= self.after < 1 or not 0 <= self.judged_after(0) < 1 or not 0 < self.holdout < 1:
            raise ValueError(
                f"eval.after={self.after} and eval.first_after={self.first_after} must be within 0..1 (1 excluded), "
                f"and eval.holdout={self.holdout} between 0 and 1"
            )
        if self.votes < 1:
            raise ValueError(f"eval.votes={self.votes}: a scene is judged at least once")

    def judged_after(self, round_index: int) -> float:
        """The fraction of a round's training from which on checkpoints are candidates."""
        return self.first_after if round_index == 0 and self.first_after is not None else self.after

    @property
    def on_val(self) -> bool:
        """Whether rounds are judged on the validation split; so is "auto" where nobody found that split without a label."""
        return self.judge_on in ("auto", "val")

    @property
    def selects(self) -> bool:
        """Whether another checkpoint than the last may stand for the round."""
        return self.select_on != "none"


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
