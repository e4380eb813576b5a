"""Drives written as nuScenes-lidarseg: what is read back is what was driven, and the tables fit together."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from al3d.data.sources.nuscenes import NuScenes
from al3d.data.sources.nuscenes_labels import CAMERAS, CLASSES, RAW_NAMES
from al3d.geometry.camera import look_at, project
from al3d.types import IGNORE, Camera
from al3d.world.nuscenes import RAW_OF, raw_labels, scene_names, write_nuscenes
from al3d.world.nuscenes_rows import token
from al3d.world.nuscenes_schema import TABLES, write_table
from al3d.world.sweep import CATEGORIES, Shot, Sweep

MINI = "v1.0-mini"
LENSES = {name: Camera(40.0 + place, 41.0, 31.5, 23.5, 64, 48) for place, name in enumerate(CAMERAS)}


def sweep(number=0, seed=0, points=60, shots=CAMERAS):
    """A scan on a curve; the pictures are taken up to 40 ms earlier, while the vehicle moves."""
    random = np.random.default_rng([seed, number])
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("zyx", [0.3 * number, 0.02, -0.01]).as_matrix()
    pose[:3, 3] = [600.0 + 5 * number, 1200.0 + number, 1.84]
    pictures = []
    for place, name in enumerate(shots):
        turned = look_at([1.0 - 0.05 * place - 0.2, 0.1 * place, -0.3], [np.cos(place) * 9, np.sin(place) * 9, -0.3])
        taken = 0.5 * number - 0.01 * place
        pictures.append(Shot(name, np.full((48, 64, 3), 40 * place, np.uint8), replace(LENSES[name], pose=turned), taken))
    return Sweep(
        xyz=random.uniform(-40, 40, (points, 3)).astype(np.float32),
        intensity=random.uniform(0, 1, points).astype(np.float32),
        ring=np.arange(points, dtype=np.uint8) % 32,
        category=random.integers(0, len(CATEGORIES), points).astype(np.uint8),
        moving=np.zeros(points, dtype=bool),
        instance=np.zeros(points, np.int32),
        pose=pose,
        time=0.5 * number,
        shots=tuple(pictures),
    )


def drive(count=3, **options):
    return [sweep(number, **options) for number in range(count)]


def read(root, version=MINI):
    """All tables, by token."""
    files = {path.stem: json.loads(path.read_text()) for path in (root / version).glob("*.json")}
    return {name: {row["token"]: row for row in rows} for name, rows in files.items()}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("world") / "nuscenes"
    write_nuscenes(root, {"scene-0061": iter(drive()), "scene-0103": iter(drive(2, seed=1, shots=()))})
    return root


def test_what_is_read_is_what_was_driven(written):
    source = NuScenes(written, version=MINI)
    assert source.scenes("train") == ("scene-0061_000", "scene-0061_001", "scene-0061_002")
    assert source.scenes("val") == ("scene-0103_000", "scene-0103_001")
    for number, made in enumerate(drive()):
        scene, label = source.read(f"scene-0061_{number:03d}")
        np.testing.assert_array_equal(scene.xyz, np.stack([-made.xyz[:, 1], made.xyz[:, 0], made.xyz[:, 2]], axis=1))
        np.testing.assert_allclose(scene.feat[:, 0], made.intensity, atol=0.5 / 255 + 1e-6)
        world = made.xyz.astype(np.float64) @ made.pose[:3, :3].T + made.pose[:3, 3]
        np.testing.assert_allclose(scene.xyz.astype(np.float64) @ scene.pose[:3, :3].T + scene.pose[:3, 3], world, atol=1e-6)
        np.testing.assert_array_equal(raw_labels(made.category), [RAW_NAMES.index(RAW_OF[CATEGORIES[c]]) for c in made.category])
        names = [CLASSES.names[value] if value != IGNORE else None for value in label]
        cars = made.category == CATEGORIES.index("car")
        roads = made.category == CATEGORIES.index("lane-marking")
        assert {name for name, is_car in zip(names, cars, strict=True) if is_car} <= {"car"}
        assert {name for name, is_road in zip(names, roads, strict=True) if is_road} <= {"driveable_surface"}


def test_cameras_see_the_same_pixels(written):
    source = NuScenes(written, version=MINI)
    for number, made in enumerate(drive()):
        scene, _ = source.read(f"scene-0061_{number:03d}")
        assert len(scene.images) == 6
        for shot, image, name in zip(made.shots, scene.images, CAMERAS, strict=True):
            assert shot.name == name == image.path.parent.name
            ahead = project(shot.camera, made.xyz)[1] > 1
            expected, depth = project(shot.camera, made.xyz[ahead])
            pixel, found = project(image.camera, scene.xyz[ahead])
            np.testing.assert_allclose(found, depth, atol=1e-6)
            np.testing.assert_allclose(pixel, expected, atol=1e-4)
            assert (image.camera.fx, image.camera.width, image.camera.height) == (shot.camera.fx, 64, 48)
            np.testing.assert_allclose(np.asarray(Image.open(image.path)), shot.image, atol=3)
    assert source.read("scene-0103_000")[0].images == ()


def test_every_token_leads_to_a_row(written):
    tables = read(written)
    assert set(tables) == set(TABLES)
    targets = {"first_sample": "sample", "last_sample": "sample", "log": "log", "scene": "scene"}
    followed = 0
    for name, rows in tables.items():
        for row in rows.values():
            assert tuple(row) == TABLES[name]
            for field, value in row.items():
                table = field.removesuffix("_token")
                if field.endswith("_token"):
                    assert value in tables[targets.get(table, table)], (name, field)
                    followed += 1
                elif field in ("prev", "next") and value:
                    other = rows[value]
                    assert other["next" if field == "prev" else "prev"] == row["token"]
                    assert (other["timestamp"] < row["timestamp"]) == (field == "prev")
                    followed += 1
                elif field == "log_tokens":
                    assert set(value) <= set(tables["log"])
                elif field == "filename":
                    assert (written / value).is_file()
    assert followed > 100
    assert len(tables["category"]) == 32 and len(tables["sensor"]) == 12 and len(tables["attribute"]) == 8 and len(tables["visibility"]) == 4
    assert all(len(key) == 32 and int(key, 16) >= 0 for name, rows in tables.items() if name != "visibility" for key in rows)


def test_rows_agree_with_each_other(written):
    tables = read(written)
    for scene in tables["scene"].values():
        own = sorted((row for row in tables["sample"].values() if row["scene_token"] == scene["token"]), key=lambda row: row["timestamp"])
        assert [own[0]["token"], own[-1]["token"], len(own)] == [scene["first_sample_token"], scene["last_sample_token"], scene["nbr_samples"]]
        assert own[0]["prev"] == own[-1]["next"] == ""
        assert [b["timestamp"] - a["timestamp"] for a, b in zip(own, own[1:], strict=False)] == [500_000] * (len(own) - 1)
    channel = {key: tables["sensor"][row["sensor_token"]]["channel"] for key, row in tables["calibrated_sensor"].items()}
    assert sorted(channel.values()) == sorted(["LIDAR_TOP", *CAMERAS, "LIDAR_TOP"])
    for row in tables["sample_data"].values():
        kind = channel[row["calibrated_sensor_token"]]
        log = tables["log"][tables["scene"][tables["sample"][row["sample_token"]]["scene_token"]]["log_token"]]
        ending = "pcd.bin" if kind == "LIDAR_TOP" else "jpg"
        assert row["filename"] == f"samples/{kind}/{log['logfile']}__{kind}__{row['timestamp']}.{ending}"
        assert tables["ego_pose"][row["ego_pose_token"]]["timestamp"] == row["timestamp"]
        if kind == "LIDAR_TOP":
            rows = np.fromfile(written / row["filename"], np.float32).reshape(-1, 5)
            np.testing.assert_array_equal(rows[:, 4], np.arange(60) % 32)
            assert (rows[:, 3] == np.rint(rows[:, 3])).all() and 200 < rows[:, 3].max() <= 255
            assert (written / "lidarseg" / MINI / f"{row['token']}_lidarseg.bin").stat().st_size == 60


def test_the_vehicle_is_where_it_drove(written):
    """The pictures' poses lie on the way between the sweeps, and the scanner sits upright at its official place."""
    tables = read(written)
    channel = {key: tables["sensor"][row["sensor_token"]]["channel"] for key, row in tables["calibrated_sensor"].items()}
    mounts = {channel[key]: row for key, row in tables["calibrated_sensor"].items()}
    np.testing.assert_allclose(mounts["LIDAR_TOP"]["translation"], [0.943713, 0, 1.84023])
    np.testing.assert_allclose(np.abs(mounts["LIDAR_TOP"]["rotation"]), [0.5**0.5, 0, 0, 0.5**0.5], atol=1e-12)
    first = next(row for row in tables["sample"].values() if row["token"] == token("scene-0061", 0))
    data = [row for row in tables["sample_data"].values() if row["sample_token"] == first["token"]]
    places = {channel[row["calibrated_sensor_token"]]: (row["timestamp"] - first["timestamp"], tables["ego_pose"][row["ego_pose_token"]]) for row in data}
    start = np.array(places["LIDAR_TOP"][1]["translation"])
    for time, pose in places.values():
        np.testing.assert_allclose(np.array(pose["translation"]) - start, np.array([5, 1, 0]) * time / 500_000, atol=1e-6)


