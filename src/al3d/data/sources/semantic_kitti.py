"""SemanticKITTI: drives of a 64-beam scanner with a class per point, read from the official files."""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations
from pathlib import Path

import numpy as np

from al3d.data.sources.common import Scanned
from al3d.data.sources.semantic_kitti_drive import HOW_TO_GET, Lens, drive_of
from al3d.data.sources.semantic_kitti_labels import CLASSES, RAW_NAMES, TABLES
from al3d.types import F32, IGNORE, U8, Camera, ClassTable, Image, Scene

#: Scans of the complete data, per default split.
PUBLISHED = {"train": 19130, "val": 4071, "test": 20351}
#: Raised when the same raw files give other points or labels.
VERSION = 1
_SCENE_ID = re.compile(r"(\d\d)_(\d{6})")
_SCAN = re.compile(r"\d{6}\.bin")
#: Marks raw ids without an entry; no class has this number.
_UNLISTED = IGNORE - 1


def _default_splits() -> Mapping[str, Sequence[int | str]]:
    return {"train": (0, 1, 2, 3, 4, 5, 6, 7, 9, 10), "val": (8,), "test": tuple(range(11, 22))}


@dataclass(frozen=True)
class SemanticKITTI(Scanned):
    """The official layout `sequences/SS/{velodyne,labels,image_2}/FFFFFF.*` with `calib.txt` and `poses.txt`; scene ids are `SS_FFFFFF`.

    `root` is the folder that holds `sequences`, or `dataset/sequences`. `labels` names the label map: "official", or "lidal", which
    ignores bus, on-rails and lane-marking. `splits` gives each split its sequences (numbers); those of a split named "test" need no labels.
    `Scene.xyz` is in the scanner's frame (x forward, y left, z up), `Scene.pose` leads to the scanner's frame at the first scan. Without a
    `poses.txt` the whole sequence has the identity as pose; pictures are optional, and have a camera where `calib.txt` is there.
    Raises: ValueError for an unknown label map, a sequence in two splits, or a split without any.
    Source: Behley et al., ICCV 2019. The "lidal" map is that of SPVNAS and LiDAL, whose code also makes cars of ids outside its
    table; here such ids are an error (docs/fidelity.md D-37).
    """

    root: str | Path
    labels: str = "official"
    splits: Mapping[str, Sequence[int | str]] = field(default_factory=_default_splits)
    name: str = "semantic_kitti"

    def __post_init__(self) -> None:
        if self.labels not in TABLES:
            raise ValueError(f"labels={self.labels!r} is not a label map of SemanticKITTI: choose one of {', '.join(TABLES)}")
        splits = {split: tuple(sorted({f"{int(sequence):02d}" for sequence in sequences})) for split, sequences in self.splits.items()}
        for split, sequences in splits.items():
            if not sequences:
                raise ValueError(f"split {split!r} has no sequences: give it at least one number, or leave the split out")
        for (first, ours), (second, theirs) in combinations(splits.items(), 2):
            shared = sorted(set(ours) & set(theirs))
            if shared:
                raise ValueError(f"sequences {', '.join(shared)} are in both splits {first!r} and {second!r}: leave each in one of them")
        object.__setattr__(self, "splits", splits)

    @property
    def classes(self) -> ClassTable:
        """The 19 classes in label order, with their usual colours."""
        return CLASSES

    @property
    def published(self) -> Mapping[str, int]:
        """The scans of each split, for the usual splits."""
        usual = {split: tuple(f"{int(number):02d}" for number in numbers) for split, numbers in _default_splits().items()}
        return PUBLISHED if self.splits == usual else {}

    def scenes(self, split: str) -> tuple[str, ...]:
        """The scans of `split`, sorted; sequences that are not there are left out with a warning.

        Raises: ValueError for an unknown split; FileNotFoundError when the root, or every sequence of the split, is missing.
        """
        if split not in self.splits:
            raise ValueError(f"{self.name} has no split {split!r}: choose one of {sorted(self.splits)}")
        root = self._sequences()
        scans = {str(sequence): _scans(root / str(sequence) / "velodyne") for sequence in self.splits[split]}
        missing = ", ".join(sequence for sequence, names in scans.items() if not names)
        if not any(scans.values()):
            raise FileNotFoundError(f"{self.name}: no scan of split {split!r} in {root}/SS/velodyne (missing sequences: {missing}): {HOW_TO_GET}")
        if missing:
            warnings.warn(f"{self.name}: split {split!r} goes without sequences {missing}, which {root} does not hold: {HOW_TO_GET}", stacklevel=2)
        return tuple(sorted(f"{sequence}_{name[:6]}" for sequence, names in scans.items() for name in names))

    def read(self, scene_id: str) -> tuple[Scene, U8]:
        """The scan's points, remission and labels u8[N].

        Raises: FileNotFoundError for a missing file; ValueError naming the file for a size that does not fit, points that are not
        finite, raw label ids outside the table, and lines of poses.txt or calib.txt that cannot be read.
        """
        match = _SCENE_ID.fullmatch(scene_id)
        if match is None:
            raise ValueError(f"{scene_id!r} is not a scene of {self.name}: ids look like '08_000123'")
        sequence, frame = match[1], match[2]
        folder = self._sequences() / sequence
        points = _points(folder / "velodyne" / f"{frame}.bin")
        labels = self._labels(folder / "labels" / f"{frame}.label", len(points), sequence)
        drive = drive_of(folder)
        scene = Scene(
            id=scene_id,
            xyz=points[:, :3].copy(),
            feat=points[:, 3:].copy(),
            sequence=sequence,
            frame=int(frame),
            pose=drive.pose(int(frame)),
            images=_images(folder / "image_2" / f"{frame}.png", drive.lens),
        )
        return scene, labels

    def fingerprint(self) -> str:
        """A hash of the files' names, sizes and times, of the splits and the label map, and of how files are read."""
        root = self._sequences()
        digest = hashlib.blake2b(json.dumps([VERSION, self.labels, self.splits], sort_keys=True).encode(), digest_size=16)
        for sequence in sorted({str(sequence) for sequences in self.splits.values() for sequence in sequences}):
            for folder in ("", "velodyne", "labels", "image_2"):
                for name, size, time in sorted(_listed(root / sequence / folder)):
                    digest.update(f"{sequence}/{folder}/{name}\0{size}\0{time}\n".encode())
        return digest.hexdigest()

    def _sequences(self) -> Path:
        """The folder `sequences`."""
        root = Path(self.root).expanduser().absolute()
        found = [path for path in (root / "sequences", root / "dataset" / "sequences") if path.is_dir()]
        if not found:
            raise FileNotFoundError(f"{self.name}: neither sequences nor dataset/sequences in {root}: {HOW_TO_GET}")
        return found[0]

    def _labels(self, path: Path, count: int, sequence: str) -> U8:
        """Classes u8[count]; all IGNORE for a test sequence without a folder of labels."""
        if not path.is_file():
            if sequence in self.splits.get("test", ()) and not path.parent.is_dir():
                return np.full(count, IGNORE, np.uint8)
            raise FileNotFoundError(f"no labels at {path}: {HOW_TO_GET}; sequences without labels belong in the split 'test'")
        raw = np.fromfile(path, "<u4")
        if len(raw) != count or path.stat().st_size != 4 * count:
            raise ValueError(f"{path} has {path.stat().st_size / 4:g} labels for {count} points: extract it again, from the same release as the scans")
        low = (raw & 0xFFFF).astype(np.uint16)
        labels: U8 = _lookup(self.labels)[low]
        if (labels == _UNLISTED).any():
            ids, counts = np.unique(low[labels == _UNLISTED], return_counts=True)
            found = ", ".join(f"{raw_id} ({number} points)" for raw_id, number in zip(ids.tolist(), counts.tolist(), strict=True))
            raise ValueError(f"{path}: raw label ids {found} are not in SemanticKITTI's table: known are {', '.join(map(str, RAW_NAMES))}")
        return labels


