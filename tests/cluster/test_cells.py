"""Which runs of a study there are: found by their identity, without preparing or writing anything."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.callbacks import Callbacks
from omegaconf import OmegaConf

from al3d.command import CONF
from al3d.compose import chosen_methods, data_source, identity_of
from al3d.configuration import composing
from al3d.data.prepare import prepare
from al3d.files import write_json
from al3d.report.cells import cells, sweep
from al3d.run import RunFolder, identity_hash
from al3d.sweep import check_each_once


@pytest.fixture
def options(tiny_root: Path, tmp_path: Path) -> list[str]:
    return [
        "dataset=folder",
        f"dataset.root={tiny_root}",
        f"paths.data={tmp_path / 'data'}",
        f"paths.outputs={tmp_path / 'out'}",
        "rounds.n=2",
        "acquire=entropy",
    ]


def pretend(options: list[str], tmp_path: Path, *more: str) -> RunFolder:
    """A run folder with the identity of these options, and nothing in it."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", [*options, *more])
    source = data_source(config)
    seed, method, _ = chosen_methods(config)
    identity = identity_of(config, prepare(source, tmp_path / "data"), {"seed": seed, "acquire": method})
    folder = RunFolder(tmp_path / "out" / f"pretended-{identity_hash(identity)}")
    folder.guard(identity)
    return folder


def test_states_of_a_study(options: list[str], tmp_path: Path) -> None:
    assert [one.state for one in cells([*options, "rng=1"])] == ["new"]
    assert not (tmp_path / "data").exists() and not (tmp_path / "out").exists(), "asking prepares and writes nothing"
    one, two = pretend(options, tmp_path, "rng=1"), pretend(options, tmp_path, "rng=2")
    for index in (0, 1):
        write_json(one.metrics(index), {})
    write_json(two.metrics(1), {})  # not the first: what comes later does not count
    found = cells([*options, "rng=1,2,3"])
    assert [(cell.state, cell.done, cell.folder) for cell in found] == [("started", 2, one.path), ("started", 0, two.path), ("new", 0, None)]
    # A later round makes the report old; more rounds make the run unfinished; threads and logger are not what defines a run.
    (one.path / "report.html").touch()
    os.utime(one.path / "report.html", (1, 1))
    assert [cell.state for cell in cells([*options, "rng=1"])] == ["started"]
    os.utime(one.path / "report.html")
    assert [(cell.state, cell.done, cell.wanted) for cell in cells([*options, "rng=1", "rounds.n=3"])] == [("started", 2, 3)]
    assert [cell.state for cell in cells([*options, "rng=1", "trainer.threads=2", "logger=tensorboard"])] == ["finished"]
    assert [cell.state for cell in cells([*options, "rng=1", "rounds.step=7"])] == ["new"]


def test_what_cannot_run_is_refused_alone_and_lines_can_be_read_by_a_shell(options: list[str]) -> None:
    found = cells([*options, "acquire=random,list", "paths.outputs=my outputs"])
    assert [cell.state for cell in found] == ["new", "refused"]
    assert "acquire.score.file" in found[1].refused
    fields = [cell.line().split("\t") for cell in found]
    assert fields[0][:3] == ["new", "0/2", "-"] and fields[1][:2] == ["refused", "-"] and fields[1][2] == found[1].refused
    for words, method in zip(fields, ("random", "list"), strict=True):
        assert shlex.split(words[3]) == [*options, f"acquire={method}", "paths.outputs=my outputs"]


def test_a_run_that_is_named_twice_is_marked(options: list[str], tmp_path: Path) -> None:
    found = cells([*options, "acquire=random,random,list,list"])  # not prepared: the words tell
    assert [cell.state for cell in found] == ["new", "repeated", "refused", "refused"]
    pretend(options, tmp_path, "rng=1")
    found = cells([*options, "trainer.threads=1,2", "rng=1,2"])  # what is no part of the identity makes no other run
    assert [cell.state for cell in found] == ["started", "new", "repeated", "repeated"]
    assert shlex.split(found[3].line().split("\t")[2]) == list(found[1].words) == [*options, "trainer.threads=1", "rng=2"]
    assert [cell.state for cell in cells([*options, "rng=1", f"paths.run={tmp_path / 'a'},{tmp_path / 'b'}"])] == ["new", "new"]


def test_a_sweep_with_a_run_twice_ends_before_it_begins() -> None:
    """Hydra passes over what a callback raises, so that the process must end."""
    callbacks = Callbacks(OmegaConf.create({"hydra": {"callbacks": {"once": {"_target_": "al3d.sweep.EachRunOnce"}}}}))

    def begin(*words: str) -> None:
        callbacks.on_multirun_start(OmegaConf.create({"hydra": {"overrides": {"task": list(words)}}}))

    begin("net.width=0.5", "acquire=random,redal", "rng=range(1,4)")
    with pytest.raises(SystemExit, match=r"^al3d: the sweep has 2 times the run acquire=random rng=1: give each value once$"):
        begin("net.width=0.5", "acquire=random,redal,random", "rng=1,2")
    check_each_once(["acquire=glob(*)", "rng=1,1"])


def test_wrong_option_is_named() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        cells(["nonsense=1"])
    with pytest.raises(ValueError, match="paths.data=it.* is not an option as Hydra reads it; a value with"):
        cells(["rng=1", "paths.data=it's"])


def test_sweeps_of_an_experiment_are_followed() -> None:
    with composing() as configuration:
        words = sweep(configuration, ["experiment=table/basal_bins", "rng=1,2"])
    assert len(words) == 8 and len(set(words)) == 8
    assert {word for one in words for word in one if word.startswith("row=")} == {"row=basal", "row=basal_6_bins", "row=basal_12_bins", "row=basal_25_bins"}
    assert all("experiment=table/basal_bins" in one for one in words)
