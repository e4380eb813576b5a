"""Preparing: resumable at every moment, equal for any number of workers, and honest about broken scenes."""

import errno
import logging
import os
import pickle
import signal
import subprocess
import sys
import uuid
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest

from al3d.data import prepare as prepare_module
from al3d.data.extras import ColourDiscontinuity, SurfaceVariation
from al3d.data.jobs import Jobs, Light
from al3d.data.prepare import prepare, store_folder, voxel_counts
from al3d.data.sources.folder import Folder
from al3d.data.store import Store
from al3d.files import read_json
from al3d.progress import console
from al3d.types import IGNORE, ClassTable, Partition, Scene

OSD = Path(__file__).parents[3] / "shared" / "data" / "osd"


@dataclass(frozen=True)
class Boxes:
    """Eight scenes; `broken` ones raise, `dead` kills the process when it is read."""

    broken: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    dead: str = ""
    mark: str = "1"
    name: str = "boxes"
    features: tuple[str, ...] = ("red", "green", "blue")
    points: int = 120

    @property
    def classes(self):
        return ClassTable(("a", "b", "c"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)))

    @property
    def scale(self):
        return {}

    def scenes(self, split):
        return tuple(f"s{index}" for index in (range(6) if split == "train" else range(6, 8)))

    def read(self, scene_id):
        if scene_id == self.dead:
            os.kill(os.getpid(), signal.SIGKILL)
        if scene_id in self.broken:
            raise ValueError(f"{scene_id}.ply: line 3 is broken")
        random = np.random.default_rng(int(scene_id[1:]))
        label = random.choice(np.array([0, 1, 2, IGNORE], np.uint8), self.points)
        if scene_id in self.unlabelled:
            label[:] = IGNORE
        return Scene(scene_id, random.random((self.points, 3), np.float32), random.random((self.points, 3), np.float32)), label

    def fingerprint(self):
        return self.mark


@dataclass(frozen=True)
class Halves:
    """Two units."""

    broken: bool = False
    stored: bool = True
    name: str = "halves"
    kinds: tuple[str, ...] = ("half",)

    def __call__(self, scene):
        unit = (np.arange(len(scene)) % 2).astype(np.int32)
        return Partition(unit * 2 if self.broken and scene.id == "s3" else unit)


PARTS = {"extras": (SurfaceVariation(8), ColourDiscontinuity(8)), "partitioners": (Halves(),)}


def content(root):
    """Every file below `root` with its bytes; the temporary ones too."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("grid", [None, 0.3])
def test_any_number_of_workers_writes_the_same_bytes(tmp_path, whole, grid):
    prepare(Boxes(), tmp_path, grid=grid, workers=2, **PARTS)
    assert content(tmp_path) == whole[grid]
    assert len(whole[grid]) == 1 + 8 * (3 + 1 + 2 * (grid is not None)) + 6 * 3 + 3


def test_a_second_call_reads_and_writes_nothing(tmp_path, monkeypatch):
    first = prepare(Boxes(), tmp_path, **PARTS)
    monkeypatch.setattr(Boxes, "read", None)
    monkeypatch.setattr(prepare_module, "save", None)
    with console.capture() as said:
        again = prepare(Boxes(), tmp_path, **PARTS)
    assert again.data_hash == first.data_hash
    assert said.get() == ""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The files that an undisturbed run leaves, without and with a grid."""
    roots = {grid: tmp_path_factory.mktemp("whole") for grid in (None, 0.3)}
    for grid, root in roots.items():
        prepare(Boxes(), root, grid=grid, **PARTS)
    return {grid: content(root) for grid, root in roots.items()}


