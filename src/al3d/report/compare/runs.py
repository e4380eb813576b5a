"""One run of a study as its folder tells it: what it compares as, what its rounds cost, and under which protocol it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from al3d.report.fields import Fields
from al3d.report.html import part_name
from al3d.report.rounds import ALL_SEED, FREE_ROUNDS, RoundRecord, read_compared, read_identity, shared_from
from al3d.run import remarks

#: In these the runs of one data set may differ; `rounds.n` is no part of an identity.
FREE = ("seed", "acquire", "pseudo", "rng")
#: What every method must beat: random units, by the names of conf/acquire.
BASELINES = ("random", "random_scene")
#: How many folders deep runs are looked for: outputs/studies/NAME/CELL is three below outputs.
DEPTH = 4
#: So many runs that were left out for the same reason are named.
NAMED = 4
#: What a start says about the device: by `device` where it was written down, else by `accelerator`, whose "auto" leaves it open.
DEVICES = {"cpu": "CPU", "gpu": "GPU", "cuda": "GPU"}
UNKNOWN_DEVICE = "not recorded"
Tree = Mapping[str, Any]


@dataclass(frozen=True)
class StudyRun:
    """A run with at least one finished round; `records` are its rounds 0, 1, 2, ... as far as they go without a gap.

    `gap` is the first round without metrics where a later one has some, else None. `starts` are the lines of execution.jsonl that say how a process was
    started; `shared` names, by round, the run that trained a round in this one's place; `planned` is how many rounds the last start was asked for, None
    when that was not written down; `classes` are the class names, or numbers where no report was written yet.
    """

    path: Path
    identity: Tree
    records: tuple[RoundRecord, ...]
    starts: tuple[Tree, ...]
    shared: Mapping[int, str]
    planned: int | None
    classes: tuple[str, ...]
    gap: int | None = None

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
        return self.gap is None and (self.planned is None or len(self.records) >= self.planned)

    @property
    def missing(self) -> str:
        """What is not finished, in words."""
        if self.gap is not None:
            return f"round {self.gap} has no metrics.json, though a later round has: run its command again"
        return f"{len(self.records)} of {self.planned} rounds finished"

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
        found = sorted({DEVICES.get(str(start.get("device", start.get("accelerator"))), UNKNOWN_DEVICE) for start in self.starts})
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
    _check_identity(path / "identity.json", identity)
    finished = read_compared(path)
    records = tuple(record for place, record in enumerate(finished) if record.round == place)
    if not records:
        return None
    gap = len(records) if len(records) < len(finished) else None
    starts = tuple(remark for remark in remarks(path / "execution.jsonl") if "accelerator" in remark)
    planned = next((int(start["n"]) for start in reversed(starts) if isinstance(start.get("n"), int)), None)
    sources = {record.round: shared_from(path / f"round-{record.round:02d}") for record in records}
    shared = {round_: source for round_, source in sources.items() if source is not None}
    return StudyRun(path, identity, records, starts, shared, planned, _class_names(path, len(records[0].iou)), gap)


def run_folders(given: Sequence[Path]) -> list[Path]:
    """The run folders among these, and those inside the others, up to `DEPTH` folders deep, each once.

    A file beside folders, such as the log of a cell that `core/osd-*` names too, is passed over. Raises: FileNotFoundError where there are none.
    """
    found: dict[Path, Path] = {}
    folders = [path for path in given if path.is_dir() or not path.exists()]
    for path in folders or given:
        inside = _inside(path, DEPTH) if path.is_dir() else []
        if not inside:
            raise FileNotFoundError(f"{path} is no run's folder and holds none: give folders that have an identity.json, such as outputs/*")
        found |= {folder.resolve(): folder for folder in inside}
    return sorted(found.values())


def grouped(left_out: Sequence[str]) -> list[str]:
    """The runs that were left out, those of the same reason together, with at most `NAMED` of their names: "a, b and 7 more: no finished round"."""
    reasons: dict[str, list[str]] = {}
    for words in left_out:
        name, _, reason = words.partition(": ")
        reasons.setdefault(reason, []).append(name)
    return [f"{_some(names)}: {reason}" for reason, names in reasons.items()]


def _some(names: Sequence[str]) -> str:
    return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more" if len(names) > NAMED + 1 else ", ".join(names)


def _inside(path: Path, depth: int) -> list[Path]:
    """The runs in a folder; nothing is looked for inside a run, nor in what is hidden."""
    if (path / "identity.json").is_file():
        return [path]
    if depth == 0:
        return []
    return [run for child in sorted(path.iterdir()) if child.is_dir() and not child.name.startswith(".") for run in _inside(child, depth - 1)]


def _check_identity(file: Path, identity: Tree) -> None:
    """Raises: ValueError naming what an identity lacks."""
    wanted = {"dataset": Mapping, "seed": Mapping, "acquire": Mapping, "rng": int}
    wrong = [part for part, kind in wanted.items() if not isinstance(identity.get(part), kind)]
    if not wrong and not isinstance(identity["acquire"].get("unit"), Mapping):
        wrong = ["acquire.unit"]
    if wrong:
        raise ValueError(f"{file} has no {' and no '.join(map(repr, wrong))} that can be read: the folder was not made by al3d train")


def _class_names(path: Path, count: int) -> tuple[str, ...]:
    """The class names of a run's report; before it has one, numbers stand in."""
    report = path / "report.json"
    names = Fields.read(report).values.get("classes") if report.is_file() else None
    return tuple(map(str, names)) if isinstance(names, list) and len(names) == count else tuple(f"class {index}" for index in range(count))
