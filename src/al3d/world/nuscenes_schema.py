"""What every release of nuScenes has: its tables and their fields, its sensors, attributes and levels of visibility."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

#: The fields of every table, in the order in which the official files have them.
TABLES: dict[str, tuple[str, ...]] = {
    "attribute": ("token", "name", "description"),
    "calibrated_sensor": ("token", "sensor_token", "translation", "rotation", "camera_intrinsic"),
    "category": ("token", "name", "description", "index"),
    "ego_pose": ("token", "timestamp", "rotation", "translation"),
    "instance": ("token", "category_token", "nbr_annotations", "first_annotation_token", "last_annotation_token"),
    "lidarseg": ("token", "sample_data_token", "filename"),
    "log": ("token", "logfile", "vehicle", "date_captured", "location"),
    "map": ("category", "token", "filename", "log_tokens"),
    "sample": ("token", "timestamp", "prev", "next", "scene_token"),
    "sample_annotation": (
        "token",
        "sample_token",
        "instance_token",
        "visibility_token",
        "attribute_tokens",
        "translation",
        "size",
        "rotation",
        "prev",
        "next",
        "num_lidar_pts",
        "num_radar_pts",
    ),
    "sample_data": (
        "token",
        "sample_token",
        "ego_pose_token",
        "calibrated_sensor_token",
        "timestamp",
        "fileformat",
        "is_key_frame",
        "height",
        "width",
        "filename",
        "prev",
        "next",
    ),
    "scene": ("token", "log_token", "nbr_samples", "first_sample_token", "last_sample_token", "name", "description"),
    "sensor": ("token", "channel", "modality"),
    "visibility": ("description", "token", "level"),
}
SENSORS = {
    "CAM_FRONT": "camera",
    "CAM_BACK": "camera",
    "CAM_BACK_LEFT": "camera",
    "CAM_FRONT_LEFT": "camera",
    "CAM_FRONT_RIGHT": "camera",
    "CAM_BACK_RIGHT": "camera",
    "LIDAR_TOP": "lidar",
    "RADAR_FRONT": "radar",
    "RADAR_FRONT_RIGHT": "radar",
    "RADAR_FRONT_LEFT": "radar",
    "RADAR_BACK_LEFT": "radar",
    "RADAR_BACK_RIGHT": "radar",
}
ATTRIBUTES = {
    "vehicle.moving": "The vehicle is moving.",
    "vehicle.stopped": "The vehicle stands, with a driver.",
    "vehicle.parked": "The vehicle stands and will stay.",
    "cycle.with_rider": "Somebody rides it.",
    "cycle.without_rider": "Nobody rides it.",
    "pedestrian.sitting_lying_down": "The person sits or lies.",
    "pedestrian.standing": "The person stands.",
    "pedestrian.moving": "The person is moving.",
}
VISIBILITIES = {
    "v0-40": "0 to 40 % of the object are visible",
    "v40-60": "40 to 60 % of the object are visible",
    "v60-80": "60 to 80 % of the object are visible",
    "v80-100": "80 to 100 % of the object are visible",
}


def write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows as the official files are: one field or number a line, without indentation, fields in the table's order.

    Raises: ValueError when a row has other fields than the table.
    """
    fields = TABLES[path.stem]
    for row in rows:
        if set(row) != set(fields):
            raise ValueError(f"a row of {path.stem} has the fields {', '.join(row)}, not {', '.join(fields)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([{field: row[field] for field in fields} for row in rows], indent=0), encoding="utf-8")
