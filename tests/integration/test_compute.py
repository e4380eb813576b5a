"""trainer.compute: a round predicted and chosen in torch on the device buys what it buys in NumPy."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from al3d.compose import study_of
from al3d.learn import on_device
from al3d.rounds import steps

from .test_methods import ROOT, SHORT, SMALLER

#: What each method must have computed on the device.
STEPS = {
    "coreset": {"covering", "picked_sums", "voxel_keys"},
    "hpal": {"picked_sums", "group_sums", "voxel_keys"},
    "badge": {"covering", "picked_sums", "voxel_keys"},
    "typiclust": {"lloyd", "mean_of_nearest", "picked_sums"},
    "redal": {"lloyd", "group_sums", "picked_sums"},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("compute")


def marked(name):
    return pytest.param(name, marks=[] if name == "redal" else pytest.mark.slow)


@pytest.mark.parametrize("name", [marked(name) for name in STEPS])
def test_the_same_purchase(name, data, tiny_root, tmp_path, monkeypatch):
    def study(compute):
        where = ("dataset=folder", "augment@dataset.augment=mirror", f"dataset.root={tiny_root}", f"paths.data={data}", f"paths.run={tmp_path / compute}")
        words = [f"acquire={name}", *where, *SHORT, *SMALLER.get(name, ()), "seed=random", f"trainer.compute={compute}", "paths.shared=null"]
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            return study_of(compose("train", overrides=words))

    used = set()
    for step in STEPS[name]:
        monkeypatch.setattr(on_device.OnDevice, step, noted(getattr(on_device.OnDevice, step), used))
    one = study("numpy")
    for number, step in enumerate(steps(one)):
        if number == 2:  # trained, and about to be judged: the other goes on from here
            shutil.copytree(one.folder.path, tmp_path / "torch")
        step()
        if one.labels.rounds == 2:
            break
    assert not used
    two = study("torch")
    for step in steps(two):
        step()
        if two.labels.rounds == 2:
            break
    assert used == STEPS[name]
    for file in ("labels-00", "labels-01"):
        rows = [{path.name: np.load(path).tolist() for path in sorted((run.folder.path / file).glob("*.npy"))} for run in (one, two)]
        assert rows[0] == rows[1] and rows[0]
    assert two.folder.path.joinpath("identity.json").read_bytes() == one.folder.path.joinpath("identity.json").read_bytes()


def noted(work, used):
    """The work, which leaves its name."""

    def run(*words):
        used.add(work.__name__)
        return work(*words)

    return run


def test_a_wrong_word_is_refused(data, tiny_root):
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", overrides=["dataset=folder", f"dataset.root={tiny_root}", f"paths.data={data}", "trainer.compute=gpu"])
    with pytest.raises(ValueError, match=r"trainer\.compute='gpu' is not one of auto, numpy, torch"):
        study_of(config)
