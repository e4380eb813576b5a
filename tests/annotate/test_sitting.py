"""A person's sitting, driven by what keys do: what is shown next, what is recorded, what two people are shown."""

import json
import shutil

import numpy as np
import pytest

from al3d.annotate.command import opened
from al3d.annotate.leases import SILENT
from al3d.annotate.sitting import Sitting
from al3d.people.answers import Answers


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def run(run_folder, tiny_store):
    shared, _ = opened(run_folder, tiny_store)
    shared.clock = Clock()
    return shared


def events(run):
    return [json.loads(line) for line in (run.folder / "answers/events.jsonl").read_text().splitlines()]


def said(run):
    return [(event["kind"], event["scene"], event["unit"]) for event in events(run) if event["kind"] != "shown"]


def shown(sitting):
    return (sitting.shown.query.scene, sitting.shown.query.unit) if sitting.shown else None


def test_queries_come_in_their_order_and_answers_are_recorded(run, tiny_store, tiny_supervoxel):
    anna = Sitting(run, "anna")
    assert shown(anna) == ("t_1", 0)
    assert anna.shown.target.tolist() == np.flatnonzero(tiny_store.unit(tiny_supervoxel, "t_1") == 0).tolist()
    run.clock.now += 4.25
    anna.give(2)
    assert shown(anna) == ("t_1", 3)
    anna.give(None)
    assert shown(anna) == ("t_2", 1)
    first, second = [event for event in events(run) if event["kind"] != "shown"]
    assert (first["class"], first["seconds"], first["who"], first["guess_shown"]) == ("ball", 4.25, "anna", False)
    assert second["kind"] == "unsure" and second["seconds"] == 0


def test_all_are_asked_once_then_nothing_is_shown(run):
    anna = Sitting(run, "anna")
    for _ in range(6):
        anna.give(0)
    assert anna.shown is None and anna.done() == 6 and anna.counts() == {"table": 6}
    anna.give(1)
    anna.cut([])
    assert len(said(run)) == 6


def test_a_class_that_there_is_not(run):
    anna = Sitting(run, "anna")
    for label in (3, -1):
        with pytest.raises(ValueError, match="there is no class"):
            anna.give(label)
    assert said(run) == []


def test_back_takes_ones_own_answers_away_one_by_one(run):
    anna = Sitting(run, "anna")
    anna.back()
    assert "no answer of yours" in anna.words and shown(anna) == ("t_1", 0)
    anna.give(0)
    anna.give(1)
    anna.back()
    assert shown(anna) == ("t_1", 3)
    anna.back()
    assert shown(anna) == ("t_1", 0) and anna.done() == 0
    anna.give(2)
    assert shown(anna) == ("t_1", 3)
    assert Answers(run.folder).current()[0, "t_1", 0].class_name == "ball"


def test_back_reaches_answers_of_an_earlier_sitting(run):
    Sitting(run, "anna").give(0)
    again = Sitting(run, "anna")
    assert shown(again)[1] != 0
    again.back()
    assert shown(again) == ("t_1", 0)


def test_parts_are_labelled_one_after_the_other(run):
    anna = Sitting(run, "anna")
    points = anna.shown.target
    anna.cut([points[:10], points[10:15], points[15:]])
    anna.give(0)
    assert anna.shown.target.tolist() == points[10:15].tolist()
    anna.give(None)
    anna.back()
    anna.give(None)
    anna.cut([points[15:18], points[18:]])  # a part can be cut again
    anna.give(1)
    assert said(run) == []
    anna.give(0)
    (answer,) = [event for event in events(run) if event["kind"] == "parts"]
    by_class = {}
    for part in answer["parts"]:
        by_class.setdefault(part["class"], []).extend(part["points"])
    assert by_class == {"table": [*points[:10], *points[18:]], None: points[10:15].tolist(), "box": points[15:18].tolist()}
    assert shown(anna) == ("t_1", 3)


def test_parts_that_agree_are_one_answer(run):
    anna = Sitting(run, "anna")
    points = anna.shown.target
    for label in (1, None):
        anna.cut([points[:5], points[5:]])
        anna.give(label)
        anna.give(label)
        points = anna.shown.target
    assert [kind for kind, _, _ in said(run)] == ["class", "unsure"]


def test_back_undoes_a_cut_before_it_undoes_an_answer(run):
    anna = Sitting(run, "anna")
    anna.give(0)
    points = anna.shown.target
    anna.cut([points[5:], points[:5]])
    anna.back()
    assert anna.shown.target.tolist() == points.tolist() and anna.done() == 1
    anna.back()
    assert anna.done() == 0


