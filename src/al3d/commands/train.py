"""Run active learning: seed, train, choose, label, train again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from al3d.hydra_door import HydraCommand, through_hydra

if TYPE_CHECKING:
    from omegaconf import DictConfig


def task(config: DictConfig) -> None:
    """Run one experiment to its end; what is finished is found before torch is loaded."""
    from al3d.main import train

    train(config)


def main() -> None:
    """Take the words of this process: `python train.py seed=random acquire=redal`."""
    through_hydra(task, "train")


command = HydraCommand(
    "train",
    task,
    help="""Run active learning. Every choice is a file of conf/, and every value in it can be changed.

    Run again with the same words, it goes on where it was stopped.""",
    lines=(
        "al3d train seed=random acquire=entropy dataset=rooms",
        "al3d train net=probe acquire=redal dataset=folder dataset.root=/path/to/my_scans",
        "al3d train -m acquire=random,redal rng=1,2,3",
    ),
)
