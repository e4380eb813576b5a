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
    run = next((tmp_path / "outputs").iterdir())
    assert text.rstrip().endswith("report.html") and (run / "report.html").is_file()
    assert "redal, unit supervoxel-0.01-0.1, bought" in text


@pytest.mark.slow
def test_the_demo_stays_under_three_gigabytes(tmp_path):
    text, gigabytes = run_and_measure(["experiment=demo", "rounds.n=2", "rounds.steps=6", "rounds.checkpoint_every=3"], tmp_path)
    assert text.rstrip().endswith("report.html")
    assert gigabytes < 3, f"the demo held {gigabytes:.2f} GiB"
