"""Heads: small models that learn class probabilities from rows of numbers, and what they have learned.

A head holds options and nothing else; `fit` gives a model. There are two kinds of those: ensembles of trees, and layers with a softmax (without
a hidden layer that is the logistic regression). Both are arrays, so a model is kept as tensors and never as code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional

from al3d.probes.trees import Trees, trees_of
from al3d.rng import Key, generator
from al3d.types import F32, F64, I64

MakeTrainer = Callable[..., pl.Trainer]
#: Who learns trees, and who learns layers.
BOOSTING, FOREST, LINEAR, PERCEPTRON = "boosting", "forest", "linear", "mlp"
#: Rows that go through the layers at a time: what lies between two layers stays in a core's second cache.
BLOCK = 2048


class Model(Protocol):
    """What a head has learned."""

    def __call__(self, rows: F32) -> F32:
        """Class probabilities f32[V,C] of finite rows f32[V,D]: rows sum to 1, and a class that was not learned has 0."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Everything that the model is, as tensors; `model_of` is the inverse."""
        ...


class Head(Protocol):
    """Options of a way to learn; `name` is what results carry."""

    @property
    def name(self) -> str: ...
    def fit(self, rows: F32, label: I64, classes: int, key: Key, trainer: MakeTrainer | None = None) -> Model:
        """Learn the classes `label` i64[n], 0..classes-1, of standardised rows f32[n,D], n >= 1; classes may be absent.

        All randomness comes from `key`, and the bits do not depend on the number of threads. `trainer` makes the trainer of heads that
        are trained by one (None: a quiet one on the CPU). Raises: ValueError for rows or labels that break that.
        """
        ...


@dataclass(frozen=True, eq=False)
class TreeModel:
    """Trees whose sums become probabilities: by a softmax (`kind` boosting), or as shares of their sum (forest).

    Column i of the trees is class `present[i]` i64[k], sorted, of `classes`. Raises: ValueError when these do not fit together.
    """

    kind: str
    trees: Trees
    present: I64
    classes: int

    def __post_init__(self) -> None:
        _check_classes(self.present, self.classes, self.trees.outputs)
        if self.kind not in (BOOSTING, FOREST):
            raise ValueError(f"a model of trees is of kind {BOOSTING} or {FOREST}, got {self.kind!r}")
        if self.kind == FOREST and not (len(self.trees.root) and bool((self.trees.value >= 0).all() and (self.trees.value.sum(axis=1) > 0).all())):
            raise ValueError("a forest needs trees whose leaves hold shares of classes: this one has none, or leaves of other numbers")

    def __call__(self, rows: F32) -> F32:
        sums = self.trees(rows)
        return _spread(sums / sums.sum(axis=1, keepdims=True) if self.kind == FOREST else _softmax(sums), self.present, self.classes)

    def state(self) -> dict[str, Tensor]:
        return {**_heading(self.kind, self.present, self.classes), **{f"trees.{name}": value for name, value in self.trees.state().items()}}


@dataclass(frozen=True, eq=False)
class LayerModel:
    """Linear layers with ReLU in between and a softmax at the end: `weight` f32[out,in] and `bias` f32[out] of each.

    Output i is class `present[i]` i64[k], sorted, of `classes`. Raises: ValueError when these do not fit together.
    """

    kind: str
    weight: tuple[Tensor, ...]
    bias: tuple[Tensor, ...]
    present: I64
    classes: int

    def __post_init__(self) -> None:
        if self.kind not in (LINEAR, PERCEPTRON):
            raise ValueError(f"a model of layers is of kind {LINEAR} or {PERCEPTRON}, got {self.kind!r}")
        if not self.weight or len(self.weight) != len(self.bias):
            raise ValueError(f"each layer needs a weight and a bias: {len(self.weight)} weights, {len(self.bias)} biases")
        for number, (weight, bias) in enumerate(zip(self.weight, self.bias, strict=True)):
            inputs = self.weight[number - 1].shape[0] if number else weight.shape[-1]
            if weight.dtype != torch.float32 or bias.dtype != torch.float32 or weight.ndim != 2 or weight.shape[1] != inputs or bias.shape != weight.shape[:1]:
                raise ValueError(f"layer {number} has weight {weight.dtype} {list(weight.shape)} and bias {bias.dtype} {list(bias.shape)}, which do not fit")
            if not bool(weight.isfinite().all() and bias.isfinite().all()):
                raise ValueError(f"layer {number} holds numbers that are not finite")
        _check_classes(self.present, self.classes, self.weight[-1].shape[0])

    def __call__(self, rows: F32) -> F32:
        inputs = self.weight[0].shape[1]
        if rows.ndim != 2 or rows.shape[1] != inputs or rows.dtype != np.float32:
            raise ValueError(f"these layers look at float32 [V,{inputs}], got {rows.dtype} {list(rows.shape)}")
        with torch.no_grad(), one_thread():
            # Copied: the rows may be read-only, which torch does not know.
            blocks = [self._logits(torch.tensor(rows[start : start + BLOCK])).numpy() for start in range(0, max(len(rows), 1), BLOCK)]
        return _spread(_softmax(np.concatenate(blocks).astype(np.float64)), self.present, self.classes)

    def _logits(self, block: Tensor) -> Tensor:
        for number, (weight, bias) in enumerate(zip(self.weight, self.bias, strict=True)):
            block = functional.linear(block.relu() if number else block, weight, bias)
        return block

    def state(self) -> dict[str, Tensor]:
        layers = {f"weight.{number}": weight.clone() for number, weight in enumerate(self.weight)}
        layers |= {f"bias.{number}": bias.clone() for number, bias in enumerate(self.bias)}
        return {**_heading(self.kind, self.present, self.classes), **layers}


