"""What a learner and its starting weights are worth: first rounds by data set, budget, learner and start.

Reads run folders of `experiment=first_round` that differ in nothing else, and prints a Markdown table: mean mIoU and standard deviation (n - 1) over
random seeds, and the mean of the paired differences from supervised learning from scratch. docs/learning.md has the commands that made the runs.
Run: python benchmarks/learning.py RUN...
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from al3d.progress import console
from al3d.report.html import part_name
from al3d.report.rounds import read_identity, read_rounds
from al3d.report.saved import markdown_table
from al3d.run import differing_keys

REFERENCE = ("supervised", "scratch")
FREE = ("learner", "start", "rng", "data", "dataset", "rounds")


def learner_of(identity: Mapping[str, Any]) -> tuple[str, str]:
    """The learner and what it started from."""
    kind = str(identity["learner"]["_target_"]).rsplit(".", 1)[-1]
    return {"Segmenter": "supervised", "MeanTeacher": "mean teacher"}.get(kind, kind), "pretrained" if identity.get("start") else "scratch"


def read(folders: Sequence[Path]) -> dict[tuple[str, float], dict[tuple[str, str], dict[int, tuple[float, float]]]]:
    """(Data set, labelled percent) -> (learner, start) -> random seed -> (mIoU 0..1, seconds of training)."""
    found: dict[tuple[str, float], dict[tuple[str, str], dict[int, tuple[float, float]]]] = {}
    first: dict[str, tuple[Path, dict[str, Any]]] = {}
    for folder in folders:
        identity = read_identity(folder)[1]
        rest = {key: value for key, value in identity.items() if key not in FREE} | {"seed": {**identity["seed"], "budget": None}}
        name = str(part_name(identity, "dataset"))
        earlier, wanted = first.setdefault(name, (folder, rest))
        if differing := differing_keys(wanted, rest):
            raise ValueError(f"{folder} cannot stand beside {earlier}: {'; '.join(differing)}")
        record = read_rounds(folder)[0]
        where = (name, float(identity["rounds"]["initial"]))
        found.setdefault(where, {}).setdefault(learner_of(identity), {})[int(identity["rng"])] = (record.miou, record.train_seconds)
    return found


def table(found: Mapping[tuple[str, float], Mapping[tuple[str, str], Mapping[int, tuple[float, float]]]]) -> str:
    """One line per data set, budget and way of learning."""
    lines = []
    for (dataset, percent), ways in sorted(found.items()):
        reference = ways.get(REFERENCE, {})
        for way in sorted(ways, key=lambda way: (way != REFERENCE, way)):
            scores = {rng: 100 * miou for rng, (miou, _) in ways[way].items()}
            values = np.array(list(scores.values()))
            gains = np.array([scores[rng] - 100 * reference[rng][0] for rng in scores if rng in reference])
            gain = "" if way == REFERENCE or not len(gains) else f"{gains.mean():+.1f} ({gains.min():+.1f} to {gains.max():+.1f})"
            spread = f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else ""
            seconds = np.mean([seconds for _, seconds in ways[way].values()])
            lines.append([dataset, f"{percent:g}", *way, str(len(values)), f"{values.mean():.1f}{spread}", gain, f"{seconds:.0f}"])
    return markdown_table(["data set", "labelled, %", "learner", "from", "trainings", "mIoU, %", "gain, paired (lowest to highest)", "seconds"], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("runs", nargs="+", type=Path, help="run folders of experiment=first_round")
    console.print(table(read(sorted(parser.parse_args().runs))), markup=False)


if __name__ == "__main__":
    main()
