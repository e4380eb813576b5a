"""A user's own folder: what is read, and that every mistake is named with its file."""

import shutil
from pathlib import Path

import laspy
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from al3d.data.sources.card import default_colors
from al3d.data.sources.folder import Folder, filled_scale, rounded
from al3d.geometry.upright import rotated, rotation_to_z
from al3d.progress import console
from al3d.types import IGNORE, Source

OSD = Path(__file__).parents[3] / "shared" / "data" / "osd"
CARD = {"name": "mine", "classes": ["floor", "chair"], "splits": {"train": ["a", "b"], "val": ["c"]}}


def cloud(seed=0, count=200, **changes):
    random = np.random.default_rng(seed)
    arrays = {"xyz": random.uniform(-2, 2, (count, 3)), "rgb": random.integers(0, 256, (count, 3), np.uint8), "label": random.integers(0, 2, count)}
    return {name: array for name, array in (arrays | changes).items() if array is not None}


def folder(root, clouds=None, **changes):
    """Write a data set folder; keys set to None are left out of the YAML."""
    (root / "scenes").mkdir(parents=True)
    card = {key: value for key, value in (CARD | changes).items() if value is not None}
    (root / "dataset.yaml").write_text(yaml.safe_dump(card))
    for name, arrays in (clouds or {"a": cloud(0), "b": cloud(1), "c": cloud(2)}).items():
        np.savez(root / "scenes" / f"{name}.npz", **arrays)
    return root


def test_reads_points_colours_and_labels(tmp_path):
    source: Source = Folder(folder(tmp_path / "d"))
    given = cloud(0)
    scene, label = source.read("a")
    assert (source.name, source.features, source.classes.names) == ("mine", ("red", "green", "blue"), ("floor", "chair"))
    assert (source.scenes("train"), source.scenes("val")) == (("a", "b"), ("c",))
    np.testing.assert_array_equal(scene.origin, np.floor(given["xyz"].min(0)))
    np.testing.assert_array_equal(scene.xyz, (given["xyz"] - scene.origin).astype(np.float32))
    np.testing.assert_allclose(scene.feat * 255, given["rgb"], atol=1e-4)
    np.testing.assert_array_equal(label, given["label"])
    assert scene.images == ()
    assert Folder(tmp_path / "d", name="other").name == "other"
    assert Folder(str(tmp_path / "d")).root == tmp_path / "d"


def test_far_coordinates_keep_their_millimetres(tmp_path):
    arrays = cloud(0)
    far = arrays | {"xyz": arrays["xyz"] + [4_500_000.0, 5_400_000.0, 300.0]}
    scene, _ = Folder(folder(tmp_path / "d", {"a": far, "b": far, "c": far})).read("a")
    np.testing.assert_allclose(scene.xyz + scene.origin, far["xyz"], rtol=0, atol=1e-6)


def test_units_up_and_camera(tmp_path):
    lens = {"fx": 500, "fy": 510.0, "cx": 320, "cy": 240, "width": 640, "height": 480}
    root = folder(tmp_path / "d", units=0.001, up=[0, -1, 0], camera=lens)
    (root / "images").mkdir()
    (root / "images" / "a.PNG").write_bytes(b"")
    scene, _ = Folder(root).read("a")
    given = cloud(0)["xyz"] * 0.001
    world = np.stack([given[:, 0], given[:, 2], -given[:, 1]], 1)
    np.testing.assert_allclose(scene.xyz + scene.origin, world, atol=1e-6)
    camera = scene.images[0].camera
    assert (camera.fx, camera.fy, camera.width, camera.height) == (500, 510, 640, 480)
    np.testing.assert_allclose(given @ camera.pose[:3, :3].T + camera.pose[:3, 3], scene.xyz, atol=1e-6)
    assert [image.path for image in scene.images] == [(root / "images" / "a.PNG").absolute()]
    assert [image.path for image in Folder(root).read("b")[0].images] == [None]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda up: np.linalg.norm(up) > 1e-3))
