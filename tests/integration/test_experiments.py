"""The experiments of the README on their own data, with few steps."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OSD = ROOT.parent / "shared" / "data" / "osd"


def run_and_measure(words: list[str], tmp_path: Path) -> tuple[str, float]:
    """What `train.py` printed, and the most memory in GiB that one of its processes held."""
    place = [f"paths.data={tmp_path / 'data'}", f"paths.outputs={tmp_path / 'outputs'}"]
    with (tmp_path / "printed").open("w+") as printed:
        process = subprocess.Popen([sys.executable, "train.py", *words, *place], cwd=ROOT, stdout=printed, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        printed.seek(0)
        text = printed.read()
    assert os.waitstatus_to_exitcode(status) == 0, text
    return text, usage.ru_maxrss / 2**20


@pytest.mark.slow
@pytest.mark.skipif(not OSD.is_dir(), reason="the osd scans are not here")
def test_real_scans_through_two_rounds(tmp_path):
    text, _ = run_and_measure(["experiment=osd", f"dataset.root={OSD}", "rounds.n=2", "rounds.steps=4", "rounds.checkpoint_every=2"], tmp_path)
    run = next((tmp_path / "outputs").glob("osd-*"))
    assert text.rstrip().endswith("report.html") and (run / "report.html").is_file()
    assert "redal, unit supervoxel-0.01-0.1, bought" in text


@pytest.mark.slow
def test_the_demo_in_an_empty_folder_stays_under_two_gigabytes(tmp_path):
    """No checkout beside it, as after installing a wheel; none of its processes may hold more."""
    with (tmp_path / "printed").open("w+") as printed:
        process = subprocess.Popen([sys.executable, "-m", "al3d", "demo"], cwd=tmp_path, stdout=printed, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)  # of the process and of all that it has waited for
        printed.seek(0)
        text = printed.read()
    assert os.waitstatus_to_exitcode(status) == 0, text
    assert (tmp_path / "outputs" / "demo" / "demo.html").is_file() and (tmp_path / "outputs" / "demo" / "redal-rng1" / "report.html").is_file()
    assert "the runs side by side" in text
    gigabytes = usage.ru_maxrss / 2**20
    assert gigabytes < 2, f"a process of the demo held {gigabytes:.2f} GiB"
