"""Whether a scene is one scan of a street, and where its scanner stood."""

from __future__ import annotations

import numpy as np

from al3d.geometry.thin import trimmed_box
from al3d.types import F64, Scene

#: Metres: a street is longer than this; a scan of a room is drawn as a room.
STREET = 20.0
#: Directions are told apart in cells of so many degrees; in one, a point so many times as far away as the nearest is behind it.
CELL, BEHIND = 0.5, 1.3
#: A scanner sees at most this share of its points behind others (past an edge, through leaves): 0.005 to 0.04 in single scans of KITTI, nuScenes and of
#: generated streets, 0.12 and more in a map of ten frames.
HIDDEN = 0.08


def scanner_place(scene: Scene) -> F64:
    """Where the scanner stood, f64[3] in the scene's frame: its origin for the frame of a drive, else the origin of its file.

    Raises: ValueError when the file's origin lies outside the points: no scanner stood there.
    """
    place = np.zeros(3) if scene.sequence is not None else -np.asarray(scene.origin, np.float64)
    if scene.sequence is None and not _surrounded(scene, place):
        where = (np.round(place, 2) + 0.0).tolist()
        raise ValueError(
            f"scene {scene.id!r}: the origin of its file, {where} in the scene, has no points on all sides, so no scanner stood there: set "
            "views@features.views=room, or name the frames of a drive under `sequences` in dataset.yaml"
        )
    return place


def scanned_around(scene: Scene) -> bool:
    """Whether a LiDAR scanner took this scene from one place.

    Yes for a frame of a drive. Else it must be longer than 20 m, lie around the origin of its file, and look from there like a scan: hardly
    anything behind something else. A merged map, or a room in the building's coordinates, fails one of these.
    """
    if scene.sequence is not None:
        return True
    low, high = trimmed_box(scene.xyz)
    place = -np.asarray(scene.origin, np.float64)
    return bool((high - low)[:2].max() > STREET and _surrounded(scene, place) and _hidden(scene, place) <= HIDDEN)


def _surrounded(scene: Scene, place: F64) -> bool:
    """Whether at least three quarters of 36 sectors around the place hold points."""
    offset = scene.xyz[:: max(1, len(scene) // 200_000), :2].astype(np.float64) - place[:2]
    sector = np.floor(np.degrees(np.arctan2(offset[:, 1], offset[:, 0])) / 10).astype(np.int64) % 36
    filled = np.bincount(sector, minlength=36) > 0
    return bool(filled.sum() >= 27)


def _hidden(scene: Scene, place: F64) -> float:
    """The share of points, of those beyond 2.5 m, that lie `BEHIND` times as far away as the nearest in their cell of directions."""
    offset = scene.xyz.astype(np.float64) - place
    distance = np.linalg.norm(offset, axis=1)
    offset, distance = offset[distance > 2.5], distance[distance > 2.5]
    if not len(distance):
        return 0.0
    azimuth = np.floor(np.degrees(np.arctan2(offset[:, 1], offset[:, 0])) / CELL).astype(np.int64)
    height = np.floor(np.degrees(np.arcsin(np.clip(offset[:, 2] / distance, -1, 1))) / CELL).astype(np.int64)
    _, cell = np.unique(azimuth * 1024 + height, return_inverse=True)
    nearest = np.full(len(distance), np.inf)
    np.minimum.at(nearest, cell, distance)
    return float((distance > BEHIND * nearest[cell]).mean())
