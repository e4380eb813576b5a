"""A finished run folder with all that loggers show: training curves of two starts, pictures, label folders, class names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from .fake_run import THREE_CLASSES, write_metrics, write_purchase, write_run

STEPS = 1000


def shown_run(run: Path, rounds: int = 3, *, rng: int = 1, acquire: str = "redal", lift: float = 0.0) -> Path:
    write_run(run, THREE_CLASSES, 0, rng=rng)
    file = run / "identity.json"
    content = json.loads(file.read_text())
    content["identity"]["data"] = "0123"
    content["identity"]["acquire"] = {"name": acquire, "unit": {"_target_": "al3d.units.supervoxel.Supervoxel"}}
    file.write_text(json.dumps(content))
    with (run / "config.yaml").open("a") as config:
        config.write(f"\npaths: {{data: {run.parent / 'nothing prepared'}}}\n")
    (run / "report.json").write_text(json.dumps({"classes": list(THREE_CLASSES.names)}))
    for round_index in range(rounds):
        finish_round(run, round_index, lift=lift)
    return run


def finish_round(run: Path, round_index: int, *, lift: float = 0.0) -> None:
    write_purchase(run, round_index, THREE_CLASSES)
    np.save(run / f"labels-{round_index:02d}" / "payload.npy", np.arange(5 + round_index, dtype=np.uint8))
    write_metrics(run, round_index, THREE_CLASSES, absent=(), lift=lift)
    folder = run / f"round-{round_index:02d}" / "csv"
    for start, lines in enumerate((("0.9,9", "0.8,19"), ("0.7,19", "0.6,29"))):
        (folder / f"start-{start}").mkdir(parents=True)
        (folder / f"start-{start}" / "metrics.csv").write_text("\n".join(["epoch,loss,step", *(f"0,{line}" for line in lines)]) + "\n")
    pictures = run / "pictures" / f"round-{round_index:02d}"
    pictures.mkdir(parents=True)
    Image.fromarray(np.full((4, 6, 3), 40 * round_index, np.uint8)).save(pictures / "hall.png")
    (pictures / "pictures.json").write_text(json.dumps({"key": "k", "pictures": [{"scene": "hall", "file": "hall.png", "points": 7}]}))
