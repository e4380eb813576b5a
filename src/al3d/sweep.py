"""The runs that the words of a sweep name, and the check that each of them is named once."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from al3d.command import plain_errors


def parsed(overrides: Sequence[str]) -> list[Override]:
    """The words as Hydra reads them. Raises: ValueError naming the one that it cannot read."""
    parser, found = OverridesParser.create(), []
    for word in overrides:
        try:
            found.append(parser.parse_override(word))
        except HydraException as error:
            raise ValueError(f"{word!r} is not an option as Hydra reads it; a value with spaces or signs needs quotes of its own: key='\"value\"'") from error
    return found


def product(given: Sequence[Override]) -> list[tuple[str, ...]]:
    """The words of every run, in the order of a sweep."""
    values = [[f"{one.get_key_element()}={value}" for value in one.sweep_string_iterator()] if one.is_sweep_override() else [one.input_line] for one in given]
    return [tuple(map(str, words)) for words in itertools.product(*values)]


class EachRunOnce(Callback):
    """Ends a sweep that names a run twice before anything is started: at the same time, the second would be refused and end the others with it."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Compare the options of the runs; Hydra passes over everything but the end of the process."""
        with plain_errors():
            check_each_once(list(config.hydra.overrides.task))


def check_each_once(overrides: Sequence[str]) -> None:
    """Refuse a sweep that has a value twice. Raises: ValueError naming the run and the way out."""
    given = parsed(overrides)
    if any(isinstance(one.value(), Glob) for one in given):
        return  # names of files, each once
    run, times = Counter(product(given)).most_common(1)[0]
    if times > 1:
        swept = {one.get_key_element() for one in given if one.is_sweep_override()}
        named = " ".join(word for word in run if word.partition("=")[0] in swept)
        raise ValueError(f"the sweep has {times} times the run {named}: give each value once")
