"""How the learning rate changes within a round: (step, steps of the round) -> the factor of the configured rate.

A round counts its steps from 0, so every round starts at the configured rate, whatever the one before ended with (docs/fidelity.md D-49).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

Schedule = Callable[[int, int], float]


@dataclass(frozen=True)
class Constant:
    """The configured rate throughout."""

    def __call__(self, step: int, steps: int) -> float:
        return 1.0


@dataclass(frozen=True)
class Cosine:
    """From the full rate to 0 over `half_period` steps, and up again over as many, and so on; None: down over the round's steps, once.

    Raises: ValueError unless `half_period` is None or at least 1.
    Source: HPAL's S3DIS training: 5,000 steps are half a period in its code, a whole one in its paper (docs/fidelity.md D-56).
    """

    half_period: int | None = None

    def __post_init__(self) -> None:
        if self.half_period is not None and self.half_period < 1:
            raise ValueError(f"learner.schedule.half_period={self.half_period}: give a number of steps from 1 on, or null for the round's")

    def __call__(self, step: int, steps: int) -> float:
        turn = min(step, steps) / steps if self.half_period is None else step / self.half_period
        return 0.5 * (1 + math.cos(math.pi * turn))


@dataclass(frozen=True)
class Polynomial:
    """(1 - step / steps)^power, from the full rate to 0 over the round. Source: HPAL's ScanNet training, 0.9.

    Raises: ValueError unless `power` is positive.
    """

    power: float = 0.9

    def __post_init__(self) -> None:
        if not self.power > 0:
            raise ValueError(f"learner.schedule.power={self.power} must be positive; for a constant rate set learner.schedule=constant")

    def __call__(self, step: int, steps: int) -> float:
        return float((1 - min(step, steps) / steps) ** self.power)


def schedule_of(schedule: str | Schedule) -> Schedule:
    """The schedule itself, or the one of that name. Raises: ValueError for an unknown name."""
    if not isinstance(schedule, str):
        return schedule
    if schedule == "constant":
        return Constant()
    if schedule == "cosine":
        return Cosine()
    raise ValueError(f"learner.schedule={schedule!r} is not one of constant, cosine; others are chosen by +schedule@learner.schedule=NAME (conf/schedule)")
