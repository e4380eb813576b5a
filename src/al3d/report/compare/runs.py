"""One run of a study as its folder tells it: what it compares as, what its rounds cost, and under which protocol it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from al3d.report.fields import Fields
from al3d.report.html import part_name
from al3d.report.rounds import ALL_SEED, FREE_ROUNDS, RoundRecord, read_identity, read_rounds

#: In these the runs of one data set may differ; `rounds.n` is no part of an identity.
FREE = ("seed", "acquire", "pseudo", "rng")
#: What every method must beat: random units, by the names of conf/acquire.
BASELINES = ("random", "random_scene")
#: What `trainer.accelerator` says about the device; "auto" leaves it open.
DEVICES = {"cpu": "CPU", "gpu": "GPU", "cuda": "GPU"}
UNKNOWN_DEVICE = "not recorded"
Tree = Mapping[str, Any]


@dataclass(frozen=True)
class StudyRun:
    """A run with at least one finished round.

    `starts` are the lines of execution.jsonl that say how a process was started; `shared` names, by round, the run that trained a round in this one's
    place; `planned` is how many rounds the last start was asked for, None when that was not written down; `classes` are the class names, or numbers where no
    report was written yet.
    """

    path: Path
    identity: Tree
    records: tuple[RoundRecord, ...]
    starts: tuple[Tree, ...]
    shared: Mapping[int, str]
    planned: int | None
    classes: tuple[str, ...]

    @property
    def dataset(self) -> str:
        return str(part_name(self.identity, "dataset"))

    @property
    def rng(self) -> int:
        return int(self.identity["rng"])

    @property
    def full(self) -> bool:
        """Whether it bought everything at once."""
        seed = self.identity["seed"]
        return isinstance(seed, Mapping) and seed.get("name") == ALL_SEED

    @property
    def baseline(self) -> bool:
        return str(self.identity["acquire"].get("name")) in BASELINES

    @property
    def finished(self) -> bool:
        return self.planned is None or len(self.records) >= self.planned

    @property
    def unit(self) -> Tree:
        """The options of the unit that it asks for."""
        return dict(self.identity["acquire"]["unit"])

    @property
    def budget(self) -> str:
        """How much a round buys, in words: amount and measure. Whether a crossing unit is bought is the method's own matter."""
        budget = self.identity["acquire"].get("budget") or {}
        return f"{budget.get('amount')} {budget.get('per')}"

    @property
    def protocol(self) -> dict[str, Any]:
        """Everything that runs of one data set must have in common."""
        return {key: value for key, value in self.identity.items() if key not in FREE}

    @property
    def training(self) -> dict[str, Any]:
        """The protocol without how much is bought: what a fully supervised run must have in common with the others."""
        rounds = self.identity.get("rounds")
        kept = {key: value for key, value in rounds.items() if key not in FREE_ROUNDS} if isinstance(rounds, Mapping) else rounds
        return {**self.protocol, "rounds": kept}

    @property
    def method(self) -> Tree:
        """What is compared: the acquisition and, where there is one, the second one."""
        return {key: self.identity[key] for key in ("acquire", "pseudo") if key in self.identity}

    @property
    def device(self) -> str:
        """CPU, GPU, both after a restart elsewhere, or not recorded."""
        found = sorted({DEVICES.get(str(start.get("accelerator")), UNKNOWN_DEVICE) for start in self.starts})
        return " and ".join(found) or UNKNOWN_DEVICE

    @property
    def processes(self) -> tuple[int, ...]:
        """The numbers of processes that it was trained on, as far as they were written as numbers."""
        counts = {int(start.get("num_nodes", 1)) * start["devices"] for start in self.starts if isinstance(start.get("devices"), int)}
        return tuple(sorted(counts))


def unit_name(unit: Tree) -> str:
    """What a unit is called: its module of al3d.units, or its name."""
    target = str(unit.get("_target_", ""))
    return target.rsplit(".", 2)[-2] if target.count(".") > 1 else str(unit.get("name", target))


def read_run(path: Path) -> StudyRun | None:
    """A run folder, or None when no round of it is finished. Raises: FileNotFoundError without an identity; ValueError naming a malformed file."""
    if not (path / "identity.json").is_file():
        raise FileNotFoundError(f"{path} is no run's folder: it has no identity.json")
    identity = read_identity(path)[1]
    for part in ("dataset", "seed", "acquire", "rng"):
        if part not in identity:
            raise ValueError(f"{path / 'identity.json'} has no {part!r}: the folder was not made by train.py")
    records = tuple(read_rounds(path))
    if not records:
        return None
    starts = tuple(_starts(path / "execution.jsonl"))
    planned = next((int(start["n"]) for start in reversed(starts) if isinstance(start.get("n"), int)), None)
    sources = {record.round: _shared_from(path / f"round-{record.round:02d}") for record in records}
    shared = {round_: source for round_, source in sources.items() if source is not None}
    return StudyRun(path, identity, records, starts, shared, planned, _class_names(path, len(records[0].iou)))


def run_folders(given: Sequence[Path]) -> list[Path]:
    """The run folders among these, and those directly inside the others, each once. Raises: FileNotFoundError where there are none."""
    found: dict[Path, Path] = {}
    for path in given:
        inside = [path] if (path / "identity.json").is_file() else sorted(file.parent for file in path.glob("*/identity.json"))
        if not inside:
            raise FileNotFoundError(f"{path} is no run's folder and holds none: give folders that have an identity.json, such as outputs/*")
        found |= {folder.resolve(): folder for folder in inside}
    return sorted(found.values())


def _starts(path: Path) -> list[dict[str, Any]]:
    """The lines of execution.jsonl about starts; other remarks, and a line that was cut off when a process was killed, are left out."""
    if not path.is_file():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            values = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(values, dict) and "accelerator" in values:
            found.append(values)
    return found


def _shared_from(folder: Path) -> str | None:
    """The name of the run that a round's network was taken from, None where it was trained here."""
    for file in (folder / "shared.json", folder / "train.json"):
        if file.is_file() and not (fields := Fields.read(file)).absent("shared_from"):
            return fields.word("shared_from")
    return None


def _class_names(path: Path, count: int) -> tuple[str, ...]:
    """The class names of a run's report; before it has one, numbers stand in."""
    report = path / "report.json"
    names = Fields.read(report).values.get("classes") if report.is_file() else None
    return tuple(map(str, names)) if isinstance(names, list) and len(names) == count else tuple(f"class {index}" for index in range(count))
