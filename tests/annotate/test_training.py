"""When a round is trained beside the page, and what the page says of it, without a training."""

import json

import pytest

from al3d.annotate.command import opened
from al3d.annotate.page import Page
from al3d.annotate.training import Training, judged_words
from al3d.people.answers import Answer, Answers
from al3d.people.oracle import frozen_file


class Trained:
    """A process that ends when it is told to."""

    def __init__(self):
        self.status, self.ended = None, False

    def poll(self):
        return self.status

    def terminate(self):
        self.ended = True

    def wait(self):
        return 0


@pytest.fixture
def training(run_folder, tiny_store):
    shared, scenery = opened(run_folder, tiny_store)
    started = []

    def start(run, data):
        started.append(Trained())
        return started[-1]

    training = Training(shared, 3, start=start)
    training.started, training.page = started, Page(shared, scenery, "anna")
    return training


def answer(training, number):
    for query in training.run.queries[len(training.answers.current()) :][:number]:
        Answers(training.run.folder).record(Answer("anna", "class", query.round, query.scene, query.unit, "box"))
    training.answers.refresh()


def learned(training, answers, **metrics):
    folder = training.run.folder / "round-00"
    folder.mkdir()
    frozen_file(training.run.folder, 0).write_text(json.dumps({"answered": answers}))
    (folder / "metrics.json").write_text(json.dumps({"miou": 0.71, **metrics}))


def test_a_round_begins_after_so_many_answers_and_ends_in_words(training):
    training.tick()
    answer(training, 2)
    training.tick()
    assert not training.started and training.page.state()["model"] == ""
    answer(training, 1)
    training.tick()
    answer(training, 3)
    training.tick()
    assert len(training.started) == 1, "one at a time"
    assert training.page.state()["model"] == "learning from 3 answers ..."
    learned(training, 3, judged_on="held_answers", held=4)
    training.started[0].status = 0
    training.tick()
    assert len(training.started) == 2, "three more were given meanwhile"
    training.started[1].status = 0
    training.tick()
    training.tick()
    assert len(training.started) == 2 and training.page.state()["model"] == "model of 3 answers: mIoU 71% on 4 held answers"


def test_a_failure_is_said_and_not_tried_at_once(training):
    answer(training, 3)
    training.tick()
    training.started[0].status = 1
    training.tick()
    training.tick()
    assert len(training.started) == 1 and "training failed" in training.page.state()["model"]
    assert "training.log" in training.page.state()["model"]
    answer(training, 3)
    training.tick()
    assert len(training.started) == 2
    training.stop()
    assert training.started[1].ended


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ({}, "model of 5 answers: mIoU 71% on labelled scans"),
        ({"judged_on": "nothing", "miou": None}, "model of 5 answers, not judged"),
        ({"judged_on": "held_answers", "held": 6, "miou": None}, "model of 5 answers, not judged"),
    ],
)
def test_what_the_page_says_of_a_model(training, metrics, words):
    (training.run.folder / "answers").mkdir(exist_ok=True)
    learned(training, 5, **metrics)
    assert judged_words(training.run.folder) == words
