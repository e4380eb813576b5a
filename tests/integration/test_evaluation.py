"""Runs whose checkpoint is chosen, whose steps come in parts, whose optimiser goes on: through the real loop."""

import json

import pytest
import torch

from al3d.compose import study_of
from al3d.report.results import grouped
from al3d.rounds import run, steps

TWO = ("acquire=random", "rounds.n=2")


def metrics(study, index):
    return json.loads(study.folder.metrics(index).read_text())


@pytest.mark.parametrize("select_on", ["val", "bought_holdout"])
def test_the_best_checkpoint_stands_for_the_round_and_the_last_is_reported_too(composed, select_on):
    study = study_of(composed(*TWO, f"eval.select_on={select_on}", "rounds.init=best", "rounds.optimizer=kept", "rounds.initial_per=units", "rounds.initial=3"))
    run(study)
    for index in range(2):
        told = metrics(study, index)
        assert study.folder.best(index).is_file() and study.folder.weights(index).is_file()
        assert told["checkpoint"] == "best" and told["select_on"] == select_on and told["miou"] == told["miou_of"]["best"]
        best = torch.load(study.folder.best(index), weights_only=True)
        state = best["callbacks"]["KeepBest"]
        assert state["step"] == best["global_step"] in (2, 4, 6)
        if select_on == "val":
            assert state["best"] == told["miou"] >= told["miou_of"]["last"], "chosen by exactly what it is judged by: too good, and marked"
    marks = {"val": "selects on the evaluation split", "bought_holdout": "selects on held-out bought labels"}
    assert [name.endswith(marks[select_on]) for name in grouped([study.folder.path])] == [True]
    assert marks[select_on] in (study.folder.path / "report.html").read_text()


def test_held_out_points_are_not_trained_on(composed):
    study = study_of(composed(*TWO, "eval.select_on=bought_holdout", "rounds.initial_per=units", "rounds.initial=4"))
    next(iter(steps(study)))()
    holdout = study.holdout(0)
    data = study.data(labels=study.labels, round_index=0, batches=3, holdout=holdout)
    seen = {data.train_scenes[index] for batch in data.train_dataloader() for index in batch.index}
    assert seen <= set(holdout.trained) and not seen & (set(holdout.held) - set(holdout.trained))
    judged = [batch for batch in data.selection_dataloader()]
    assert sum(int((batch.point_label != 255).sum()) for batch in judged) <= sum(int(holdout.mask(name).sum()) for name in holdout.held)
    assert all((batch.point_label[~torch.from_numpy(holdout.mask(holdout.held[batch.index[0]]))] == 255).all() for batch in judged)


def test_steps_in_parts_train_as_long_and_on_the_same_scenes(composed):
    whole = study_of(composed("acquire=random", "rounds.n=1"))
    parts = study_of(composed("acquire=random", "rounds.n=1", "rounds.accumulate=2"))
    assert whole.folder.path != parts.folder.path
    for study in (whole, parts):
        run(study)
        assert metrics(study, 0)["steps"] == 6
    draws = []
    for study in (whole, parts):
        data = study.data(labels=study.labels, round_index=0, batches=3 * study.plan.accumulate)
        draws.append([one for batch in data.train_dataloader().batch_sampler for one in batch])
    assert draws[0] == draws[1]


def test_an_option_at_its_default_renames_no_run(composed):
    first = study_of(composed("acquire=random"))
    assert study_of(composed("acquire=random", "eval.select_on=none", "rounds.accumulate=1")).folder.path == first.folder.path
    assert study_of(composed("acquire=random", "eval.votes=2")).folder.path != first.folder.path


def test_the_first_round_may_be_longer(composed):
    study = study_of(composed(*TWO, "rounds.first_steps=4", "rounds.steps=2"))
    run(study)
    assert [metrics(study, index)["steps"] for index in range(2)] == [4, 2]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("rounds.init=best",), "rounds.init=best needs a best checkpoint"),
        (("rounds.optimizer=kept", "rounds.init=scratch"), "rounds.optimizer='kept' must be fresh, or kept together with"),
        (("rounds.accumulate=3",), "rounds.accumulate=3 must divide rounds.batch=2"),
        (("eval.select_on=luck",), "eval.select_on='luck'"),
    ],
)
def test_wrong_options_are_refused_before_training(composed, words, says):
    with pytest.raises(ValueError, match=says):
        study_of(composed("acquire=random", *words))


def test_judging_while_training_changes_no_bit_of_the_training(composed):
    plain = study_of(composed("acquire=random", "rounds.n=1"))
    chosen = study_of(composed("acquire=random", "rounds.n=1", "eval.select_on=val"))
    for study in (plain, chosen):
        run(study)
    first, second = (torch.load(study.folder.weights(0), weights_only=True)["state_dict"] for study in (plain, chosen))
    assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