@pytest.mark.parametrize(("grid", "call"), [(None, 0), (None, 1), (None, 5), (None, 24), (None, 37), (0.3, 2), (0.3, 3), (0.3, 40)])
def test_stopped_at_any_write_it_goes_on_to_the_same_bytes(tmp_path, monkeypatch, whole, call, grid):
    real, calls = np.save, []

    def full(file, array, **options):
        calls.append(file)
        if len(calls) > call:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file, array, **options)

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full)
        with pytest.raises(OSError, match=r"no space left for .*free some on that disk and run the same command again") as error:
            prepare(Boxes(), tmp_path / "stopped", grid=grid, **PARTS)
        assert error.value.errno == errno.ENOSPC
    path = store_folder(Boxes(), tmp_path / "stopped", grid=grid)
    assert (path / "manifest.json").is_file() == (call >= (40 if grid else 24))
    prepare(Boxes(), tmp_path / "stopped", grid=grid, **PARTS)
    assert content(tmp_path / "stopped") == whole[grid]


def test_finished_scenes_are_not_read_again(tmp_path):
    with pytest.raises(ValueError, match="s4"):
        prepare(Boxes(broken=("s4",)), tmp_path)
    rest = tuple(f"s{index}" for index in range(8) if index != 4)
    assert prepare(Boxes(broken=rest), tmp_path).sizes["s4"] == 120


def test_killed_in_the_middle_it_goes_on_to_the_same_bytes(tmp_path, whole):
    code = "from pathlib import Path\nfrom test_prepare import Boxes, PARTS, prepare\nprepare(Boxes(dead='s5'), Path('killed'), **PARTS)"
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(content(tmp_path / "killed")) == 5 * 4 + 1  # and its lock, which the next process takes over
    with pytest.raises(FileNotFoundError, match="run al3d prepare"):
        Store(store_folder(Boxes(), tmp_path / "killed"))
    prepare(Boxes(), tmp_path / "killed", **PARTS)
    assert content(tmp_path / "killed") == whole[None]


@pytest.mark.parametrize("workers", [1, 2])
def test_broken_scenes_are_listed_after_the_others_are_done(tmp_path, workers):
    source = Boxes(broken=("s1", "s6"))
    with pytest.raises(ValueError, match=r"boxes: scenes: 2 of 8 scenes failed; the others are done and stay\n  s1: s1\.ply: line 3 is broken\n  s6: s6"):
        prepare(source, tmp_path, workers=workers)
    path = store_folder(source, tmp_path)
    assert sorted(one.name for one in (path / "scenes").iterdir()) == ["s0", "s2", "s3", "s4", "s5", "s7"]
    assert not (path / "manifest.json").exists()


def test_a_scene_at_which_a_library_fails_is_listed_and_a_full_disk_ends_it():
    def work(scene):
        return {"s1": 1}[scene]

    with pytest.raises(ValueError, match=r"things: 1 of 2 scenes failed; the others are done and stay\n  s0: KeyError: 's0'"):
        Jobs().each(work, ["s0", "s1"], "things")

    def full(scene):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        Jobs().each(full, ["s0", "s1"], "things")


def test_a_broken_partition_is_named(tmp_path):
    with pytest.raises(
        ValueError, match=r"halves units: 1 of 6 scenes failed(.|\n)*s3: Halves\(broken=True.* gave ids \[0, 2\]\.\.2, but must give every id from 0"
    ):
        prepare(Boxes(), tmp_path, partitioners=[Halves(broken=True)])


def test_what_a_source_must_keep_to(tmp_path, monkeypatch):
    good = Boxes().read("s0")
    for scene, label, message in (
        (good[0], good[1][:-1], r"labels are uint8 \[119\], but must be uint8 \[120\]"),
        (good[0], good[1].astype(np.int64), r"labels are int64"),
        (good[0], np.full(120, 3, np.uint8), r"labels \[3\] are neither a class \(0\.\.2\) nor 255"),
        (Scene("s0", good[0].xyz, good[0].feat[:, :2]), good[1], "2 features per point, but the source promises red, green, blue"),
        (Scene("x", good[0].xyz, good[0].feat), good[1], "returned scene 'x' for 's0'"),
    ):
        monkeypatch.setattr(Boxes, "read", lambda self, scene_id, scene=scene, label=label: (scene, label))
        with pytest.raises(ValueError, match=message):
            prepare(Boxes(), tmp_path)


