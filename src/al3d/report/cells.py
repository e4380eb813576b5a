"""Which runs of a study are there, and how far they are: `python -m al3d.report.cells dataset=rooms,street acquire=random,redal rng=1,2,3`.

Nothing is prepared, made or written. A run is found by its identity, so options that change no number may be left out. `EachRunOnce` ends a sweep
that would start a run twice before it begins.
"""

from __future__ import annotations

import itertools
import shlex
import sys
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.utils import instantiate
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

import al3d
from al3d.command import plain_errors, print_help, unwrapped
from al3d.compose import chosen_methods, data_source, identity_of
from al3d.data.prepare import store_folder
from al3d.data.store import Store
from al3d.run import RunFolder, identity_hash

USAGE = """usage: python -m al3d.report.cells KEY=VALUES ...
  any options of train.py; several values of one option, separated by commas, are several runs, as for train.py -m
prints a line for every run, its fields separated by tabs: state, rounds, folder, options
  state    finished, started, new, refused (the folder is then the reason), or
           repeated (the folder is then what the same run was called before)"""
CONF = Path(al3d.__file__).resolve().parent / "conf"


@dataclass(frozen=True)
class Cell:
    """One run of a study. `words`: its options; `folder`: where it is, None when it never began; `done` of `wanted` rounds are judged.

    `key`: cells with the same one are the same run; `repeats`: the options of an earlier cell that is this run too.
    """

    words: tuple[str, ...]
    key: Hashable = None
    folder: Path | None = None
    done: int = 0
    wanted: int = 0
    reported: bool = False
    refused: str = ""
    repeats: tuple[str, ...] | None = None

    @property
    def state(self) -> str:
        """What there is of the run: "finished", "started", "new", "refused" or "repeated"."""
        if self.refused:
            return "refused"
        if self.repeats is not None:
            return "repeated"
        if self.folder is None:
            return "new"
        return "finished" if self.done >= self.wanted and self.reported else "started"

    def line(self) -> str:
        """The run as a line of fields separated by tabs."""
        rounds = f"{self.done}/{self.wanted}" if self.wanted else "-"
        place = " ".join(self.refused.split()) or (str(self.folder or "-") if self.repeats is None else shlex.join(self.repeats))
        return "\t".join([self.state, rounds, place, shlex.join(self.words)])


def cells(overrides: Sequence[str]) -> list[Cell]:
    """Every run of the sweep that `overrides` describe, in the sweep's order.

    Raises: ValueError for options that do not exist; what is wrong with one run alone is said in its `refused`.
    """
    try:
        with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
            return _marked([cell(words) for words in sweep(overrides)])
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(f"{error}{f': {error.__cause__}' if error.__cause__ else ''}") from error


def _marked(found: Sequence[Cell]) -> list[Cell]:
    """The cells, those that are the same run as an earlier one marked."""
    first: dict[Hashable, tuple[str, ...]] = {}
    return [one if one.refused or (words := first.setdefault(one.key, one.words)) is one.words else replace(one, repeats=words) for one in found]


def sweep(overrides: Sequence[str]) -> list[tuple[str, ...]]:
    """The options of every run, the sweeps of an experiment's own (`hydra.sweeper.params`) included. Needs Hydra to be initialised.

    Raises: ValueError naming an option that cannot be read.
    """
    given = _parsed(overrides)
    fixed = [str(one.input_line) for one in given if not one.is_sweep_override()]
    own: Mapping[str, object] = compose("train", fixed, return_hydra_config=True).hydra.sweeper.params or {}
    keys = {one.get_key_element() for one in given}
    return _product([*_parsed([f"{key}={value}" for key, value in own.items() if key not in keys]), *given])


def _parsed(overrides: Sequence[str]) -> list[Override]:
    parser, found = OverridesParser.create(), []
    for word in overrides:
        try:
            found.append(parser.parse_override(word))
        except HydraException as error:
            raise ValueError(f"{word!r} is not an option as Hydra reads it; a value with spaces or signs needs quotes of its own: key='\"value\"'") from error
    return found


def _product(given: Sequence[Override]) -> list[tuple[str, ...]]:
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
    given = _parsed(overrides)
    if any(isinstance(one.value(), Glob) for one in given):
        return  # names of files, each once
    run, times = Counter(_product(given)).most_common(1)[0]
    if times > 1:
        swept = {one.get_key_element() for one in given if one.is_sweep_override()}
        named = " ".join(word for word in run if word.partition("=")[0] in swept)
        raise ValueError(f"the sweep has {times} times the run {named}: give each value once")


def cell(words: tuple[str, ...]) -> Cell:
    """What there is of one run. Needs Hydra to be initialised."""
    try:
        with unwrapped(ValueError, OSError):
            config = compose("train", list(words))
            digest, folder = found(config)
    except (ValueError, OSError) as error:
        return Cell(words, refused=str(error) or type(error).__name__)
    wanted = int(config.rounds.n)
    key = tuple(sorted(words)) if digest is None else (digest, config.paths.run, config.paths.outputs)
    if folder is None:
        return Cell(words, key, wanted=wanted)
    metrics = [folder.metrics(index) for index in range(wanted)]
    done = next((index for index, file in enumerate(metrics) if not file.is_file()), wanted)
    report = folder.path / "report.html"
    reported = done == wanted and report.is_file() and report.stat().st_mtime >= metrics[-1].stat().st_mtime
    return Cell(words, key, folder.path, done, wanted, reported)


def found(config: DictConfig) -> tuple[str | None, RunFolder | None]:
    """The hash of the run that a configuration describes, None before its data are prepared, and its folder, None when there is none.

    Fills what the data set says of itself. Raises: ValueError or FileNotFoundError for options that cannot be run.
    """
    source = data_source(config)
    seed, method, _ = chosen_methods(config)
    start = instantiate(config.start)
    prepared = store_folder(source, Path(config.paths.data), grid=config.dataset.grid)
    if not (prepared / "manifest.json").is_file():
        return None, None
    identity = identity_of(config, Store(prepared), {"seed": seed, "acquire": method}, start.identity)
    digest = identity_hash(identity)
    if config.paths.run:
        path = Path(config.paths.run)
        return digest, RunFolder(path) if (path / "identity.json").is_file() else None
    there = sorted(Path(config.paths.outputs).glob(f"*-{digest}/identity.json"))
    return digest, RunFolder(there[0].parent) if there else None


def main(arguments: Sequence[str]) -> None:
    """Print a line for every run of a study."""
    if "--help" in arguments:
        print_help(USAGE)
    for one in cells(arguments):
        sys.stdout.write(f"{one.line()}\n")


if __name__ == "__main__":
    with plain_errors():
        main(sys.argv[1:])
