"""How many rounds a run has and how long each trains, as conf/rounds says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args, get_type_hints

INIT = ("scratch", "previous", "best")
OPTIMIZER = ("fresh", "kept")
ANSWERED = ("all", "any")
#: The value of `rounds.steps` with which a round finds its own length.
AUTO = "auto"


@dataclass(frozen=True)
class Plan:
    """How many rounds, and how long each trains: `steps`, or `epochs` over the labelled scenes. See conf/rounds/default.yaml.

    With `steps` "auto" a round keeps a part of its bought units from training and trains until `patience` judgements on them, one every
    `checkpoint_every` steps, found nothing better, or `cap` steps; schedules run over the cap, and the best of the judged networks is the round's. Where
    fewer than `held_units` units would be kept, which say too little, none are, and it trains `fixed` steps.

    With `answered` "all" a round that people label is trained when all its queries are answered, with "any" on those that are.
    """

    n: int
    batch: int
    base: str | int = "prepared"
    steps: int | str | None = None
    epochs: int | None = None
    init: str = "scratch"
    checkpoint_every: int = 50
    stop_after: str | None = None
    initial: float | None = None
    initial_per: str = "percent"
    step: float | None = None
    batch_voxels: int | None = None
    first_steps: int | None = None
    first_epochs: int | None = None
    optimizer: str = "fresh"
    accumulate: int = 1
    cap: int = 1000
    patience: int = 4
    fixed: int = 400
    held_units: int = 30
    answered: str = "all"

    def __post_init__(self) -> None:
        self._check_numbers()
        if isinstance(self.steps, str) and self.steps != AUTO:
            raise ValueError(f"rounds.steps={self.steps!r}: give a number of steps, auto, or null to count rounds.epochs")
        for name in ("cap", "patience", "fixed", "held_units"):
            if getattr(self, name) < 1:
                raise ValueError(f"rounds.{name}={getattr(self, name)}: give a whole number from 1 on")
        if self.answered not in ANSWERED:
            raise ValueError(f"rounds.answered={self.answered!r} is not one of {', '.join(ANSWERED)}")
        if self.n < 1 or self.batch < 1 or self.checkpoint_every < 1:
            raise ValueError(f"rounds.n, rounds.batch and rounds.checkpoint_every must be at least 1, got {self.n}, {self.batch}, {self.checkpoint_every}")
        if (self.steps is None) == (self.epochs is None):
            hint = f"; to count passes, say rounds.steps=null rounds.epochs={self.epochs}" if self.steps == AUTO else ""
            raise ValueError(f"set exactly one of rounds.steps and rounds.epochs, got {self.steps} and {self.epochs}{hint}")
        if min(1 if self.steps in (None, AUTO) else int(self.steps), self.epochs or 1) < 1:
            raise ValueError(f"a round must train: rounds.steps={self.steps}, rounds.epochs={self.epochs}")
        if self.batch_voxels is not None and (not isinstance(self.batch_voxels, int) or self.batch_voxels < 1):
            raise ValueError(f"rounds.batch_voxels={self.batch_voxels!r}: give a whole number of voxels from 1 on, or null to count scenes alone")
        if self.batch_voxels is not None and self.steps is None:
            raise ValueError(
                "rounds.batch_voxels makes batches of unequal numbers of scenes, so that passes are no measure: set rounds.steps=N rounds.epochs=null"
            )
        if self.first_steps is not None and self.first_epochs is not None:
            raise ValueError(f"set at most one of rounds.first_steps and rounds.first_epochs, got {self.first_steps} and {self.first_epochs}")
        if min(self.first_steps or 1, self.first_epochs or 1) < 1 or (self.first_epochs is not None and self.batch_voxels is not None):
            raise ValueError(f"the first round must train: rounds.first_steps={self.first_steps}, rounds.first_epochs={self.first_epochs}")
        if self.init not in INIT:
            raise ValueError(f"rounds.init={self.init!r} is not one of {', '.join(INIT)}")
        if self.optimizer not in OPTIMIZER or (self.optimizer == "kept" and self.init == "scratch"):
            raise ValueError(f"rounds.optimizer={self.optimizer!r} must be fresh, or kept together with rounds.init=previous or best")
        if self.accumulate < 1 or self.batch % self.accumulate:
            raise ValueError(f"rounds.accumulate={self.accumulate} must divide rounds.batch={self.batch}: a step's scenes are trained on in so many parts")
        if self.stop_after not in (None, "step"):
            raise ValueError(f"rounds.stop_after={self.stop_after!r} is not null or step")

    def _check_numbers(self) -> None:
        """Raises: ValueError for a text, or a fraction of something that is counted, where a number belongs."""
        for name, hint in get_type_hints(type(self)).items():
            kinds, value = get_args(hint) or (hint,), getattr(self, name)
            if str in kinds or value is None and type(None) in kinds:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float) if float in kinds else int):
                bare = str(value).removesuffix("%").strip()
                way = f"leave the % away (rounds.{name}={bare}): what it counts in is said elsewhere" if bare != str(value) else "no text, no unit"
                raise ValueError(f"rounds.{name}={value!r}: give a {'' if float in kinds else 'whole '}number; {way}")

    def automatic(self, round_index: int) -> bool:
        """Whether a round finds its own length."""
        return self.steps == AUTO and not (round_index == 0 and (self.first_steps or self.first_epochs))

    def training_steps(self, scenes: int, round_index: int = 0, holds: bool = False) -> int:
        """The optimiser steps, at most, of a round with so many labelled scenes; the first round may have its own length.

        `holds` says that enough units are kept from training for a round to find its own length.
        """
        if self.automatic(round_index):
            return self.cap if holds else self.fixed
        first = round_index == 0 and (self.first_steps or self.first_epochs)
        steps, epochs = (self.first_steps, self.first_epochs) if first else (self.steps, self.epochs)
        return int(steps or 0) or (epochs or 0) * -(-scenes // self.batch)
