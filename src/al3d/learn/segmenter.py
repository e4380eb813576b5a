"""A network as a LightningModule: trains on voxels with known labels, is judged on points, predicts the pool."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassConfusionMatrix

from al3d.data.batch import Batch
from al3d.rng import seed_of
from al3d.types import F32, I64, IGNORE

MakeOptimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
SCHEDULES = ("constant", "cosine")


@dataclass(eq=False)
class Prediction:
    """What the pool prediction hands to the harvest: per voxel `prob` f32[V,C] and penultimate `feature` f32[V,D].

    Not frozen: Lightning copies what `predict` returns.
    """

    prob: F32
    feature: F32


class Segmenter(pl.LightningModule):
    """Supervised learning from partial labels.

    `optimizer` makes an optimiser from parameters; `schedule` "constant", or "cosine" from the full learning rate to 0 over the
    round's steps. Randomness of a step (dropout) is keyed by (rng, round, step, rank), so a resumed training has the same bits.
    """

    def __init__(
        self,
        net: nn.Module,
        classes: int,
        optimizer: MakeOptimizer,
        loss: Callable[[Tensor, Tensor], Tensor],
        schedule: str = "constant",
        rng: int = 0,
        round_index: int = 0,
    ) -> None:
        super().__init__()
        if schedule not in SCHEDULES:
            raise ValueError(f"learner.schedule={schedule!r} is not one of {', '.join(SCHEDULES)}")
        self.net, self.classes, self.make_optimizer, self.loss, self.schedule = net, classes, optimizer, loss, schedule
        self.rng, self.round_index = rng, round_index
        self.confusion = MulticlassConfusionMatrix(classes, ignore_index=IGNORE, validate_args=False)
        self.total: I64 | None = None

    def forward(self, batch: Batch) -> Any:
        """The network's output for a batch."""
        return self.net(batch.coord, batch.feat)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Key the step's randomness: seeding once per epoch is not enough for an exact resume."""
        torch.manual_seed(seed_of(self.rng, "step", self.round_index, self.global_step, self.global_rank))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of one batch."""
        loss = self.loss(self(batch).logits, batch.label)
        self.log("loss", loss.detach(), batch_size=len(batch.index), on_step=True, on_epoch=False)
        return loss

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Count one scene into the confusion matrix, every point once."""
        if batch.point_label is None:
            raise ValueError("an evaluation batch must carry the labels to be judged by")
        winner = self(batch).logits.argmax(dim=1)
        self.confusion.update(winner[batch.inverse], batch.point_label)

    def on_test_epoch_end(self) -> None:
        """Add up the counts of all ranks while they are together."""
        self.total = self.confusion.compute().cpu().numpy().astype(np.int64)
        self.confusion.reset()

    def judged(self) -> I64:
        """The confusion matrix of the last test, i64[C,C], rows are the truth. Raises: ValueError before a test."""
        if self.total is None:
            raise ValueError("this network has not been tested yet")
        return self.total

    def predict_step(self, batch: Batch, batch_idx: int) -> Prediction:
        """Class probabilities and features of one scene's voxels."""
        output = self(batch)
        prob = output.logits.float().softmax(dim=1)
        return Prediction(prob.cpu().numpy(), output.feature.float().cpu().numpy())

    def configure_optimizers(self) -> Any:
        """The optimiser, with its schedule per step."""
        optimizer = self.make_optimizer(self.net.parameters())
        if self.schedule == "constant":
            return optimizer
        steps = self.trainer.max_steps
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * min(step, steps) / steps)))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