def test_splits_and_arguments_are_checked(tmp_path, monkeypatch):
    for options, message in (({"workers": 0}, "workers=0"), ({"grid": -1.0}, "grid=-1.0: give a positive"), ({"grid": float("nan")}, "grid=nan")):
        with pytest.raises(ValueError, match=message):
            prepare(Boxes(), tmp_path, **options)
    for ids, message in ((("a", "a"), "a occur more than once"), (("a/b",), "scene id 'a/b': use letters"), ((".a",), "'.a'"), ((), "no scenes")):
        monkeypatch.setattr(Boxes, "scenes", lambda self, split, ids=ids: ids if split == "train" else ())
        with pytest.raises(ValueError, match=message):
            prepare(Boxes(), tmp_path)
    with pytest.raises(ValueError, match=r"data set name 'a b'"):
        prepare(Boxes(name="a b"), tmp_path)


def test_colours_are_needed_for_colour_discontinuity(tmp_path):
    with pytest.raises(ValueError, match="colour_discontinuity needs the features red, green, blue first, but boxes has x, y, z: leave it out"):
        prepare(Boxes(features=("x", "y", "z")), tmp_path, extras=[ColourDiscontinuity()])


def test_the_folder_follows_raw_files_grid_and_splits(tmp_path):
    folders = [store_folder(Boxes(), tmp_path), store_folder(Boxes(mark="2"), tmp_path), store_folder(Boxes(), tmp_path, grid=0.1)]
    folders += [store_folder(Boxes(), tmp_path, grid=0.2), store_folder(Boxes(), tmp_path, ("train",))]
    assert len(set(folders)) == 5
    assert store_folder(Boxes(), tmp_path, ("val", "train")) == folders[0]
    assert folders[0].name.startswith("boxes-")
    assert len(folders[0].name) == len("boxes-") + 12


def test_data_hash_follows_content_alone(tmp_path):
    first = prepare(Boxes(), tmp_path / "a").data_hash
    assert prepare(Boxes(mark="other times"), tmp_path / "b").data_hash == first
    assert prepare(Boxes(points=121), tmp_path / "c").data_hash != first
    assert prepare(Boxes(unlabelled=("s2",)), tmp_path / "d").data_hash != first


def test_scenes_without_labels_are_told_once(tmp_path):
    with console.capture() as said:
        prepare(Boxes(unlabelled=("s0", "s4")), tmp_path)
        prepare(Boxes(unlabelled=("s0", "s4")), tmp_path)
    assert said.get().count("boxes: 2 of 6 train scenes have no label at all (s0, s4)") == 1
    assert said.get().count("boxes: scenes: 8 of 8") == 1


def test_extras_can_be_added_later(tmp_path):
    store = prepare(Boxes(), tmp_path)
    before = content(store.path)
    prepare(Boxes(), tmp_path, extras=[SurfaceVariation(5)], computed_splits=("train", "val"))
    after = content(store.path)
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 8 + 1
    assert store.scene("s7", [SurfaceVariation(5)]).extra["surface_variation"].shape == (120,)


@dataclass(frozen=True)
class Few:
    """The first scans of a folder."""

    folder: Folder

    def __getattr__(self, name):
        return getattr(self.folder, name)

    def scenes(self, split):
        return self.folder.scenes(split)[: 2 if split == "train" else 1]


