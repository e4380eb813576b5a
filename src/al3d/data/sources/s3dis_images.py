"""Pictures of 2D-3D-S for the rooms of S3DIS: `area_k/data/{rgb,pose}/camera_<id>_<room>_frame_<n>_domain_{rgb.png,pose.json}`.

Cameras are in the building's frame. Two things stand between that frame and a room's points:
- The aligned version of S3DIS turned every room about the vertical through the middle of its box, by the negative of the angle that
  `Area_k_alignmentAngle.txt` lists; the version that is not aligned has the building's frame.
- Area 5 was taken in two halves. The points of all of area 5 have the frame of `area_5a`; `area_5b` has its own.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from al3d.types import F32, F64, Camera, Image

HOW_TO_GET = (
    "ask for 2D-3D-S (Armeni et al., 2017) with its official form, extract the areas' 'data/rgb' and 'data/pose' and name the folder "
    "that holds area_1, ..., area_5a, area_5b, area_6; or leave images out"
)
_POSE = re.compile(r"(camera_[0-9A-Za-z]+_(.+)_frame_\d+_domain_)pose\.json")
_ANGLE = re.compile(r"(\S+)\s+(-?\d+(?:\.\d+)?)")
#: From the frame of area_5b to that of area_5a: a quarter turn and a shift in metres. Two public projects found them independently and agree
#: within 3 cm; not verified here.
AREA_5B = np.array([[0.0, 1.0, 0.0, -4.09703582], [-1.0, 0.0, 0.0, 6.22617759], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])


def room_images(root: str | Path, room: Path, origin: F64, xyz: F32, frames: int, aligned: bool) -> tuple[Image, ...]:
    """Up to `frames` pictures of a room, spread evenly over its frames in the order of their names; none where its area has no folder.

    `room` is the room's folder in S3DIS (`.../Area_1/office_1`); poses bring the camera's frame (z forward, y down) to the scene's, which is the
    file's minus `origin`.
    Raises: FileNotFoundError for a missing root, picture or list of angles; ValueError naming the pose file and what is wrong in it.
    """
    taken = [(folder, name) for folder in _folders(root, room.parent.name) for name in _frames(folder, room.name)]
    if not taken:
        return ()
    picks = np.unique(np.linspace(0, len(taken) - 1, min(frames, len(taken))).round().astype(int))
    turn = _turn(_angle(room), (xyz.min(axis=0).astype(np.float64) + xyz.max(axis=0)) / 2 + origin) if aligned else np.eye(4)
    turn[:3, 3] -= origin
    return tuple(_image(folder, name, turn, room.name) for folder, name in (taken[index] for index in picks))


def listing(root: str | Path) -> list[str]:
    """The names of all poses below `root`, for a fingerprint. Raises: FileNotFoundError for a root without any area."""
    folders = sorted(path for path in _root(root).glob("area_*") if path.is_dir())
    return [
        str(_root(root).absolute()),
        *(path.relative_to(_root(root)).as_posix() for area in folders for path in sorted((area / "data" / "pose").glob("*_pose.json"))),
    ]


def _root(root: str | Path) -> Path:
    folder = Path(root).expanduser()
    if not folder.is_dir() or not any(folder.glob("area_*")):
        what = "has no area_*" if folder.is_dir() else "is not there"
        raise FileNotFoundError(f"the picture folder {folder.absolute()} {what}: {HOW_TO_GET}")
    return folder


def _folders(root: str | Path, area: str) -> list[Path]:
    """The folders of an area that are there: two for area 5."""
    name = area.lower()
    halves = [_root(root) / f"{name}{half}" / "data" for half in (("a", "b") if name == "area_5" else ("",))]
    return [folder for folder in halves if folder.is_dir()]


def _frames(folder: Path, room: str) -> list[str]:
    """The names of the room's frames, sorted, without their ending."""
    names = (path.name for path in (folder / "pose").glob(f"camera_*_{room}_frame_*_domain_pose.json"))
    return sorted(match[1] for match in map(_POSE.fullmatch, names) if match and match[2] == room)


def _angle(room: Path) -> float:
    """How far the building's frame was turned to align the room, in degrees."""
    area = room.parent.name
    file = room.parent / f"{area}_alignmentAngle.txt"
    if not file.is_file():
        raise FileNotFoundError(
            f"{file}: is needed to bring the pictures into the frame of the aligned rooms: copy it from 'Stanford3dDataset_v1.2', "
            "or take that version as the root and set aligned=false"
        )
    for line in file.read_text(encoding="utf-8-sig").splitlines():
        match = _ANGLE.fullmatch(line.strip())
        if match and match[1] == room.name:
            return float(match[2])
    raise ValueError(f"{file}: has no line '{room.name} ANGLE' (degrees): add it, or leave images out")


def _turn(angle: float, middle: F64) -> F64:
    """The building's frame to the aligned room's: minus `angle` degrees about the vertical through `middle`."""
    cos, sin = np.cos(np.radians(-angle)), np.sin(np.radians(-angle))
    turn = np.eye(4)
    turn[:2, :2] = [[cos, -sin], [sin, cos]]
    turn[:2, 3] = middle[:2] - turn[:2, :2] @ middle[:2]
    return turn


def _image(folder: Path, name: str, turn: F64, room: str) -> Image:
    from PIL import Image as Picture  # only scenes with pictures need it

    file, picture = folder / "pose" / f"{name}pose.json", folder / "rgb" / f"{name}rgb.png"
    if not picture.is_file():
        raise FileNotFoundError(f"{picture}: the pose is there, the picture is not: extract 'data/rgb' of {folder.parent.name}, or remove the pose")
    try:
        with Picture.open(picture) as opened:
            width, height = opened.size
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{picture}: is not a readable picture ({error}): extract it again") from error
    lens, view = _pose(file, room)
    to_building = np.linalg.inv(view)
    if folder.parent.name.lower() == "area_5b":
        to_building = AREA_5B @ to_building
    return Image(picture.absolute(), Camera(lens[0, 0], lens[1, 1], lens[0, 2], lens[1, 2], width, height, turn @ to_building))


def _pose(file: Path, room: str) -> tuple[F64, F64]:
    """Intrinsics f64[3,3] and the transform f64[4,4] from the building's frame to the camera's."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file}: is not JSON ({error}): extract it again") from error
    if not isinstance(content, dict) or content.get("room", room) != room:
        raise ValueError(f"{file}: is of {content.get('room') if isinstance(content, dict) else content!r}, not of room {room!r}: extract it again")
    lens, view = _matrix(file, content, "camera_k_matrix", 3), np.eye(4)
    view[:3] = _matrix(file, content, "camera_rt_matrix", 4)
    if not np.allclose(view[:3, :3] @ view[:3, :3].T, np.eye(3), atol=1e-3) or lens[0, 0] <= 0 or lens[1, 1] <= 0:
        raise ValueError(f"{file}: camera_rt_matrix does not start with a rotation, or camera_k_matrix has no positive focal length: extract it again")
    return lens, view


def _matrix(file: Path, content: dict[str, Any], key: str, columns: int) -> F64:
    """The first three rows of a matrix in a pose file."""
    try:
        matrix = np.array(content[key], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file}: has no matrix {key} ({type(error).__name__}: {error}): extract it again") from error
    if matrix.shape not in ((3, columns), (4, columns)) or not np.isfinite(matrix).all():
        raise ValueError(f"{file}: {key} is {list(matrix.shape)}, but must be 3 rows of {columns} finite numbers: extract it again")
    return matrix[:3]
