"""Rounds with pseudo-labels on a small generated drive: what is guessed, that a kill changes nothing, and that without them nothing changes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from al3d.compose import identity_of, study_of
from al3d.rounds import Study, run
from al3d.types import IGNORE

ROOT = Path(__file__).resolve().parents[2]
SMALL = (
    "dataset=street",
    "dataset.source.drives=2",
    "dataset.source.frames=6",
    "dataset.source.columns=60",
    "dataset.scale.voxel=0.3",
    "acquire=lidal",
    "acquire.score.frames=1",
    "acquire.score.distance=0.5",
    "net.width=0.125",
    "rounds.n=3",
    "rounds.initial=15",
    "rounds.step=6",
    "rounds.steps=6",
    "rounds.epochs=null",
    "rounds.batch=2",
    "rounds.checkpoint_every=2",
)
WITH = ("pseudo=lidal", "pseudo.budget.amount=10", "pseudo.pick.radius=2")
Make = Callable[..., list[str]]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """The overrides of a small run on drives that all tests share; a seed of regions, so that scenes are labelled in part."""
    data = tmp_path_factory.mktemp("data")

    def make(run_folder: Path, *more: str) -> list[str]:

        return ["unit@seed.unit=kmeans", *SMALL, "paths.shared=null", f"paths.data={data}", f"paths.run={run_folder}", *more]

    return make


def composed(words: list[str]) -> DictConfig:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("train", overrides=words)


def started(words: list[str]) -> subprocess.Popen[str]:
    variables = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *words], cwd=ROOT, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def decided(folder: Path) -> dict[str, object]:
    """Everything that a run decided, guessed and measured, without times."""
    found: dict[str, object] = {str(file.relative_to(folder)): file.read_bytes() for kind in ("labels", "pseudo") for file in folder.glob(f"{kind}-*/*.npy")}
    for file in [*folder.glob("round-*/metrics.json"), *folder.glob("pseudo-*/pseudo.json")]:
        values = json.loads(file.read_text())
        for one in (values, values.get("pseudo", {})):
            one.pop("seconds", None)
        found[str(file.relative_to(folder))] = values
    return found


@pytest.fixture(scope="module")
def whole(words: Make, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A run with pseudo-labels that nothing disturbed."""
    study = study_of(composed(words(tmp_path_factory.mktemp("runs") / "whole", *WITH)))
    run(study)
    return study


def test_guesses_are_unlabelled_counted_nowhere_and_said(whole: Study) -> None:
    labels, oracle, base = whole.labels, whole.oracle, whole.base
    scenes = whole.store.splits["train"]
    assert not labels.has_pseudo(0) and not labels.has_pseudo(3)
    for index in (1, 2):
        asked = {name: labels.asked(name, index) for name in scenes}
        assert sum(int(mask.sum()) for mask in asked.values()) == labels.purchase(index)["spent_points"]
        guessed = {name: label for name in scenes if (label := labels.pseudo(name, index)) is not None}
        metrics = json.loads(whole.folder.metrics(index).read_text())
        points = sum(int((label != IGNORE).sum()) for label in guessed.values())
        assert 0 < points <= 0.10 * base
        assert metrics["pseudo"] == labels.pseudo_record(index) and metrics["pseudo"]["points"] == points
        assert metrics["labelled_points"] == labels.purchase(index)["spent_points"]
        known = right = 0
        for name, label in guessed.items():
            assert not (asked[name] & (label != IGNORE)).any()
            truth = oracle.answer(name, label != IGNORE)
            known, right = known + int((truth != IGNORE).sum()), right + int(((truth == label) & (truth != IGNORE)).sum())
        assert metrics["pseudo"]["accuracy"] == right / known
    first, second = ({(name, unit) for name, ids in labels.pseudo_units(index).items() for unit in ids.tolist()} for index in (1, 2))
    assert first and second and not first & second, "no unit twice in a row"
    unit = whole.method.unit
    bought = {(name, one) for name in scenes for one in np.unique(np.asarray(whole.store.unit(unit, name))[labels.bought(name, 2)]).tolist()}
    assert bought and not bought & first, "nor bought in the round after"
    assert not list(whole.folder.path.rglob("*.classes.npy")), "predicted classes are kept no longer than they are used"


