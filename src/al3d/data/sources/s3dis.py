"""S3DIS: rooms of six office areas, read from the official raw text files."""

from __future__ import annotations

import filecmp
import hashlib
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np

from al3d.data.sources.common import Coloured
from al3d.data.sources.s3dis_images import listing, room_images
from al3d.types import F32, F64, U8, ClassTable, Scene

CLASSES = ClassTable(
    names=("ceiling", "floor", "wall", "beam", "column", "window", "door", "chair", "table", "bookcase", "sofa", "board", "clutter"),
    colors=(
        (0, 255, 0),
        (0, 0, 255),
        (0, 255, 255),
        (255, 255, 0),
        (255, 0, 255),
        (100, 100, 255),
        (200, 200, 100),
        (255, 0, 0),
        (170, 120, 200),
        (10, 200, 100),
        (200, 100, 100),
        (200, 200, 200),
        (50, 50, 50),
    ),
)
#: Rooms per area of the complete aligned version 1.2 (docs/fidelity.md D-59).
ROOMS = {1: 44, 2: 40, 3: 23, 4: 49, 5: 68, 6: 48}
#: File-name prefixes that stand for another class.
ALIASES = {"stairs": "clutter"}
#: Raised when the same raw files give other points or labels.
VERSION = 1
HOW_TO_GET = (
    "ask for the Stanford 2D-3D-S / S3DIS data set with its official form, extract 'Stanford3dDataset_v1.2_Aligned_Version' "
    "and name the folder that holds Area_1 to Area_6"
)
_SCENE_ID = re.compile(r"(Area_\d+)#([^/\\#]+)")
_COPY = re.compile(r"(.+?)(?: \(\d+\)| - Copy(?: \(\d+\))?| copy(?: \d+)?)")


def default_splits() -> Mapping[str, Sequence[int]]:
    """Area 5 for validation, the others for training."""
    return {"train": (1, 2, 3, 4, 6), "val": (5,)}


def check_splits(splits: Mapping[str, Sequence[int]]) -> None:
    """Raises: ValueError when an area is in two splits, or a split has none."""
    for split, areas in splits.items():
        if not areas:
            raise ValueError(f"split {split!r} has no areas: give it at least one number, or leave the split out")
    for (first, ours), (second, theirs) in combinations(splits.items(), 2):
        shared = sorted(set(ours) & set(theirs))
        if shared:
            raise ValueError(f"areas {shared} are in both splits {first!r} and {second!r}: leave each in one of them")


def published_rooms(splits: Mapping[str, Sequence[int]]) -> Mapping[str, int]:
    """The rooms of each split in the aligned version 1.2, for splits by whole areas (D-59)."""
    return {split: sum(ROOMS[int(area)] for area in areas) for split, areas in splits.items() if set(map(int, areas)) <= set(ROOMS)}


def area_and_room(scene_id: str, name: str) -> tuple[str, str]:
    """("Area_1", "office_3") of "Area_1#office_3". Raises: ValueError for another form."""
    match = _SCENE_ID.fullmatch(scene_id)
    if match is None:
        raise ValueError(f"{scene_id!r} is not a scene of {name}: ids look like 'Area_1#office_3'")
    return match[1], match[2]


