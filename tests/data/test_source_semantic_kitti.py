"""The SemanticKITTI source: every trap of the official files in tiny sequences made here, and the facts of real scans."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture

from al3d.data.sources.semantic_kitti import SemanticKITTI
from al3d.data.sources.semantic_kitti_drive import drive_of
from al3d.data.sources.semantic_kitti_labels import CLASSES, RAW_NAMES, TABLES
from al3d.geometry.camera import project
from al3d.types import IGNORE, Source

REAL = Path(__file__).parents[3] / "shared" / "data"
#: As in the real files: camera 2 stands 6 cm to the left of camera 0, and Tr turns the axes with a slight tilt.
P2 = np.array([[718.856, 0, 607.1928, 45.38225], [0, 718.856, 185.2157, -0.1130887], [0, 0, 1, 0.003779761]])
TR = np.array([[0.000428, -0.999967, -0.008084, -0.011985], [-0.007211, 0.008081, -0.999941, -0.054034], [0.999974, 0.000486, -0.007207, -0.292197]])


def row(matrix: np.ndarray) -> str:
    return " ".join(f"{value:.12e}" for value in np.asarray(matrix)[:3].ravel())


def square(matrix: np.ndarray) -> np.ndarray:
    return np.vstack([matrix, [0, 0, 0, 1]])


def camera_pose(frame: int) -> np.ndarray:
    """The left grey camera drives forward (its z) and turns about its y."""
    angle = 0.1 * frame
    pose = np.eye(4)
    pose[[0, 0, 2, 2], [0, 2, 0, 2]] = np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)
    pose[:3, 3] = 0.1 * frame, 0.02 * frame, 1.5 * frame
    return pose


def points(frame: int, count: int = 40) -> np.ndarray:
    random = np.random.default_rng(frame)
    return np.column_stack([random.uniform(-50, 50, (count, 3)), random.random(count)]).astype("<f4")


def write(root: Path, sequence: str, frames: int = 2, labels: bool = True, places: bool = True, pictures: bool = True) -> Path:
    folder = root / "dataset" / "sequences" / sequence
    (folder / "velodyne").mkdir(parents=True)
    for frame in range(frames):
        points(frame).tofile(folder / "velodyne" / f"{frame:06d}.bin")
        if labels:
            (folder / "labels").mkdir(exist_ok=True)
            raw = np.random.default_rng([frame, 1]).choice(np.array(list(RAW_NAMES), "<u4"), 40) | np.arange(40, dtype="<u4") << 16
            raw.astype("<u4").tofile(folder / "labels" / f"{frame:06d}.label")
        if pictures:
            (folder / "image_2").mkdir(exist_ok=True)
            Picture.new("RGB", (124, 37), (frame, 2, 3)).save(folder / "image_2" / f"{frame:06d}.png")
    if places:
        (folder / "calib.txt").write_text("".join(f"{name}: {row(value)}\n" for name, value in [("P0", P2), ("P2", P2), ("Tr", TR)]))
        (folder / "poses.txt").write_text("".join(f"{row(camera_pose(frame))}\n" for frame in range(frames)))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for sequence in ("00", "08"):
        write(tmp_path, sequence)
    write(tmp_path, "11", labels=False)
    return tmp_path


def source(root: Path, **options: object) -> SemanticKITTI:
    return SemanticKITTI(root, splits={"train": [0], "val": ["08"], "test": [11]}, **options)


def test_scenes_are_sorted_and_named_by_sequence_and_frame(root: Path) -> None:
    (root / "dataset" / "sequences" / "00" / "velodyne" / ".000009.bin").touch()
    (root / "dataset" / "sequences" / "00" / "velodyne" / "notes.txt").touch()
    one: Source = source(root)
    assert [one.scenes(split) for split in ("train", "val", "test")] == [(f"{name}_000000", f"{name}_000001") for name in ("00", "08", "11")]
    assert (one.name, one.features, dict(one.scale), dict(one.published)) == ("semantic_kitti", ("intensity",), {}, {})
    with pytest.raises(ValueError, match="no split 'tset'.*'test', 'train', 'val'"):
        one.scenes("tset")


@pytest.mark.parametrize("below", [".", "dataset"])
def test_root_may_be_either_folder(root: Path, below: str) -> None:
    assert source(root / below).scenes("train") == ("00_000000", "00_000001")


def test_usual_splits_have_the_published_sequences() -> None:
    usual = SemanticKITTI("/nowhere")
    assert usual.splits["train"] == ("00", "01", "02", "03", "04", "05", "06", "07", "09", "10")
    assert usual.splits["val"] == ("08",) and usual.splits["test"] == tuple(str(number) for number in range(11, 22))
    assert usual.published == {"train": 19130, "val": 4071, "test": 20351}
    assert sum(usual.published.values()) == 43552, "as many scans as the odometry benchmark has"


def test_read_gives_points_remission_place_and_picture(root: Path) -> None:
    scene, labels = source(root).read("08_000001")
    given = points(1)
    assert (scene.id, scene.sequence, scene.frame) == ("08_000001", "08", 1)
    np.testing.assert_array_equal(scene.xyz, given[:, :3])
    np.testing.assert_array_equal(scene.feat, given[:, 3:])
    np.testing.assert_array_equal(scene.origin, np.zeros(3))
    assert labels.shape == (40,) and labels.dtype == np.uint8
    assert scene.images[0].path == root / "dataset" / "sequences" / "08" / "image_2" / "000001.png"
    camera = scene.images[0].camera
    assert (camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height) == (718.856, 718.856, 607.1928, 185.2157, 124, 37)


def test_pose_is_of_the_scanner_and_starts_where_the_first_scan_was_made(root: Path) -> None:
    first, second = (source(root).read(f"08_{frame:06d}")[0] for frame in range(2))
    np.testing.assert_allclose(first.pose, np.eye(4), atol=1e-9)
    # A landmark in the world of camera 0, seen from the second place of the car.
    landmark = np.array([3.0, -1.0, 20.0, 1.0])
    seen = np.linalg.inv(square(TR)) @ np.linalg.inv(camera_pose(1)) @ landmark
    expected = np.linalg.inv(square(TR)) @ landmark
    np.testing.assert_allclose(second.pose @ seen, expected, atol=1e-9)
    assert second.pose[0, 3] > 1.3, "the car drives along the scanner's x"


def test_camera_sees_what_the_projection_matrix_says(root: Path) -> None:
    scene, _ = source(root).read("08_000000")
    pixel, depth = project(scene.images[0].camera, scene.xyz)
    homogeneous = P2 @ square(TR) @ np.column_stack([scene.xyz.astype(np.float64), np.ones(len(scene))]).T
    np.testing.assert_allclose(depth, homogeneous[2], atol=1e-4)  # Tr is rounded to six digits
    ahead = homogeneous[2] > 5
    assert ahead.sum() > 10
    np.testing.assert_allclose(pixel[ahead], (homogeneous[:2] / homogeneous[2]).T[ahead], atol=0.02)


OFFICIAL = {
    **dict.fromkeys((10, 252), "car"),
    11: "bicycle",
    15: "motorcycle",
    **dict.fromkeys((18, 258), "truck"),
    **dict.fromkeys((13, 16, 20, 256, 257, 259), "other-vehicle"),
    **dict.fromkeys((30, 254), "person"),
    **dict.fromkeys((31, 253), "bicyclist"),
    **dict.fromkeys((32, 255), "motorcyclist"),
    **dict.fromkeys((40, 60), "road"),
    44: "parking",
    48: "sidewalk",
    49: "other-ground",
    50: "building",
    51: "fence",
    70: "vegetation",
    71: "trunk",
    72: "terrain",
    80: "pole",
    81: "traffic-sign",
    **dict.fromkeys((0, 1, 52, 99), None),
}


def test_label_maps_are_the_published_ones() -> None:
    names = {raw: None if label == IGNORE else CLASSES.names[label] for raw, label in TABLES["official"].items()}
    assert names == OFFICIAL
    differing = {raw: label for raw, label in TABLES["lidal"].items() if label != TABLES["official"][raw]}
    assert differing == dict.fromkeys((13, 16, 60, 256, 257), IGNORE)
    expected = "car bicycle motorcycle truck other-vehicle person bicyclist motorcyclist road parking sidewalk other-ground building fence vegetation"
    assert " ".join(CLASSES.names) == f"{expected} trunk terrain pole traffic-sign" and len(set(CLASSES.colors)) == 19


@pytest.mark.parametrize("labels", ["official", "lidal"])
def test_labels_are_mapped_without_the_instance(root: Path, labels: str) -> None:
    file = root / "dataset" / "sequences" / "08" / "labels" / "000000.label"
    raw = np.resize(np.array(list(RAW_NAMES), "<u4"), 40)
    (raw | np.uint32(0xFFFF0000)).astype("<u4").tofile(file)
    _, found = source(root, labels=labels).read("08_000000")
    assert found.tolist() == [TABLES[labels][number] for number in raw.tolist()]


@pytest.mark.parametrize("labels", ["official", "lidal"])
def test_unknown_raw_ids_are_named_and_counted(root: Path, labels: str) -> None:
    file = root / "dataset" / "sequences" / "08" / "labels" / "000000.label"
    np.array([10] * 35 + [65535] * 2 + [7] * 3, "<u4").tofile(file)
    with pytest.raises(ValueError, match=r"000000\.label: raw label ids 7 \(3 points\), 65535 \(2 points\) are not"):
        source(root, labels=labels).read("08_000000")


def test_unknown_label_map_and_shared_sequences_are_refused() -> None:
    with pytest.raises(ValueError, match="labels='offical'.*official, lidal"):
        SemanticKITTI("/nowhere", labels="offical")
    with pytest.raises(ValueError, match="sequences 08 are in both splits 'train' and 'val'"):
        SemanticKITTI("/nowhere", splits={"train": [7, 8], "val": ["08"]})
    with pytest.raises(ValueError, match="split 'val' has no sequences"):
        SemanticKITTI("/nowhere", splits={"train": [7], "val": []})


def test_test_sequences_need_no_labels_and_others_do(root: Path) -> None:
    assert set(source(root).read("11_000000")[1].tolist()) == {IGNORE}
    folder = root / "dataset" / "sequences" / "08" / "labels"
    (folder / "000001.label").unlink()
    with pytest.raises(FileNotFoundError, match=r"no labels at .*08/labels/000001\.label.*data_odometry_labels\.zip"):
        source(root).read("08_000001")
    (folder / "000000.label").unlink()
    folder.rmdir()
    with pytest.raises(FileNotFoundError, match="no labels"):
        source(root).read("08_000000")


def test_a_test_sequence_with_labels_has_them(root: Path) -> None:
    one = SemanticKITTI(root, splits={"test": [8]})
    assert (one.read("08_000000")[1] != IGNORE).any()


@pytest.mark.parametrize(("part", "size", "message"), [("velodyne/000000.bin", 39 * 16 + 4, "628 bytes"), ("velodyne/000000.bin", 0, "0 bytes")])
def test_cut_scan_is_named(root: Path, part: str, size: int, message: str) -> None:
    os.truncate(root / "dataset" / "sequences" / "08" / part, size)
    with pytest.raises(ValueError, match=rf"000000\.bin has {message}.*multiple of 16"):
        source(root).read("08_000000")


@pytest.mark.parametrize(("size", "count"), [(39 * 4, "39"), (41 * 4, "41"), (40 * 4 + 2, "40.5"), (0, "0")])
def test_label_count_must_fit(root: Path, size: int, count: str) -> None:
    os.truncate(root / "dataset" / "sequences" / "08" / "labels" / "000000.label", size)
    with pytest.raises(ValueError, match=rf"000000\.label has {count} labels for 40 points"):
        source(root).read("08_000000")


def test_points_that_are_not_finite_are_counted(root: Path) -> None:
    broken = points(0)
    broken[3, 0], broken[3, 1], broken[7, 3] = np.nan, np.inf, np.inf
    broken.tofile(root / "dataset" / "sequences" / "08" / "velodyne" / "000000.bin")
    with pytest.raises(ValueError, match=r"08/velodyne/000000\.bin: 2 of 40 points are not finite"):
        source(root).read("08_000000")


def test_missing_data_say_where_to_get_them(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"neither sequences nor dataset/sequences.*data_odometry_velodyne\.zip"):
        SemanticKITTI(root / "nowhere").scenes("train")
    with pytest.raises(FileNotFoundError, match=r"missing sequences: 03, 04.*data_odometry_velodyne\.zip"):
        SemanticKITTI(root, splits={"train": [3, 4]}).scenes("train")
    with pytest.warns(UserWarning, match="'train' goes without sequences 03, 04"):
        assert SemanticKITTI(root, splits={"train": [0, 3, 4]}).scenes("train") == ("00_000000", "00_000001")
    with pytest.raises(FileNotFoundError, match=r"no scan at .*00/velodyne/000002\.bin"):
        source(root).read("00_000002")
    with pytest.raises(ValueError, match="ids look like '08_000123'"):
        source(root).read("8_1")


def test_sequence_without_poses_stays_in_its_own_frame(tmp_path: Path) -> None:
    folder = write(tmp_path, "08")
    (folder / "poses.txt").unlink()
    scene, _ = source(tmp_path).read("08_000001")
    np.testing.assert_array_equal(scene.pose, np.eye(4))
    assert scene.images[0].camera is not None


def test_sequence_without_calibration_has_pictures_without_camera(tmp_path: Path) -> None:
    folder = write(tmp_path, "08", places=False)
    scene, _ = source(tmp_path).read("08_000001")
    assert len(scene.images) == 1 and scene.images[0].camera is None
    (folder / "poses.txt").write_text(row(np.eye(4)))
    with pytest.raises(FileNotFoundError, match=r"calib\.txt, which places the scanner, is missing"):
        source(tmp_path).read("08_000001")


def test_pictures_are_optional(tmp_path: Path) -> None:
    folder = write(tmp_path, "08", pictures=False)
    assert source(tmp_path).read("08_000000")[0].images == ()
    (folder / "image_2").mkdir()
    (folder / "image_2" / "000000.png").write_bytes(b"no picture")
    assert source(tmp_path).read("08_000001")[0].images == ()
    with pytest.raises(ValueError, match=r"000000\.png is not a picture"):
        source(tmp_path).read("08_000000")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "line 2 must be 12 finite numbers, but has 0"),
        ("1 2 3", "line 2 must be 12 finite numbers, but has 3"),
        ("1 0 0 0 0 1 0 0 0 0 1 nan", "line 2 must be 12 finite numbers"),
        ("1 0 0 0 0 1 0 0 0 0 1 x", "line 2: could not convert string to float: 'x'"),
        ("1 0 0 0 0 1 0 0 0 0 2 0", "line 2 is no rotation"),
        ("1 0 0 0 0 1 0 0 0 0 -1 0", "line 2 is no rotation"),
    ],
)
def test_broken_pose_is_named_with_its_line(tmp_path: Path, line: str, message: str) -> None:
    folder = write(tmp_path, "08")
    file = folder / "poses.txt"
    file.write_text(f"{row(np.eye(4))}\n{line}\n{row(np.eye(4))}\n")
    with pytest.raises(ValueError, match=rf"poses\.txt, {message}"):
        source(tmp_path).read("08_000000")


def test_too_few_poses_say_which_line_is_missing(tmp_path: Path) -> None:
    folder = write(tmp_path, "08")
    (folder / "poses.txt").write_text(f"{row(np.eye(4))}\n\n")
    np.testing.assert_allclose(source(tmp_path).read("08_000000")[0].pose, np.eye(4), atol=1e-9)
    with pytest.raises(ValueError, match=r"poses\.txt has 1 lines, scan 000001 needs line 2"):
        source(tmp_path).read("08_000001")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"P2: {row(P2)}\n", r"calib\.txt has no line 'Tr"),
        (f"Tr: {row(TR)}\n", r"calib\.txt has no line 'P2"),
        (f"P2: {row(P2)}\nTr: 1 2 3\n", r"calib\.txt, line 2 must be 12 finite numbers, but has 3"),
        (f"P2: {row(P2)}\nTr: {row(2 * TR)}\n", r"calib\.txt: Tr is no rotation"),
        (f"P2: {row(TR)}\nTr: {row(TR)}\n", r"calib\.txt: P2 is not that of a rectified camera"),
    ],
)
def test_broken_calibration_is_named(tmp_path: Path, content: str, message: str) -> None:
    (write(tmp_path, "08") / "calib.txt").write_text(content)
    with pytest.raises(ValueError, match=message):
        source(tmp_path).read("08_000000")


def test_poses_are_parsed_once_and_again_when_they_change(tmp_path: Path) -> None:
    folder = write(tmp_path, "08")
    assert drive_of(folder) is drive_of(folder)
    scene, _ = source(tmp_path).read("08_000001")
    scene.pose[:] = 0  # what is handed out is a copy
    assert source(tmp_path).read("08_000001")[0].pose[3, 3] == 1
    (folder / "poses.txt").write_text(f"{row(np.eye(4))}\n" * 2)
    np.testing.assert_allclose(source(tmp_path).read("08_000001")[0].pose, np.eye(4), atol=1e-9)


def test_fingerprint_changes_with_files_and_options_and_nothing_else(root: Path) -> None:
    first = source(root).fingerprint()
    sequences = root / "dataset" / "sequences"
    (sequences / "08" / "times.txt").write_text("0\n")
    (sequences / "08" / "velodyne" / ".000007.bin").touch()
    assert source(root).fingerprint() == source(root / "dataset").fingerprint() == first
    assert len({first, source(root, labels="lidal").fingerprint(), SemanticKITTI(root, splits={"train": [0], "val": [8]}).fingerprint()}) == 3
    for part in ("velodyne/000000.bin", "labels/000001.label", "image_2/000000.png", "poses.txt", "calib.txt"):
        before = source(root).fingerprint()
        path = sequences / "00" / part
        status = path.stat()
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1000))
        assert source(root).fingerprint() != before, part


@settings(max_examples=20, derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(RAW_NAMES)), st.integers(0, 65535)), min_size=1, max_size=30))
def test_any_listed_label_reads_as_the_table_says(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int]]) -> None:
    folder = tmp_path_factory.mktemp("kitti") / "sequences" / "05"
    (folder / "velodyne").mkdir(parents=True)
    (folder / "labels").mkdir()
    points(0, len(rows)).tofile(folder / "velodyne" / "000000.bin")
    np.array([raw + (instance << 16) for raw, instance in rows], "<u4").tofile(folder / "labels" / "000000.label")
    _, labels = SemanticKITTI(folder.parents[1], splits={"train": [5]}).read("05_000000")
    assert labels.tolist() == [TABLES["official"][raw] for raw, _ in rows]


real_labels = pytest.mark.skipif(not (REAL / "semantic_kitti").is_dir(), reason="the real SemanticKITTI scan is not here")
real_scans = pytest.mark.skipif(not (REAL / "kitti_odometry_00").is_dir(), reason="the real KITTI scans are not here")

#: Points per class of the real scan: counted per raw id with numpy alone, moving + standing; 0, 1, 52 and 99 are ignored.
REAL_COUNTS = {
    "car": 544 + 990,
    "bicycle": 20,
    "person": 23 + 138,
    "road": 20975,
    "parking": 84,
    "sidewalk": 30092,
    "building": 2126,
    "fence": 531,
    "vegetation": 24514,
    "trunk": 3978,
    "terrain": 30925,
    "pole": 413,
    "traffic-sign": 1112,
}


@real_labels
@pytest.mark.parametrize("labels", ["official", "lidal"])
def test_real_scan_has_the_known_points_and_classes(labels: str) -> None:
    one = SemanticKITTI(REAL / "semantic_kitti", labels=labels)
    assert one.scenes("val") == ("08_000000",)
    scene, found = one.read("08_000000")
    assert scene.xyz.shape == (123389, 3) and scene.images == ()
    counts = np.bincount(found, minlength=256)
    assert {CLASSES.names[label]: int(counts[label]) for label in np.flatnonzero(counts[:19])} == REAL_COUNTS
    assert counts[IGNORE] == 4458 + 5 + 809 + 1652 == 123389 - sum(REAL_COUNTS.values())
    check_scan(scene)
    np.testing.assert_allclose(scene.xyz.min(axis=0), [-79.6024, -79.9169, -27.63914], rtol=1e-6)
    np.testing.assert_allclose(scene.xyz.max(axis=0), [79.004715, 78.36708, 2.956046], rtol=1e-6)
    road = scene.xyz[found == CLASSES.names.index("road")]
    near = road[np.linalg.norm(road[:, :2], axis=1) < 10]
    assert -1.9 < np.median(near[:, 2]) < -1.5, "the scanner stands 1.73 m above the road"


@real_scans
def test_real_scans_without_labels_are_read(tmp_path: Path) -> None:
    (tmp_path / "sequences" / "00").mkdir(parents=True)
    (tmp_path / "sequences" / "00" / "velodyne").symlink_to(REAL / "kitti_odometry_00" / "velodyne", target_is_directory=True)
    one = SemanticKITTI(tmp_path, splits={"test": [0]})
    assert one.scenes("test") == ("00_000000", "00_000001", "00_000002")
    scans = [one.read(scene_id) for scene_id in one.scenes("test")]
    assert [len(scene) for scene, _ in scans] == [124668, 124605, 124478]
    for scene, labels in scans:
        check_scan(scene)
        assert (labels == IGNORE).all()


def check_scan(scene: object) -> None:
    """Ranges of the scanner, remission in hundredths."""
    distance = np.linalg.norm(scene.xyz, axis=1)
    assert np.isfinite(scene.xyz).all() and 1.0 < distance.min() < 3.0 and 75 < distance.max() < 81
    assert scene.feat.min() == 0 and 0.9 < scene.feat.max() <= 1
    np.testing.assert_allclose(np.unique(scene.feat) * 100, np.rint(np.unique(scene.feat) * 100), atol=1e-3)
