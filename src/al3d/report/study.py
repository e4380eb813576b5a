"""A whole study, planned, run and reported: `al3d study plan core`.

A study is a file in `studies/`: data sets x seeds x methods x random seeds. Each cell is a run of al3d train in a folder of its own, so a study that was
stopped goes on where it was, and cells that are done are left alone.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from omegaconf import OmegaConf

from al3d.progress import console, stage
from al3d.report.rounds import read_rounds, shared_from
from al3d.report.saved import markdown_table

STUDIES = Path(__file__).parent / "studies"
#: What a cell of full supervision is called instead of a seed and a method.
FULL = "full"


@dataclass(frozen=True)
class Cell:
    """One run of a study: where it lies, and the words that make it."""

    dataset: str
    seed: str
    method: str
    rng: int
    words: tuple[str, ...]
    folder: Path

    @property
    def first(self) -> tuple[str, str, int]:
        """Cells that share this share their first round."""
        return self.dataset, self.seed, self.rng

    @property
    def finished(self) -> bool:
        """Whether its report is written, which is the last thing that a run does."""
        return (self.folder / "report.html").is_file()

    @property
    def trained(self) -> int:
        """The rounds that are trained and tested."""
        return len(list(self.folder.glob("round-*/metrics.json")))


@dataclass(frozen=True)
class Study:
    """What a study's file says. `seconds` a round takes on each data set while nothing has been measured."""

    name: str
    words: tuple[str, ...]
    datasets: Mapping[str, tuple[str, ...]]
    seeds: tuple[str, ...]
    methods: tuple[str, ...]
    rng: tuple[int, ...]
    full: tuple[int, ...]
    seconds: Mapping[str, float]
    rounds: int = 3

    def cells(self, out: Path, places: Mapping[str, str]) -> list[Cell]:
        """Every run, in the order in which they are begun: a part that is stopped holds whole random seeds, and neighbours share nothing.

        `places` fills the names in braces of a data set's words; a data set of which one is missing has no cells.
        """
        there = {name: tuple(word.format(**places) for word in words) for name, words in self.datasets.items() if self.missing(name, places) is None}
        cells = []
        for rng in self.rng:
            for method in self.methods:
                for seed in self.seeds:
                    for dataset, words in there.items():
                        choice = (f"seed={seed}", f"acquire={method}", f"rng={rng}")
                        cells.append(self._cell(out, dataset, seed, method, rng, (*words, *choice)))
            for dataset, words in there.items():
                if rng in self.full:
                    cells.append(self._cell(out, dataset, "all", FULL, rng, (*words, "seed=all", "acquire=random", "rounds.n=1", f"rng={rng}")))
        return cells

    def missing(self, dataset: str, places: Mapping[str, str]) -> str | None:
        """The option that a data set still needs, such as "osd", or None."""
        return next((name for word in self.datasets[dataset] for name in _names(word) if name not in places), None)

    def _cell(self, out: Path, dataset: str, seed: str, method: str, rng: int, words: tuple[str, ...]) -> Cell:
        name = f"{dataset}-{FULL}-rng{rng}" if method == FULL else f"{dataset}-{seed}-{method}-rng{rng}"
        folder = out / self.name / name
        return Cell(dataset, seed, method, rng, (*self.words, *words, f"paths.run={folder}"), folder)


def read_study(name: str) -> Study:
    """The study of that name or file. Raises: FileNotFoundError for an unknown one, ValueError for a key that is missing or unknown."""
    file = Path(name) if name.endswith(".yaml") else STUDIES / f"{name}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in STUDIES.glob("*.yaml")))
        raise FileNotFoundError(f"study {name}: there is no {file}; choose one of {known}, or give a YAML file")
    tree = OmegaConf.to_container(OmegaConf.load(file))
    wanted = {"words", "datasets", "seeds", "methods", "rng", "full", "seconds"}
    if not isinstance(tree, dict) or set(tree) - {"rounds"} != wanted:
        given = sorted(map(str, tree)) if isinstance(tree, dict) else tree
        raise ValueError(f"{file}: a study has the keys {', '.join(sorted(wanted))}, and perhaps rounds; this has {given}")
    datasets = {str(key): tuple(map(str, words)) for key, words in tree["datasets"].items()}
    if set(tree["seconds"]) != set(datasets):
        raise ValueError(f"{file}: seconds names {sorted(tree['seconds'])}, datasets {sorted(datasets)}: give one figure for each")
    return Study(
        name=file.stem,
        words=tuple(map(str, tree["words"])),
        datasets=datasets,
        seeds=tuple(map(str, tree["seeds"])),
        methods=tuple(map(str, tree["methods"])),
        rng=tuple(map(int, tree["rng"])),
        full=tuple(map(int, tree["full"])),
        seconds={str(key): float(value) for key, value in tree["seconds"].items()},
        rounds=int(tree.get("rounds", 3)),
    )


def rates(study: Study, cells: Sequence[Cell]) -> dict[str, tuple[float, int]]:
    """Per data set the mean seconds of a round and how many rounds were measured; 0 of them: the study's own figure.

    Rounds that were taken from another run cost nothing and are not counted.
    """
    found: dict[str, list[float]] = {name: [] for name in study.datasets}
    for cell in cells:
        if cell.trained:
            shared = {0} if shared_from(cell.folder / "round-00") else set()
            found[cell.dataset] += [record.seconds for record in read_rounds(cell.folder) if record.round not in shared]
    return {name: (sum(seconds) / len(seconds), len(seconds)) if seconds else (study.seconds[name], 0) for name, seconds in found.items()}


