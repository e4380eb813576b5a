"""Rows of nuScenes' tables for drives: samples, measurements with the vehicle's poses, mounted sensors, and what never changes."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from al3d.data.sources.nuscenes_labels import LIDAR, RAW_NAMES
from al3d.data.sources.nuscenes_tables import inverse
from al3d.rng import generator
from al3d.types import F64, Camera
from al3d.world.nuscenes_schema import ATTRIBUTES, SENSORS, TABLES, VISIBILITIES

Tables = dict[str, list[dict[str, Any]]]

#: Where the scanner sits on the vehicle, in metres from the middle of the rear axle on the ground.
MOUNT = (0.943713, 0.0, 1.84023)
#: The street's sensor frame (x forward, y left) to nuScenes' scanner frame (x right, y forward).
TO_LIDAR = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
LOCATIONS = ("singapore-onenorth", "boston-seaport", "singapore-queenstown", "singapore-hollandvillage")
MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class Measurement:
    """What the tables keep of one sweep or shot: its sensor, when, where (sensor to world f64[4,4]), its file and its camera."""

    channel: str
    time: int
    pose: F64
    file: str
    camera: Camera | None


def token(*key: str | int) -> str:
    """The 32 hexadecimal digits that name a row; equal keys, equal tokens."""
    return hashlib.blake2b("\x1f".join(map(str, ("nuscenes", *key))).encode(), digest_size=16).hexdigest()


def fixed_tables() -> Tables:
    """All tables; those that do not depend on the drives are filled."""
    tables: Tables = {name: [] for name in TABLES}
    tables["sensor"] = [{"token": token("sensor", channel), "channel": channel, "modality": modality} for channel, modality in SENSORS.items()]
    tables["category"] = [{"token": token("category", name), "name": name, "description": name, "index": index} for index, name in enumerate(RAW_NAMES)]
    tables["attribute"] = [{"token": token("attribute", name), "name": name, "description": words} for name, words in ATTRIBUTES.items()]
    tables["visibility"] = [{"description": words, "token": str(number), "level": level} for number, (level, words) in enumerate(VISIBILITIES.items(), 1)]
    return tables


def log_of(scene: str) -> tuple[int, dict[str, Any]]:
    """When a drive starts, in microseconds since 1970, and the row of its log."""
    draw = generator("nuscenes", "log", scene)
    location = LOCATIONS[int(draw.integers(len(LOCATIONS)))]
    vehicle, hours = ("n008", -4) if location.startswith("boston") else ("n015", 8)
    start = int(datetime.datetime(2018, 6, 1, tzinfo=datetime.UTC).timestamp()) + int(draw.integers(150 * 24 * 3600))
    local = datetime.datetime.fromtimestamp(start, datetime.timezone(datetime.timedelta(hours=hours)))
    row = {
        "token": token(scene, "log"),
        "logfile": f"{vehicle}-{local:%Y-%m-%d-%H-%M-%S%z}",
        "vehicle": vehicle,
        "date_captured": f"{local:%Y-%m-%d}",
        "location": location,
    }
    return start * MICROSECONDS, row


def add_frames(scene: str, version: str, frames: Sequence[Sequence[Measurement]], tables: Tables) -> None:
    """Append the rows of samples, measurements, poses, labels and calibrated sensors."""
    mounts = _mounts(scene, frames)
    owners: dict[str, list[int]] = {}
    for number, frame in enumerate(frames):
        for measured in frame:
            owners.setdefault(measured.channel, []).append(number)
    for channel, (mount, camera) in mounts.items():
        intrinsic = [] if camera is None else [[camera.fx, 0.0, camera.cx], [0.0, camera.fy, camera.cy], [0.0, 0.0, 1.0]]
        row = {"token": token(scene, "calibrated", channel), "sensor_token": token("sensor", channel), **_motion(mount), "camera_intrinsic": intrinsic}
        tables["calibrated_sensor"].append(row)
    for number, frame in enumerate(frames):
        neighbours = _linked(scene, range(len(frames)), number)
        tables["sample"].append({"token": token(scene, number), "timestamp": frame[0].time, **neighbours, "scene_token": token(scene)})
        for measured in frame:
            own = token(scene, number, measured.channel)
            vehicle = measured.pose @ inverse(mounts[measured.channel][0])
            camera = measured.camera
            tables["ego_pose"].append({"token": own, "timestamp": measured.time, **_motion(vehicle)})
            tables["sample_data"].append(
                {
                    "token": own,
                    "sample_token": token(scene, number),
                    "ego_pose_token": own,
                    "calibrated_sensor_token": token(scene, "calibrated", measured.channel),
                    "timestamp": measured.time,
                    "fileformat": "pcd" if camera is None else "jpg",
                    "is_key_frame": True,
                    "height": 0 if camera is None else camera.height,
                    "width": 0 if camera is None else camera.width,
                    "filename": measured.file,
                    **_linked(scene, owners[measured.channel], number, measured.channel),
                }
            )
            if measured.channel == LIDAR:
                tables["lidarseg"].append({"token": own, "sample_data_token": own, "filename": f"lidarseg/{version}/{own}_lidarseg.bin"})


def _linked(scene: str, numbers: Sequence[int], number: int, *channel: str) -> dict[str, str]:
    """The tokens before and after `number` among the `numbers` of a drive; empty at its ends."""
    place = numbers.index(number)
    before, after = numbers[max(place - 1, 0) : place], numbers[place + 1 : place + 2]
    return {key: token(scene, found[0], *channel) if found else "" for key, found in (("prev", before), ("next", after))}


def _mounts(scene: str, frames: Sequence[Sequence[Measurement]]) -> dict[str, tuple[F64, Camera | None]]:
    """Sensor to vehicle f64[4,4] of every sensor, from its first measurement, and its lens.

    The vehicle is taken to move evenly between the first two sweeps; later poses are such that every measurement is where it was.
    Raises: ValueError when a camera changes its lens or picture size.
    """
    lidar = np.eye(4)
    lidar[:3, 3] = MOUNT
    mounts: dict[str, tuple[F64, Camera | None]] = {LIDAR: (lidar @ TO_LIDAR.T, None)}
    for frame in frames:
        for measured in frame[1:]:
            camera = measured.camera
            _, known = mounts.get(measured.channel, (None, None))
            if known is None:
                vehicle = _moved(frames, frame[0], measured.time) @ inverse(mounts[LIDAR][0])
                mounts[measured.channel] = inverse(vehicle) @ measured.pose, camera
            elif camera is not None and _lens(known) != _lens(camera):
                raise ValueError(f"{scene}: {measured.channel} has the lens {_lens(camera)} after {_lens(known)}: one drive needs one lens per camera")
    return mounts


def _moved(frames: Sequence[Sequence[Measurement]], now: Measurement, time: int) -> F64:
    """Where the scanner is at `time`, at the speed between the first two sweeps."""
    pose = now.pose.copy()
    if len(frames) > 1:
        first, second = frames[0][0], frames[1][0]
        pose[:3, 3] += (second.pose[:3, 3] - first.pose[:3, 3]) * (time - now.time) / (second.time - first.time)
    return pose


def _lens(camera: Camera) -> tuple[float, ...]:
    return camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height


def _motion(pose: F64) -> dict[str, list[float]]:
    """Translation and quaternion w x y z of a rigid motion f64[4,4]."""
    from scipy.spatial.transform import Rotation

    x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat().tolist()
    return {"translation": pose[:3, 3].tolist(), "rotation": [w, x, y, z]}
