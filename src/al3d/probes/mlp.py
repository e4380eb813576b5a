"""A small perceptron, trained by Lightning."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset

from al3d.probes.heads import PERCEPTRON, LayerModel, MakeTrainer, Model, check_option, learned_rows, one_thread, row_weights
from al3d.rng import Key, generator, seed_of
from al3d.types import F32, I64

Rows = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class MLP:
    """Layers of `hidden` widths with ReLU and `dropout`, trained for `steps` steps of AdamW on `batch` labelled rows each.

    The learning rate falls from `learning_rate` to 0 along a cosine, and weights decay by `weight_decay` times it. Fewer than `batch` rows make
    every batch whole. `balance` 0..1 is the power of 1 / (rows of its class) that a row weighs. Of more than `rows` rows a sample is learned (None: all).
    Raises: ValueError for a wrong option.
    """

    hidden: Sequence[int] = (64, 64)
    dropout: float = 0.2
    steps: int = 300
    batch: int = 512
    learning_rate: float = 5e-3
    weight_decay: float = 1e-2
    balance: float = 0.5
    rows: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))  # a list, when it comes from YAML, has no hash
        for name, value, right, wanted in (
            ("hidden", self.hidden, all(width >= 1 for width in self.hidden), "a list of widths of at least 1"),
            ("dropout", self.dropout, 0 <= self.dropout < 1, "a share within 0..1 (1 excluded)"),
            ("steps", self.steps, self.steps >= 1, "at least 1"),
            ("batch", self.batch, self.batch >= 1, "at least 1"),
            ("learning_rate", self.learning_rate, self.learning_rate > 0, "a number above 0"),
            ("weight_decay", self.weight_decay, self.weight_decay >= 0, "a number from 0 on"),
            ("balance", self.balance, 0 <= self.balance <= 1, "a number within 0..1"),
            ("rows", self.rows, self.rows is None or self.rows >= 1, "at least 1, or null for all"),
        ):
            check_option(PERCEPTRON, name, value, right, wanted)

    @property
    def name(self) -> str:
        """What results carry."""
        return PERCEPTRON

    def fit(self, rows: F32, label: I64, classes: int, key: Key, trainer: MakeTrainer | None = None) -> Model:
        """The layers of labelled rows; see `Head`."""
        rows, place, present = learned_rows(rows, label, classes, self.rows, key)
        if len(present) == 1:
            return LayerModel(PERCEPTRON, (torch.zeros((1, rows.shape[1])),), (torch.zeros(1),), present, classes)
        weight = row_weights(place, self.balance).astype(np.float32)
        tensors = torch.tensor(rows), torch.from_numpy(place), torch.from_numpy(weight)
        # The caller's own draws go on as if nothing had happened here.
        with torch.random.fork_rng(devices=[]), one_thread(), _quiet():
            torch.manual_seed(seed_of(*key, PERCEPTRON, "weights"))
            module = _Learner(self, (rows.shape[1], *self.hidden, len(present)), key)
            make = _on_the_cpu if trainer is None else trainer
            make(max_steps=self.steps, logger=False).fit(module, DataLoader(_Batches(tensors, self.batch, self.steps, key), batch_size=None))
        layers = [part.cpu() for part in module.net if isinstance(part, nn.Linear)]
        return LayerModel(PERCEPTRON, tuple(one.weight.detach() for one in layers), tuple(one.bias.detach() for one in layers), present, classes)


class _Learner(pl.LightningModule):
    """Trains the layers between `widths`; the randomness of a step (dropout) is keyed by its number."""

    def __init__(self, options: MLP, widths: Sequence[int], key: Key) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for inputs, outputs in zip(widths[:-1], widths[1:], strict=True):
            parts += [nn.ReLU(), nn.Dropout(options.dropout)] if parts else []
            parts.append(nn.Linear(inputs, outputs))
        self.net, self.options, self.key = nn.Sequential(*parts), options, key

    def on_train_batch_start(self, batch: Rows, batch_idx: int) -> None:
        """Key the step's randomness."""
        if self.options.dropout > 0:
            torch.manual_seed(seed_of(*self.key, PERCEPTRON, "step", self.global_step))

    def training_step(self, batch: Rows, batch_idx: int) -> Tensor:
        """The weighted cross-entropy of one batch; weights average to 1 over all rows."""
        rows, place, weight = batch
        return (functional.cross_entropy(self.net(rows).float(), place, reduction="none") * weight).mean()

    def configure_optimizers(self) -> Any:
        """AdamW along a cosine, per step."""
        optimizer = torch.optim.AdamW(self.net.parameters(), self.options.learning_rate, weight_decay=self.options.weight_decay)
        steps = self.options.steps
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5 + 0.5 * math.cos(math.pi * min(step / steps, 1)))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class _Batches(IterableDataset[Rows]):
    """So many batches, each a pure function of the key and its number: rows f32[b,D], places i64[b], weights f32[b]."""

    def __init__(self, tensors: Rows, batch: int, steps: int, key: Key) -> None:
        self.tensors, self.batch, self.steps, self.key = tensors, batch, steps, key

    def __iter__(self) -> Iterator[Rows]:
        many = len(self.tensors[0])
        for step in range(self.steps):
            if many <= self.batch:
                yield self.tensors
            else:
                rows, place, weight = self.tensors
                taken = torch.from_numpy(generator(*self.key, PERCEPTRON, "batch", step).integers(many, size=self.batch))
                yield rows[taken], place[taken], weight[taken]


def _on_the_cpu(max_steps: int, **options: Any) -> pl.Trainer:
    """A trainer that says and writes nothing."""
    return pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=max_steps,
        max_epochs=-1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **options,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning says nothing of a fit within: this one loads no data and writes no log."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning.pytorch", "pytorch_lightning.utilities.rank_zero")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*isinstance.treespec.*")
        warnings.filterwarnings("ignore", message=".*`srun` command is available.*")
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
