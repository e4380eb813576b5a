"""Turn raw data into the store once; train does it when needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from al3d.hydra_door import HydraCommand, through_hydra

if TYPE_CHECKING:
    from omegaconf import DictConfig


def task(config: DictConfig) -> None:
    """Prepare one data set, with what the chosen seed and method need."""
    from al3d.main import prepare_only

    prepare_only(config)


def main() -> None:
    """Take the words of this process: `python prepare.py dataset=rooms acquire=redal`."""
    through_hydra(task, "prepare")


command = HydraCommand(
    "prepare",
    task,
    help="Prepare the data set and everything that the chosen seed and method read of it.",
    lines=("al3d prepare dataset=rooms acquire=redal", "al3d prepare dataset=s3dis dataset.root=/path prepare.workers=4"),
)
