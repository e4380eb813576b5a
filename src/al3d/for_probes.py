"""What means nothing to a probe, and is refused or left out where one stands in a network's place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

from al3d.configuration import plain
from al3d.identity import is_probe
from al3d.learn.options import Evaluation
from al3d.types import PENULTIMATE

if TYPE_CHECKING:
    from al3d.acquire.acquirer import Acquirer

#: Options that mean nothing to a probe, by how their words begin, and those among them that do.
NOT_FOR_PROBES = (
    "learner", "loss@", "schedule@", "augment@", "dataset.augment", "dataset.inputs", "dataset.reduce", "dataset.center", "dataset.crop_voxels",
    "rounds.steps", "rounds.epochs", "rounds.first_", "rounds.cap", "rounds.patience", "rounds.held_units", "rounds.fixed", "rounds.batch", "rounds.init=",
    "rounds.optimizer", "rounds.accumulate", "rounds.checkpoint_every", "eval.after", "eval.first_after", "sparse.", "start.",
    "trainer.precision", "trainer.strategy", "net.width", "net.dropout", "net.backend",
)  # fmt: skip
FOR_PROBES = ("learner=supervised", "learner.prior", "learner.tile_")
#: What an experiment may say of its network and a probe has not.
OF_NETWORKS = ("width", "dropout", "backend")


def typed() -> list[str]:
    """The words of the command line, as far as Hydra knows them: none where a configuration was composed by code."""
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []


def ranks_of(config: DictConfig) -> int:
    """How many processes train together, as far as the configuration says."""
    devices = config.trainer.devices
    return int(config.trainer.num_nodes) * (devices if isinstance(devices, int) and devices > 0 else 1)


def check_probe(config: DictConfig, method: Acquirer) -> None:
    """Where a probe is chosen, refuse what means nothing to it, and leave out what an experiment says. Raises: as `refuse_for_probe`."""
    if is_probe(config):
        refuse_for_probe(config, typed(), method, Evaluation(**plain(config)["eval"]))
        leave_out_for_probe(config)


def refuse_for_probe(config: DictConfig, words: Sequence[str], method: Acquirer, evaluation: Evaluation) -> None:
    """Refuse what means nothing to a probe: options that were typed, and choices that need a network. Raises: ValueError naming them."""
    needless = [word for word in words if word.lstrip("+~").startswith(NOT_FOR_PROBES) and not word.startswith(FOR_PROBES)]
    if needless:
        raise ValueError(f"{', '.join(needless)}: means nothing to net=probe, which is fitted to its labels at once: leave it out, or choose net=minkunet")
    ranks = ranks_of(config)
    wrong = {
        f"learner={str(config.learner['_target_']).rsplit('.', 1)[-1]}": not str(config.learner["_target_"]).endswith(".Segmenter"),
        f"{method.name}, which makes {method.passes} dropout passes,": method.passes > 1,
        f"{method.name}, which looks at {method.views} augmented views,": method.views > 1,
        f"acquire.feature={method.feature}": method.feature != PENULTIMATE,
        f"eval.select_on={evaluation.select_on}": evaluation.selects,
        f"eval.votes={evaluation.votes}": evaluation.votes > 1,
        f"start.weights={config.start.weights}": config.start.weights is not None,
        f"trainer.devices x trainer.num_nodes = {ranks}": ranks > 1,
    }
    found = [name for name, is_wrong in wrong.items() if is_wrong]
    if found:
        raise ValueError(f"{', '.join(found)} cannot go with net=probe, which is fitted in seconds by one process and has no dropout: leave it out")


def leave_out_for_probe(config: DictConfig) -> None:
    """Take out what an experiment says of its network, which a probe has not."""
    with open_dict(config):
        for key in OF_NETWORKS:
            config.net.pop(key, None)
