"""The benchmark of the steps on a device: what it says of two results."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from al3d.progress import console

PATH = Path(__file__).resolve().parents[2] / "benchmarks" / "on_device.py"


@pytest.fixture(scope="module")
def benchmark():
    return runpy.run_path(str(PATH))


def test_choices_are_compared_by_row_and_numbers_by_size(benchmark):
    agreement, choice, numbers = benchmark["agreement"], SimpleNamespace(choice=True), SimpleNamespace(choice=False)
    assert agreement(choice, np.array([1, 2, 3, 4]), np.array([1, 2, 3, 5])) == "75.000 % equal"
    assert agreement(choice, np.array([1]), np.array([1, 2])) == "other lengths"
    assert agreement(numbers, np.array([1.0, -4.0]), np.array([1.0, -4.4])) == "within 1.0e-01"


def test_two_cases_on_a_cpu(benchmark, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["on_device.py", "--device", "cpu", "--share", "0.001", "kcenter_scans", "voxels"])
    with console.capture() as printed:
        benchmark["main"]()
    lines = [line for line in printed.get().splitlines() if line.startswith(("kcenter_scans", "voxels"))]
    assert len(lines) == 2 and all(line.endswith("100.000 % equal") for line in lines)


def test_an_unknown_case_is_refused(benchmark, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["on_device.py", "kcentre"])
    with pytest.raises(SystemExit):
        benchmark["main"]()
    assert "there is no case kcentre" in capsys.readouterr().err
