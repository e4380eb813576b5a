"""S3DIS as ReDAL's preparation leaves it: one NumPy file per room and kind."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from al3d.data.sources.common import Coloured
from al3d.data.sources.s3dis import CLASSES, area_and_room, check_splits, default_splits, local, published_rooms
from al3d.types import F32, F64, I32, IGNORE, U8, Array, ClassTable, Scene

#: Raised when the same files give other points or labels.
VERSION = 1
HOW_TO_GET = "name the folder that holds Area_1/coords, Area_1/rgb, Area_1/labels and so on, as ReDAL's preparation of S3DIS writes it, or use dataset=s3dis"
#: Label values that mean "unknown".
UNKNOWN = (-100, IGNORE)
#: Numbers per point that may lie beside the points, each a folder, and their names in `Scene.extra`.
EXTRAS = {"boundary": "surface_variation", "colorgrad": "colour_discontinuity"}
_NEEDED = ("coords", "rgb", "labels")


@dataclass(frozen=True)
class S3DISProcessed(Coloured):
    """The layout `Area_k/{coords,rgb,labels}/room.npy`, optionally with `supervoxel`, `boundary` and `colorgrad`; ids are `Area_k#room`.

    Any float coordinates and any number type for colours 0..255 and labels are accepted and cast (D-34). Points keep the files' order, which
    came from the file system of whoever prepared them (D-27). `Scene.xyz` is relative to `origin`, the floor (whole metres) of the room's
    minimum; `Scene.extra` holds `surface_variation` and `colour_discontinuity` where `boundary` and `colorgrad` are there.
    Raises: ValueError when an area is in two splits, or a split has none.
    Source: ReDAL (Wu et al., ICCV 2021), s3dis_data_preparation; room counts: D-59.
    """

    root: str | Path
    splits: Mapping[str, Sequence[int]] = field(default_factory=default_splits)
    name: str = "s3dis_processed"

    def __post_init__(self) -> None:
        check_splits(self.splits)

    @property
    def classes(self) -> ClassTable:
        """The 13 classes of S3DIS."""
        return CLASSES

    @property
    def published(self) -> Mapping[str, int]:
        """The rooms of each split in the aligned version 1.2, for splits by whole areas."""
        return published_rooms(self.splits)

    def scenes(self, split: str) -> tuple[str, ...]:
        """The rooms of `split` that have coordinates, sorted.

        Raises: ValueError for an unknown split; FileNotFoundError when the root, or every room of the split, is missing.
        """
        if split not in self.splits:
            raise ValueError(f"{self.name} has no split {split!r}: choose one of {sorted(self.splits)}")
        root = self._root()
        areas = [f"Area_{area}" for area in self.splits[split]]
        rooms = sorted(f"{area}#{path.stem}" for area in areas for path in (root / area / "coords").glob("*.npy") if not path.name.startswith("."))
        if not rooms:
            raise FileNotFoundError(
                f"no room of split {split!r}: nothing like {root / areas[0] / 'coords' / 'office_1.npy'} in {', '.join(areas)}: {HOW_TO_GET}"
            )
        return tuple(rooms)

    def read(self, scene_id: str) -> tuple[Scene, U8]:
        """The room's points, colours 0..1 and labels u8[N] (IGNORE for -100 and 255).

        Raises: FileNotFoundError naming the file that is not there; ValueError naming the file, the value and the point.
        """
        world = np.asarray(self._load(scene_id, "coords", 3, None), dtype=np.float64)
        count = len(world)
        if count == 0:
            raise ValueError(f"{self._file(scene_id, 'coords')}: has no points: prepare the room again, or remove its files")
        broken = np.flatnonzero(~np.isfinite(world).all(axis=1))
        if len(broken):
            raise ValueError(
                f"{self._file(scene_id, 'coords')}: point {broken[0]} is at {world[broken[0]].tolist()} ({len(broken)} such points): prepare the room again"
            )
        xyz, origin = local(world)
        feat = self._colours(scene_id, count)
        labels = self._labels(scene_id, count)
        extra = {name: self._extra(scene_id, folder, count) for folder, name in EXTRAS.items() if self._file(scene_id, folder).is_file()}
        return Scene(id=scene_id, xyz=xyz, feat=feat, origin=origin, extra=extra), labels

    def regions(self, scene_id: str) -> I32:
        """The room's published regions i32[N], dense from 0 in the order of the file's numbers; -1 for the file's 0, "none".

        Raises: FileNotFoundError without `supervoxel/room.npy`; ValueError for another shape, or numbers that are not whole and positive.
        """
        file = self._file(scene_id, "supervoxel")
        ids = self._load(scene_id, "supervoxel", 1, len(self._load(scene_id, "coords", 3, None)))[:, 0]
        if (ids < 0).any() or (ids != np.rint(ids)).any():
            raise ValueError(f"{file}: has region {ids[(ids < 0) | (ids != np.rint(ids))][0]}: regions count from 1, with 0 for none; divide the room again")
        found, dense = np.unique(ids, return_inverse=True)
        return np.asarray(dense - (found[0] == 0) * 1, dtype=np.int32)

    def fingerprint(self) -> str:
        """A hash of the needed files' names, sizes and times, of the splits, and of how files are read."""
        root = self._root()
        digest = hashlib.blake2b(digest_size=16)
        digest.update(json.dumps([VERSION, {split: sorted(map(int, areas)) for split, areas in self.splits.items()}], sort_keys=True).encode())
        areas = sorted({int(area) for areas in self.splits.values() for area in areas})
        for path in sorted(path for area in areas for kind in (*_NEEDED, *EXTRAS) for path in (root / f"Area_{area}" / kind).glob("*.npy")):
            status = path.stat()
            digest.update(f"{path.relative_to(root).as_posix()}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def _root(self) -> Path:
        root = Path(self.root).expanduser()
        if not root.is_dir():
            raise FileNotFoundError(f"{self.name}: no folder at {root.absolute()}: {HOW_TO_GET}")
        return root

    def _file(self, scene_id: str, kind: str) -> Path:
        area, room = area_and_room(scene_id, self.name)
        return self._root() / area / kind / f"{room}.npy"

    def _load(self, scene_id: str, kind: str, columns: int, count: int | None) -> Array:
        """The file's numbers [N, columns]; a single column may also be stored as [N]."""
        file = self._file(scene_id, kind)
        if not file.is_file():
            raise FileNotFoundError(f"scene {scene_id!r}: no file at {file.absolute()}: {HOW_TO_GET}")
        try:
            array: Array = np.load(file, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError, OverflowError) as error:
            raise ValueError(f"{file}: is not a readable NumPy file of plain numbers ({error}): copy it again, or prepare the room again") from error
        shape = (len(array) if array.ndim and count is None else count, columns)
        if array.ndim == 1 and columns == 1:
            array = array[:, None]
        if array.dtype.kind not in "fiub" or array.shape != shape:
            wanted = f"[{'N' if count is None else count},{columns}]"
            raise ValueError(f"{file}: holds {array.dtype} {list(array.shape)} where numbers {wanted} belong: prepare the room again")
        return array

    def _colours(self, scene_id: str, count: int) -> F32:
        values = self._load(scene_id, "rgb", 3, count)
        low, high = values.min(), values.max()
        if not (low >= 0 and high <= 255):
            raise ValueError(f"{self._file(scene_id, 'rgb')}: colours range from {low} to {high}, but must be 0..255: prepare the room again")
        if values.dtype.kind == "f" and 0 < high <= 1:
            raise ValueError(f"{self._file(scene_id, 'rgb')}: colours are fractions up to {high:g}, but must be 0..255: multiply them by 255")
        return (values / np.float32(255)).astype(np.float32)

    def _labels(self, scene_id: str, count: int) -> U8:
        values = self._load(scene_id, "labels", 1, count)[:, 0]
        unknown = np.isin(values, UNKNOWN)
        strange = ~unknown & ~((values >= 0) & (values < len(CLASSES)) & (values == np.rint(values)))
        if strange.any():
            found = np.unique(values[strange])[:10].tolist()
            known = f"neither classes 0..{len(CLASSES) - 1} nor {UNKNOWN}"
            raise ValueError(f"{self._file(scene_id, 'labels')}: {int(strange.sum())} points have labels {found}, {known}: prepare the room again")
        return np.where(unknown, IGNORE, values).astype(np.uint8)

    def _extra(self, scene_id: str, kind: str, count: int) -> F32:
        values: F64 = np.asarray(self._load(scene_id, kind, 1, count)[:, 0], dtype=np.float64)
        if not np.isfinite(values).all():
            raise ValueError(
                f"{self._file(scene_id, kind)}: point {int(np.flatnonzero(~np.isfinite(values))[0])} is not finite: compute the file again, or remove it"
            )
        return values.astype(np.float32)
