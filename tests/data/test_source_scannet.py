"""The ScanNet source: official files and their traps, in tiny meshes made here."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from al3d.data.sources.scannet import CLASSES, NYU40_IDS, SCANS, ScanNet, classes_of
from al3d.data.sources.scannet_places import VAL_PLACES, split_of
from al3d.data.sources.scannet_segments import read_names
from al3d.geometry.camera import project
from al3d.types import IGNORE

XYZ = np.array([[1.25, -2.5, 0.5], [3.0, 1.0, 0.0], [1.5, -0.5, 2.75], [2.0, 0.0, 1.0]], np.float32)
RGB = np.array([[0, 255, 51], [1, 2, 3], [255, 255, 255], [10, 20, 30]], np.uint8)
NYU40 = [1, 5, 40, 39]
TABLE = "id\traw_category\tcategory\tcount\tnyu40id\n1\twall\twall\t9\t1\n2\toffice chair\tchair\t9\t5\n3\tpaper\tpaper\t1\t\n4\tstand\tstand\t1\t39\n"


def ply(path: Path, xyz: np.ndarray = XYZ, rgb: np.ndarray | None = RGB, label: list[int] | None = None, faces: int = 2) -> None:
    """A mesh as ScanNet writes it: vertices first, then faces as lists."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kinds = [("xyz", "<f4", 3)] + ([("rgba", "u1", 4)] if rgb is not None else []) + ([("label", "<u2")] if label is not None else [])
    vertices = np.zeros(len(xyz), kinds)
    vertices["xyz"] = xyz
    lines = ["ply", "format binary_little_endian 1.0", "comment VCGLIB generated", f"element vertex {len(xyz)}", *(f"property float {axis}" for axis in "xyz")]
    if rgb is not None:
        vertices["rgba"] = np.concatenate([rgb, np.full((len(rgb), 1), 255, np.uint8)], axis=1)
        lines += [f"property uchar {channel}" for channel in ("red", "green", "blue", "alpha")]
    if label is not None:
        vertices["label"] = label
        lines.append("property ushort label")
    lines += [f"element face {faces}", "property list uchar int vertex_indices", "end_header"]
    corners = np.array([(3, (0, 1, 2))] * faces, [("count", "u1"), ("corners", "<i4", 3)])
    path.write_bytes("".join(f"{line}\n" for line in lines).encode() + vertices.tobytes() + corners.tobytes())


def scan(root: Path, scene: str, part: str = "scans", label: list[int] | None = NYU40) -> Path:
    folder = root / part / scene
    ply(folder / f"{scene}_vh_clean_2.ply")
    if label is not None:
        ply(folder / f"{scene}_vh_clean_2.labels.ply", label=label)
    return folder


def annotate(folder: Path, segments: list[int], groups: list[tuple[list[int], str]], of: str = "_vh_clean_2.0.010000.segs.json", ending: str = "") -> None:
    scene = folder.name
    (folder / f"{scene}_vh_clean_2.0.010000.segs.json").write_text(json.dumps({"sceneId": scene, "segIndices": segments}))
    content = {
        "sceneId": f"scannet.{scene}",
        "segGroups": [{"id": index, "objectId": index, "segments": own, "label": label} for index, (own, label) in enumerate(groups)],
        "segmentsFile": f"scannet.{scene}{of}",
    }
    (folder / f"{scene}{ending}.aggregation.json").write_text(json.dumps(content))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for scene in ("scene0000_00", "scene0000_01", "scene0706_00", "scene0011_00", "scene0704_01"):
        scan(tmp_path, scene)
    scan(tmp_path, "scene0707_00", "scans_test", label=None)
    (tmp_path / "scans" / "notes").mkdir()
    (tmp_path / "scannetv2-labels.combined.tsv").write_text(TABLE)
    return tmp_path


def test_official_splits_by_place(root: Path) -> None:
    source = ScanNet(root)
    assert source.scenes("train") == ("scene0000_00", "scene0000_01", "scene0706_00")
    assert source.scenes("val") == ("scene0011_00", "scene0704_01")
    assert source.scenes("test") == ("scene0707_00",)
    assert source.published == {"train": 1201, "val": 312, "test": 100}
    with pytest.raises(ValueError, match="no split 'trian'.*'train'"):
        source.scenes("trian")


def test_the_list_of_validation_places() -> None:
    assert len(VAL_PLACES) == len(set(VAL_PLACES)) == 142 and sorted(VAL_PLACES) == list(VAL_PLACES)
    assert [split_of(place) for place in (0, 11, 704, 705, 706, 707, 806)] == ["train", "val", "val", "train", "train", "test", "test"]
    assert sum(split_of(place) == "train" for place in range(807)) == 707 - 142


