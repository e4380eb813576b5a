"""A user's own data: `dataset.yaml` and one point cloud file per scene."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from al3d.data.sources.card import LENGTHS, SPLITS, Card, read_card
from al3d.data.sources.cloud import Cloud, fractions
from al3d.data.sources.formats import NUSCENES, READERS, label_file, read_cloud
from al3d.geometry.upright import rotated, rotation_to_z
from al3d.progress import console
from al3d.rng import generator
from al3d.types import F32, F64, I64, IGNORE, U8, Camera, ClassTable, Image, Scene

#: Raised when the same files give other points or labels.
VERSION = 1
#: Metres: float32 has steps of 6 cm there.
_FARTHEST = 1e6
_PICTURES = (".jpg", ".jpeg", ".png")
_COLOURS = ("red", "green", "blue")
#: Files whose labels are codes of a standard: ASPRS LAS, whose codes 0 and 1 say that nobody classified the point.
LAS, UNCLASSIFIED = (".las", ".laz"), (0, 1)
#: Raised when the same LAS files give other labels.
LAS_VERSION = 1


@dataclass(frozen=True)
class Folder:
    """The folder `root`: `dataset.yaml`, `scenes/<id>.(ply|las|laz|pcd|npz|bin)`, optionally `images/<id>.(jpg|png)`.

    Scenes are brought to metres, rotated by the smallest rotation that makes `up` +z, and moved by `origin`, the floor (whole
    metres) of the rotated minimum. Frames of a drive (`sequences` in the YAML) stay where the sensor is the origin; `poses/<drive>.txt` has a
    line per frame, the first three rows of the matrix from the file's frame to the drive's world, in the file's units. With `camera` in the YAML,
    the camera sits at the origin of the file's frame (z forward,
    y down) and each camera's pose brings its frame to the scene's. `name` replaces the one in the YAML.
    Raises: FileNotFoundError, ValueError: see `read_card`; scenes without a file, or with two.
    """

    root: Path
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root).expanduser())
        object.__setattr__(self, "name", self.name or self._card.name)
        self._files  # noqa: B018  (missing files should fail here, not hours later)
        self._poses  # noqa: B018

    @property
    def classes(self) -> ClassTable:
        """The classes in label order."""
        return self._card.classes

    @property
    def splits(self) -> tuple[str, ...]:
        """The names: train and val."""
        return SPLITS

    @property
    def published(self) -> Mapping[str, int]:
        """Nobody published how many scenes your own data have."""
        return {}

    @cached_property
    def features(self) -> tuple[str, ...]:
        """Colours 0..1, else intensity, else a column of ones: what the first training scene has. Colours that are all black were never filled."""
        path = self._files[self.scenes("train")[0]]
        cloud = read_cloud(path)
        if cloud.coloured:
            return _COLOURS
        if cloud.colour is not None:
            console.print(f"{self.name}: the colours of {path.name} are all black: intensity is taken, or, without one, places alone", markup=False)
        return ("intensity",) if cloud.intensity is not None else ("one",)

    @cached_property
    def scale(self) -> Mapping[str, float]:
        """Lengths from the YAML; what is missing there is estimated from the point spacing, and said."""
        given = self._card.scale
        missing = [key for key in LENGTHS if key not in given]
        if not missing:
            return given
        spacing = self._spacing() if set(missing) - {"neighbours"} else 0.0
        scale = filled_scale(given, spacing)
        words = ", ".join(f"{key}: {scale[key]:g}" for key in missing)
        how = f"estimated from a point spacing of {spacing:.3g} m in the training scenes" if spacing else "the usual value"
        console.print(f"{self.name}: dataset.yaml gives no scale for {words}; {how}", markup=False)
        return scale

    def scenes(self, split: str) -> tuple[str, ...]:
        """The scene ids of `split`, sorted. Raises: ValueError for an unknown split."""
        if split not in self._card.splits:
            raise ValueError(f"{self.name} has no split {split!r}: choose one of {', '.join(SPLITS)}")
        return self._card.splits[split]

    def read(self, scene_id: str) -> tuple[Scene, U8]:
        """The scene and its labels u8[N]; a scene without a label field is unlabelled (all IGNORE).

        The codes of LAS files are labels only where the YAML names them, `classes: {2: ground}`; else 0 and 1 mean never classified and unclassified, and
        what others mean to the user is not known.
        Raises: ValueError naming the file, and the point or the line, when it has no points, coordinates that are not finite,
        labels outside the classes, or other attributes than the first training scene.
        """
        if scene_id not in self._files:
            raise ValueError(f"{scene_id!r} is not a scene of {self.name}: dataset.yaml lists {len(self._files)} scenes, such as {next(iter(self._files))!r}")
        path = self._files[scene_id]
        cloud = read_cloud(path)
        _check_points(path, cloud)
        rotation = rotation_to_z(np.array(self._card.up))
        xyz = rotated(cloud.xyz * self._card.factor, rotation)
        sequence, frame = self._places.get(scene_id, (None, None))
        origin = np.floor(xyz.min(axis=0)) if sequence is None else np.zeros(3)
        scene = Scene(
            id=scene_id,
            xyz=_single(path, xyz - origin),
            feat=self._feat(path, cloud),
            origin=origin,
            sequence=sequence,
            frame=frame,
            pose=np.eye(4) if sequence is None or frame is None else upright(self._poses[sequence][frame], rotation, self._card.factor),
            images=self._images(scene_id, self._camera(rotation, origin)),
        )
        return scene, self._labels(path, cloud)

    def fingerprint(self) -> str:
        """A hash of the names, sizes and times of scene, label and pose files, the pictures' paths, and what of the YAML changes a scene."""
        card = {key: value for key, value in asdict(self._card).items() if key not in ("name", "scale", "by_code")}
        card = {key: value for key, value in card.items() if value or key not in ("sequences", "intensity")}
        if any(path.suffix.lower() in LAS for path in self._files.values()):
            card["las"] = [self._card.by_code, LAS_VERSION]
        digest = hashlib.blake2b(json.dumps([VERSION, card], sort_keys=True).encode(), digest_size=16)
        for scene_id, path in sorted(self._files.items()):
            pictures = [str(self._pictures.get(scene_id, ""))]
            digest.update(json.dumps([*_stamp(path), pictures]).encode())
            if path.suffix.lower() == ".bin" and label_file(path).is_file():
                digest.update(json.dumps(_stamp(label_file(path))).encode())
        for sequence in sorted(self._card.sequences):
            digest.update(json.dumps(_stamp(self._pose_file(sequence))).encode())
        return digest.hexdigest()

    @cached_property
    def _card(self) -> Card:
        return read_card(self.root / "dataset.yaml")

    @cached_property
    def _files(self) -> dict[str, Path]:
        """The file of every listed scene, in the order of the ids."""
        return _scene_files(self.root, [scene for ids in self._card.splits.values() for scene in ids])

    @cached_property
    def _places(self) -> dict[str, tuple[str, int]]:
        """Drive and frame of every scene that is in one."""
        return {scene: (name, frame) for name, ids in self._card.sequences.items() for frame, scene in enumerate(ids)}

    @cached_property
    def _poses(self) -> dict[str, F64]:
        """The poses f64[frames,4,4] of every drive, as the files give them."""
        return {name: read_poses(self._pose_file(name), len(ids)) for name, ids in self._card.sequences.items()}

    def _pose_file(self, sequence: str) -> Path:
        return self.root / "poses" / f"{sequence}.txt"

    @cached_property
    def _pictures(self) -> dict[str, Path]:
        folder = (self.root / "images").absolute()
        return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in _PICTURES} if folder.is_dir() else {}

    def _images(self, scene_id: str, camera: Camera | None) -> tuple[Image, ...]:
        picture = self._pictures.get(scene_id)
        return (Image(picture, camera),) if picture or camera else ()

    def _camera(self, rotation: F64, origin: F64) -> Camera | None:
        if self._card.camera is None:
            return None
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = rotation, -origin
        lens = self._card.camera
        return Camera(lens["fx"], lens["fy"], lens["cx"], lens["cy"], int(lens["width"]), int(lens["height"]), pose)

    def _feat(self, path: Path, cloud: Cloud) -> F32:
        if self.features == ("one",):
            return np.ones((len(cloud), 1), np.float32)
        values = cloud.colour if self.features == _COLOURS else cloud.intensity
        if values is None:
            raise ValueError(f"{path}: has no {' '.join(self.features)}, unlike {self._files[self.scenes('train')[0]].name}: give all scenes the same fields")
        if self.features == _COLOURS:
            return (values / np.float32(255)).astype(np.float32)
        found = fractions(values, self._card.intensity or cloud.full)
        broken = np.flatnonzero(~np.isfinite(found))
        if len(broken):
            raise ValueError(f"{path}: point {broken[0]} has intensity {values[broken[0]]}: remove such points from the file")
        return found.reshape(-1, 1)

    def _labels(self, path: Path, cloud: Cloud) -> U8:
        las = path.suffix.lower() in LAS
        if cloud.label is None or (las and not self._card.by_code):
            return np.full(len(cloud), IGNORE, np.uint8)
        unclassified = tuple(code for code in UNCLASSIFIED if las and code not in self._card.values)
        return mapped_labels(path, cloud.label, self._card.values, (*self._card.ignored, *unclassified))

    def _spacing(self, scenes: int = 3, points: int = 2000) -> float:
        """The median distance (metres) from a point to its nearest neighbour, over a keyed sample of training scenes."""
        ids = self.scenes("train")
        chosen = sorted(generator("folder", "spacing", *ids).choice(len(ids), min(scenes, len(ids)), replace=False))
        distances = [_nearest(read_cloud(self._files[ids[index]]).xyz, points, ids[index]) for index in chosen]
        spacing = float(np.median(np.concatenate(distances))) * self._card.factor if any(map(len, distances)) else 0.0
        if spacing <= 0:
            seen = ", ".join(ids[index] for index in chosen)
            raise ValueError(f"{self.name}: the point spacing cannot be estimated from {seen}: give scale: in dataset.yaml")
        return spacing


