"""What the papers print: their mIoU values as data, to stand beside ours, and never over data that are not theirs."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "published"
#: The files with mIoU values; other.csv holds what else the papers print.
PAPERS = ("redal", "seedal", "hpal", "basal")
#: Fewer points than any preparation of the real training split has: what is generated in an official layout has the data set's name too.
LEAST_POINTS = {"s3dis": 10_000_000, "scannet": 10_000_000, "semantic_kitti": 2_000_000_000, "nuscenes": 800_000_000}
#: Data sets that are another one's scenes in other files.
SAME = {"s3dis_processed": "s3dis"}
#: What the papers call our methods, by what is asked for.
ON_SCENES = {
    **{"random": "RAND", "random_scene": "RAND", "margin": "MAR", "confidence": "CONF", "entropy": "ENT"},
    **{"coreset": "CSET", "segent": "SEGENT", "mc_dropout": "MCDR"},
}
ON_POINTS = {"random": "RAND", "confidence": "CONF", "entropy": "ENT", "margin": "MMU", "hpal": "PL + VL1,2,3"}
ON_REGIONS = {"redal": "ReDAL", "lidal": "LiDAL", "basal": "BaSAL"}
#: What SeedAL calls our seeds. A published list is ReDAL's unless it is SeedAL's own: the name alone does not say.
SEEDS = {"random": "random", "kmcentroid": "KMcentroid", "kmfurthest": "KMfurthest", "seedal": "SeedAL"}
#: Learning curves, and how their papers are called in a chart.
CURVES = (("redal", "figure 5"), ("seedal", "supplementary table 1"), ("basal", "curves"), ("hpal", "table 6"), ("hpal", "active learning alone"))
TITLES = {"redal": "ReDAL's paper", "seedal": "SeedAL's paper", "hpal": "HPAL's paper", "basal": "BaSAL's paper"}


@dataclass(frozen=True)
class Value:
    """One printed mIoU in percent.

    `table` is the paper's own name where it is known, else what the table is about; `labelled_percent` None where the paper gives points instead;
    `std` over the paper's runs where printed; `note` marks what is suspect (docs/fidelity.md D-50, D-51, D-52).
    """

    paper: str
    table: str
    dataset: str
    network: str
    seed: str
    method: str
    labelled_percent: float | None
    miou_percent: float
    std: float | None
    note: str

    @property
    def suspect(self) -> bool:
        """Whether the register of disagreements doubts this value."""
        return self.note.startswith(("D-50", "D-52")) or "; D-50" in self.note or "; D-52" in self.note


@cache
def values() -> tuple[Value, ...]:
    """Every printed mIoU, in the order of the files."""
    return tuple(_value(line) for paper in PAPERS for line in read(paper))


def read(name: str) -> list[dict[str, str]]:
    """The lines of one file as printed, by column. Raises: FileNotFoundError naming a file that was not installed."""
    with (FOLDER / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def rows_for(dataset: str, **columns: str | float) -> list[Value]:
    """The printed values for a data set whose named columns are as given, by labelled percent.

    Raises: ValueError for a column that there is not.
    """
    unknown = sorted(set(columns) - set(Value.__dataclass_fields__))
    if unknown:
        raise ValueError(f"published values have no column {', '.join(unknown)}: choose among {', '.join(Value.__dataclass_fields__)}")
    wanted = {"dataset": SAME.get(dataset, dataset), **columns}
    found = [value for value in values() if all(getattr(value, name) == one for name, one in wanted.items())]
    return sorted(found, key=lambda value: value.labelled_percent or 0.0)


def is_real(dataset: str, base_points: int) -> bool:
    """Whether a run on the data set of this name can have been on the real one: as many points as that, and no fewer."""
    least = LEAST_POINTS.get(SAME.get(dataset, dataset))
    return least is not None and base_points >= least


def curves_for(identity: Mapping[str, Any], base_points: int) -> dict[str, list[tuple[float, float]]]:
    """The printed learning curves of a run's setting, by name: (labelled, mIoU) in percent, for its chart.

    Of the same data set, network, method and, where a paper compares seeds, seed; none for another data set or for generated data of its
    name. Options such as the length of training are not compared: a chart says what was printed, not that the run repeats it.
    """
    dataset = str(identity["dataset"]["name"])
    if not is_real(dataset, base_points):
        return {}
    network = str(identity["net"]["_target_"]).rsplit(".", 1)[-1].lower()
    names = {"method": method_of(identity), "network": network}
    if "" in names.values():
        return {}
    taught = str(identity["learner"]["_target_"]).endswith("MeanTeacher")
    points = _unit(identity) == "point"
    curves: dict[str, list[tuple[float, float]]] = {}
    for paper, table in CURVES:
        if (paper == "hpal") != points or taught:
            continue
        seed = {"seed": SEEDS.get(str(identity["seed"]["name"]), "")} if paper == "seedal" else {}
        rows = rows_for(dataset, paper=paper, table=table, **names, **seed)
        _add(curves, TITLES[paper], rows)
    if taught and names["method"] == ON_POINTS["hpal"]:
        for table, method in (("table 5", "HMMU + FDS + TS"), ("comparison", "HPAL")):
            whole = dataset == "scannet" or table == "table 5"
            _add(curves, TITLES["hpal"], rows_for(dataset, paper="hpal", table=table, network=network, method=method) if whole else [])
    return curves


def method_of(identity: Mapping[str, Any]) -> str:
    """What the papers call a run's method, by its name and what it asks for; empty where none has it."""
    name = str(identity["acquire"]["name"])
    return {"scene": ON_SCENES, "point": ON_POINTS}.get(_unit(identity), ON_REGIONS).get(name, "")


def _unit(identity: Mapping[str, Any]) -> str:
    return str(identity["acquire"]["unit"]["_target_"]).rsplit(".", 2)[-2]  # al3d.units.<unit>.<Class>


def _add(curves: dict[str, list[tuple[float, float]]], title: str, rows: Sequence[Value]) -> None:
    known = [(row.labelled_percent, row.miou_percent) for row in rows if row.labelled_percent is not None]
    if known:
        curves[f"{title}: {rows[0].method}"] = known


def _value(line: Mapping[str, str]) -> Value:
    texts = {name: line[name] for name in ("paper", "table", "dataset", "network", "seed", "method", "note")}
    percent, std = line["labelled_percent"], line["std"]
    return Value(
        **texts,
        labelled_percent=float(percent) if percent else None,
        miou_percent=float(line["miou_percent"]),
        std=float(std) if std else None,
    )