def test_lists_of_scenes_win(root: Path) -> None:
    (root / "scannetv2_val.txt").write_text("scene0000_01\nscene0900_00\n\n")
    (root / "mine.txt").write_text("scene0011_00\n")
    assert ScanNet(root).scenes("val") == ("scene0000_01",)
    source = ScanNet(root, splits={"train": "mine.txt", "val": "scannetv2_val.txt"})
    assert source.scenes("train") == ("scene0011_00",) and source.published == {"val": SCANS["scannetv2_val.txt"]}
    with pytest.raises(FileNotFoundError, match="no list of scenes at .*other.txt"):
        ScanNet(root, splits={"train": "other.txt"}).scenes("train")
    (root / "mine.txt").write_text("scene0011_00\nkitchen\n")
    with pytest.raises(ValueError, match="mine.txt: line 2 is 'kitchen'"):
        source.scenes("train")


def test_read_gives_points_colours_labels_and_origin(root: Path) -> None:
    scene, labels = ScanNet(root).read("scene0000_01")
    np.testing.assert_array_equal(scene.origin, [1, -3, 0])
    assert (scene.xyz.dtype, scene.feat.dtype, labels.dtype) == (np.float32, np.float32, np.uint8)
    np.testing.assert_array_equal(scene.xyz, XYZ - np.array([1, -3, 0], np.float32))
    np.testing.assert_allclose(scene.feat, RGB / 255, rtol=1e-6)
    assert [CLASSES.names[label] if label != IGNORE else None for label in labels] == ["wall", "chair", None, "otherfurniture"]
    assert scene.images == ()


def test_hidden_test_scans_have_no_labels(root: Path) -> None:
    assert (ScanNet(root).read("scene0707_00")[1] == IGNORE).all()


def test_class_order_and_the_map_from_nyu40() -> None:
    expected = "wall,floor,cabinet,bed,chair,sofa,table,door,window,bookshelf,picture,counter,desk,curtain,refrigerator,"
    expected += "shower curtain,toilet,sink,bathtub,otherfurniture"
    assert ",".join(CLASSES.names) == expected and len(set(CLASSES.colors)) == 20
    assert classes_of(np.array([16, 24, 28, 33, 34, 36, 39])).tolist() == [13, 14, 15, 16, 17, 18, 19]


@settings(derandomize=True, max_examples=30)
@given(st.lists(st.integers(-3, 65535) | st.sampled_from([0, 13, 40, 41, 50, 149]) | st.sampled_from(NYU40_IDS), max_size=20))
def test_every_other_number_is_ignored(ids: list[int]) -> None:
    slow = [NYU40_IDS.index(one) if one in NYU40_IDS else IGNORE for one in ids]
    assert classes_of(np.array(ids, np.int64)).tolist() == slow


def test_labels_from_segments_when_there_is_no_labelled_mesh(root: Path) -> None:
    folder = scan(root, "scene0001_00", label=None)
    annotate(folder, [7, 7, 2, 30], [([7], "wall"), ([2, 30], "stand"), ([30], "office chair")])
    assert ScanNet(root).read("scene0001_00")[1].tolist() == [0, 0, 19, 4]
    annotate(folder, [7, 7, 2, 30], [([7, 999], "paper"), ([30], "office chair")])
    assert ScanNet(root).read("scene0001_00")[1].tolist() == [IGNORE, IGNORE, IGNORE, 4]


def test_groups_of_the_fine_mesh_are_refused(root: Path) -> None:
    folder = scan(root, "scene0001_00", label=None)
    annotate(folder, [0, 0, 1, 1], [([0, 1], "wall")], ending="_vh_clean")
    assert ScanNet(root).read("scene0001_00")[1].tolist() == [0, 0, 0, 0]
    annotate(folder, [0, 0, 1, 1], [([0, 1], "wall")], of="_vh_clean.segs.json", ending="_vh_clean")
    with pytest.raises(ValueError, match=r"_vh_clean.aggregation.json: it groups the segments of .*_vh_clean.segs.json.*fetch scene0001_00.aggregation.json"):
        ScanNet(root).read("scene0001_00")


