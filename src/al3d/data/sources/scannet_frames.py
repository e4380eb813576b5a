"""Colour frames of a ScanNet scan, as the official SensReader exports them from the `.sens` file."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from al3d.types import F64, Array, Camera, Image

_PICTURES = (".jpg", ".png")


def read_frames(folder: Path, scene_id: str, origin: Array, most: int) -> tuple[Image, ...]:
    """At most `most` evenly spaced frames of `color/<n>.jpg`, `pose/<n>.txt` and `intrinsic/intrinsic_color.txt` in the scan's folder.

    A pose f64[4,4] brings the camera's frame to the mesh's; `origin` f64[3] is taken off. Where the tracking was lost, a pose is not finite:
    the nearest tracked frame of the same stretch takes its place. A stretch without any gives no picture, so that the number of images says how
    many frames can be used; a warning counts the missing ones when they are more than half. Pictures of another size than colorWidth x
    colorHeight in `<scene>.txt` were resized when they were exported; the intrinsics are scaled with them.
    Returns no images when nothing was exported. Raises: ValueError for a broken matrix; FileNotFoundError for frames without intrinsics.
    """
    frames = _frames(folder)
    if not frames:
        return ()
    intrinsic = folder / "intrinsic" / "intrinsic_color.txt"
    if not intrinsic.is_file():
        raise FileNotFoundError(f"no file {intrinsic.absolute()}: export it with SensReader (--export_intrinsics), or read with frames=0")
    lens = _matrix(intrinsic)
    wanted = min(most, len(frames))
    tracked = [found for stretch in np.array_split(np.array(frames), wanted) if (found := _tracked(folder, stretch.tolist()))]
    if 2 * len(tracked) < wanted:
        warnings.warn(f"{scene_id}: only {len(tracked)} of {wanted} pictures: the other frames have no finite pose, as tracking was lost", stacklevel=3)
    if not tracked:
        return ()
    width, height, scale = _size(folder, scene_id, tracked[0][0])
    cameras = []
    for _, pose in tracked:
        pose[:3, 3] -= origin
        fx, fy = (lens[[0, 1], [0, 1]] * scale).tolist()
        cx, cy = ((lens[:2, 2] + 0.5) * scale - 0.5).tolist()
        cameras.append(Camera(fx, fy, cx, cy, width, height, pose))
    return tuple(Image(path.absolute(), camera) for (path, _), camera in zip(tracked, cameras, strict=True))


def frames_status(folder: Path) -> list[int]:
    """Times of the folders of frames and of the intrinsics: they change when frames are added or removed."""
    parts = (folder / "color", folder / "pose", folder / "intrinsic" / "intrinsic_color.txt", folder / f"{folder.name}.txt")
    return [part.stat().st_mtime_ns if part.exists() else 0 for part in parts]


def _frames(folder: Path) -> list[str]:
    """File names of the pictures that have a pose, in the order of their numbers."""
    if not ((folder / "color").is_dir() and (folder / "pose").is_dir()):
        return []
    posed = {path.stem for path in (folder / "pose").glob("*.txt")}
    pictures = [path for path in (folder / "color").iterdir() if path.suffix.lower() in _PICTURES and path.stem.isdigit() and path.stem in posed]
    return [path.name for path in sorted(pictures, key=lambda path: int(path.stem))]


def _tracked(folder: Path, stretch: list[str]) -> tuple[Path, F64] | None:
    """The picture and the pose f64[4,4] of the frame nearest to the middle of a stretch that has a finite one."""
    middle = (len(stretch) - 1) / 2
    for place in sorted(range(len(stretch)), key=lambda place: abs(place - middle)):
        picture = folder / "color" / stretch[place]
        pose = _matrix(folder / "pose" / f"{picture.stem}.txt")
        if np.isfinite(pose).all():
            return picture, pose
    return None


def _matrix(path: Path) -> F64:
    words = path.read_text(encoding="ascii", errors="replace").split()
    try:
        values = np.array([float(word) for word in words])
    except ValueError as error:
        raise ValueError(f"{path}: {error}: a 4x4 matrix of numbers is expected; export the frames again") from error
    if len(values) != 16:
        raise ValueError(f"{path}: {len(values)} numbers where a 4x4 matrix is expected: export the frames again")
    return values.reshape(4, 4)


def _size(folder: Path, scene_id: str, picture: Path) -> tuple[int, int, F64]:
    """Width and height of the pictures, and their ratio f64[2] to the size that the intrinsics belong to."""
    from PIL import Image as Pillow

    with Pillow.open(picture) as opened:
        width, height = opened.size
    about = folder / f"{scene_id}.txt"
    pairs = [line.split("=") for line in about.read_text(encoding="ascii", errors="replace").splitlines()] if about.is_file() else []
    given = {pair[0].strip(): pair[1].strip() for pair in pairs if len(pair) == 2}
    full = [given.get("colorWidth", ""), given.get("colorHeight", "")]
    if not all(word.isdigit() and int(word) > 0 for word in full):
        return width, height, np.ones(2)
    return width, height, np.array([width, height]) / np.array([int(word) for word in full])
