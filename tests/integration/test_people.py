"""The loop with people: it stops for answers, goes on from them, and needs no label in any file."""

import json
from typing import ClassVar

import numpy as np
import pytest

from al3d.annotate.training import next_round
from al3d.compose import check_answerable, study_of
from al3d.data.labels import LabelState
from al3d.people.answers import Answer, Answers
from al3d.people.oracle import frozen_file
from al3d.people.queries import points_of, queries_of
from al3d.progress import console
from al3d.report.rounds import read_rounds
from al3d.rounds import run
from al3d.types import IGNORE

from .people import answer_as_they_are, truth_of, without_labels

UNITS = ("unit@seed.unit=supervoxel", "rounds.initial=12", "rounds.initial_per=units", "acquire.budget.per=units", "acquire.budget.amount=8")
LABEL = ("oracle=people", "net=probe", "acquire=margin", "rounds.n=2", *UNITS)


@pytest.fixture(scope="module")
def bare_root(tiny_root, tmp_path_factory):
    """The tiny data set without a label in any file, and without a validation split."""
    return without_labels(tiny_root, tmp_path_factory.mktemp("bare") / "tiny")


@pytest.fixture(scope="module")
def truth(tiny_root):
    return truth_of(tiny_root, tuple(f"t_{number}" for number in range(1, 7)))


