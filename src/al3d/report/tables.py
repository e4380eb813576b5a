"""Published tables with our runs beside them: `al3d tables TABLE RUN...`; TABLE is a file of conf/experiment/table.

A run belongs to the row whose options it has; what it does otherwise than the experiment is printed with it.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from al3d.command import choices, missing_options
from al3d.configuration import Compose, composing
from al3d.files import whole_file
from al3d.progress import console
from al3d.report.published import SAME, Value, is_real, rows_for
from al3d.report.rounds import RoundRecord, read_compared, read_rounds

#: What a run's configuration is compared in.
GROUPS = ("dataset", "seed", "acquire", "pseudo", "net", "start", "learner", "rounds", "eval", "oracle")
#: In these a run must be as its row, whatever else it does otherwise.
NEEDED = ("dataset.name", "net._target_", "seed.name", "acquire.name")
#: Where files lie and how far a run goes is no difference.
FREE = re.compile(r"dataset\.root|dataset\.source\.(root|images)|rounds\.(n|stop_after)|.*\.encoder\.(weights|download|batch|device)|.*\.score\.file")
#: Stand for what is known only with the data: such options are not compared.
UNKNOWN, NOWHERE = -987654321, "/nowhere"
NOT_RUN = "not run"
PRINTED = ("published", "not published")
Options = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One row of a published table: the sweep's words for it, its options, and its printed values, the last for the last round."""

    name: str
    words: tuple[str, ...]
    options: Options
    rounds: int
    printed: tuple[Value, ...]

    def round_of(self, place: int) -> int:
        """The round that printed value number `place` belongs to: the last value to the last round, and so on backwards."""
        return self.rounds - len(self.printed) + place


@dataclass(frozen=True)
class Run:
    """A finished or started run: its folder, its options and its finished rounds."""

    path: Path
    options: Options
    records: tuple[RoundRecord, ...]

    @property
    def real(self) -> bool:
        """Whether its data can be the real ones."""
        return is_real(str(self.options["dataset.name"]), self.records[0].purchase.base_points)


@dataclass(frozen=True)
class Line:
    """A line of numbers: the row's name, what the line is, the round's numbers (percent; None: none) and remarks."""

    row: str
    kind: str
    runs: int
    labelled: tuple[float | None, ...]
    miou: tuple[float | None, ...]
    std: tuple[float | None, ...]
    remark: str


def table_names(config_dir: Path | None = None) -> list[str]:
    """The published tables that there are."""
    return [path.stem for path in choices("experiment/table", config_dir)]


def table_rows(name: str, config_dir: Path | None = None) -> list[Row]:
    """The rows of a table, composed as its sweep would compose them; runs that differ in `rng` alone are one row.

    Raises: ValueError for an unknown table.
    """
    if name not in table_names(config_dir):
        raise ValueError(f"there is no table {name!r}: choose among {', '.join(table_names(config_dir))}")
    with composing(config_dir) as configuration:
        first = configuration([f"experiment=table/{name}"], return_hydra_config=True)
        published = OmegaConf.to_container(first.published)
        sweep = {str(key): str(value).split(",") for key, value in first.hydra.sweeper.params.items() if key != "rng"}
        return [_row(configuration, name, dict(zip(sweep, choice, strict=True)), published) for choice in itertools.product(*sweep.values())]


def _row(configuration: Compose, table: str, choice: Mapping[str, str], published: Any) -> Row:
    words = tuple(f"{key}={value}" for key, value in choice.items())
    config = configuration([f"experiment=table/{table}", *words])
    columns = {key: value for key, value in published.items() if key != "rows"}
    for key, value in choice.items():
        columns |= published["rows"][key][value]
    dataset = columns.pop("dataset")
    asked = [columns[key] for key in ("method", "seed") if key in columns]
    percent = f" at {columns['labelled_percent']:g} %" if "labelled_percent" in columns else ""
    name = " after ".join(map(str, asked)) + percent
    return Row(name, words, options_of(config), int(config.rounds.n), tuple(rows_for(dataset, **columns)))


def options_of(config: DictConfig) -> dict[str, Any]:
    """Every option that a run is compared in, by dotted name, interpolations resolved; changes the configuration's missing values."""
    for key in missing_options(OmegaConf.to_container(config, resolve=False)):
        OmegaConf.update(config, key, NOWHERE)
    if config.get("classes") is None:
        OmegaConf.update(config, "classes", UNKNOWN)
    resolved = {group: OmegaConf.to_container(config[group], resolve=True) for group in GROUPS if OmegaConf.is_config(config.get(group))}
    return {key: value for key, value in _flat(resolved) if not FREE.fullmatch(key)}


