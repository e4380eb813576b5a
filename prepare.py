"""Turn raw data into the store once: python prepare.py dataset=..."""

import hydra
from omegaconf import DictConfig

from al3d.main import prepare_only


@hydra.main(config_path="conf", config_name="prepare", version_base="1.3")
def main(config: DictConfig) -> None:
    """Prepare one data set, with what the chosen seed and method need."""
    prepare_only(config)


if __name__ == "__main__":
    main()
