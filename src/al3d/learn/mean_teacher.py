"""A student that learns from bought labels and from a teacher, which is the moving average of the student."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from al3d.data.batch import Batch
from al3d.learn.segmenter import Segmenter, run
from al3d.types import IGNORE

#: The options that are words, each with what it may be.
WORDS = {"decide_by": ("point", "voxel"), "teacher_mode": ("eval", "train"), "teacher_init": ("student", "teacher"), "judge": ("student", "teacher")}


@dataclass
class Terms:
    """The parts of one batch's loss, each a scalar; `pseudo_share` is the fraction of points that have a pseudo-label."""

    labelled: Tensor
    pseudo: Tensor
    divergence: Tensor | None
    pseudo_share: Tensor


class MeanTeacher(Segmenter):
    """Two networks: the student sees augmented scenes and is trained, the teacher sees the same scenes as they are and follows it.

    The loss is `loss` of the student's voxels with bought labels, plus `weight` times the cross-entropy of the student's prediction for each
    point with a pseudo-label, plus, with `kl`, the divergence of the student from the teacher, mean over points and classes (in HPAL's code,
    not in its paper: docs/fidelity.md D-47). A pseudo-label is the teacher's most probable class where it has a probability of at least
    `threshold` and the point has no label; `decide_by` "voxel" asks instead whether the student's voxel has one, as the published code does,
    which with `dataset.voxel_label=first` gives labelled points pseudo-labels.
    After every step of the optimiser teacher = `decay` * teacher + (1 - `decay`) * student, over parameters and floating buffers such as the
    statistics of batch norm; counters are copied. The teacher runs without gradients.

    `teacher_mode` "eval": the teacher uses its running statistics and no dropout; "train": those of the batch, and dropout, as the published
    code does. `teacher_init`: what the teacher of a round that goes on from another starts as, that round's "student" (published) or "teacher".
    `judge`: the network that is judged, scores the pool and gives features: the "student" (published) or the "teacher". A cropped scene is
    cropped for both, to the same points. Everything else is as in `Segmenter`; a checkpoint holds both networks.
    Raises: ValueError for a wrong option.
    Source: HPAL (Xu et al. 2023) after Tarvainen and Valpola 2017; its values are the defaults. Differs as said, and in `teacher_mode`.
    """

    pairs = True

    def __init__(
        self,
        net: nn.Module,
        classes: int,
        decay: float = 0.955,
        threshold: float = 0.75,
        weight: float = 1.0,
        kl: bool = False,
        decide_by: str = "point",
        teacher_mode: str = "eval",
        teacher_init: str = "student",
        judge: str = "student",
        **segmenter: Any,
    ) -> None:
        super().__init__(net, classes, **segmenter)
        chosen = {"decide_by": decide_by, "teacher_mode": teacher_mode, "teacher_init": teacher_init, "judge": judge}
        for name, word in chosen.items():
            if word not in WORDS[name]:
                raise ValueError(f"learner.{name}={word!r} is not one of {', '.join(WORDS[name])}")
        if not 0 <= decay <= 1 or not 0 <= threshold <= 1 or not weight >= 0:
            raise ValueError(f"learner.decay={decay} and learner.threshold={threshold} must be within 0..1, and learner.weight={weight} from 0 on")
        self.decay, self.threshold, self.weight, self.kl = decay, threshold, weight, kl
        self.decide_by, self.teacher_mode, self.teacher_init, self.judge = decide_by, teacher_mode, teacher_init, judge
        self.teacher = deepcopy(net).requires_grad_(False)

    @property
    def chosen(self) -> nn.Module:
        """The one of the two networks that is judged."""
        return self.teacher if self.judge == "teacher" else self.net

    def train(self, mode: bool = True) -> MeanTeacher:
        """Set the mode of the student, and of the teacher as its option says."""
        super().train(mode)
        self.teacher.train(mode and self.teacher_mode == "train")
        return self

    def on_train_start(self) -> None:
        """At the first step of a round, not when it is resumed, the teacher may become the student that the round starts from.

        Its mode is set here, since Lightning leaves modes alone but warns before this hook of parts that do not train.
        """
        super().on_train_start()
        self.teacher.train(self.teacher_mode == "train")
        if self.global_step == 0 and self.teacher_init == "student":
            self.teacher.load_state_dict(self.net.state_dict())

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of one batch."""
        terms = self.terms(batch)
        loss = terms.labelled + self.weight * terms.pseudo
        loss = loss if terms.divergence is None else loss + terms.divergence
        logged = {"loss": loss, "loss_labelled": terms.labelled, "loss_pseudo": terms.pseudo, "pseudo_share": terms.pseudo_share}
        self.log_dict({name: value.detach() for name, value in logged.items()}, batch_size=len(batch.index), on_step=True, on_epoch=False)
        return loss

    def terms(self, batch: Batch) -> Terms:
        """The parts of the loss of one batch. Raises: ValueError for a batch without its scenes as they are."""
        if batch.plain is None or batch.labelled is None:
            raise ValueError("a mean teacher trains on pairs: the batch lacks its scenes as they are; make the loaders with pairs=True")
        logits = self(batch).logits
        with torch.no_grad():
            prob = run(self.teacher, batch.plain.coord, batch.plain.feat).logits.float().softmax(dim=1)
        labelled = batch.labelled if self.decide_by == "point" else batch.label[batch.inverse] != IGNORE
        target = pseudo_labels(prob, batch.plain.inverse, labelled, self.threshold)
        return Terms(
            labelled=self.labelled_loss(logits, batch),
            pseudo=mean_over_points(logits, batch.inverse, target),
            divergence=divergence(logits, batch.inverse, prob, batch.plain.inverse) if self.kl else None,
            pseudo_share=(target != IGNORE).to(torch.float32).mean(),
        )

    def optimizer_step(self, *arguments: Any, **options: Any) -> None:
        """A step of the student, then one of the teacher: batches whose gradients are only added up move neither."""
        super().optimizer_step(*arguments, **options)
        self.follow()

    @torch.no_grad()
    def follow(self) -> None:
        """Move the teacher towards the student."""
        for average, value in zip(_values(self.teacher), _values(self.net), strict=True):
            if average.is_floating_point():
                average.lerp_(value, 1 - self.decay)
            else:
                average.copy_(value)


def pseudo_labels(prob: Tensor, inverse: Tensor, labelled: Tensor, threshold: float) -> Tensor:
    """The most probable class of each unlabelled point whose voxel is sure of it, IGNORE elsewhere.

    Shapes: prob f32[V,C], inverse i64[N] into V, labelled bool[N] -> i64[N].
    """
    sure, winner = prob.max(dim=1)
    return torch.where(sure >= threshold, winner, IGNORE)[inverse].masked_fill(labelled, IGNORE)


def mean_over_points(logits: Tensor, inverse: Tensor, target: Tensor) -> Tensor:
    """The mean cross-entropy over the points with a target, zero (with a zero gradient) without one: logits [V,C], inverse and target i64[N].

    Points of one voxel share its logits, so they are counted per voxel and class: nothing of size N x C is made, and sums have one order.
    """
    known = target != IGNORE
    classes = logits.shape[1]
    counts = torch.bincount(inverse[known] * classes + target[known], minlength=len(logits) * classes).view(len(logits), classes)
    return (counts * -logits.float().log_softmax(dim=1)).sum() / known.sum().clamp(min=1)


def divergence(logits: Tensor, inverse: Tensor, prob: Tensor, plain_inverse: Tensor) -> Tensor:
    """KL(teacher || student), summed over points and classes and divided by both their numbers."""
    total: Tensor = functional.kl_div(logits.float().log_softmax(dim=1)[inverse], prob[plain_inverse], reduction="sum")
    return total / (len(inverse) * logits.shape[1])


def _values(net: nn.Module) -> Iterator[Tensor]:
    return chain(net.parameters(), net.buffers())
