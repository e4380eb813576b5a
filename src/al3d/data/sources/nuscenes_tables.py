"""The JSON tables of nuScenes, read once into a compact index of the key frames; the two tables of gigabytes are streamed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from al3d.data.sources.nuscenes_labels import CAMERAS, LIDAR, RAW_NAMES
from al3d.types import F64, I32, Camera

#: The tables that are read.
TABLES = ("scene", "sample", "sample_data", "ego_pose", "calibrated_sensor", "sensor", "category")
CHANNELS = (LIDAR, *CAMERAS)
#: Bytes read at a time: many rows, yet little memory.
BLOCK = 1 << 20
_ROW = re.compile(rb"\{[^{}]*\}")
_IS_KEY_FRAME = re.compile(rb'"is_key_frame"\s*:\s*true')
_TOKEN = re.compile(rb'"token"\s*:\s*"([^"]*)"')


@dataclass(frozen=True, eq=False)
class KeyFrames:
    """The K key frames of a release, sorted by id; S sensors are `CHANNELS`, the scanner first.

    Shapes: `ids` str[K]; `tokens` bytes[K], the scanner's sample_data tokens; `files` bytes[K,S], relative paths, empty where a sensor
    has nothing; `sizes` i32[K,S,2], width and height in pixels; `sensors` i32[K,S] and `vehicles` i32[K,S], rows of `calibrated` f64[R,11]
    (quaternion w x y z, translation in metres, fx fy cx cy in pixels) and of `poses` f64[P,7] (the vehicle's, at that sensor's time).
    """

    ids: NDArray[np.str_]
    tokens: NDArray[np.bytes_]
    files: NDArray[np.bytes_]
    sizes: I32
    sensors: I32
    vehicles: I32
    calibrated: F64
    poses: F64

    def row(self, scene_id: str) -> int | None:
        """Where a scene is, or None."""
        found = int(np.searchsorted(self.ids, scene_id))
        return found if found < len(self.ids) and self.ids[found] == scene_id else None

    def pose(self, row: int, channel: int = 0) -> F64:
        """Sensor to the world of the map, f64[4,4], at the time of that sensor's own measurement."""
        return matrix(self.poses[self.vehicles[row, channel]]) @ matrix(self.calibrated[self.sensors[row, channel], :7])

    def camera(self, row: int, channel: int) -> Camera:
        """The camera, with its pose in the scanner's frame: through the vehicle's poses at both times."""
        fx, fy, cx, cy = self.calibrated[self.sensors[row, channel], 7:].tolist()
        width, height = self.sizes[row, channel].tolist()
        return Camera(fx, fy, cx, cy, width, height, inverse(self.pose(row)) @ self.pose(row, channel))


def matrix(values: F64) -> F64:
    """The rigid motion f64[4,4] of a quaternion w x y z (normalised here) and a translation, f64[7]."""
    w, x, y, z = values[:4] / np.linalg.norm(values[:4])
    result = np.eye(4)
    result[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    result[:3, 3] = values[4:]
    return result


def inverse(pose: F64) -> F64:
    """The inverse of a rigid motion f64[4,4]."""
    result = np.eye(4)
    result[:3, :3] = pose[:3, :3].T
    result[:3, 3] = -pose[:3, :3].T @ pose[:3, 3]
    return result


def read_table(folder: Path, name: str) -> list[dict[str, Any]]:
    """A small table, whole. Raises: ValueError naming the file when it is not a JSON list of rows."""
    path = folder / f"{name}.json"
    try:
        rows = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}): extract the metadata archive again") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{path} is not a list of rows: extract the metadata archive again")
    return rows


def stream(path: Path, block: int = BLOCK) -> Iterator[bytes]:
    """The rows of a table as JSON texts, without holding the file; rows are flat objects without braces inside, as in all large tables.

    Raises: ValueError when the file does not end as a list does.
    """
    rest = b""
    with path.open("rb") as file:
        while read := file.read(block):
            text = rest + read
            end = text.rfind(b"}") + 1
            yield from _ROW.findall(text, 0, end)
            rest = text[end:]
    if not rest.rstrip().endswith(b"]"):
        raise ValueError(f"{path} breaks off: extract the metadata archive again")


def check_categories(folder: Path) -> None:
    """Compare category.json with the raw ids that the label map is made for, where it tells them.

    Raises: ValueError naming the first id that has another name.
    """
    for row in read_table(folder, "category"):
        index, name = row.get("index"), row.get("name")
        known = RAW_NAMES[index] if isinstance(index, int) and 0 <= index < len(RAW_NAMES) else None
        if index is not None and name != known:
            raise ValueError(f"{folder}/category.json: label {index} is {name!r}, but nuScenes-lidarseg v1.0 calls it {known!r}: take the official table")


