"""Runs that start from the weights of a file: where they enter, and that the file's content, not its place, names the run."""

import shutil
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir

from al3d.compose import study_of
from al3d.rounds import fresh_module, run

ROOT = Path(__file__).resolve().parents[2]
SHORT = (
    "dataset=folder",
    "augment@dataset.augment=mirror",
    "dataset.scale.voxel=0.1",
    "net.width=0.0625",
    "acquire=random",
    "unit@acquire.unit=scene",
    "rounds.n=1",
    "rounds.initial=1",
    "rounds.initial_per=units",
    "rounds.step=20",
    "rounds.steps=2",
    "rounds.epochs=null",
    "rounds.batch=1",
    "prepare.workers=1",
    "trainer.workers=0",
    "trainer.threads=1",
)


@pytest.fixture(scope="module")
def make(tiny_root, tmp_path_factory):
    """A composed run in a folder of its own; prepared data are shared by the module."""
    place = tmp_path_factory.mktemp("start")

    def composed(name, *more):
        words = [*SHORT, f"dataset.root={tiny_root}", f"paths.data={place / 'data'}", f"paths.outputs={place / name}", *more]
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            return study_of(compose("train", overrides=words))

    return composed


@pytest.fixture(scope="module")
def first(make):
    """The checkpoint of a run that started from fresh weights."""
    study = make("first")
    run(study)
    return study.folder.weights(0)


def parameters(path, prefix="net."):
    state = torch.load(path, weights_only=True)["state_dict"]
    return {key: value for key, value in state.items() if key.startswith(prefix) and key.endswith(("kernel", "weight", "bias"))}


def equal(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def test_every_round_from_scratch_starts_from_the_file(make, first):
    """With a learning rate of 0 the rounds keep what they start from."""
    study = make("zero", f"start.weights={first}", "learner.optimizer.lr=0", "rounds.n=2", "rounds.init=scratch")
    run(study)
    given = parameters(first)
    assert equal(parameters(study.folder.weights(0)), given) and equal(parameters(study.folder.weights(1)), given)
    other = make("fresh", "learner.optimizer.lr=0")
    run(other)
    assert not equal(parameters(other.folder.weights(0)), given)


@pytest.mark.slow
def test_a_teacher_starts_from_the_file_too(make, first):
    study = make("teacher", f"start.weights={first}", "learner=mean_teacher")
    given = {key.removeprefix("net."): value for key, value in parameters(first).items()}
    module = fresh_module(study, 0, begins=True)
    for net in (module.net, module.teacher):
        assert equal({key: net.state_dict()[key] for key in given}, given)
    assert not equal({key: fresh_module(study, 0).net.state_dict()[key] for key in given}, given)


def test_the_content_of_the_file_names_the_run(make, first, tmp_path):
    copied = shutil.copy(first, tmp_path / "renamed.ckpt")
    folder = make("named", f"start.weights={first}").folder.path
    assert make("named", f"start.weights={copied}").folder.path == folder
    assert make("named").folder.path != folder != make("named", f"start.weights={first}", "start.without=[classifier]").folder.path


def test_what_does_not_fit_is_refused_before_data_are_read(make, first, tmp_path):
    with pytest.raises(ValueError, match=r"does not fit: its layers have \[2, 2, .*set net.width="):
        make("wide", f"start.weights={first}", "net.width=0.125", f"paths.data={tmp_path / 'none'}")
    with pytest.raises(ValueError, match="'head' is not one of classifier, stem, point"):
        make("head", "start.without=[head]", f"paths.data={tmp_path / 'none'}")
    assert not (tmp_path / "none").exists()
