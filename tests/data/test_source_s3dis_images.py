"""Pictures of 2D-3D-S for S3DIS rooms, on a small made-up folder in that layout: cameras must look at the points they were made for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from al3d.data.sources.s3dis import S3DIS
from al3d.data.sources.s3dis_images import AREA_5B
from al3d.geometry.camera import in_view, look_at, project
from al3d.types import Source

LENS = [[300.0, 0, 160], [0, 310, 120], [0, 0, 1]]
#: In the building's frame; the room's box is not square, and far from the origin.
CORNERS = np.array([[-22.0, 31, 0], [-17, 34, 0], [-22, 34, 3], [-17, 31, 3], [-20, 32, 1.5]])


def turned(points: np.ndarray, angle: float) -> np.ndarray:
    """Points aligned as the release was: minus the angle, about the middle of their box."""
    middle = (points.min(0) + points.max(0)) / 2
    cos, sin = np.cos(np.radians(-angle)), np.sin(np.radians(-angle))
    return (points - middle) @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]).T + middle


def write_room(root: Path, area: str, room: str, points: np.ndarray, angle: float | None) -> None:
    folder = root / area / room / "Annotations"
    folder.mkdir(parents=True)
    (folder / "wall_1.txt").write_text("".join(f"{x:.6f} {y:.6f} {z:.6f} 10 20 30\n" for x, y, z in points))
    if angle is not None:
        with (root / area / f"{area}_alignmentAngle.txt").open("a") as file:
            file.write(f"## Global alignment angle per disjoint space in {area} ##\n{room} {angle:g}\n")


def write_frame(root: Path, area: str, room: str, camera: str, frame: int, pose: np.ndarray, changes: dict[str, object] | None = None) -> Path:
    for kind in ("rgb", "pose"):
        (root / area / "data" / kind).mkdir(parents=True, exist_ok=True)
    name = f"camera_{camera}_{room}_frame_{frame}_domain_"
    Picture.new("RGB", (320, 240)).save(root / area / "data" / "rgb" / f"{name}rgb.png")
    content = {"camera_k_matrix": LENS, "camera_rt_matrix": np.linalg.inv(pose)[:3].tolist(), "room": room} | (changes or {})
    file = root / area / "data" / "pose" / f"{name}pose.json"
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    return file


def pixels(pose: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The naive pinhole projection in the building's frame."""
    seen = (np.linalg.inv(pose) @ np.c_[points, np.ones(len(points))].T).T[:, :3]
    return np.array([[300 * x / z + 160, 310 * y / z + 120] for x, y, z in seen])


POSE = look_at([-19.5, 25.0, 1.4], [-19.5, 32.5, 1.5])


@pytest.mark.parametrize(("aligned", "angle"), [(False, None), (False, 90.0), (True, 0.0), (True, 90.0), (True, 180.0), (True, 270.0)])
def test_points_land_where_the_camera_saw_them(tmp_path: Path, aligned: bool, angle: float | None) -> None:
    write_room(tmp_path / "s3dis", "Area_1", "office_1", turned(CORNERS, angle or 0) if aligned else CORNERS, angle)
    write_frame(tmp_path / "2d3ds", "area_1", "office_1", "ab12", 3, POSE)
    source: Source = S3DIS(tmp_path / "s3dis", images=tmp_path / "2d3ds", aligned=aligned)
    scene, _ = source.read("Area_1#office_1")
    (image,) = scene.images
    assert image.path == (tmp_path / "2d3ds/area_1/data/rgb/camera_ab12_office_1_frame_3_domain_rgb.png").absolute()
    assert image.camera is not None and (image.camera.width, image.camera.height) == (320, 240)
    pixel, depth = project(image.camera, scene.xyz)
    np.testing.assert_allclose(pixel, pixels(POSE, CORNERS), atol=1e-3)
    assert in_view(image.camera, pixel, depth).any()


def test_area_5_has_two_halves_with_a_frame_each(tmp_path: Path) -> None:
    write_room(tmp_path / "s3dis", "Area_5", "office_1", CORNERS, 0)
    write_frame(tmp_path / "2d3ds", "area_5a", "office_1", "aa", 0, POSE)
    write_frame(tmp_path / "2d3ds", "area_5b", "office_1", "bb", 0, np.linalg.inv(AREA_5B) @ POSE)
    scene, _ = S3DIS(tmp_path / "s3dis", images=tmp_path / "2d3ds").read("Area_5#office_1")
    assert len(scene.images) == 2
    for image in scene.images:
        assert image.camera is not None
        np.testing.assert_allclose(project(image.camera, scene.xyz)[0], pixels(POSE, CORNERS), atol=1e-3)


