"""Which runs of a study are there, and how far they are: `python -m al3d.report.cells dataset=rooms,street acquire=random,redal rng=1,2,3`.

Nothing is prepared, made or written. A run is found by its identity, so options that change no number may be left out.
"""

from __future__ import annotations

import itertools
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
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
  state    finished, started, new, or refused (the folder is then the reason)"""
CONF = Path(al3d.__file__).resolve().parent / "conf"


@dataclass(frozen=True)
class Cell:
    """One run of a study. `words`: its options; `folder`: where it is, None when it never began; `done` of `wanted` rounds are judged."""

    words: tuple[str, ...]
    folder: Path | None = None
    done: int = 0
    wanted: int = 0
    reported: bool = False
    refused: str = ""

    @property
    def state(self) -> str:
        """What there is of the run: "finished", "started", "new" or "refused"."""
        if self.refused:
            return "refused"
        if self.folder is None:
            return "new"
        return "finished" if self.done >= self.wanted and self.reported else "started"

    def line(self) -> str:
        """The run as a line of fields separated by tabs."""
        rounds = f"{self.done}/{self.wanted}" if self.wanted else "-"
        return "\t".join([self.state, rounds, " ".join(self.refused.split()) or str(self.folder or "-"), shlex.join(self.words)])


def cells(overrides: Sequence[str]) -> list[Cell]:
    """Every run of the sweep that `overrides` describe, in the sweep's order.

    Raises: ValueError for options that do not exist; what is wrong with one run alone is said in its `refused`.
    """
    try:
        with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
            return [cell(words) for words in sweep(overrides)]
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(f"{error}{f': {error.__cause__}' if error.__cause__ else ''}") from error


def sweep(overrides: Sequence[str]) -> list[tuple[str, ...]]:
    """The options of every run, the sweeps of an experiment's own (`hydra.sweeper.params`) included. Needs Hydra to be initialised."""
    parser = OverridesParser.create()
    given = parser.parse_overrides(list(overrides))
    fixed = [str(one.input_line) for one in given if not one.is_sweep_override()]
    own: Mapping[str, object] = compose("train", fixed, return_hydra_config=True).hydra.sweeper.params or {}
    keys = {one.get_key_element() for one in given}
    more = parser.parse_overrides([f"{key}={value}" for key, value in own.items() if key not in keys])
    values = [
        [f"{one.get_key_element()}={value}" for value in one.sweep_string_iterator()] if one.is_sweep_override() else [one.input_line] for one in more + given
    ]
    return [tuple(map(str, words)) for words in itertools.product(*values)]


def cell(words: tuple[str, ...]) -> Cell:
    """What there is of one run. Needs Hydra to be initialised."""
    try:
        with unwrapped(ValueError, OSError):
            config = compose("train", list(words))
            folder = found(config)
    except (ValueError, OSError) as error:
        return Cell(words, refused=str(error) or type(error).__name__)
    wanted = int(config.rounds.n)
    if folder is None:
        return Cell(words, wanted=wanted)
    metrics = [folder.metrics(index) for index in range(wanted)]
    done = next((index for index, file in enumerate(metrics) if not file.is_file()), wanted)
    report = folder.path / "report.html"
    reported = done == wanted and report.is_file() and report.stat().st_mtime >= metrics[-1].stat().st_mtime
    return Cell(words, folder.path, done, wanted, reported)


def found(config: DictConfig) -> RunFolder | None:
    """The folder of the run that a configuration describes, None when there is none; fills what the data set says of itself.

    Raises: ValueError or FileNotFoundError for options that cannot be run.
    """
    source = data_source(config)
    seed, method, _ = chosen_methods(config)
    start = instantiate(config.start)
    prepared = store_folder(source, Path(config.paths.data), grid=config.dataset.grid)
    if not (prepared / "manifest.json").is_file():
        return None
    identity = identity_of(config, Store(prepared), {"seed": seed, "acquire": method}, start.identity)
    if config.paths.run:
        path = Path(config.paths.run)
        return RunFolder(path) if (path / "identity.json").is_file() else None
    there = sorted(Path(config.paths.outputs).glob(f"*-{identity_hash(identity)}/identity.json"))
    return RunFolder(there[0].parent) if there else None


def main(arguments: Sequence[str]) -> None:
    """Print a line for every run of a study."""
    if "--help" in arguments:
        print_help(USAGE)
    for one in cells(arguments):
        sys.stdout.write(f"{one.line()}\n")


if __name__ == "__main__":
    with plain_errors():
        main(sys.argv[1:])
