"""The whole loop with a probe: learned from the labels at once, judged, harvested, resumed and predicted as with a network."""

import json

import numpy as np
import pytest
import torch
from hydra.core.hydra_config import HydraConfig

from al3d.compose import study_of
from al3d.predict.trained import load
from al3d.rounds import run
from al3d.types import IGNORE

PROBE = ("net=probe", "rounds.n=2")


def test_two_rounds(composed, monkeypatch):
    study = study_of(composed(*PROBE))
    assert run(study).is_file()
    first, second = (json.loads(study.folder.metrics(index).read_text()) for index in range(2))
    assert first["rows"] > 0 and second["rows"] > first["rows"] and first["steps"] == 0
    assert second["miou"] > 0.5, "three classes of other colours are easy"
    state = torch.load(study.folder.weights(1), weights_only=True)["state_dict"]
    assert set(state) == {"net._extra_state"}


def test_a_description_is_what_the_voxels_of_a_scene_say(composed):
    study = study_of(composed(*PROBE))
    name = study.store.splits["val"][0]
    rows = study.described.rows(name)
    data = study.data(labels=study.labels, round_index=0, batches=1)
    batch = next(iter(data.test_dataloader()))
    assert torch.equal(batch.feat, torch.from_numpy(rows)) and len(batch.coord) == len(rows)
    mean, deviation = study.described.spread
    everything = np.concatenate([study.described.rows(scene) for scene in study.store.splits["train"]])
    np.testing.assert_allclose(mean, everything.mean(axis=0, dtype=np.float64), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(deviation, everything.std(axis=0, dtype=np.float64), rtol=1e-2, atol=1e-3)


def test_a_scan_is_predicted_as_the_scene_was(composed, tiny_root):
    """Described on the spot from voxels, instead of from the store."""
    study = study_of(composed(*PROBE))
    run(study)
    trained = load(study.folder.path, root=tiny_root, device="cpu")
    data = study.data(labels=study.labels, round_index=1, batches=1)
    index = study.store.splits["train"].index("t_3")
    scene = study.store.scene("t_3")
    voxels = study.data.keywords["voxeliser"](np.asarray(scene.xyz), np.asarray(scene.feat), np.full(len(scene), IGNORE, np.uint8))
    coord = torch.from_numpy(np.pad(voxels.coord, ((0, 0), (1, 0))))
    there = trained.net(coord, torch.from_numpy(voxels.feat)).logits.argmax(dim=1)
    module = study.module(net=study.net())
    module.load_state_dict(torch.load(study.folder.weights(1), weights_only=True)["state_dict"])
    batch = next(iter(study.data(labels=study.labels, round_index=1, batches=1, blocks=[range(index, index + 1)]).predict_dataloader()))
    here = module.net(batch.coord, batch.feat).logits.argmax(dim=1)
    assert float((here == there).float().mean()) > 0.99
    assert data.rows is not None


def test_the_same_command_goes_on_with_the_same_bits(composed, outcome, tmp_path):
    whole = study_of(composed(*PROBE, f"paths.run={tmp_path / 'whole'}"))
    run(whole)
    for _ in range(20):
        steps = study_of(composed(*PROBE, f"paths.run={tmp_path / 'steps'}", "rounds.stop_after=step"))
        if run(steps).name == "report.html":
            break
    assert outcome(steps.folder.path) == outcome(whole.folder.path)


@pytest.mark.parametrize("head", ["forest", "linear", "mlp"])
def test_every_head_learns(composed, head):
    study = study_of(composed(*PROBE, "rounds.n=1", f"head@net.head={head}"))
    run(study)
    assert json.loads(study.folder.metrics(0).read_text())["miou"] > 0.4


@pytest.mark.parametrize("acquire", ["redal", "coreset", "badge", "typiclust"])
def test_features_are_the_standardised_description(composed, acquire):
    """Columns in metres would rule distances otherwise; CoreSet, ReDAL, BADGE and TypiClust compare these."""
    study = study_of(composed(*PROBE, f"acquire={acquire}", *(["unit@acquire.unit=supervoxel"] if acquire == "coreset" else [])))
    run(study)
    module = study.module(net=study.net())
    module.load_state_dict(torch.load(study.folder.weights(0), weights_only=True)["state_dict"])
    batch = next(iter(study.data(labels=study.labels, round_index=0, batches=1, blocks=[range(1)]).predict_dataloader()))
    mean, deviation = study.described.spread
    wanted = (study.described.rows(study.store.splits["train"][0]) - mean) / deviation
    np.testing.assert_allclose(module.net(batch.coord, batch.feat).feature.numpy(), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("acquire=mc_dropout",), "mc_dropout, which makes 10 dropout passes"),
        (("acquire=bald",), "bald, which makes"),
        (("learner=mean_teacher",), "learner=MeanTeacher"),
        (("eval.select_on=bought_holdout",), "eval.select_on=bought_holdout"),
        (("eval.votes=2",), "eval.votes=2"),
        (("trainer.devices=2",), "trainer.devices x trainer.num_nodes = 2"),
        (("acquire.feature=bottleneck",), "acquire.feature=bottleneck"),
    ],
)
def test_what_needs_a_network_is_refused_by_name(composed, words, says):
    method = () if any(word.startswith("acquire=") for word in words) else ("acquire=coreset", "unit@acquire.unit=supervoxel")
    with pytest.raises(ValueError, match=says):
        study_of(composed(*PROBE, *method, *words))


@pytest.mark.parametrize(
    "word",
    [
        "loss@learner.loss=focal",
        "learner.optimizer.lr=0.1",
        "rounds.steps=10",
        "augment@dataset.augment=none",
        "net.width=1",
        "rounds.init=previous",
        "sparse.engine=loop",
    ],
)
def test_options_that_mean_nothing_are_refused_where_they_were_typed(composed, word, monkeypatch):
    """An experiment may say them, for its networks; a person who types them expects something of them."""
    monkeypatch.setattr("al3d.for_probes.typed", lambda: ["net=probe", word])
    with pytest.raises(ValueError, match=word.split("=")[0]):
        study_of(composed(*PROBE, *([] if word.startswith("net.width") else [word])))


def test_typed_words_are_those_of_the_command_line():
    assert not HydraConfig.initialized()