@dataclass(frozen=True)
class S3DIS(Coloured):
    """The raw layout `Area_k/room/Annotations/class_i.txt`, rows `x y z r g b`; scene ids are `Area_k#room`.

    Points come in the order of the sorted file names (D-27). `Scene.xyz` is relative to `origin`, the floor (whole metres) of the
    room's minimum. `splits` gives each split its areas. `images`, a folder of 2D-3D-S, adds up to `frames` pictures per room, spread
    evenly over the room's frames in the order of their names; `aligned` says that `root` holds the aligned version, whose rooms were turned
    (see `s3dis_images`).
    Raises: ValueError when an area is in two splits, or a split has none, or `frames` is not positive.
    Source: Armeni et al., CVPR 2016; class order and train/val areas as every later paper uses them; room counts: D-59.
    """

    root: str | Path
    splits: Mapping[str, Sequence[int]] = field(default_factory=default_splits)
    name: str = "s3dis"
    images: str | Path | None = None
    frames: int = 20
    aligned: bool = True

    def __post_init__(self) -> None:
        check_splits(self.splits)
        if self.frames < 1:
            raise ValueError(f"frames={self.frames}: give at least 1 picture per room, or leave images out")

    @property
    def classes(self) -> ClassTable:
        """The 13 classes in label order, with their usual colours."""
        return CLASSES

    @property
    def published(self) -> Mapping[str, int]:
        """The rooms of each split in the aligned version 1.2, for splits by whole areas."""
        return published_rooms(self.splits)

    def scenes(self, split: str) -> tuple[str, ...]:
        """The rooms of `split`, sorted.

        Raises: ValueError for an unknown split; FileNotFoundError when the root, or every room of the split, is missing.
        """
        if split not in self.splits:
            raise ValueError(f"{self.name} has no split {split!r}: choose one of {sorted(self.splits)}")
        root = self._root()
        areas = [f"Area_{area}" for area in self.splits[split]]
        rooms = sorted(f"{area}#{room}" for area in areas for room in _rooms(root / area))
        if not rooms:
            missing = ", ".join(area for area in areas if not (root / area).is_dir()) or "none, but they hold no room folders"
            raise FileNotFoundError(f"no room of split {split!r} under {root} (missing areas: {missing}): {HOW_TO_GET}")
        return tuple(rooms)

    def read(self, scene_id: str) -> tuple[Scene, U8]:
        """The room's points, colours 0..1 and labels u8[N].

        Raises: FileNotFoundError for a room or pictures that are not there; ValueError naming the file (and line) for an unknown class, a
        coordinate that is not finite, too many unreadable lines, or a room without points.
        """
        from al3d.data.sources.annotations import count_lines, read_rows  # compiled, so slow to import

        folder = self._room(scene_id)
        files = _annotations(folder, scene_id)
        # written in place, since a room's parts and their concatenation together need six times the memory of the result
        most = sum(count_lines(path) for path, _ in files)
        world, colour = np.empty((most, 3)), np.empty((most, 3), dtype=np.float32)
        rows = [0]
        for path, _ in files:
            rows.append(rows[-1] + read_rows(path, f"{scene_id}/{path.name}", world[rows[-1] :], colour[rows[-1] :]))
        if rows[-1] == 0:
            raise ValueError(f"room {scene_id!r} has no points in {folder}/*.txt: extract it from the archive again, or remove its folder")
        xyz, origin = local(world[: rows[-1]])
        del world
        feat = np.divide(colour[: rows[-1]], np.float32(255), out=colour[: rows[-1]])
        pictures = () if self.images is None else room_images(self.images, folder.parent, origin, xyz, self.frames, self.aligned)
        labels = np.repeat(np.array([label for _, label in files], dtype=np.uint8), np.diff(rows))
        return Scene(id=scene_id, xyz=xyz, feat=feat, origin=origin, images=pictures), labels

    def fingerprint(self) -> str:
        """A hash of the annotation files' names, sizes and times, of the splits, of how files are read, and of the pictures' names."""
        root = self._root()
        digest = hashlib.blake2b(digest_size=16)
        digest.update(json.dumps([VERSION, {split: sorted(map(int, areas)) for split, areas in self.splits.items()}], sort_keys=True).encode())
        if self.images is not None:
            digest.update(json.dumps([self.frames, self.aligned, *listing(self.images)]).encode())
        areas = sorted({int(area) for areas in self.splits.values() for area in areas})
        for path in sorted(path for area in areas for path in root.glob(f"Area_{area}/*/Annotations/*.txt")):
            status = path.stat()
            digest.update(f"{path.relative_to(root).as_posix()}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def _root(self) -> Path:
        root = Path(self.root).expanduser()
        if not root.is_dir():
            raise FileNotFoundError(f"{self.name}: no folder at {root.absolute()}: {HOW_TO_GET}")
        return root

    def _room(self, scene_id: str) -> Path:
        area, room = area_and_room(scene_id, self.name)
        folder = self._root() / area / room / "Annotations"
        if not folder.is_dir():
            raise FileNotFoundError(f"scene {scene_id!r}: no folder at {folder.absolute()}: {HOW_TO_GET}")
        return folder


def _rooms(area: Path) -> list[str]:
    """Names of the room folders; hidden folders and loose files (alignment angles) are none."""
    return [path.name for path in area.iterdir() if path.is_dir() and not path.name.startswith(".")] if area.is_dir() else []


def _annotations(folder: Path, scene_id: str) -> list[tuple[Path, int]]:
    """The annotation files with their labels, sorted by name, copies left out."""
    files = sorted((path for path in folder.glob("*.txt") if not path.name.startswith(".")), key=lambda path: path.name)
    copies = {path: original for path in files if (original := _named_original(path)) in files}
    kept: list[Path] = []
    for path in files:
        original = copies.get(path) or _same_bytes(path, kept)
        if original is None:
            kept.append(path)
        else:
            warnings.warn(f"{scene_id}: skipped {path.name!r}, a copy of {original.name!r}", stacklevel=3)
    return [(path, _label(path)) for path in kept]


def _named_original(path: Path) -> Path | None:
    """`wall_3.txt` for `wall_3 (1).txt`; None for a name that is no copy's."""
    match = _COPY.fullmatch(path.stem)
    return None if match is None else path.with_name(f"{match[1]}.txt")


def _same_bytes(path: Path, kept: list[Path]) -> Path | None:
    """The file of the same class among `kept` that holds the same bytes."""
    size = path.stat().st_size
    alike = (other for other in kept if _class_of(other) == _class_of(path) and other.stat().st_size == size > 0)
    return next((other for other in alike if filecmp.cmp(other, path, shallow=False)), None)


def _class_of(path: Path) -> str:
    prefix = path.stem.split("_")[0].strip()
    return ALIASES.get(prefix, prefix)


def _label(path: Path) -> int:
    name = _class_of(path)
    if name not in CLASSES.names:
        raise ValueError(f"{path}: unknown class {name!r}: the file name must start with one of {', '.join(CLASSES.names)} (or {', '.join(ALIASES)}) and '_'")
    return CLASSES.names.index(name)


def local(world: F64) -> tuple[F32, F64]:
    """Points f64[N,3] relative to the floor (whole metres) of their minimum, and that origin f64[3]."""
    origin = np.floor(world.min(axis=0))
    xyz = np.empty(world.shape, dtype=np.float32)
    for axis in range(3):  # column by column, which needs less memory
        np.subtract(world[:, axis], origin[axis], out=xyz[:, axis], casting="same_kind")
    return xyz, origin
