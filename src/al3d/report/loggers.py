"""Where curves go besides the run folder: CSV always, TensorBoard and W&B on request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger

from al3d.files import whole_file


class LoggerChoice(Protocol):
    """Makes the logger of one round; `first_step` counts the optimiser steps of all earlier rounds."""

    def open(self, run: Path, round_index: int, first_step: int, config: Mapping[str, Any]) -> Logger: ...
    def pictures(self, logger: Logger, files: Sequence[Path]) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class CSV:
    """`round-RR/csv/start-K/metrics.csv`: one folder per start, so that a restart never deletes what was logged before."""

    def open(self, run: Path, round_index: int, first_step: int, config: Mapping[str, Any]) -> Logger:
        """A CSV logger of this start."""
        folder = run / f"round-{round_index:02d}" / "csv"
        starts = len(list(folder.glob("start-*"))) if folder.is_dir() else 0
        return CSVLogger(folder.parent, name="csv", version=f"start-{starts}")

    def pictures(self, logger: Logger, files: Sequence[Path]) -> None:
        """Pictures are in the run folder already."""

    def close(self) -> None:
        """Nothing stays open."""


@dataclass(frozen=True)
class TensorBoard:
    """`tensorboard/`: one run per round, and pictures of what was bought."""

    def open(self, run: Path, round_index: int, first_step: int, config: Mapping[str, Any]) -> Logger:
        """A TensorBoard logger of this round."""
        return TensorBoardLogger(run, name="tensorboard", version=f"round-{round_index:02d}")

    def pictures(self, logger: Logger, files: Sequence[Path]) -> None:
        """Show the report's pictures."""
        from matplotlib.image import imread

        board: Any = logger
        writer = board.experiment
        for file in files:
            writer.add_image(f"bought/{file.parent.name}/{file.stem}", imread(file)[..., :3], dataformats="HWC")

    def close(self) -> None:
        """Nothing stays open."""


@dataclass(frozen=True)
class WandB:
    """One W&B run per active-learning run, its id kept in the run folder so that restarts and rounds continue it.

    Offline (`offline: true` or WANDB_MODE=offline) it needs neither a network nor a login; offline parts that share an id do
    not merge on their own: `wandb sync --append` joins them. One process keeps one W&B run open over its rounds. The local files
    remain the truth.
    """

    project: str = "al3d"
    entity: str | None = None
    group: str | None = None
    tags: Sequence[str] = ()
    offline: bool = False

    def open(self, run: Path, round_index: int, first_step: int, config: Mapping[str, Any]) -> Logger:
        """The run's W&B logger; steps go on counting over the rounds."""
        from pytorch_lightning.loggers import WandbLogger

        class Continued(WandbLogger):
            """Counts steps over all rounds: W&B refuses steps that go back."""

            def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
                super().log_metrics(dict(metrics), None if step is None else step + first_step)

        logger = Continued(
            name=run.name,
            save_dir=str(run),
            id=_run_id(run),
            project=self.project,
            entity=self.entity,
            group=self.group,
            tags=list(self.tags),
            job_type="al3d",
            offline=self.offline,
            resume=None if self.offline else "allow",
            log_model=False,
        )
        logger.experiment.config.update(dict(config), allow_val_change=True)
        return logger

    def pictures(self, logger: Logger, files: Sequence[Path]) -> None:
        """Upload the report's pictures."""
        sender: Any = logger
        if files:
            sender.log_image("bought", [str(file) for file in files], caption=[f"{file.parent.name} {file.stem}" for file in files])

    def close(self) -> None:
        """End the process's W&B run: what is not yet on the disk is written now."""
        import wandb

        wandb.finish()


def _run_id(run: Path) -> str:
    """The W&B id of a run folder, made once from the folder's name."""
    file = run / "wandb_id.txt"
    if not file.is_file():
        from wandb.sdk.lib.runid import generate_id

        with whole_file(file) as temporary:
            temporary.write_text(generate_id() + "\n", encoding="utf-8")
    return file.read_text(encoding="utf-8").strip()
