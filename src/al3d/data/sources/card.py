"""`dataset.yaml`: what a user's own folder says about its classes, splits, units and camera."""

from __future__ import annotations

import colorsys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from al3d.data.sources.names import checked_id
from al3d.types import IGNORE, ClassTable

LAYOUT = """a data set of your own is a folder like this:
  dataset.yaml
    name: my_rooms
    classes: [floor, wall, chair]        # label 0, 1, 2; or {2: ground, 6: building} for other label values
    ignore_label: 255                    # points of unknown class (optional; a list is fine)
    units: metres                        # or a factor to metres, e.g. 0.001 for millimetres
    intensity: 65535                     # optional: the number that means full intensity, in files of any format
    up: [0, 0, 1]                        # optional, in the file's frame
    splits: {train: [room_1, room_2], val: [room_3]}   # val, which networks are judged on, may be left out where people label (oracle=people)
    sequences: {drive_1: [f_0, f_1]}     # optional: scenes that are the frames of a drive, in order
  scenes/room_1.ply                      # or .las .laz .pcd .npz .bin: x y z, red green blue or intensity, label
  images/room_1.jpg                      # optional
  poses/drive_1.txt                      # with sequences: 12 numbers a frame, row by row the 3x4 pose of the sensor"""
SPLITS = ("train", "val")
LENGTHS = ("voxel", "supervoxel_voxel", "supervoxel_seed", "neighbours")
_KEYS = ("name", "classes", "colors", "ignore_label", "units", "intensity", "splits", "up", "camera", "scale", "sequences")
_CAMERA = ("fx", "fy", "cx", "cy", "width", "height")


@dataclass(frozen=True)
class Card:
    """The checked contents of a `dataset.yaml`; `values[i]` is the file's label value of class i, `by_code` whether the YAML itself names those values."""

    name: str
    classes: ClassTable
    values: tuple[int, ...]
    ignored: tuple[int, ...]
    factor: float
    up: tuple[float, float, float]
    camera: Mapping[str, float] | None
    scale: Mapping[str, float]
    splits: Mapping[str, tuple[str, ...]]
    sequences: Mapping[str, tuple[str, ...]]
    by_code: bool = False
    intensity: float | None = None


def read_card(file: Path) -> Card:
    """Read and check a `dataset.yaml`.

    Raises: FileNotFoundError with the folder searched and the layout; ValueError naming the file and the line or the key.
    """
    if not file.is_file():
        what = "it has no dataset.yaml" if file.parent.is_dir() else "there is no such folder"
        raise FileNotFoundError(f"searched {file.parent.absolute()}: {what}; {LAYOUT}")
    content = _parsed(file)
    _only(file, "", content, _KEYS)
    names, values = _classes(file, content.get("classes"))
    ignored = _ignored(file, content.get("ignore_label", IGNORE), values)
    name = str(content.get("name") or file.parent.absolute().name)
    splits = _splits(file, content.get("splits"))
    return Card(
        checked_id(name, f"{file}: name"),
        ClassTable(names, _colors(file, content.get("colors"), len(names))),
        values,
        ignored,
        _factor(file, content.get("units", "metres")),
        _up(file, content.get("up", [0, 0, 1])),
        _camera(file, content.get("camera")),
        _scale(file, content.get("scale") or {}),
        splits,
        _sequences(file, content.get("sequences") or {}, {scene for ids in splits.values() for scene in ids}),
        isinstance(content.get("classes"), dict),
        _intensity(file, content.get("intensity")),
    )


def default_colors(count: int) -> tuple[tuple[int, int, int], ...]:
    """Distinct colours: hues by the golden ratio, brightness alternating; the first ones do not depend on `count`."""
    shades = [colorsys.hsv_to_rgb(0.6180339887 * index % 1, 0.75, (0.9, 0.65)[index % 2]) for index in range(count)]
    return tuple((round(red * 255), round(green * 255), round(blue * 255)) for red, green, blue in shades)


def _parsed(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}" if mark else "some line"
        raise ValueError(f"{file}: {line} is not YAML ({getattr(error, 'problem', None) or error}): mend it") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: byte {error.start} is not UTF-8 text: save the file as UTF-8") from error
    if content is None or not isinstance(content, dict):
        raise ValueError(f"{file}: holds {'nothing' if content is None else 'no keys'}; {LAYOUT}")
    return content


