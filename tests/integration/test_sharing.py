"""Runs that differ in what they choose share their first round, bit for bit; two processes never write one run; a full disk is met with a message."""

import json
import resource
import shutil
import signal
import time

import pytest
import torch

from al3d.compose import study_of
from al3d.files import DiskFull
from al3d.progress import console
from al3d.rounds import run

from .test_kill import finished


@pytest.fixture
def shared(tmp_path):
    return f"paths.shared={tmp_path / 'shared'}"


def tensors(file):
    """A checkpoint's weights, and the averages of its optimisers."""
    content = torch.load(file, map_location="cpu", weights_only=True)
    found = dict(content["state_dict"])
    for index, one in enumerate(content["optimizer_states"]):
        found |= {f"{index} {key} {name}": value for key, part in one["state"].items() for name, value in part.items()}
    return found


def same_bits(one, two):
    one, two = tensors(one), tensors(two)
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_a_taken_first_round_has_the_bits_of_one_that_was_trained(composed, outcome, shared, tmp_path):
    first = ("rounds.initial=2", "eval.select_on=bought_holdout")
    words = ("acquire=random", "rounds.n=2", *first)
    trained = study_of(composed("acquire=entropy", "rounds.n=1", *first, shared))
    run(trained)
    taken = study_of(composed(*words, shared))
    with console.capture() as said:
        run(taken)
    name = trained.folder.path.name
    assert f"round 0: taken from {name}" in said.get()
    alone = study_of(composed(*words, f"paths.run={tmp_path / 'alone'}"))
    run(alone)
    assert outcome(taken.folder.path) == outcome(alone.folder.path)
    assert all(same_bits(taken.folder.weights(index), alone.folder.weights(index)) for index in (0, 1))
    assert same_bits(taken.folder.best(0), alone.folder.best(0))
    assert taken.folder.weights(0).stat().st_ino == trained.folder.weights(0).stat().st_ino
    assert json.loads(taken.folder.shared.read_text())["shared_from"] == name and not alone.folder.shared.exists()
    seconds = [json.loads((study.folder.round(0) / "train.json").read_text())["seconds"] for study in (trained, taken)]
    assert seconds[0] == seconds[1]
    assert list((taken.folder.round(0) / "csv").glob("*/metrics.csv"))  # the loggers have its point of the curve


@pytest.mark.slow
def test_a_run_waits_for_another_one_and_takes_over_when_that_is_killed(command, composed, outcome, shared, tmp_path):
    words = ("rounds.n=2", "trainer.threads=1", shared)
    first, second, alone = tmp_path / "first", tmp_path / "second", tmp_path / "alone"
    dying = command("acquire=entropy", f"paths.run={first}", *words)
    while dying.poll() is None and not (first / "round-00" / "resume.ckpt").exists():
        time.sleep(0.002)
    dying.send_signal(signal.SIGSTOP)  # in the middle of its first round, for as long as it takes
    assert not (first / "round-00" / "last.ckpt").exists()
    waiting = command("acquire=random", f"paths.run={second}", *words)
    while not (line := waiting.stdout.readline()).startswith("waiting for first, process"):
        assert line, "it did not wait"
    assert not (second / "labels-00").exists(), "the first round is trained twice"
    dying.send_signal(signal.SIGKILL)
    dying.communicate()
    finished(waiting)
    assert json.loads((second / "round-00" / "shared.json").read_text())["shared_from"] is None
    for path, method in ((first, "entropy"), (alone, "random")):  # the killed one goes on with what it had
        run(study_of(composed(f"acquire={method}", f"paths.run={path}", *words[:-1], *([shared] if path == first else []))))
    assert outcome(second) == outcome(alone)
    assert outcome(first)["round-00/metrics.json"] == outcome(second)["round-00/metrics.json"]


def test_a_run_that_another_process_writes_is_refused_before_anything_is_written(composed, tmp_path):
    words = ("acquire=random", "rounds.n=1", f"paths.run={tmp_path / 'run'}")
    study = study_of(composed(*words))
    (study.folder.path / "config.yaml").unlink()
    with study.folder.alone(), pytest.raises(ValueError, match=r"run is written by process \d+ on"):
        study_of(composed(*words, "trainer.workers=1"))
    assert not (study.folder.path / "config.yaml").exists()


@pytest.mark.slow
def test_a_training_that_finds_no_space_says_so_and_goes_on_later(composed, outcome, shared, tmp_path):
    study = study_of(composed("acquire=random", "rounds.n=2", shared))
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, usual[1]))
    try:
        with pytest.raises(DiskFull, match=r"no space left for .*round-00/resume\.ckpt.*run the same command again; what was finished is kept"):
            run(study)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert not [path for path in study.folder.path.rglob("*") if path.suffix in (".ckpt", ".tmp", ".lock")] and study.labels.rounds == 1
    assert not list((tmp_path / "shared").glob("*.lock"))
    again = study_of(composed("acquire=random", "rounds.n=2", shared))
    run(again)
    alone = study_of(composed("acquire=random", "rounds.n=2", f"paths.run={tmp_path / 'alone'}"))
    run(alone)
    assert outcome(again.folder.path) == outcome(alone.folder.path)
    shutil.rmtree(tmp_path / "shared")