def filled_scale(given: Mapping[str, float], spacing: float) -> dict[str, float]:
    """Complete `given` lengths: voxels of 2.5 point spacings rounded to 1, 2 or 5, supervoxels on twice that, seeds ten times wider."""
    scale = {"voxel": given.get("voxel") or rounded(2.5 * spacing)}
    scale["supervoxel_voxel"] = given.get("supervoxel_voxel", 2 * scale["voxel"])
    scale["supervoxel_seed"] = given.get("supervoxel_seed", 10 * scale["supervoxel_voxel"])
    scale["neighbours"] = given.get("neighbours", 50)
    return scale


def rounded(length: float) -> float:
    """The nearest of ..., 0.1, 0.2, 0.5, 1, 2, 5, ... by ratio; 0 stays 0."""
    if length <= 0:
        return 0.0
    power = int(np.floor(np.log10(length)))
    steps = [float(f"{digit}e{power + shift}") for shift in (0, 1) for digit in (1, 2, 5)]
    return min(steps, key=lambda step: abs(np.log(step / length)))


def read_poses(file: Path, frames: int) -> F64:
    """The poses f64[frames,4,4] of a drive: 12 numbers a line, row by row the first three rows of a rigid motion; blank lines do not count.

    Raises: FileNotFoundError; ValueError naming the file and the line, when it is not that, or when there are not `frames` of them.
    """
    if not file.is_file():
        raise FileNotFoundError(
            f"{file.absolute()}: is missing: dataset.yaml lists the sequence {file.stem!r}; write its {frames} poses there, 12 numbers a line"
        )
    poses = np.zeros((frames, 4, 4))
    poses[:, 3, 3] = 1
    lines = [(number, line.split()) for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), start=1) if line.strip()]
    if len(lines) != frames:
        raise ValueError(f"{file}: has {len(lines)} poses for the {frames} scenes of {file.stem!r} in dataset.yaml: write a line for each, in that order")
    for index, (number, words) in enumerate(lines):
        try:
            values = np.array([float(word) for word in words])
        except ValueError as error:
            raise ValueError(f"{file}: line {number}: {error}: write 12 numbers") from error
        if len(values) != 12 or not np.isfinite(values).all():
            raise ValueError(f"{file}: line {number} is not 12 finite numbers, but {len(values)} values: write the first three rows of the pose, row by row")
        poses[index, :3] = values.reshape(3, 4)
        turn = poses[index, :3, :3]
        if not np.allclose(turn @ turn.T, np.eye(3), atol=1e-3) or np.linalg.det(turn) < 0:
            raise ValueError(f"{file}: line {number}: numbers 1-3, 5-7 and 9-11 are no rotation: write rigid poses, without scale and without mirroring")
    return poses


