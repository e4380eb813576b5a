"""Every seed of conf/seed buys its labels from a prepared data set, as a user would compose it; whole scenes, parts of them, and thinned drives."""

from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from al3d.acquire.described import looked_at
from al3d.compose import study_of
from al3d.rounds import steps

from .small import STREET

ROOT = Path(__file__).resolve().parents[2]
SEEDS = sorted(file.stem for file in (ROOT / "conf" / "seed").glob("[!_]*.yaml"))
#: Buy whole scenes by features; with other units they buy those.
BY_FEATURES = ("kcenter", "kmcentroid", "kmfurthest", "probcover", "typiclust")
SHORT = (
    "net.width=0.0625",
    "features=geometry",
    "rounds.n=1",
    "rounds.initial=40",
    "rounds.steps=2",
    "rounds.epochs=null",
    "rounds.batch=2",
    "prepare.workers=1",
    "trainer.workers=0",
    "trainer.threads=1",
)
OUTDOORS = ("basal",)
#: With centred features few scenes are as alike within as this one asks for.
OPTIONS = {"seedal_intra_similarity": ("seed.pick.center=false",)}
#: One of each kind runs every time, the others with the slow tests.
FAST = ("kmcentroid", "random_stratified")
THIN = "+seed.thin={_target_: al3d.acquire.thin.Sparsify, features: ${features}, threshold: null, at_most: 5}"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("seeds")


@pytest.fixture
def study(data, tiny_root, tmp_path):
    """A composed run; prepared data are shared by the module."""

    def make(name, *more, street=False, outputs="outputs"):
        where = STREET if street else ("dataset=folder", "augment@dataset.augment=mirror", f"dataset.root={tiny_root}")
        words = (f"seed={name}", *where, *SHORT, *more, f"paths.data={data}", f"paths.outputs={tmp_path / outputs}")
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            return study_of(compose("train", overrides=list(words)))

    return make


def marked(names):
    return [pytest.param(name, marks=[] if name in FAST else pytest.mark.slow) for name in names]


def buy(run):
    """Do the first step, the seed alone; the bought units of every scene, in scene order."""
    step = next(steps(run))
    assert step.args[1] is run.seed, "the seed comes first"
    step()
    return {name: np.flatnonzero(asked).tolist() for name in run.store.splits["train"] if (asked := run.labels.asked(name)).any()}


def base(run):
    return sum(run.store.sizes[name] for name in run.store.splits["train"])


def needs_a_value(node):
    """Whether an option has no value until a user gives one."""
    return "???" in OmegaConf.to_yaml(node)


@pytest.mark.parametrize("name", marked(SEEDS))
def test_every_seed_buys_and_keeps_to_its_budget(study, name):
    if needs_a_value(OmegaConf.load(ROOT / "conf" / "seed" / f"{name}.yaml")):
        pytest.skip(f"{name} reads files that must be named: it has tests of its own")
    if name == "basal":
        pytest.importorskip("pypatchworkpp", reason="BaSAL needs pip install al3d[ground]")
    street = name in OUTDOORS
    run = study(name, *OPTIONS.get(name, ()), street=street)
    bought, record = buy(run), run.labels.purchase(0)
    points = sum(map(len, bought.values()))
    assert record["round"] == 0 and record["name"] == run.seed.title and record["points"] == points > 0 and record["scenes"] == len(bought)
    if run.seed.budget.per == "everything":
        assert points == base(run)
    elif run.seed.budget.per == "percent":
        crossing = max(run.store.sizes.values()) if run.seed.budget.overshoot is None and run.seed.unit.name == "scene" else 0
        assert points <= 0.4 * base(run) + crossing
    again = buy(study(name, *OPTIONS.get(name, ()), street=street, outputs="again"))
    assert again == bought, "the same run buys the same"


@pytest.mark.parametrize("name", marked([*BY_FEATURES, "random", "random_stratified"]))
def test_regions_instead_of_scenes(study, name):
    run = study(name, "unit@seed.unit=supervoxel", "seed.unit.minimum_points=20", "rounds.initial=10", "features.parts=8")
    bought = buy(run)
    record = run.labels.purchase(0)
    assert record["unit"].startswith("supervoxel") and record["units"] > len(bought) >= 1
    assert 0.05 * base(run) < record["points"] <= 0.1 * base(run)
    for scene, points in bought.items():
        unit = run.store.unit(run.seed.unit, scene)
        assert sorted(np.flatnonzero(np.isin(unit, np.unique(unit[points])) & (unit >= 0)).tolist()) == points, "whole regions"


