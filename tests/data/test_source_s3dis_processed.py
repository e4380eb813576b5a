"""S3DIS as ReDAL prepares it: the same rooms as the raw text gives, and every broken file named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from al3d.data.sources.s3dis import CLASSES, S3DIS
from al3d.data.sources.s3dis_processed import S3DISProcessed
from al3d.types import IGNORE, Source

COUNT = 50


def room(seed: int = 0, **changes: np.ndarray | None) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    arrays = {
        "coords": random.uniform(-20, 20, (COUNT, 3)).round(3).astype(np.float32),
        "rgb": random.integers(0, 256, (COUNT, 3), np.uint8),
        "labels": random.integers(0, 13, (COUNT, 1), np.int32),
    }
    return {name: array for name, array in (arrays | changes).items() if array is not None}


def write(root: Path, scene: str, arrays: dict[str, np.ndarray]) -> Path:
    area, name = scene.split("#")
    for kind, array in arrays.items():
        (root / area / kind).mkdir(parents=True, exist_ok=True)
        np.save(root / area / kind / f"{name}.npy", array)
    return root


def test_reads_what_was_prepared(tmp_path: Path) -> None:
    given = room()
    write(tmp_path, "Area_5#office_1", room(1))
    source: Source = S3DISProcessed(write(tmp_path, "Area_1#WC_1", given))
    assert (source.scenes("train"), source.scenes("val")) == (("Area_1#WC_1",), ("Area_5#office_1",))
    assert (source.classes, source.features, dict(source.published)) == (CLASSES, ("red", "green", "blue"), {"train": 204, "val": 68})
    scene, label = source.read("Area_1#WC_1")
    np.testing.assert_array_equal(scene.origin, np.floor(given["coords"].min(0)))
    np.testing.assert_allclose(scene.xyz + scene.origin, given["coords"], atol=2e-6)
    np.testing.assert_array_equal(scene.feat, given["rgb"].astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(label, given["labels"][:, 0])
    assert label.dtype == np.uint8 and dict(scene.extra) == {}


def test_same_as_the_raw_text(tmp_path: Path) -> None:
    folder = tmp_path / "raw/Area_1/office_1/Annotations"
    folder.mkdir(parents=True)
    given = room(labels=np.zeros((COUNT, 1), np.int32))
    xyz = given["coords"].astype(np.float64).round(3)
    (folder / "ceiling_1.txt").write_text("".join(f"{x:.3f} {y:.3f} {z:.3f} {r} {g} {b}\n" for (x, y, z), (r, g, b) in zip(xyz, given["rgb"], strict=True)))
    raw, label = S3DIS(tmp_path / "raw").read("Area_1#office_1")
    scene, other = S3DISProcessed(write(tmp_path / "npy", "Area_1#office_1", given)).read("Area_1#office_1")
    np.testing.assert_array_equal(raw.origin, scene.origin)
    np.testing.assert_allclose(raw.xyz, scene.xyz, atol=3e-6)  # coordinates were kept as float32 of the building's frame
    np.testing.assert_array_equal(raw.feat, scene.feat)
    np.testing.assert_array_equal(label, other)


def test_other_types_are_cast(tmp_path: Path) -> None:
    given = room()
    wide = {"coords": given["coords"].astype(np.float64), "rgb": given["rgb"].astype(np.float64), "labels": given["labels"][:, 0].astype(np.int64)}
    wide["labels"][:2] = [-100, 255]
    scene, label = S3DISProcessed(write(tmp_path, "Area_1#a_1", wide)).read("Area_1#a_1")
    plain, _ = S3DISProcessed(write(tmp_path / "b", "Area_1#a_1", given)).read("Area_1#a_1")
    np.testing.assert_array_equal(scene.xyz, plain.xyz)
    np.testing.assert_array_equal(scene.feat, plain.feat)
    assert label[:2].tolist() == [IGNORE, IGNORE] and (label[2:] == given["labels"][2:, 0]).all()


def test_extras_and_regions(tmp_path: Path) -> None:
    values = np.linspace(0, 0.1, COUNT)
    ids = np.repeat([0, 1, 7, 3, 1], 10).astype(np.int32)
    source = S3DISProcessed(write(tmp_path, "Area_1#a_1", room(colorgrad=values.astype(np.float32), supervoxel=ids)))
    scene, _ = source.read("Area_1#a_1")
    assert set(scene.extra) == {"colour_discontinuity"}
    np.testing.assert_allclose(scene.extra["colour_discontinuity"], values, atol=1e-8)
    regions = source.regions("Area_1#a_1")
    assert regions.dtype == np.int32
    np.testing.assert_array_equal(regions, np.repeat([-1, 0, 2, 1, 0], 10))
    write(tmp_path, "Area_1#b_1", room(supervoxel=ids[10:40], coords=room()["coords"][:30]))
    np.testing.assert_array_equal(source.regions("Area_1#b_1"), np.repeat([0, 2, 1], 10))
    write(tmp_path, "Area_1#a_1", {"supervoxel": ids - 1})
    with pytest.raises(ValueError, match=r"supervoxel.a_1\.npy: has region -1: regions count from 1"):
        source.regions("Area_1#a_1")


@pytest.mark.parametrize(
    ("kind", "array", "message"),
    [
        ("coords", np.zeros((COUNT, 2), np.float32), r"holds float32 \[50, 2\] where numbers \[N,3\] belong"),
        ("coords", np.zeros((0, 3), np.float32), "has no points"),
        ("coords", np.full((COUNT, 3), np.inf, np.float32), r"point 0 is at \[inf, inf, inf\] \(50 such points\)"),
        ("coords", np.array(1.0), r"holds float64 \[\] where"),
        ("rgb", np.zeros((COUNT - 1, 3), np.uint8), r"holds uint8 \[49, 3\] where numbers \[50,3\] belong"),
        ("rgb", np.full((COUNT, 3), 256), "colours range from 256 to 256"),
        ("rgb", np.full((COUNT, 3), np.nan), "colours range from nan to nan"),
        ("rgb", np.full((COUNT, 3), 0.5), "colours are fractions up to 0.5"),
        ("labels", np.full((COUNT, 2), 1), r"holds int64 \[50, 2\] where numbers \[50,1\] belong"),
        ("labels", np.full(COUNT, 13), r"50 points have labels \[13\], neither classes 0..12 nor"),
        ("labels", np.full(COUNT, 0.5), r"have labels \[0.5\]"),
        ("labels", np.full(COUNT, "wall"), r"holds <U4 \[50, 1\]"),
        ("boundary", np.full(COUNT, np.nan), "point 0 is not finite"),
    ],
)
def test_broken_arrays_are_named(tmp_path: Path, kind: str, array: np.ndarray, message: str) -> None:
    source = S3DISProcessed(write(tmp_path, "Area_1#a_1", room(**{kind: array})))
    with pytest.raises(ValueError, match=rf"{kind}.a_1\.npy: .*{message}"):
        source.read("Area_1#a_1")


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"no array", None])
def test_unreadable_files_are_named(tmp_path: Path, content: bytes | None) -> None:
    source = S3DISProcessed(write(tmp_path, "Area_1#a_1", room()))
    file = tmp_path / "Area_1/rgb/a_1.npy"
    if content is None:
        np.save(file, np.array([object()] * COUNT), allow_pickle=True)
    else:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=r"rgb.a_1\.npy: is not a readable NumPy file"):
        source.read("Area_1#a_1")


def test_missing_things_are_named(tmp_path: Path) -> None:
    source = S3DISProcessed(write(tmp_path, "Area_1#a_1", room(labels=None)))
    with pytest.raises(FileNotFoundError, match=r"labels.a_1\.npy"):
        source.read("Area_1#a_1")
    with pytest.raises(FileNotFoundError, match="no room of split 'val'"):
        source.scenes("val")
    with pytest.raises(ValueError, match="no split 'test'"):
        source.scenes("test")
    with pytest.raises(ValueError, match="ids look like"):
        source.read("Area_1#../a")
    with pytest.raises(FileNotFoundError, match="no folder at"):
        S3DISProcessed(tmp_path / "nowhere").scenes("train")
    with pytest.raises(ValueError, match=r"areas \[1\] are in both"):
        S3DISProcessed(tmp_path, {"a": (1,), "b": (1, 2)})


def test_fingerprint_follows_files_and_splits(tmp_path: Path) -> None:
    source = S3DISProcessed(write(tmp_path, "Area_1#a_1", room()))
    first = source.fingerprint()
    assert S3DISProcessed(str(tmp_path), name="other").fingerprint() == first
    assert S3DISProcessed(tmp_path, {"train": (1,), "val": (5,)}).fingerprint() != first
    write(tmp_path, "Area_1#a_1", {"boundary": np.zeros(COUNT)})
    assert source.fingerprint() != first
