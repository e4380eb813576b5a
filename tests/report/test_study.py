"""Studies: their cells, what is left of them, and how they are run."""

from __future__ import annotations

import io
import json
import sys
import threading
from pathlib import Path

import click
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from al3d.commands.study import command
from al3d.progress import console
from al3d.report import study as studies
from al3d.report.study import FULL, Study, part, plan, rates, read_study, run, run_study, train_cell, trainings_left

CONF = Path(__file__).resolve().parents[2] / "conf"
SMALL = Study(
    name="small",
    words=("experiment=study",),
    datasets={"here": ("dataset=rooms",), "there": ("dataset=folder", "dataset.root={osd}")},
    seeds=("random", "seedal"),
    methods=("random", "entropy"),
    rng=(1, 2),
    full=(1,),
    seconds={"here": 36.0, "there": 72.0},
)
PLACES = {"osd": "/data/osd"}


def finish(cell, rounds, report=True, shared=False, seconds=10.0):
    """The files of a run that got so far."""
    for index in range(rounds):
        folder, labels = cell.folder / f"round-{index:02d}", cell.folder / f"labels-{index:02d}"
        folder.mkdir(parents=True)
        labels.mkdir()
        bought = {"round": index, "name": "x", "unit": "u", "points": 1, "units": 1, "scenes": 1, "clicks": 1, "class_points": [1], "unknown_points": 0}
        bought |= {"spent_points": index + 1, "base_points": 10, "pool_class_points": None, "seconds": 0.0}
        (labels / "purchase.json").write_text(json.dumps(bought))
        judged = {"round": index, "labelled_points": 1, "labelled_percent": 10.0, "miou": 0.5, "iou": [0.5], "accuracy": 0.5, "confusion": [[1]], "steps": 1}
        judged |= {"loss": 0.1, "seconds": {"train": seconds, "test": 0.0, "predict": None}}
        (folder / "metrics.json").write_text(json.dumps(judged))
        if index == 0:
            (folder / "shared.json").write_text(json.dumps({"shared_from": "another" if shared else None, "key": "k", "copying": False}))
    if report:
        (cell.folder / "report.html").write_text("")


def composed(words):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", overrides=list(words))


