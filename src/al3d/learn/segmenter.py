"""A network as a LightningModule: trains on voxels with known labels, is judged on points, predicts the pool."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassConfusionMatrix

from al3d.data.batch import Batch
from al3d.data.draw import Draw
from al3d.files import read_json
from al3d.learn.losses import Counting, Loss, over_scenes
from al3d.learn.prior import PRIOR, Shifted, shift_of
from al3d.learn.schedules import Constant, Schedule, schedule_of
from al3d.learn.tiles import Tiles
from al3d.rng import seed_of
from al3d.sparse import Geometry, coarse_rows
from al3d.types import F32, I64, IGNORE, PENULTIMATE

#: Voxels a side of a network's coarsest voxel.
BOTTLENECK_STRIDE = 16
MakeOptimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


@dataclass(eq=False)
class Prediction:
    """What the pool prediction hands to the harvest: per voxel `prob` f32[V,C] and `feature` f32[V,D], penultimate unless the bottleneck is asked for.

    With several dropout passes both are means over them, and `entropy_of_passes` f32[V] is the mean of their entropies in nats. With
    several views a row is a point, and `inverse` i64[N] says so. Not frozen: Lightning copies what `predict` returns.
    """

    prob: F32
    feature: F32
    inverse: I64 | None = None
    entropy_of_passes: F32 | None = None


class Segmenter(pl.LightningModule):
    """Supervised learning from partial labels.

    `optimizer` makes an optimiser from parameters; `schedule` is "constant", "cosine" from the full learning rate to 0 over the round's steps,
    or a schedule (al3d.learn.schedules). `draw`, `draw_exponent` and `draw_floor` say how often a scene is drawn and what its labels weigh (see
    `al3d.data.draw.Draw`); with `prior` "pool" predictions are corrected by the class shares of the pool (`al3d.learn.prior`). Tests
    and predictions run in tiles of at most `tile_voxels` voxels with a halo of `tile_halo` (see `Tiles`). `pairs` says whether a
    training batch must carry its scenes without augmentation too.
    Randomness of a step (dropout) is keyed by (rng, round, step, rank), so a resumed training has the same bits.
    """

    pairs = False

    def __init__(
        self,
        net: nn.Module,
        classes: int,
        optimizer: MakeOptimizer,
        loss: Loss,
        schedule: str | Schedule = "constant",
        rng: int = 0,
        round_index: int = 0,
        tile_voxels: int | None = None,
        tile_halo: int = 32,
        draw: str = "scenes",
        draw_exponent: float = 1.0,
        draw_floor: float = 0.1,
        prior: str = "trained",
        prior_strength: float = 1.0,
    ) -> None:
        super().__init__()
        self.net, self.classes, self.make_optimizer, self.loss, self.schedule = net, classes, optimizer, loss, schedule_of(schedule)
        self.rng, self.round_index = rng, round_index
        self.draw = Draw(draw, draw_exponent, draw_floor)
        if prior not in PRIOR or not 0 <= prior_strength <= 1:
            raise ValueError(f"learner.prior={prior!r} must be one of {', '.join(PRIOR)} and learner.prior_strength={prior_strength} within 0..1")
        self.prior, self.prior_strength = prior, prior_strength
        self.shift: list[float] | None = None
        self.tiles = Tiles(tile_voxels, tile_halo)
        self.confusion = MulticlassConfusionMatrix(classes, ignore_index=IGNORE, validate_args=False)
        self.total: I64 | None = None
        self.passes = 1
        self.feature = PENULTIMATE
        self.earlier_optimizers: list[dict[str, Any]] = []

    @property
    def predictor(self) -> nn.Module:
        """The network that is judged and that predicts, its logits shifted where a `shift` was set."""
        return self.chosen if self.shift is None else Shifted(self.chosen, self.shift)

    @property
    def chosen(self) -> nn.Module:
        """The one of several networks that is judged."""
        return self.net

    def correct_beside(self, weights: Path) -> None:
        """Shift the logits by the class shares that lie beside a round's `weights`, if predictions are to be corrected by the pool's."""
        if self.prior == "pool":
            shares = read_json(weights.with_name("prior.json"))
            self.correct(shares["trained"], shares["pool"])

    def correct(self, trained: Sequence[float], pool: Sequence[float]) -> None:
        """Shift the logits, from the class shares that were trained on to those of the pool, as far as `prior_strength` says."""
        self.shift = shift_of(np.asarray(pool), np.asarray(trained), self.prior_strength)

    def weigh(self, class_counts: Sequence[float]) -> None:
        """Tell a loss that depends on it how many labels of each class this round will see."""
        if isinstance(self.loss, Counting):
            self.loss = self.loss.weighed_by(class_counts)

    def labelled_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """The loss of a batch's labelled voxels, which weigh as `draw` says."""
        return over_scenes(self.loss, logits, batch) if self.draw.weighs else self.loss(logits, batch.label)

    def forward(self, batch: Batch) -> Any:
        """The network's output for a batch."""
        return run(self.net, batch.coord, batch.feat)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Key the step's randomness: seeding once per epoch is not enough for an exact resume."""
        parts = self.trainer.accumulate_grad_batches
        part = (batch_idx % parts,) if parts > 1 else ()
        torch.manual_seed(seed_of(self.rng, "step", self.round_index, self.global_step, self.global_rank, *part))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of one batch."""
        loss = self.labelled_loss(self(batch).logits, batch)
        self.log("loss", loss.detach(), batch_size=len(batch.index), on_step=True, on_epoch=False)
        return loss

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Count one scene into the confusion matrix, every point once."""
        self.count(batch)

    def count(self, batch: Batch) -> None:
        """Count one scene into the confusion matrix; from several views of it the mean of their probabilities decides."""
        if batch.point_label is None:
            raise ValueError("an evaluation batch must carry the labels to be judged by")
        if not batch.views:
            (winner,) = self.tiles(lambda coord, feat: (run(self.predictor, coord, feat).logits.argmax(dim=1),), batch.coord, batch.feat)
            self.confusion.update(winner[batch.inverse], batch.point_label)
            return
        total: Tensor | None = None
        for view in (batch, *batch.views):
            (prob,) = self.tiles(lambda coord, feat: (run(self.predictor, coord, feat).logits.float().softmax(dim=1),), view.coord, view.feat)
            total = prob[view.inverse] if total is None else total.add_(prob[view.inverse])
        if total is not None:
            self.confusion.update(total.argmax(dim=1), batch.point_label)

    def on_test_epoch_end(self) -> None:
        """Add up the counts of all ranks while they are together."""
        self.total = self.counted()

    def counted(self) -> I64:
        """The counts of all ranks since the last call, i64[C,C]; every rank must call this."""
        total: I64 = self.confusion.compute().cpu().numpy().astype(np.int64)
        self.confusion.reset()
        return total

    def judged(self) -> I64:
        """The confusion matrix of the last test, i64[C,C], rows are the truth. Raises: ValueError before a test."""
        if self.total is None:
            raise ValueError("this network has not been tested yet")
        return self.total

    def predict_step(self, batch: Batch, batch_idx: int) -> Prediction:
        """Class probabilities and features of one scene's voxels; of its points when it comes in several views."""
        if not batch.views:
            prob, feature, entropy = self._mean_of_passes(batch, 0)
            return Prediction(prob.numpy(), feature.numpy(), None, entropy.numpy() if self.passes > 1 else None)
        views = [batch, *batch.views]
        sums: list[Tensor] = []
        for number, view in enumerate(views):
            rows = [part[view.inverse.cpu()] for part in self._mean_of_passes(view, number)]
            sums = [total.add_(part) for total, part in zip(sums, rows, strict=True)] if sums else rows
        prob, feature, entropy = (total / len(views) for total in sums)
        points = np.arange(len(prob), dtype=np.int64)
        return Prediction(prob.numpy(), feature.numpy(), points, entropy.numpy() if self.passes > 1 else None)

    def _mean_of_passes(self, batch: Batch, view: int) -> tuple[Tensor, Tensor, Tensor]:
        """Probabilities, features, and entropies of one view's voxels: means over the passes, each with its own keyed dropout."""
        if self.passes == 1:
            return self.tiles(self._outputs, batch.coord, batch.feat)  # type: ignore[return-value]
        sums: list[Tensor] = []
        # the passes over a scene that is not cut share its maps
        voxels = voxels_for(self.predictor, batch.coord) if self.tiles.is_one(batch.coord) else None
        with _dropping(self.predictor):
            for number in range(self.passes):
                torch.manual_seed(seed_of(self.rng, "pass", self.round_index, batch.index[0], view, number))
                rows = self.tiles(partial(self._outputs, voxels=voxels), batch.coord, batch.feat)
                sums = [total.add_(one) for total, one in zip(sums, rows, strict=True)] if sums else list(rows)
        prob, feature, entropy = (total / self.passes for total in sums)
        return prob, feature, entropy

    def _outputs(self, coord: Tensor, feat: Tensor, voxels: Tensor | Geometry | None = None) -> tuple[Tensor, ...]:
        """Probabilities, features and entropies (nats) of voxels, on the CPU; a voxel's bottleneck feature is that of the coarse voxel around it."""
        output = run(self.predictor, coord, feat) if voxels is None else self.predictor(voxels, feat)
        prob = output.logits.float().softmax(dim=1)
        feature = output.feature if self.feature == PENULTIMATE else output.bottleneck[coarse_rows(coord, BOTTLENECK_STRIDE)]
        return prob.cpu(), feature.float().cpu(), torch.special.entr(prob).sum(dim=1).cpu()

    def configure_optimizers(self) -> Any:
        """The optimiser, with its schedule per step."""
        optimizer = going_on(self.make_optimizer(self.net.parameters()), self.earlier_optimizers)
        if isinstance(self.schedule, Constant):
            return optimizer
        steps = self.trainer.max_steps
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.schedule(step, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def run(net: nn.Module, coord: Tensor, feat: Tensor) -> Any:
    """What a network makes of voxels `coord` i32[V,4] with `feat` [V,c]; their maps are made before it runs."""
    return net(voxels_for(net, coord), feat)


def voxels_for(net: nn.Module, coord: Tensor) -> Tensor | Geometry:
    """The voxels as a network wants them: with every map that it will ask for, on the device of `coord`, or as they are if it does not say what that is."""
    make: Callable[[Tensor], Geometry] | None = getattr(net, "geometry", None)
    return coord if make is None else make(coord)


def going_on(optimizer: torch.optim.Optimizer, earlier: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """The optimiser with the averages of an earlier round's, if there is one; its learning rate and other options stay its own (docs/fidelity.md D-49)."""
    for state in earlier[:1]:
        optimizer.load_state_dict({"state": state["state"], "param_groups": optimizer.state_dict()["param_groups"]})
    return optimizer


@contextmanager
def _dropping(net: nn.Module) -> Iterator[None]:
    """The dropout of a network is active, and nothing else changes; afterwards all is as it was, also when the pass failed."""
    resting = [part for part in net.modules() if isinstance(part, nn.Dropout) and not part.training]
    for part in resting:
        part.train()
    try:
        yield
    finally:
        for part in resting:
            part.eval()
