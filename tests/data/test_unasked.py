"""How much can never be asked for: counted once, kept beside the unit ids, and said where it is much."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from al3d.compose import chosen_methods, data_source, prepared
from al3d.data import unasked
from al3d.data.prepare import prepare
from al3d.data.sources.folder import Folder
from al3d.data.store import Store
from al3d.data.unasked import never_asked, unasked_warning
from al3d.files import read_json
from al3d.progress import console
from al3d.units.kmeans_region import KMeansRegion
from al3d.units.point import PointUnit
from al3d.units.supervoxel import Supervoxel

CONF = Path(__file__).resolve().parents[2] / "conf"
#: On the tiny tables regions have about 90 points.
LARGE = Supervoxel(0.05, 0.4, minimum_points=120)


@pytest.fixture(scope="module")
def store(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return prepare(Folder(tiny_root), tmp_path_factory.mktemp("unasked"), partitioners=(LARGE, Supervoxel(0.05, 0.4, minimum_points="auto"), KMeansRegion(6)))


def file_of(store: Store, unit: Supervoxel) -> Path:
    return store.unit_file(unit, "-").with_name("unasked.json")


def test_the_share_is_that_of_the_training_points_and_is_counted_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    names = store.splits["train"]
    ids = np.concatenate([store.unit(LARGE, name) for name in names])
    assert never_asked(store, LARGE) == pytest.approx((ids < 0).mean()) and 0.1 < (ids < 0).mean() < 1
    kept = read_json(file_of(store, LARGE))
    assert kept == {"points": len(ids), "in_no_unit": int((ids < 0).sum()), "share": (ids < 0).mean()}
    monkeypatch.setattr(unasked, "_outside", lambda *_: pytest.fail("a restart counts again"))
    assert never_asked(store, LARGE) == kept["share"]


def test_units_that_are_not_stored_leave_nothing_out(store: Store) -> None:
    assert never_asked(store, PointUnit()) == 0 and unasked_warning(store, PointUnit(), "acquire") is None


def test_a_store_that_may_not_be_written_is_counted_all_the_same(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    file_of(store, LARGE).unlink(missing_ok=True)
    monkeypatch.setattr(unasked.os, "access", lambda *_: False)
    assert never_asked(store, LARGE) > 0.1 and not file_of(store, LARGE).exists()


def test_the_warning_names_unit_share_and_way_out(store: Store) -> None:
    words = unasked_warning(store, LARGE, "acquire")
    assert words is not None and f"{100 * never_asked(store, LARGE):.1f} % of the training points of tiny can never be asked for" in words
    assert "supervoxel-0.05-0.4 (minimum_points=120)" in words and "acquire.unit.minimum_points=1" in words and "unit@acquire.unit=auto" in words
    assert "seed.unit.minimum_points=1" in str(unasked_warning(store, LARGE, "seed"))
    assert unasked_warning(store, Supervoxel(0.05, 0.4, minimum_points="auto"), "acquire") is None
    assert unasked_warning(store, KMeansRegion(6), "acquire") is None


@pytest.mark.parametrize(("share", "said"), [(0.1, False), (0.1001, True)])
def test_a_tenth_is_not_much_and_options_that_a_unit_lacks_are_not_proposed(store: Store, monkeypatch: pytest.MonkeyPatch, share: float, said: bool) -> None:
    monkeypatch.setattr(unasked, "never_asked", lambda *_: share)
    for unit in (KMeansRegion(6), Supervoxel(0.05, 0.4, minimum_points=1)):
        words = unasked_warning(store, unit, "acquire")
        assert (words is not None) == said and "minimum_points" not in str(words)


@pytest.mark.parametrize(("options", "lines"), [(["acquire.unit.minimum_points=120"], 1), ([], 0), (["acquire.unit.minimum_points=1"], 0)])
def test_preparing_says_it(tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], lines: int) -> None:
    words = ["dataset=folder", f"dataset.root={tiny_root}", f"paths.data={tmp_path}", "acquire=random", *options]
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        config = compose("train", overrides=words)
    for _ in range(2):  # a restart says it again, and counts nothing
        printed = io.StringIO()
        monkeypatch.setattr(console, "file", printed)
        source = data_source(config)
        prepared(config, source, chosen_methods(config)[:2])
        assert printed.getvalue().count("can never be asked for") == lines
    assert "points in no" not in printed.getvalue()


def test_two_methods_of_one_unit_say_it_once(tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["dataset=folder", f"dataset.root={tiny_root}", f"paths.data={tmp_path}", "acquire=random", "unit@seed.unit=supervoxel"]
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        config = compose("train", overrides=[*words, "acquire.unit.minimum_points=120", "seed.unit.minimum_points=120"])
    printed = io.StringIO()
    monkeypatch.setattr(console, "file", printed)
    prepared(config, data_source(config), chosen_methods(config)[:2])
    assert printed.getvalue().count("can never be asked for") == 1 and "can never be asked for as acquire.unit" in printed.getvalue()


def test_a_unit_that_leaves_out_everything_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unasked, "never_asked", lambda *_: 1.0)
    with pytest.raises(ValueError, match=r"no training point of tiny .* acquire.unit.*minimum_points=120.*: keep small regions with acquire.unit.min"):
        unasked_warning(store, LARGE, "acquire")
