"""A finished run is named, and nothing slow is needed for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from al3d.configuration import composed
from al3d.data.prepare import prepare
from al3d.files import write_json
from al3d.identity import chosen_methods, data_source, identity_of
from al3d.main import finished_report, train
from al3d.run import RunFolder, identity_hash


@pytest.fixture
def words(tiny_root: Path, tmp_path: Path) -> list[str]:
    places = (f"dataset.root={tiny_root}", f"paths.data={tmp_path / 'data'}", f"paths.outputs={tmp_path / 'out'}")
    return ["dataset=folder", *places, "rounds.n=2", "acquire=random"]


def report_of(words: list[str]) -> Path | None:
    config = composed(words)
    return finished_report(config, data_source(config))


def finished(words: list[str], tmp_path: Path) -> RunFolder:
    """A run folder that says that both rounds are judged and reported, and nothing else."""
    config = composed(words)
    source = data_source(config)
    seed, method, _ = chosen_methods(config)
    store = prepare(source, tmp_path / "data")
    identity = identity_of(config, store, {"seed": seed, "acquire": method})
    folder = RunFolder(tmp_path / "out" / f"made-{identity_hash(identity)}")
    folder.guard(identity)
    for index in (0, 1):
        write_json(folder.metrics(index), {})
    write_json(folder.path / "report.json", {"full_supervision": None})
    (folder.path / "report.html").touch()
    return folder


def test_a_finished_run_is_found_and_one_that_owes_something_is_not(words: list[str], tmp_path: Path) -> None:
    assert report_of(words) is None and not (tmp_path / "data").exists(), "asking prepares nothing"
    folder = finished(words, tmp_path)
    report = folder.path / "report.html"
    assert report_of(words) == report_of([*words, "trainer.threads=1"]) == report
    assert report_of([*words, f"paths.run={folder.path}"]) == report
    for more in ("rounds.n=3", "rng=2", "logger=wandb", "logger=[csv,tensorboard]"):
        assert report_of([*words, more]) is None, more
    assert report_of([*words, f"paths.run={folder.path}", "rng=2"]) is None, "another run's folder"
    write_json(folder.path / "report.json", {"full_supervision": 0.5})
    assert report_of(words) is None, "what it is compared with is another one now"
    write_json(folder.path / "report.json", {"full_supervision": None})
    os.utime(report, (1, 1))
    assert report_of(words) is None, "the report is older than the last round"


def test_more_gpus_than_there_are_are_refused_before_anything_is_prepared(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(SystemExit, match=r"trainer\.devices=2, but PyTorch finds 1 GPU here: set trainer\.devices=1"):
        train(composed([*words, "trainer.devices=2"]))
    assert not (tmp_path / "data").exists() and not (tmp_path / "out").exists()
