"""What people said before a round was frozen is what that round knows, point by point."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from al3d.data.labels import LabelState
from al3d.people.answers import Answer, Answers, Part
from al3d.people.oracle import PeopleOracle, freeze, frozen_file, labels_of
from al3d.people.queries import points_of, queries_of
from al3d.types import IGNORE

NAMES = ("table", "box", "ball")


def say(run, query, name, who="anna"):
    """A class, None for unsure."""
    kind = "unsure" if name is None else "class"
    Answers(run).record(Answer(who, kind, query.round, query.scene, query.unit, name))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    asked=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=60),
    said=st.dictionaries(st.tuples(st.integers(0, 2), st.integers(0, 3)), st.sampled_from([*NAMES, None, "parts"]), min_size=1),
)
def test_labels_are_those_of_the_query_that_asked_first(asked, said):
    rounds, units = np.array(asked, np.int32).T
    answers = []
    for (index, unit), word in said.items():
        own = np.flatnonzero((rounds == index) & (units == unit))
        if word == "parts" and len(own):
            answers.append(Answer("anna", "parts", index, "s", unit, parts=(Part("ball", (int(own[0]),)),)))
        elif word != "parts":
            answers.append(Answer("anna", "unsure" if word is None else "class", index, "s", unit, word))
    if not answers:
        return
    label, about = labels_of(answers, rounds, units, NAMES)
    given_ = {(answer.round, answer.unit): answer for answer in answers}
    for point, key in enumerate(asked):
        answer = given_.get(key)
        assert about[point] == (answer is not None)
        name = None if answer is None else answer.class_name or next((part.class_name for part in answer.parts if point in part.points), None)
        assert label[point] == (IGNORE if name is None else NAMES.index(name))


def test_a_round_knows_what_was_said_before_it(asked_run, tiny_store):
    labels = LabelState(asked_run, tiny_store)
    first, second, third = queries_of(asked_run, tiny_store, 0)
    say(asked_run, first, "box")
    assert freeze(asked_run, tiny_store, 0, True).startswith("round 0: 1 of 3 answered; label with: al3d annotate")
    assert "only box is named" in freeze(asked_run, tiny_store, 0, False)
    say(asked_run, second, "ball")
    say(asked_run, third, None)
    oracle = PeopleOracle(tiny_store)
    assert oracle.listen(asked_run, 0, True) is None
    content = json.loads(frozen_file(asked_run, 0).read_text())
    assert (content["asked"], content["answered"], content["unsure"]) == (3, 3, 1)
    assert content["purchases"] == [{"class_points": [0, first.points, second.points], "unknown_points": third.points}]
    before = frozen_file(asked_run, 0).read_bytes()
    say(asked_run, first, "table", who="bert")
    assert oracle.listen(asked_run, 0, True) is None and frozen_file(asked_run, 0).read_bytes() == before, "frozen once"
    everything = np.ones(tiny_store.sizes["t_1"], bool)
    label = oracle.heard(asked_run, 0).answer("t_1", everything)
    assert np.flatnonzero(label != IGNORE).tolist() == points_of(second, labels).tolist()
    told = oracle.heard(asked_run, 0).answered("t_1", everything)
    assert np.flatnonzero(told).tolist() == sorted([*points_of(second, labels), *points_of(third, labels)])
    assert (oracle.answer("t_1", everything) == IGNORE).all(), "nothing is known without a run"
    assert "round 1: 0 of 2 answered" in freeze(asked_run, tiny_store, 1, True)
    assert freeze(asked_run, tiny_store, 1, False) is None
    for index, name in ((0, 1), (1, 0)):
        label = oracle.heard(asked_run, index).answer("t_2", np.ones(tiny_store.sizes["t_2"], bool))
        assert set(label[points_of(first, labels)]) == {name}, "a correction counts from the next round on"


def test_an_undone_answer_is_open_again(asked_run, tiny_store):
    for query, name in zip(queries_of(asked_run, tiny_store, 0), ("box", "ball", "box"), strict=True):
        say(asked_run, query, name)
    last = queries_of(asked_run, tiny_store, 0)[-1]
    Answers(asked_run).record(Answer("anna", "undo", 0, last.scene, last.unit))
    assert freeze(asked_run, tiny_store, 0, True).startswith("round 0: 2 of 3 answered")


def test_answers_that_cannot_be(asked_run, tiny_store):
    first, second, third = queries_of(asked_run, tiny_store, 0)
    say(asked_run, first, "box")
    say(asked_run, third, "ball")
    say(asked_run, second, "sofa")
    with pytest.raises(ValueError, match=rf"scene 't_1', unit {second.unit}: anna answered sofa, which is no class \(table, box, ball\): answer it again"):
        freeze(asked_run, tiny_store, 0, True)
    outside = int(np.flatnonzero(~LabelState(asked_run, tiny_store).asked("t_1"))[0])
    Answers(asked_run).record(Answer("anna", "parts", 0, "t_1", second.unit, parts=(Part("box", (outside,)),)))
    with pytest.raises(ValueError, match=rf"labelled 1 points that were not asked, such as point {outside}"):
        freeze(asked_run, tiny_store, 0, True)
    assert not frozen_file(asked_run, 0).exists()


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.sampled_from([*NAMES, None]), min_size=5, max_size=5))
def test_counts_are_those_of_the_labels(asked_run, tiny_store, words):
    queries = [query for index in range(2) for query in queries_of(asked_run, tiny_store, index)]
    for query, word in zip(queries, words, strict=True):
        say(asked_run, query, word)
    frozen_file(asked_run, 1).unlink(missing_ok=True)
    if freeze(asked_run, tiny_store, 1, True) is not None:
        assert len(set(words) - {None}) < 2
        return
    oracle = PeopleOracle(tiny_store).heard(asked_run, 1)
    counts = np.zeros(3, int)
    for name in ("t_1", "t_2", "t_3"):
        label = oracle.answer(name, np.ones(tiny_store.sizes[name], bool))
        counts += np.bincount(label[label != IGNORE], minlength=3)
    purchases = json.loads(frozen_file(asked_run, 1).read_text())["purchases"]
    assert np.sum([one["class_points"] for one in purchases], axis=0).tolist() == counts.tolist()
    assert sum(one["unknown_points"] for one in purchases) == sum(query.points for query in queries) - counts.sum()


def test_a_round_that_nobody_answered_waits_although_any_answer_is_enough(asked_run, tiny_store):
    first, second, third = queries_of(asked_run, tiny_store, 0)
    say(asked_run, first, "box")
    say(asked_run, second, "ball")
    assert freeze(asked_run, tiny_store, 0, False) is None
    assert "round 1: 0 of 2 answered, and nothing else since" in freeze(asked_run, tiny_store, 1, False)
    assert not frozen_file(asked_run, 1).exists()
    say(asked_run, third, "ball")
    assert freeze(asked_run, tiny_store, 1, False) is None


def test_one_region_of_two_classes_is_not_enough(asked_run, tiny_store):
    query = queries_of(asked_run, tiny_store, 0)[0]
    points = points_of(query, LabelState(asked_run, tiny_store)).tolist()
    parts = (Part("box", tuple(points[:3])), Part("ball", tuple(points[3:])))
    Answers(asked_run).record(Answer("anna", "parts", 0, query.scene, query.unit, parts=parts))
    assert "only one region has a class" in freeze(asked_run, tiny_store, 0, False)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"answers": [{"who": "anna"}]}', "sofa", b"\xff\xfe"])
def test_a_damaged_frozen_file_is_named(asked_run, tiny_store, content):
    for query, name in zip(queries_of(asked_run, tiny_store, 0), ("box", "ball", None), strict=True):
        say(asked_run, query, name)
    freeze(asked_run, tiny_store, 0, True)
    file = frozen_file(asked_run, 0)
    whole = file.read_bytes()
    file.write_bytes(content if isinstance(content, bytes) else whole.replace(b"ball", b"sofa") if content == "sofa" else content.encode())
    with pytest.raises(ValueError, match=r"frozen-00.json: does not say what the round was trained on .*put it back from a copy"):
        PeopleOracle(tiny_store).heard(asked_run, 0).answer("t_1", np.ones(tiny_store.sizes["t_1"], bool))
