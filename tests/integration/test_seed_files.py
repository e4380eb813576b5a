"""Seeds from files through the whole composition: a published list, another run's labels, and what a run exports."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from al3d.compose import study_of
from al3d.report.export import export
from al3d.rounds import Study, select, steps
from al3d.types import Bool
from al3d.world.rooms import plan, write_rooms

ROOT = Path(__file__).resolve().parents[2]
SEEDS = ROOT.parent / "shared" / "data" / "published_seeds"
#: ReDAL's seed on S3DIS.
REDAL = ("Area_2#hallway_8", "Area_2#WC_1", "Area_4#conferenceRoom_1", "Area_1#office_14")
SHORT = (
    *("dataset=s3dis", "dataset.scale.voxel=0.2", "net.width=0.0625", "acquire=random", "rounds.n=2", "rounds.step=8", "rounds.steps=2"),
    *("rounds.epochs=null", "rounds.batch=2", "rounds.checkpoint_every=2", "prepare.workers=1", "trainer.workers=0", "trainer.threads=1"),
)
#: Rooms this sparse have no regions of 100 points; of these there are some tens in each.
SPARSE = ("dataset.scale.supervoxel_voxel=0.25", "dataset.scale.supervoxel_seed=1.5", "acquire.unit.minimum_points=10")
IN_REGIONS = ("unit@seed.unit=supervoxel", "seed.unit.minimum_points=10")
Make = Callable[..., Study]


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight small generated rooms in the official layout, of which four have the names that ReDAL's list has."""
    root = tmp_path_factory.mktemp("official") / "rooms"
    write_rooms(root, 8, points=3000, n_jobs=1, quiet=True)
    train = [one.folder for one in (plan(1, index) for index in range(8)) if one.area != 5]
    for folder, scene in zip(train, REDAL, strict=False):
        target = root / scene.replace("#", "/")
        target.parent.mkdir(exist_ok=True)
        shutil.move(root / folder, target)
    return root


