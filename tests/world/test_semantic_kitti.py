"""Drives in SemanticKITTI's layout: what is written is the official format, and reads back as what was driven."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from al3d.data.sources.semantic_kitti import SemanticKITTI
from al3d.data.sources.semantic_kitti_labels import CLASSES, RAW_NAMES, TABLES
from al3d.geometry.camera import look_at, pinhole, project
from al3d.types import IGNORE, Camera
from al3d.world.semantic_kitti import CAMERA, NAMES, RAW_IDS, raw_labels, write_sequence
from al3d.world.sweep import CATEGORIES, Shot, Sweep

EYE = look_at((0.3, 0.1, -0.1), (10.0, 0.4, -0.5))


def camera() -> Camera:
    return replace(pinhole(EYE, 62, 19, 80.0), fy=31.5, cx=29.25)


def pose_of(number: int) -> np.ndarray:
    """East of somewhere, driving left around a bend and up a little."""
    angle = 0.7 + 0.05 * number
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    pose[:3, 3] = 1200 + number, 340 + 0.5 * number, 1.73 + 0.01 * number
    return pose


def sweep(number: int, shots: bool = True, count: int = 60) -> Sweep:
    random = np.random.default_rng(number)
    picture = random.integers(0, 256, (19, 62, 3), np.uint8)
    return Sweep(
        xyz=random.uniform(-60, 60, (count, 3)).astype(np.float32),
        intensity=random.random(count, np.float32),
        ring=random.integers(0, 64, count, np.uint8),
        category=np.resize(np.arange(len(CATEGORIES), dtype=np.uint8), count),
        moving=random.random(count) < 0.5,
        instance=random.integers(0, 65536, count, np.int32),
        pose=pose_of(number),
        time=0.1 * number,
        shots=(Shot("image_2", picture, camera(), 0.1 * number), Shot("image_3", picture[:2], camera(), 0.1 * number)) if shots else (),
    )


def read(root: Path, **options: object) -> SemanticKITTI:
    return SemanticKITTI(root, splits={"train": [4]}, **options)


def test_every_category_has_raw_ids_that_the_source_knows() -> None:
    assert set(NAMES) == set(CATEGORIES)
    assert RAW_IDS.shape == (len(CATEGORIES), 2) and set(RAW_IDS.ravel().tolist()) <= set(RAW_NAMES)
    for category, (still, moving) in zip(CATEGORIES, RAW_IDS.tolist(), strict=True):
        assert TABLES["official"][still] == TABLES["official"][moving], f"{category} changes its class when it moves"
        if category in CLASSES.names:
            assert TABLES["official"][still] == CLASSES.names.index(category)
    classes = {TABLES["official"][raw] for raw in RAW_IDS.ravel().tolist()}
    assert classes == {*range(19), IGNORE}, "every class can be driven past"
    assert set(range(252, 260)) - set(RAW_IDS[:, 1].tolist()) == {256} and (RAW_IDS[:, 0] < 252).all()


def test_round_trip(tmp_path: Path) -> None:
    drive = [sweep(number) for number in range(3)]
    write_sequence(tmp_path, "04", iter(drive))
    source = read(tmp_path)
    assert source.scenes("train") == ("04_000000", "04_000001", "04_000002")
    for number, driven in enumerate(drive):
        scene, labels = source.read(f"04_{number:06d}")
        np.testing.assert_array_equal(scene.xyz, driven.xyz)
        np.testing.assert_array_equal(scene.feat[:, 0], driven.intensity)
        expected = [NAMES[CATEGORIES[category]][0] for category in driven.category]
        names = {"bus": "other-vehicle", "lane-marking": "road", "outlier": None, "other-object": None}
        assert [CLASSES.names[label] if label != IGNORE else None for label in labels] == [names.get(name, name) for name in expected]
        np.testing.assert_allclose(scene.pose, np.linalg.inv(pose_of(0)) @ driven.pose, atol=1e-6)
        image = scene.images[0]
        with Picture.open(image.path) as picture:
            np.testing.assert_array_equal(np.asarray(picture), driven.shots[0].image)
        taken = driven.shots[0].camera
        for field in ("fx", "fy", "cx", "cy", "width", "height"):
            assert getattr(image.camera, field) == pytest.approx(getattr(taken, field), rel=1e-9)
        np.testing.assert_allclose(image.camera.pose, taken.pose, atol=1e-9)
        seen, depth = project(taken, driven.xyz)
        again, depth_again = project(image.camera, scene.xyz)
        np.testing.assert_allclose(again[depth > 1], seen[depth > 1], atol=1e-6)
        np.testing.assert_allclose(depth_again, depth, atol=1e-6)


def test_files_are_those_of_the_official_layout(tmp_path: Path) -> None:
    write_sequence(tmp_path, "04", (sweep(number) for number in range(2)))
    folder = tmp_path / "dataset" / "sequences" / "04"
    scans = {f"{kind}/{frame:06d}.{ending}" for kind, ending in (("velodyne", "bin"), ("labels", "label"), ("image_2", "png")) for frame in range(2)}
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == scans | {"calib.txt", "poses.txt", "times.txt"}
    driven = sweep(1)
    assert (folder / "velodyne" / "000001.bin").read_bytes() == np.column_stack([driven.xyz, driven.intensity]).astype("<f4").tobytes()
    raw = np.fromfile(folder / "labels" / "000001.label", "<u4")
    assert len(raw) == 60 and np.array_equal(raw >> 16, driven.instance) and np.array_equal(raw, raw_labels(driven))
    car = CATEGORIES.index("car")
    assert {int(number) for number in raw[driven.category == car] & 0xFFFF} == {252 if moving else 10 for moving in driven.moving[driven.category == car]}
    calibration = dict(line.split(": ") for line in (folder / "calib.txt").read_text().splitlines())
    assert list(calibration) == ["P0", "P1", "P2", "P3", "Tr"]
    matrices = {name: np.array(text.split(), float).reshape(3, 4) for name, text in calibration.items()}
    assert all(np.array_equal(matrices["P0"][:, :3], matrices[name][:, :3]) for name in ("P1", "P2", "P3"))
    assert matrices["P1"][0, 3] < matrices["P3"][0, 3] < matrices["P0"][0, 3] == 0 < matrices["P2"][0, 3]
    poses = np.loadtxt(folder / "poses.txt")
    np.testing.assert_allclose(poses[0], np.eye(4)[:3].ravel(), atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(poses[1, 3::4]), np.linalg.norm([1, 0.5, 0.01]), atol=0.1)
    assert (folder / "times.txt").read_text().splitlines() == ["0.000000e+00", "1.000000e-01"]


def test_poses_on_file_are_the_cameras(tmp_path: Path) -> None:
    """Straight ahead is +z in the frame of camera 0, whatever the heading in the world."""
    ahead = np.eye(4)
    ahead[0, 3] = 2.5
    write_sequence(tmp_path, "04", [replace(sweep(0, shots=False), pose=pose_of(0) @ moved) for moved in (np.eye(4), ahead)])
    poses = np.loadtxt(tmp_path / "dataset" / "sequences" / "04" / "poses.txt").reshape(2, 3, 4)
    np.testing.assert_allclose(poses[1, :, 3], [0, 0, 2.5], atol=1e-9)


def test_drive_without_pictures_has_the_usual_calibration(tmp_path: Path) -> None:
    write_sequence(tmp_path, "04", [sweep(0, shots=False)])
    folder = tmp_path / "dataset" / "sequences" / "04"
    assert not (folder / "image_2").exists()
    (folder / "image_2").mkdir()
    Picture.new("RGB", (CAMERA.width, CAMERA.height)).save(folder / "image_2" / "000000.png")
    found = read(tmp_path).read("04_000000")[0].images[0].camera
    np.testing.assert_allclose(found.pose, CAMERA.pose, atol=1e-9)
    pixel, depth = project(found, np.array([[10, 0, -1.73], [10, 1, -1.73]], np.float32))
    assert (depth > 9).all() and (pixel[:, 1] > CAMERA.cy).all() and pixel[1, 0] < pixel[0, 0], "the road is below, left is left"


def test_unlabelled_drive_has_no_labels(tmp_path: Path) -> None:
    write_sequence(tmp_path, "12", [sweep(0)], labelled=False)
    assert not (tmp_path / "dataset" / "sequences" / "12" / "labels").exists()
    source = SemanticKITTI(tmp_path)
    with pytest.warns(UserWarning, match="without sequences 11, 13"):
        assert source.scenes("test") == ("12_000000",)
    assert set(source.read("12_000000")[1].tolist()) == {IGNORE}


def test_sweeps_are_taken_one_at_a_time_and_a_broken_drive_leaves_nothing(tmp_path: Path) -> None:
    def drive() -> Iterator[Sweep]:
        for number in range(3):
            written = list(tmp_path.rglob("*.bin"))
            assert len(written) == number, "every sweep is on disk before the next one is made"
            assert not (tmp_path / "dataset" / "sequences" / "04").exists()
            yield sweep(number)
        raise RuntimeError("out of fuel")

    with pytest.raises(RuntimeError, match="out of fuel"):
        write_sequence(tmp_path, "04", drive())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"instance": np.full(60, 65536, np.int32)}, "do not fit into 16 bits"),
        ({"instance": np.full(60, -1, np.int32)}, "do not fit into 16 bits"),
        ({"category": np.zeros(59, np.uint8)}, r"scan 000001: the sweep's arrays have different lengths \[59, 60\]"),
        ({"shots": (Shot("image_2", np.zeros((19, 62, 3), np.uint8), replace(camera(), fx=1.0), 0),)}, "scan 000001: camera image_2 has moved"),
        ({"shots": (Shot("image_2", np.zeros((19, 62, 3), np.uint8), replace(camera(), pose=np.eye(4)), 0),)}, "camera image_2 has moved"),
        ({"shots": (Shot("image_2", np.zeros((18, 62, 3), np.uint8), camera(), 0),)}, r"picture is uint8 \[18, 62, 3\]"),
    ],
)
def test_what_the_format_cannot_hold_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_sequence(tmp_path, "04", [sweep(0), replace(sweep(1), **changes)])
    assert not (tmp_path / "dataset" / "sequences" / "04").exists()


def test_sequence_is_two_digits_and_not_empty(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="sequence '4'.*two digits"):
        write_sequence(tmp_path, "4", [sweep(0)])
    with pytest.raises(ValueError, match="sequence 04: there are no sweeps"):
        write_sequence(tmp_path, "04", [])


def test_writing_again_replaces_the_drive(tmp_path: Path) -> None:
    write_sequence(tmp_path, "04", [sweep(0), sweep(1)])
    write_sequence(tmp_path, "04", [sweep(2, shots=False)])
    assert read(tmp_path).scenes("train") == ("04_000000",)
    assert read(tmp_path).read("04_000000")[0].images == ()
