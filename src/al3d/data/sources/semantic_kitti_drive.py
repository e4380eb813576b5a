"""The places of SemanticKITTI's scanner and camera: `poses.txt` and `calib.txt` of a sequence."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from al3d.types import F64, Bool

HOW_TO_GET = (
    "extract data_odometry_velodyne.zip and data_odometry_calib.zip (pictures: data_odometry_color.zip) of the KITTI odometry benchmark "
    "(cvlibs.net/datasets/kitti) and data_odometry_labels.zip (semantic-kitti.org) into one folder, and give its path as dataset.root"
)


@dataclass(frozen=True, eq=False)
class Lens:
    """The left colour camera: focal lengths and centre in pixels, its pose in the scanner's frame."""

    fx: float
    fy: float
    cx: float
    cy: float
    pose: F64


@dataclass(frozen=True, eq=False)
class Drive:
    """What holds for a whole sequence: `poses` f64[F,4,4] of the scanner (None: no poses.txt) and the camera (None: no calib.txt)."""

    path: Path
    poses: F64 | None
    lens: Lens | None

    def pose(self, frame: int) -> F64:
        if self.poses is None:
            return np.eye(4)
        if frame >= len(self.poses):
            raise ValueError(f"{self.path} has {len(self.poses)} lines, scan {frame:06d} needs line {frame + 1}: extract it again")
        pose: F64 = self.poses[frame].copy()
        return pose


def drive_of(folder: Path) -> Drive:
    """The poses and the camera of a sequence; they are parsed once and kept for its other scans, until the files change.

    Raises: ValueError naming the file and the line; FileNotFoundError for poses without `calib.txt`.
    """
    return _drive(folder, _stamp(folder / "calib.txt"), _stamp(folder / "poses.txt"))


def _stamp(path: Path) -> tuple[int, int] | None:
    """Size and time of a file, so that a changed one is read again; None where there is none."""
    if not path.is_file():
        return None
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=32)
def _drive(folder: Path, calibration: tuple[int, int] | None, poses: tuple[int, int] | None) -> Drive:
    """Poses on file are of the left grey camera (camera 0): the scanner's are inv(Tr) @ pose @ Tr."""
    path = folder / "poses.txt"
    if calibration is None:
        if poses is not None:
            raise FileNotFoundError(f"{path} holds poses of a camera; {folder / 'calib.txt'}, which places the scanner, is missing: {HOW_TO_GET}")
        return Drive(path, None, None)
    projection, scanner = _calibration(folder / "calib.txt")
    if poses is None:
        return Drive(path, None, _lens_of(projection, scanner))
    return Drive(path, np.linalg.inv(scanner) @ _poses(path) @ scanner, _lens_of(projection, scanner))


def _calibration(path: Path) -> tuple[F64, F64]:
    """P2 f64[3,4] and Tr f64[4,4], from the scanner's frame to camera 0."""
    lines = [line.partition(":") for line in path.read_text(encoding="ascii", errors="replace").splitlines()]
    found = {name.strip(): _matrix(values, path, number) for number, (name, _, values) in enumerate(lines, 1) if name.strip() in ("P2", "Tr")}
    missing = [name for name in ("P2", "Tr") if name not in found]
    if missing:
        raise ValueError(f"{path} has no line '{missing[0]}: ' with 12 numbers: {HOW_TO_GET}")
    projection = found["P2"]
    if not np.allclose(projection[[0, 1, 2, 2, 2], [1, 0, 0, 1, 2]], [0, 0, 0, 0, 1]) or min(projection[0, 0], projection[1, 1]) <= 0:
        raise ValueError(f"{path}: P2 is not that of a rectified camera ({projection.tolist()}): extract the file again")
    scanner = _closed(found["Tr"])
    if _bent(scanner):
        raise ValueError(f"{path}: Tr is no rotation and translation ({scanner[:3].tolist()}): extract the file again")
    return projection, scanner


def _lens_of(projection: F64, scanner: F64) -> Lens:
    """P2 is K [I | t]: the colour camera is camera 0 moved by t, and that belongs to its pose."""
    moved = np.eye(4)
    moved[:3, 3] = np.linalg.solve(projection[:, :3], projection[:, 3])
    fx, fy, cx, cy = (float(projection[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2)))
    return Lens(fx, fy, cx, cy, np.linalg.inv(moved @ scanner).astype(np.float64))


def _poses(path: Path) -> F64:
    """Camera 0 to the world, f64[F,4,4], one line a scan."""
    lines = path.read_text(encoding="ascii", errors="replace").rstrip().splitlines()
    poses = _closed(np.array([_matrix(line, path, number) for number, line in enumerate(lines, 1)]).reshape(-1, 3, 4))
    bent = np.flatnonzero(_bent(poses))
    if len(bent):
        raise ValueError(f"{path}, line {bent[0] + 1} is no rotation and translation: {lines[bent[0]]!r}; extract the file again")
    return poses


def _matrix(text: str, path: Path, line: int) -> F64:
    """12 finite numbers as f64[3,4]."""
    try:
        numbers = np.array([float(number) for number in text.split()])
    except ValueError as error:
        raise ValueError(f"{path}, line {line}: {error}: extract the file again") from error
    if len(numbers) != 12 or not np.isfinite(numbers).all():
        raise ValueError(f"{path}, line {line} must be 12 finite numbers, but has {len(numbers)}: {text.strip()[:100]!r}; extract the file again")
    return numbers.reshape(3, 4)


def _closed(upper: F64) -> F64:
    """[...,3,4] with the row 0 0 0 1 below."""
    return np.concatenate([upper, np.broadcast_to([[0.0, 0.0, 0.0, 1.0]], (*upper.shape[:-2], 1, 4))], axis=-2)


def _bent(pose: F64) -> Bool:
    """Whether [...,4,4] holds something else than a rotation; published poses are rounded to six digits."""
    turn = pose[..., :3, :3]
    return np.asarray((np.abs(turn @ np.swapaxes(turn, -1, -2) - np.eye(3)).max(axis=(-1, -2)) > 0.01) | (np.linalg.det(turn) < 0))