def _only(file: Path, where: str, content: Any, known: tuple[str, ...]) -> None:
    if not isinstance(content, dict):
        raise ValueError(f"{file}: {where} must be keys and values, got {content!r}: known keys are {', '.join(known)}")
    unknown = [str(key) for key in content if key not in known]
    if unknown:
        raise ValueError(f"{file}: unknown key{'s' * (len(unknown) > 1)} {', '.join(unknown)}{f' in {where}' if where else ''}: known are {', '.join(known)}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _classes(file: Path, content: Any) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Class names in label order, and the label value of each in the scene files."""
    if not isinstance(content, (list, dict)) or not content:
        raise ValueError(f"{file}: classes must be a list of names, or label: name pairs, got {content!r}; {LAYOUT}")
    pairs = sorted(content.items(), key=lambda pair: (str(type(pair[0])), pair[0])) if isinstance(content, dict) else list(enumerate(content))
    for value, name in pairs:
        if not _is_whole(value) or not isinstance(name, str):
            raise ValueError(f"{file}: classes: {value!r}: {name!r} is not a whole number and a name (put a name such as 'yes' or '1' in quotes)")
    names = tuple(name for _, name in pairs)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{file}: classes names {', '.join(twice)} more than once: every class needs its own name")
    return names, tuple(value for value, _ in pairs)


def _ignored(file: Path, content: Any, values: tuple[int, ...]) -> tuple[int, ...]:
    ignored = tuple(content) if isinstance(content, list) else (content,)
    if not all(_is_whole(value) for value in ignored):
        raise ValueError(f"{file}: ignore_label must be a whole number or a list of them, got {content!r}")
    both = sorted(set(ignored) & set(values))
    if both:
        raise ValueError(f"{file}: {both} is both a class and the ignore_label: give classes as label: name pairs that leave it out")
    return ignored


def _colors(file: Path, content: Any, count: int) -> tuple[tuple[int, int, int], ...]:
    if content is None:
        return default_colors(count)
    if not isinstance(content, list) or len(content) != count:
        raise ValueError(f"{file}: colors must list {count} colours, one per class, got {content!r}: leave it out for default colours")
    for color in content:
        if not (isinstance(color, list) and len(color) == 3 and all(_is_whole(part) and 0 <= part <= 255 for part in color)):
            raise ValueError(f"{file}: colors: {color!r} is not [red, green, blue] with whole numbers 0..255")
    return tuple((red, green, blue) for red, green, blue in content)


def _factor(file: Path, content: Any) -> float:
    if content in ("metres", "meters", "m"):
        return 1.0
    if not _is_number(content) or content <= 0:
        raise ValueError(f"{file}: units must be 'metres' or a factor to metres (0.001 for millimetres, 0.3048 for feet), got {content!r}")
    return float(content)


def _intensity(file: Path, content: Any) -> float | None:
    if content is None:
        return None
    if not _is_number(content) or content <= 0:
        raise ValueError(f"{file}: intensity must be the number that means full intensity (1, 255, 65535), got {content!r}")
    return float(content)


def _up(file: Path, content: Any) -> tuple[float, float, float]:
    if not (isinstance(content, list) and len(content) == 3 and all(map(_is_number, content)) and any(content)):
        raise ValueError(f"{file}: up must be three numbers, not all 0, that point away from the floor, got {content!r}")
    return float(content[0]), float(content[1]), float(content[2])


def _camera(file: Path, content: Any) -> Mapping[str, float] | None:
    if content is None:
        return None
    _only(file, "camera", content, _CAMERA)
    broken = [key for key in _CAMERA if not _is_number(content.get(key)) or (key not in ("cx", "cy") and content[key] <= 0)]
    if broken:
        raise ValueError(f"{file}: camera needs {', '.join(_CAMERA)} in pixels; missing or not a positive number: {', '.join(broken)}")
    return dict(content)


def _scale(file: Path, content: Any) -> Mapping[str, float]:
    _only(file, "scale", content, LENGTHS)
    broken = {key: value for key, value in content.items() if not _is_number(value) or value <= 0}
    if broken:
        raise ValueError(f"{file}: scale: {broken} must be positive numbers (metres; neighbours is a count)")
    return dict(content)


def _splits(file: Path, content: Any) -> Mapping[str, tuple[str, ...]]:
    _only(file, "splits", content, SPLITS)
    for split in SPLITS:
        ids = content.get(split, [] if split == "val" else None)
        if not isinstance(ids, list) or not (ids or split == "val"):
            raise ValueError(f"{file}: splits: {split} must list at least one scene, got {ids!r}; {LAYOUT}")
        numbers = [value for value in ids if not isinstance(value, str)]
        if numbers:
            raise ValueError(f"{file}: splits: {split}: {numbers[:5]} must be text: put quotes around such names ('001')")
        for value in ids:
            checked_id(value, f"{file}: splits: {split}: scene")
    listed = {split: content.get(split, []) for split in SPLITS}
    count = Counter([*listed["train"], *listed["val"]])
    twice = sorted(scene for scene, times in count.items() if times > 1)
    if twice:
        raise ValueError(f"{file}: splits: {', '.join(twice)} listed more than once: every scene belongs in one split, once")
    return {split: tuple(sorted(listed[split])) for split in SPLITS}


def _sequences(file: Path, content: Any, scenes: set[str]) -> Mapping[str, tuple[str, ...]]:
    """The frames of each drive, in order; every one is a scene of some split."""
    if not isinstance(content, dict) or not all(isinstance(name, str) and isinstance(ids, list) and ids for name, ids in content.items()):
        raise ValueError(f"{file}: sequences must be names with lists of scenes, such as {{drive_1: [f_0, f_1]}}, got {content!r}")
    for name in content:
        checked_id(name, f"{file}: sequences: name")
    count = Counter(scene for ids in content.values() for scene in ids)
    unknown = [scene for scene in count if scene not in scenes]
    if unknown:
        shown = f"{', '.join(map(repr, unknown[:10]))}{' and others' if len(unknown) > 10 else ''}"
        raise ValueError(f"{file}: sequences: {shown} not in any split: add them there, or take them out here and in the file of poses")
    twice = sorted(scene for scene, times in count.items() if times > 1)
    if twice:
        raise ValueError(f"{file}: sequences: {', '.join(twice[:10])} listed more than once: a frame belongs in one drive, once")
    return {name: tuple(ids) for name, ids in content.items()}