def test_rotation_is_the_smallest_that_brings_up_to_z(up):
    rotation = rotation_to_z(np.array(up))
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(rotation) == pytest.approx(1, abs=1e-6)
    unit = np.array(up) / np.linalg.norm(up)
    np.testing.assert_allclose(rotation @ unit, [0, 0, 1], atol=1e-6)
    assert (np.trace(rotation) - 1) / 2 == pytest.approx(unit[2], abs=1e-6)


def test_rotation_at_both_poles():
    np.testing.assert_array_equal(rotation_to_z(np.array([0, 0, 5.0])), np.eye(3))
    np.testing.assert_array_equal(rotation_to_z(np.array([0, 0, -1.0])) @ [0, 0, -1], [0, 0, 1])
    for tilt in (1e-3, 1e-5, 1e-7, 1e-9):
        near = rotation_to_z(np.array([tilt, tilt, -1.0]))
        np.testing.assert_allclose(near @ near.T, np.eye(3), atol=1e-12)
    xyz = np.random.default_rng(0).normal(size=(20, 3))
    rotation = rotation_to_z(np.array([0.3, -0.2, 0.5]))
    np.testing.assert_allclose(rotated(xyz, rotation), xyz @ rotation.T, atol=1e-12)


def rigid(angle, shift):
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0, shift[0]], [sin, cos, 0, shift[1]], [0, 0, 1, shift[2]], [0, 0, 0, 1]])


def drive(root, poses, **changes):
    """A folder whose scenes b, c, a are the frames of one drive."""
    folder(root, **{"sequences": {"drive_1": ["b", "c", "a"]}} | changes)
    (root / "poses").mkdir()
    (root / "poses" / "drive_1.txt").write_text("\n".join(" ".join(map(repr, pose[:3].ravel().tolist())) for pose in poses) + "\n\n")
    return root


