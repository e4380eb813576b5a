"""Scores from one confusion matrix over the whole split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from al3d.types import F64, Array

ABSENT = ("excluded", "perfect")


@dataclass(frozen=True, eq=False)
class Scores:
    """`iou` f64[C] (NaN for a class absent from the ground truth), `miou` over the present classes, point `accuracy`; all 0..1."""

    iou: F64
    miou: float
    accuracy: float


def scores(confusion: Array, absent: str = "excluded") -> Scores:
    """IoU of each class from a confusion matrix [C,C] whose rows are the truth.

    A class absent from the ground truth is "excluded" from the mean, or counts as "perfect", 1, as ReDAL's and HPAL's code has it
    (docs/fidelity.md D-46); its own IoU stays NaN. A present class that was never predicted has IoU 0.
    Raises: ValueError when no point has a known label, or for another `absent`.
    """
    if absent not in ABSENT:
        raise ValueError(f"absent={absent!r} is not one of {', '.join(ABSENT)}")
    truth, predicted, hit = confusion.sum(axis=1), confusion.sum(axis=0), np.diag(confusion)
    if truth.sum() == 0:
        raise ValueError("the evaluation split has no labelled point: mIoU is undefined; check the split and its labels")
    with np.errstate(invalid="ignore", divide="ignore"):
        iou = np.where(truth > 0, hit / (truth + predicted - hit), np.nan)
    mean = float(np.nanmean(iou)) if absent == "excluded" else float(np.where(truth > 0, iou, 1.0).mean())
    return Scores(iou, mean, float(hit.sum() / truth.sum()))
