"""Street drives in SemanticKITTI's raw layout."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from al3d.data.sources.semantic_kitti_labels import RAW_NAMES
from al3d.files import whole_folder
from al3d.geometry.camera import look_at
from al3d.types import F64, U8, Array, Camera
from al3d.world.sweep import CATEGORIES, Sweep

#: What SemanticKITTI calls the categories of a street: (standing or resting, moving).
NAMES: Mapping[str, tuple[str, str]] = {
    "noise": ("outlier", "outlier"),
    "car": ("car", "moving-car"),
    "bicycle": ("bicycle", "bicycle"),
    "motorcycle": ("motorcycle", "motorcycle"),
    "truck": ("truck", "moving-truck"),
    "bus": ("bus", "moving-bus"),
    "trailer": ("other-vehicle", "moving-other-vehicle"),
    "construction-vehicle": ("other-vehicle", "moving-other-vehicle"),
    "other-vehicle": ("other-vehicle", "moving-other-vehicle"),
    "person": ("person", "moving-person"),
    "bicyclist": ("bicyclist", "moving-bicyclist"),
    "motorcyclist": ("motorcyclist", "moving-motorcyclist"),
    "road": ("road", "road"),
    "lane-marking": ("lane-marking", "lane-marking"),
    "parking": ("parking", "parking"),
    "sidewalk": ("sidewalk", "sidewalk"),
    "other-ground": ("other-ground", "other-ground"),
    "terrain": ("terrain", "terrain"),
    "building": ("building", "building"),
    "fence": ("fence", "fence"),
    "barrier": ("fence", "fence"),
    "vegetation": ("vegetation", "vegetation"),
    "trunk": ("trunk", "trunk"),
    "pole": ("pole", "pole"),
    "traffic-sign": ("traffic-sign", "traffic-sign"),
    "traffic-cone": ("other-object", "other-object"),
    "other-object": ("other-object", "other-object"),
}
_IDS = {name: raw for raw, name in RAW_NAMES.items()}
#: Raw ids u32[categories, 2]: columns standing and moving.
RAW_IDS = np.array([[_IDS[name] for name in NAMES[category]] for category in CATEGORIES], np.uint32)
#: The colour camera that is written where no picture tells: 1241 x 376 pixels above and before the scanner, as on the real car.
CAMERA = Camera(718.856, 718.856, 607.1928, 185.2157, 1241, 376, look_at((0.27, 0.06, -0.08), (1.27, 0.06, -0.08)))
#: The four cameras stand side by side: metres from camera 0 to the right of it.
_BASELINES = {"P0": 0.0, "P1": 0.537, "P2": -0.06, "P3": 0.473}


def write_sequence(root: Path, sequence: str, sweeps: Iterable[Sweep], labelled: bool = True) -> None:
    """Write the drive to `root/dataset/sequences/<sequence>`, whole or not at all; one sweep at a time is in memory.

    Scans are numbered from 0. The shot named "image_2" of a sweep becomes its picture; its camera, which must stay where it is on the
    car, gives P2 and Tr of `calib.txt`. `poses.txt` is relative to the first scan, as in the official files, so its first line is the identity.
    Raises: ValueError for a sequence that is not two digits, no sweeps, arrays of different lengths, instances that do not fit into 16
    bits, and pictures or a camera that change during the drive.
    Source: the formats of the KITTI odometry benchmark and of SemanticKITTI.
    """
    if not re.fullmatch(r"\d\d", sequence):
        raise ValueError(f"sequence {sequence!r}: SemanticKITTI names its sequences with two digits, e.g. '08'")
    poses, times = [], []
    camera: Camera | None = None
    with whole_folder(Path(root) / "dataset" / "sequences" / sequence) as folder:
        for name in ("velodyne", *(["labels"] if labelled else [])):
            (folder / name).mkdir()
        for number, sweep in enumerate(sweeps):
            frame = f"{number:06d}"
            _write_points(folder, frame, sweep, labelled)
            for shot in sweep.shots:
                if shot.name == "image_2":
                    camera = _same(camera or shot.camera, shot.camera, shot.image, f"sequence {sequence}, scan {frame}")
                    _write_picture(folder / "image_2" / f"{frame}.png", shot.image)
            poses.append(sweep.pose)
            times.append(sweep.time)
        if not poses:
            raise ValueError(f"sequence {sequence}: there are no sweeps to write")
        _write_places(folder, np.stack(poses), times, camera or CAMERA)


def raw_labels(sweep: Sweep) -> Array:
    """SemanticKITTI's labels u32[N]: the raw id in the low 16 bits, the instance above it."""
    if sweep.instance.min(initial=0) < 0 or sweep.instance.max(initial=0) > 0xFFFF:
        raise ValueError(f"instances {sweep.instance.min()}..{sweep.instance.max()} do not fit into 16 bits: number the objects from 1 to 65535")
    raw: Array = RAW_IDS[sweep.category, sweep.moving.astype(np.int64)] | sweep.instance.astype(np.uint32) << 16
    return raw


