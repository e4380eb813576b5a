"""Pictures of what a round bought: the scene in grey, the bought points in the colours of their classes."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image

from al3d.files import read_json, whole_folder, write_json
from al3d.report.drawing import draw
from al3d.types import U8, Bool, ClassTable, Scene

#: Of more touched scenes than this, evenly spaced ones are looked at: counting the points of each would take minutes.
SCENES_COUNTED = 400
#: Part of the key of saved pictures; another number draws them again.
VERSION = 1

#: The labels u8[N] of the points asked for (IGNORE elsewhere); only ever called for bought points.
Answer = Callable[[str, Bool], U8]


class Store(Protocol):
    """What a report needs of the prepared data."""

    @property
    def classes(self) -> ClassTable: ...
    def scene(self, scene_id: str, /) -> Scene: ...


class Labels(Protocol):
    """What a report needs of the log of purchases."""

    def bought(self, scene_id: str, round_index: int, /) -> Bool: ...
    def scenes(self, round_index: int, /) -> tuple[str, ...]: ...


class Picture(NamedTuple):
    """A scene, its picture as PNG, and how many of its points the round bought."""

    scene: str
    png: bytes
    points: int


def bought_pictures(store: Store, labels: Labels, round_index: int, answer: Answer, limit: int = 3, width: int = 640, height: int = 480) -> list[Picture]:
    """Draw the scenes in which the round bought most points, most first; equal ones by their id.

    Looks at no label but the answers for bought points.
    """
    touched = labels.scenes(round_index)
    looked_at = [touched[at] for at in np.unique(np.linspace(0, len(touched) - 1, min(len(touched), SCENES_COUNTED)).astype(int))] if touched else []
    counted = sorted((-int(np.count_nonzero(labels.bought(scene_id, round_index))), scene_id) for scene_id in looked_at)
    return [_picture(store, labels, scene_id, round_index, answer, (width, height)) for count, scene_id in counted[:limit] if count]


def saved_pictures(run: Path, store: Store, labels: Labels, round_index: int, answer: Answer, limit: int = 3) -> list[Picture]:
    """`bought_pictures`, kept as `pictures/round-RR/<scene>.png`; drawn again only when the round's purchase, or what people said, is another."""
    folder = run / "pictures" / f"round-{round_index:02d}"
    said = sorted((run / "answers").glob("frozen-*.json"))[-1:]  # the answers of people come after the purchase
    content = b"".join(file.read_bytes() for file in [run / f"labels-{round_index:02d}" / "purchase.json", *said])
    key = hashlib.sha256(content + f"{VERSION} {limit}".encode()).hexdigest()
    index = folder / "pictures.json"
    if index.is_file() and (kept := read_json(index))["key"] == key:
        return [Picture(item["scene"], (folder / item["file"]).read_bytes(), item["points"]) for item in kept["pictures"]]
    pictures = bought_pictures(store, labels, round_index, answer, limit)
    files = _file_names([picture.scene for picture in pictures])
    with whole_folder(folder) as temporary:
        for picture, file in zip(pictures, files, strict=True):
            (temporary / file).write_bytes(picture.png)
        items = [{"scene": picture.scene, "file": file, "points": picture.points} for picture, file in zip(pictures, files, strict=True)]
        write_json(temporary / index.name, {"key": key, "pictures": items})
    return pictures


def _picture(store: Store, labels: Labels, scene_id: str, round_index: int, answer: Answer, size: tuple[int, int]) -> Picture:
    scene, bought = store.scene(scene_id), labels.bought(scene_id, round_index)
    image = draw(scene, bought, answer(scene_id, bought), store.classes, *size)
    return Picture(scene_id, _png(image), int(np.count_nonzero(bought)))


def _png(image: U8) -> bytes:
    """A PNG with 256 colours: a third of the size, and no difference to the eye on a mostly grey picture."""
    buffer = io.BytesIO()
    Image.fromarray(image).quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _file_names(scenes: Sequence[str]) -> list[str]:
    """A file name per scene id; ids that differ only in characters a file name cannot hold get a number."""
    names: list[str] = []
    for scene in scenes:
        plain = re.sub(r"[^\w.-]+", "_", scene).strip(".") or "scene"
        name, number = f"{plain}.png", 2
        while name in names:
            name, number = f"{plain}_{number}.png", number + 1
        names.append(name)
    return names
