"""Scores from one confusion matrix over the whole split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from al3d.types import F64, Array


@dataclass(frozen=True, eq=False)
class Scores:
    """`iou` f64[C] (NaN for a class absent from the ground truth), `miou` over the present classes, point `accuracy`; all 0..1."""

    iou: F64
    miou: float
    accuracy: float


def scores(confusion: Array) -> Scores:
    """IoU of each class from a confusion matrix [C,C] whose rows are the truth.

    A class absent from the ground truth is excluded (docs/fidelity.md D-46); a present class that was never predicted has IoU 0.
    Raises: ValueError when no point has a known label.
    """
    truth, predicted, hit = confusion.sum(axis=1), confusion.sum(axis=0), np.diag(confusion)
    if truth.sum() == 0:
        raise ValueError("the evaluation split has no labelled point: mIoU is undefined; check the split and its labels")
    with np.errstate(invalid="ignore", divide="ignore"):
        iou = np.where(truth > 0, hit / (truth + predicted - hit), np.nan)
    return Scores(iou, float(np.nanmean(iou)), float(hit.sum() / truth.sum()))