@pytest.fixture(scope="module")
def study(rooms: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Compose a small run in a folder of its own; prepared data are shared."""
    data = tmp_path_factory.mktemp("data")

    def make(*words: str) -> Study:
        folder = tmp_path_factory.mktemp("runs") / "run"
        overrides = [*SHORT, *SPARSE, f"dataset.root={rooms}", f"paths.data={data}", f"paths.run={folder}", "paths.shared=null", *words]
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            return study_of(compose("train", overrides=overrides))

    return make


def seeded(study: Study) -> Study:
    """Buy the seed alone."""
    next(steps(study))()
    assert study.labels.rounds == 1
    return study


def finished(study: Study) -> Study:
    """Every step but the report."""
    for step in steps(study):
        step()
    return study


def bought_twice(study: Study) -> Study:
    """Both purchases of a run whose method does not look at the network, without the training between them."""
    seeded(study)
    select(study, study.method, 0)
    return study


def asked(study: Study, round_index: int | None = None) -> dict[str, Bool]:
    return {scene: study.labels.asked(scene, round_index) for scene in study.store.splits["train"]}


def same(first: Mapping[str, Bool], second: Mapping[str, Bool]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[scene], second[scene]) for scene in first)


@pytest.fixture(scope="module")
def redal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ReDAL's list: the published file where it is at hand, else one that says the same."""
    if (SEEDS / "redal_s3dis.json").is_file():
        return SEEDS / "redal_s3dis.json"
    path = tmp_path_factory.mktemp("lists") / "redal_s3dis.json"
    path.write_text(json.dumps([scene.replace("#", "/coords/") + ".npy" for scene in REDAL]))
    return path


@pytest.fixture(scope="module")
def published(study: Make, redal: Path) -> Study:
    """Two rounds from ReDAL's list."""
    return finished(study("seed=published", f"seed.score.file={redal}"))


@pytest.fixture(scope="module")
def regions(study: Make) -> Study:
    """Two purchases of regions, the seed's included."""
    return bought_twice(study(*IN_REGIONS, "rounds.initial=10"))


def test_the_published_scenes_are_bought_and_rounds_go_on_from_there(published: Study) -> None:
    store, labels = published.store, published.labels
    assert {scene for scene, mask in asked(published, 0).items() if mask.all()} == set(REDAL) == set(labels.scenes(0))
    seed, bought = labels.purchase(0), labels.purchase(1)
    assert seed["units"] == 4 and seed["points"] == sum(store.sizes[scene] for scene in REDAL) and seed["name"] == "published"
    assert 0 < bought["points"] <= round(0.08 * published.base) and published.folder.metrics(1).is_file()


def test_a_seed_of_scenes_is_exported_and_bought_again(published: Study, study: Make, tmp_path: Path, redal: Path) -> None:
    export(published.folder.path, tmp_path, 0)
    assert sorted(json.loads((tmp_path / "init_label_scan.json").read_text())) == sorted(json.loads(redal.read_text()))
    lists = [json.loads((tmp_path / f"init_{side}_region.json").read_text()) for side in ("label", "ulabel")]
    assert set(lists[0]) == set(REDAL) and set(lists[0]) | set(lists[1]) == set(published.store.splits["train"])
    for words in (
        ("seed=published", f"seed.score.file={tmp_path / 'init_label_scan.json'}"),
        ("seed=list", f"seed.score.file={tmp_path / 'units.json'}"),
        ("seed=file", f"seed.unit.run={published.folder.path}", "seed.unit.round=0"),
    ):
        again = seeded(study(*words))
        assert same(asked(again), asked(published, 0)) and again.labels.purchase(0)["units"] == 4, words


def test_bought_regions_are_exported_and_bought_again(regions: Study, study: Make, tmp_path: Path) -> None:
    export(regions.folder.path, tmp_path)
    units = sum(regions.labels.purchase(index)["units"] for index in range(2))
    assert units > 5 and sum(map(len, json.loads((tmp_path / "init_label_region.json").read_text()).values())) == units
    for words in (("seed=published", f"seed.score.file={tmp_path / 'init_label_region.json'}"), ("seed=list", f"seed.score.file={tmp_path / 'units.json'}")):
        again = seeded(study(*IN_REGIONS, *words))
        assert same(asked(again), asked(regions)) and again.labels.purchase(0)["units"] == units
        assert again.labels.purchase(0)["points"] == regions.labels.purchase(1)["spent_points"]


def test_a_run_goes_on_from_what_another_bought(regions: Study, published: Study, study: Make) -> None:
    """Regions, and scenes with regions after them; the labels of the new run need neither the other's units nor its folder."""
    for earlier in (regions, published):
        again = seeded(study("seed=file", f"seed.unit.run={earlier.folder.path}"))
        assert same(asked(again), asked(earlier)) and again.labels.purchase(0)["units"] == sum(earlier.labels.purchase(index)["units"] for index in range(2))
    first = bought_twice(study("seed=file", f"seed.unit.run={regions.folder.path}", "seed.unit.round=0"))
    assert same(asked(first, 0), asked(regions, 0)) and not same(asked(first, 0), asked(regions))
    assert same(asked(first), asked(regions)), "the same random choice as in the other run, from the same labels"
    chained = seeded(study("seed=file", f"seed.unit.run={first.folder.path}"))
    assert same(asked(chained), asked(regions))


def test_what_a_seed_from_a_run_bought_is_exported(regions: Study, study: Make, tmp_path: Path) -> None:
    again = seeded(study("seed=file", f"seed.unit.run={regions.folder.path}"))
    for run, out in ((regions, "first"), (again, "again")):
        export(run.folder.path, tmp_path / out)
    for name in ("init_label_region.json", "init_ulabel_region.json", "init_label_scan.json", "units.json"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_lists_and_runs_that_do_not_fit_are_refused_before_anything_is_bought(published: Study, study: Make, tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps(["Area_1/coords/office_14.npy", *(f"Area_6/coords/hallway_{number}.npy" for number in range(20, 31))]))
    with pytest.raises(ValueError, match=r"11 of 12 listed scenes are not in the training split of s3dis.*Area_6#hallway_20, .* and 1 more"):
        study("seed=published", f"seed.score.file={path}")
    with pytest.warns(UserWarning, match="11 of 12 listed scenes are not there"):
        some = seeded(study("seed=published", f"seed.score.file={path}", "seed.score.missing=skip"))
    assert some.labels.scenes() == ("Area_1#office_14",)
    path.write_text(json.dumps({"Area_1#office_14": [1, 900]}))
    with pytest.raises(ValueError, match=r"whole scenes are asked for: add unit@seed\.unit=supervoxel"):
        study("seed=published", f"seed.score.file={path}")
    with pytest.raises(ValueError, match=r"region 900 is listed; region ids are not portable"):
        study("seed=published", f"seed.score.file={path}", *IN_REGIONS)
    with pytest.raises(ValueError, match=r"bought labels of s3dis \(content .*but the data set here is s3dis \(content .*dataset\.grid"):
        study("seed=file", f"seed.unit.run={published.folder.path}", "dataset.grid=0.1")
    with pytest.raises(ValueError, match=r"no value yet: seed\.score\.file"):
        study("seed=published")
    with pytest.raises(ValueError, match=r"no value yet: seed\.unit\.run"):
        study("seed=file")


@pytest.mark.skipif(not SEEDS.is_dir(), reason="the published lists are not here")
def test_published_regions_of_other_rooms_are_not_portable(study: Make) -> None:
    """The real list of regions speaks of real rooms: generated ones of the same names have other regions, and that is noticed."""
    lists = f"seed.score.region_list={SEEDS / 'redal_s3dis_regions.json'}"
    scans = ("seed=published", f"seed.score.file={SEEDS / 'redal_s3dis.json'}", lists, *IN_REGIONS)
    with pytest.warns(
        UserWarning, match=r"4 of 4 scenes have another number of regions: Area_2#hallway_8 409 there, .* D-27\); the listed scenes are bought whole"
    ):
        whole = seeded(study(*scans))
    for scene in REDAL:
        assert np.array_equal(whole.labels.asked(scene), np.asarray(whole.store.unit(whole.seed.unit, scene)) >= 0)
    with pytest.raises(ValueError, match="4 scenes have fewer regions than are listed: Area_2#hallway_8 has .*, region 409 is listed"):
        study("seed=published", f"seed.score.file={SEEDS / 'redal_s3dis_regions.json'}", *IN_REGIONS)