@pytest.mark.skipif(not OSD.is_dir(), reason="the osd scans are not here")
def test_real_scans(tmp_path):
    store = prepare(Few(Folder(OSD)), tmp_path, grid=0.02, partitioners=[Halves()])
    assert store.splits == {"train": ("learn_00", "learn_01"), "val": ("test_00",)}
    assert store.raw_sizes["learn_00"] == 45631
    scene = store.scene("learn_00")
    raw, _ = Folder(OSD).read("learn_00")
    assert np.abs(scene.xyz[store.inverse("learn_00")] - raw.xyz).max() <= 0.02
    assert len(np.unique(np.floor(scene.xyz / 0.02).astype(int), axis=0)) > 0.99 * len(scene)
    assert scene.images[0].camera.width == 640
    assert read_json(store.path / "manifest.json")["classes"] == ["table", "box", "cylinder"]


@dataclass(frozen=True)
class Indexed(Boxes):
    """Boxes with an index that is made on first use; how often is counted in a folder."""

    log: str = ""

    @cached_property
    def index(self):
        (Path(self.log) / f"{os.getpid()}-{uuid.uuid4().hex}").touch()
        return {f"s{number}": number for number in range(8)}

    def read(self, scene_id):
        assert self.index[scene_id] >= 0
        return super().read(scene_id)


def test_an_index_stays_home_and_is_made_once_in_each_worker(tmp_path, whole):
    (tmp_path / "log").mkdir()
    source = Indexed(log=str(tmp_path / "log"))
    assert source.index["s3"] == 3
    assert "index" in vars(source) and "index" not in vars(pickle.loads(pickle.dumps(Light(source))).value)
    prepare(source, tmp_path / "root", workers=2, **PARTS)
    assert content(tmp_path / "root") == whole[None]
    makers = [file.name.split("-")[0] for file in (tmp_path / "log").iterdir()]
    assert len(makers) == len(set(makers)) <= 3 and "index" in vars(source)


@pytest.mark.parametrize("workers", [1, 2])
def test_broken_extras_and_partitions_list_every_scene(tmp_path, workers):
    with pytest.raises(ValueError, match=r"boxes: broken: 2 of 6 scenes failed; the others are done and stay\n  s1: no s1\n  s4: no s4"):
        prepare(Boxes(), tmp_path, extras=[BrokenExtra()], workers=workers)
    store = prepare(Boxes(), tmp_path)
    assert sorted(file.parent.name for file in store.extra_file(BrokenExtra(), "-").parents[1].rglob("broken.npy")) == ["s0", "s2", "s3", "s5"]


@dataclass(frozen=True)
class BrokenExtra:
    """Fails for two scenes."""

    name: str = "broken"
    needs: tuple[str, ...] = ()

    def __call__(self, scene):
        if scene.id in ("s1", "s4"):
            raise ValueError(f"no {scene.id}")
        return np.zeros(len(scene), np.float32)


def test_threads_write_the_same_bytes(tmp_path, whole):
    prepare(Boxes(), tmp_path, workers=3, backend="threading", **PARTS)
    assert content(tmp_path) == whole[None]


@pytest.fixture(scope="module")
def cluster():
    """Two dask workers in processes of their own."""
    distributed = pytest.importorskip("distributed", reason="dask is not installed: pip install 'al3d[cluster]'")
    options = {"processes": True, "threads_per_worker": 1, "memory_limit": 0, "dashboard_address": None, "silence_logs": logging.CRITICAL}
    with distributed.LocalCluster(n_workers=2, **options) as local:
        yield local.scheduler_address


def test_a_dask_cluster_writes_the_same_bytes(tmp_path, whole, cluster):
    for grid in (None, 0.3):
        prepare(Boxes(), tmp_path / str(grid), grid=grid, backend="dask", scheduler=cluster, **PARTS)
        assert content(tmp_path / str(grid)) == whole[grid]
    for broken in (("s1", "s6"), ("s2",)):
        with pytest.raises(ValueError, match=rf"{len(broken)} of \d scenes failed; the others are done and stay\n  {broken[0]}: {broken[0]}\.ply: line 3"):
            prepare(Boxes(broken=broken), tmp_path / broken[0], backend="dask", scheduler=cluster)
    with pytest.raises(ValueError, match=r"broken: 2 of 6 scenes failed(.|\n)*s1: no s1\n  s4: no s4"):
        prepare(Boxes(), tmp_path / "extra", extras=[BrokenExtra()], backend="dask", scheduler=cluster)


