"""Partitions that others published, as units; and our units in the files that others read."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from al3d.files import read_json, whole_file
from al3d.types import F64, I32, Array, Partition, Scene

#: Per layout: what scene ids look like, where a scene's ids and its points are below the root, and where the ids are kept.
_S3DIS = re.compile(r"(Area_\d)#(\w+)")
_SCANNET = re.compile(r"(scene\d{4}_\d\d)")
_SEMANTIC_KITTI = re.compile(r"(\d\d)_(\d{6})")
LAYOUTS: Mapping[str, tuple[re.Pattern[str], str, str, str]] = {
    "s3dis": (_S3DIS, "{0}/{folder}/{1}.npy", "{0}/coords/{1}.npy", "supervoxel"),
    "scannet": (_SCANNET, "{0}/{folder}.npy", "{0}/coords.npy", "supervoxel"),
    "semantic_kitti": (_SEMANTIC_KITTI, "sequences/{0}/{folder}/{1}.bin", "sequences/{0}/velodyne/{1}.bin", "supervoxel_large"),
}
#: Points of a published cloud and of ours are the same place when they are no further apart, in metres.
SAME_PLACE = 0.005
#: A scene's point is elsewhere when it is further from the published points than this many of their spacings: room for subsampled scenes.
COARSER = 10.0
#: The largest share of a scene's points that may lie elsewhere than any published point.
MOST_ELSEWHERE = 0.01
HOW = """the files are laid out like this:
  s3dis           ROOT/Area_1/supervoxel/office_1.npy                    int32, one id per point
  scannet         ROOT/scene0000_00/supervoxel.npy                       int32
  semantic_kitti  ROOT/sequences/00/supervoxel_large/000000.bin          raw int32