@pytest.mark.parametrize(("up", "units"), [([0, 0, 1], 1.0), ([0, -1, 0], 0.01)])
def test_drives_have_frames_and_poses_in_an_upright_world(tmp_path, up, units):
    poses = [rigid(0.3 * index, [2.0 * index, 1.0, 0.5]) for index in range(3)]
    source = Folder(drive(tmp_path / "d", poses, up=up, units=units))
    turn = rotation_to_z(np.array(up))
    for frame, name in enumerate("bca"):
        scene, _ = source.read(name)
        assert (scene.sequence, scene.frame) == ("drive_1", frame)
        np.testing.assert_array_equal(scene.origin, [0, 0, 0])
        given = cloud("abc".index(name))["xyz"]
        np.testing.assert_allclose(scene.xyz, given @ turn.T * units, atol=1e-6)
        world = (given @ poses[frame][:3, :3].T + poses[frame][:3, 3]) @ turn.T * units
        np.testing.assert_allclose(scene.xyz @ scene.pose[:3, :3].T + scene.pose[:3, 3], world, atol=1e-6)
    first = source.fingerprint()
    (tmp_path / "d" / "poses" / "drive_1.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 0\n" * 3)
    assert Folder(tmp_path / "d").fingerprint() != first


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["1 0 0 0 0 1 0 0 0 0 1 0"] * 2, r"drive_1\.txt: has 2 poses for the 3 scenes of 'drive_1'"),
        (["", "1 0 0 0 0 1 0 0 0 0 1 0", "1 0 0 0 0 1 0 0 0 0 1 x", "1"], r"drive_1\.txt: line 3: could not convert string to float: 'x'"),
        (["1 0 0 0 0 1 0 0 0 0 1 0"] * 2 + ["1 0 0 0 0 1 0 0 0 0 1"], r"drive_1\.txt: line 3 is not 12 finite numbers, but 11"),
        (["1 0 0 0 0 1 0 0 0 0 1 inf"] * 3, r"drive_1\.txt: line 1 is not 12 finite numbers"),
        (["2 0 0 0 0 2 0 0 0 0 2 0"] * 3, r"drive_1\.txt: line 1: numbers .* are no rotation"),
        (["-1 0 0 0 0 1 0 0 0 0 1 0"] * 3, r"drive_1\.txt: line 1: numbers .* are no rotation"),
    ],
)
def test_broken_poses_are_named(tmp_path, lines, message):
    root = drive(tmp_path / "d", [])
    (root / "poses" / "drive_1.txt").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=message):
        Folder(root)
    (root / "poses" / "drive_1.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"drive_1\.txt: is missing: .* write its 3 poses there"):
        Folder(root)


def test_kitti_scans_with_labels_beside_them(tmp_path):
    root = folder(tmp_path / "d", classes={10: "car", 40: "road"}, ignore_label=[0])
    random = np.random.default_rng(0)
    for name in "abc":
        (root / "scenes" / f"{name}.npz").unlink()
        random.normal(size=(30, 4)).astype("<f4").tofile(root / "scenes" / f"{name}.bin")
        (np.resize([0, 10, 40], 30).astype("<u4") | 5 << 16).tofile(root / "scenes" / f"{name}.label")
    source = Folder(root)
    assert source.features == ("intensity",)
    assert source.read("a")[1][:3].tolist() == [IGNORE, 0, 1]
    first = source.fingerprint()
    np.zeros(30, "<u4").tofile(root / "scenes" / "a.label")
    (root / "scenes" / "b.label").unlink()
    assert Folder(root).fingerprint() != first
    assert (Folder(root).read("b")[1] == IGNORE).all()


def test_stray_points_are_named(tmp_path):
    xyz = cloud(0)["xyz"]
    xyz[5] = [0, 1e30, 0]
    with pytest.raises(ValueError, match=r"a\.npz: point 5 is .* metres away \(1 such points\): remove stray points"):
        Folder(folder(tmp_path / "d", {"a": cloud(0, xyz=xyz), "b": cloud(1), "c": cloud(2)})).read("a")


def test_ignore_label_and_label_values(tmp_path):
    arrays = {name: cloud(index, label=np.resize([2, 6, 0, 1], 200)) for index, name in enumerate("abc")}
    source = Folder(folder(tmp_path / "d", arrays, classes={6: "building", 2: "ground"}, ignore_label=[0, 1]))
    assert source.classes.names == ("ground", "building")
    np.testing.assert_array_equal(source.read("a")[1][:5], [0, 1, IGNORE, IGNORE, 0])
    arrays = {name: cloud(index, label=np.resize([0, -1, 1], 200)) for index, name in enumerate("abc")}
    assert Folder(folder(tmp_path / "e", arrays, ignore_label=-1)).read("a")[1][:3].tolist() == [0, IGNORE, 1]


def test_features_are_those_of_the_first_training_scene(tmp_path):
    intensity = np.linspace(0, 1, 200, dtype=np.float32)
    arrays = {"a": cloud(0, rgb=None, intensity=intensity), "b": cloud(1, intensity=intensity), "c": cloud(2)}
    source = Folder(folder(tmp_path / "d", arrays))
    assert source.features == ("intensity",)
    np.testing.assert_array_equal(source.read("b")[0].feat[:, 0], intensity)
    with pytest.raises(ValueError, match=r"c\.npz: has no intensity, unlike a\.npz"):
        source.read("c")
    plain = Folder(folder(tmp_path / "e", {name: cloud(0, rgb=None) for name in "abc"}))
    assert plain.features == ("one",)
    np.testing.assert_array_equal(plain.read("a")[0].feat, np.ones((200, 1), np.float32))
    bad = intensity.copy()
    bad[7] = np.nan
    with pytest.raises(ValueError, match=r"a\.npz: point 7 has intensity nan"):
        Folder(folder(tmp_path / "f", {name: cloud(0, rgb=None, intensity=bad) for name in "abc"})).read("a")


def test_scenes_may_be_unlabelled_and_val_may_be_left_out(tmp_path):
    source = Folder(folder(tmp_path / "d", {name: cloud(0, label=None) for name in "abc"}))
    assert all((source.read(name)[1] == IGNORE).all() for name in "abc")
    source = Folder(folder(tmp_path / "e", {name: cloud(0, label=None) for name in "abc"}, splits={"train": ["a", "b", "c"]}))
    assert (source.scenes("train"), source.scenes("val")) == (("a", "b", "c"), ())


def las_folder(root, code, classes, **changes):
    """A data set of one LAS file whose points have these classification codes."""
    (root / "scenes").mkdir(parents=True)
    (root / "dataset.yaml").write_text(yaml.safe_dump({"name": "tiles", "classes": classes, "splits": {"train": ["a"]}, **changes}))
    las = laspy.LasData(laspy.LasHeader(point_format=6, version="1.4"))
    las.header.scales = np.full(3, 1e-3)
    las.x, las.y, las.z = np.random.default_rng(1).uniform(0, 9, (3, len(code)))
    las.classification = np.asarray(code, np.uint8)
    las.write(root / "scenes" / "a.las")
    return Folder(root)


@pytest.mark.parametrize(
    ("classes", "changes", "wanted"),
    [
        (["ground", "building"], {}, [IGNORE] * 6),  # nobody said what a code means
        ({2: "ground", 6: "building"}, {}, [IGNORE, IGNORE, 0, 1, 0, 1]),
        ({1: "other", 2: "ground", 6: "building"}, {}, [IGNORE, 0, 1, 2, 1, 2]),
        ({6: "building"}, {"ignore_label": [2]}, [IGNORE, IGNORE, IGNORE, 0, IGNORE, 0]),
    ],
)
def test_codes_of_las_files_are_labels_where_they_are_named(tmp_path, classes, changes, wanted):
    source = las_folder(tmp_path / "d", [0, 1, 2, 6, 2, 6], classes, **changes)
    assert source.read("a")[1].tolist() == wanted


def test_naming_the_codes_of_las_files_makes_another_data_set(tmp_path):
    listed, named = (las_folder(tmp_path / name, [0, 1], classes) for name, classes in (("d", ["a", "b"]), ("e", {0: "a", 1: "b"})))
    shutil.copystat(listed.root / "scenes" / "a.las", named.root / "scenes" / "a.las")
    assert listed.fingerprint() != named.fingerprint()
    plain, coded = (Folder(folder(tmp_path / name, classes=classes)) for name, classes in (("f", ["a", "b"]), ("g", {0: "a", 1: "b"})))
    for name in "abc":
        shutil.copystat(plain.root / "scenes" / f"{name}.npz", coded.root / "scenes" / f"{name}.npz")
    assert plain.fingerprint() == coded.fingerprint(), "of other formats the same points have the same labels"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"xyz": np.full((200, 3), np.nan)}, r"a\.npz: point 0 has coordinates \[nan, nan, nan\] \(200 such points\)"),
        ({"xyz": np.where(np.arange(600).reshape(200, 3) == 31, np.inf, 0.0)}, r"a\.npz: point 10 has coordinates \[0\.0, inf, 0\.0\]"),
        ({"label": np.resize([0, 1, 7, 9], 200)}, r"a\.npz: 100 points have labels \[7, 9\], neither a class \(\[0, 1\]\) nor ignore_label \[255\]"),
        ({"xyz": np.zeros((0, 3)), "rgb": np.zeros((0, 3)), "label": np.zeros(0)}, r"a\.npz: has no points"),
    ],
)
def test_broken_scenes_are_named(tmp_path, changes, message):
    source = Folder(folder(tmp_path / "d", {"a": cloud(0, **changes), "b": cloud(1), "c": cloud(2)}))
    with pytest.raises(ValueError, match=message):
        source.read("a")
    assert len(source.read("b")[0]) == 200


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clases": 1, "foo": 2}, r"unknown keys clases, foo: known are name, classes, colors"),
        ({"classes": None}, r"classes must be a list of names"),
        ({"classes": []}, r"classes must be a list"),
        ({"classes": ["a", True]}, r"1: True is not a whole number and a name"),
        ({"classes": ["a", "b", "a"]}, r"classes names a more than once"),
        ({"ignore_label": 1}, r"\[1\] is both a class and the ignore_label"),
        ({"ignore_label": "none"}, r"ignore_label must be a whole number"),
        ({"colors": [[0, 0, 0]]}, r"colors must list 2 colours"),
        ({"colors": [[0, 0, 0], [0, 0, 256]]}, r"colors: \[0, 0, 256\] is not"),
        ({"units": "inches"}, r"units must be 'metres' or a factor"),
        ({"units": 0}, r"units must be"),
        ({"up": [0, 0, 0]}, r"up must be three numbers"),
        ({"up": [0, 1]}, r"up must be three numbers"),
        ({"camera": {"fx": 500}}, r"camera needs .* missing or not a positive number: fy, cx, cy, width, height"),
        ({"camera": {"focal": 500}}, r"unknown key focal in camera: known are fx"),
        ({"scale": {"voxels": 0.1}}, r"unknown key voxels in scale: known are voxel,"),
        ({"scale": {"voxel": -1}}, r"scale: \{'voxel': -1\} must be positive"),
        ({"sequences": ["a"]}, r"sequences must be names with lists of scenes"),
        ({"sequences": {"x": []}}, r"sequences must be names with lists of scenes"),
        ({"sequences": {"../x": ["a"]}}, r"sequences: name '\.\./x': use letters"),
        ({"sequences": {"x": ["a", "z", 3]}}, r"sequences: 'z', 3 not in any split"),
        ({"sequences": {"x": ["a"], "y": ["b", "a"]}}, r"sequences: a listed more than once"),
        ({"splits": None}, r"splits must be keys and values"),
        ({"splits": {"val": ["a"]}}, r"splits: train must list at least one scene"),
        ({"splits": {"train": ["a"], "val": ["c"], "test": ["b"]}}, r"unknown key test in splits: known are train, val"),
        ({"splits": {"train": ["a", "b"], "val": ["b", "a"]}}, r"splits: a, b listed more than once"),
        ({"splits": {"train": ["a", 1], "val": ["b"]}}, r"splits: train: \[1\] must be text: put quotes"),
        ({"splits": {"train": ["../a"], "val": ["b"]}}, r"splits: train: scene '\.\./a': use letters, digits"),
        ({"splits": {"train": ["a", "x"], "val": ["y"]}}, r"lists 2 scenes without a file in .*scenes \(\.ply \.las \.laz \.pcd \.npz \.bin\): x, y"),
    ],
)
def test_mistakes_in_the_yaml_are_named(tmp_path, changes, message):
    root = folder(tmp_path / "d", **changes)
    with pytest.raises(ValueError, match=message) as error:
        Folder(root)
    assert str(root / "dataset.yaml") in str(error.value)


