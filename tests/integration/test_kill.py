"""A run that is killed again and again ends with the same bits as one that was not."""

import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from al3d.rng import generator


def wait_and_kill(process: subprocess.Popen[str], run: Path, seconds: float) -> bool:
    """Let the process work for so long after it has opened its run folder, then SIGKILL it; False if it ended before."""
    starts = lines(run)
    while process.poll() is None and lines(run) == starts:
        time.sleep(0.02)
    limit = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < limit:
        time.sleep(0.01)
    alive = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return alive


def lines(run: Path) -> int:
    file = run / "execution.jsonl"
    return len(file.read_text().splitlines()) if file.is_file() else 0


def finished(process: subprocess.Popen[str]) -> str:
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    return text


def working_time(process: subprocess.Popen[str], run: Path) -> float:
    """How long an undisturbed process works after it has opened its run folder."""
    while process.poll() is None and not lines(run):
        time.sleep(0.02)
    started = time.monotonic()
    finished(process)
    return time.monotonic() - started


@pytest.mark.slow
def test_ten_kills_change_nothing(command, outcome, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    longer = ("rounds.steps=24",)
    seconds = working_time(command(f"paths.run={whole}", *longer), whole)
    random = generator("kill test", 1)
    kills, stages = 0, set()
    while kills < 10:
        alive = wait_and_kill(command(f"paths.run={broken}", *longer), broken, float(random.uniform(0, seconds / 4)))
        kills += alive
        stages.add((len(list(broken.glob("labels-*"))), len(list(broken.glob("round-*/units/*.npz"))), len(list(broken.glob("round-*/*.ckpt")))))
        if not alive:  # it came to its end: take the last round and the last choice away and go on killing
            shutil.rmtree(broken / "round-02")
            shutil.rmtree(broken / "labels-02")
            shutil.rmtree(broken / "round-01" / "units", ignore_errors=True)
    finished(command(f"paths.run={broken}", *longer))
    assert outcome(broken) == outcome(whole)
    assert len(stages) > 1, f"the kills all met the same stage: {stages}"


@pytest.mark.parametrize(
    "moment",
    [
        "round-00/resume.ckpt",
        pytest.param("round-00/units/00001.npz", marks=pytest.mark.slow),
        pytest.param("round-01/selection.parquet", marks=pytest.mark.slow),
    ],
    ids=["training", "predicting", "selecting"],
)
def test_a_kill_in_each_stage_changes_nothing(command, outcome, tmp_path, moment):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finished(command(f"paths.run={whole}"))
    process = command(f"paths.run={broken}")
    while process.poll() is None and not (broken / moment).exists():
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (broken / "report.html").exists(), "the kill came too late to test anything"
    finished(command(f"paths.run={broken}"))
    assert outcome(broken) == outcome(whole)


@pytest.mark.slow
def test_sigterm_in_a_training_exits_143_and_the_run_goes_on(command, outcome, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    words = ("rounds.n=1", "rounds.steps=60", "trainer.workers=1")
    finished(command(f"paths.run={whole}", *words))
    process = command(f"paths.run={broken}", *words)
    while process.poll() is None and not (broken / "round-00" / "resume.ckpt").exists():
        time.sleep(0.02)
    process.terminate()
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 143 and "Traceback" not in text, text
    assert (broken / "round-00" / "resume.ckpt").exists()
    assert not list(broken.rglob("*.tmp")) and not (broken / "run.lock").exists()
    finished(command(f"paths.run={broken}", *words))
    assert outcome(broken) == outcome(whole)
