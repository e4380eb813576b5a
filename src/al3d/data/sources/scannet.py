"""ScanNetV2: rooms scanned by hand with a depth camera, read from the official meshes and annotations."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from al3d.data.sources.common import Coloured
from al3d.data.sources.ply import read_ply
from al3d.data.sources.scannet_frames import frames_status, read_frames
from al3d.data.sources.scannet_places import split_of
from al3d.data.sources.scannet_segments import AGGREGATION, AGGREGATION_FINE, NAMES, SEGMENTS, nyu40_of_segments
from al3d.types import I64, IGNORE, U8, Array, ClassTable, Image, Scene

CLASSES = ClassTable(
    names=(
        "wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf", "picture", "counter", "desk", "curtain",
        "refrigerator", "shower curtain", "toilet", "sink", "bathtub", "otherfurniture",
    ),
    colors=(
        (174, 199, 232), (152, 223, 138), (31, 119, 180), (255, 187, 120), (188, 189, 34), (140, 86, 75), (255, 152, 150), (214, 39, 40),
        (197, 176, 213), (148, 103, 189), (196, 156, 148), (23, 190, 207), (247, 182, 210), (219, 219, 141), (255, 127, 14), (158, 218, 229),
        (44, 160, 44), (112, 128, 144), (227, 119, 194), (82, 84, 163),
    ),
)  # fmt: skip
#: The NYU40 id of every class, in label order; other ids are not judged.
NYU40_IDS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 24, 28, 33, 34, 36, 39)
#: Scans of the official lists, by the lists' names.
SCANS = {"scannetv2_train.txt": 1201, "scannetv2_val.txt": 312, "scannetv2_test.txt": 100}
MESH, LABELS = "_vh_clean_2.ply", "_vh_clean_2.labels.ply"
FOLDERS = ("scans", "scans_test")
#: Raised when the same raw files give other points or labels.
VERSION = 1
HOW_TO_GET = (
    "ask for ScanNet with its official form, fetch the types _vh_clean_2.ply and _vh_clean_2.labels.ply of the release v2 with the download script "
    "you get, and name the folder that holds scans/ (and scans_test/)"
)
_SCENE_ID = re.compile(r"scene(\d{4})_\d{2}")


def _default_splits() -> Mapping[str, str]:
    return {"train": "scannetv2_train.txt", "val": "scannetv2_val.txt", "test": "scannetv2_test.txt"}


@dataclass(frozen=True)
class ScanNet(Coloured):
    """The raw layout `scans/<scene>/<scene>_vh_clean_2.ply` and `scans_test/`; scene ids are the folder names, `scene0000_00`.

    Points are the vertices of the mesh, in the file's order; `Scene.xyz` is relative to `origin`, the floor (whole metres) of their
    minimum. Labels come from `<scene>_vh_clean_2.labels.ply`, or, where that file is absent, from `<scene>.aggregation.json`,
    `<scene>_vh_clean_2.0.010000.segs.json` and `scannetv2-labels.combined.tsv`; the scans of the hidden test have none (all
    IGNORE). The alignment to the walls in `<scene>.txt` is not applied: the benchmark's meshes are as scanned.

    `splits` names the list of scenes of each split, a text file in `root`; where one of the three official lists is not there,
    the built-in one is used. Scenes of a list that are not on the disk are left out. At most `frames` colour frames per scene, evenly
    spaced, become `Scene.images`, where they were exported: see `read_frames`.
    Raises: ValueError for a negative number of frames.
    Source: Dai et al., CVPR 2017, with the 20 classes and the splits of its benchmark. Always float32 and bytes (docs/fidelity.md D-34).
    """

    root: str | Path
    splits: Mapping[str, str] = field(default_factory=_default_splits)
    frames: int = 20
    name: str = "scannet"

    def __post_init__(self) -> None:
        if self.frames < 0:
            raise ValueError(f"{self.name}: frames={self.frames}: give the most colour frames that a scene may have, or 0 for none")

    @property
    def classes(self) -> ClassTable:
        """The 20 classes in label order, with the benchmark's colours."""
        return CLASSES

    @property
    def published(self) -> Mapping[str, int]:
        """The scans of the official lists, for splits that use them."""
        return {split: SCANS[file] for split, file in self.splits.items() if file in SCANS}

    def scenes(self, split: str) -> tuple[str, ...]:
        """The scans of `split` that are on the disk, sorted.

        Raises: ValueError for an unknown split, or a list with something else than scene ids; FileNotFoundError when the root, the
        list, or every scan of it is missing.
        """
        if split not in self.splits:
            raise ValueError(f"{self.name} has no split {split!r}: choose one of {sorted(self.splits)}")
        file = self.splits[split]
        listed = self._listed(file)
        found = [path.name for path in self._folders() if path.name in listed]
        if not found:
            where = " or ".join(f"{folder}/" for folder in FOLDERS)
            raise FileNotFoundError(f"no scan of split {split!r} ({file}) in {where} under {self._root()}: {HOW_TO_GET}")
        return tuple(found)

    def read(self, scene_id: str) -> tuple[Scene, U8]:
        """The mesh's vertices with colours 0..1, and labels u8[N].

        Raises: FileNotFoundError naming the scan or the file that is not there; ValueError naming the file when it is broken, has no
        colours, or does not fit the mesh.
        """
        folder = self._folder(scene_id)
        path = _needed(folder / f"{scene_id}{MESH}")
        cloud = read_ply(path)
        if cloud.colour is None:
            raise ValueError(f"{path}: the vertices have no red, green, blue: fetch the file again")
        if len(cloud) == 0:
            raise ValueError(f"{path}: the mesh has no vertices: fetch the file again")
        origin = np.floor(cloud.xyz.min(axis=0))
        feat = (cloud.colour / np.float32(255)).astype(np.float32)
        images = self._images(folder, scene_id, origin)
        scene = Scene(id=scene_id, xyz=(cloud.xyz - origin).astype(np.float32), feat=feat, origin=origin, images=images)
        return scene, classes_of(self._nyu40(folder, scene_id, len(cloud)))

    def fingerprint(self) -> str:
        """A hash of the names, sizes and times of meshes, labels, lists and frame folders, of the options, and of how files are read."""
        root = self._root()
        digest = hashlib.blake2b(json.dumps([VERSION, dict(self.splits), self.frames], sort_keys=True).encode(), digest_size=16)
        for path in self._files():
            status = path.stat()
            digest.update(f"{path.relative_to(root).as_posix()}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
        for folder in self._folders() if self.frames else ():
            digest.update(json.dumps([folder.name, frames_status(folder)]).encode())
        return digest.hexdigest()

    def _files(self) -> Iterator[Path]:
        root = self._root()
        yield from (path for path in (root / NAMES, *(root / file for file in sorted(self.splits.values()))) if path.is_file())
        for folder in self._folders():
            for ending in (MESH, LABELS, AGGREGATION, AGGREGATION_FINE, SEGMENTS):
                path = folder / f"{folder.name}{ending}"
                if path.is_file():
                    yield path

    def _root(self) -> Path:
        root = Path(self.root).expanduser()
        if not root.is_dir():
            raise FileNotFoundError(f"{self.name}: no folder at {root.absolute()}: {HOW_TO_GET}")
        return root

    def _folders(self) -> list[Path]:
        """The folders of all scans, sorted by name."""
        parts = [self._root() / part for part in FOLDERS]
        found = [path for part in parts if part.is_dir() for path in part.iterdir() if _SCENE_ID.fullmatch(path.name) and path.is_dir()]
        return sorted(found, key=lambda path: path.name)

    def _folder(self, scene_id: str) -> Path:
        if _SCENE_ID.fullmatch(scene_id) is None:
            raise ValueError(f"{scene_id!r} is not a scene of {self.name}: ids look like 'scene0000_00'")
        root = self._root()
        folders = [root / part / scene_id for part in FOLDERS]
        found = next((folder for folder in folders if folder.is_dir()), None)
        if found is None:
            raise FileNotFoundError(f"scene {scene_id!r}: no folder at {' or '.join(str(folder.absolute()) for folder in folders)}: {HOW_TO_GET}")
        return found

    def _listed(self, file: str) -> frozenset[str]:
        """The ids in a list of scenes; of an official list that is not in the root, those that are on the disk."""
        path = self._root() / file
        if not path.is_file():
            if file in SCANS:
                return frozenset(folder.name for folder in self._folders() if f"scannetv2_{_split(folder.name)}.txt" == file)
            raise FileNotFoundError(f"{self.name}: no list of scenes at {path.absolute()}: write one, a scene id per line, or use {', '.join(SCANS)}")
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        for number, line in enumerate(lines, start=1):
            if line and not _SCENE_ID.fullmatch(line):
                raise ValueError(f"{path}: line {number} is {line[:40]!r}: give one scene id per line, such as scene0000_00")
        return frozenset(filter(None, lines))

    def _nyu40(self, folder: Path, scene_id: str, points: int) -> I64:
        """The NYU40 id of every vertex, 0 where there is none."""
        if folder.parent.name == FOLDERS[1] or _split(scene_id) == "test":
            return np.zeros(points, np.int64)
        path = folder / f"{scene_id}{LABELS}"
        if not path.is_file():
            return nyu40_of_segments(folder, scene_id, points, self._root())
        label = read_ply(path).label
        if label is None:
            raise ValueError(f"{path}: the vertices have no property 'label': fetch the file again (type {LABELS}), or delete it to use {AGGREGATION}")
        if len(label) != points:
            raise ValueError(f"{path}: {len(label)} vertices, but {scene_id}{MESH} has {points}: fetch both files again, from the same release")
        return label

    def _images(self, folder: Path, scene_id: str, origin: Array) -> tuple[Image, ...]:
        return read_frames(folder, scene_id, origin, self.frames) if self.frames else ()


def classes_of(nyu40: I64) -> U8:
    """NYU40 ids i64[N] to labels u8[N]; every other id, and the few wrong ones of the release (50, 149), become IGNORE."""
    table = np.full(max(NYU40_IDS) + 2, IGNORE, np.uint8)
    table[np.array(NYU40_IDS)] = np.arange(len(NYU40_IDS))
    known = (nyu40 >= 0) & (nyu40 < len(table))
    return np.asarray(table[np.where(known, nyu40, 0)], dtype=np.uint8)


def _split(scene_id: str) -> str:
    return split_of(int(scene_id[5:9]))


def _needed(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"no file {path.absolute()}: {HOW_TO_GET}")
    return path
