"""The numbers in SemanticKITTI's label files: what they are called, and which class they become."""

from __future__ import annotations

from collections.abc import Mapping

from al3d.types import IGNORE, ClassTable

#: The classes of the single-scan benchmark, in label order, with the colours of its videos.
CLASSES = ClassTable(
    names=(
        "car",
        "bicycle",
        "motorcycle",
        "truck",
        "other-vehicle",
        "person",
        "bicyclist",
        "motorcyclist",
        "road",
        "parking",
        "sidewalk",
        "other-ground",
        "building",
        "fence",
        "vegetation",
        "trunk",
        "terrain",
        "pole",
        "traffic-sign",
    ),
    colors=(
        (100, 150, 245),
        (100, 230, 245),
        (30, 60, 150),
        (80, 30, 180),
        (0, 0, 255),
        (255, 30, 30),
        (255, 40, 200),
        (150, 30, 90),
        (255, 0, 255),
        (255, 150, 255),
        (75, 0, 75),
        (175, 0, 75),
        (255, 200, 0),
        (255, 120, 50),
        (0, 175, 0),
        (135, 60, 0),
        (150, 240, 80),
        (255, 240, 150),
        (255, 0, 0),
    ),
)

#: The names of the raw ids: all that the official label files hold in their low 16 bits.
RAW_NAMES: Mapping[int, str] = {
    0: "unlabeled",
    1: "outlier",
    10: "car",
    11: "bicycle",
    13: "bus",
    15: "motorcycle",
    16: "on-rails",
    18: "truck",
    20: "other-vehicle",
    30: "person",
    31: "bicyclist",
    32: "motorcyclist",
    40: "road",
    44: "parking",
    48: "sidewalk",
    49: "other-ground",
    50: "building",
    51: "fence",
    52: "other-structure",
    60: "lane-marking",
    70: "vegetation",
    71: "trunk",
    72: "terrain",
    80: "pole",
    81: "traffic-sign",
    99: "other-object",
    252: "moving-car",
    253: "moving-bicyclist",
    254: "moving-person",
    255: "moving-motorcyclist",
    256: "moving-on-rails",
    257: "moving-bus",
    258: "moving-truck",
    259: "moving-other-vehicle",
}
#: What has no class of its own name: counted with another class (official table), or not at all.
_OFFICIAL = {"bus": "other-vehicle", "on-rails": "other-vehicle", "lane-marking": "road"}


def _table(aliases: Mapping[str, str]) -> dict[int, int]:
    """Raw id -> class: moving things with their standing kind, then by `aliases`, IGNORE where no class has the name."""
    still = {raw: name.removeprefix("moving-") for raw, name in RAW_NAMES.items()}
    names = {raw: aliases.get(name, name) for raw, name in still.items()}
    return {raw: CLASSES.names.index(name) if name in CLASSES.names else IGNORE for raw, name in names.items()}


#: Raw id -> class 0..18 or IGNORE, per label map. "lidal" leaves buses, rail vehicles and lane markings out (docs/fidelity.md D-37).
TABLES: Mapping[str, Mapping[int, int]] = {"official": _table(_OFFICIAL), "lidal": _table({})}
