"""Gradient-boosted trees, trained by LightGBM and kept as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from al3d.probes.heads import BOOSTING, MakeTrainer, Model, TreeModel, check_option, learned_rows, row_weights
from al3d.probes.trees import Trees, joined
from al3d.rng import Key, seed_of
from al3d.types import F32, F64, I64, Array

#: Rows from which several threads are faster than one: below, they wait for each other, the longer the busier the cores are.
MANY = 4096


@dataclass(frozen=True)
class Boosting:
    """Boosted trees with a softmax: `trees` rounds of one tree per class that is present, each of at most `leaves` leaves.

    `learning_rate` shrinks a tree. `least` rows are in a leaf at least (None: one in 50 of those learned from, within 1..20). `l2` is added to a
    leaf's curvature. `columns` is the share of columns that a tree may look at, drawn by the key. `bins` values of a column are told apart.
    `balance` 0..1 is the power of 1 / (rows of its class) that a row weighs. Of more than `rows` rows a sample is learned (None: all).
    Up to 32 leaves are evaluated several times as fast as more.
    Raises: ValueError for a wrong option. Source: Ke et al. 2017 (LightGBM), whose own defaults (20 rows in a leaf, 3 in a bin) learn nothing
    but the classes' shares from a few dozen rows, without a word.
    """

    trees: int = 60
    leaves: int = 15
    learning_rate: float = 0.1
    least: int | None = None
    l2: float = 1.0
    columns: float = 0.5
    bins: int = 255
    balance: float = 0.5
    rows: int | None = 20_000

    def __post_init__(self) -> None:
        for name, value, right, wanted in (
            ("trees", self.trees, self.trees >= 1, "at least 1"),
            ("leaves", self.leaves, self.leaves >= 2, "at least 2"),
            ("learning_rate", self.learning_rate, self.learning_rate > 0, "a number above 0"),
            ("least", self.least, self.least is None or self.least >= 1, "at least 1, or null to choose by the rows"),
            ("l2", self.l2, self.l2 >= 0, "a number from 0 on"),
            ("columns", self.columns, 0 < self.columns <= 1, "a share within 0..1 (0 excluded)"),
            ("bins", self.bins, 2 <= self.bins <= 255, "2..255"),
            ("balance", self.balance, 0 <= self.balance <= 1, "a number within 0..1"),
            ("rows", self.rows, self.rows is None or self.rows >= 1, "at least 1, or null for all"),
        ):
            check_option(BOOSTING, name, value, right, wanted)

    @property
    def name(self) -> str:
        """What results carry."""
        return BOOSTING

    def fit(self, rows: F32, label: I64, classes: int, key: Key, trainer: MakeTrainer | None = None) -> Model:
        """The trees of labelled rows; see `Head`."""
        inputs = rows.shape[-1]
        rows, place, present = learned_rows(rows, label, classes, self.rows, key)
        if len(present) == 1:
            return TreeModel(BOOSTING, joined([], inputs, 1), present, classes)
        import lightgbm

        options = self.options(len(rows), len(present), key)
        data = lightgbm.Dataset(rows, place, weight=row_weights(place, self.balance), params=options)
        booster = lightgbm.train(options, data, self.trees)
        return TreeModel(BOOSTING, trees_from(booster.dump_model(), inputs), present, classes)

    def options(self, rows: int, classes: int, key: Key) -> dict[str, Any]:
        """LightGBM's options for so many rows of so many classes that are present."""
        least = max(1, min(20, rows // 50)) if self.least is None else self.least
        return {
            "objective": "multiclass",
            "num_class": classes,
            "num_leaves": self.leaves,
            "learning_rate": self.learning_rate,
            "min_data_in_leaf": least,
            "min_data_in_bin": min(3, least),
            "lambda_l2": self.l2,
            "feature_fraction": self.columns,
            "max_bin": self.bins,
            "feature_pre_filter": False,
            "use_missing": False,
            "seed": seed_of(*key, BOOSTING) % 2**31,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": torch.get_num_threads() if rows >= MANY else 1,
            "verbosity": -1,
        }


def trees_from(dump: dict[str, Any], inputs: int) -> Trees:
    """The trees of `lightgbm.Booster.dump_model()`, which prints numbers in full. Raises: ValueError for splits other than x <= threshold."""
    classes = int(dump["num_tree_per_iteration"])
    parts = ((*_arrays(info["tree_structure"], int(info["num_leaves"])), number % classes) for number, info in enumerate(dump["tree_info"]))
    return joined(parts, inputs, classes)


def _arrays(root: dict[str, Any], leaves: int) -> tuple[Array, Array, Array, Array, F64]:
    """One tree as `joined` wants it; LightGBM numbers nodes and leaves itself, a child after its node."""
    feature, left, right = (np.zeros(leaves - 1, np.int32) for _ in range(3))
    threshold, value = np.zeros(leaves - 1), np.zeros((leaves, 1))
    for node in _nodes(root):
        if "split_index" not in node:
            value[node.get("leaf_index", 0)] = node["leaf_value"]
            continue
        if node["decision_type"] != "<=":
            raise ValueError(f"LightGBM made a split of type {node['decision_type']!r}, which these trees do not have: only numbers are learned from")
        place = node["split_index"]
        feature[place], threshold[place] = node["split_feature"], node["threshold"]
        left[place], right[place] = _number(node["left_child"]), _number(node["right_child"])
    return feature, threshold, left, right, value


def _nodes(root: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A node and all below it."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        waiting += [node[side] for side in ("left_child", "right_child") if side in node]
        yield node


def _number(child: dict[str, Any]) -> int:
    return int(child["split_index"]) if "split_index" in child else ~int(child["leaf_index"])
