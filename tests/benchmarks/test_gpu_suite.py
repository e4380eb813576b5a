"""The bundle for a machine with a GPU: how parts end, and what a line says."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu_suite.py"


@pytest.fixture(scope="module")
def suite():
    return runpy.run_path(str(PATH))


def test_a_part_that_lacks_something_takes_too_long_or_fails_is_named(suite):
    run = suite["run"]
    assert run(["-c", "import no_such_package"], 60) == "left out: needs no_such_package"
    assert run(["-c", "raise ValueError('wrong')"], 60) == "failed with exit status 1: ValueError: wrong"
    assert run(["-c", "import time; time.sleep(60)"], 0.5).startswith("cut off after")
    assert run(["-c", ""], 60) == ""


def test_a_step_is_compared_with_the_card_s_rates(suite):
    line = {"net": "minkunet", "voxels": "80000", "type": "bf16", "engine": "auto", "operations": 4e12, "bytes": 1e9}
    figures = {"step": 0.02, "inference": 0.005, "launches": 300}
    found = suite["of_networks"]({**line, "figures": figures}, {"bf16": 800.0, "copy": 1000.0})
    assert found.outcome == "step 20.0 ms, inference 5.0 ms, 0.25 of the card's rates, 300 launches" and found.figures["share"] == 0.25
    assert suite["of_networks"]({**line, "figures": "out of memory"}, {}).outcome == "out of memory"


def test_without_a_gpu_nothing_is_measured(suite, monkeypatch, tmp_path):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu_suite.py", "--out", str(tmp_path / "out.json")])
    with pytest.raises(SystemExit, match="not measured"):
        suite["main"]()
    assert not list(tmp_path.iterdir())
