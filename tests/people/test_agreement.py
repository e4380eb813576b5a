"""Agreement beyond chance, beside scikit-learn's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from al3d.people.agreement import cohens_kappa, twice_answered
from al3d.people.answers import Answer, Answers

CLASSES = st.sampled_from(["table", "box", "ball"])


@given(st.lists(st.tuples(CLASSES, CLASSES), min_size=1, max_size=30).filter(lambda pairs: len({name for pair in pairs for name in pair}) > 1))
def test_kappa_is_scikit_learns(pairs):
    assert cohens_kappa(pairs) == pytest.approx(cohen_kappa_score(*zip(*pairs, strict=True)))


def test_kappa_of_nothing_and_of_one_class_says_nothing():
    assert cohens_kappa([]) is None
    assert cohens_kappa([("box", "box")] * 5) is None


def test_pairs_are_of_queries_that_both_named(tmp_path):
    answers = Answers(tmp_path)
    for who, unit, name in [("anna", 0, "box"), ("ben", 0, "ball"), ("anna", 1, "box"), ("ben", 2, "box"), ("cleo", 0, "box"), ("ben", 1, None)]:
        answers.record(Answer(who, "class" if name else "unsure", 0, "a", unit, class_name=name))
    assert twice_answered(answers) == [("box", "ball"), ("box", "box"), ("ball", "box")]
    answers.record(Answer("cleo", "undo", 0, "a", 0))
    assert twice_answered(answers) == [("box", "ball")]


def test_files_are_no_second_opinion(tmp_path):
    answers = Answers(tmp_path)
    answers.record(Answer("anna", "class", 0, "a", 0, class_name="box"))
    answers.record(Answer("ben", "class", 0, "a", 0, class_name="ball", source="import:a.ply"))
    assert twice_answered(answers) == []
