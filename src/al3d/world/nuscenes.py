"""Drives written in the raw layout of nuScenes-lidarseg: sweeps, labels, pictures and all tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from al3d.data.sources.nuscenes_labels import CAMERAS, LIDAR, RAW_NAMES, scene_name, split_of
from al3d.files import whole_folder
from al3d.types import U8
from al3d.world.nuscenes_rows import LOCATIONS, MICROSECONDS, TO_LIDAR, Measurement, Tables, add_frames, fixed_tables, log_of, token
from al3d.world.nuscenes_schema import write_table
from al3d.world.sweep import CATEGORIES, Sweep

#: Raised whenever the same drives give other files.
VERSION = 1
#: The raw label of every category of the street.
RAW_OF = {
    "noise": "noise",
    "car": "vehicle.car",
    "bicycle": "vehicle.bicycle",
    "motorcycle": "vehicle.motorcycle",
    "truck": "vehicle.truck",
    "bus": "vehicle.bus.rigid",
    "trailer": "vehicle.trailer",
    "construction-vehicle": "vehicle.construction",
    "other-vehicle": "vehicle.emergency.ambulance",
    "person": "human.pedestrian.adult",
    # a vehicle's points include its rider's
    "bicyclist": "vehicle.bicycle",
    "motorcyclist": "vehicle.motorcycle",
    "road": "flat.driveable_surface",
    "lane-marking": "flat.driveable_surface",
    "parking": "flat.driveable_surface",
    "sidewalk": "flat.sidewalk",
    "other-ground": "flat.other",
    "terrain": "flat.terrain",
    "building": "static.manmade",
    "fence": "static.manmade",
    "barrier": "movable_object.barrier",
    "vegetation": "static.vegetation",
    "trunk": "static.vegetation",
    "pole": "static.manmade",
    "traffic-sign": "static.manmade",
    "traffic-cone": "movable_object.trafficcone",
    "other-object": "static.other",
}
RELEASES = ("v1.0-mini", "v1.0-trainval")


def scene_names(train: int, val: int, version: str = "v1.0-mini") -> tuple[str, ...]:
    """Names of drives that belong to the official splits of `version`: first `train` training drives, then `val` validation drives.

    Raises: ValueError when the release has fewer.
    """
    names = [scene_name(number) for number in range(1, 1111)]
    chosen: list[str] = []
    for split, count in (("train", train), ("val", val)):
        fitting = [name for name in names if split_of(version, name) == split]
        if count > len(fitting):
            raise ValueError(f"{version} has {len(fitting)} {split} drives, not {count}: ask for fewer, or for v1.0-trainval")
        chosen += fitting[:count]
    return tuple(chosen)


def write_nuscenes(root: Path, drives: Mapping[str, Iterable[Sweep]], version: str = "v1.0-mini") -> None:
    """Write `drives` (name such as `scene-0061` -> its sweeps in time order) under `root`, all of them or none.

    Every sweep becomes a key frame, every shot a JPEG of it; sweeps are taken one by one, so an iterator needs no memory. Points keep their
    order. In real files that is some 1084 columns, clockwise (seen from above) from the left, each with beams 0 (lowest) to 31; a beam
    without an echo is a point where the scanner was then, and the time of a sweep is its end. Annotation boxes, radar and in-between sweeps are left out.
    Raises: ValueError for another version, a name that the release does not have, no sweeps, times that do not increase, an
    unknown or changing camera; FileExistsError when `root` holds something already.
    Source: the published schema of nuScenes v1.0 and lidarseg.
    """
    if version not in RELEASES:
        raise ValueError(f"version={version!r}: choose one of {', '.join(RELEASES)}")
    strange = [name for name in drives if not re.fullmatch(r"scene-\d{4}", name) or split_of(version, name) is None]
    if strange or not drives:
        raise ValueError(f"{', '.join(strange) or 'no drives'}: {version} needs names such as {', '.join(scene_names(2, 1, version))} (see scene_names)")
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FileExistsError(f"{root} holds something already: name a new folder, or delete this one first")
    with whole_folder(root) as folder:
        for name in (LIDAR, *CAMERAS):
            (folder / "samples" / name).mkdir(parents=True)
            (folder / "sweeps" / name).mkdir(parents=True)
        (folder / "lidarseg" / version).mkdir(parents=True)
        tables = fixed_tables()
        for name, sweeps in drives.items():
            _write_drive(folder, version, name, sweeps, tables)
        _add_maps(folder, tables)
        for table, rows in tables.items():
            write_table(folder / version / f"{table}.json", rows)


def raw_labels(category: U8) -> U8:
    """Raw label ids u8[N] of category numbers u8[N]."""
    table = np.array([RAW_NAMES.index(RAW_OF[name]) for name in CATEGORIES], np.uint8)
    return np.asarray(table[category])


def _write_drive(folder: Path, version: str, scene: str, sweeps: Iterable[Sweep], tables: Tables) -> None:
    """Write the blobs of one drive and append its rows."""
    start, log = log_of(scene)
    frames: list[list[Measurement]] = []
    for number, sweep in enumerate(sweeps):
        frame = [_measured(sweep, start, log["logfile"]), *(_shots(sweep, start, log["logfile"]))]
        if frames and frame[0].time <= frames[-1][0].time:
            raise ValueError(f"{scene}: sweep {number} is not later than the one before: {sweep.time} s")
        _write_points(folder / frame[0].file, sweep)
        raw_labels(sweep.category).tofile(folder / "lidarseg" / version / f"{token(scene, number, LIDAR)}_lidarseg.bin")
        for shot, measured in zip(sweep.shots, frame[1:], strict=True):
            _write_picture(folder / measured.file, shot.image)
        frames.append(frame)
    if not frames:
        raise ValueError(f"{scene} has no sweeps: give it one, or leave it out")
    tables["log"].append(log)
    tables["scene"].append(
        {
            "token": token(scene),
            "log_token": log["token"],
            "nbr_samples": len(frames),
            "first_sample_token": token(scene, 0),
            "last_sample_token": token(scene, len(frames) - 1),
            "name": scene,
            "description": "Procedural street",
        }
    )
    add_frames(scene, version, frames, tables)


def _measured(sweep: Sweep, start: int, log: str) -> Measurement:
    time = start + round(sweep.time * MICROSECONDS)
    return Measurement(LIDAR, time, sweep.pose @ TO_LIDAR.T, f"samples/{LIDAR}/{log}__{LIDAR}__{time}.pcd.bin", None)


def _shots(sweep: Sweep, start: int, log: str) -> list[Measurement]:
    names = [shot.name for shot in sweep.shots]
    if len(set(names)) < len(names) or set(names) - set(CAMERAS):
        raise ValueError(f"shots {', '.join(names)}: a sweep has at most one of each of {', '.join(CAMERAS)}")
    times = [start + round(shot.time * MICROSECONDS) for shot in sweep.shots]
    return [
        Measurement(shot.name, time, sweep.pose @ shot.camera.pose, f"samples/{shot.name}/{log}__{shot.name}__{time}.jpg", shot.camera)
        for shot, time in zip(sweep.shots, times, strict=True)
    ]


def _write_points(path: Path, sweep: Sweep) -> None:
    x, y, z = sweep.xyz.T
    intensity = np.rint(np.clip(sweep.intensity, 0, 1) * 255)
    np.stack([-y, x, z, intensity, sweep.ring], axis=1).astype("<f4").tofile(path)


def _write_picture(path: Path, image: U8) -> None:
    from PIL import Image as Picture

    Picture.fromarray(image).save(path, quality=90)


def _add_maps(folder: Path, tables: Tables) -> None:
    """One empty map for each city that was driven in."""
    (folder / "maps").mkdir()
    for location in LOCATIONS:
        logs = [log["token"] for log in tables["log"] if log["location"] == location]
        if logs:
            own = token("map", location)
            _write_picture(folder / "maps" / f"{own}.png", np.zeros((1, 1), np.uint8))
            tables["map"].append({"category": "semantic_prior", "token": own, "filename": f"maps/{own}.png", "log_tokens": logs})
