"""Run active learning: python train.py dataset=... seed=... acquire=... (see conf/ for every choice)."""

import hydra
from omegaconf import DictConfig

import al3d.launchers  # noqa: F401  what conf/hydra/launcher refers to
from al3d.main import train


@hydra.main(config_path="conf", config_name="train", version_base="1.3")
def main(config: DictConfig) -> None:
    """Compose and run one experiment."""
    train(config)


if __name__ == "__main__":
    main()
