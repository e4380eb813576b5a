"""Fake studies: run folders whose learning curves have a known effect of the method, a spread between blocks and one within them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from al3d.rng import generator

NAMES = ("ground", "wall", "chair", "lamp")
SHARES = (0.6, 0.3, 0.09, 0.01)
UNITS = {"scene": "al3d.units.scene.SceneUnit", "supervoxel": "al3d.units.supervoxel.Supervoxel", "point": "al3d.units.point.PointUnit"}


@dataclass(frozen=True)
class FakeStudy:
    """What to write: `effects` are true differences of mIoU (0..1) of each method to random, from its first purchase on."""

    effects: Mapping[str, float]
    datasets: Sequence[str] = ("rooms",)
    seeds: Sequence[str] = ("random",)
    rngs: Sequence[int] = (1, 2, 3)
    rounds: int = 4
    step: float = 2.0
    between: float = 0.03
    within: float = 0.02
    base_points: int = 1_000_000
    units: Mapping[str, str] = field(default_factory=dict)
    full: float | None = 0.6
    network: str = "al3d.nets.minkunet.MinkUNet"
    #: What part of the curve's rise more labels bring: 1 as usual, 0 for a training that labels do nothing for.
    rise: float = 1.0


def write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def identity_of(dataset: str, seed: str, method: str, unit: str, rng: int, study: FakeStudy) -> dict[str, Any]:
    return {
        "data": f"content of {dataset}",
        "dataset": {"name": dataset, "grid": 0.05 if dataset == "rooms" else None, "scale": {"voxel": 0.05}},
        "seed": {"name": seed, "unit": {"_target_": UNITS["scene"]}},
        "acquire": {"name": method, "unit": {"_target_": UNITS[unit]}, "budget": {"amount": study.step, "per": "percent", "overshoot": None}},
        "net": {"_target_": study.network, "width": 1.0},
        "learner": {"_target_": "al3d.learn.segmenter.Segmenter"},
        "rounds": {"initial": 100.0 if seed == "all" else 3.0, "step": study.step, "init": "scratch", "epochs": 20},
        "precision": "32-true",
        "rng": rng,
    }


def write_study(out: Path, study: FakeStudy) -> list[Path]:
    """Write a run per data set, seed, method and rng, and two fully supervised ones; random is written too."""
    folders = []
    for dataset in study.datasets:
        for seed in study.seeds:
            for method in study.effects:
                for rng in study.rngs:
                    folders.append(write_run(out, dataset, seed, method, rng, study))
        if study.full is not None:
            folders += [write_run(out, dataset, "all", "random", rng, study) for rng in (1, 2)]
    return folders


def write_run(out: Path, dataset: str, seed: str, method: str, rng: int, study: FakeStudy, name: str | None = None) -> Path:
    unit = study.units.get(method, "supervoxel")
    run = out / (name or f"{dataset}-minkunet-{seed}-{method}-{unit}-rng{rng}")
    write(run / "identity.json", {"hash": "0" * 10, "identity": identity_of(dataset, seed, method, unit, rng, study)})
    full = seed == "all"
    rounds = 1 if full else study.rounds
    write(run / "execution.jsonl", {"accelerator": "cpu", "devices": 1, "num_nodes": 1, "n": rounds})
    write(run / "report.json", {"classes": list(NAMES)})
    spent = 0
    for index in range(rounds):
        percent = 100.0 if full else 3.0 + study.step * index
        points = round(study.base_points * percent / 100) - spent
        spent += points
        classes = [int(points * share) for share in SHARES]
        write(
            run / f"labels-{index:02d}" / "purchase.json",
            {
                "round": index,
                "name": seed if index == 0 else method,
                "unit": "scene" if index == 0 else unit,
                "points": points,
                "units": 3 if index == 0 else 40,
                "scenes": 3,
                "clicks": 30 if index == 0 else (90 if method == "random" else 60),
                "class_points": classes,
                "unknown_points": points - sum(classes),
                "spent_points": spent,
                "base_points": study.base_points,
                "pool_class_points": [int((study.base_points - spent) * share) for share in SHARES],
                "seconds": 1.5,
            },
        )
        iou = _iou(dataset, seed, method, rng, index, percent, study)
        write(
            run / f"round-{index:02d}" / "metrics.json",
            {
                "round": index,
                "labelled_points": spent,
                "labelled_percent": percent,
                "miou": float(iou.mean()),
                "iou": iou.tolist(),
                "accuracy": 0.8,
                "confusion": (np.eye(len(NAMES), dtype=int) * 1000).tolist(),
                "steps": 100,
                "loss": 0.5,
                "seconds": {"train": 60.0, "test": 10.0, "predict": None},
            },
        )
    return run


def _iou(dataset: str, seed: str, method: str, rng: int, index: int, percent: float, study: FakeStudy) -> Any:
    """A saturating curve; a block's luck is shared by its methods, the rest is a method's own. The seed's round is the same for all of them."""
    if seed == "all":
        return np.clip(study.full + 0.01 * generator("full", dataset, rng).normal(size=len(NAMES)), 0, 1)
    luck = generator("block", dataset, seed, rng).normal(0, study.between)
    own = 0.0 if index == 0 else generator("own", dataset, seed, rng, method).normal(0, study.within) + study.effects[method]
    jitter = generator("jitter", dataset, seed, rng, method if index else "", index).normal(0, 0.003)
    start, reached = (0.66 * (1 - 0.55 * np.exp(-share / 8)) for share in (3.0, percent))
    level = start + study.rise * (reached - start) + (0.01 if seed != "random" else 0.0)
    return np.clip(level + luck + own + jitter + np.linspace(0.15, -0.15, len(NAMES)), 0, 1)