def test_frames_are_of_the_room_sorted_and_evenly_spaced(tmp_path: Path) -> None:
    write_room(tmp_path / "s3dis", "Area_1", "office_1", CORNERS, 0)
    write_room(tmp_path / "s3dis", "Area_1", "office_11", CORNERS, 0)
    write_room(tmp_path / "s3dis", "Area_2", "office_1", CORNERS, 0)
    for camera in ("b", "a"):
        for frame in range(5):
            write_frame(tmp_path / "2d3ds", "area_1", "office_1", camera, frame, POSE)
    write_frame(tmp_path / "2d3ds", "area_1", "office_11", "a", 0, POSE)

    def names(frames: int, room: str = "Area_1#office_1") -> list[str]:
        images = S3DIS(tmp_path / "s3dis", images=tmp_path / "2d3ds", frames=frames).read(room)[0].images
        return [str(image.path.name).removeprefix("camera_").removesuffix("_domain_rgb.png").replace("_office_1_frame_", "") for image in images if image.path]

    assert names(99) == [f"{camera}{frame}" for camera in "ab" for frame in range(5)]
    assert names(4) == ["a0", "a3", "b1", "b4"]
    assert names(1) == ["a0"]
    assert len(names(99, "Area_1#office_11")) == 1
    assert names(99, "Area_2#office_1") == []
    assert S3DIS(tmp_path / "s3dis").read("Area_1#office_1")[0].images == ()


def test_fingerprint_follows_the_pictures(tmp_path: Path) -> None:
    write_room(tmp_path / "s3dis", "Area_1", "office_1", CORNERS, 0)
    write_frame(tmp_path / "2d3ds", "area_1", "office_1", "a", 0, POSE)
    prints = {S3DIS(tmp_path / "s3dis").fingerprint(), S3DIS(tmp_path / "s3dis", images=tmp_path / "2d3ds").fingerprint()}
    prints |= {S3DIS(tmp_path / "s3dis", images=tmp_path / "2d3ds", frames=3).fingerprint()}
    prints |= {S3DIS(tmp_path / "s3dis", images=tmp_path / "2d3ds", aligned=False).fingerprint()}
    write_frame(tmp_path / "2d3ds", "area_1", "office_1", "a", 1, POSE)
    assert len(prints | {S3DIS(tmp_path / "s3dis", images=tmp_path / "2d3ds").fingerprint()}) == 5
    assert S3DIS(tmp_path / "s3dis", frames=3).fingerprint() in prints, "without pictures their options do not matter"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"room": "office_2"}, "is of 'office_2', not of room 'office_1'"),
        ({"camera_rt_matrix": None}, "has no matrix camera_rt_matrix"),
        ({"camera_rt_matrix": [[1, 2], [3]]}, "has no matrix camera_rt_matrix"),
        ({"camera_rt_matrix": np.eye(3).tolist()}, r"camera_rt_matrix is \[3, 3\], but must be 3 rows of 4"),
        ({"camera_rt_matrix": (2 * np.eye(4)).tolist()}, "does not start with a rotation"),
        ({"camera_k_matrix": [[float("nan")] * 3] * 3}, "camera_k_matrix is"),
        ({"camera_k_matrix": np.diag([0, 1, 1]).tolist()}, "no positive focal length"),
    ],
)
def test_broken_poses_are_named(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    write_room(tmp_path / "s3dis", "Area_1", "office_1", CORNERS, 0)
    write_frame(tmp_path / "2d3ds", "area_1", "office_1", "a", 0, POSE, changes)
    with pytest.raises(ValueError, match=rf"camera_a_office_1_frame_0_domain_pose\.json: .*{message}"):
        S3DIS(tmp_path / "s3dis", images=tmp_path / "2d3ds").read("Area_1#office_1")


def test_missing_things_are_named(tmp_path: Path) -> None:
    write_room(tmp_path / "s3dis", "Area_1", "office_1", CORNERS, None)
    with pytest.raises(FileNotFoundError, match="nowhere is not there: ask for 2D-3D-S"):
        S3DIS(tmp_path / "s3dis", images=tmp_path / "nowhere").read("Area_1#office_1")
    with pytest.raises(FileNotFoundError, match="has no area_"):
        S3DIS(tmp_path / "s3dis", images=tmp_path / "s3dis").fingerprint()
    with pytest.raises(ValueError, match="frames=0: give at least 1"):
        S3DIS(tmp_path / "s3dis", frames=0)
    file = write_frame(tmp_path / "2d3ds", "area_1", "office_1", "a", 0, POSE)
    source = S3DIS(tmp_path / "s3dis", images=tmp_path / "2d3ds")
    with pytest.raises(FileNotFoundError, match=r"Area_1_alignmentAngle\.txt: is needed .*aligned=false"):
        source.read("Area_1#office_1")
    (tmp_path / "s3dis/Area_1/Area_1_alignmentAngle.txt").write_text("office_2 90\n")
    with pytest.raises(ValueError, match="has no line 'office_1 ANGLE'"):
        source.read("Area_1#office_1")
    (tmp_path / "s3dis/Area_1/Area_1_alignmentAngle.txt").write_text("office_1 90\n")
    file.write_text("{")
    with pytest.raises(ValueError, match=r"pose\.json: is not JSON"):
        source.read("Area_1#office_1")
    picture = tmp_path / "2d3ds/area_1/data/rgb/camera_a_office_1_frame_0_domain_rgb.png"
    picture.write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"rgb\.png: is not a readable picture"):
        source.read("Area_1#office_1")
    picture.unlink()
    with pytest.raises(FileNotFoundError, match=r"rgb\.png: the pose is there, the picture is not"):
        source.read("Area_1#office_1")
