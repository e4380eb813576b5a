"""nuScenes-lidarseg: key frames of a 32-beam scanner with a class per point and six pictures, read from the official files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from al3d.data.sources.common import Scanned
from al3d.data.sources.nuscenes_labels import CAMERAS, CLASSES, PUBLISHED, RAW_NAMES, lookup, split_of
from al3d.data.sources.nuscenes_tables import TABLES, KeyFrames, check_categories, read_key_frames
from al3d.types import F32, IGNORE, U8, ClassTable, Image, Scene

#: Raised when the same raw files give other points or labels.
VERSION = 1
INTENSITIES = ("fraction", "raw")
#: Per release: the archives with the tables, the key frames and the labels.
ARCHIVES = {
    "v1.0-trainval": ("v1.0-trainval_meta.tgz", "v1.0-trainval01_keyframes.tgz to v1.0-trainval10_keyframes.tgz", "nuScenes-lidarseg-all-v1.0.tar.bz2"),
    "v1.0-mini": ("v1.0-mini.tgz", "v1.0-mini.tgz", "nuScenes-lidarseg-mini-v1.0.tar.bz2"),
    "v1.0-test": ("v1.0-test_meta.tgz", "v1.0-test_blobs.tgz", ""),
}
#: Bytes of a point: x, y, z, intensity, ring as float32.
POINT_BYTES = 20


@dataclass(frozen=True)
class NuScenes(Scanned):
    """The official layout `<version>/*.json`, `samples/LIDAR_TOP/*.pcd.bin`, `samples/CAM_*/*.jpg`, `lidarseg/<version>/*_lidarseg.bin`.

    Scenes are the key frames of the scanner; ids are `scene-0061_007`, the drive's name and the key frame's number in time order.
    `Scene.xyz` is in the scanner's frame (x right, y forward, z up), `Scene.pose` leads to the map of the drive's city through the vehicle's
    pose. `intensity`: "fraction" divides by 255, "raw" keeps 0..255. `Scene.images` are the six pictures; their cameras are in the
    scanner's frame, the motion of the vehicle between the two moments included; a picture that is not on the disk has no path.
    `version` names the release: "v1.0-trainval" and "v1.0-mini" have the splits train and val, "v1.0-test" has test, without labels.
    Raises: ValueError for another version or intensity.
    Source: Caesar et al., CVPR 2020; Fong et al., RA-L 2022 (lidarseg); class map and splits as the lidar segmentation challenge. LiDAL
    takes scenes by their position in two lists and raw intensities; here the token of a key frame leads to its labels (docs/fidelity.md D-38).
    """

    root: str | Path
    version: str = "v1.0-trainval"
    intensity: str = "fraction"
    name: str = "nuscenes"

    def __post_init__(self) -> None:
        if self.version not in PUBLISHED:
            raise ValueError(f"version={self.version!r} is not a release of nuScenes: choose one of {', '.join(PUBLISHED)}")
        if self.intensity not in INTENSITIES:
            raise ValueError(f"intensity={self.intensity!r}: choose one of {', '.join(INTENSITIES)}")

    @property
    def classes(self) -> ClassTable:
        """The 16 classes in label order, with their usual colours."""
        return CLASSES

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits of the release."""
        return tuple(PUBLISHED[self.version])

    @property
    def published(self) -> Mapping[str, int]:
        """The key frames of each split."""
        return PUBLISHED[self.version]

    def scenes(self, split: str) -> tuple[str, ...]:
        """The key frames of `split`, sorted.

        Raises: ValueError for an unknown split or a broken table; FileNotFoundError naming the archive for missing tables or labels.
        """
        if split not in self.splits:
            raise ValueError(f"{self.name} {self.version} has no split {split!r}: choose one of {', '.join(self.splits)}")
        if split != "test":
            self._label_folder()
        ids = self._frames.ids.tolist()
        drives = {drive for drive in {_drive(scene_id) for scene_id in ids} if split_of(self.version, drive) == split}
        chosen = tuple(scene_id for scene_id in ids if _drive(scene_id) in drives)
        if not chosen:
            raise ValueError(f"{self.name}: no scene of split {split!r} in {self._tables()}/scene.json: is this {self.version}?")
        return chosen

    def read(self, scene_id: str) -> tuple[Scene, U8]:
        """The key frame's points, intensity and labels u8[N]; all IGNORE in "v1.0-test".

        Raises: ValueError for an unknown id, a broken table, a file of a wrong size, raw labels outside the table, or points that are not
        finite; FileNotFoundError naming the archive for a missing file.
        """
        row = self._frames.row(scene_id)
        if row is None:
            raise ValueError(f"{scene_id!r} is not a scene of {self.name} {self.version}: ids look like {str(self._frames.ids[0])!r}")
        points = self._points(self._root() / self._frames.files[row, 0].decode())
        labels = self._labels(self._frames.tokens[row].decode(), len(points))
        divisor = np.float32(255 if self.intensity == "fraction" else 1)
        scene = Scene(
            id=scene_id,
            xyz=np.ascontiguousarray(points[:, :3]),
            feat=points[:, 3:4] / divisor,
            sequence=_drive(scene_id),
            frame=int(scene_id.rsplit("_", 1)[1]),
            pose=self._frames.pose(row),
            images=tuple(self._images(row)),
        )
        return scene, labels

    def fingerprint(self) -> str:
        """A hash of the tables' names, sizes and times, of the label files' names, of the options, and of how files are read."""
        folder = self._tables()
        digest = hashlib.blake2b(json.dumps([VERSION, self.version, self.intensity]).encode(), digest_size=16)
        for path in [folder / f"{name}.json" for name in (*TABLES, "lidarseg")]:
            if path.is_file():
                status = path.stat()
                digest.update(f"{path.name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
        labels = self._root() / "lidarseg" / self.version
        for name in sorted(os.listdir(labels)) if labels.is_dir() else ():
            digest.update(f"{name}\n".encode())
        return digest.hexdigest()

    @cached_property
    def _frames(self) -> KeyFrames:
        folder = self._tables()
        check_categories(folder)
        return read_key_frames(folder)

    def _root(self) -> Path:
        root = Path(self.root).expanduser().absolute()
        if not root.is_dir():
            raise FileNotFoundError(f"{self.name}: no folder at {root}: {self._how_to_get()}")
        return root

    def _tables(self) -> Path:
        """The folder with every table that is read."""
        folder = self._root() / self.version
        missing = [name for name in TABLES if not (folder / f"{name}.json").is_file()]
        if missing:
            others = [version for version in PUBLISHED if version != self.version and (self._root() / version).is_dir()]
            hint = f"; {', '.join(others)} is there: dataset.source.version={others[0]}" if others else ""
            raise FileNotFoundError(f"{self.name}: no {', '.join(f'{name}.json' for name in missing)} in {folder}: {self._how_to_get()}{hint}")
        return folder

    def _label_folder(self) -> Path:
        folder = self._root() / "lidarseg" / self.version
        if not folder.is_dir():
            raise FileNotFoundError(f"{self.name}: no labels at {folder}: extract {ARCHIVES[self.version][2]} into {self._root()}")
        return folder

    def _how_to_get(self) -> str:
        archives = ", ".join(dict.fromkeys(archive for archive in ARCHIVES[self.version] if archive))
        return f"register at nuscenes.org, extract {archives} into one folder and name it"

    def _points(self, path: Path) -> F32:
        """All columns of a sweep, f32[N,5]."""
        if not path.is_file():
            raise FileNotFoundError(f"no sweep at {path}: extract {ARCHIVES[self.version][1]} into {self._root()} (the *_blobs archives hold the same files)")
        size = path.stat().st_size
        if size == 0 or size % POINT_BYTES:
            raise ValueError(
                f"{path} has {size} bytes, which is not a positive multiple of {POINT_BYTES} (x, y, z, intensity, ring as float32): extract it again"
            )
        points = np.fromfile(path, "<f4").astype(np.float32, copy=False).reshape(-1, 5)
        broken = np.flatnonzero(~np.isfinite(points[:, :4]).all(axis=1))
        if len(broken):
            raise ValueError(
                f"{path}: point {broken[0]} is {points[broken[0], :4].tolist()} ({len(broken)} such points), which no official sweep has: extract it again"
            )
        return points

    def _labels(self, token: str, count: int) -> U8:
        if self.version == "v1.0-test":
            return np.full(count, IGNORE, np.uint8)
        path = self._label_folder() / f"{token}_lidarseg.bin"
        if not path.is_file():
            raise FileNotFoundError(f"no labels at {path}: extract {ARCHIVES[self.version][2]} into {self._root()}")
        raw = np.fromfile(path, np.uint8)
        if len(raw) != count:
            raise ValueError(f"{path} has {len(raw)} labels for {count} points: extract it and the sweep again")
        if raw.max() >= len(RAW_NAMES):
            raise ValueError(f"{path}: point {int(np.argmax(raw >= len(RAW_NAMES)))} has label {raw.max()}, but there are only 0..{len(RAW_NAMES) - 1}")
        labels: U8 = lookup()[raw]
        return labels

    def _images(self, row: int) -> list[Image]:
        """The pictures that sample_data lists, in the order of `CAMERAS`."""
        images = []
        for channel in range(1, 1 + len(CAMERAS)):
            if name := self._frames.files[row, channel].decode():
                path = self._root() / name
                images.append(Image(path if path.is_file() else None, self._frames.camera(row, channel)))
        return images


def _drive(scene_id: str) -> str:
    return scene_id.rsplit("_", 1)[0]