def test_the_guess_is_hidden_until_asked_for_and_that_is_recorded(run):
    run.guesses = {(0, "t_1", 0): 1}
    anna = Sitting(run, "anna")
    assert anna.guess is None
    anna.reveal()
    assert anna.guess == 1
    anna.give(1)
    assert anna.guess is None
    anna.reveal()
    assert "no model" in anna.words
    anna.give(0)
    assert [event["guess_shown"] for event in events(run) if event["kind"] == "class"] == [True, False]


def test_an_answer_is_corrected(run):
    anna = Sitting(run, "anna")
    anna.give(0)
    anna.give(0)
    anna.revisit(0, "t_1", 0)
    anna.give(2)
    assert shown(anna) == ("t_2", 1)
    assert Answers(run.folder).current()[0, "t_1", 0].class_name == "ball" and anna.done() == 2
    with pytest.raises(ValueError, match="does not ask about unit 99 of t_1"):
        anna.revisit(0, "t_1", 99)


def test_two_people_are_shown_different_queries(run):
    anna, ben = Sitting(run, "anna"), Sitting(run, "ben")
    seen = []
    while anna.shown or ben.shown:
        for person in (anna, ben):
            if person.shown:
                assert shown(anna) != shown(ben)
                seen.append(shown(person))
                person.give(0)
    assert len(seen) == len(set(seen)) == 6


def test_a_closed_page_gives_its_query_back(run):
    anna = Sitting(run, "anna")
    ben = Sitting(run, "ben")
    assert shown(ben) == ("t_1", 3)
    anna.close()
    ben.go_on()
    assert shown(ben) == ("t_1", 0)


def test_silence_ends_a_lease_and_a_late_answer_is_kept(run):
    anna, ben = Sitting(run, "anna"), Sitting(run, "ben")
    anna.rest()
    ben.go_on()
    assert shown(ben) == ("t_1", 3)  # anna is still there
    run.clock.now += SILENT + 1
    anna.rest()
    ben.alive()
    ben.go_on()
    assert shown(ben) == ("t_1", 0)
    anna.alive()
    assert "somebody else" in anna.words
    anna.give(1)
    assert ("class", "t_1", 0) in said(run)


def test_a_second_opinion_is_asked_of_somebody_else(run):
    run.second = 1.0
    anna = Sitting(run, "anna")
    for _ in range(6):
        anna.give(0)
    assert anna.shown is None
    ben = Sitting(run, "ben")
    assert len(ben.left()) == 6
    ben.give(1)
    assert len(ben.left()) == 5 and anna.left() == []
    assert Sitting(run, "cleo").left() == ben.left()  # two are enough


def test_the_share_of_second_opinions_is_the_same_for_everybody(run):
    run.second = 0.5
    some = [run.wants_second(query) for query in run.queries]
    run.second = 0.9
    assert all(later or not earlier for earlier, later in zip(some, [run.wants_second(query) for query in run.queries], strict=True))
    run.second = 0.0
    assert not any(run.wants_second(query) for query in run.queries)


def test_pace_leaves_breaks_out(run):
    anna = Sitting(run, "anna")
    assert anna.pace() is None
    for wait in (3, 6, 1000, 6):
        run.clock.now += wait
        anna.give(0)
    assert anna.pace() == pytest.approx(10)


def test_what_is_shown_is_numbered(run):
    anna = Sitting(run, "anna")
    serials = [anna.serial]
    for act in (lambda: anna.give(0), lambda: anna.cut([anna.shown.target[:4], anna.shown.target[4:]]), lambda: anna.give(1), anna.back):
        act()
        serials.append(anna.serial)
    assert serials == sorted(set(serials))


def test_an_answer_that_cannot_be_kept_is_not_taken_for_given(run, monkeypatch):
    anna = Sitting(run, "anna")
    before = shown(anna)

    def full(answer):
        raise OSError(28, "no space left")

    monkeypatch.setattr(anna.answers, "record", full)
    with pytest.raises(OSError, match="no space left"):
        anna.give(0)
    assert shown(anna) == before


@pytest.mark.parametrize("second", [-0.1, 1.5])
def test_a_share_that_is_none(run_folder, tiny_store, second):
    with pytest.raises(ValueError, match="0..1"):
        opened(run_folder, tiny_store, second)


def test_a_run_whose_rounds_are_gone_is_not_taken_for_answered(run):
    anna = Sitting(run, "anna")
    shutil.rmtree(run.folder)
    with pytest.raises(ValueError, match="rounds that were asked are gone"):
        run.refresh()
    with pytest.raises(FileNotFoundError, match="the answer was not kept"):
        anna.give(0)
    assert shown(anna) == ("t_1", 0) and not run.folder.exists()
