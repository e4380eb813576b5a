"""One experiment of each paper runs two short rounds on generated data in the official layout, and its table shows it as what it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest
from hydra import compose, initialize_config_dir

from al3d.compose import study_of
from al3d.report.tables import lines_of, read_run, table_rows
from al3d.rounds import run
from al3d.world.drives import write_nuscenes_drives, write_semantic_kitti_drives
from al3d.world.rooms import write_rooms

ROOT = Path(__file__).resolve().parents[2]
#: Two rounds of a few steps with a narrow network on coarse voxels; the rest is the paper's.
SHORT = ("net.width=0.0625", "rounds.n=2", "rounds.batch=2", "rounds.checkpoint_every=2", "trainer.threads=1", "trainer.workers=0", "prepare.workers=1")
STEPS = ("rounds.steps=4",)
#: Two epochs over the seed, then one: the first round's own length stays.
EPOCHS = ("rounds.first_epochs=2", "rounds.epochs=1")


class Small(NamedTuple):
    experiment: str
    layout: str
    words: tuple[str, ...]
    table: str
    row: str
    bought: tuple[str, str]
    selects: str


CASES = {
    "redal": Small(
        "redal_s3dis_spvcnn",
        "s3dis",
        (*EPOCHS, "dataset.scale.voxel=0.2", "rounds.initial=40", "rounds.step=10", "acquire.pick.clusters=8"),
        "redal_s3dis_spvcnn",
        "ReDAL",
        ("random", "redal"),
        "val",
    ),
    "seedal": Small(
        "seedal_s3dis",
        "s3dis",
        (*EPOCHS, "row=scene_segent", "features=handcrafted", "dataset.scale.voxel=0.2", "rounds.initial=50000", "rounds.step=20"),
        "seedal_s3dis",
        "SEGENT after SeedAL",
        ("seedal (handcrafted)", "segent"),
        "val",
    ),
    "hpal": Small(
        "hpal_s3dis_0p02",
        "s3dis",
        (*STEPS, "dataset.scale.voxel=0.2", "acquire.shortlist=100"),
        "hpal_s3dis",
        "HPAL at 0.02 %",
        ("random_points", "hpal"),
        "val",
    ),
    "lidal": Small(
        "lidal_semantic_kitti_minkunet",
        "semantic_kitti",
        (*STEPS, "dataset.scale.voxel=0.4", "rounds.initial=30", "rounds.step=20", "pseudo.budget.amount=10", "acquire.score.frames=1", "acquire.views=2"),
        "lidal_semantic_kitti_minkunet",
        "LiDAL",
        ("random", "lidal"),
        "none",
    ),
    "basal": Small(
        "basal_nuscenes_spvcnn",
        "nuscenes",
        (*EPOCHS, "dataset.source.version=v1.0-mini", "dataset.scale.voxel=0.4", "rounds.initial=20", "rounds.step=10"),
        "basal_nuscenes_spvcnn",
        "BaSAL",
        ("basal", "basal"),
        "none",
    ),
}


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where generated data sets lie, a folder for each layout, made when they are first asked for."""
    return tmp_path_factory.mktemp("layouts")


def generated(roots: Path, layout: str) -> Path:
    out = roots / layout
    if not out.is_dir():
        if layout == "s3dis":
            write_rooms(out, 8, 1, 20000, 1)
        else:
            {"semantic_kitti": write_semantic_kitti_drives, "nuscenes": write_nuscenes_drives}[layout](out, 3, 1, 4, 1)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("paper", CASES)
def test_an_experiment_runs_and_stands_in_its_table(paper: str, roots: Path, tmp_path: Path) -> None:
    case = CASES[paper]
    if paper == "basal":
        pytest.importorskip("pypatchworkpp", reason="BaSAL needs pip install al3d[ground]")
    place = (f"dataset.root={generated(roots, case.layout)}", f"paths.data={roots / 'data'}", f"paths.outputs={tmp_path / 'outputs'}")
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", [f"experiment={case.experiment}", *SHORT, *case.words, *place])
    study = study_of(config)
    report = run(study)
    folder = report.parent
    bought = [json.loads((folder / f"labels-{index:02d}" / "purchase.json").read_text()) for index in range(2)]
    assert tuple(record["name"] for record in bought) == case.bought and all(record["units"] > 0 for record in bought)
    metrics = [json.loads((folder / f"round-{index:02d}" / "metrics.json").read_text()) for index in range(2)]
    assert [record["select_on"] for record in metrics] == [case.selects] * 2
    assert all(set(record["miou_of"]) == ({"last", "best"} if case.selects == "val" else {"last"}) for record in metrics)
    if "rounds.epochs=1" in case.words:
        scenes = [len(study.labels.trained_on(index)) for index in range(2)]
        assert [record["steps"] for record in metrics] == [2 * -(-scenes[0] // 2), -(-scenes[1] // 2)]
    ours = [line for line in lines_of(table_rows(case.table), [read_run(folder)]) if line.runs]
    assert ours[0].row == case.row and ours[0].miou[0] == pytest.approx(100 * metrics[0]["miou"])
    assert "not the real data" in ours[0].remark and "net.width=0.0625 (1.0)" in ours[0].remark
    assert report.read_text(encoding="utf-8").count("'s paper") == 0, "nothing published is drawn over generated data"