def test_the_same_drives_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_nuscenes(tmp_path / name, {"scene-0003": drive(2), "scene-0001": drive(1)}, "v1.0-trainval")
    files = [{path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*") if path.is_file()} for name in ("a", "b")]
    assert files[0] == files[1]
    source = NuScenes(tmp_path / "a")
    assert (len(source.scenes("train")), len(source.scenes("val"))) == (1, 2)


def test_tables_look_like_the_official_ones(written):
    text = (written / MINI / "sample_data.json").read_text()
    assert text.startswith('[\n{\n"token": "') and '"is_key_frame": true,\n' in text and text.endswith("}\n]")
    assert {path.name for path in written.iterdir()} == {"samples", "sweeps", "maps", "lidarseg", MINI}


def test_scene_names_fit_the_splits():
    assert scene_names(8, 2) == tuple(f"scene-{n:04d}" for n in (61, 553, 655, 757, 796, 1077, 1094, 1100, 103, 916))
    assert scene_names(2, 2, "v1.0-trainval") == ("scene-0001", "scene-0002", "scene-0003", "scene-0012")
    with pytest.raises(ValueError, match="v1.0-mini has 8 train drives, not 9"):
        scene_names(9, 1)


def test_every_category_has_a_raw_label():
    assert set(RAW_OF) == set(CATEGORIES)
    assert set(RAW_OF.values()) <= set(RAW_NAMES)


@pytest.mark.parametrize(
    ("drives", "options", "message"),
    [
        ({"scene-0061": []}, {}, "scene-0061 has no sweeps"),
        ({}, {}, "no drives: v1.0-mini needs names such as scene-0061"),
        ({"scene-0001": drive(1)}, {}, "scene-0001: v1.0-mini needs names"),
        ({"street": drive(1)}, {"version": "v1.0-trainval"}, "street: v1.0-trainval needs names"),
        ({"scene-0061": drive(1)}, {"version": "v1.0-test"}, "choose one of v1.0-mini, v1.0-trainval"),
        ({"scene-0061": [sweep(1), sweep(1)]}, {}, "sweep 1 is not later"),
        ({"scene-0061": drive(1, shots=("CAM_FRONT", "CAM_FRONT"))}, {}, "at most one of each"),
    ],
)
def test_wrong_drives_are_refused_and_leave_nothing(tmp_path, drives, options, message):
    with pytest.raises(ValueError, match=message):
        write_nuscenes(tmp_path / "d", drives, **options)
    assert list(tmp_path.iterdir()) == []


def test_other_refusals(tmp_path):
    with pytest.raises(ValueError, match="at most one of each of CAM_FRONT"):
        write_nuscenes(tmp_path / "d", {"scene-0061": [replace(sweep(), shots=(replace(sweep().shots[0], name="left"),))]})
    changed = replace(sweep(1).shots[0], camera=replace(sweep(1).shots[0].camera, fx=50.0))
    with pytest.raises(ValueError, match="one drive needs one lens per camera"):
        write_nuscenes(tmp_path / "d", {"scene-0061": [sweep(0), replace(sweep(1), shots=(changed,))]})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("")
    with pytest.raises(FileExistsError, match="holds something already"):
        write_nuscenes(tmp_path / "full", {"scene-0061": drive(1)})
    with pytest.raises(ValueError, match="a row of map has the fields"):
        write_table(tmp_path / "map.json", [{"token": "1"}])
