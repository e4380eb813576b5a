"""Extremely randomised trees, grown by scikit-learn and kept as arrays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from al3d.probes.heads import FOREST, MakeTrainer, Model, TreeModel, check_option, learned_rows, row_weights
from al3d.probes.trees import Trees, joined
from al3d.rng import Key, seed_of
from al3d.types import F32, F64, I64, Array


@dataclass(frozen=True)
class Forest:
    """The mean of `trees` randomised trees, whose leaves hold the shares of the classes among at least `least` rows.

    A split looks at the share `columns` of the columns (None: the root of their number). `balance` 0..1 is the power of 1 / (rows of its class)
    that a row weighs. Of more than `rows` rows a sample is learned (None: all).
    Raises: ValueError for a wrong option. Source: Geurts et al. 2006 (extra trees).
    """

    trees: int = 60
    least: int = 1
    columns: float | None = 0.4
    balance: float = 0.5
    rows: int | None = 10_000

    def __post_init__(self) -> None:
        for name, value, right, wanted in (
            ("trees", self.trees, self.trees >= 1, "at least 1"),
            ("least", self.least, self.least >= 1, "at least 1"),
            ("columns", self.columns, self.columns is None or 0 < self.columns <= 1, "a share within 0..1 (0 excluded), or null for the root of their number"),
            ("balance", self.balance, 0 <= self.balance <= 1, "a number within 0..1"),
            ("rows", self.rows, self.rows is None or self.rows >= 1, "at least 1, or null for all"),
        ):
            check_option(FOREST, name, value, right, wanted)

    @property
    def name(self) -> str:
        """What results carry."""
        return FOREST

    def fit(self, rows: F32, label: I64, classes: int, key: Key, trainer: MakeTrainer | None = None) -> Model:
        """The trees of labelled rows; see `Head`."""
        inputs = rows.shape[-1]
        rows, place, present = learned_rows(rows, label, classes, self.rows, key)
        from sklearn.ensemble import ExtraTreesClassifier

        # Every tree's seed is drawn before the first is grown, so threads change nothing.
        grown = ExtraTreesClassifier(
            self.trees,
            min_samples_leaf=self.least,
            max_features="sqrt" if self.columns is None else self.columns,
            random_state=seed_of(*key, FOREST) % 2**32,
            n_jobs=torch.get_num_threads(),
        )
        grown.fit(rows, place, row_weights(place, self.balance))
        return TreeModel(FOREST, trees_from((tree.tree_ for tree in grown.estimators_), inputs, len(present)), present, classes)


def trees_from(trees: Iterable[Any], inputs: int, classes: int) -> Trees:
    """The ensemble of scikit-learn's trees (`tree_` of each), which compare float32 rows with float64 thresholds."""
    return joined(((*_arrays(tree), 0) for tree in trees), inputs, classes)


def _arrays(tree: Any) -> tuple[Array, Array, Array, Array, F64]:
    """One tree as `joined` wants it: nodes and leaves are numbered apart, in scikit-learn's order (a child after its node)."""
    inner = tree.children_left >= 0
    number = np.where(inner, np.cumsum(inner) - 1, -np.cumsum(~inner))
    share = tree.value[~inner][:, 0, :]
    # Versions before 1.3 keep weights there, not shares.
    share = share / share.sum(axis=1, keepdims=True)
    return tree.feature[inner], tree.threshold[inner], number[tree.children_left[inner]], number[tree.children_right[inner]], share