def read_key_frames(folder: Path) -> KeyFrames:
    """Index the tables of one release; only the rows of key frames are kept.

    Raises: ValueError naming the table when rows are missing, lack a field, or point to nothing.
    """
    channels, calibrated, sensor_rows = _calibrated(folder)
    frames = _frames(folder)
    count = len(frames)
    ids = np.array(sorted(frames.values()), dtype=np.str_)
    place = {scene_id: row for row, scene_id in enumerate(ids.tolist())}
    row_of = {sample: place[scene_id] for sample, scene_id in frames.items()}
    tokens, files = [b""] * count, [b""] * (count * len(CHANNELS))
    sizes = np.zeros((count, len(CHANNELS), 2), np.int32)
    sensors, vehicles = np.zeros((count, len(CHANNELS)), np.int32), np.zeros((count, len(CHANNELS)), np.int32)
    wanted: dict[str, int] = {}
    for row in _key_rows(folder / "sample_data.json"):
        with _Explained(folder / "sample_data.json", row):
            channel = channels[row["calibrated_sensor_token"]]
            if channel is None:
                continue
            frame = row_of[row["sample_token"]]
            files[frame * len(CHANNELS) + channel] = row["filename"].encode()
            sizes[frame, channel] = row["width"], row["height"]
            sensors[frame, channel] = sensor_rows[row["calibrated_sensor_token"]]
            vehicles[frame, channel] = wanted.setdefault(row["ego_pose_token"], len(wanted))
            if channel == 0:
                tokens[frame] = row["token"].encode()
    empty = [str(ids[frame]) for frame, token in enumerate(tokens) if not token]
    if empty:
        raise ValueError(f"{folder}/sample_data.json has no {LIDAR} key frame for {len(empty)} samples, such as {empty[0]}: extract the metadata archive again")
    return KeyFrames(
        ids=ids,
        tokens=np.array(tokens, np.bytes_),
        files=np.array(files, np.bytes_).reshape(count, len(CHANNELS)),
        sizes=sizes,
        sensors=sensors,
        vehicles=vehicles,
        calibrated=calibrated,
        poses=_poses(folder / "ego_pose.json", wanted),
    )


def _calibrated(folder: Path) -> tuple[dict[str, int | None], F64, dict[str, int]]:
    """Per calibrated sensor: its place in `CHANNELS` (None: not read) by token, its numbers f64[R,11], and its row in them by token."""
    path = folder / "calibrated_sensor.json"
    channel_of = {row["token"]: row["channel"] for row in read_table(folder, "sensor")}
    rows = read_table(folder, "calibrated_sensor")
    channels: dict[str, int | None] = {}
    numbers = np.zeros((len(rows), 11))
    for place, row in enumerate(rows):
        with _Explained(path, row):
            channel = channel_of[row["sensor_token"]]
            channels[row["token"]] = CHANNELS.index(channel) if channel in CHANNELS else None
            numbers[place, :7] = _motion(row)
            if channel in CAMERAS:
                lens = np.array(row["camera_intrinsic"], np.float64)
                numbers[place, 7:] = lens[0, 0], lens[1, 1], lens[0, 2], lens[1, 2]
    return channels, numbers, {row["token"]: place for place, row in enumerate(rows)}


def _frames(folder: Path) -> dict[str, str]:
    """The scene id of every sample: the name of its drive and its number in time order."""
    path = folder / "sample.json"
    names = {row["token"]: row["name"] for row in read_table(folder, "scene")}
    timed = []
    for row in read_table(folder, "sample"):
        with _Explained(path, row):
            timed.append((names[row["scene_token"]], row["timestamp"], row["token"]))
    if not timed:
        raise ValueError(f"{path} has no rows: extract the metadata archive again")
    drives = [(name, list(rows)) for name, rows in groupby(sorted(timed), key=lambda row: row[0])]
    width = max(3, *(len(str(len(rows) - 1)) for _, rows in drives))
    return {token: f"{name}_{number:0{width}d}" for name, rows in drives for number, (_, _, token) in enumerate(rows)}


def _key_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of sample_data that belong to a key frame."""
    for text in stream(path):
        if _IS_KEY_FRAME.search(text):
            yield _parsed(path, text)


def _poses(path: Path, wanted: Mapping[str, int]) -> F64:
    """The wanted rows (token -> place) of ego_pose, f64[P,7]."""
    numbers = np.full((len(wanted), 7), np.nan)
    for text in stream(path):
        token = _TOKEN.search(text)
        place = None if token is None else wanted.get(token[1].decode())
        if place is not None:
            row = _parsed(path, text)
            with _Explained(path, row):
                numbers[place] = _motion(row)
    missing = np.isnan(numbers).any(axis=1)
    if missing.any():
        raise ValueError(f"{path} lacks {int(missing.sum())} of the {len(wanted)} poses that sample_data.json names: extract the metadata archive again")
    return numbers


def _motion(row: Mapping[str, Any]) -> list[float]:
    """Quaternion w x y z and translation. Raises: ValueError for a quaternion that is no rotation."""
    values = [*row["rotation"], *row["translation"]]
    if len(values) != 7 or not np.isfinite(values).all() or abs(np.linalg.norm(values[:4]) - 1) > 1e-3:
        raise ValueError(f"rotation {row['rotation']} and translation {row['translation']} are no unit quaternion and place")
    return values


def _parsed(path: Path, text: bytes) -> dict[str, Any]:
    try:
        row: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path}: a row is not JSON ({error}): {text[:120]!r}; extract the metadata archive again") from error
    return row


@dataclass(frozen=True)
class _Explained:
    """Turns what a broken row raises into a ValueError that names the table and the row."""

    path: Path
    row: Mapping[str, Any]

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (KeyError, TypeError, ValueError, IndexError)):
            what = f"no field or other row {error}" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"{self.path}, row {self.row.get('token', '?')!r}: {what}; extract the metadata archive of this release again") from error