def trainings_left(study: Study, cells: Sequence[Cell]) -> int:
    """The trainings that these cells still need; a first round is trained once for all cells that share it."""
    begun = {cell.first for cell in cells if cell.trained}
    left = 0
    for cell in cells:
        rounds = 1 if cell.method == FULL else study.rounds
        later = max(rounds - max(cell.trained, 1), 0)
        left += later + (cell.first not in begun)
        begun.add(cell.first)
    return left


def plan(study: Study, cells: Sequence[Cell], jobs: int, places: Mapping[str, str]) -> str:
    """What is done, what is left and how long it will take, as Markdown."""
    lines, total = [], 0.0
    measured = rates(study, cells)
    for dataset in study.datasets:
        mine = [cell for cell in cells if cell.dataset == dataset]
        needed = study.missing(dataset, places)
        if needed:
            lines.append([dataset, f"not run: give --{needed} /path/to/{needed}", "", "", "", ""])
            continue
        left = trainings_left(study, mine)
        seconds, rounds = measured[dataset]
        total += left * seconds / 3600
        how = f"{seconds:.0f} ({rounds} rounds measured)" if rounds else f"{seconds:.0f} (not measured yet)"
        lines.append([dataset, str(len(mine)), str(sum(cell.finished for cell in mine)), str(left), how, f"{left * seconds / 3600:.1f}"])
    table = markdown_table(["data set", "cells", "finished", "trainings left", "seconds a round", "hours of one core"], lines)
    return f"{table}\n{total:.1f} hours on one core, about {total / jobs:.1f} with --jobs {jobs}\n"


def run(study: Study, cells: Sequence[Cell], jobs: int, hours: float | None, train: Callable[[Cell], int]) -> list[Cell]:
    """Run every cell that is not finished, `jobs` at once; the cells that failed. `train` gives a cell's exit status."""
    waiting = [cell for cell in cells if not cell.finished]
    limit = None if hours is None else time.monotonic() + 3600 * hours
    failed: list[Cell] = []
    running: dict[Future[int], Cell] = {}
    with stage(f"study {study.name}", len(waiting)) as line, ThreadPoolExecutor(jobs) as pool:
        while waiting or running:
            while waiting and len(running) < jobs and (limit is None or time.monotonic() < limit):
                cell = waiting.pop(0)
                running[pool.submit(train, cell)] = cell
            if not running:
                break
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                cell = running.pop(future)
                if future.result():
                    failed.append(cell)
                line.advance()
                line.note(f"{cell.folder.name}{' failed' if future.result() else ''}")
    return failed


def train_cell(program: Sequence[str], cell: Cell) -> int:
    """Run one cell in a process of its own, `program` with the cell's words; its exit status. Its words and output are added to OUT/STUDY/CELL.log."""
    log = cell.folder.with_name(f"{cell.folder.name}.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [*program, *cell.words]
    with log.open("a", encoding="utf-8") as file:
        file.write(f"{shlex.join(command)}\n")
        file.flush()
        return subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False).returncode


def part(cells: Sequence[Cell], options: Mapping[str, str]) -> list[Cell]:
    """The cells that the options name. Raises: ValueError for a name that no cell has."""
    chosen = list(cells)
    for option, field in (("datasets", "dataset"), ("seeds", "seed"), ("methods", "method"), ("rng", "rng")):
        if options.get(option, "all") == "all":
            continue
        names = options[option].split(",")
        known = {str(getattr(cell, field)) for cell in cells}
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ValueError(f"--{option} {options[option]}: no cell has {', '.join(unknown)}; there are {', '.join(sorted(known))}")
        chosen = [cell for cell in chosen if str(getattr(cell, field)) in names]
    return chosen


def _names(word: str) -> list[str]:
    """The names in braces of a word."""
    return [rest.split("}")[0] for rest in word.split("{")[1:]]


def show_plan(name: str, out: Path, jobs: int, osd: Path | None, parts: Mapping[str, str]) -> tuple[Study, list[Cell]]:
    """Print what is done of a study, what is left and how long it will take; return the study and the cells of these parts of it."""
    study = read_study(name)
    places = {} if osd is None else {"osd": str(osd.resolve())}
    cells = part(study.cells(out, places), parts)
    console.print(plan(study, cells, jobs, places), markup=False)
    return study, cells


def run_study(
    name: str,
    out: Path,
    jobs: int,
    osd: Path | None,
    parts: Mapping[str, str],
    hours: float | None = None,
    config_dir: Path | None = None,
) -> None:
    """Run what is not done of a study. Raises: ValueError naming the cells that failed."""
    study, cells = show_plan(name, out, jobs, osd, parts)
    more = () if config_dir is None else ("--config-dir", str(config_dir))
    failed = run(study, cells, jobs, hours, partial(train_cell, (sys.executable, "-m", "al3d", "train", *more)))
    left = [cell for cell in cells if not cell.finished]
    console.print(f"{len(cells) - len(left)} of {len(cells)} cells are finished in {out / study.name}", markup=False)
    if failed:
        raise ValueError(f"{len(failed)} cells failed: {', '.join(cell.folder.name for cell in failed)}; each one's .log beside its folder says why")