def _points(path: Path) -> F32:
    """x, y, z, remission of a scan, f32[N,4]."""
    if not path.is_file():
        raise FileNotFoundError(f"no scan at {path}: {HOW_TO_GET}")
    size = path.stat().st_size
    if size == 0 or size % 16:
        raise ValueError(f"{path} has {size} bytes, which is not a positive multiple of 16 (x, y, z, remission as float32): extract it again")
    points = np.fromfile(path, "<f4").astype(np.float32, copy=False).reshape(-1, 4)
    if not np.isfinite(points).all():
        count = int((~np.isfinite(points).all(axis=1)).sum())
        raise ValueError(f"{path}: {count} of {len(points)} points are not finite, which no official scan has: extract it again")
    return points


def _images(path: Path, lens: Lens | None) -> tuple[Image, ...]:
    """The picture with its camera, if there is one; only its header is read."""
    if not path.is_file():
        return ()
    if lens is None:
        return (Image(path),)
    from PIL import Image as Picture
    from PIL import UnidentifiedImageError

    try:
        with Picture.open(path) as picture:
            width, height = picture.size
    except UnidentifiedImageError as error:
        raise ValueError(f"{path} is not a picture: extract it again, or delete it") from error
    return (Image(path, Camera(lens.fx, lens.fy, lens.cx, lens.cy, width, height, lens.pose.copy())),)


@lru_cache(maxsize=2)
def _lookup(labels: str) -> U8:
    """Raw id -> class for every number of 16 bits, u8[65536]."""
    table = np.full(1 << 16, _UNLISTED, np.uint8)
    for raw, label in TABLES[labels].items():
        table[raw] = label
    return table


def _scans(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if _SCAN.fullmatch(name)] if folder.is_dir() else []


def _listed(folder: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of the files in a folder; of a sequence's own folder only what is read."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        wanted = [entry for entry in entries if entry.name[0] != "." and (entry.name[0].isdigit() or entry.name in ("calib.txt", "poses.txt"))]
        return [(entry.name, status.st_size, status.st_mtime_ns) for entry in wanted if entry.is_file() and (status := entry.stat())]
