"""What the documents tell a reader to type works, what they link to exists, and what they list is what there is.

Blocks marked `bash smoke` are run, on a few small rooms; in other `bash` blocks every `al3d train ...` is composed, and every word of `al3d` is read.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import click
import numpy as np
import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from al3d.configuration import check_numbers
from al3d.data.sources.folder import Folder
from al3d.door import parts
from al3d.for_probes import NOT_FOR_PROBES

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
#: What makes a command short: few small rooms, a narrow network, two rounds of two steps, one thread.
SMALL = (
    *("dataset.source.rooms=8", "dataset.source.points=4000", "net.width=0.125"),
    *("rounds.n=2", "rounds.steps=2", "rounds.epochs=null", "trainer.threads=1"),
)
_BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def blocks(document: Path) -> list[tuple[str, str]]:
    """(mark, text) of every fenced block."""
    return [(mark.strip(), text) for mark, text in _BLOCK.findall(document.read_text(encoding="utf-8"))]


def commands(kind: str) -> Iterator[tuple[str, list[str]]]:
    """(document, words) of every command in the blocks of a kind, variables in front and comments left out."""
    for document in DOCUMENTS:
        for mark, text in blocks(document):
            if mark != kind:
                continue
            for line in text.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                while words and re.fullmatch(r"[A-Z_0-9]+=.*", words[0]):
                    words = words[1:]
                if words:
                    yield document.name, words


def entry(words: list[str]) -> str | None:
    """train or prepare, if the command starts one of them."""
    return words[1] if words[0] == "al3d" and words[1:2] in (["train"], ["prepare"]) else None


def command_of(words: list[str]) -> tuple[click.Command | None, list[str]]:
    """The command of al3d that words begin with, and the words that are left for it."""
    name, *rest = words[1:]
    if words[0] != "al3d" or name not in [one for names in parts().values() for one in names]:
        return None, words
    found = import_module(f"al3d.commands.{name}").command
    if not isinstance(found, click.Group):
        return found, rest
    return (found.commands.get(rest[0]), rest[1:]) if rest else (None, rest)


COMPOSED = [pytest.param(words, id=" ".join(words)) for kind in ("bash", "bash smoke") for _, words in commands(kind) if entry(words)]
SMOKE = [words for _, words in commands("bash smoke")]
AL3D = [words for kind in ("bash", "bash smoke") for _, words in commands(kind) if words[0] == "al3d"]
MAKE = [words for kind in ("bash", "bash smoke") for _, words in commands(kind) if words[0] == "make"]


def single(overrides: list[str]) -> Iterator[list[str]]:
    """The overrides of every run of a sweep, one sweep at a time."""
    parsed = OverridesParser.create().parse_overrides(overrides)
    options = [list(one.sweep_string_iterator()) if one.is_sweep_override() else [None] for one in parsed]
    first = [one.input_line if value[0] is None else f"{one.get_key_element()}={value[0]}" for one, value in zip(parsed, options, strict=True)]
    yield [str(line) for line in first]
    for place, values in enumerate(options):
        for value in values[1:]:
            yield [str(line) for line in (*first[:place], f"{parsed[place].get_key_element()}={value}", *first[place + 1 :])]


def check_composes(name: str, overrides: list[str]) -> None:
    with initialize_config_dir(config_dir=str(REPOSITORY / "conf"), version_base="1.3"):
        config = compose(name, overrides=overrides)
    assert OmegaConf.to_container(config, resolve=True, throw_on_missing=True)


def test_documents_hold_commands() -> None:
    assert len(COMPOSED) >= 10 and len(SMOKE) >= 2 and len(MAKE) >= 4


@pytest.mark.parametrize("words", COMPOSED)
def test_command_composes(words: list[str]) -> None:
    name = entry(words)
    assert name
    for overrides in single([word for word in words[2:] if word not in ("-m", "--multirun")]):
        check_composes(name, overrides)
        if name == "train":
            check_numbers(overrides)


def test_wrong_command_does_not_compose() -> None:
    with pytest.raises(Exception, match="nonsense"):
        check_composes("train", ["nonsense=1"])


@pytest.mark.parametrize("words", MAKE, ids=" ".join)
def test_make_target_exists(words: list[str]) -> None:
    known = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {word for word in words[1:] if "=" not in word} <= known


@pytest.mark.parametrize("words", AL3D, ids=" ".join)
def test_command_takes_these_words(words: list[str]) -> None:
    command, rest = command_of(words)
    assert command is not None, f"{' '.join(words)!r} is no command"
    with command.make_context("", rest):
        pass


def test_a_wrong_word_is_not_taken() -> None:
    command, rest = command_of(["al3d", "export", "RUN", "--out", "lists", "--rounds", "0"])
    with pytest.raises(click.NoSuchOption), command.make_context("", rest):
        pass
    assert command_of(["al3d", "exprot", "RUN"])[0] is None and command_of(["al3d", "study", "core"])[0] is None


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_is_known(document: Path) -> None:
    for mark, _ in blocks(document):
        assert mark in ("bash", "bash smoke", "text", "yaml", "python"), f"{document.name}: a block is marked {mark!r}"
    for kind in ("bash", "bash smoke"):
        for name, words in commands(kind):
            assert command_of(words)[0] or words[0] == "make", f"{name}: {' '.join(words)!r} is neither checked nor run"


@pytest.fixture(scope="session")
def shared_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rooms are made and prepared once for all commands of a process."""
    return tmp_path_factory.mktemp("documents")


