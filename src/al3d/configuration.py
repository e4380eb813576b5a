"""From words to a configuration: what Hydra composes from `conf`, and from a folder of a user's own choices beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias, cast

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from al3d import launchers as launchers  # what conf/hydra/launcher refers to
from al3d.command import CONF

#: Makes a configuration from words; other arguments are those of `hydra.compose`.
Compose: TypeAlias = Callable[..., DictConfig]


@contextmanager
def composing(config_dir: Path | None = None) -> Iterator[Compose]:
    """While the block runs, its function composes what `al3d train` would get from words; `config_dir` holds more choices.

    Raises: ValueError in Hydra's words for options that do not exist.
    """
    more = [] if config_dir is None else [searchpath(config_dir)]
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        yield lambda words, **options: _composed([*words, *more], options)


def composed(words: Sequence[str], config_dir: Path | None = None) -> DictConfig:
    """The configuration that `al3d train` would get. Raises: as `composing`."""
    with composing(config_dir) as configuration:
        return configuration(words)


def _composed(words: Sequence[str], options: dict[str, Any]) -> DictConfig:
    try:
        return compose("train", list(words), **options)
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(f"{error}{f': {error.__cause__}' if error.__cause__ else ''}") from error


def searchpath(config_dir: Path) -> str:
    """Hydra's word for one more folder of choices."""
    place = str(config_dir.resolve()).replace("'", "\\'")
    return f"hydra.searchpath=['file://{place}']"


def plain(config: DictConfig) -> dict[str, Any]:
    """A configuration as nested dictionaries, interpolations resolved."""
    return cast(dict[str, Any], OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
