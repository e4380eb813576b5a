"""Choices outside of the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from al3d.command import CONF, choices
from al3d.configuration import composed, composing


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
