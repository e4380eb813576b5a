"""Published tables beside our runs: a run is found to be the row it is, what it does otherwise is said, and nothing is averaged that differs."""

from __future__ import annotations

import csv
import io
import json
from functools import cache
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from rich.console import Console

from al3d.command import CONF
from al3d.commands.tables import command
from al3d.report import tables
from al3d.report.tables import Row, lines_of, markdown, read_run, row_of, run_folders, table_names, table_rows

from .fake_run import ROOM_CLASSES, write_run

TABLE = "hpal_s3dis_components"
REAL_POINTS = 13_000_000


@cache
def rows(table: str = TABLE) -> list[Row]:
    return table_rows(table)


def made(
    folder: Path, *words: str, table: str | None = TABLE, rounds: int = 5, lift: float = 0.0, points: int | None = REAL_POINTS, last: float | None = None
) -> Path:
    """A run's folder with the configuration that these words give, and made-up scores; `last` is the score of the last checkpoint, where another was chosen."""
    write_run(folder, ROOM_CLASSES, rounds, lift=lift)
    with initialize_config_dir(config_dir=str(CONF.resolve()), version_base="1.3"):
        config = compose("train", ([f"experiment=table/{table}"] if table else []) + list(words))
    config.dataset.source.root, config.classes = "/data/somewhere", 13
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(config, resolve=True))
    for index in range(rounds):
        purchase, metrics = folder / f"labels-{index:02d}" / "purchase.json", folder / f"round-{index:02d}" / "metrics.json"
        if points is not None:
            purchase.write_text(json.dumps(json.loads(purchase.read_text()) | {"base_points": points}))
        if last is not None:
            metrics.write_text(json.dumps(json.loads(metrics.read_text()) | {"select_on": "val", "miou_of": {"last": last, "best": 0.9}}))
    return folder


def scores(folder: Path) -> list[float]:
    return [100 * record.miou for record in read_run(folder).records]


def test_every_table_is_named() -> None:
    assert len(table_names()) > 20 and TABLE in table_names() and "redal_s3dis_spvcnn" in table_names()


def test_rows_are_those_of_the_paper() -> None:
    assert [(row.name, [value.miou_percent for value in row.printed]) for row in rows()] == [
        ("MMU", [55.51]),
        ("HMMU", [57.65]),
        ("MMU + FDS", [56.68]),
        ("MMU + TS", [57.01]),
        ("HMMU + FDS", [59.29]),
        ("HMMU + FDS + TS", [62.26]),
    ]
    assert all(row.rounds == 5 and row.round_of(0) == 4 for row in rows())
    assert [row.words for row in rows()][:2] == [("row=point_margin",), ("row=hpal_hmmu",)]


@pytest.mark.parametrize(("word", "name"), [("point_margin", "MMU"), ("point_margin_fds", "MMU + FDS"), ("hpal", "HMMU + FDS"), ("hpal_ts", "HMMU + FDS + TS")])
def test_a_run_is_the_row_whose_options_it_has(tmp_path: Path, word: str, name: str) -> None:
    run = read_run(made(tmp_path / "run", f"row={word}", "rng=7", "paths.data=/elsewhere", "rounds.n=3", "trainer.devices=2", rounds=2))
    found = row_of(run, rows())
    assert found is not None and found.name == name
    assert [line.remark for line in lines_of(rows(), [run]) if line.kind == "al3d"] == [""]


def test_a_run_composed_without_the_experiment_is_found_too(tmp_path: Path) -> None:
    """The options count, not the words: HPAL by hand, on another grid."""
    words = ("dataset=s3dis", "acquire=hpal", "unit@seed.unit=point", "dataset.grid=0.05", "rounds.initial=0.02", "rounds.step=0.02")
    run = read_run(made(tmp_path / "run", *words, table=None))
    found = row_of(run, rows())
    assert found is not None and found.name == "HMMU + FDS"
    remark = next(line.remark for line in lines_of(rows(), [run]) if line.kind == "al3d")
    for part in ("dataset.grid=0.05 (0.04)", "learner.optimizer._target_=Adam (SGD)", "rounds.init=scratch (best)", "acquire.shortlist=2000 (10000)"):
        assert part in remark
    assert "root" not in remark and "rounds.n" not in remark


