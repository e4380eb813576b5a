"""A sweep on a real SLURM: one job is pre-empted, one is killed, the command is repeated, and nothing is different from an undisturbed sweep.

Run by hand: make test-slurm. A one-node cluster is brought up for it, in a container where that is possible.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from al3d.launchers import launcher_class

ROOT = Path(__file__).resolve().parents[2]
RNGS = (1, 2, 3, 4)
#: Long enough that a run can be met while it trains.
SMALL = (
    *("experiment=demo", "dataset.source.rooms=8", "dataset.source.points=4000", "net.width=0.125", "acquire=entropy"),
    *("rounds.n=3", "rounds.steps=20", "rounds.checkpoint_every=2", "trainer.threads=1", "trainer.workers=0", "prepare.workers=1"),
)
LAUNCHER = ("hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=2", "hydra.launcher.timeout_min=60")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The one-node cluster; it goes when the tests are over, unless it was there before."""
    try:
        launcher_class("slurm")
    except ValueError as error:
        pytest.skip(str(error))
    folder = Path(os.environ.get("AL3D_SLURM", "/tmp/al3d-slurm"))
    result = subprocess.run([ROOT / "tests/cluster/one_node.sh", "up", folder], capture_output=True, text=True, timeout=300)
    if result.returncode:
        pytest.skip(f"no SLURM: {result.stdout.strip()} {result.stderr.strip()}")
    if (os.cpu_count() or 1) < 2:
        pytest.skip("two jobs must run at once: this needs two cores")
    yield
    subprocess.run([ROOT / "tests/cluster/one_node.sh", "down", folder], check=True, timeout=60)


def sweep(folder: Path, *more: str) -> subprocess.Popen[str]:
    """Start the sweep of four runs; what it prints is kept beside its outputs."""
    folder.mkdir(exist_ok=True)
    words = [sys.executable, str(ROOT / "train.py"), "-m", *LAUNCHER, *SMALL, f"rng={','.join(map(str, RNGS))}"]
    words += [f"paths.data={folder.parent / 'data'}", f"paths.outputs={folder}", *more]
    with (folder / "sweep.log").open("a") as log:
        return subprocess.Popen(words, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=log, stderr=subprocess.STDOUT, text=True)


def run_of(folder: Path, rng: int) -> Path | None:
    return next(folder.glob(f"*-rng{rng}-*"), None)


def starts(folder: Path, rng: int) -> list[dict[str, object]]:
    """How often a run was started, with the process of each start; a lock that was taken over is no start."""
    run = run_of(folder, rng)
    file = run / "execution.jsonl" if run else None
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file and file.is_file() else []
    return [line for line in lines if "devices" in line]


def until(what: str, true: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 1200) -> None:
    limit = time.monotonic() + seconds
    while not true():
        assert process.poll() is None, f"the sweep ended before {what}"
        assert time.monotonic() < limit, f"{what} did not happen within {seconds:.0f} s"
        time.sleep(0.1)


def trains(folder: Path, rng: int) -> bool:
    """Whether the run has a place from which its training goes on."""
    run = run_of(folder, rng)
    return bool(run and list(run.glob("round-*/resume.ckpt")) and not (run / "report.html").exists())


def job_of(folder: Path, rng: int) -> str:
    """The SLURM job of a run: job k of the array is run k of the sweep."""
    submitted = sorted((folder / "sweeps" / ".submitit").glob(f"*_{RNGS.index(rng)}"), key=lambda path: path.stat().st_mtime)
    return submitted[-1].name


def states(job: str) -> str:
    return subprocess.run(["sacct", "-n", "-X", "-D", "-j", job, "-o", "State%20"], capture_output=True, text=True, check=True).stdout


def outcome(folder: Path) -> dict[str, object]:
    """What the runs decided and measured: label files byte by byte, and every round's metrics without times."""
    found: dict[str, object] = {}
    for rng in RNGS:
        run = run_of(folder, rng)
        assert run is not None and (run / "report.html").is_file(), f"run {rng} is not finished"
        for file in sorted(run.glob("labels-*/*.npy")):
            found[f"{run.name}/{file.relative_to(run)}"] = file.read_bytes()
        for file in sorted(run.glob("round-*/metrics.json")):
            metrics = json.loads(file.read_text())
            del metrics["seconds"]
            found[f"{run.name}/{file.relative_to(run)}"] = metrics
    return found


@pytest.mark.slurm
def test_a_disturbed_sweep_ends_like_an_undisturbed_one(cluster: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clock = [time.monotonic()]
    calm, rough = tmp_path / "calm", tmp_path / "rough"
    process = sweep(calm)
    assert process.wait(1800) == 0, (calm / "sweep.log").read_text()[-3000:]
    clock.append(time.monotonic())

    process = sweep(rough)
    until("run 1 trained", lambda: trains(rough, 1), process)
    until("run 2 trained", lambda: trains(rough, 2), process)
    # A job of a higher partition needs a core: SLURM takes it from one of the two that run, the youngest.
    subprocess.run(["sbatch", "-p", "high", "-c", "1", "--mem", "1G", "-o", "/dev/null", "--wrap", "sleep 5"], check=True, capture_output=True)
    both = (job_of(rough, 1), job_of(rough, 2))
    until("a job was pre-empted", lambda: any("PREEMPTED" in states(job) or "REQUEUED" in states(job) for job in both), process)
    preempted = next(rng for rng, job in zip((1, 2), both, strict=True) if "PREEMPTED" in states(job) or "REQUEUED" in states(job))
    until("run 3 trained", lambda: trains(rough, 3), process)
    killed = int(str(starts(rough, 3)[-1]["process"]))
    os.kill(killed, signal.SIGKILL)
    until("the killed job was seen to fail", lambda: "FAILED" in states(job_of(rough, 3)), process)
    until("the pre-empted run was started again", lambda: len(starts(rough, preempted)) == 2, process)
    assert process.wait(1800) != 0, "a sweep with a killed run must say so"
    while subprocess.run(["squeue", "-h"], capture_output=True, text=True, check=True).stdout.strip():
        time.sleep(1)
    finished = [rng for rng in RNGS if (run_of(rough, rng) or rough).joinpath("report.html").is_file()]
    assert finished == [1, 2, 4], "the others must not stop for the one that was killed"
    assert [len(starts(rough, rng)) for rng in RNGS] == [2 if rng == preempted else 1 for rng in RNGS]
    clock.append(time.monotonic())

    trained = {path: path.stat().st_mtime_ns for rng in finished for path in (run_of(rough, rng) or rough).glob("round-*/last.ckpt")}
    process = sweep(rough)
    assert process.wait(1800) == 0, (rough / "sweep.log").read_text()[-3000:]
    assert {path: path.stat().st_mtime_ns for path in trained} == trained and len(trained) == 9, "finished runs are not trained again"
    assert len(starts(rough, 3)) == 2
    clock.append(time.monotonic())

    first, second = outcome(calm), outcome(rough)
    assert len(first) >= len(RNGS) * 6
    assert first.keys() == second.keys()
    assert not [name for name in first if first[name] != second[name]]
    with capsys.disabled():
        version = subprocess.run(["sbatch", "--version"], capture_output=True, text=True, check=True).stdout.strip()
        calmly, roughly, again = (after - before for before, after in zip(clock, clock[1:], strict=False))
        sys.stdout.write(
            f"\n{version}: four runs undisturbed {calmly:.0f} s; with run {preempted} pre-empted and run 3 killed {roughly:.0f} s; "
            f"the same command again {again:.0f} s; {len(first)} files compared\n"
        )
    shutil.rmtree(tmp_path)
