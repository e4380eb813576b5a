"""multirun.sh: which runs it starts, what it skips, and what it says of those that failed.

A Python of four lines stands in for the real one; the last test uses the real one.
"""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "multirun.sh"
#: Lists one run a line from LISTED, notes every training in CALLS, and fails those that name FAILS.
STAND_IN = """#!/bin/bash
if [ "$1" = -m ]; then printf '%s\\n' "$*" >>"$ASKED"; cat "$LISTED"; exit; fi
printf '%s\\n' "$*" >>"$CALLS"; echo "output of $*"
[ -z "${FAILS:-}" ] || case "$*" in *$FAILS*) exit 1 ;; esac
"""
Call = Callable[..., tuple[subprocess.CompletedProcess[str], list[str]]]


def line(state: str, method: str, rng: int, extra: str = "") -> str:
    words = shlex.join(["dataset=rooms", "seed=random", f"acquire={method}", f"rng={rng}", *filter(None, [extra])])
    return f"{state}\t0/3\t{'-' if state == 'new' else 'the first' if state == 'repeated' else f'outputs/{method}-{rng}'}\t{words}"


@pytest.fixture
def call(tmp_path: Path) -> Call:
    """Run the script with a listing and options; returns what it printed and the trainings that it started."""
    python = tmp_path / "python"
    python.write_text(STAND_IN)
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "calls").touch()

    def run(listing: list[str], *options: str, fails: str = "", **variables: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        (tmp_path / "listing").write_text("a line of progress\n" + "\n".join(listing) + "\n")
        places = {"LISTED": str(tmp_path / "listing"), "CALLS": str(tmp_path / "calls"), "ASKED": str(tmp_path / "asked"), "LOGS": str(tmp_path / "logs")}
        environment = {**os.environ, "PYTHON": str(python), "FAILS": fails, **places, **variables}
        result = subprocess.run([str(SCRIPT), *options], capture_output=True, text=True, env=environment, timeout=60)
        return result, (tmp_path / "calls").read_text().splitlines()

    return run


def test_finished_runs_are_skipped_and_the_others_started_in_order(call: Call) -> None:
    result, calls = call([line("finished", "random", 1), line("started", "random", 2), line("new", "redal", 1)])
    assert result.returncode == 0, result.stderr
    assert calls == [f"train.py dataset=rooms seed=random acquire={method} rng={rng}" for method, rng in (("random", 2), ("redal", 1))]
    assert "finished: outputs/random-1" in result.stdout and "all 3 runs are finished" in result.stdout


def test_the_study_comes_from_options_and_environment(call: Call, tmp_path: Path) -> None:
    call([line("new", "random", 1)], "--datasets", "rooms,street", "--rngs", "4,5", "--", "net.width=0.5", ACQUIRES="bald", SEEDS="kcenter", RNGS="9")
    assert (tmp_path / "asked").read_text() == "-m al3d study cells dataset=rooms,street seed=kcenter acquire=bald rng=4,5 net.width=0.5\n"


def test_dry_run_prints_what_would_be_run(call: Call) -> None:
    result, calls = call([line("new", "random", 1), line("new", "redal", 1)], "--dry-run")
    assert result.returncode == 0 and calls == []
    assert [text.split(" ", 1)[1] for text in result.stdout.splitlines()] == [
        f"train.py dataset=rooms seed=random acquire={method} rng=1" for method in ("random", "redal")
    ]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_failed_run_stops_no_other_and_is_listed(call: Call, jobs: str, tmp_path: Path) -> None:
    listing = [line("new", method, 1) for method in ("random", "redal", "entropy")]
    result, calls = call(listing, "--jobs", jobs, fails="acquire=redal")
    assert result.returncode == 1
    assert sorted(calls) == sorted(f"train.py dataset=rooms seed=random acquire={method} rng=1" for method in ("random", "redal", "entropy"))
    after = result.stdout.partition("not finished: 1 of 3 runs\n")[2]
    assert after.splitlines()[0].strip() == "dataset=rooms seed=random acquire=redal rng=1"
    if jobs == "2":
        assert {path.name for path in (tmp_path / "logs").iterdir()} == {f"rooms-random-{method}-1.log" for method in ("random", "redal", "entropy")}
        assert "acquire=redal" in (tmp_path / "logs" / "rooms-random-redal-1.log").read_text()


def test_options_reach_the_run_word_by_word(call: Call) -> None:
    _, calls = call([line("new", "random", 1, "dataset.root=/my scans/it's")])
    assert calls == ["train.py dataset=rooms seed=random acquire=random rng=1 dataset.root=/my scans/it's"]


def test_a_launcher_gets_one_sweep_of_what_is_missing(call: Call) -> None:
    listing = [line("finished", "random", 1), line("started", "random", 2), line("new", "redal", 2)]
    result, calls = call(listing, "--launcher", "slurm", "--", "hydra.launcher.mem_gb=8", "net.width=0.5")
    assert calls == ["train.py -m hydra/launcher=slurm dataset=rooms seed=random acquire=random,redal rng=2 hydra.launcher.mem_gb=8 net.width=0.5"]
    assert result.returncode == 1, "the runs are still not finished afterwards"
    assert "started, 0/3 rounds: dataset=rooms seed=random acquire=random rng=2" in result.stdout


def test_a_repeated_run_is_started_once_and_does_not_count(call: Call) -> None:
    result, calls = call([line("new", "random", 1), line("repeated", "random", 1)])
    assert result.returncode == 0 and calls == ["train.py dataset=rooms seed=random acquire=random rng=1"]
    assert "skipped: dataset=rooms seed=random acquire=random rng=1: the same run as the first" in result.stdout
    assert "all 1 runs are finished" in result.stdout


def test_nothing_to_do(call: Call) -> None:
    result, calls = call([line("finished", "random", 1)], "--launcher", "slurm")
    assert result.returncode == 0 and calls == [] and "nothing to do" in result.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--job", "2"), "--job is not an option"),
        (("--jobs", "two"), "whole number"),
        (("--rngs",), "needs a value"),
        (("--jobs", "2", "--launcher", "slurm"), "n_jobs=2"),
    ],
)
def test_wrong_options_are_named(call: Call, options: tuple[str, ...], message: str) -> None:
    result, calls = call([line("new", "random", 1)], *options)
    assert result.returncode == 2 and calls == [] and message in result.stderr


@pytest.mark.slow
def test_a_study_of_two_runs(tmp_path: Path) -> None:
    small = ["dataset.source.rooms=8", "dataset.source.points=4000", "net.width=0.125", "experiment=demo", "rounds.n=2", "rounds.steps=2"]
    small += ["trainer.threads=1", "trainer.workers=0", "prepare.workers=1", f"paths.data={tmp_path / 'data'}", f"paths.outputs={tmp_path / 'outputs'}"]
    command = [str(SCRIPT), "--acquires", "random,list", "--rngs", "1", "--", *small]
    environment = {**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    first, again = (subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600) for _ in range(2))
    assert first.returncode == 1 and "not finished: 1 of 2 runs\n  dataset=rooms seed=random acquire=list rng=1" in first.stdout, first.stdout + first.stderr
    assert "cannot run: dataset=rooms seed=random acquire=list" in first.stdout
    assert len(list((tmp_path / "outputs").glob("rooms-*/report.html"))) == 1
    assert again.returncode == 1 and again.stdout.startswith("finished: "), again.stdout
    assert "round 0: train" not in again.stdout
