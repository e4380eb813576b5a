"""The store: what is written is what is read, and what is missing is named."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.data.extras import ColourDiscontinuity, SurfaceVariation
from al3d.data.grid import subsample
from al3d.data.hashing import array_hash, described, hash_of
from al3d.data.prepare import prepare
from al3d.data.store import Store, extra_hash, partition_hash
from al3d.files import read_json, write_json
from al3d.types import IGNORE, Camera, ClassTable, Image, Partition, Scene


@dataclass(frozen=True)
class Rooms:
    """Four small rooms from a seed."""

    name: str = "rooms"
    features: tuple[str, ...] = ("red", "green", "blue")

    @property
    def classes(self):
        return ClassTable(("floor", "wall"), ((1, 2, 3), (4, 5, 6)))

    @property
    def scale(self):
        return {}

    def scenes(self, split):
        return {"train": ("r_2", "r_1", "r#3"), "val": ("v_1",)}[split]

    def read(self, scene_id):
        random = np.random.default_rng(list(scene_id.encode()))
        xyz = random.uniform(0, 1, (300, 3)).astype(np.float32)
        camera = Camera(500, 501, 320.5, 240, 640, 480, random.normal(size=(4, 4))) if scene_id == "r_1" else None
        label = random.choice(np.array([0, 1, IGNORE], np.uint8), 300)
        pose = np.eye(4)
        pose[0, 3] = 0.1
        scene = Scene(
            scene_id, xyz, random.random((300, 3), np.float32), random.normal(size=3), "08", 7, pose, (Image(Path("/pictures/a b.jpg"), camera), Image(None))
        )
        return scene, label

    def fingerprint(self):
        return "abc"


@dataclass(frozen=True)
class Slabs:
    """Units by height."""

    count: int = 4
    stored: bool = True
    notes: str = field(default="", compare=False)

    @property
    def name(self):
        return "slabs"

    @property
    def kinds(self):
        return ("slab",)

    def __call__(self, scene):
        return Partition(np.unique((scene.xyz[:, 2] * self.count).astype(np.int32), return_inverse=True)[1].astype(np.int32))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    extras = (SurfaceVariation(10), ColourDiscontinuity(10))
    return prepare(Rooms(), tmp_path_factory.mktemp("root"), extras=extras, partitioners=(Slabs(), Slabs(3, False)))


def test_scenes_come_back_as_they_were(store):
    assert store.splits == {"train": ("r#3", "r_1", "r_2"), "val": ("v_1",)}
    assert (store.name, store.classes, store.features, store.grid) == ("rooms", Rooms().classes, Rooms().features, None)
    assert dict(store.sizes) == dict(store.raw_sizes) == {"r#3": 300, "r_1": 300, "r_2": 300, "v_1": 300}
    for scene_id in store.sizes:
        wanted, _ = Rooms().read(scene_id)
        scene = store.scene(scene_id)
        for name in ("xyz", "feat", "origin", "pose"):
            np.testing.assert_array_equal(getattr(scene, name), getattr(wanted, name))
            assert getattr(scene, name).dtype == getattr(wanted, name).dtype
        assert (scene.id, scene.sequence, scene.frame) == (scene_id, "08", 7)
        assert [image.path for image in scene.images] == [Path("/pictures/a b.jpg"), None]
        assert not scene.xyz.flags.writeable
        assert type(scene.xyz) is np.ndarray
    camera, wanted = store.scene("r_1").images[0].camera, Rooms().read("r_1")[0].images[0].camera
    np.testing.assert_array_equal(camera.pose, wanted.pose)
    assert (camera.fx, camera.fy, camera.cx, camera.width) == (500, 501, 320.5, 640)
    assert store.scene("r_2").images[0].camera is None
    np.testing.assert_array_equal(store.inverse("r_1"), np.arange(300))


def test_extras_and_units(store):
    scene = store.scene("r_1", [SurfaceVariation(10), ColourDiscontinuity(10)])
    assert set(scene.extra) == {"surface_variation", "colour_discontinuity"}
    np.testing.assert_array_equal(scene.extra["surface_variation"], SurfaceVariation(10)(scene))
    assert scene.extra["colour_discontinuity"].max() <= np.float32(0.1)
    np.testing.assert_array_equal(store.unit(Slabs(), "r_1"), Slabs()(scene).unit)
    np.testing.assert_array_equal(store.unit(Slabs(3, False), "r_1"), Slabs(3)(scene).unit)
    np.testing.assert_array_equal(store.unit(Slabs(3, False), "r_1", scene), Slabs(3)(scene).unit)
    assert read_json(store.path / "unit" / partition_hash(Slabs()) / "made_by.json")["fields"] == {"count": 4, "stored": True}
    assert read_json(store.path / "extra" / extra_hash(SurfaceVariation(10)) / "made_by.json")["class"] == "SurfaceVariation"
    assert sorted(path.name for path in (store.path / "unit").iterdir()) == [partition_hash(Slabs())]


def test_what_is_missing_is_named(store, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"scene 'r_1': Slabs\(count=5.*was not prepared .*r_1\.npy\): run al3d prepare"):
        store.unit(Slabs(5), "r_1")
    with pytest.raises(FileNotFoundError, match=r"SurfaceVariation\(neighbours=11"):
        store.scene("r_1", [SurfaceVariation(11)])
    for call in (store.scene, store.inverse, lambda scene: store.unit(Slabs(), scene)):
        with pytest.raises(ValueError, match=r"rooms has no scene 'nowhere' \(4 scenes, such as 'r#3'\)"):
            call("nowhere")
    with pytest.raises(FileNotFoundError, match=r"no manifest\.json\): run al3d prepare"):
        Store(tmp_path)
    write_json(tmp_path / "manifest.json", {"format": 0})
    with pytest.raises(ValueError, match=r"format 0, but this version reads 2"):
        Store(tmp_path)


def test_a_cut_file_is_named(tmp_path):
    store = prepare(Rooms(), tmp_path)
    file = store.path / "scenes" / "r_1" / "xyz.npy"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(ValueError, match=r"xyz\.npy: not a whole array file"):
        store.scene("r_1")


def test_hashes_follow_class_and_fields():
    assert partition_hash(Slabs()) == partition_hash(Slabs(notes="other"))
    assert len({partition_hash(Slabs()), partition_hash(Slabs(5)), partition_hash(Slabs(stored=False)), extra_hash(SurfaceVariation(4))}) == 4
    assert extra_hash(SurfaceVariation(50, 1.0)) == extra_hash(SurfaceVariation(50, 1)) != extra_hash(SurfaceVariation(50, 0.5))
    assert extra_hash(SurfaceVariation(50, 0.1)) != extra_hash(ColourDiscontinuity(50, 0.1))
    assert len(partition_hash(Slabs())) == 12
    newer = type("Slabs", (Slabs,), {"VERSION": 2})
    assert partition_hash(newer()) != partition_hash(Slabs())
    with pytest.raises(ValueError, match="function .* has no hash: use a frozen dataclass"):
        hash_of(lambda scene: scene)


def test_described_is_plain():
    assert described({"a": (1, 2.0, np.float32(0.5), Path("x"), None, True)}) == {"a": [1, 2, 0.5, "x", None, True]}


def test_array_hash_sees_bytes_shapes_and_types():
    array = np.arange(6, dtype=np.int32)
    assert array_hash(array) == hashlib.blake2b(b"<i4[6]" + array.tobytes(), digest_size=16).hexdigest()
    others = [array.reshape(2, 3), array.astype(np.int64), array[::-1], np.append(array, 0).astype(np.int32)]
    assert len({array_hash(one) for one in [array, *others]}) == 5


def naive_subsample(xyz, feat, label, size):
    """Cells in a dictionary, point by point."""
    cells = {}
    corner = np.floor(xyz.astype(np.float64).min(0) / size) * size
    for row, point in enumerate(xyz.astype(np.float64)):
        cells.setdefault(tuple(np.floor((point - corner) / size).astype(int)), []).append(row)
    inverse = np.zeros(len(xyz), np.int32)
    out = []
    for index, cell in enumerate(sorted(cells)):
        rows = cells[cell]
        inverse[rows] = index
        known = [value for value in label[rows].tolist() if value != IGNORE]
        winner = min(known, key=lambda value: (-known.count(value), value)) if known else IGNORE
        out.append((xyz[rows].astype(np.float64).mean(0), feat[rows].astype(np.float64).mean(0), winner))
    return [np.array(column) for column in zip(*out, strict=True)] + [inverse]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(1, 200), st.sampled_from([0.05, 0.3, 1.0, 7.0]))
def test_subsample_as_its_naive_twin(seed, count, size):
    random = np.random.default_rng(seed)
    xyz = random.normal(size=(count, 3)).astype(np.float32)
    feat = random.random((count, 2), np.float32)
    label = random.choice(np.array([0, 1, 2, IGNORE], np.uint8), count)
    fast = subsample(xyz, feat, label, size, 3)
    wanted = naive_subsample(xyz, feat, label, size)
    np.testing.assert_allclose(fast.xyz, wanted[0], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(fast.feat, wanted[1], rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(fast.label, wanted[2])
    np.testing.assert_array_equal(fast.inverse, wanted[3])
    assert [array.dtype for array in fast] == [np.float32, np.float32, np.uint8, np.int32]


def test_a_grid_that_cannot_be_numbered():
    xyz = np.array([[0, 0, 0], [1e6, 1e6, 1e6]], np.float32)
    for size, message in ((1e-9, "cells along x, y, z: take a larger cell"), (0.0, "positive cell size in metres, got 0.0")):
        with pytest.raises(ValueError, match=message):
            subsample(xyz, xyz, np.zeros(2, np.uint8), size, 2)
