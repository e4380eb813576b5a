"""Logistic regression over all classes at once."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch

from al3d.probes.heads import LINEAR, LayerModel, MakeTrainer, Model, check_option, learned_rows, row_weights
from al3d.rng import Key
from al3d.types import F32, I64


@dataclass(frozen=True)
class Linear:
    """Multinomial logistic regression: the sum of the rows' weighted cross-entropies plus `l2` / 2 times the squared weights (not the offsets).

    At most `steps` steps of L-BFGS are made. `balance` 0..1 is the power of 1 / (rows of its class) that a row weighs. Of more than
    `rows` rows a sample is learned (None: all).
    Raises: ValueError for a wrong option.
    """

    l2: float = 10.0
    steps: int = 100
    balance: float = 0.5
    rows: int | None = 20_000

    def __post_init__(self) -> None:
        for name, value, right, wanted in (
            ("l2", self.l2, self.l2 > 0, "a number above 0"),
            ("steps", self.steps, self.steps >= 1, "at least 1"),
            ("balance", self.balance, 0 <= self.balance <= 1, "a number within 0..1"),
            ("rows", self.rows, self.rows is None or self.rows >= 1, "at least 1, or null for all"),
        ):
            check_option(LINEAR, name, value, right, wanted)

    @property
    def name(self) -> str:
        """What results carry."""
        return LINEAR

    def fit(self, rows: F32, label: I64, classes: int, key: Key, trainer: MakeTrainer | None = None) -> Model:
        """The weights of labelled rows; see `Head`."""
        rows, place, present = learned_rows(rows, label, classes, self.rows, key)
        if len(present) == 1:
            return LayerModel(LINEAR, (torch.zeros((1, rows.shape[1])),), (torch.zeros(1),), present, classes)
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits

        regression = LogisticRegression(C=1 / self.l2, max_iter=self.steps, tol=1e-3)
        with threadpool_limits(1), warnings.catch_warnings():
            # `steps` is a choice, not a failure; and the threads of a matrix product may change its last bits.
            warnings.simplefilter("ignore", ConvergenceWarning)
            regression.fit(rows, place, row_weights(place, self.balance))
        weight, bias = regression.coef_, regression.intercept_
        if len(present) == 2:  # then scikit-learn gives the second class alone, against 0 for the first
            weight, bias = np.concatenate([np.zeros_like(weight), weight]), np.concatenate([np.zeros_like(bias), bias])
        return LayerModel(LINEAR, (torch.from_numpy(weight.astype(np.float32)),), (torch.from_numpy(bias.astype(np.float32)),), present, classes)