ids count from 1, and 0 is a point in no region"""


@dataclass(frozen=True)
class Published:
    """The regions in files as ReDAL writes them, below `root`; ids in a file count from 1, with 0 for points in no region.

    `layout` "s3dis", "scannet" or "semantic_kitti" (see `HOW`); `folder` replaces its "supervoxel" or "supervoxel_large". The ids become dense
    from 0 in the order of the file's, 0 becomes -1; `numbers` tells the file's id of every unit. Where the published points are there
    too (`coords/`, `coords.npy`, `velodyne/`), they are compared with the scene's: ids in another order, or of more points than a
    subsampled scene has, find their points by place. Without them, the file must have one id per point, in the scene's order.
    `regions`: a published list of region ids per scene (see `read_regions`) that the files must agree with. `content` hashes the names,
    sizes and times of all files, so that changed files are another partition; where they lie does not matter.
    Raises: FileNotFoundError without files; ValueError for an unknown layout; when called, for a file that does not fit the scene.
    Source: ReDAL's region_division. Ids depend on the order of points and on the run that made them (docs/fidelity.md D-27).
    """

    root: Path = field(compare=False)
    layout: str
    folder: str = ""
    regions: Path | None = field(default=None, compare=False)
    content: str = field(init=False, default="")

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise ValueError(f"layout={self.layout!r}: choose one of {', '.join(LAYOUTS)}; {HOW}")
        object.__setattr__(self, "root", Path(self.root).expanduser())
        object.__setattr__(self, "folder", self.folder or LAYOUTS[self.layout][3])
        lists = [] if self.regions is None else [Path(self.regions).expanduser()]
        if lists:
            object.__setattr__(self, "regions", lists[0])
            read_regions(lists[0])
        files = sorted(self.root.glob(LAYOUTS[self.layout][1].format("*", "*", folder=self.folder)))
        if not files:
            raise FileNotFoundError(f"no {self.layout} partition in {self.root.absolute()} (folder={self.folder}): {HOW}")
        object.__setattr__(self, "content", _fingerprint(self.root, files, lists))

    @property
    def name(self) -> str:
        return f"published-{self.folder}"

    @property
    def stored(self) -> bool:
        return True

    @property
    def kinds(self) -> tuple[str, ...]:
        return ("region",)

    def __call__(self, scene: Scene) -> Partition:
        found = self._ids(scene)
        numbers = np.unique(found[found > 0])
        dense = np.searchsorted(numbers, found).astype(np.int32)
        return Partition(np.where(found > 0, dense, np.int32(-1)))

    def numbers(self, scene: Scene) -> I32:
        """The id that every unit of the scene has in the file, i32[U]: what published region lists speak of."""
        found = self._ids(scene)
        return np.unique(found[found > 0])

    def _ids(self, scene: Scene) -> I32:
        """The file's ids of the scene's points, i32[N]."""
        path = self.root / placed(scene.id, self.layout, self.folder)
        ids = read_ids(path)
        self._check_list(scene.id, path, ids)
        points = self.root / placed(scene.id, self.layout, self.folder, points=True)
        if points.is_file():
            return by_place(scene, path, ids, _points(points))
        if len(ids) != len(scene):
            raise ValueError(
                f"{path}: {len(ids)} ids, but scene {scene.id!r} has {len(scene)} points: a partition belongs to the points and the order it was made from "
                f"(docs/fidelity.md D-27); put the published points at {points} so that ids find theirs by place, or leave dataset.grid empty"
            )
        return ids

    def _check_list(self, scene_id: str, path: Path, ids: I32) -> None:
        if self.regions is None:
            return
        listed, there = set(_listed(self.regions, self.regions.stat().st_mtime_ns).get(scene_id, ())), set(np.unique(ids[ids > 0]).tolist())
        if listed and listed != there:
            raise ValueError(
                f"{path}: {len(there)} regions up to {max(there, default=0)}, but {self.regions} lists {len(listed)} up to {max(listed)} for {scene_id}: "
                "the list and the files come from different runs of the supervoxel program (docs/fidelity.md D-27); use files and list of one release"
            )


def read_ids(path: Path) -> I32:
    """Region ids i32[N] of a `.npy` (whole numbers, [N] or [N,1]) or `.bin` (raw int32) file; 0 is none.

    Raises: FileNotFoundError; ValueError naming the file when it holds something else, or a negative id.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no regions at {path.absolute()}: {HOW}")
    if path.suffix == ".bin":
        if path.stat().st_size % 4:
            raise ValueError(f"{path}: {path.stat().st_size} bytes are not whole int32 numbers: fetch the file again")
        ids: Array = np.fromfile(path, np.int32)
    else:
        ids = _array(path)
        if not np.issubdtype(ids.dtype, np.integer) or ids.size != len(ids):
            raise ValueError(f"{path}: {ids.dtype} {list(ids.shape)}, but region ids are whole numbers, one per point")
        ids = ids.reshape(-1)
    if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < 2**31:
        raise ValueError(f"{path}: ids from {ids.min()} to {ids.max()}: regions count from 1, and 0 is none; is this another kind of file?")
    return np.asarray(ids, np.int32)


def by_place(scene: Scene, path: Path, ids: I32, published: F64) -> I32:
    """The ids i32[N] of a scene's points, from ids i32[M] of published points f64[M,3] in the frame of the raw files.

    Raises: ValueError naming both counts when ids and points do not belong together, or the scene's points lie elsewhere.
    """
    if len(ids) != len(published):
        raise ValueError(f"{path}: {len(ids)} ids for {len(published)} published points: use ids and points of one release (docs/fidelity.md D-27)")
    own = scene.xyz.astype(np.float64) + scene.origin
    if own.shape == published.shape and np.abs(own - published).max(initial=0) <= SAME_PLACE:
        return ids
    distance, nearest = (np.asarray(found) for found in cKDTree(published).query(own))
    elsewhere = distance > max(SAME_PLACE, COARSER * _spacing(published))
    lost = int(np.count_nonzero(elsewhere))
    if lost > MOST_ELSEWHERE * len(own):
        raise ValueError(
            f"{path}: {lost} of the {len(own)} points of scene {scene.id!r} lie elsewhere than the {len(published)} published ones: "
            "these are not the same scans, or not in the same frame (docs/fidelity.md D-27)"
        )
    return np.where(elsewhere, np.int32(0), ids[nearest]).astype(np.int32)