@pytest.mark.slow
def test_dask_without_an_address_starts_its_own_workers(tmp_path, whole):
    code = "from pathlib import Path\nfrom test_prepare import Boxes, PARTS, prepare\n"
    code += "if __name__ == '__main__':\n    prepare(Boxes(), Path('own'), workers=2, backend='dask', **PARTS)"
    (tmp_path / "command.py").write_text(code)
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run([sys.executable, "command.py"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert content(tmp_path / "own") == whole[None]


def test_workers_elsewhere_need_absolute_paths(tmp_path, tiny_root, monkeypatch):
    monkeypatch.chdir(tiny_root.parent)
    with pytest.raises(ValueError, match=r"tiny: root is relative, but the workers of tcp://there:1 may run elsewhere: give dataset\.root as an absolute"):
        prepare(Folder(Path(tiny_root.name)), tmp_path, backend="dask", scheduler="tcp://there:1")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"workers": 0}, "workers=0: preparing needs at least 1"),
        ({"workers": "two"}, "workers=two"),
        ({"backend": "spark"}, "prepare.backend='spark' is not one of loky, threading, dask"),
        ({"scheduler": "tcp://a:1"}, "prepare.scheduler='tcp://a:1' is for prepare.backend=dask, but the backend is loky"),
        ({"backend": "dask", "scheduler": "nonsense://a"}, "prepare.scheduler='nonsense://a': no dask scheduler answers there"),
    ],
)
def test_wrong_places_to_work_are_named(tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        prepare(Boxes(), tmp_path, **options)


def test_without_dask_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ValueError, match=r"prepare\.backend=dask needs dask: pip install 'al3d\[cluster\]'"):
        prepare(Boxes(), tmp_path, workers=2, backend="dask")


def test_old_leftovers_are_removed_and_young_ones_stay(tmp_path, whole):
    path = store_folder(Boxes(), tmp_path)
    unit = path / "unit" / "0" / ".s1.npy.77.tmp"
    old = [path / "scenes" / ".s0.77.tmp", path / "truth" / ".s0.npy.77.tmp"]
    young = path / "truth" / ".s9.npy.78.tmp"
    for place in (old[0], unit.parent, young.parent):
        place.mkdir(parents=True)
    (old[0] / "xyz.npy").write_bytes(b"half")
    for file in (old[1], young, unit):
        file.write_bytes(b"half")
    for place in (*old, unit):
        os.utime(place, (0, 0))
    prepare(Boxes(), tmp_path, **PARTS)
    assert not any(place.exists() for place in (*old, unit)) and young.exists()
    young.unlink()
    assert content(tmp_path) == whole[None]


def test_a_store_travels_as_its_path_and_is_opened_once(tmp_path):
    store = prepare(Boxes(), tmp_path)
    sent = pickle.dumps(store)
    assert len(sent) < 400
    first = pickle.loads(sent)
    assert first is pickle.loads(sent) and first.sizes == store.sizes and first is not store


def test_voxels_are_counted_once_for_every_scene(tmp_path, monkeypatch):
    store = prepare(Boxes(), tmp_path)
    wanted = {name: len(np.unique(np.rint((xyz := store.scene(name).xyz) / 0.1 - xyz.min(axis=0) / 0.1), axis=0)) for name in store.sizes}
    counts = voxel_counts(store, 0.1, Jobs(2))
    assert counts.keys() == wanted.keys() and all(abs(counts[name] - wanted[name]) <= 2 for name in wanted), "rounding to even may differ"
    assert voxel_counts(store, 0.2) != counts
    monkeypatch.setattr(prepare_module, "_count_voxels", None)
    assert voxel_counts(Store(store.path), 0.1) == counts