@pytest.mark.parametrize("words", [pytest.param(words, id=" ".join(words), marks=[pytest.mark.slow] if place else []) for place, words in enumerate(SMOKE)])
def test_command_runs(words: list[str], shared_data: Path) -> None:
    place = [f"paths.data={shared_data / 'data'}", f"paths.outputs={shared_data / 'outputs'}"]
    small = [word for word in SMALL if "net=probe" not in words or not word.startswith(NOT_FOR_PROBES)]
    command = [sys.executable, "-m", "al3d", *words[1:], *small, *place]
    result = subprocess.run(command, cwd=REPOSITORY, env={**os.environ, "WANDB_MODE": "offline"}, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    if entry(words) == "prepare":
        assert list((shared_data / "data").glob("*/manifest.json"))
        return
    report = re.search(r"report: (.*report\.html)", result.stdout.replace("\n", ""))
    assert report, result.stdout[-2000:]
    run = Path(report[1]).parent
    promised = re.findall(r"`([a-z_]+\.(?:html|json|csv|yaml|jsonl))`", _table("What you get").splitlines()[2] + _table("What you get").splitlines()[3])
    assert len(promised) >= 5
    assert not [name for name in promised if not (run / name).is_file()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    text = _BLOCK.sub("", document.read_text(encoding="utf-8"))
    for target in _LINK.findall(text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), f"{document.name} links to {target}, which does not exist"
        assert not anchor or anchor in _anchors(file), f"{document.name} links to {target}, but there is no such heading"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_named_files_exist(document: Path) -> None:
    """Paths such as `tests/test_floors.py` in running text."""
    for path in re.findall(r"`((?:src|tests|conf|docs|benchmarks)/[\w./-]+\.(?:py|md|yaml))`", document.read_text(encoding="utf-8")):
        assert (REPOSITORY / path).is_file(), f"{document.name} names {path}, which does not exist"


@cache
def _anchors(file: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", _BLOCK.sub("", file.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def _table(heading: str) -> str:
    """The first table below a heading of the README."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8").partition(f"## {heading}\n")[2]
    return "\n".join(line for line in text.partition("\n## ")[0].splitlines() if line.startswith("|"))


LISTED = {
    "seeds": "seed",
    "methods": "acquire",
    "units": "unit",
    "networks": "net",
    "probe heads": "head",
    "descriptions": "description",
    "learners": "learner",
    "features": "features",
    "losses": "loss",
    "data sets": "dataset",
    "experiments": "experiment",
}


@pytest.mark.parametrize("row", LISTED)
def test_table_of_what_works_is_complete(row: str) -> None:
    line = next(line for line in _table("What works now, and what does not yet").splitlines() if line.startswith(f"| {row} |"))
    there = {path.stem for path in (REPOSITORY / "conf" / LISTED[row]).glob("*.yaml") if not path.stem.startswith("_")}
    assert set(re.findall(r"`([a-z0-9_]+)`", line)) == there


def test_own_data_example_is_read(tmp_path: Path) -> None:
    text = next(text for mark, text in blocks(REPOSITORY / "README.md") if mark == "yaml")
    (tmp_path / "scenes").mkdir()
    (tmp_path / "dataset.yaml").write_text(text, encoding="utf-8")
    card = yaml.safe_load(text)
    random = np.random.default_rng(1)
    for scene in (*card["splits"]["train"], *card["splits"]["val"]):
        np.savez(tmp_path / "scenes" / f"{scene}.npz", xyz=random.random((500, 3)), label=random.integers(0, 3, 500))
    source = Folder(tmp_path)
    assert source.classes.names == tuple(card["classes"]) and source.scale["voxel"] > 0
    scene, label = source.read(source.scenes("val")[0])
    assert len(scene) == len(label) == 500 and set(np.unique(label)) == {0, 1, 2}


def test_keys_of_dataset_yaml_are_documented() -> None:
    from al3d.data.sources import card

    text = (REPOSITORY / "docs" / "datasets" / "folder.md").read_text(encoding="utf-8")
    assert not [key for key in card._KEYS if f"| `{key}` |" not in text]