def model_of(state: Mapping[str, Tensor]) -> Model:
    """The model of a state, with the same bits. Raises: ValueError saying what is wrong with a damaged or unknown state."""
    missing = sorted({"kind", "present", "classes"} - set(state))
    if missing:
        raise ValueError(f"this is no state of a head's model, or a damaged one: {', '.join(missing)} is missing")
    kind = bytes(state["kind"].to(torch.uint8).flatten().tolist()).decode("ascii", "replace")
    present, classes = state["present"].numpy(), int(state["classes"].flatten()[0])
    rest = {name: value for name, value in state.items() if name not in ("kind", "present", "classes")}
    if kind in (BOOSTING, FOREST):
        return TreeModel(kind, trees_of({name.removeprefix("trees."): value for name, value in rest.items()}), present, classes)
    if kind not in (LINEAR, PERCEPTRON):
        raise ValueError(f"a state of kind {kind!r} is unknown: {BOOSTING}, {FOREST}, {LINEAR} and {PERCEPTRON} are known; it is damaged, or of a newer al3d")
    depth = len(rest) // 2
    if set(rest) != {f"{name}.{number}" for name in ("weight", "bias") for number in range(depth)}:
        raise ValueError(f"a state of layers holds weight and bias of each, numbered from 0; this one holds {', '.join(sorted(rest)) or 'none'}")
    return LayerModel(kind, tuple(rest[f"weight.{i}"] for i in range(depth)), tuple(rest[f"bias.{i}"] for i in range(depth)), present, classes)


def learned_rows(rows: F32, label: I64, classes: int, limit: int | None, key: Key) -> tuple[F32, I64, I64]:
    """What a head learns from: rows f32[m,D], their places i64[m] in the classes that are present, and those classes i64[k], sorted.

    Of more than `limit` rows a uniform sample (keyed) is taken, in their order, and the first row drawn of every class, so that none gets lost.
    Raises: ValueError for rows or labels that cannot be learned.
    """
    if rows.ndim != 2 or rows.dtype != np.float32 or label.shape != rows.shape[:1] or not len(rows):
        raise ValueError(f"a head learns from at least one row: got rows {rows.dtype} {list(rows.shape)} and labels {list(label.shape)}")
    if label.min() < 0 or label.max() >= classes:
        raise ValueError(f"labels must be within 0..{classes - 1}, got {int(label.min())}..{int(label.max())}")
    if not np.isfinite(rows).all():
        raise ValueError(f"row {int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])} of {len(rows)} is not finite: a head cannot learn from it")
    if limit is not None and len(rows) > limit:
        order = generator(*key, "rows").permutation(len(rows))
        first = order[np.unique(label[order], return_index=True)[1]]
        taken = np.union1d(order[:limit], first)
        rows, label = rows[taken], label[taken]
    present, place = np.unique(label, return_inverse=True)
    return np.ascontiguousarray(rows), place.astype(np.int64), present.astype(np.int64)


def row_weights(place: I64, balance: float) -> F64:
    """The weights f64[m] of rows by the class that they are of, with mean 1: 1 / (rows of the class) to the power of `balance`."""
    weight = np.bincount(place)[place].astype(np.float64) ** -balance
    return np.asarray(weight / weight.mean())


def check_option(head: str, name: str, value: object, right: bool, wanted: str) -> None:
    """Refuse an option of a head. Raises: ValueError that names it and says what is `wanted`."""
    if not right:
        raise ValueError(f"net.head.{name}={value}: give {wanted} ({head} head)")


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread of torch within, as many as before afterwards: matrix products of several may differ in their last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _check_classes(present: I64, classes: int, outputs: int) -> None:
    sound = present.dtype == np.int64 and present.ndim == 1 and len(present) == outputs >= 1
    if not sound or present[0] < 0 or present[-1] >= classes or bool((np.diff(present) <= 0).any()):
        raise ValueError(f"a model of {outputs} outputs needs as many of the {classes} classes, in order: it names {present.tolist()}")


def _heading(kind: str, present: I64, classes: int) -> dict[str, Tensor]:
    return {"kind": torch.tensor(list(kind.encode("ascii")), dtype=torch.uint8), "present": torch.from_numpy(present.copy()), "classes": torch.tensor(classes)}


def _softmax(logits: F64) -> F64:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def _spread(prob: F64, present: I64, classes: int) -> F32:
    """Probabilities of the present classes f64[V,k] among all of them, f32[V,classes]."""
    result = np.zeros((len(prob), classes), np.float32)
    result[:, present] = prob
    return result