def upright(pose: F64, rotation: F64, factor: float) -> F64:
    """A pose f64[4,4] of the file's frame and units, for scenes in metres that were rotated: the world is rotated alike."""
    turned = np.eye(4)
    turned[:3, :3] = rotation @ pose[:3, :3] @ rotation.T
    turned[:3, 3] = rotation @ pose[:3, 3] * factor
    return turned


def mapped_labels(path: Path, label: I64, values: tuple[int, ...], ignored: tuple[int, ...]) -> U8:
    """File labels i64[N] to u8[N]: `values[i]` becomes i, `ignored` becomes IGNORE.

    Raises: ValueError naming the file, the other values and how many points have them.
    """
    found, inverse = np.unique(label, return_inverse=True)
    table = dict.fromkeys(ignored, IGNORE) | {value: index for index, value in enumerate(values)}
    strange = [int(value) for value in found if int(value) not in table]
    if strange:
        count = int(np.isin(label, strange).sum())
        shown = f"{strange[:10]}{' and others' if len(strange) > 10 else ''}"
        known = f"neither a class ({list(values)}) nor ignore_label {list(ignored)}"
        raise ValueError(f"{path}: {count} points have labels {shown}, {known}: add them to dataset.yaml")
    return np.array([table[int(value)] for value in found], np.uint8)[inverse]


