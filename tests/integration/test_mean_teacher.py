"""Rounds of the real loop with a mean teacher and points chosen by HPAL: both networks are kept, one of them answers, nothing hangs on workers or stops."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir

from al3d.compose import study_of
from al3d.learn.segmenter import Segmenter
from al3d.rounds import run

ROOT = Path(__file__).resolve().parents[2]
SHORT = (
    "dataset=folder",
    "augment@dataset.augment=hpal",
    "dataset.scale.voxel=0.1",
    "net=spvcnn",
    "net.width=0.0625",
    "learner.optimizer.lr=0.01",
    "unit@seed.unit=point",
    "rounds.n=2",
    "rounds.initial=0.5",
    "rounds.step=0.5",
    "rounds.steps=6",
    "rounds.epochs=null",
    "rounds.batch=2",
    "rounds.checkpoint_every=2",
    "rounds.init=previous",
    "prepare.workers=1",
    "trainer.workers=0",
    "trainer.threads=1",
    "paths.shared=null",
)
TAUGHT = ("learner=mean_teacher", "learner.threshold=0.4", "learner.decay=0.5", "acquire=hpal", "acquire.shortlist=300")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("mean_teacher")


@pytest.fixture
def study(data, tiny_root, tmp_path):
    """A composed run in a folder of its own; prepared data are shared by the module."""

    def make(name, *more):
        words = [*SHORT, f"dataset.root={tiny_root}", f"paths.data={data}", f"paths.run={tmp_path / name}", *more]
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            return study_of(compose("train", overrides=words))

    return make


def weights(study, index):
    return torch.load(study.folder.weights(index), weights_only=True)["state_dict"]


def equal(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.slow
def test_two_rounds(study, outcome):
    """The same training, whoever is judged; the other network's answers are others, and buy other points."""
    judged = {}
    for judge in ("student", "teacher"):
        judged[judge] = study(judge, *TAUGHT, f"learner.judge={judge}")
        assert run(judged[judge]).is_file()
    one, two = (weights(judged[judge], 0) for judge in ("student", "teacher"))
    assert equal(one, two) and {name.split(".")[0] for name in one} == {"net", "teacher"}
    assert not torch.equal(one["net.classifier.weight"], one["teacher.classifier.weight"])
    outcomes = [outcome(judged[judge].folder.path) for judge in ("student", "teacher")]
    assert outcomes[0]["labels-00/payload.npy"] == outcomes[1]["labels-00/payload.npy"]
    assert outcomes[0]["labels-01/payload.npy"] != outcomes[1]["labels-01/payload.npy"]
    assert (judged["student"].folder.path / "curve.csv").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("learner.teacher_mode=train", "learner.kl=true", "learner.teacher_init=teacher", "dataset.crop_voxels=120")])
def test_a_run_in_steps_on_workers_ends_like_one_in_a_piece(study, outcome, options):
    whole = study("whole", *TAUGHT, *options)
    run(whole)
    for turn in range(20):
        steps = study("steps", *TAUGHT, *options, "rounds.stop_after=step", f"trainer.workers={turn % 3}")
        if run(steps).name == "report.html":
            break
    assert outcome(steps.folder.path) == outcome(whole.folder.path)
    assert all(equal(weights(steps, index), weights(whole, index)) for index in range(2))


@pytest.mark.slow
@pytest.mark.parametrize("options", [("learner=hpal",), ("net=minkunet", "rounds.accumulate=2"), ("loss@learner.loss=focal",), ("seed=all", "rounds.n=1")])
def test_two_rounds_with_other_parts(study, options):
    made = study("other", *TAUGHT, *options)
    assert run(made).is_file()
    assert all(bool(value.isfinite().all()) for value in weights(made, made.plan.n - 1).values())


def test_a_balanced_loss_is_told_what_each_round_will_see(study, monkeypatch):
    told = []
    monkeypatch.setattr(Segmenter, "weigh", lambda module, counts: told.append(list(counts)) or weigh(module, counts))
    made = study("balanced", "loss@learner.loss=balanced", "acquire=random", "unit@acquire.unit=point", "rounds.steps=2")
    run(made)
    for index, counts in enumerate(told):
        kept = np.array(list(json.loads(made.folder.labelled(index).read_text()).values()), np.float64)
        by_scene = kept.sum(axis=1) ** 0.5
        np.testing.assert_allclose(counts, by_scene / by_scene.sum() @ (kept / kept.sum(axis=1)[:, None]) * kept.sum(), rtol=1e-6)
    assert len(told) == 2 and sum(told[1]) > sum(told[0]) > 0
    module = made.module(net=torch.nn.Identity(), round_index=0)
    module.weigh(told[0])
    assert module.loss.weights is not None and module.loss.weights[0] < min(module.loss.weights[1:]), "tables have most points"


weigh = Segmenter.weigh
