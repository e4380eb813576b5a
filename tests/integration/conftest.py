"""Runs of the whole loop on the tiny data set, in this process and in others."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

ROOT = Path(__file__).resolve().parents[2]
SMALL = (
    "experiment=osd",
    "net.width=0.125",
    "rounds.n=3",
    "rounds.initial=1",
    "rounds.step=10",
    "rounds.steps=6",
    "rounds.batch=2",
    "rounds.checkpoint_every=2",
    "acquire.pick.clusters=8",
    "trainer.workers=0",
    "prepare.workers=1",
)


@pytest.fixture
def options(tiny_root: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """The overrides of a small run: data shared by a test, outputs in its own folder."""

    def make(*more: str) -> list[str]:
        method = [word for word in more if word.startswith("acquire=")]
        small = [word for word in SMALL if not (method and method != ["acquire=redal"] and word.startswith("acquire.pick"))]
        return [*small, f"dataset.root={tiny_root}", f"paths.data={tmp_path / 'data'}", f"paths.outputs={tmp_path / 'outputs'}", "paths.shared=null", *more]

    return make


@pytest.fixture
def composed(options: Callable[..., list[str]]) -> Callable[..., DictConfig]:
    """Compose a small run from overrides."""

    def make(*more: str) -> DictConfig:
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            return compose("train", overrides=options(*more))

    return make


@pytest.fixture
def command(options: Callable[..., list[str]]) -> Callable[..., subprocess.Popen[str]]:
    """Start a small run in another process."""

    def start(*more: str, **environment: str) -> subprocess.Popen[str]:
        words = [sys.executable, str(ROOT / "train.py"), *options(*more)]
        variables = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
        return subprocess.Popen(words, cwd=ROOT, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    return start


@pytest.fixture
def outcome() -> Callable[[Path], dict[str, object]]:
    """Everything that a run decided and measured, without times: label files byte by byte, and every round's metrics."""

    def read(run: Path) -> dict[str, object]:
        found: dict[str, object] = {}
        for file in sorted(run.glob("labels-*/*.npy")):
            found[str(file.relative_to(run))] = file.read_bytes()
        for file in sorted(run.glob("round-*/metrics.json")):
            metrics = json.loads(file.read_text())
            del metrics["seconds"]
            found[str(file.relative_to(run))] = metrics
        return found

    return read