def _stamp(path: Path) -> list[str | int]:
    status = path.stat()
    return [path.name, status.st_size, status.st_mtime_ns]


def _single(path: Path, xyz: F64) -> F32:
    """Coordinates as float32. Raises: ValueError naming the file when they are too far apart for it."""
    far = np.flatnonzero((np.abs(xyz) > _FARTHEST).any(axis=1))
    if len(far):
        raise ValueError(
            f"{path}: point {far[0]} is {xyz[far[0]].tolist()} metres away ({len(far)} such points): "
            "remove stray points from the file, or mend units in dataset.yaml"
        )
    return xyz.astype(np.float32)


def _check_points(path: Path, cloud: Cloud) -> None:
    if len(cloud) == 0:
        raise ValueError(f"{path}: has no points: remove the scene from dataset.yaml, or write the file again")
    broken = np.flatnonzero(~np.isfinite(cloud.xyz).all(axis=1))
    if len(broken):
        raise ValueError(f"{path}: point {broken[0]} has coordinates {cloud.xyz[broken[0]].tolist()} ({len(broken)} such points): remove them from the file")


def _scene_files(root: Path, ids: list[str]) -> dict[str, Path]:
    """The file of each scene. Raises: ValueError listing scenes with no file or several."""
    folder = root / "scenes"
    found: dict[str, list[Path]] = {scene: [] for scene in sorted(ids)}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        names = (path.stem, path.name[: -len(NUSCENES)]) if path.name.lower().endswith(NUSCENES) else (path.stem,)
        for name in names if path.suffix.lower() in READERS else ():
            if name in found:
                found[name].append(path)
    absent = [scene for scene, paths in found.items() if not paths]
    if absent:
        shown = f"{', '.join(absent[:20])}{' and others' if len(absent) > 20 else ''}"
        where = f"{folder.absolute()} ({' '.join(READERS)})"
        raise ValueError(f"{root / 'dataset.yaml'} lists {len(absent)} scenes without a file in {where}: {shown}; add the files or remove the names")
    double = [", ".join(path.name for path in paths) for paths in found.values() if len(paths) > 1]
    if double:
        raise ValueError(f"{folder}: several files for one scene: {'; '.join(double)}: keep one of each")
    return {scene: paths[0] for scene, paths in found.items()}


def _nearest(xyz: F64, points: int, scene_id: str) -> F64:
    """Distances from a keyed sample of points to their nearest neighbour, exact duplicates left out."""
    if len(xyz) < 2 or not np.isfinite(xyz).all():
        return np.empty(0)
    from scipy.spatial import cKDTree

    rows = generator("folder", "spacing", "points", scene_id).choice(len(xyz), min(points, len(xyz)), replace=False)
    distances = np.asarray(cKDTree(xyz, balanced_tree=False, compact_nodes=False).query(xyz[rows], k=2)[0], dtype=np.float64)[:, 1]
    return distances[distances > 0]