def test_points_instead_of_scenes(study):
    run = study("random", "unit@seed.unit=point", "rounds.initial=0.5", "+seed.shortlist=100")
    bought = buy(run)
    assert sum(map(len, bought.values())) == round(0.005 * base(run)) == run.labels.purchase(0)["units"]


def test_random_points_of_every_scene(study):
    run = study("random_points", "seed.budget.amount=7")
    bought = buy(run)
    assert set(bought) == set(run.store.splits["train"]) and all(len(points) == 7 for points in bought.values())
    places = [np.array(points) / run.store.sizes[name] for name, points in bought.items()]
    assert np.ptp(np.concatenate(places)) > 0.5 and len({tuple(points) for points in bought.values()}) == len(bought), "drawn anew in every scene"
    assert len(run.pool(run.seed, -1).harvest_unpredicted(quiet=True)) == 7 * len(bought), "no more rows than are bought"


@pytest.mark.slow
def test_basal_serves_objects_of_every_size_and_the_ground(study):
    pytest.importorskip("pypatchworkpp", reason="BaSAL needs pip install al3d[ground]")
    run = study("basal", "rounds.initial=20", street=True)
    buy(run)
    units = run.pool(run.seed, -1).harvest_unpredicted(quiet=True)
    stratum = run.seed.pick.strata(units)
    asked = {name: run.labels.asked(name) for name in run.store.splits["train"]}
    spent = np.zeros(int(stratum.max()) + 1, np.int64)
    for row in range(len(units)):
        name = run.store.splits["train"][units.scene[row]]
        inside = run.store.unit(run.seed.unit, name) == units.unit[row]
        spent[stratum[row]] += int((inside & asked[name]).sum())
    there = np.unique(stratum)
    share = 0.2 * base(run) / len(there)
    assert len(there) == 4 and (spent[there] > 0).all() and (spent[there] <= share + 1).all()
    assert spent.sum() == run.labels.purchase(0)["points"]


@pytest.mark.parametrize("name", marked([*BY_FEATURES, "random"]))
def test_thinned_drives(study, name):
    """Frames that thinning leaves out are not bought, and need no features of their own beyond what thinning reads."""
    run = study(name, THIN, "rounds.initial=20", "features.parts=8", street=True)
    names = run.store.splits["train"]
    there = {names[index] for index in looked_at(run.store, run.seed)}
    assert 1 <= len(there) <= 5 < len(names) == 12
    bought = buy(run)
    assert bought and set(bought) <= there


def test_centroids_are_typical_and_the_furthest_are_not(study):
    runs = {name: study(name, "rounds.initial=2", "rounds.initial_per=units") for name in ("kmcentroid", "kmfurthest")}
    bought = {name: set(buy(run)) for name, run in runs.items()}
    assert len(bought["kmcentroid"]) == len(bought["kmfurthest"]) == 2 and bought["kmcentroid"] != bought["kmfurthest"]


@pytest.mark.parametrize("name", marked(BY_FEATURES))
def test_a_budget_below_every_scene_proposes_parts_of_scenes(study, name):
    run = study(name, "rounds.initial=1")
    with pytest.raises(
        ValueError, match=rf"{name} \(geometry\) asks for whole scenes, but the budget of .* raise rounds\.initial, or ask for parts"
    ) as refused:
        buy(run)
    proposed = str(refused.value).rsplit("parts of scenes: ", 1)[1].split()
    assert proposed == ["unit@seed.unit=supervoxel", "features=geometry"]
    assert buy(study(name, "rounds.initial=1", *proposed, "seed.unit.minimum_points=1", "features.parts=8"))


def test_pictures_do_not_describe_regions(study):
    with pytest.raises(ValueError, match=r"describe whole scenes, not units: set features=geometry, or unit@seed\.unit=scene"):
        study("kmcentroid", "unit@seed.unit=supervoxel", "features=rendered")


def test_ground_needs_a_scanner(study):
    with pytest.raises(ValueError, match=r"basal asks for clusters above the ground.*red, green, blue instead of an intensity.*unit\.ground=false"):
        study("basal")


def test_one_class_has_no_pseudo_classes_to_tell_apart(study):
    with pytest.raises(Exception, match=r"pseudo_classes=1: balls can be impure only among 2 pseudo-classes or more"):
        study("probcover", "seed.pick.pseudo_classes=1")
