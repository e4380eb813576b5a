"""Features that are described once: scenes are checked first, a killed process is taken up, and what is invalid is not kept."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from al3d.data.jobs import Jobs
from al3d.data.store import Store
from al3d.features.clustered import Clustered
from al3d.features.kept import keep_features
from al3d.types import F32, I32, Scene


@dataclass(frozen=True)
class Means:
    """Two rows per scene; writes every scene it describes into `log`, with the process that did it."""

    name: str
    log: str
    refused: tuple[str, ...] = ()
    deadly: str = ""
    parallel: bool = True
    how: str = "right"

    @property
    def identity(self) -> object:
        return ["Means", self.name]

    @property
    def of(self) -> None:
        return None

    def check(self, scene: Scene) -> None:
        if scene.id in self.refused:
            raise ValueError(f"scene {scene.id!r} cannot be described: take another")

    def __call__(self, scene: Scene, inner: F32 | None = None) -> F32:
        with open(self.log, "a") as log:
            log.write(f"{scene.id} {os.getpid()}\n")
        if scene.id == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        rows = np.stack([scene.xyz.mean(axis=0), scene.feat.mean(axis=0)]).astype(np.float32)
        wrong = {"double": rows.astype(np.float64), "flat": rows[0], "hole": rows * np.float32("nan"), "none": rows[:0], "right": rows}
        return wrong[self.how]

    def of_units(self, scene: Scene, unit: I32) -> F32:
        return np.stack([scene.xyz[unit == number].mean(axis=0) for number in range(unit.max() + 1)]).astype(np.float32)


def told(log: Path) -> list[str]:
    return [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []


def test_every_scene_is_described_once(tiny_store, tmp_path):
    log = tmp_path / "log"
    features, names = Means("once", str(log)), tiny_store.splits["train"]
    keep_features(tiny_store, features, None, names[:4], Jobs())
    keep_features(tiny_store, features, None, names, Jobs())
    assert told(log) == list(names)
    for name in names:
        scene = tiny_store.scene(name)
        assert np.array_equal(tiny_store.described(features, name), np.stack([scene.xyz.mean(axis=0), scene.feat.mean(axis=0)]).astype(np.float32))


def test_all_scenes_are_checked_before_any_is_described(tiny_store, tmp_path):
    names, log = tiny_store.splits["train"], tmp_path / "log"
    features = Means("refused", str(log), refused=(names[2], names[5]))
    with pytest.raises(ValueError, match="refused features cannot describe 2 of 6 scenes of tiny") as error:
        keep_features(tiny_store, features, None, names, Jobs())
    assert f"scene {names[2]!r} cannot be described" in str(error.value) and names[5] in str(error.value)
    assert told(log) == [] and not tiny_store.features_file(features, names[0]).parent.exists()


def test_a_long_list_of_refused_scenes_is_cut(tiny_store, tmp_path):
    names = tiny_store.splits["train"]
    with pytest.raises(ValueError, match="and 1 more") as error:
        keep_features(tiny_store, Means("many", str(tmp_path / "log"), refused=names), None, names, Jobs())
    assert str(error.value).count("cannot be described") == 5


def test_what_is_kept_already_is_not_checked_again(tiny_store, tmp_path):
    names, log = tiny_store.splits["train"][:2], str(tmp_path / "log")
    keep_features(tiny_store, Means("gone", log), None, names, Jobs())
    keep_features(tiny_store, Means("gone", log, refused=names), None, names, Jobs())
    assert len(told(tmp_path / "log")) == 2


KILLED = """
import sys
sys.path.insert(0, {tests!r})
from test_kept import Means
from pathlib import Path
from al3d.data.jobs import Jobs
from al3d.data.store import Store
from al3d.features.kept import keep_features

store = Store(Path({store!r}))
keep_features(store, Means("killed", {log!r}, deadly=store.splits["train"][3]), None, store.splits["train"], Jobs())
"""


def test_a_killed_process_is_taken_up(tiny_store, tmp_path):
    names, log = tiny_store.splits["train"], tmp_path / "log"
    code = KILLED.format(tests=str(Path(__file__).parent), store=str(tiny_store.path), log=str(log))
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120).returncode == -signal.SIGKILL
    assert told(log) == list(names[:4]), "it died over the fourth scene"
    features = Means("killed", str(log))
    assert [tiny_store.features_file(features, name).is_file() for name in names] == [True] * 3 + [False] * 3
    keep_features(tiny_store, features, None, names, Jobs())
    assert told(log)[4:] == list(names[3:])
    whole = Means("whole", str(tmp_path / "other"))
    keep_features(tiny_store, whole, None, names, Jobs())
    assert all(np.array_equal(tiny_store.described(features, name), tiny_store.described(whole, name)) for name in names)


@pytest.mark.parametrize(
    ("how", "words"), [("double", r"float64 \[2, 3\]"), ("flat", r"float32 \[3\]"), ("hole", "finite float32"), ("none", r"float32 \[0, 3\]")]
)
def test_invalid_features_are_refused_and_not_kept(tiny_store, tmp_path, how, words):
    features, name = Means(f"wrong-{how}", str(tmp_path / "log"), how=how), tiny_store.splits["train"][0]
    with pytest.raises(ValueError, match=words):
        keep_features(tiny_store, features, None, [name], Jobs())
    assert not tiny_store.features_file(features, name).exists()
    with pytest.raises(FileNotFoundError, match=r"was not prepared .*run al3d prepare"):
        tiny_store.described(features, name)


def test_units_have_files_of_their_own(tiny_store, tiny_supervoxel, tmp_path):
    features, name = Means("units", str(tmp_path / "log")), tiny_store.splits["train"][0]
    keep_features(tiny_store, features, tiny_supervoxel, [name], Jobs())
    unit, scene = tiny_store.unit(tiny_supervoxel, name), tiny_store.scene(name)
    rows = tiny_store.described(features, name, tiny_supervoxel)
    assert np.array_equal(rows, features.of_units(scene, unit)) and len(rows) == unit.max() + 1
    assert not tiny_store.features_file(features, name).exists() and told(tmp_path / "log") == []


def test_what_is_clustered_is_described_once_for_all_numbers_of_clusters(tiny_store, tmp_path):
    log, names = tmp_path / "log", tiny_store.splits["train"]
    inner = Means("inner", str(log))
    for clusters in (1, 2):
        keep_features(tiny_store, Clustered(inner, clusters), None, names, Jobs())
    assert told(log) == list(names)
    rows = tiny_store.described(inner, names[0])
    assert tiny_store.described(Clustered(inner, 1), names[0]) == pytest.approx(rows.mean(axis=0, keepdims=True), abs=1e-6)
    assert tiny_store.described(Clustered(inner, 2), names[0]).shape == (2, 3)


def test_an_extractor_that_is_bound_to_a_device_stays_in_this_process(tiny_store: Store, tmp_path):
    log, names = tmp_path / "log", tiny_store.splits["train"]
    keep_features(tiny_store, Means("bound", str(log), parallel=False), None, names, Jobs(workers=2))
    assert {int(line.split()[1]) for line in log.read_text().splitlines()} == {os.getpid()} and told(log) == list(names)
