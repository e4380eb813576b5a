"""Curves go to CSV always, and to TensorBoard and W&B on request, without a network."""

import csv
import time

from al3d.compose import study_of
from al3d.rounds import run


def test_csv_of_every_start_is_kept(composed):
    study = study_of(composed("rounds.n=1", "rounds.steps=20"))
    run(study)
    files = list((study.folder.round(0) / "csv").rglob("metrics.csv"))
    assert files
    rows = [row for file in files for row in csv.DictReader(file.open())]
    assert any(row.get("loss") for row in rows) and any(row.get("curve/miou") for row in rows)


def test_tensorboard_writes_events(composed):
    study = study_of(composed("rounds.n=2", "logger=tensorboard"))
    run(study)
    assert len(list((study.folder.path / "tensorboard").rglob("events.out.tfevents.*"))) >= 2


def test_wandb_works_offline_and_keeps_one_run_id(composed, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    words = ("logger=wandb", "logger.wandb.offline=true", "logger.wandb.tags=[tiny]")
    study = study_of(composed("rounds.n=1", *words))
    run(study)
    identifier = (study.folder.path / "wandb_id.txt").read_text().strip()
    folders = list((study.folder.path / "wandb").glob(f"offline-run-*-{identifier}"))
    # W&B's own process writes the file, on a busy machine after the run is over
    limit = time.monotonic() + 120
    while not (written := any(folder.joinpath(f"run-{identifier}.wandb").stat().st_size > 1000 for folder in folders)) and time.monotonic() < limit:
        time.sleep(0.2)
    assert folders and written
    again = study_of(composed("rounds.n=2", *words))
    run(again)
    assert again.folder.path == study.folder.path
    assert (again.folder.path / "wandb_id.txt").read_text().strip() == identifier
    assert list((study.folder.path / "wandb").rglob("media/images/bought*")), "the report's pictures were not uploaded"
