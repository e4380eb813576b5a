"""The events of a run: whole lines from several processes, killed writers, and whose answer counts."""

import json
import multiprocessing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.people.answers import Answer, Answers, Part

NAMES, KINDS = st.sampled_from(["anna", "bert"]), st.sampled_from(["class", "unsure", "undo", "shown"])


def said(unit=7, who="anna", kind="class", class_name="ground", scene="room", round_index=0, **more):
    return Answer(who, kind, round_index, scene, unit, class_name if kind == "class" else None, **more)


def test_a_line_is_what_was_agreed(tmp_path):
    answers = Answers(tmp_path)
    answers.record(said(seconds=4.2, time="2026-11-30T20:31:07.123Z"))
    answers.record(said(8, kind="parts", class_name=None, parts=(Part("ground", (1, 2)), Part(None, (5,))), guess_shown=True))
    first, second = (json.loads(line) for line in answers.file.read_text().splitlines())
    assert first == {
        **{"time": "2026-11-30T20:31:07.123Z", "who": "anna", "kind": "class", "round": 0, "scene": "room", "unit": 7, "class": "ground"},
        **{"seconds": 4.2, "guess_shown": False, "source": "page"},
    }
    assert second["parts"] == [{"class": "ground", "points": [1, 2]}, {"class": None, "points": [5]}]
    assert second["time"].endswith("Z") and second["guess_shown"] is True
    assert Answers(tmp_path).history() == answers.history()


@settings(max_examples=100, deadline=None, derandomize=True)
@given(events=st.lists(st.tuples(NAMES, KINDS, st.integers(0, 2), st.sampled_from(["a", "b"])), max_size=14))
def test_the_newest_answer_that_stands_counts(tmp_path_factory, events):
    answers = Answers(tmp_path_factory.mktemp("run"))
    for who, kind, unit, name in events:
        answers.record(said(unit, who, kind, name))
    for unit in range(3):
        own = [event for event in answers.history() if event.unit == unit and event.kind != "shown"]
        last = {who: [event for event in own if event.who == who][-1] for who in {event.who for event in own}}
        standing = [event for event in own if last[event.who] is event and event.kind != "undo"]
        counting = [event for event in standing if event.kind != "unsure"] or standing
        assert answers.current().get((0, "room", unit)) == (counting[-1] if counting else None)
        for who, event in last.items():
            assert answers.of(who).get((0, "room", unit)) == (None if event.kind == "undo" else event)


def test_the_same_unit_of_another_round_is_another_query(tmp_path):
    answers = Answers(tmp_path)
    answers.record(said(round_index=0))
    answers.record(said(round_index=1, class_name="tree"))
    assert {key: answer.class_name for key, answer in answers.current().items()} == {(0, "room", 7): "ground", (1, "room", 7): "tree"}


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_line_without_its_end_never_happened(tmp_path, cut):
    answers = Answers(tmp_path)
    answers.record(said(1))
    whole = answers.file.read_bytes()
    answers.file.write_bytes(whole + whole[:cut])
    assert [event.unit for event in Answers(tmp_path).history()] == [1]
    answers.record(said(2))
    assert [event.unit for event in answers.history()] == [event.unit for event in Answers(tmp_path).history()] == [1, 2]


def test_a_garbled_line_is_named(tmp_path):
    answers = Answers(tmp_path)
    answers.record(said(1))
    answers.file.write_text(answers.file.read_text() + '{"who": "anna"}\n')
    with pytest.raises(ValueError, match=r"events.jsonl: line 2 is no answer \(KeyError: .*\): mend the line"):
        Answers(tmp_path)


def _many(folder, who):
    answers = Answers(folder)
    for unit in range(40):
        answers.record(said(unit, who, scene="room" * 50))


def test_several_processes_write_at_once(tmp_path):
    writers = [multiprocessing.get_context("fork").Process(target=_many, args=(tmp_path, who)) for who in ("anna", "bert", "cleo")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    answers = Answers(tmp_path)
    assert len(answers.history()) == 120
    assert all([event.unit for event in answers.history() if event.who == who] == list(range(40)) for who in ("anna", "bert", "cleo"))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"kind": "maybe", "class_name": None}, "kind 'maybe' is not one of"),
        ({"class_name": None}, "kind class needs a class"),
        ({"parts": (Part("a", (1,)),)}, "no other kind has them"),
        ({"kind": "parts", "class_name": None}, "kind parts needs parts"),
        ({"kind": "parts", "class_name": None, "parts": (Part("a", (1,)), Part("b", (1,)))}, "no point may be in two"),
        ({"kind": "parts", "class_name": None, "parts": (Part("a", ()),)}, "every part needs points"),
        ({"who": ""}, "needs the name"),
    ],
)
def test_what_is_no_answer(wrong, words):
    with pytest.raises(ValueError, match=words):
        Answer(**{"who": "anna", "kind": "class", "round": 0, "scene": "room", "unit": 7, "class_name": "ground", **wrong})


def test_an_edited_file_is_read_anew(tmp_path):
    answers = Answers(tmp_path)
    for unit in range(3):
        answers.record(said(unit))
    lines = answers.file.read_text().splitlines(keepends=True)
    with answers.file.open("a") as file:
        file.write(lines[0] + "nonsense\n")
    for _ in range(2):
        with pytest.raises(ValueError, match="line 5 is no answer"):
            answers.refresh()
    answers.file.write_text(lines[1])
    answers.refresh()
    assert [event.unit for event in answers.history()] == [1]


def test_a_run_that_is_gone_is_not_made_again(tmp_path):
    answers = Answers(tmp_path / "run")
    with pytest.raises(FileNotFoundError, match="the folder of the run is gone, the answer was not kept"):
        answers.record(said())
    assert not (tmp_path / "run").exists()
