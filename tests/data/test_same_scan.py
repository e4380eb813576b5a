"""One scan in every format that can hold it is the same scan: for training, as the folder source reads it, and for predict's reader of files."""

from pathlib import Path

import laspy
import numpy as np
import pytest
from plyfile import PlyData, PlyElement

from al3d.data.sources.folder import Folder
from al3d.predict.scans import FileReader
from al3d.rng import generator

COUNT = 200
#: Where the intensities reach 2550, as many scanners count: no type's largest value, and none of the usual ones.
CARD = """name: a
classes: {2: ground, 6: building}
intensity: 65535
splits: {train: [a], val: []}
scale: {voxel: 1, supervoxel_voxel: 1, supervoxel_seed: 2, neighbours: 5}
"""


def scan(intensity: int = 2550):
    """Places in whole eighths, which every format holds exactly, an intensity and a label."""
    random = generator("same scan")
    xyz = random.integers(0, 800, (COUNT, 3)) / 8
    return xyz, random.integers(0, intensity + 1, COUNT), random.choice([2, 6], COUNT)


def write_ply(path: Path, xyz, intensity, label, kind="f4", text=False) -> None:
    rows = np.empty(COUNT, [("x", "f8"), ("y", "f8"), ("z", "f8"), ("scalar_Intensity", kind), ("label", "u1")])
    rows["x"], rows["y"], rows["z"], rows["scalar_Intensity"], rows["label"] = *xyz.T, intensity, label
    PlyData([PlyElement.describe(rows, "vertex")], text=text).write(path)


def write_las(path: Path, xyz, intensity, label, point_format=1) -> None:
    las = laspy.create(point_format=point_format, file_version="1.2")
    las.header.scales = [0.125] * 3
    las.x, las.y, las.z = xyz.T
    las.intensity, las.classification = intensity, label
    las.write(path)


def write_pcd(path: Path, xyz, intensity, label, kind="F") -> None:
    head = (
        f"VERSION .7\nFIELDS x y z intensity label\nSIZE 8 8 8 4 4\nTYPE F F F {kind} U\nCOUNT 1 1 1 1 1\nWIDTH {COUNT}\nHEIGHT 1\nPOINTS {COUNT}\nDATA ascii\n"
    )
    path.write_text(head + "".join(f"{x} {y} {z} {i} {c}\n" for (x, y, z), i, c in zip(xyz, intensity, label, strict=True)))


def write_npz(path: Path, xyz, intensity, label, kind=np.int64) -> None:
    np.savez(path, xyz=xyz, intensity=intensity.astype(kind), label=label)


def write_bin(path: Path, xyz, intensity, label) -> None:
    np.column_stack([xyz, intensity]).astype("<f4").tofile(path)
    label.astype("<u4").tofile(path.with_suffix(".label"))


def write_sweep(path: Path, xyz, intensity, label) -> None:
    np.column_stack([xyz, intensity, np.arange(COUNT) % 32]).astype("<f4").tofile(path)
    label.astype("<u4").tofile(path.with_suffix(".label"))


WRITERS = {
    "las": ("a.las", write_las),
    "laz": ("a.laz", write_las),
    "las with colours that were never filled": ("a.las", lambda *scan: write_las(*scan, point_format=3)),
    "ply float": ("a.ply", write_ply),
    "ply int": ("a.ply", lambda *scan: write_ply(*scan, kind="i4")),
    "ply ushort text": ("a.ply", lambda *scan: write_ply(*scan, kind="u2", text=True)),
    "pcd float": ("a.pcd", write_pcd),
    "pcd unsigned": ("a.pcd", lambda *scan: write_pcd(*scan, kind="U")),
    "npz int64": ("a.npz", write_npz),
    "npz float32": ("a.npz", lambda *scan: write_npz(*scan, kind=np.float32)),
    "bin": ("a.bin", write_bin),
    "sweep": ("a.pcd.bin", write_sweep),
}


def folder(tmp_path: Path, form: str, values, card: str = CARD) -> tuple[Folder, Path]:
    name, write = WRITERS[form]
    (tmp_path / "scenes").mkdir()
    (tmp_path / "dataset.yaml").write_text(card)
    write(tmp_path / "scenes" / name, *values)
    return Folder(tmp_path), tmp_path / "scenes" / name


@pytest.mark.parametrize("form", WRITERS)
def test_every_format_gives_the_same_scan(tmp_path: Path, form: str) -> None:
    xyz, intensity, label = scan()
    source, path = folder(tmp_path, form, (xyz, intensity, label))
    scene, labels = source.read("a")
    fraction = (intensity / 65535).astype(np.float32)
    np.testing.assert_array_equal(scene.xyz + scene.origin, xyz)
    assert source.features == ("intensity",)
    np.testing.assert_array_equal(scene.feat[:, 0], fraction)
    np.testing.assert_array_equal(labels, label == 6)
    reader = FileReader(path, ("intensity",), full_intensity=65535)
    np.testing.assert_array_equal(np.concatenate(list(reader.places(64))), xyz)
    np.testing.assert_array_equal(np.concatenate([named["intensity"] for _, named in reader.points(64)]), fraction)


@pytest.mark.parametrize("form", ["ply int", "pcd unsigned", "npz int64", "sweep"])
def test_what_fits_a_byte_is_a_fraction_of_255_where_nobody_says_more(tmp_path: Path, form: str) -> None:
    """Wide integers were divided by their type's largest value, which left nothing of them."""
    xyz, intensity, label = scan(255)
    intensity[:100] //= 4  # the first chunks alone would fit fewer bits
    source, path = folder(tmp_path, form, (xyz, intensity, label), CARD.replace("intensity: 65535\n", ""))
    fraction = (intensity / 255).astype(np.float32)
    np.testing.assert_array_equal(source.read("a")[0].feat[:, 0], fraction)
    reader = FileReader(path, ("intensity",))
    list(reader.places(50))
    np.testing.assert_array_equal(np.concatenate([named["intensity"] for _, named in reader.points(50)]), fraction)


def test_a_sweep_under_the_name_of_a_scan_is_not_read_as_one(tmp_path: Path) -> None:
    values = scan(255)
    write_sweep(tmp_path / "a.pcd.bin", *values)
    (tmp_path / "a.pcd.bin").rename(tmp_path / "a.bin")
    with pytest.raises(ValueError, match=r"looks like five numbers a point.*name it a\.pcd\.bin"):
        list(FileReader(tmp_path / "a.bin").places(64))


def test_rounded_places_are_said(tmp_path: Path) -> None:
    xyz, intensity, label = scan()
    rows = np.empty(COUNT, [("x", "f4"), ("y", "f4"), ("z", "f4")])
    rows["x"], rows["y"], rows["z"] = (xyz + [5e5, 5e6, 0]).T
    PlyData([PlyElement.describe(rows, "vertex")]).write(tmp_path / "a.ply")
    with pytest.warns(UserWarning, match=r"a\.ply: its coordinates are single precision, which has steps of 0\.5"):
        list(FileReader(tmp_path / "a.ply").places(COUNT))
