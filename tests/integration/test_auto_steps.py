"""Rounds that find their own length: they stop when held-out labels say so, keep the best network, and a kill changes no bit of that."""

import json
import signal
import time

import pytest
import torch

from al3d.compose import study_of
from al3d.rounds import run

AUTO = (
    "dataset.scale.voxel=0.1",
    "net.width=0.0625",
    "unit@seed.unit=voxel",
    "acquire=random",
    "unit@acquire.unit=voxel",
    "rounds.initial=20",
    "rounds.initial_per=percent",
    "rounds.n=1",
    "rounds.steps=auto",
    "rounds.held_units=5",
    "rounds.patience=1",
    "rounds.cap=40",
    "rounds.fixed=6",
    "rounds.checkpoint_every=2",
)


def trained(study, index=0):
    return json.loads((study.folder.round(index) / "train.json").read_text())


def test_a_round_stops_when_held_out_labels_stop_improving(composed, monkeypatch):
    """Judged 0.5, 0.6, 0.4: the second network is the round's, and the third judgement is the last."""
    scores, kept = iter([0.5, 0.6, 0.4]), []
    monkeypatch.setattr("al3d.learn.evaluation.KeepBest._judge", lambda self, trainer, module: kept.append(clone(module)) or next(scores))
    study = study_of(composed(*AUTO))
    run(study)
    assert trained(study)["steps"] == 6 and len(kept) == 3
    state = torch.load(study.folder.weights(0), weights_only=True)["state_dict"]
    assert all(torch.equal(state[name], kept[1][name]) for name in state)
    assert not study.folder.best(0).exists() and not study.folder.resume(0).exists()


def clone(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_patience_counts_from_the_best_and_the_cap_ends_everything(composed, monkeypatch):
    monkeypatch.setattr("al3d.learn.evaluation.KeepBest._judge", lambda self, trainer, module: trainer.global_step / 100)
    study = study_of(composed(*AUTO, "rounds.cap=8"))
    run(study)
    assert trained(study)["steps"] == 8


def test_too_few_held_out_units_say_nothing_and_cost_nothing(composed):
    study = study_of(composed(*AUTO, "rounds.held_units=100000"))
    assert study.holdout(0) is None if study.labels.rounds else True
    run(study)
    assert trained(study)["steps"] == 6 and study.holdout(0) is None
    labelled = json.loads(study.folder.labelled(0).read_text())
    assert sum(map(sum, labelled.values())) > 0


def test_what_is_held_out_is_not_trained_on(composed):
    study = study_of(composed(*AUTO))
    run(study)
    holdout = study.holdout(0)
    assert holdout is not None and holdout.units >= 5
    data = study.data(labels=study.labels, round_index=0, batches=1, holdout=holdout)
    everything = study.data(labels=study.labels, round_index=0, batches=1)
    assert 0 < data.training.class_voxels(True).sum() < everything.training.class_voxels(True).sum()


@pytest.mark.slow
def test_a_kill_changes_nothing(command, outcome, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    words = (*AUTO, "rounds.patience=3", "rounds.n=2")
    text, _ = command(f"paths.run={whole}", *words).communicate(timeout=600)
    assert (whole / "report.html").is_file(), text
    for moment in ("round-00/resume.ckpt", "round-01/resume.ckpt"):
        process = command(f"paths.run={broken}", *words)
        while process.poll() is None and not (broken / moment).exists():
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    text, _ = command(f"paths.run={broken}", *words).communicate(timeout=600)
    assert (broken / "report.html").is_file(), text
    assert outcome(broken) == outcome(whole)


def test_the_evaluation_split_cannot_end_a_training(composed):
    with pytest.raises(ValueError, match="rounds.steps=auto trains until bought labels say"):
        study_of(composed(*AUTO, "eval.select_on=val"))


@pytest.mark.parametrize(
    ("words", "says"),
    [(("rounds.steps=often",), "rounds.steps='often'"), (("rounds.epochs=3",), "rounds.steps=null rounds.epochs=3"), (("rounds.cap=0",), "cap=0")],
)
def test_wrong_options_are_named(composed, words, says):
    with pytest.raises(ValueError, match=says):
        study_of(composed(*AUTO, *words))