@pytest.mark.parametrize(
    "words",
    [
        ("dataset=rooms", "acquire=hpal", "unit@seed.unit=point"),
        ("dataset=s3dis", "acquire=badge", "unit@seed.unit=point"),
        ("dataset=s3dis", "acquire=hpal", "net=spvcnn"),
        ("dataset=s3dis", "acquire=hpal", "seed=kmcentroid"),
    ],
)
def test_a_run_of_another_setting_is_no_row(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert row_of(read_run(made(tmp_path / "run", *words, table=None)), rows()) is None


def test_a_run_between_two_rows_is_neither(tmp_path: Path) -> None:
    """Suppression of another reference than either row: as near to the one as to the other."""
    two = [row for row in rows("hpal_s3dis_suppression") if row.name in ("0.2 m, 0.8", "0.2 m, 0.9")]
    run = read_run(made(tmp_path / "run", "row=hpal", "acquire.pick.cosine=0.85", table="hpal_s3dis_suppression"))
    assert len(two) == 2 and row_of(run, two) is None


def test_the_processed_rooms_are_the_same_data_set(tmp_path: Path) -> None:
    run = read_run(made(tmp_path / "run", "row=hpal", "dataset=s3dis_processed"))
    found = row_of(run, rows())
    assert found is not None and found.name == "HMMU + FDS" and run.real


def test_runs_that_differ_in_rng_alone_are_averaged(tmp_path: Path) -> None:
    folders = [made(tmp_path / f"run{rng}", "row=hpal", f"rng={rng}", lift=0.02 * rng) for rng in (1, 2)]
    folders.append(made(tmp_path / "longer", "row=hpal", "rounds.steps=70000", lift=0.1))
    lines = [line for line in lines_of(rows(), [read_run(folder) for folder in folders]) if line.row == "HMMU + FDS"]
    assert [(line.kind, line.runs) for line in lines] == [("published", 0), ("al3d", 2), ("al3d", 1)]
    first, second, third = (scores(folder) for folder in folders)
    assert lines[1].miou == pytest.approx([(a + b) / 2 for a, b in zip(first, second, strict=True)])
    assert lines[1].std == pytest.approx([abs(a - b) / 2**0.5 for a, b in zip(first, second, strict=True)])
    assert lines[2].miou == pytest.approx(third) and lines[2].std == (None,) * 5
    assert lines[1].remark == "" and lines[2].remark == "otherwise: rounds.steps=70000 (60000)"


def test_unfinished_rounds_are_empty_and_averages_are_of_those_that_are_there(tmp_path: Path) -> None:
    folders = [made(tmp_path / "short", "row=hpal", rounds=2), made(tmp_path / "long", "row=hpal", "rng=2", rounds=4, lift=0.05)]
    line = next(line for line in lines_of(rows(), [read_run(folder) for folder in folders]) if line.kind == "al3d")
    short, long = scores(folders[0]), scores(folders[1])
    assert line.miou[4] is None and line.miou[3] == pytest.approx(long[3]) and line.miou[0] == pytest.approx((short[0] + long[0]) / 2)
    assert line.std[3] is None and line.std[1] is not None


def test_generated_data_are_never_the_real_ones(tmp_path: Path) -> None:
    """Runs on the real data and on generated ones of its layout are separate lines, and the latter say so."""
    folders = [made(tmp_path / "real", "row=hpal"), made(tmp_path / "made", "row=hpal", "rng=2", points=None)]
    lines = [line for line in lines_of(rows(), [read_run(folder) for folder in folders]) if line.kind == "al3d"]
    assert [(line.runs, line.remark) for line in lines] == [(1, ""), (1, "not the real data: 2,000,000 points")]


def test_scores_chosen_on_the_evaluation_split_are_marked_and_the_last_ones_shown(tmp_path: Path) -> None:
    run = read_run(made(tmp_path / "run", "row=hpal", last=0.31))
    lines = [line for line in lines_of(rows(), [run]) if line.runs]
    assert [line.kind for line in lines] == ["al3d", "al3d, last checkpoint"]
    assert lines[0].remark == "selects on the evaluation split" and lines[1].miou == pytest.approx([31.0] * 5)


def test_printed_numbers_are_printed_as_they_were() -> None:
    text = markdown(rows("redal_s3dis_spvcnn"), lines_of(rows("redal_s3dis_spvcnn"), []))
    lines = text.splitlines()
    assert lines[0].startswith("| row |  | runs | 3 % | 5 % | 7 % | 9 % | 11 % | 13 % | 15 % |")
    assert "| ReDAL | published |  | 27.86 | 41.27 | 47.68 | 52.34 | 54.28 | 57.01 | 57.97 | 15 |  |" in lines
    assert sum("not run" in line for line in lines) == 8 and len(lines) == 2 + 16


def test_columns_are_rounds_where_rows_do_not_agree() -> None:
    head = markdown(rows("hpal_s3dis"), lines_of(rows("hpal_s3dis"), [])).splitlines()
    assert "| round 0 | round 1 | round 2 | round 3 | round 4 |" in head[0]
    assert [row.round_of(0) for row in rows("hpal_s3dis")] == [4, 4, 2]
    assert "| HPAL at 0.43 % | published |  |  |  | 65.7 |  |  | 0.43 | 2 |" in head[6]
    assert head[-2:] == ["1. 20 points a room", "2. percent of training and validation points (D-45)"]


def main(*words: str) -> None:
    command.main([*words], prog_name="al3d tables", standalone_mode=False)


def test_the_command_writes_what_it_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs, terminal = tmp_path / "outputs", io.StringIO()
    monkeypatch.setattr(tables, "console", Console(file=terminal, soft_wrap=True, highlight=False))
    made(outputs / "one", "row=hpal", last=0.3)
    made(outputs / "other", "dataset=rooms", "acquire=entropy", table=None)
    (outputs / "sweeps").mkdir()
    started = made(outputs / "started", "row=hpal", rounds=0)
    main(TABLE, str(outputs), "--out", str(tmp_path / "results"))
    printed = terminal.getvalue()
    text = (tmp_path / "results" / f"{TABLE}.md").read_text()
    assert [line for line in text.splitlines() if line not in printed] == []
    assert "no row of this table: " in printed and "no finished round: " in printed and str(started) in printed.replace("\n", "")
    with (tmp_path / "results" / f"{TABLE}.csv").open() as file:
        lines = list(csv.DictReader(file))
    ours = [line for line in lines if line["kind"] == "al3d"]
    assert [float(line["miou_percent"]) for line in ours] == pytest.approx(scores(outputs / "one"), abs=1e-3) and {line["row"] for line in ours} == {
        "HMMU + FDS"
    }
    assert sum(line["kind"] == "not run" for line in lines) == 5 * 5 and sum(line["kind"] == "published" for line in lines) == 6


def test_wrong_names_are_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="there is no table 'nonsense': choose among basal_ablation"):
        main("nonsense")
    with pytest.raises(SystemExit, match="nowhere is no run's folder and holds none"):
        main(TABLE, str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="has no finished round: run it first"):
        read_run(made(tmp_path / "run", "row=hpal", rounds=0))
    with pytest.raises(FileNotFoundError, match="is no run's folder"):
        read_run(tmp_path)
    assert run_folders([tmp_path, tmp_path / "run"]) == [tmp_path / "run"]
