"""Choices outside of the repository."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from al3d.command import CONF, choices
from al3d.configuration import check_numbers, composed, composing, meant


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder with a method of one's own, in a place with a difficult name."""
    folder = tmp_path / "it's mine, [a] folder"
    (folder / "acquire").mkdir(parents=True)
    text = (CONF / "acquire" / "entropy.yaml").read_text(encoding="utf-8")
    (folder / "acquire" / "my_method.yaml").write_text(text.replace("name: entropy", "name: my_method"), encoding="utf-8")
    return folder


def test_a_method_of_one_s_own_is_composed(mine: Path) -> None:
    assert composed(["acquire=my_method"], mine).acquire.name == "my_method"
    assert composed(["acquire=entropy"], mine) == composed(["acquire=entropy"])
    with pytest.raises(ValueError, match="Could not find 'acquire/my_method'"):
        composed(["acquire=my_method"])
    with composing(mine) as configuration:
        assert [configuration([f"acquire={name}"]).acquire.name for name in ("my_method", "random")] == ["my_method", "random"]


def test_choices_are_listed_by_name(mine: Path) -> None:
    names = [file.stem for file in choices("acquire", mine)]
    assert names == sorted([*(file.stem for file in choices("acquire")), "my_method"])
    assert not [name for name in names if name.startswith("_")]


def test_what_does_not_exist_is_named() -> None:
    for words in (["nonsense=1"], ["acquire=redall"]):
        with pytest.raises(ValueError, match="nonsense|redall"):
            composed(words)


@pytest.mark.parametrize("word", ["rounds.batch=abc", "rounds.step=5%", "rng=abc", "trainer.workers='2 cores'", "learner.optimizer.lr=fast"])
def test_text_where_a_number_belongs_is_named(word: str) -> None:
    key, _, value = word.partition("=")
    with pytest.raises(ValueError, match=re.escape(f"{key}={value.strip(chr(39))!r}: give a number")):
        check_numbers(["acquire=random", word])


def test_numbers_and_words_that_are_meant_pass() -> None:
    check_numbers(["rounds.steps=auto", "rounds.base=raw", "paths.data=here", "trainer.devices=auto", "rounds.step=5", "unit@acquire.unit=point"])


def test_a_similar_option_is_proposed() -> None:
    assert meant(["rounds.stepp=3", "rng=1,2", "rounds.n=2"]) == "\ndid you mean rounds.step instead of rounds.stepp?"
    assert meant(["acquire=random", "rounds.n=2", "trainer.threads=null", "+anything.else=1"]) == ""
