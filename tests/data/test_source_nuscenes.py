"""nuScenes-lidarseg: the official files, the real sweep, and that every mistake is named."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from al3d.data.sources.nuscenes import NuScenes
from al3d.data.sources.nuscenes_labels import CAMERAS, CLASSES, PUBLISHED, RAW_NAMES, lookup, split_of, val_scenes
from al3d.data.sources.nuscenes_tables import inverse, matrix, read_key_frames, stream
from al3d.geometry.camera import in_view, project
from al3d.types import IGNORE, Source

REAL = Path(__file__).parents[3] / "shared" / "data" / "nuscenes_frame"
MINI = "v1.0-mini"
#: Where the scanner and the front camera of vehicle n015 sit, and where it was at the time of the real sweep and picture.
LIDAR_MOUNT = {"rotation": [0.7077955119163518, -0.006492242056004365, 0.010646214713995808, -0.7063073142877817], "translation": [0.943713, 0.0, 1.84023]}
CAMERA_MOUNT = {
    "rotation": [0.4998015430569128, -0.5030316162024876, 0.4997798114386805, -0.49737083824542755],
    "translation": [1.70079118954, 0.0159456324149, 1.51095763913],
}
LENS = [[1266.417203046554, 0.0, 816.2670197447984], [0.0, 1266.417203046554, 491.50706579294757], [0.0, 0.0, 1.0]]
LIDAR_EGO = {
    "rotation": [0.5720320396729045, -0.0016977771610471074, 0.011798001930183783, -0.8201446642457809],
    "translation": [411.3039349319818, 1180.8903791765097, 0.0],
}
CAMERA_EGO = {
    "rotation": [0.5720063498929273, -0.0021434844534272707, 0.011564094980151613, -0.8201648693182716],
    "translation": [411.4199861830012, 1181.197175631848, 0.0],
}
SWEEP = "samples/LIDAR_TOP/a__LIDAR_TOP__{}.pcd.bin"
PICTURE = "samples/CAM_FRONT/a__CAM_FRONT__{}.jpg"


def tables(scenes=("scene-0061", "scene-0103"), samples=2):
    """Tables of a small release, written by hand: a scanner, a front camera and a radar, whose rows are not read."""
    rows = {
        "sensor": [{"token": f"s{c}", "channel": c, "modality": "x"} for c in ("LIDAR_TOP", "CAM_FRONT", "RADAR_FRONT")],
        "calibrated_sensor": [
            {"token": "cl", "sensor_token": "sLIDAR_TOP", "camera_intrinsic": [], **LIDAR_MOUNT},
            {"token": "cc", "sensor_token": "sCAM_FRONT", "camera_intrinsic": LENS, **CAMERA_MOUNT},
            {"token": "cr", "sensor_token": "sRADAR_FRONT", "camera_intrinsic": [], **LIDAR_MOUNT},
        ],
        "category": [{"token": f"k{i}", "name": name, "description": "", "index": i} for i, name in enumerate(RAW_NAMES)],
        "scene": [{"token": f"t{name}", "name": name} for name in scenes],
        "sample": [],
        "sample_data": [],
        "ego_pose": [],
        "lidarseg": [],
    }
    for name in scenes:
        for number in reversed(range(samples)):  # tables are in no order
            sample = f"{name}.{number}"
            rows["sample"].append({"token": sample, "timestamp": 1000 * number, "scene_token": f"t{name}", "prev": "", "next": ""})
            for kind, sensor, key, file in (("l", "cl", True, SWEEP), ("c", "cc", True, PICTURE), ("r", "cr", True, "r{}"), ("l2", "cl", False, "other{}")):
                token = f"{sample}.{kind}"
                rows["sample_data"].append(
                    {
                        "token": token,
                        "sample_token": sample,
                        "ego_pose_token": token,
                        "calibrated_sensor_token": sensor,
                        "timestamp": 1000 * number,
                        "fileformat": "pcd",
                        "is_key_frame": key,
                        "height": 900 if kind == "c" else 0,
                        "width": 1600 if kind == "c" else 0,
                        "filename": file.format(sample),
                        "prev": "",
                        "next": "",
                    }
                )
                rows["ego_pose"].append({"token": token, "timestamp": 1000 * number, **(CAMERA_EGO if kind == "c" else LIDAR_EGO)})
    return rows


def points(seed=0, count=50):
    random = np.random.default_rng(seed)
    xyz = random.uniform(-50, 50, (count, 3))
    return np.column_stack([xyz, random.integers(0, 256, count), random.integers(0, 32, count)]).astype(np.float32)


def write(root, rows=None, version=MINI, indent=0):
    """A release on the disk: every sweep with its labels, no pictures."""
    rows = tables() if rows is None else rows
    (root / version).mkdir(parents=True)
    (root / "samples" / "LIDAR_TOP").mkdir(parents=True)
    (root / "lidarseg" / version).mkdir(parents=True)
    for name, content in rows.items():
        (root / version / f"{name}.json").write_text(json.dumps(content, indent=indent))
    for row in rows["sample_data"]:
        if row["is_key_frame"] and row["calibrated_sensor_token"] == "cl":
            points().tofile(root / row["filename"])
            (np.arange(50) % 32).astype(np.uint8).tofile(root / "lidarseg" / version / f"{row['token']}_lidarseg.bin")
    return root


def pose_of(mount, ego):
    """Sensor to world, by another library."""
    result = np.eye(4)
    for motion in (ego, mount):
        w, x, y, z = motion["rotation"]
        step = np.eye(4)
        step[:3, :3] = Rotation.from_quat([x, y, z, w]).as_matrix()
        step[:3, 3] = motion["translation"]
        result = result @ step
    return result


def test_names_and_splits():
    assert len(RAW_NAMES) == 32 and RAW_NAMES[17] == "vehicle.car" and RAW_NAMES[24] == "flat.driveable_surface" and RAW_NAMES[31] == "vehicle.ego"
    groups = [[9], [14], [15, 16], [17], [18], [21], [2, 3, 4, 6], [12], [22], [23], [24], [25], [26], [27], [28], [30]]
    expected = np.full(32, IGNORE)
    for label, ids in enumerate(groups):
        expected[ids] = label
    np.testing.assert_array_equal(lookup(), expected)
    assert len(CLASSES) == 16 and len(set(CLASSES.colors)) == 16
    assert len(val_scenes()) == 150
    assert [split_of("v1.0-trainval", f"scene-{n:04d}") for n in (3, 4, 1073, 1074)] == ["val", "train", "val", "train"]
    assert [split_of(MINI, name) for name in ("scene-0553", "scene-0916", "scene-0001")] == ["train", "val", None]
    assert split_of("v1.0-test", "scene-0077") == "test"
    assert PUBLISHED["v1.0-trainval"] == {"train": 28130, "val": 6019}


@pytest.mark.parametrize("indent", [0, 2, None])
def test_reads_points_labels_and_poses(tmp_path, indent):
    source: Source = NuScenes(write(tmp_path / "d", indent=indent), version=MINI)
    assert (source.scenes("train"), source.scenes("val")) == (("scene-0061_000", "scene-0061_001"), ("scene-0103_000", "scene-0103_001"))
    scene, label = source.read("scene-0061_001")
    assert (scene.id, scene.sequence, scene.frame) == ("scene-0061_001", "scene-0061", 1)
    np.testing.assert_array_equal(scene.xyz, points()[:, :3])
    np.testing.assert_allclose(scene.feat * 255, points()[:, 3:4], atol=1e-4)
    np.testing.assert_array_equal(label, lookup()[np.arange(50) % 32])
    np.testing.assert_allclose(scene.pose, pose_of(LIDAR_MOUNT, LIDAR_EGO), atol=1e-9)
    assert (source.features, source.scale, dict(source.published)) == (("intensity",), {}, {"train": 323, "val": 81})
    raw, _ = NuScenes(tmp_path / "d", version=MINI, intensity="raw").read("scene-0061_001")
    np.testing.assert_array_equal(raw.feat, points()[:, 3:4])


def test_a_world_point_lands_in_the_same_pixel_through_the_scanner_frame(tmp_path):
    scene, _ = NuScenes(write(tmp_path / "d"), version=MINI).read("scene-0061_000")
    (image,) = scene.images
    assert image.path is None and (image.camera.width, image.camera.height) == (1600, 900)
    camera_pose = pose_of(CAMERA_MOUNT, CAMERA_EGO)
    seen = np.random.default_rng(0).uniform((-5, -3, 5), (5, 3, 40), (20, 3))  # in front of the camera
    world = seen @ camera_pose[:3, :3].T + camera_pose[:3, 3]
    lidar = (world - scene.pose[:3, 3]) @ scene.pose[:3, :3]
    pixel, depth = project(image.camera, lidar)
    np.testing.assert_allclose(depth, seen[:, 2], atol=1e-6)
    np.testing.assert_allclose(pixel, seen @ np.array(LENS).T[:, :2] / seen[:, 2:], atol=1e-4)
    (tmp_path / "d" / PICTURE.format("scene-0061.0")).parent.mkdir()
    (tmp_path / "d" / PICTURE.format("scene-0061.0")).write_bytes(b"")
    found, _ = NuScenes(tmp_path / "d", version=MINI).read("scene-0061_000")
    assert found.images[0].path == tmp_path / "d" / PICTURE.format("scene-0061.0")


def test_the_other_releases(tmp_path):
    scenes = ("scene-0001", "scene-0003")
    whole = NuScenes(write(tmp_path / "whole", tables(scenes), "v1.0-trainval"))
    assert whole.scenes("val") == ("scene-0003_000", "scene-0003_001") and whole.scenes("train")[0] == "scene-0001_000"
    test = NuScenes(write(tmp_path / "test", tables(scenes), "v1.0-test"), version="v1.0-test")
    (tmp_path / "test" / "lidarseg").rename(tmp_path / "gone")
    assert len(test.scenes("test")) == 4
    assert (test.read("scene-0001_000")[1] == IGNORE).all()
    with pytest.raises(ValueError, match=r"has no split 'train': choose one of test"):
        test.scenes("train")


def test_the_index_survives_pickling_and_blocks_of_any_size(tmp_path):
    root = write(tmp_path / "d")
    source = NuScenes(root, version=MINI)
    source.scenes("train")
    travelled = pickle.loads(pickle.dumps(source))
    (root / MINI / "sample_data.json").unlink()
    np.testing.assert_array_equal(travelled.read("scene-0061_000")[0].pose, source.read("scene-0061_000")[0].pose)
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"a": 1}, {"b": [1, 2]}], indent=0))
    for block in (1, 3, 1000):
        assert [json.loads(row) for row in stream(path, block)] == [{"a": 1}, {"b": [1, 2]}]


def test_ids_sort_in_time_order_in_long_drives(tmp_path):
    ids = read_key_frames(write(tmp_path / "d", tables(("scene-0061",), 1002)) / MINI).ids
    assert ids[0] == "scene-0061_0000" and ids[-1] == "scene-0061_1001" and list(ids) == sorted(ids)


@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.1), st.lists(st.floats(-2000, 2000), min_size=3, max_size=3))
@settings(max_examples=30, derandomize=True)
def test_matrices(quaternion, translation):
    w, x, y, z = quaternion
    pose = matrix(np.array([*quaternion, *translation]))
    np.testing.assert_allclose(pose[:3, :3], Rotation.from_quat([x, y, z, w]).as_matrix(), atol=1e-12)
    np.testing.assert_allclose(inverse(pose) @ pose, np.eye(4), atol=1e-9)


def change(table, key, value, row=0):
    def apply(root):
        path = root / MINI / f"{table}.json"
        rows = json.loads(path.read_text())
        rows[row][key] = value
        path.write_text(json.dumps(rows))

    return apply


def cut(table):
    def apply(root):
        path = root / MINI / f"{table}.json"
        path.write_text(path.read_text()[:-30])

    return apply


def sweep(root, version=MINI):
    return next(iter(sorted((root / "samples" / "LIDAR_TOP").iterdir())))


def labels(root):
    return root / "lidarseg" / MINI / "scene-0061.0.l_lidarseg.bin"


BROKEN = {
    "no table": (lambda root: (root / MINI / "ego_pose.json").unlink(), FileNotFoundError, r"no ego_pose.json in .*v1.0-mini.tgz"),
    "no lidarseg": (lambda root: (root / "lidarseg").rename(root / "x"), FileNotFoundError, r"extract nuScenes-lidarseg-mini-v1.0.tar.bz2"),
    "no sweep": (lambda root: sweep(root).unlink(), FileNotFoundError, r"no sweep at .*extract v1.0-mini.tgz"),
    "cut sweep": (lambda root: sweep(root).write_bytes(bytes(30)), ValueError, r"30 bytes, which is not a positive multiple of 20"),
    "empty sweep": (lambda root: sweep(root).write_bytes(b""), ValueError, r"0 bytes"),
    "nan": (lambda root: np.full((50, 5), np.nan, np.float32).tofile(sweep(root)), ValueError, r"point 0 is \[nan.*50 such points"),
    "labels missing": (lambda root: labels(root).unlink(), FileNotFoundError, r"no labels at .*scene-0061.0.l_lidarseg.bin"),
    "labels short": (lambda root: labels(root).write_bytes(bytes(49)), ValueError, r"49 labels for 50 points"),
    "label unknown": (lambda root: labels(root).write_bytes(bytes([0] * 49 + [77])), ValueError, r"point 49 has label 77"),
    "categories": (change("category", "index", 3), ValueError, r"label 3 is 'noise', but .* calls it 'human.pedestrian.child'"),
    "categories beyond": (change("category", "index", 32), ValueError, r"label 32 is 'noise'"),
    "cut table": (cut("ego_pose"), ValueError, r"ego_pose.json breaks off"),
    "cut small table": (cut("scene"), ValueError, r"scene.json is not JSON"),
    "no pose": (change("ego_pose", "token", "x"), ValueError, r"ego_pose.json lacks 1 of the 8 poses"),
    "no rotation": (change("ego_pose", "rotation", [1, 1, 0, 0]), ValueError, r"ego_pose.json, row 'scene-0061.1.l': rotation \[1, 1, 0, 0\]"),
    "strange sample": (change("sample_data", "sample_token", "x"), ValueError, r"sample_data.json, row 'scene-0061.1.l': no field or other row 'x'"),
    "not a key frame": (change("sample_data", "is_key_frame", False), ValueError, r"no LIDAR_TOP key frame for 1 samples, such as scene-0061_001"),
    "strange scene": (change("sample", "scene_token", "x"), ValueError, r"sample.json, row 'scene-0061.1'"),
    "lens": (change("calibrated_sensor", "camera_intrinsic", [], 1), ValueError, r"calibrated_sensor.json, row 'cc'"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_every_mistake_is_named(tmp_path, case):
    spoil, error, message = BROKEN[case]
    root = write(tmp_path / "d")
    spoil(root)
    source = NuScenes(root, version=MINI)
    with pytest.raises(error, match=message):
        source.read(source.scenes("train")[0])


def test_wrong_requests(tmp_path):
    with pytest.raises(ValueError, match="v1.1"):
        NuScenes(tmp_path, version="v1.1")
    with pytest.raises(ValueError, match="intensity='byte'"):
        NuScenes(tmp_path, intensity="byte")
    with pytest.raises(FileNotFoundError, match="no folder at .*nuscenes.org"):
        NuScenes(tmp_path / "nowhere").scenes("train")
    root = write(tmp_path / "d")
    with pytest.raises(FileNotFoundError, match="v1.0-mini is there: dataset.source.version=v1.0-mini"):
        NuScenes(root).fingerprint()
    with pytest.raises(ValueError, match="'scene-0061_999' is not a scene"):
        NuScenes(root, version=MINI).read("scene-0061_999")
    only_train = write(tmp_path / "train", tables(("scene-0061",)))
    with pytest.raises(ValueError, match="no scene of split 'val'"):
        NuScenes(only_train, version=MINI).scenes("val")


def test_base_category_table_without_ids_is_fine(tmp_path):
    rows = tables()
    rows["category"] = [{"token": "k", "name": "vehicle.car", "description": ""}]
    assert len(NuScenes(write(tmp_path / "d", rows), version=MINI).scenes("train")) == 2


def test_fingerprint_follows_files_and_options(tmp_path):
    root = write(tmp_path / "d")
    first = NuScenes(root, version=MINI).fingerprint()
    assert NuScenes(str(root), version=MINI).fingerprint() == first
    assert NuScenes(root, version=MINI, intensity="raw").fingerprint() != first
    labels(root).unlink()
    second = NuScenes(root, version=MINI).fingerprint()
    assert second != first
    (root / MINI / "sample.json").write_text("[]")
    assert NuScenes(root, version=MINI).fingerprint() not in (first, second)


real = pytest.mark.skipif(not REAL.is_dir(), reason="the real nuScenes sweep is not there")


def real_sweep():
    return np.fromfile(next(REAL.glob("*LIDAR_TOP*.pcd.bin")), np.float32).reshape(-1, 5)


@real
def test_the_real_sweep_has_columns_of_32_beams_with_echoes_or_nothing():
    rows = real_sweep()
    assert rows.shape == (34688, 5) == (1084 * 32, 5)
    np.testing.assert_array_equal(rows[:, 4], np.tile(np.arange(32), 1084))
    assert (rows[:, 3] == np.rint(rows[:, 3])).all() and rows[:, 3].min() == 0 and rows[:, 3].max() == 255
    distance = np.linalg.norm(rows[:, :3].astype(np.float64), axis=1)
    assert 102 < distance.max() < 106
    assert not ((distance > 2.1) & (distance < 3.5)).any()  # the vehicle ends, the ground starts
    azimuth = np.unwrap(np.arctan2(rows[20::32, 1], rows[20::32, 0])[distance[20::32] > 3.5])
    assert azimuth[-1] < azimuth[0] - 6  # clockwise, one turn
    steepness = np.degrees(np.arcsin(rows[:, 2] / distance.clip(1e-9))).reshape(1084, 32)
    far = (distance > 3.5).reshape(1084, 32)
    beams = np.array([np.median(steepness[far[:, beam], beam]) for beam in range(32)])
    np.testing.assert_allclose(beams, np.linspace(-30.67, 10.67, 32), atol=0.35)


@real
def test_beams_without_echo_lie_where_the_scanner_was():
    """Zero ranges, moved with the vehicle: a straight line behind the scanner that ends at it, since the time of a sweep is its end."""
    rows = real_sweep().reshape(1084, 32, 5)
    near = rows[:, 31, :3][np.linalg.norm(rows[:, 31, :3], axis=1) < 2]
    assert len(near) > 300
    assert np.abs(near[:, 0]).max() < 0.001 and near[:, 1].min() > -0.46 and (np.diff(near[:, 1]) > 0).all() and abs(near[-1, 1]) < 0.01


@real
def test_the_real_pictures():
    from PIL import Image

    names = {path.name.split("__")[1]: path for path in REAL.glob("*.jpg")}
    assert set(names) == set(CAMERAS)
    assert {Image.open(path).size for path in names.values()} == {(1600, 900)}


def inside(points, translation, size, rotation):
    """How many points of the map are in an annotation box (size: width, length, height)."""
    w, x, y, z = rotation
    local = (points - translation) @ Rotation.from_quat([x, y, z, w]).as_matrix()
    return int((np.abs(local) <= np.array([size[1], size[0], size[2]]) / 2).all(axis=1).sum())


def real_release(root):
    """The hand-written release with the real sweep as its first key frame; its poses are those of that sweep."""
    write(root)
    real_sweep().tofile(sweep(root))
    labels(root).write_bytes(bytes([24] * 34688))
    return NuScenes(root, version=MINI).read("scene-0061_000")


@real
def test_the_real_sweep_has_as_many_points_in_the_real_boxes_as_nuscenes_counted(tmp_path):
    scene, label = real_release(tmp_path / "d")
    world = scene.xyz @ scene.pose[:3, :3].T + scene.pose[:3, 3]
    truck = ((409.989, 1164.099, 1.623), (2.877, 10.201, 3.595), (-0.5828819500503033, 0, 0, 0.812556848660791))
    person = ((373.256, 1130.419, 0.8), (0.621, 0.669, 1.642), (0.9831098797903927, 0, 0, -0.18301629506281616))
    assert (inside(world, *truck), inside(world, *person)) == (495, 1)
    assert len(scene) == 34688 and (label == CLASSES.names.index("driveable_surface")).all()


@real
def test_the_front_camera_looks_along_the_drive(tmp_path):
    scene, _ = real_release(tmp_path / "d")
    camera = scene.images[0].camera
    np.testing.assert_allclose(camera.pose[:3, 3], [0, 0.76 - 0.33, -0.33], atol=0.05)  # before the scanner, but taken 35 ms earlier on the way
    assert camera.pose[1, 2] > 0.99  # looks along y
    pixel, depth = project(camera, scene.xyz)
    ahead = in_view(camera, pixel, depth) & (depth > 2)
    assert 2500 < ahead.sum() < 4500
