"""Every method of conf/acquire runs two rounds on tiny data, and says before training where it cannot work."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir

from al3d.acquire.reduce import join, load_units
from al3d.compose import study_of
from al3d.rounds import steps

from .small import STREET

ROOT = Path(__file__).resolve().parents[2]
#: `list` needs a file, and has tests of its own.
METHODS = sorted(file.stem for file in (ROOT / "conf" / "acquire").glob("[!_]*.yaml") if file.stem != "list")
SHORT = (
    "net=spvcnn",
    "net.width=0.0625",
    "rounds.n=2",
    "rounds.initial=2",
    "rounds.initial_per=units",
    "rounds.step=8",
    "rounds.steps=2",
    "rounds.epochs=null",
    "rounds.batch=2",
    "rounds.checkpoint_every=2",
    "prepare.workers=1",
    "trainer.workers=0",
    "trainer.threads=1",
)
OUTDOORS = {"lidal": ("acquire.score.frames=2", "unit@acquire.unit=column", "rounds.step=20"), "basal": ("acquire.unit.ground=true", "rounds.step=4")}
#: Fewer passes, clusters and candidates, so that a run takes seconds.
SMALLER = {
    "bald": ("acquire.passes=2",),
    "mc_dropout": ("acquire.passes=2",),
    "hpal": ("acquire.shortlist=300", "rounds.step=1"),
    "redal": ("acquire.pick.clusters=8",),
    "typiclust": ("acquire.pick.clusters=8",),
    "coreset": ("acquire.budget.overshoot=include",),
    "segent": ("acquire.budget.overshoot=include",),
}
#: One of each kind of score and picker runs every time, the others with the slow tests.
FAST = ("badge", "bald", "hpal", "lidal", "segent")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("methods")


@pytest.fixture
def study(data, tiny_root, tmp_path):
    """A composed run; prepared data are shared by the module."""

    def make(name, *more, street=False):
        where = STREET if street else ("dataset=folder", "augment@dataset.augment=mirror", f"dataset.root={tiny_root}")
        words = (f"acquire={name}", *where, *SHORT, *SMALLER.get(name, ()), *more, f"paths.data={data}", f"paths.outputs={tmp_path / 'outputs'}")
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            return study_of(compose("train", overrides=list(words)))

    return make


def marked(name):
    return pytest.param(name, marks=[] if name in FAST else pytest.mark.slow)


@pytest.mark.parametrize("name", [marked(name) for name in METHODS])
def test_two_rounds_of_every_method(study, name):
    if name == "basal":
        pytest.importorskip("pypatchworkpp", reason="BaSAL needs pip install al3d[ground]")
    run_of = study(name, *OUTDOORS[name], street=True) if name in OUTDOORS else study(name)
    for step in steps(run_of):  # all but the report
        step()
    labels = run_of.labels
    seed, bought = labels.purchase(0), labels.purchase(1)
    assert labels.rounds == 2 and bought["name"] == name and bought["units"] > 0 and run_of.folder.metrics(1).is_file()
    table = pd.read_parquet(run_of.folder.round(0) / "selection.parquet")
    assert len(table) == bought["units"] and not table.duplicated(["scene", "unit"]).any() and table["size"].sum() == bought["points"]
    asked = sum(int(labels.asked(scene).sum()) for scene in run_of.store.splits["train"])
    assert asked == seed["points"] + bought["points"] == bought["spent_points"]
    if run_of.method.predicts:
        units = join([load_units(file) for file in sorted((run_of.folder.round(0) / "units").glob("*.npz"), key=lambda file: int(file.stem))])
        assert np.isfinite(units.score).all() and np.isfinite(units.feature.astype(np.float32)).all() and (units.predicted != 255).all()
        assert units.feature.shape[1] > 0 or "feature" not in run_of.method.needs


@pytest.mark.slow
def test_coreset_takes_the_bottleneck_where_asked(study):
    wanted = {"penultimate": 8, "bottleneck": 256}
    widths, names = {}, set()
    for feature, width in wanted.items():
        run_of = study("coreset", f"acquire.feature={feature}", "net.width=1.0" if feature == "bottleneck" else "net.width=0.08")
        for step in steps(run_of):
            step()
        units = load_units(next((run_of.folder.round(0) / "units").glob("*.npz")))
        widths[feature] = units.feature.shape[1]
        names.add(run_of.folder.path.name)
        assert width and np.isfinite(units.feature.astype(np.float32)).all() and run_of.labels.purchase(1)["units"] > 0
    assert widths == wanted and len(names) == 2


def test_every_method_is_run_here():
    assert set(FAST) | set(OUTDOORS) | set(SMALLER) <= set(METHODS) and len(METHODS) >= 17


@pytest.mark.parametrize("name", ["mc_dropout", "bald"])
def test_passes_need_dropout(study, name):
    with pytest.raises(ValueError, match=rf"{name} makes 2 dropout passes, but the network has no dropout: set net\.dropout=0\.3, or choose net=spvcnn"):
        study(name, "net=minkunet")
    with pytest.raises(ValueError, match="no dropout"):
        study(name, "net.dropout=0.0")
    assert study(name, "net=minkunet", "net.dropout=0.2").method.passes == 2


def test_mutual_information_needs_several_passes(study):
    with pytest.raises(Exception, match=r"compares several dropout passes, but passes=1: set acquire\.passes=10"):
        study("bald", "acquire.passes=1")


def test_frames_need_a_drive(study):
    with pytest.raises(ValueError, match=r"lidal compares the frames of a drive, but the scenes of tiny belong to none: choose a LiDAR data set"):
        study("lidal", "unit@acquire.unit=voxel")


def test_drives_must_be_long_enough(study):
    with pytest.raises(ValueError, match=r"drive '00' has 6 frames.*it needs at least 25; lower score\.frames"):
        study("lidal", "unit@acquire.unit=column", street=True)


def test_ground_needs_a_scanner(study):
    with pytest.raises(ValueError, match=r"basal asks for clusters above the ground.*red, green, blue instead of an intensity.*acquire\.unit\.ground=false"):
        study("basal")


def test_colour_needs_colours(study):
    with pytest.raises(ValueError, match=r"colour.* needs the attributes red, green, blue, but street has intensity: set that term's weight to 0"):
        study("redal", "dataset.redal.colour=0.1", street=True)


@pytest.mark.parametrize(
    ("name", "word", "says"),
    [
        ("redal", "acquire.score.weights=[0,0,0]", "every weight of the weighted sum is 0"),
        ("hpal", "acquire.score.grids=[0.1,-1]", "cell sizes are positive metres"),
        ("hpal", "acquire.pick.reference=all", "reference round or labelled"),
        ("lidal", "acquire.score.frames=0", "frames >= 1"),
        ("lidal", "acquire.pick.radius=0", "it must be positive"),
        ("basal", "acquire.pick.pick.reference=0", "at least 1 labelled unit"),
        ("badge", "acquire.embedding=hessian", "is not one of mean, direction, gradient"),
        ("entropy", "+acquire.views=0", "must be at least 1"),
        ("coreset", "acquire.feature=logits", "is not penultimate or bottleneck"),
        ("badge", "+acquire.feature=bottleneck", "nor with embedding=gradient: set acquire.feature=penultimate"),
    ],
)
def test_wrong_numbers_are_named_before_any_data_is_read(study, data, name, word, says):
    before = sorted(data.rglob("*"))
    with pytest.raises(Exception, match=says):
        study(name, word)
    assert sorted(data.rglob("*")) == before