def placed(scene_id: str, layout: str, folder: str = "", points: bool = False) -> Path:
    """Where a scene's ids (or its points) are below the root. Raises: ValueError for an id that the layout does not know."""
    pattern, ids, coordinates, usual = LAYOUTS[layout]
    match = pattern.fullmatch(scene_id)
    if match is None:
        raise ValueError(f"scene {scene_id!r} has no place in layout={layout}: its ids look like {pattern.pattern}; {HOW}")
    return Path((coordinates if points else ids).format(*match.groups(), folder=folder or usual))


def layout_of(scene_ids: Iterable[str]) -> str:
    """The layout that knows all these scenes. Raises: ValueError naming a scene when none does."""
    ids = list(scene_ids)
    fitting = [name for name, parts in LAYOUTS.items() if all(parts[0].fullmatch(scene_id) for scene_id in ids)]
    if not ids or not fitting:
        raise ValueError(f"scenes such as {ids[0] if ids else 'none'!r} have no published layout: it exists for {', '.join(LAYOUTS)}; {HOW}")
    return fitting[0]


def write_ids(root: Path, layout: str, scene_id: str, unit: I32, folder: str = "") -> Path:
    """Write unit ids i32[N] (-1: none) as the layout's file, counted from 1 with 0 for none; returns its path."""
    path = root / placed(scene_id, layout, folder)
    ids = np.ascontiguousarray(unit + 1, np.int32)
    with whole_file(path) as temporary, temporary.open("wb") as file:
        if path.suffix == ".bin":
            file.write(ids.tobytes())
        else:
            np.save(file, ids, allow_pickle=False)
    return path


def read_regions(path: Path) -> dict[str, list[int]]:
    """A list of regions: scene id -> ids that count from 1, as ReDAL and SeedAL publish them.

    Raises: FileNotFoundError; ValueError naming the file and the scene for anything else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no list of regions at {path.absolute()}: give a JSON file such as init_label_region.json")
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds a {type(content).__name__}, but a list of regions is an object: {{scene: [1, 2, ...]}}")
    for scene_id, ids in content.items():
        if not isinstance(ids, list) or not all(type(value) is int and value >= 1 for value in ids) or len(set(ids)) != len(ids):
            raise ValueError(f"{path}: {scene_id!r} must have a list of different whole numbers from 1 on, got {str(ids)[:60]}")
    return content


def write_regions(path: Path, regions: Mapping[str, Sequence[int]]) -> None:
    """Write scene id -> region ids (from 1) as `read_regions` reads it, one scene per line."""
    lines = ",\n".join(f"{json.dumps(scene_id)}: {json.dumps([int(value) for value in ids])}" for scene_id, ids in regions.items())
    with whole_file(path) as temporary:
        temporary.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


def _array(path: Path) -> Array:
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: not a whole array file ({error}): fetch it again") from error


def _points(path: Path) -> F64:
    if path.suffix == ".bin":
        return np.fromfile(path, np.float32).reshape(-1, 4)[:, :3].astype(np.float64)
    points = np.asarray(_array(path), np.float64)
    if points.ndim != 2 or points.shape[1] < 3:
        raise ValueError(f"{path}: {list(points.shape)}, but points are [N,3]")
    return points[:, :3]


def _spacing(points: F64) -> float:
    """The median distance in metres between neighbours, of about two thousand points."""
    if len(points) < 2:
        return 0.0
    distance = np.asarray(cKDTree(points).query(points[:: max(1, len(points) // 2000)], k=2)[0])
    return float(np.median(distance[:, 1]))


@lru_cache(maxsize=4)
def _listed(path: Path, time: int) -> dict[str, list[int]]:
    """A list of regions, read once for every time at which it was written."""
    return read_regions(path)


def _fingerprint(root: Path, files: Sequence[Path], lists: Sequence[Path]) -> str:
    """A hash of the files' names, sizes and times; nothing is read."""
    digest = hashlib.blake2b(digest_size=16)
    names = [path.relative_to(root).as_posix() for path in files] + [path.name for path in lists]
    for name, path in zip(names, (*files, *lists), strict=True):
        status = path.stat()
        digest.update(json.dumps([name, status.st_size, status.st_mtime_ns]).encode())
    return digest.hexdigest()
