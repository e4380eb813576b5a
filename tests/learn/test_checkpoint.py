"""A training that is killed after any epoch ends with the same bits as one that is not."""

import json
import time
from dataclasses import dataclass
from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from al3d.compose import make_trainer
from al3d.data.augment import Colour, Rotate
from al3d.data.batch import Crop, Voxeliser
from al3d.data.datamodule import RoundData
from al3d.data.labels import LabelState
from al3d.data.oracle import SimulatedOracle
from al3d.learn.checkpoint import Resume, ShowProgress
from al3d.learn.losses import CrossEntropy
from al3d.learn.segmenter import Segmenter
from al3d.progress import Stage
from al3d.run import RunFolder
from al3d.units.scene import SceneUnit

STEPS, BATCHES = 10, 4  # the last epoch is cut short


@dataclass
class Output:
    logits: torch.Tensor
    feature: torch.Tensor


class Toy(nn.Module):
    """Has everything that a resumed training could get wrong: dropout, running statistics, momentum, a schedule."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3))
        self.last = nn.Linear(8, 3)

    def forward(self, coord, feat):
        feature = self.layers(feat)
        return Output(self.last(feature), feature)


class Killed(Exception):
    pass


class Kill(pl.Callback):
    """Raises when `epoch` ends (after the checkpoint is written), or before `step`."""

    def __init__(self, epoch=-1, step=-1):
        self.epoch, self.step, self.steps_seen = epoch, step, []

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch == self.epoch:
            raise Killed

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            raise Killed
        self.steps_seen.append(trainer.global_step)


def train(store, folder, kill=None, workers=0, steps=STEPS, **more):
    """What `rounds.train` does, with a toy network."""
    labels = LabelState(folder.path, store)
    if not labels.rounds:
        labels.append({name: [0] for name in store.splits["train"][:3]}, SceneUnit(), {})
    voxeliser = Voxeliser(0.1, ("red", "green", "blue", "x", "y", "z"), store.features, 3)
    values = {"batch_size": 2, "batches": BATCHES, "workers": workers, **more}
    data = RoundData(store, SimulatedOracle(store), labels, voxeliser, (Rotate(), Colour()), 0, 0, **values)
    torch.manual_seed(7)
    module = Segmenter(Toy(), 3, partial(torch.optim.Adam, lr=0.01), CrossEntropy(), "cosine")
    torch.manual_seed(int(time.time_ns()) % 2**31)  # nothing may hang on the global state
    line = Stage("train", steps, None)
    callbacks = [Resume(folder.resume(0), folder.weights(0), time.perf_counter()), ShowProgress(line), *([kill] if kill else [])]
    trainer = make_trainer({"accelerator": "cpu", "devices": 1}, steps, callbacks=callbacks, logger=False, default_root_dir=folder.path)
    resume = folder.resume(0)
    trainer.fit(module, datamodule=data, ckpt_path=resume if resume.is_file() else None, weights_only=True)
    assert line.done == steps == trainer.global_step and trainer.current_epoch == -(-steps // BATCHES)
    return torch.load(folder.weights(0), weights_only=True)


@pytest.fixture(scope="module")
def undisturbed(tiny_store, tmp_path_factory):
    torch.set_num_threads(1)
    return train(tiny_store, RunFolder(tmp_path_factory.mktemp("run")))


def equal(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_files_of_a_finished_training(tiny_store, tmp_path):
    folder = RunFolder(tmp_path)
    train(tiny_store, folder)
    assert sorted(path.name for path in folder.round(0).iterdir()) == ["last.ckpt", "train.json"]
    record = json.loads((folder.round(0) / "train.json").read_text())
    assert record["steps"] == STEPS and record["loss"] > 0 and record["seconds"] > 0


def test_two_trainings_have_the_same_bits(tiny_store, tmp_path, undisturbed):
    assert equal(train(tiny_store, RunFolder(tmp_path))["state_dict"], undisturbed["state_dict"])


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    "kills",
    [[{"epoch": 0}], [{"epoch": 1}], [{"step": 2}], [{"step": 6}], [{"step": 5}, {"epoch": 1}, {"step": 9}], [{"epoch": 0}, {"epoch": 1}]],
    ids=["after epoch 0", "after epoch 1", "in epoch 0", "in epoch 1", "three times", "after each epoch"],
)
def test_a_killed_training_ends_with_the_same_bits(tiny_store, tmp_path, undisturbed, kills, workers):
    folder = RunFolder(tmp_path)
    for where in kills:
        kill = Kill(**where)
        with pytest.raises(Killed):
            train(tiny_store, folder, kill, workers)
        assert not folder.weights(0).exists() and not (folder.round(0) / "train.json").exists()
        assert folder.resume(0).exists() == (where != {"step": 2})
    last = Kill()
    final = train(tiny_store, folder, last, workers)
    assert last.steps_seen[0] % BATCHES == 0 and last.steps_seen == list(range(last.steps_seen[0], STEPS))
    assert equal(final["state_dict"], undisturbed["state_dict"])
    assert not folder.resume(0).exists()


def test_a_killed_training_with_crops_and_batches_by_voxels_ends_with_the_same_bits(tiny_store, tmp_path, undisturbed):
    counts = {name: 100 + 50 * place for place, name in enumerate(tiny_store.splits["train"])}
    more = {"crop": Crop(150), "batch_size": 3, "batch_voxels": 300, "voxel_counts": counts}
    whole = train(tiny_store, RunFolder(tmp_path / "whole"), **more)
    with pytest.raises(Killed):
        train(tiny_store, RunFolder(tmp_path / "killed"), Kill(step=6), 1, **more)
    final = train(tiny_store, RunFolder(tmp_path / "killed"), None, 1, **more)
    assert equal(final["state_dict"], whole["state_dict"]) and not equal(final["state_dict"], undisturbed["state_dict"])


def test_a_checkpoint_half_written_is_not_trusted(tiny_store, tmp_path, undisturbed, monkeypatch):
    folder = RunFolder(tmp_path)
    save = pl.Trainer.save_checkpoint

    def cut(self, path, *arguments, **values):
        save(self, path, *arguments, **values)
        if self.global_step > BATCHES:
            with open(path, "r+b") as file:
                file.truncate(100)
            raise Killed

    monkeypatch.setattr(pl.Trainer, "save_checkpoint", cut)
    with pytest.raises(Killed):
        train(tiny_store, folder)
    monkeypatch.undo()
    assert equal(train(tiny_store, folder)["state_dict"], undisturbed["state_dict"])
    assert sorted(path.name for path in folder.round(0).iterdir()) == ["last.ckpt", "train.json"]