def _flat(node: Any, prefix: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _flat(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(node, list) and any(isinstance(value, Mapping) for value in node):
        for place, value in enumerate(node):
            yield from _flat(value, f"{prefix}[{place}]")
    else:
        yield prefix, node


def read_run(path: Path) -> Run:
    """A run's options and finished rounds. Raises: FileNotFoundError or ValueError naming the folder for what is no run, or has no finished round."""
    file = path / "config.yaml"
    if not file.is_file():
        raise FileNotFoundError(f"{path} is no run's folder: it has no config.yaml")
    config = OmegaConf.load(file)
    if not isinstance(config, DictConfig):
        raise ValueError(f"{file} is no configuration")
    records = tuple(read_compared(path))
    if not records:
        raise ValueError(f"{path} has no finished round: run it first, or leave it out")
    return Run(path, options_of(config), records)


def differences(run: Options, row: Options, among: Iterable[str] | None = None) -> tuple[str, ...]:
    """In what a run does otherwise than a row: "key=ITS VALUE (THE ROW'S)"; what only data can tell is not compared."""
    keys = sorted({*run, *row} if among is None else set(among))
    pairs = [(key, run.get(key, "absent"), row.get(key, "absent")) for key in keys]
    return tuple(
        f"{key}={_short(mine)} ({_short(theirs)})" for key, mine, theirs in pairs if mine != theirs and not _unknown(theirs) and not _same(key, mine, theirs)
    )


def _unknown(value: Any) -> bool:
    return value == UNKNOWN or (isinstance(value, str) and NOWHERE in value)


def _same(key: str, mine: Any, theirs: Any) -> bool:
    return key == "dataset.name" and SAME.get(str(mine), mine) == theirs


def _short(value: Any) -> str:
    text = str(value)
    return text.rsplit(".", 1)[-1] if re.fullmatch(r"(\w+\.)+[A-Z]\w*", text) else text


def row_of(run: Run, rows: Sequence[Row]) -> Row | None:
    """The row that a run belongs to, or None.

    Data set, network, seed and method must be the row's. Of such rows the one is taken that the run differs least from, in the options that
    tell the rows apart; a run that is as near to another is in neither.
    """
    telling = [key for key in {key for row in rows for key in row.options} if len({repr(row.options.get(key)) for row in rows}) > 1]
    near = [(len(differences(run.options, row.options, telling)), row) for row in rows if not differences(run.options, row.options, NEEDED)]
    best = min((count for count, _ in near), default=0)
    found = [row for count, row in near if count == best]
    return found[0] if len(found) == 1 else None


def lines_of(rows: Sequence[Row], runs: Sequence[Run]) -> list[Line]:
    """For every row what is printed and, beneath, ours: means over runs that differ in nothing but `rng`, or "not run"."""
    lines = []
    owner = [row_of(run, rows) for run in runs]
    for row in rows:
        lines.append(_printed(row))
        variants: dict[tuple[bool, tuple[str, ...]], list[Run]] = {}
        for run, place in zip(runs, owner, strict=True):
            if place is row:
                variants.setdefault((run.real, differences(run.options, row.options)), []).append(run)
        for (real, otherwise), same in sorted(variants.items(), key=lambda item: (not item[0][0], len(item[0][1]))):
            lines += _ours(row, same, real, otherwise)
        if not variants:
            empty = (None,) * row.rounds
            lines.append(Line(row.name, NOT_RUN, 0, empty, empty, empty, ""))
    return lines


def _printed(row: Row) -> Line:
    at = {row.round_of(place): value for place, value in enumerate(row.printed)}
    places = [at.get(index) for index in range(row.rounds)]
    notes = dict.fromkeys(value.note for value in row.printed if value.note)
    return Line(
        row.name,
        PRINTED[0] if at else PRINTED[1],
        0,
        tuple(value.labelled_percent if value else None for value in places),
        tuple(value.miou_percent if value else None for value in places),
        tuple(value.std if value else None for value in places),
        "; ".join(notes),
    )


def _ours(row: Row, runs: Sequence[Run], real: bool, otherwise: Sequence[str]) -> list[Line]:
    """The lines of runs of one variant: what stands for a round, and the last checkpoint where that is another."""
    chosen = next((record.chosen_on for run in runs for record in run.records if record.chosen_on), "")
    data = "" if real else f"not the real data: {max(run.records[0].purchase.base_points for run in runs):,} points"
    remark = "; ".join(filter(None, (chosen, data, f"otherwise: {', '.join(otherwise)}" if otherwise else "")))
    lines = [_averaged(row, runs, "al3d", [[record.miou for record in run.records] for run in runs], remark)]
    if chosen:
        last = [[record.miou if record.last_miou is None else record.last_miou for record in run.records] for run in runs]
        lines.append(_averaged(row, runs, "al3d, last checkpoint", last, "; ".join(filter(None, (data,)))))
    return lines


def _averaged(row: Row, runs: Sequence[Run], kind: str, mious: Sequence[Sequence[float]], remark: str) -> Line:
    """Means over runs, round by round, of the runs that have finished it; standard deviations with n - 1."""
    columns = [[100 * values[index] for values in mious if index < len(values)] for index in range(row.rounds)]
    labelled = [[run.records[index].labelled_percent for run in runs if index < len(run.records)] for index in range(row.rounds)]
    return Line(
        row.name,
        kind,
        len(runs),
        tuple(float(np.mean(values)) if values else None for values in labelled),
        tuple(float(np.mean(values)) if values else None for values in columns),
        tuple(float(np.std(values, ddof=1)) if len(values) > 1 else None for values in columns),
        remark,
    )


def markdown(rows: Sequence[Row], lines: Sequence[Line]) -> str:
    """The table for people: mIoU in percent, a column per round, headed by what the paper says is labelled where its rows agree; remarks below."""
    rounds = max(row.rounds for row in rows)
    notes = {remark: number for number, remark in enumerate(dict.fromkeys(line.remark for line in lines if line.remark), start=1)}
    head = ["row", "", "runs", *(_heading(rows, index) for index in range(rounds)), "labelled at the end, %", "note"]
    table = [head, ["---"] * len(head)]
    for line in lines:
        ends = [percent for percent in line.labelled if percent is not None]
        first = line.kind in PRINTED
        cells = [_cell(*pair, as_printed=first) for pair in zip(line.miou, line.std, strict=True)]
        count = str(line.runs) if line.runs else ""
        cells = [*cells, *[""] * (rounds - len(cells))]
        table.append([line.row if first else "", line.kind, count, *cells, f"{ends[-1]:.4g}" if ends else "", str(notes.get(line.remark, ""))])
    text = "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in table)
    below = "".join(f"{number}. {remark}\n" for remark, number in notes.items())
    return f"{text}\n\n{below}" if below else f"{text}\n"


def _heading(rows: Sequence[Row], index: int) -> str:
    """What the paper says is labelled, where all rows with a value have one here and agree."""
    printed = [row for row in rows if row.printed]
    percents = [value.labelled_percent for row in printed for place, value in enumerate(row.printed) if row.round_of(place) == index]
    agreed = len(percents) == len(printed) and len(set(percents)) == 1 and percents[0] is not None
    return f"{percents[0]:g} %" if agreed else f"round {index}"


def _cell(miou: float | None, std: float | None, as_printed: bool) -> str:
    if miou is None:
        return ""
    numbers = [number for number in (miou, std) if number is not None]
    return " ± ".join(str(number) if as_printed else f"{number:.2f}" for number in numbers)


def as_csv(name: str, lines: Sequence[Line]) -> str:
    """The same, a line per row, kind and round."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["table", "row", "kind", "runs", "round", "labelled_percent", "miou_percent", "std", "remarks"])
    for line in lines:
        for index, numbers in enumerate(zip(line.labelled, line.miou, line.std, strict=True)):
            if numbers[1] is not None or line.kind == NOT_RUN:
                writer.writerow([name, line.row, line.kind, line.runs, index, *("" if number is None else f"{number:.6g}" for number in numbers), line.remark])
    return text.getvalue()


def write_table(name: str, folders: Sequence[Path], out: Path, config_dir: Path | None = None) -> Path:
    """Print a table with these runs beside it and write `NAME.md` and `NAME.csv` into `out`; runs of no row, or without a round, are named.

    Raises: as `table_rows` and `read_run`.
    """
    rows = table_rows(name, config_dir)
    started = [folder for folder in folders if not read_rounds(folder)]
    runs = [read_run(folder) for folder in folders if folder not in started]
    lines = lines_of(rows, runs)
    for kind, text in (("md", markdown(rows, lines)), ("csv", as_csv(name, lines))):
        with whole_file(out / f"{name}.{kind}") as temporary:
            temporary.write_text(text, encoding="utf-8")
    console.print(f"{name}: mIoU in percent", markup=False)
    console.print(markdown(rows, lines), markup=False, soft_wrap=True)
    others = [run.path for run in runs if row_of(run, rows) is None]
    for why, paths in (("no row of this table", others), ("no finished round", started)):
        for path in paths:
            console.print(f"left out, {why}: {path}", markup=False, soft_wrap=True)
    return out / f"{name}.md"


def run_folders(given: Sequence[Path]) -> list[Path]:
    """The run folders among these: those with a config.yaml, and those directly inside the others. Raises: FileNotFoundError where there are none."""
    found: list[Path] = []
    for path in given:
        inside = [path] if (path / "config.yaml").is_file() else sorted(file.parent for file in path.glob("*/config.yaml"))
        if not inside:
            raise FileNotFoundError(f"{path} is no run's folder and holds none")
        found += inside
    return sorted(set(found))
