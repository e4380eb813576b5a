"""The names of nuScenes: raw label ids and the classes they become, sensors, and which scenes belong to which split."""

from __future__ import annotations

import numpy as np

from al3d.types import IGNORE, U8, ClassTable

#: The classes of the lidar segmentation challenge, in label order, with the colours of nuScenes' own pictures.
CLASSES = ClassTable(
    names=(
        "barrier",
        "bicycle",
        "bus",
        "car",
        "construction_vehicle",
        "motorcycle",
        "pedestrian",
        "traffic_cone",
        "trailer",
        "truck",
        "driveable_surface",
        "other_flat",
        "sidewalk",
        "terrain",
        "manmade",
        "vegetation",
    ),
    colors=(
        (112, 128, 144),
        (220, 20, 60),
        (255, 127, 80),
        (255, 158, 0),
        (233, 150, 70),
        (255, 61, 99),
        (0, 0, 230),
        (47, 79, 79),
        (255, 140, 0),
        (255, 99, 71),
        (0, 207, 191),
        (175, 0, 75),
        (75, 0, 75),
        (112, 180, 60),
        (222, 184, 135),
        (0, 175, 0),
    ),
)

#: The class (None: ignored) of every raw label; the position of a name is its id in the label files and its `index` in category.json.
RAW_CLASSES: dict[str, str | None] = {
    "noise": None,
    "animal": None,
    "human.pedestrian.adult": "pedestrian",
    "human.pedestrian.child": "pedestrian",
    "human.pedestrian.construction_worker": "pedestrian",
    "human.pedestrian.personal_mobility": None,
    "human.pedestrian.police_officer": "pedestrian",
    "human.pedestrian.stroller": None,
    "human.pedestrian.wheelchair": None,
    "movable_object.barrier": "barrier",
    "movable_object.debris": None,
    "movable_object.pushable_pullable": None,
    "movable_object.trafficcone": "traffic_cone",
    "static_object.bicycle_rack": None,
    "vehicle.bicycle": "bicycle",
    "vehicle.bus.bendy": "bus",
    "vehicle.bus.rigid": "bus",
    "vehicle.car": "car",
    "vehicle.construction": "construction_vehicle",
    "vehicle.emergency.ambulance": None,
    "vehicle.emergency.police": None,
    "vehicle.motorcycle": "motorcycle",
    "vehicle.trailer": "trailer",
    "vehicle.truck": "truck",
    "flat.driveable_surface": "driveable_surface",
    "flat.other": "other_flat",
    "flat.sidewalk": "sidewalk",
    "flat.terrain": "terrain",
    "static.manmade": "manmade",
    "static.other": None,
    "static.vegetation": "vegetation",
    "vehicle.ego": None,
}
RAW_NAMES = tuple(RAW_CLASSES)

LIDAR = "LIDAR_TOP"
CAMERAS = ("CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_BACK_RIGHT", "CAM_BACK", "CAM_BACK_LEFT", "CAM_FRONT_LEFT")

#: Key frames of the complete releases, per split.
PUBLISHED = {
    "v1.0-trainval": {"train": 28130, "val": 6019},
    "v1.0-mini": {"train": 323, "val": 81},
    "v1.0-test": {"test": 6008},
}
_MINI_TRAIN = (61, 553, 655, 757, 796, 1077, 1094, 1100)
_MINI_VAL = (103, 916)
#: The scenes of the official validation split; the other 700 of the 850 are for training.
_VAL = (
    "3 12-18 35-36 38-39 92-110 221 268-278 329-332 344-346 519-524 552-565 625-627 629-630 632-638 770-771 775 777-778 780-784 "
    "794-800 802 904-917 919-931 962-963 966-969 971-972 1059-1073"
)


def lookup() -> U8:
    """Raw id -> class u8[32]; IGNORE for what the challenge does not score."""
    return np.array([IGNORE if name is None else CLASSES.names.index(name) for name in RAW_CLASSES.values()], np.uint8)


def scene_name(number: int) -> str:
    """A number as nuScenes writes it: `scene-0061`."""
    return f"scene-{number:04d}"


def val_scenes() -> frozenset[str]:
    """The 150 scenes of the official validation split."""
    ranges = [[int(end) for end in part.split("-")] for part in _VAL.split()]
    return frozenset(scene_name(number) for ends in ranges for number in range(ends[0], ends[-1] + 1))


def split_of(version: str, scene: str) -> str | None:
    """The split of a scene in a release; None for a scene that the mini release does not have."""
    if version == "v1.0-test":
        return "test"
    if version == "v1.0-trainval":
        return "val" if scene in val_scenes() else "train"
    mini = {scene_name(number): "train" for number in _MINI_TRAIN} | {scene_name(number): "val" for number in _MINI_VAL}
    return mini.get(scene)