def test_broken_annotations_are_named(root: Path) -> None:
    source, folder = ScanNet(root), scan(root, "scene0001_00", label=None)
    with pytest.raises(FileNotFoundError, match="scene0001_00 has no labels: fetch scene0001_00_vh_clean_2.labels.ply"):
        source.read("scene0001_00")
    annotate(folder, [0, 0, 1], [([0, 1], "wall")])
    with pytest.raises(ValueError, match=r"segs.json: segments of 3 vertices, but scene0001_00_vh_clean_2.ply has 4"):
        source.read("scene0001_00")
    annotate(folder, [0, 0, 1, 1], [([0, 1], "sofa cum bed")])
    with pytest.raises(ValueError, match=r"aggregation.json: the name 'sofa cum bed' is not in scannetv2-labels.combined.tsv"):
        source.read("scene0001_00")
    (root / "scannetv2-labels.combined.tsv").unlink()
    with pytest.raises(FileNotFoundError, match=r"no file .*scannetv2-labels.combined.tsv"):
        source.read("scene0001_00")
    (folder / "scene0001_00.aggregation.json").write_text("{")
    with pytest.raises(ValueError, match=r"aggregation.json: not JSON"):
        source.read("scene0001_00")
    (folder / "scene0001_00_vh_clean_2.0.010000.segs.json").unlink()
    annotate_only = {"segGroups": [{"label": "wall"}]}
    (folder / "scene0001_00.aggregation.json").write_text(json.dumps(annotate_only))
    with pytest.raises(ValueError, match="segGroups with segments and label are expected"):
        source.read("scene0001_00")


def test_the_table_of_names(tmp_path: Path) -> None:
    path = tmp_path / "names.tsv"
    path.write_text(TABLE)
    assert read_names(path) == {"wall": 1, "office chair": 5, "paper": 0, "stand": 39}
    path.write_text("id\tcategory\n1\twall\n")
    with pytest.raises(ValueError, match="names.tsv: no column nyu40id, raw_category"):
        read_names(path)
    path.write_text(TABLE + "5\tbar\tbar\t1\tmany\n")
    with pytest.raises(ValueError, match="names.tsv: line 6: nyu40id 'many'"):
        read_names(path)


def test_broken_meshes_are_named(root: Path) -> None:
    source, folder = ScanNet(root), root / "scans" / "scene0000_00"
    mesh, labels = folder / "scene0000_00_vh_clean_2.ply", folder / "scene0000_00_vh_clean_2.labels.ply"
    ply(labels, XYZ[:3], RGB[:3], NYU40[:3])
    with pytest.raises(ValueError, match=r"labels.ply: 3 vertices, but scene0000_00_vh_clean_2.ply has 4"):
        source.read("scene0000_00")
    ply(labels)
    with pytest.raises(ValueError, match=r"labels.ply: the vertices have no property 'label'"):
        source.read("scene0000_00")
    ply(mesh, rgb=None)
    with pytest.raises(ValueError, match="_vh_clean_2.ply: the vertices have no red, green, blue"):
        source.read("scene0000_00")
    ply(mesh, XYZ[:0], RGB[:0])
    with pytest.raises(ValueError, match="the mesh has no vertices"):
        source.read("scene0000_00")
    mesh.unlink()
    with pytest.raises(FileNotFoundError, match=r"no file .*scene0000_00_vh_clean_2.ply: ask for ScanNet"):
        source.read("scene0000_00")