def test_absent_folder_and_absent_or_broken_yaml(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such folder(.|\n)*splits:(.|\n)*scenes/room_1.ply") as error:
        Folder(tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in str(error.value)
    with pytest.raises(FileNotFoundError, match="it has no dataset.yaml"):
        Folder(tmp_path)
    for text, message in (("name: a\nclasses: [b\nup: c", r"dataset\.yaml: line 3 is not YAML"), ("", "holds nothing"), ("hello", "holds no keys")):
        (tmp_path / "dataset.yaml").write_text(text)
        with pytest.raises(ValueError, match=message):
            Folder(tmp_path)


def test_two_files_for_one_scene(tmp_path):
    root = folder(tmp_path / "d")
    (root / "scenes" / "a.ply").write_text("")
    (root / "scenes" / "a.txt").write_text("notes do not count")
    with pytest.raises(ValueError, match=r"several files for one scene: a\.npz, a\.ply"):
        Folder(root)


def test_unknown_split_and_scene(tmp_path):
    source = Folder(folder(tmp_path / "d"))
    with pytest.raises(ValueError, match="mine has no split 'test': choose one of train, val"):
        source.scenes("test")
    with pytest.raises(ValueError, match="'z' is not a scene of mine"):
        source.read("z")


def test_fingerprint_follows_files_and_what_changes_scenes(tmp_path):
    root = folder(tmp_path / "d")
    first = Folder(root).fingerprint()
    assert Folder(root).fingerprint() == first
    (root / "dataset.yaml").write_text(yaml.safe_dump(CARD | {"scale": {"voxel": 0.1}}) + "# a comment\n")
    assert Folder(root).fingerprint() == first
    (root / "dataset.yaml").write_text(yaml.safe_dump(CARD | {"up": [0, 1, 0]}))
    assert Folder(root).fingerprint() != first
    (root / "dataset.yaml").write_text(yaml.safe_dump(CARD))
    np.savez(root / "scenes" / "a.npz", **cloud(5, 199))
    assert Folder(root).fingerprint() != first


def grid_cloud(step):
    axis = np.arange(12) * step
    return cloud(0, 12**3, xyz=np.stack(np.meshgrid(axis, axis, axis), -1).reshape(-1, 3))


def test_scale_is_estimated_from_the_spacing_and_said(tmp_path):
    arrays = {name: grid_cloud(20.0) for name in "abc"}
    source = Folder(folder(tmp_path / "d", arrays, units=0.001))
    with console.capture() as said:
        scale = source.scale
        assert source.scale is scale
    assert scale == {"voxel": 0.05, "supervoxel_voxel": 0.1, "supervoxel_seed": 1.0, "neighbours": 50}
    assert said.get().count("spacing of 0.02 m") == 1
    given = Folder(folder(tmp_path / "e", arrays, units=0.001, scale={"voxel": 0.04, "supervoxel_seed": 0.3}))
    assert given.scale == {"voxel": 0.04, "supervoxel_voxel": 0.08, "supervoxel_seed": 0.3, "neighbours": 50}
    with pytest.raises(ValueError, match="the point spacing cannot be estimated from a, b"):
        Folder(folder(tmp_path / "f", {name: cloud(0, xyz=np.zeros((200, 3))) for name in "abc"})).scale  # noqa: B018


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.floats(1e-4, 1e3))
def test_rounded_is_the_nearest_of_1_2_5(length):
    steps = [digit * 10.0**power for power in range(-6, 6) for digit in (1, 2, 5)]
    best = min(abs(np.log(step / length)) for step in steps)
    assert abs(np.log(rounded(length) / length)) == pytest.approx(best, abs=1e-9)


def test_filled_scale_keeps_what_is_given_and_colours_differ():
    assert filled_scale({"voxel": 0.3, "neighbours": 7}, 0.0) == {"voxel": 0.3, "supervoxel_voxel": 0.6, "supervoxel_seed": 6.0, "neighbours": 7}
    assert len(set(default_colors(40))) == 40
    assert default_colors(40)[:3] == default_colors(3)


@pytest.mark.skipif(not OSD.is_dir(), reason="the osd scans are not here")
def test_real_scans():
    source = Folder(OSD)
    scene, label = source.read("learn_00")
    assert (len(source.scenes("train")), len(source.scenes("val")), source.scale["voxel"]) == (42, 39, 0.01)
    assert len(scene) == len(label) == 45631
    assert np.bincount(label).tolist() == [38388, 7243]
    table = scene.xyz[label == 0]
    assert np.percentile(table[:, 2], 90) - np.percentile(table[:, 2], 10) < 0.1
    assert scene.xyz[label == 1, 2].mean() > table[:, 2].mean()


@pytest.mark.skipif(not OSD.is_dir(), reason="the osd scans are not here")
def test_real_scans_project_onto_their_images():
    from PIL import Image

    scene, _ = Folder(OSD).read("test_00")
    camera = scene.images[0].camera
    seen = (scene.xyz - camera.pose[:3, 3]) @ camera.pose[:3, :3]
    column = np.rint(seen[:, 0] / seen[:, 2] * camera.fx + camera.cx).astype(int)
    row = np.rint(seen[:, 1] / seen[:, 2] * camera.fy + camera.cy).astype(int)
    picture = np.asarray(Image.open(scene.images[0].path)) / 255
    assert picture.shape == (camera.height, camera.width, 3)
    assert np.abs(picture[row, column] - scene.feat).mean() < 0.02
    spacing = np.median(cKDTree(scene.xyz).query(scene.xyz[::50], k=2)[0][:, 1])
    assert 2 * spacing < 0.01 < 4 * spacing
