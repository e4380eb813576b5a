"""Where curves go besides the run folder: CSV always, TensorBoard and W&B on request. What they show of a round they read from its files."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger

from al3d.progress import console
from al3d.report.rounds import read_rounds
from al3d.report.summary import read_run, round_values
from al3d.report.tensorboard import write_pictures, write_round, writer
from al3d.report.wandb import Sender, Target, send, send_later, training_row, unsent


class LoggerChoice(Protocol):
    """Where a run is shown while it goes on.

    `open` makes the logger of one round's training, `first_step` counting the optimiser steps of all earlier rounds; `finished` is called when a
    round's metrics.json is there, with the names of the classes; `pictures` when the report is.
    """

    def open(self, run: Path, round_index: int, first_step: int, config: Mapping[str, Any]) -> Logger: ...
    def finished(self, run: Path, round_index: int, classes: Sequence[str]) -> None: ...
    def pictures(self, logger: Logger, files: Sequence[Path]) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class CSV:
    """`round-RR/csv/start-K/metrics.csv`: one folder per start, so that a restart never deletes what was logged before."""

    def open(self, run: Path, round_index: int, first_step: int, config: Mapping[str, Any]) -> Logger:
        """A CSV logger of this start."""
        folder = run / f"round-{round_index:02d}" / "csv"
        starts = 1 + max((int(start.name.removeprefix("start-")) for start in folder.glob("start-*")), default=-1)
        return CSVLogger(folder.parent, name="csv", version=f"start-{starts}")

    def finished(self, run: Path, round_index: int, classes: Sequence[str]) -> None:
        """One line with the round's values."""
        shown = read_run(run, classes)
        record = next(record for record in shown.records if record.round == round_index)
        log = self.open(run, round_index, 0, {})
        log.log_metrics(round_values(shown, record), step=record.steps)
        log.save()
        log.finalize("success")

    def pictures(self, logger: Logger, files: Sequence[Path]) -> None:
        """Pictures are in the run folder already."""

    def close(self) -> None:
        """Nothing stays open."""


@dataclass(frozen=True)
class TensorBoard:
    """`tensorboard/`: the training of each round, and in `tensorboard/rounds` the learning curve, tables and pictures of what was bought.

    The learning curve is drawn over the labelled share in parts per million (`al3d.report.tensorboard`), which also makes all of it again.
    """

    def open(self, run: Path, round_index: int, first_step: int, config: Mapping[str, Any]) -> Logger:
        """A TensorBoard logger of this round."""
        return TensorBoardLogger(run, name="tensorboard", version=f"round-{round_index:02d}")

    def finished(self, run: Path, round_index: int, classes: Sequence[str]) -> None:
        """Add the round to the curves, and the tables up to it."""
        shown = read_run(run, classes)
        board = writer(run / "tensorboard" / "rounds")
        write_round(board, shown, next(record for record in shown.records if record.round == round_index))
        board.close()

    def pictures(self, logger: Logger, files: Sequence[Path]) -> None:
        """Show the report's pictures."""
        run = Path(str(logger.save_dir))
        board = writer(run / "tensorboard" / "rounds")
        write_pictures(board, read_run(run))
        board.close()

    def close(self) -> None:
        """Nothing stays open."""


class TrainingCurve(Logger):
    """Passes what Lightning logs on to W&B; once W&B gave up, what it misses is noted and training goes on."""

    def __init__(self, sender: Sender, round_index: int, first_step: int) -> None:
        super().__init__()
        self.sender, self.round_index, self.first_step = sender, round_index, first_step
        self._logged = False

    @property
    def name(self) -> str:
        """The run's name."""
        return self.sender.folder.name

    @property
    def version(self) -> str:
        """The W&B id."""
        return self.sender.sent.identifier

    @property
    def part(self) -> str:
        """What this curve is called among the parts of a run."""
        return f"training-{self.round_index:02d}"

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Send one step; `step` counts within the round."""
        self._logged = True
        row = training_row(metrics, (step or 0) + self.first_step, self.round_index)
        if not self.sender.log(self.part, row) and self.part not in self.sender.sent.places:
            self.sender.sent.mark(self.part, None)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """The configuration was sent when the W&B run was opened."""

    def finalize(self, status: str) -> None:
        """The curve is whole when its training came to its end and nothing was missed, in this process or an earlier one."""
        if status == "success" and self._logged and self.part not in self.sender.sent.places:
            self.sender.mark(self.part)


@dataclass(frozen=True)
class WandB:
    """One W&B run per active-learning run (its group the study, its job type `round`), with an id kept in the run folder.

    Restarts and rounds continue it; `al3d.report.wandb` makes it again from the files. Each answer is waited for at most `timeout` seconds; when
    W&B cannot be reached, the training goes on, what is missing is sent after a later round, and what is left at the end is named.
    Offline (`offline: true` or WANDB_MODE=offline) it needs neither a network nor a login; `wandb sync` uploads the parts. One process keeps one
    W&B run open over its rounds. The local files remain the truth.
    """

    project: str = "al3d"
    entity: str | None = None
    group: str | None = None
    tags: Sequence[str] = ()
    offline: bool = False
    timeout: float = 60.0
    _senders: dict[Path, Sender] = field(default_factory=dict, init=False, repr=False, compare=False)
    _classes: dict[Path, Sequence[str]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.target  # noqa: B018  a wrong option fails before anything is trained

    @property
    def target(self) -> Target:
        """Where runs go."""
        return Target(self.project, self.entity, self.group, tuple(self.tags), self.offline, self.timeout)

    def open(self, run: Path, round_index: int, first_step: int, config: Mapping[str, Any]) -> Logger:
        """The training curve of a round in the run's W&B run; opens that run, or tries again once per round."""
        sender = self._sender(run)
        sender.start(round_index)
        return TrainingCurve(sender, round_index, first_step)

    def finished(self, run: Path, round_index: int, classes: Sequence[str]) -> None:
        """Send the round, and what earlier rounds still owe."""
        self._classes[run] = tuple(classes)
        sender = self._sender(run)
        sender.start(round_index)
        left = send(read_run(run, classes), sender)
        if left:
            console.print(send_later(run, left), markup=False)

    def pictures(self, logger: Logger, files: Sequence[Path]) -> None:
        """Send the report's pictures, those that are not there yet."""
        for run, sender in self._senders.items():
            if any(run in file.parents for file in files) and sender.start(-1):
                send(read_run(run, self._classes.get(run)), sender)

    def close(self) -> None:
        """End the process's W&B runs and wait for the uploads, at most the timeout; say what is missing."""
        failed = sys.exc_info()[0] is not None
        for run, sender in self._senders.items():
            sender.finish(failed)
            if sender.records and not failed and read_rounds(run):
                left = unsent(read_run(run, self._classes.get(run)), sender.sent, sender.target.mode == "offline")
                if left:
                    console.print(send_later(run, left), markup=False)
        self._senders.clear()

    def _sender(self, run: Path) -> Sender:
        if run not in self._senders:
            self._senders[run] = Sender(run, self.target, "The run goes on; what is not sent can be sent later from its files.")
        return self._senders[run]