def test_the_classes_guessed_are_those_predicted(whole: Study, words: Make, tmp_path: Path) -> None:
    """Choose for round 1 again, with the network of round 0: the same units, with the classes that its predictions are kept as."""
    before = decided(whole.folder.path)
    copy = tmp_path / "copy"
    shutil.copytree(whole.folder.path, copy)
    for gone in ("labels-01", "labels-02", "pseudo-01", "pseudo-02", "round-01", "round-02"):
        shutil.rmtree(copy / gone)
    study = study_of(composed(words(copy, *WITH, "rounds.stop_after=step")))
    run(study)  # the rows are there, the classes are not: predicts
    kept = sorted(copy.glob("round-00/units/*.classes.npy"))
    assert kept and study.labels.rounds == 1
    classes = np.concatenate([np.load(file) for file in kept])
    starts = np.cumsum([0, *(study.store.sizes[name] for name in study.store.splits["train"])])
    run(study)
    for index, name in enumerate(study.store.splits["train"]):
        label = study.labels.pseudo(name, 1)
        if label is not None:
            assert np.array_equal(label[label != IGNORE], classes[starts[index] : starts[index + 1]][label != IGNORE])
    after = decided(copy)
    assert after == {key: before[key] for key in after} and "pseudo-01/pseudo.json" in after


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("pseudo-01/manifest.json", marks=pytest.mark.slow),
        pytest.param("round-00/units/00001.classes.npy", marks=pytest.mark.slow),
        pytest.param("round-01/resume.ckpt", marks=pytest.mark.slow),
    ],
    ids=["selecting", "predicting", "training"],
)
def test_a_kill_changes_nothing(whole: Study, words: Make, tmp_path: Path, moment: str) -> None:
    broken = tmp_path / "broken"
    process = started(words(broken, *WITH))
    while process.poll() is None and not (broken / moment).exists():
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (broken / "round-02").exists(), "the kill came too late to test anything"
    run(study_of(composed(words(broken, *WITH))))
    assert decided(broken) == decided(whole.folder.path)
    assert not list(broken.rglob("*.classes.npy"))


def test_between_writing_guesses_and_counting_the_purchase_a_kill_changes_nothing(whole: Study, words: Make, tmp_path: Path) -> None:
    """Guesses of another purchase are there, the purchase itself is not: both are chosen anew."""
    broken = tmp_path / "broken"
    shutil.copytree(whole.folder.path, broken)
    shutil.rmtree(broken / "labels-02")
    shutil.rmtree(broken / "round-02")
    shutil.rmtree(broken / "pseudo-02")
    shutil.copytree(broken / "pseudo-01", broken / "pseudo-02")
    run(study_of(composed(words(broken, *WITH))))
    assert decided(broken) == decided(whole.folder.path)


def test_lost_guesses_are_named(whole: Study, words: Make, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(whole.folder.path, broken)
    shutil.rmtree(broken / "pseudo-02")
    shutil.rmtree(broken / "round-02")
    with pytest.raises(ValueError, match="pseudo-02 is missing but labels-02 is there"):
        run(study_of(composed(words(broken, *WITH))))


def test_without_pseudo_labels_nothing_is_different(whole: Study, words: Make, tmp_path: Path) -> None:
    config = composed(words(tmp_path / "plain", "rounds.n=2"))
    study = study_of(config)
    run(study)
    assert "pseudo" not in identity_of(config, study.store)
    assert not list(study.folder.path.rglob("pseudo*")) and "pseudo" not in json.loads(study.folder.metrics(1).read_text())
    plain, pseudo = decided(study.folder.path), decided(whole.folder.path)
    assert all(plain[key] == pseudo[key] for key in plain if not key.startswith("round-01")), "the first purchase does not see that guesses follow"
    assert plain["round-01/metrics.json"]["confusion"] != pseudo["round-01/metrics.json"]["confusion"]


def test_pairs_that_cannot_work_are_refused_before_training(words: Make, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"acquire=redal and pseudo=lidal .* scores differ"):
        study_of(composed([*(word for word in words(tmp_path / "a", "pseudo=lidal") if not word.startswith("acquire")), "acquire=redal"]))
    with pytest.raises(ValueError, match="not for sale in the next round"):
        study_of(composed(words(tmp_path / "b", *WITH, "rounds.step=40")))
    with pytest.raises(ValueError, match=r"pseudo: \(absent\) -> "):
        study_of(composed(words(tmp_path / "c")))
        study_of(composed(words(tmp_path / "c", *WITH)))


@pytest.mark.slow
def test_two_gloo_ranks_guess_the_same(whole: Study, words: Make, tmp_path: Path) -> None:
    two = tmp_path / "two"
    shutil.copytree(whole.folder.path, two)
    for gone in ("labels-01", "labels-02", "pseudo-01", "pseudo-02", "round-01", "round-02", "round-00/units"):
        shutil.rmtree(two / gone)
    (two / "round-00" / "metrics.json").unlink()
    process = started(words(two, *WITH, "rounds.n=2", "trainer.devices=2", "trainer.strategy=ddp", "trainer.accelerator=cpu"))
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    first, second = decided(whole.folder.path), decided(two)
    chosen = [key for key in second if not key.startswith("round-01")]
    assert "pseudo-01/classes.npy" in chosen and {key: second[key] for key in chosen} == {key: first[key] for key in chosen}
    assert (two / "round-01" / "metrics.json").is_file()
