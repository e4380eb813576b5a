"""The command that writes procedural data, and the street as a data set."""

from __future__ import annotations

import re
from pathlib import Path

import click
import numpy as np
import pytest

from al3d.commands.world import command
from al3d.data.sources.nuscenes import NuScenes
from al3d.data.sources.s3dis import S3DIS
from al3d.data.sources.scannet import ScanNet
from al3d.data.sources.semantic_kitti import SemanticKITTI
from al3d.data.sources.street import Street
from al3d.types import IGNORE
from al3d.world.drives import SEQUENCES, write_nuscenes_drives, write_semantic_kitti_drives
from al3d.world.street import HDL32, HDL64


def main(*words: str) -> None:
    command.main([*words], prog_name="al3d world", standalone_mode=False)


def content(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_drives_do_not_depend_on_how_many_there_are_or_who_makes_them(tmp_path: Path) -> None:
    sensor = HDL64.thinned(90)
    write_semantic_kitti_drives(tmp_path / "two", 2, rng=3, frames=2, n_jobs=1, sensor=sensor, shots=False, quiet=True)
    write_semantic_kitti_drives(tmp_path / "three", 3, rng=3, frames=2, n_jobs=2, sensor=sensor, shots=False, quiet=True)
    few, more = content(tmp_path / "two"), content(tmp_path / "three")
    assert len(few) == 2 * (2 + 2 + 3)
    assert all(more[name] == few[name] for name in few)
    source = SemanticKITTI(tmp_path / "three", splits={"train": SEQUENCES[:1] + SEQUENCES[2:3], "val": SEQUENCES[1:2]})
    assert (source.scenes("train"), source.scenes("val")) == (("00_000000", "00_000001", "01_000000", "01_000001"), ("08_000000", "08_000001"))
    assert not np.array_equal(source.read("00_000000")[0].xyz, source.read("01_000000")[0].xyz)


def test_the_mini_release_of_nuscenes_has_both_splits(tmp_path: Path) -> None:
    sensor = HDL32.thinned(60).with_pictures(0.05)
    write_nuscenes_drives(tmp_path / "nu", 2, frames=2, sensor=sensor, quiet=True)
    source = NuScenes(tmp_path / "nu", version="v1.0-mini")
    assert (len(source.scenes("train")), len(source.scenes("val"))) == (2, 2)
    scene, label = source.read(source.scenes("val")[0])
    assert len(scene) == 60 * 32 and len(scene.images) == 6
    assert (label != IGNORE).mean() > 0.3


@pytest.mark.parametrize(("layout", "source", "options"), [("s3dis", S3DIS, {}), ("scannet", ScanNet, {"frames": 0})])
def test_the_command_writes_what_the_source_reads(layout: str, source: type, options: dict[str, int], tmp_path: Path) -> None:
    main(layout, "--out", str(tmp_path / layout), "--scenes", "3", "--points", "3000", "--jobs", "1")
    made = source(tmp_path / layout, **options)
    listed = [*made.scenes("train"), *made.scenes("val")]
    assert len(listed) == 3
    scene, label = made.read(listed[0])
    assert len(scene) > 1000 and len(np.unique(label)) > 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "Missing argument"),
        ("s3dis", "Missing option '--out'"),
        ("kitti360 --out x", "'kitti360' is not one of 's3dis', 'scannet', 'semantic_kitti', 'nuscenes'"),
        ("s3dis --out x --rooms 3", "No such option '--rooms'"),
        ("s3dis --out x --scenes many", "'many' is not a valid integer"),
        ("s3dis --out x --scenes 1", "1 is not in the range x>=2"),
        ("s3dis --out x scenes=3", "scenes=3: say --scenes 3"),
        ("layout=s3dis --out x", "layout=s3dis: say s3dis"),
        ("semantic_kitti --out x --scenes 12", "2 .* to 11 drives"),
        ("nuscenes --out x --scenes 11", "2 .* to 10 drives"),
    ],
)
def test_wrong_commands_say_what_is_wrong(words: str, message: str, tmp_path: Path) -> None:
    with pytest.raises((click.UsageError, SystemExit)) as ended:
        main(*(str(tmp_path / "x") if word == "x" else word for word in words.split()))
    said = ended.value.format_message() if isinstance(ended.value, click.UsageError) else str(ended.value)
    assert re.search(message, said), said
    assert not (tmp_path / "x").exists()


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    for layout in ("s3dis", "scannet", "semantic_kitti", "nuscenes"):
        with pytest.raises(SystemExit, match="holds something already"):
            main(layout, "--out", str(tmp_path), "--scenes", "2", "--jobs", "1")
    assert content(tmp_path) == {"mine": b"precious"}


def test_the_street_is_made_once_and_named_by_its_options(tmp_path: Path) -> None:
    street = Street(tmp_path, drives=2, frames=2, columns=90, n_jobs=1)
    mark = street.fingerprint()
    assert not street.folder.exists(), "a fingerprint makes nothing"
    assert street.scenes("val") == ("08_000000", "08_000001")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.bin")}
    again = Street(tmp_path, drives=2, frames=2, columns=90, n_jobs=1)
    scene, label = again.read("00_000001")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.bin")} == before
    assert again.fingerprint() == mark != Street(tmp_path, drives=2, frames=3, columns=90).fingerprint()
    assert (scene.sequence, scene.frame, again.features) == ("00", 1, ("intensity",))
    assert np.linalg.norm(scene.pose[:3, 3]) > 0.2, "the second scan is taken further on"
    assert len(np.unique(label)) > 4
    with pytest.raises(ValueError, match="no split 'test'"):
        street.scenes("test")