def test_missing_scans_and_roots_say_what_to_do(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder at .*nowhere: ask for ScanNet"):
        ScanNet(root / "nowhere").scenes("train")
    with pytest.raises(FileNotFoundError, match="scene 'scene0002_00': no folder at"):
        ScanNet(root).read("scene0002_00")
    with pytest.raises(ValueError, match="'../x' is not a scene of scannet"):
        ScanNet(root).read("../x")
    with pytest.raises(FileNotFoundError, match="no scan of split 'test' .scannetv2_test.txt. in scans/ or scans_test/"):
        (root / "scans_test" / "scene0707_00").rename(root / "away")
        ScanNet(root).scenes("test")
    with pytest.raises(ValueError, match="frames=-1"):
        ScanNet(root, frames=-1)


def export(folder: Path, poses: list[np.ndarray], size: tuple[int, int] = (64, 48)) -> None:
    for part in ("color", "pose", "intrinsic"):
        (folder / part).mkdir(exist_ok=True)
    for number, pose in enumerate(poses):
        Image.new("RGB", size).save(folder / "color" / f"{number}.jpg")
        np.savetxt(folder / "pose" / f"{number}.txt", pose, fmt="%f")
    lens = np.array([[100, 0, 63.5, 0], [0, 110, 47.5, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    np.savetxt(folder / "intrinsic" / "intrinsic_color.txt", lens, fmt="%f")


def pose_at(x: float) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, 3] = x, -2, -4
    return pose


def test_frames_have_cameras_in_the_scenes_frame(root: Path) -> None:
    folder = root / "scans" / "scene0000_00"
    export(folder, [pose_at(number) for number in range(12)], (128, 96))
    scene, _ = ScanNet(root, frames=4).read("scene0000_00")
    assert [image.path.name for image in scene.images if image.path] == ["1.jpg", "4.jpg", "7.jpg", "10.jpg"], "evenly spaced, in the order of numbers"
    camera = scene.images[1].camera
    assert camera is not None and (camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy) == (128, 96, 100, 110, 63.5, 47.5)
    np.testing.assert_array_equal(camera.pose[:3, 3], np.array([4, -2, -4]) - scene.origin)
    pixel, depth = project(camera, scene.xyz)
    np.testing.assert_allclose(depth, XYZ[:, 2] + 4, rtol=1e-6)
    np.testing.assert_allclose(pixel[:, 0], 100 * (XYZ[:, 0] - 4) / (XYZ[:, 2] + 4) + 63.5, rtol=1e-5)
    assert len(ScanNet(root, frames=100).read("scene0000_00")[0].images) == 12
    assert ScanNet(root, frames=0).read("scene0000_00")[0].images == ()


def test_resized_pictures_scale_the_lens(root: Path) -> None:
    folder = root / "scans" / "scene0000_00"
    export(folder, [pose_at(0)], (64, 48))
    (folder / "scene0000_00.txt").write_text("axisAlignment = 1 0 0 0\ncolorHeight = 96\ncolorWidth = 128\n")
    camera = ScanNet(root).read("scene0000_00")[0].images[0].camera
    assert camera is not None and (camera.width, camera.fx, camera.fy, camera.cx, camera.cy) == (64, 50, 55, 31.5, 23.5)


def test_lost_frames_are_replaced_or_counted(root: Path) -> None:
    folder, lost = root / "scans" / "scene0000_00", np.full((4, 4), -np.inf)
    export(folder, [pose_at(0), lost, pose_at(2), lost, lost, lost])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = ScanNet(root, frames=1).read("scene0000_00")[0].images
        two = ScanNet(root, frames=2).read("scene0000_00")[0].images
    assert [image.path.name for image in one if image.path] == ["2.jpg"], "the tracked frame nearest to the middle"
    assert [image.path.name for image in two if image.path] == ["0.jpg"], "nothing of the second half can be used"
    export(folder, [lost] * 5 + [pose_at(5)])
    with pytest.warns(UserWarning, match="scene0000_00: only 1 of 6 pictures"):
        assert len(ScanNet(root).read("scene0000_00")[0].images) == 1
    export(folder, [lost] * 6)
    with pytest.warns(UserWarning, match="only 0 of 6 pictures"):
        assert ScanNet(root).read("scene0000_00")[0].images == ()


def test_broken_frames_are_named(root: Path) -> None:
    folder = root / "scans" / "scene0000_00"
    export(folder, [pose_at(0)])
    (folder / "pose" / "0.txt").write_text("1 0 0\n")
    with pytest.raises(ValueError, match=r"0.txt: 3 numbers where a 4x4 matrix is expected"):
        ScanNet(root).read("scene0000_00")
    (folder / "pose" / "0.txt").write_text("1 0 zero\n")
    with pytest.raises(ValueError, match=r"0.txt: .*'zero'"):
        ScanNet(root).read("scene0000_00")
    (folder / "intrinsic" / "intrinsic_color.txt").unlink()
    with pytest.raises(FileNotFoundError, match="intrinsic_color.txt: export it with SensReader"):
        ScanNet(root).read("scene0000_00")


def test_fingerprint_follows_files_and_options(root: Path) -> None:
    seen = {ScanNet(root).fingerprint(), ScanNet(root, frames=0).fingerprint(), ScanNet(root, splits={"train": "scannetv2_train.txt"}).fingerprint()}
    assert len(seen) == 3 and ScanNet(str(root), name="other").fingerprint() in seen
    ply(root / "scans" / "scene0000_00" / "scene0000_00_vh_clean_2.labels.ply", label=[1, 1, 1, 1])
    seen.add(ScanNet(root).fingerprint())
    export(root / "scans" / "scene0000_00", [pose_at(0)])
    seen.add(ScanNet(root).fingerprint())
    (root / "scannetv2_val.txt").write_text("scene0000_01\n")
    seen.add(ScanNet(root).fingerprint())
    assert len(seen) == 6
