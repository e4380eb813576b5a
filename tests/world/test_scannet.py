"""Procedural scans in ScanNet's layout: complete, reproducible, readable as the real ones, and consistent in both annotations and pictures."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from plyfile import PlyData

from al3d.data.sources.scannet import CLASSES, ScanNet
from al3d.data.sources.scannet_places import split_of
from al3d.geometry.render import render
from al3d.types import F64, IGNORE, Camera, Scene
from al3d.world.mesh import Mesh, mesh_pieces, surface_grid, welded
from al3d.world.scannet import CATEGORIES, VAL_KINDS, plan, write_scan, write_scannet
from al3d.world.shapes import Piece, Surface, ball, disc, plane, tube
from al3d.world.textures import Plain

POINTS = 5000
GREY = Plain((0.5, 0.5, 0.5))
RARE = ("bathtub", "shower curtain", "toilet", "sink", "refrigerator", "picture", "counter")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world") / "scannet"
    write_scannet(root, points=POINTS, n_jobs=1, quiet=True)
    return root


def digests(root: Path) -> dict[str, str]:
    return {path.relative_to(root).as_posix(): hashlib.sha1(path.read_bytes()).hexdigest() for path in sorted(root.rglob("*")) if path.is_file()}


def test_every_official_file_is_there(written: Path) -> None:
    what = plan(0)
    names = {path.relative_to(written / what.folder).as_posix() for path in (written / what.folder).rglob("*") if path.is_file()}
    meshes = {
        f"{what.scene_id}{ending}" for ending in ("_vh_clean_2.ply", "_vh_clean_2.labels.ply", "_vh_clean_2.0.010000.segs.json", ".aggregation.json", ".txt")
    }
    frames = {f"{part}/{number}.{ending}" for number in (0, 20, 40, 60, 80) for part, ending in (("color", "jpg"), ("pose", "txt"))}
    assert names == meshes | frames | {"intrinsic/intrinsic_color.txt", "intrinsic/extrinsic_color.txt"}
    top = {path.name for path in written.iterdir()}
    assert top == {"scans", "scans_test", "scannetv2-labels.combined.tsv", "scannetv2_train.txt", "scannetv2_val.txt", "scannetv2_test.txt"}
    test = written / plan(11).folder
    assert not list(test.glob("*labels*")) and not list(test.glob("*.json")) and list(test.glob("*_vh_clean_2.ply"))


def test_meshes_are_what_other_readers_expect(written: Path) -> None:
    what = plan(2)
    mesh = PlyData.read(written / what.folder / f"{what.scene_id}_vh_clean_2.ply")
    labels = PlyData.read(written / what.folder / f"{what.scene_id}_vh_clean_2.labels.ply")
    assert [str(one) for one in mesh["vertex"].properties] == [f"property float {axis}" for axis in "xyz"] + [
        f"property uchar {one}" for one in ("red", "green", "blue", "alpha")
    ]
    assert str(labels["vertex"].properties[-1]) == "property ushort label" and np.array_equal(labels["vertex"]["x"], mesh["vertex"]["x"])
    faces = np.stack(list(mesh["face"]["vertex_indices"]))
    xyz = np.stack([mesh["vertex"][axis] for axis in "xyz"], axis=1)
    assert set(np.unique(faces).tolist()) == set(range(len(xyz))), "every vertex is in a triangle"
    sides = np.linalg.norm(xyz[faces] - np.roll(xyz[faces], 1, axis=1), axis=2)
    assert 0.02 < np.median(sides) < 0.2 and np.quantile(sides, 0.99) < 3 * np.median(sides)


def test_same_bytes_twice_in_any_number_of_processes_and_scenes(written: Path, tmp_path: Path) -> None:
    write_scannet(tmp_path / "few", scenes=2, points=POINTS, n_jobs=2, quiet=True)
    few, everything = digests(tmp_path / "few" / "scans"), digests(written / "scans")
    folders = {plan(index).scene_id for index in range(2)}
    assert few == {name: content for name, content in everything.items() if name.split("/")[0] in folders}
    write_scan(tmp_path / "other", 2, 0, POINTS)
    name = f"{plan(0).scene_id}/{plan(0).scene_id}_vh_clean_2.ply"
    assert digests(tmp_path / "other" / "scans")[name] != everything[name]


def test_splits_are_official_with_and_without_lists(written: Path, tmp_path: Path) -> None:
    source = ScanNet(written)
    listed = {split: source.scenes(split) for split in ("train", "val", "test")}
    assert [len(listed[split]) for split in ("train", "val", "test")] == [16, 6, 2]
    assert all(split_of(int(scene[5:9])) == split for split, scenes in listed.items() for scene in scenes)
    assert any(scene.endswith("_01") for scene in listed["train"]) and any(scene.endswith("_01") for scene in listed["val"])
    copy = tmp_path / "bare"
    shutil.copytree(written, copy, ignore=shutil.ignore_patterns("scannetv2_*.txt"))
    assert {split: ScanNet(copy).scenes(split) for split in listed} == listed


def test_places_run_out_with_a_message() -> None:
    plans = [plan(index) for index in range(600)]
    assert len({one.scene_id for one in plans}) == 600
    with pytest.raises(ValueError, match="ScanNet has 142 places in that split"):
        plan(4 * 200 + 1)


def test_every_class_is_in_train_and_val_and_rare_ones_are_rare(written: Path) -> None:
    source = ScanNet(written, frames=0)
    counts = {split: sum(np.bincount(source.read(scene)[1], minlength=256) for scene in source.scenes(split)) for split in ("train", "val")}
    for split, count in counts.items():
        assert (count[:20] > 0).all(), (split, [CLASSES.names[label] for label in np.flatnonzero(count[:20] == 0)])
    total = counts["train"] + counts["val"]
    share = dict(zip(CLASSES.names, total[:20] / total[:20].sum(), strict=True))
    common = min(share[name] for name in ("wall", "floor", "chair"))
    assert all(share[name] < common / 2 and share[name] < 0.03 for name in RARE)
    assert share["wall"] == max(share.values()) and 0.1 < share["floor"] < 0.3
    assert 0.03 < total[IGNORE] / total.sum() < 0.3


def test_both_annotations_give_the_same_classes(written: Path, tmp_path: Path) -> None:
    source = ScanNet(written, frames=0)
    shutil.copytree(written, tmp_path / "segments", ignore=shutil.ignore_patterns("*.labels.ply", "color", "pose"))
    other = ScanNet(tmp_path / "segments", frames=0)
    for scene in source.scenes("val"):
        np.testing.assert_array_equal(source.read(scene)[1], other.read(scene)[1])


def test_segments_belong_to_one_object_and_some_vertices_to_none(written: Path) -> None:
    what = plan(0)
    segment = np.array(json.loads((written / what.folder / f"{what.scene_id}_vh_clean_2.0.010000.segs.json").read_text())["segIndices"])
    annotation = json.loads((written / what.folder / f"{what.scene_id}.aggregation.json").read_text())
    owned = [one for group in annotation["segGroups"] for one in group["segments"]]
    assert len(owned) == len(set(owned)) and set(owned) < set(segment.tolist()), "no segment in two groups, some in none"
    assert {group["label"] for group in annotation["segGroups"]} <= set(CATEGORIES)
    assert 5 < len(segment) / len(np.unique(segment)) < 200


def test_rescans_show_the_same_room_in_another_frame(written: Path) -> None:
    again = next(one for one in map(plan, range(24)) if one.scan == 1 and one.split == "train")
    source = ScanNet(written)
    (first, labels), (second, others) = (source.read(f"scene{again.place:04d}_{scan:02d}") for scan in (0, 1))
    counts = [np.bincount(one[one != IGNORE], minlength=20) for one in (labels, others)]
    assert set(np.flatnonzero(counts[0] > 100)) <= set(np.flatnonzero(counts[1])), "the same things"
    assert len(first) != len(second) or not np.array_equal(first.xyz, second.xyz)
    walls = []
    for scene, own, scan in ((first, labels, 0), (second, others, 1)):
        about = (written / "scans" / f"scene{again.place:04d}_{scan:02d}" / f"scene{again.place:04d}_{scan:02d}.txt").read_text()
        align = np.array(about.splitlines()[0].split(" = ")[1].split(), float).reshape(4, 4)
        aligned = (scene.xyz + scene.origin) @ align[:3, :3].T + align[:3, 3]
        walls.append(np.quantile(aligned[own == 0], [0.01, 0.99], axis=0))
    np.testing.assert_allclose(walls[0][:, :2], walls[1][:, :2], atol=0.05)


def test_pictures_show_the_points(tmp_path: Path) -> None:
    """What is nearest around a pixel has its colour; a camera that is mirrored or shifted by 20 cm does not agree."""
    for index in (5, 9):
        write_scan(tmp_path, 1, index, 40_000)
    source = ScanNet(tmp_path)
    errors = []
    for scene_id in source.scenes("val"):
        scene, _ = source.read(scene_id)
        assert len(scene.images) == 4, "the frame that lost its tracking is left out"
        for image in scene.images:
            assert image.camera is not None and image.path is not None
            picture = np.asarray(Image.open(image.path), np.float64) / 255
            shifted = image.camera.pose.copy()
            shifted[:3, 3] += 0.2 * shifted[:3, 0]
            own = colour_error(scene, picture, image.camera)
            errors.append((own, colour_error(scene, picture[:, ::-1], image.camera), colour_error(scene, picture, replace(image.camera, pose=shifted))))
    own, mirrored, moved = np.array(errors).T
    assert len(own) == 8 and own.max() < 0.04, own
    assert (mirrored > 1.5 * own).all() and (moved > 1.5 * own).all(), (own, mirrored, moved)


def colour_error(scene: Scene, picture: F64, camera: Camera) -> float:
    """Median difference between the pixels and the points that a drawing of the scene has there."""
    _, index = render(scene.xyz, np.zeros((len(scene), 3), np.uint8), camera, shading=0.0, largest=40.0)
    drawn = index >= 0
    assert drawn.mean() > 0.5
    return float(np.median(np.abs(picture[drawn] - scene.feat[index[drawn]]).mean(axis=1)))


def test_validation_covers_all_kinds_early() -> None:
    assert len({plan(4 * index + 1).kind for index in range(7)}) == len(set(VAL_KINDS))


def test_requests_that_make_no_sense(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 2 scenes"):
        write_scannet(tmp_path / "one", scenes=1)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(FileExistsError, match="holds something already"):
        write_scannet(tmp_path / "full", scenes=2)


@pytest.mark.parametrize(
    ("surface", "closed"),
    [
        (plane((0, 0, 0), (1, 0, 0), (0, 0, 0.5), GREY), False),
        (disc((0, 0, 0), 0.5, GREY), False),
        (tube((0, 0, 0), 0.3, 1, GREY), False),
        (ball((0, 0, 0), (0.5, 0.4, 0.3), GREY), True),
    ],
)
def test_grids_cover_surfaces_and_face_outwards(surface: Surface, closed: bool) -> None:
    mesh = welded(mesh_pieces([Piece("thing", (surface,))], 0.05, np.random.default_rng(0)), 0.01)
    corner = mesh.cloud.xyz[mesh.faces].astype(np.float64)
    across = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]) / 2
    assert np.linalg.norm(across, axis=1).sum() == pytest.approx(surface.area(), rel=0.03)
    assert (np.einsum("ij,ij->i", across, mesh.cloud.normal[mesh.faces].sum(axis=1)) > 0).all()
    sides = np.linalg.norm(corner - np.roll(corner, 1, axis=1), axis=2)
    assert sides.max() < 0.09
    edges = np.sort(np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]]), axis=1)
    _, shared = np.unique(edges, axis=0, return_counts=True)
    assert shared.max() == 2 and bool((shared == 2).all()) == closed


def test_welding_joins_what_touches_and_keeps_the_first() -> None:
    two = [Piece("a", (plane((0, 0, 0), (1, 0, 0), (0, 1, 0), GREY),)), Piece("b", (plane((1, 0, 0), (1, 0, 0), (0, 1, 0), GREY),))]
    apart = mesh_pieces(two, 0.1, np.random.default_rng(0))
    joined: Mesh = welded(apart, 0.04)
    assert len(apart.cloud) == 2 * 121 and len(joined.cloud) == 2 * 121 - 11 and len(joined.faces) == len(apart.faces)
    on_seam = np.abs(joined.cloud.xyz[:, 0] - 1) < 1e-6
    assert (joined.cloud.piece[on_seam] == 0).all()


def test_holes_are_cut_out_of_the_mesh() -> None:
    wall = plane((0, 0, 0), (2, 0, 0), (0, 0, 2), GREY, holes=((0.5, 0.5, 1.5, 1.5),))
    unit, faces = surface_grid(wall, 0.1)
    mesh = mesh_pieces([Piece("wall", (wall,))], 0.1, np.random.default_rng(0))
    middle = mesh.cloud.xyz[mesh.faces].mean(axis=1)
    assert len(mesh.faces) < len(faces) and len(unit) == 21 * 21
    assert not ((np.abs(middle[:, 0] - 1) < 0.4) & (np.abs(middle[:, 2] - 1) < 0.4)).any()
