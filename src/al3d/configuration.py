"""From words to a configuration: what Hydra composes from `conf`, and from a folder of a user's own choices beside it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias, cast

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override, OverrideType, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from al3d import launchers as launchers  # what conf/hydra/launcher refers to
from al3d.command import CONF
from al3d.sweep import parsed, product

#: Options that are numbers by default and may be text all the same; `auto` may stand everywhere.
TEXTS = ("rounds.base", "trainer.devices")

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
        raise ValueError(f"{error}{f': {error.__cause__}' if error.__cause__ else ''}{meant(list(words))}") from error


def meant(words: Sequence[str]) -> str:
    """What somebody may have meant by options of `words` that do not exist, a line for each; empty where nothing is similar."""
    options = [word for word in words if "=" in word and not word.startswith(("-", "hydra."))]
    try:
        given = parsed(options)
        tree = _chosen(given)
    except (ValueError, HydraException, OmegaConfBaseException):
        return ""  # a choice of a group is what is wrong, and Hydra lists what there is
    keys = [one.key_or_group for one in given if "." in one.key_or_group and one.package is None and one.type is OverrideType.CHANGE]
    close = {key: difflib.get_close_matches(key, _dotted(tree), 1, 0.8) for key in keys if OmegaConf.select(tree, key, default=_NOTHING) is _NOTHING}
    return "".join(f"\ndid you mean {found[0]} instead of {key}?" for key, found in close.items() if found)


def check_numbers(words: Sequence[str]) -> None:
    """Refuse text for options that are numbers without it. Raises: ValueError naming option and value."""
    given = parsed(words)
    changed = [one for one in given if one.package is None and one.type is OverrideType.CHANGE and one.key_or_group not in _groups()]
    texts = {one.key_or_group: one.value() for one in changed if isinstance(one.value(), str | QuotedString)}
    if not texts:
        return
    tree = _chosen([one for one in given if one.key_or_group not in texts])
    for key, value in texts.items():
        text, usual = value.text if isinstance(value, QuotedString) else str(value), OmegaConf.select(tree, key, throw_on_missing=False)
        if isinstance(usual, bool) or not isinstance(usual, int | float) or key in TEXTS or text == "auto" or "$" in text:
            continue
        bare = text.removesuffix("%").strip()
        raise ValueError(f"{key}={text!r}: give a number, without text or a unit, such as {key}={bare if bare != text else f'{usual:g}'}")


#: Stands for a key that there is not: an option may well be null.
_NOTHING = object()


def _groups() -> set[str]:
    return {folder.name for folder in CONF.iterdir() if folder.is_dir()}


def _chosen(given: Sequence[Override]) -> DictConfig:
    """What the choices of groups alone make, without the values that are given; of a sweep the first."""
    groups = [word for word, one in zip(product(given)[0], given, strict=True) if "." not in one.key_or_group]
    if GlobalHydra.instance().is_initialized():  # with the folder of a user's own choices, if there is one
        return compose("train", groups)
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        return compose("train", groups)


def _dotted(tree: object, prefix: str = "") -> list[str]:
    """The dotted keys of every value."""
    if not isinstance(tree, DictConfig):
        return [prefix]
    return [name for key in tree for name in _dotted(tree._get_node(key), f"{prefix}.{key!s}" if prefix else str(key))]


def searchpath(config_dir: Path) -> str:
    """Hydra's word for one more folder of choices."""
    place = str(config_dir.resolve()).replace("'", "\\'")
    return f"hydra.searchpath=['file://{place}']"


def plain(config: DictConfig) -> dict[str, Any]:
    """A configuration as nested dictionaries, interpolations resolved."""
    return cast(dict[str, Any], OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
