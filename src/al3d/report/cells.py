"""Which runs of a study are there, and how far they are: `al3d study cells dataset=rooms,street acquire=random,redal rng=1,2,3`.

Nothing is prepared, made or written. A run is found by its identity, so options that change no number may be left out.
"""

from __future__ import annotations

import shlex
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from al3d.command import unwrapped
from al3d.configuration import Compose, composing
from al3d.data.prepare import store_folder
from al3d.data.store import Store
from al3d.for_probes import check_probe
from al3d.identity import chosen_methods, data_source, identity_of, start_identity
from al3d.run import RunFolder, identity_hash
from al3d.sweep import parsed, product
from al3d.types import Source

if TYPE_CHECKING:
    from al3d.acquire.acquirer import Acquirer


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


def cells(words: Sequence[str], config_dir: Path | None = None) -> list[Cell]:
    """Every run of the sweep that the words describe, in the sweep's order.

    Raises: ValueError for options that do not exist; what is wrong with one run alone is said in its `refused`.
    """
    with composing(config_dir) as configuration:
        return _marked([cell(configuration, each) for each in sweep(configuration, words)])


def _marked(found: Sequence[Cell]) -> list[Cell]:
    """The cells, those that are the same run as an earlier one marked."""
    first: dict[Hashable, tuple[str, ...]] = {}
    return [one if one.refused or (words := first.setdefault(one.key, one.words)) is one.words else replace(one, repeats=words) for one in found]


def sweep(configuration: Compose, words: Sequence[str]) -> list[tuple[str, ...]]:
    """The options of every run, the sweeps of an experiment's own (`hydra.sweeper.params`) included.

    Raises: ValueError naming an option that cannot be read.
    """
    given = parsed(words)
    fixed = [str(one.input_line) for one in given if not one.is_sweep_override()]
    own: Mapping[str, object] = configuration(fixed, return_hydra_config=True).hydra.sweeper.params or {}
    keys = {one.get_key_element() for one in given}
    return product([*parsed([f"{key}={value}" for key, value in own.items() if key not in keys]), *given])


def cell(configuration: Compose, words: tuple[str, ...]) -> Cell:
    """What there is of one run."""
    try:
        with unwrapped(ValueError, OSError):
            config = configuration(words)
            source = data_source(config)
            seed, method, _ = chosen_methods(config)
            check_probe(config, method)
            digest, folder = found(config, source, (seed, method))
    except (ValueError, OSError) as error:
        return Cell(words, refused=str(error) or type(error).__name__)
    wanted = int(config.rounds.n)
    key = tuple(sorted(words)) if digest is None else (digest, config.paths.run, config.paths.outputs)
    if folder is None:
        return Cell(words, key, wanted=wanted)
    done = judged_rounds(folder, wanted)
    return Cell(words, key, folder.path, done, wanted, done == wanted and has_report(folder, wanted))


def judged_rounds(folder: RunFolder, wanted: int) -> int:
    """How many of the wanted rounds are judged, without a gap."""
    return next((index for index in range(wanted) if not folder.metrics(index).is_file()), wanted)


def has_report(folder: RunFolder, wanted: int) -> bool:
    """Whether the report knows the last of the wanted rounds."""
    report = folder.path / "report.html"
    return report.is_file() and report.stat().st_mtime >= folder.metrics(wanted - 1).stat().st_mtime


def found(config: DictConfig, source: Source, methods: tuple[Acquirer, Acquirer]) -> tuple[str | None, RunFolder | None]:
    """The hash of the run that a configuration describes, None before its data are prepared, and its folder, None when there is none.

    `methods`: its seed and its acquisition.
    """
    prepared = store_folder(source, Path(config.paths.data), grid=config.dataset.grid)
    if not (prepared / "manifest.json").is_file():
        return None, None
    identity = identity_of(config, Store(prepared), dict(zip(("seed", "acquire"), methods, strict=True)), start_identity(config))
    digest = identity_hash(identity)
    if config.paths.run:
        path = Path(config.paths.run)
        return digest, RunFolder(path) if (path / "identity.json").is_file() else None
    there = sorted(Path(config.paths.outputs).glob(f"*-{digest}/identity.json"))
    return digest, RunFolder(there[0].parent) if there else None