def _write_points(folder: Path, frame: str, sweep: Sweep, labelled: bool) -> None:
    lengths = {len(array) for array in (sweep.xyz, sweep.intensity, sweep.category, sweep.moving, sweep.instance)}
    if len(lengths) > 1:
        raise ValueError(f"scan {frame}: the sweep's arrays have different lengths {sorted(lengths)}")
    np.column_stack([sweep.xyz, sweep.intensity]).astype("<f4").tofile(folder / "velodyne" / f"{frame}.bin")
    if labelled:
        raw_labels(sweep).astype("<u4").tofile(folder / "labels" / f"{frame}.label")


def _same(camera: Camera, other: Camera, image: U8, where: str) -> Camera:
    """`camera`, when `other` is the same one and `image` is its. Raises: ValueError naming `where`."""
    lens, others = ((one.fx, one.fy, one.cx, one.cy, one.width, one.height) for one in (camera, other))
    if lens != others or not np.allclose(camera.pose, other.pose, rtol=0, atol=1e-6):
        raise ValueError(f"{where}: camera image_2 has moved or changed on the car, but calib.txt holds one camera for the whole sequence")
    if image.shape != (camera.height, camera.width, 3) or image.dtype != np.uint8:
        raise ValueError(f"{where}: the picture is {image.dtype} {list(image.shape)}, its camera's is uint8 [{camera.height},{camera.width},3]")
    return camera


def _write_picture(path: Path, image: U8) -> None:
    from PIL import Image

    path.parent.mkdir(exist_ok=True)
    Image.fromarray(image).save(path, compress_level=3)


def _write_places(folder: Path, poses: F64, times: list[float], camera: Camera) -> None:
    """`calib.txt`, `poses.txt` (camera 0, relative to its first place) and `times.txt`."""
    intrinsics = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    scanner = np.linalg.inv(camera.pose)
    scanner[0, 3] += _BASELINES["P2"]
    matrices = {name: intrinsics @ np.column_stack([np.eye(3), (-offset, 0, 0)]) for name, offset in _BASELINES.items()} | {"Tr": scanner[:3]}
    (folder / "calib.txt").write_text("".join(f"{name}: {_numbers(matrix)}\n" for name, matrix in matrices.items()), encoding="ascii")
    driven = scanner @ np.linalg.inv(poses[0]) @ poses @ np.linalg.inv(scanner)
    (folder / "poses.txt").write_text("".join(f"{_numbers(pose[:3])}\n" for pose in driven), encoding="ascii")
    (folder / "times.txt").write_text("".join(f"{time:.6e}\n" for time in times), encoding="ascii")


def _numbers(matrix: F64) -> str:
    return " ".join(f"{number:.12e}" for number in matrix.ravel())