@pytest.fixture(scope="module")
def prepared_in(tmp_path_factory):
    """Where the tests of this file share what was prepared."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def labelled_by(composed, bare_root, prepared_in):
    """Compose a run of the data set without labels."""

    def make(*more):
        return study_of(composed(*LABEL, f"dataset.root={bare_root}", f"paths.data={prepared_in}", *more))

    return make


def said(study):
    """What the loop tells a person."""
    with console.capture() as words:
        run(study)
    return words.get()


def test_a_round_waits_for_its_answers(labelled_by, truth):
    study = labelled_by()
    folder = study.folder.path
    assert f"round 0: 0 of 12 answered; label with: al3d annotate {folder}, then run the same command again" in said(study)
    assert not study.folder.weights(0).exists() and not frozen_file(folder, 0).exists()
    answer_as_they_are(folder, study.store, truth, 5)
    assert "round 0: 5 of 12 answered" in said(labelled_by())
    answer_as_they_are(folder, study.store, truth)
    assert "round 1: 0 of 8 answered" in said(labelled_by())
    assert study.folder.weights(0).is_file() and not study.folder.weights(1).exists()
    answer_as_they_are(folder, study.store, truth)
    assert run(labelled_by()).name == "report.html"
    first, second = read_rounds(folder)
    assert (first.labelled_points, first.purchase.units, second.purchase.units) == (sum(q.points for q in queries_of(folder, study.store, 0)), 12, 8)
    assert first.purchase.clicks == 12 and sum(first.purchase.class_points) == first.purchase.points
    assert not first.judged and json.loads(study.folder.metrics(0).read_text())["miou"] is None
    assert "not judged" in (folder / "report.html").read_text()
    assert "round,labelled_points" in (folder / "curve.csv").read_text() and ",nothing,0" in (folder / "curve.csv").read_text()


def test_what_is_answered_is_enough_where_that_is_said(labelled_by, truth):
    study = labelled_by("rounds.n=1")
    folder = study.folder.path
    run(study)
    first = queries_of(folder, study.store, 0)[0]
    Answers(folder).record(Answer("anna", "class", 0, first.scene, first.unit, "table"))
    words = said(labelled_by("rounds.n=1", "rounds.answered=any"))
    assert "1 of 12 answered, but only table is named: training needs a region of each of two classes" in words
    answer_as_they_are(folder, study.store, truth, 8)
    again = labelled_by("rounds.n=1", "rounds.answered=any")
    assert again.folder.path == folder, "how many answers are waited for is no part of what a run is"
    assert run(again).name == "report.html"
    frozen = json.loads(frozen_file(folder, 0).read_text())
    assert (frozen["asked"], frozen["answered"]) == (12, 9)
    left = sum(query.points for query in queries_of(folder, study.store, 0)[9:])
    assert frozen["purchases"][0]["unknown_points"] == left
    heard, labels = study.heard(0), LabelState(folder, study.store)
    for query in queries_of(folder, study.store, 0):
        asked = np.zeros(study.store.sizes[query.scene], bool)
        asked[points_of(query, labels)] = True
        known = heard.answer(query.scene, asked) != IGNORE
        assert np.array_equal(known, asked if query.rank < 9 else np.zeros_like(asked))
        assert np.array_equal(heard.answered(query.scene, asked), known)


def test_rounds_in_the_background_wait_for_answers_of_their_own(labelled_by, truth):
    """What `al3d annotate --train` does: each call trains on what is answered and buys; without a new answer it trains nothing."""
    study = labelled_by("rounds.n=1")
    folder = study.folder.path
    run(study)
    answer_as_they_are(folder, study.store, truth, 8)
    next_round(str(folder))
    assert study.folder.metrics(0).is_file() and study.labels.rounds == 2
    next_round(str(folder))
    assert study.labels.rounds == 2 and not frozen_file(folder, 1).exists()
    answer_as_they_are(folder, study.store, truth)
    next_round(str(folder))
    assert study.folder.metrics(1).is_file() and study.labels.rounds == 3


def test_late_answers_and_corrections_count_from_the_next_round_on(labelled_by, truth, outcome, tmp_path):
    def sitting(folder, *stops):
        """Label round 0, correct an answer of it after it was frozen, and finish."""
        options = (f"paths.run={folder}", *stops)
        study = labelled_by(*options)
        run(study)
        answer_as_they_are(folder, study.store, truth)
        while study.labels.rounds < 2:
            run(labelled_by(*options))
        first = queries_of(folder, study.store, 0)[0]
        Answers(folder).record(Answer("anna", "unsure", 0, first.scene, first.unit, time="2026-01-01T00:00:00.000Z"))
        answer_as_they_are(folder, study.store, truth)
        while not study.folder.metrics(1).is_file():
            run(labelled_by(*options))
        return study, first

    study, first = sitting(tmp_path / "whole")
    labels, name = LabelState(study.folder.path, study.store), first.scene
    asked = labels.asked(name)
    point = points_of(first, labels)[0]
    before, after = (study.oracle.heard(study.folder.path, index).answer(name, asked)[point] for index in range(2))
    assert (before != IGNORE, after) == (True, IGNORE)
    again, _ = sitting(tmp_path / "steps", "rounds.stop_after=step")
    assert outcome(again.folder.path) == outcome(study.folder.path)


def test_some_answers_are_held_to_judge_by(labelled_by, truth):
    more = ("rounds.n=1", "eval.holdout=0.5", "rounds.initial=20")
    study = labelled_by(*more)
    run(study)
    answer_as_they_are(study.folder.path, study.store, truth)
    run(labelled_by(*more))
    (record,) = read_rounds(study.folder.path)
    judge = study.judge(0)
    assert judge is not None and record.judged_on == "held_answers" and record.held == judge.units >= 5
    held = sum(int(judge.mask(name).sum()) for name in judge.held)
    assert sum(map(sum, record.confusion)) == held
    counted = json.loads(study.folder.labelled(0).read_text())
    assert 0 < sum(map(sum, counted.values())) <= record.purchase.points - held
    assert f"judged on {record.held} held answers" in (study.folder.path / "report.html").read_text()


def test_whole_scenes_are_no_question(composed, bare_root, prepared_in):
    with pytest.raises(ValueError, match=r"seed=random asks for whole scenes, which no single click answers: choose regions, unit@seed.unit=supervoxel"):
        study_of(composed("oracle=people", "net=probe", f"dataset.root={bare_root}", f"paths.data={prepared_in}"))


def test_nobody_knows_unlabelled_scans_beforehand(composed, bare_root, prepared_in):
    more = ("net=probe", f"dataset.root={bare_root}", f"paths.data={prepared_in}")
    with pytest.raises(ValueError, match="there are no val scenes: nothing can be judged"):
        study_of(composed(*more))
    with pytest.raises(ValueError, match=r"none of the 6 train scenes .* holds a labelled point: nothing can be bought or learned; oracle=people asks you"):
        study_of(composed(*more, "eval.judge_on=none"))


def test_a_labelled_validation_split_judges(labelled_by, tiny_root, truth, tmp_path):
    root = without_labels(tiny_root, tmp_path / "with_val", val=True)
    more = ("rounds.n=1", f"dataset.root={root}", f"paths.data={tmp_path / 'data'}")
    study = labelled_by(*more)
    run(study)
    answer_as_they_are(study.folder.path, study.store, truth)
    run(labelled_by(*more))
    (record,) = read_rounds(study.folder.path)
    assert record.judged_on == "val" and "judged_on" not in json.loads(study.folder.metrics(0).read_text())
    assert sum(map(sum, record.confusion)) == sum(study.store.sizes[name] for name in ("v_1", "v_2"))


def test_no_budget_is_spent_where_nobody_can_answer():
    class Prepared:
        splits: ClassVar = {"train": ("a", "b", "c"), "val": ()}

        def labelled(self, name):
            return {"a": 5, "b": 0, "c": 0}[name]

    with pytest.raises(ValueError, match=r"2 of the 3 train scenes hold no labelled point \('b', 'c'\): .* budget would be spent on them: take them out"):
        check_answerable(Prepared())
