"""The register of disagreements: complete, cited correctly, and every switch in it is one that the configuration has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

REPOSITORY = Path(__file__).resolve().parents[2]
REGISTER = REPOSITORY / "docs" / "fidelity.md"
IDS = [f"D-{number:02d}" for number in range(1, 64)]
STATES = ("built", "not yet", "note")


class Entry(NamedTuple):
    id: str
    topic: str
    one_side: str
    other_side: str
    choice: str
    switch: str
    state: str


def entries() -> list[Entry]:
    rows = [line for line in REGISTER.read_text(encoding="utf-8").splitlines() if line.startswith("| D-")]
    cells = [[cell.strip() for cell in row.strip().strip("|").split("|")] for row in rows]
    wrong = [row[0] for row in cells if len(row) != len(Entry._fields)]
    assert not wrong, f"rows with another number of cells: {wrong}"
    return [Entry(*row) for row in cells]


ENTRIES = entries()
SWITCHES = [(entry.id, switch) for entry in ENTRIES for switch in re.findall(r"`([^`]+)`", entry.switch)]


def cited() -> dict[str, set[str]]:
    """Which numbers are cited, and in which files."""
    files = [path for folder, ending in (("src", "py"), ("conf", "yaml")) for path in sorted((REPOSITORY / folder).rglob(f"*.{ending}"))]
    found: dict[str, set[str]] = {}
    for path in files:
        for number in re.findall(r"\bD-\d\d\b", path.read_text(encoding="utf-8")):
            found.setdefault(number, set()).add(path.relative_to(REPOSITORY).as_posix())
    return found


def test_every_number_is_there_once_and_in_order() -> None:
    assert [entry.id for entry in ENTRIES] == IDS


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_entry_is_complete(entry: Entry) -> None:
    assert all(entry), f"{entry.id} has an empty cell"
    assert entry.state in STATES
    assert entry.switch == "none" or re.fullmatch(r"`[^`]+`", entry.switch), "a switch is `key=value ...` or none"
    assert entry.state == "built" or entry.switch == "none", "only what is built can be switched"


def test_cited_numbers_are_registered_and_built() -> None:
    state = {entry.id: entry.state for entry in ENTRIES}
    places = cited()
    assert len(places) >= 10
    for number, files in places.items():
        assert number in state, f"{number} in {', '.join(sorted(files))} is not in the register"
        assert state[number] == "built", f"{number} is {state[number]!r} in the register, but {', '.join(sorted(files))} cites it"


@pytest.mark.parametrize(("number", "switch"), SWITCHES)
def test_switch_works(number: str, switch: str) -> None:
    with initialize_config_dir(config_dir=str(REPOSITORY / "conf"), version_base="1.3"):
        config = compose("train", overrides=switch.split())
    assert instantiate(config.acquire, _convert_="all").name == config.acquire.name


@pytest.mark.parametrize(
    ("choice", "keys"),
    [("default", set()), ("paper", {"dataset.redal.entropy", "dataset.redal.colour_clip"}), ("code", {"dataset.voxel_label", "dataset.reduce"})],
)
def test_one_word_chooses_a_side(choice: str, keys: set[str]) -> None:
    with initialize_config_dir(config_dir=str(REPOSITORY / "conf"), version_base="1.3"):
        usual, chosen = compose("train"), compose("train", overrides=[f"fidelity={choice}"])
    different = {f"dataset.{key}" for key in usual.dataset if usual.dataset[key] != chosen.dataset[key] and key != "redal"}
    different |= {f"dataset.redal.{key}" for key in usual.dataset.redal if usual.dataset.redal[key] != chosen.dataset.redal[key]}
    assert different == keys
