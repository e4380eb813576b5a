"""Every command of docs/label_your_own.md, in its order, on scans without a label."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from plyfile import PlyData, PlyElement

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "label_your_own.md"


def commands() -> list[str]:
    return [line for block in re.findall(r"```bash\n(.*?)```", DOCUMENT.read_text(), re.DOTALL) for line in block.splitlines()]


def written(path: Path, table: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PlyData([PlyElement.describe(table, "vertex")]).write(path)


def labelled(file: Path, truth: np.ndarray) -> None:
    """Set the labels of what was asked, as a person does in another tool."""
    table = PlyData.read(file)["vertex"].data.copy()
    asked = table["scalar_query"] >= 0
    table["scalar_label"][asked] = truth[table["scalar_index"].astype(int)][asked]
    written(file, table)


def test_the_commands_are_all_there() -> None:
    assert [line.split()[1] for line in commands()] == ["start", "train", "annotate", "queries", "answers", "train", "predict"]


@pytest.mark.slow
def test_every_command_works_in_its_order(tiny_root: Path, tmp_path: Path) -> None:
    truth = {}
    for file in sorted((tiny_root / "scenes").glob("*.ply")):
        data = PlyData.read(file)["vertex"].data
        truth[file.stem] = np.asarray(data["label"])
        kept = np.empty(len(data), [(name, data.dtype[name]) for name in data.dtype.names if name != "label"])
        for name in kept.dtype.names:
            kept[name] = data[name]
        written(tmp_path / "scans" / file.name, kept)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    said = []
    for line in commands():
        if line.startswith("al3d annotate"):
            continue  # stays until it is ended: tests/annotate/test_browser.py
        words = line.replace("al3d ", f"{shutil.which(sys.executable)} -m al3d ", 1)
        done = subprocess.run(words, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        said.append(done.stdout)
        if line.startswith("al3d queries"):
            for file in sorted((tmp_path / "asked").glob("*.ply")):
                labelled(file, truth[file.stem])
    assert "round 0: 0 of 30 answered" in said[1] and "recorded 30 answers" in said[3] and "round 1: 0 of 30 answered" in said[4]
    predicted = PlyData.read(tmp_path / "labels" / "t_1.ply")["vertex"].data
    assert np.mean(np.asarray(predicted["label"]) == truth["t_1"]) > 0.8
