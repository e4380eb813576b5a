"""Learning curves as functions of a cost: what they are worth at any cost, their mean over runs, and the area under them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from al3d.types import F64


@dataclass(frozen=True, eq=False)
class Curve:
    """A score over a cost: `cost` f64[P] rising strictly, `score` f64[P]; straight lines between the points."""

    cost: F64
    score: F64

    def at(self, cost: F64) -> F64:
        """The score at these costs, f64[Q]; beyond its ends the curve stays level."""
        return np.interp(cost, self.cost, self.score)

    def between(self, low: float, high: float) -> Curve:
        """The curve on [low, high], its ends interpolated."""
        inside = self.cost[(self.cost > low) & (self.cost < high)]
        cost = np.concatenate(([low], inside, [high] if high > low else []))
        return Curve(cost, self.at(cost))


def curve_of(cost: Sequence[float], score: Sequence[float]) -> Curve:
    """A curve through these points, the costs in rising order.

    Points of equal cost become one with their mean score: a round that had nothing left to spend is another training on the same labels.
    Raises: ValueError without a point, or when a cost falls.
    """
    if len(cost) == 0:
        raise ValueError("a curve needs at least one point")
    x, y = np.asarray(cost, float), np.asarray(score, float)
    if (np.diff(x) < 0).any():
        raise ValueError(f"the cost falls from one round to the next: {', '.join(f'{value:g}' for value in x)}")
    unique, place, count = np.unique(x, return_inverse=True, return_counts=True)
    return Curve(unique, np.bincount(place, weights=y) / count)


def common_range(curves: Sequence[Curve]) -> tuple[float, float]:
    """The costs that every curve covers: from the highest start to the lowest end, which may lie below it."""
    return max(float(curve.cost[0]) for curve in curves), min(float(curve.cost[-1]) for curve in curves)


def area(curve: Curve, low: float, high: float) -> float:
    """The area under the curve on [low, high] divided by its width: the mean score. On a range without width, the score there.

    Raises: ValueError when the range is empty.
    """
    if high < low:
        raise ValueError(f"there is no area from {low:g} to {high:g}")
    part = curve.between(low, high)
    return float(part.score[0]) if high == low else float(np.trapezoid(part.score, part.cost)) / (high - low)


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """The mean of several curves where all of them are: exact, since it bends only where one of them does.

    Raises: ValueError when they have no cost in common.
    """
    cost = _bends(curves)
    return Curve(cost, np.mean([curve.at(cost) for curve in curves], axis=0))


def round_means(costs: Sequence[Sequence[float]], scores: Sequence[Sequence[float]]) -> tuple[F64, F64, F64]:
    """What a chart shows of several runs: for every round that all of them have, mean cost, mean score and the scores' standard deviation, f64[R] each.

    Unlike `mean_curve` this starts where the runs start on average, so that methods that share their seed's round start at one point. The deviation
    has n - 1 below; zeros for one run.
    """
    count = min(len(run) for run in costs)
    cost, score = np.array([run[:count] for run in costs], float), np.array([run[:count] for run in scores], float)
    return cost.mean(axis=0), score.mean(axis=0), score.std(axis=0, ddof=1) if len(score) > 1 else np.zeros(count)


def first_reaching(curve: Curve, level: float) -> float | None:
    """The smallest cost at which the curve is at `level` or above, or None where it never is."""
    above = np.flatnonzero(curve.score >= level)
    if len(above) == 0:
        return None
    place = int(above[0])
    if place == 0:
        return float(curve.cost[0])
    (x0, x1), (y0, y1) = curve.cost[place - 1 : place + 1], curve.score[place - 1 : place + 1]
    return float(x0 + (x1 - x0) * (level - y0) / (y1 - y0))


def _bends(curves: Sequence[Curve]) -> F64:
    low, high = common_range(curves)
    if high < low:
        raise ValueError(f"the curves have no cost in common: one starts at {low:g}, another ends at {high:g}")
    return np.unique(np.concatenate([curve.between(low, high).cost for curve in curves]))