def test_cells_are_every_combination_once_and_neighbours_share_nothing(tmp_path):
    cells = SMALL.cells(tmp_path, PLACES)
    assert len({cell.folder for cell in cells}) == len(cells) == 2 * 2 * 2 * 2 + 2
    assert sum(cell.method == FULL for cell in cells) == 2 and all("rounds.n=1" in cell.words for cell in cells if cell.method == FULL)
    assert all(one.first != other.first for one, other in zip(cells, cells[1:], strict=False))
    half = cells[: len(cells) // 2 + 1]
    assert {cell.rng for cell in half} == {1}, "a part that was stopped holds whole random seeds"
    assert cells[1].words[:3] == ("experiment=study", "dataset=folder", "dataset.root=/data/osd") and f"paths.run={cells[1].folder}" in cells[1].words
    assert {cell.dataset for cell in SMALL.cells(tmp_path, {})} == {"here"} and SMALL.missing("there", {}) == "osd"


def test_first_rounds_are_trained_once(tmp_path):
    cells = [cell for cell in SMALL.cells(tmp_path, {}) if cell.method != FULL and cell.rng == 1]
    assert trainings_left(SMALL, cells) == 2 + 4 * 2
    finish(cells[0], 3)
    finish(cells[1], 1, report=False)
    assert trainings_left(SMALL, cells) == 0 + 2 + 2 * 2
    full = [cell for cell in SMALL.cells(tmp_path, {}) if cell.method == FULL]
    assert trainings_left(SMALL, full) == 1


def test_hours_follow_measured_rounds_without_shared_ones(tmp_path):
    cells = SMALL.cells(tmp_path, PLACES)
    assert rates(SMALL, cells) == {"here": (36.0, 0), "there": (72.0, 0)}
    mine = [cell for cell in cells if cell.dataset == "here"]
    finish(mine[0], 3, seconds=30.0)
    finish(mine[2], 2, report=False, shared=True, seconds=60.0)
    assert rates(SMALL, cells)["here"] == (pytest.approx((3 * 30 + 60) / 4), 4)
    text = plan(SMALL, cells, 2, PLACES)
    here, there = text.splitlines()[2:4]
    left = trainings_left(SMALL, mine)
    assert here.split(" | ")[1:] == ["9", "1", str(left), "38 (4 rounds measured)", f"{left * 37.5 / 3600:.1f} |"]
    assert "72 (not measured yet)" in there and "give --osd /path/to/osd" in plan(SMALL, cells, 2, {})


def test_a_study_runs_what_is_not_done_and_goes_on_after_a_failure(tmp_path):
    cells = [cell for cell in SMALL.cells(tmp_path, {}) if cell.rng == 1]
    finish(cells[0], 3)
    seen, most, active, lock = [], [0], [0], threading.Lock()

    def train(cell):
        with lock:
            seen.append(cell)
            active[0] += 1
            most[0] = max(most[0], active[0])
        threading.Event().wait(0.05)
        with lock:
            active[0] -= 1
        if cell is cells[2]:
            return 1
        finish(cell, 3)
        return 0

    assert run(SMALL, cells, 2, None, train) == [cells[2]]
    assert seen[0] in cells[1:3] and set(map(id, seen)) == set(map(id, cells[1:])) and most[0] == 2
    seen.clear()
    assert run(SMALL, cells, 1, None, train) == [cells[2]] and seen == [cells[2]]
    assert run(SMALL, cells, 1, 0.0, train) == [] and len(seen) == 1, "no time, no cell"


def test_a_cell_is_a_process_with_a_log(tmp_path):
    script = tmp_path / "train.py"
    script.write_text("import sys; print(sys.argv[1:]); sys.exit(3)")
    cell = SMALL.cells(tmp_path / "out", {})[0]
    assert train_cell((sys.executable, str(script)), cell) == 3
    text = cell.folder.with_name(f"{cell.folder.name}.log").read_text()
    assert "seed=random" in text.splitlines()[0] and text.splitlines()[1] == repr(list(cell.words))


def test_a_part_of_a_study(tmp_path):
    cells, everything = SMALL.cells(tmp_path, {}), {"datasets": "all", "seeds": "all", "methods": "all", "rng": "all"}
    assert part(cells, everything) == cells
    chosen = part(cells, everything | {"seeds": "random", "methods": "entropy", "rng": "2"})
    assert [(cell.seed, cell.method, cell.rng) for cell in chosen] == [("random", "entropy", 2)]
    with pytest.raises(ValueError, match="--rng 3: no cell has 3; there are 1, 2"):
        part(cells, everything | {"rng": "3"})


@pytest.mark.parametrize("name", ["core", "full", "pilot"])
def test_the_studies_can_be_composed(name, tmp_path):
    study = read_study(name)
    cells = study.cells(tmp_path, PLACES)
    assert len(cells) == len(study.datasets) * (len(study.seeds) * len(study.methods) * len(study.rng) + len(study.full))
    for cell in {(cell.dataset, cell.seed): cell for cell in cells}.values():
        config = composed(cell.words)
        assert config.paths.run == str(cell.folder) and config.rng == cell.rng and config.rounds.n == (1 if cell.method == FULL else study.rounds)
    for method in study.methods:
        assert composed(next(cell.words for cell in cells if cell.method == method)).acquire.unit


def test_wrong_studies(tmp_path):
    with pytest.raises(FileNotFoundError, match="choose one of core, full"):
        read_study("large")
    file = tmp_path / "mine.yaml"
    file.write_text("words: []\n")
    with pytest.raises(ValueError, match="a study has the keys datasets, full, methods"):
        read_study(str(file))
    tree = OmegaConf.to_container(OmegaConf.load(studies.STUDIES / "core.yaml"))
    OmegaConf.save(tree | {"seconds": {"osd": 1}}, file)
    with pytest.raises(ValueError, match="give one figure for each"):
        read_study(str(file))


def test_the_command(tmp_path, monkeypatch):
    printed = io.StringIO()
    monkeypatch.setattr(console, "file", printed)
    command.main(["plan", "core", "--rng", "1", "--out", str(tmp_path)], standalone_mode=False)
    assert "| rooms | 16 | 0 | 34 |" in printed.getvalue().replace("  ", " ") and "not run: give --osd" in printed.getvalue()
    with pytest.raises(click.UsageError, match="study=core: say for example al3d study plan core"):
        command.main(["study=core", "do=plan"], standalone_mode=False)
    with pytest.raises(click.UsageError, match="rng=1: say --rng 1"):
        command.main(["plan", "core", "rng=1"], standalone_mode=False)
    with pytest.raises(SystemExit, match="study nonsense: there is no"):
        command.main(["plan", "nonsense"], standalone_mode=False)


def test_every_cell_is_a_training_of_its_own(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(studies, "train_cell", lambda program, cell: told.append(program) or 1)
    with pytest.raises(ValueError, match="1 cells failed: rooms-full-rng1"):
        run_study("core", tmp_path, 1, None, {"datasets": "rooms", "methods": FULL, "rng": "1"}, None, Path("/mine"))
    assert told == [(sys.executable, "-m", "al3d", "train", "--config-dir", "/mine")]
