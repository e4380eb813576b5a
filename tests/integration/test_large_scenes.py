"""Crops, tiles and batches by voxel count in the whole loop; wrong values are named before anything is read."""

import pytest

from al3d.compose import identity_of, study_of
from al3d.data.batch import Crop
from al3d.rounds import run

LARGE = ("rounds.batch_voxels=3000", "dataset.crop_voxels=1000", "learner.tile_voxels=600", "learner.tile_halo=16", "dataset.voxel_label=first")


SHORT = ("rounds.n=2", "rounds.steps=4", *LARGE)


def test_every_switch_at_once_runs(composed):
    whole = study_of(composed(*SHORT))
    run(whole)
    assert whole.labels.rounds == 2 and whole.folder.metrics(1).is_file()
    data = whole.data(labels=whole.labels, round_index=0, batches=1)
    assert (data.crop, data.batch_voxels, data.voxeliser.voxel_label) == (Crop(1000), 3000, "first") and set(data.voxel_counts) == set(whole.store.sizes)


@pytest.mark.slow
def test_every_switch_at_once_resumes(composed, outcome, tmp_path):
    run(study_of(composed(f"paths.run={tmp_path / 'whole'}", *SHORT)))
    for _ in range(8):
        run(study_of(composed(f"paths.run={tmp_path / 'steps'}", "rounds.stop_after=step", "trainer.workers=1", *SHORT)))
    assert outcome(tmp_path / "steps") == outcome(tmp_path / "whole")


def test_switches_that_change_numbers_define_the_run(composed):
    study = study_of(composed())
    plain = identity_of(composed(), study.store)
    for word in LARGE:
        assert identity_of(composed(word), study.store) != plain, word
    assert identity_of(composed("prepare.workers=2", "prepare.backend=threading"), study.store) == plain


def test_tiles_as_large_as_the_scenes_change_nothing(composed, outcome, tmp_path):
    runs = {"plain": (), "tiled": ("learner.tile_voxels=1000000", "dataset.crop_voxels=1000000", "rounds.batch_voxels=1000000")}
    for name, words in runs.items():
        run(study_of(composed(f"paths.run={tmp_path / name}", "rounds.n=2", "rounds.steps=4", *words)))
    assert outcome(tmp_path / "plain") == outcome(tmp_path / "tiled")


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("dataset.voxel_label=any", r"dataset\.voxel_label='any' is not one of majority, first"),
        ("dataset.crop_voxels=0", r"dataset\.crop_voxels=0"),
        ("dataset.crop_voxels=80k", r"dataset\.crop_voxels='80k'"),
        ("rounds.batch_voxels=-1", r"rounds\.batch_voxels=-1"),
        ("learner.tile_voxels=0", r"learner\.tile_voxels=0"),
        ("learner.tile_halo=null", r"learner\.tile_halo=None"),
        ("prepare.backend=slurm", r"prepare\.backend='slurm' is not one of loky, threading, dask"),
        ("prepare.scheduler=tcp://a:1", r"prepare\.scheduler='tcp://a:1' is for prepare\.backend=dask"),
    ],
)
def test_wrong_values_are_named_before_anything_is_read(composed, tmp_path, word, says):
    with pytest.raises(ValueError, match=says):
        study_of(composed(word))
    assert not (tmp_path / "data").exists()


def test_passes_and_batches_by_voxels_do_not_go_together(composed):
    with pytest.raises(ValueError, match=r"so that passes are no measure: set rounds\.steps=N rounds\.epochs=null"):
        study_of(composed("rounds.batch_voxels=5000", "rounds.steps=null", "rounds.epochs=2"))
