"""The one on-disk scene format: what `prepare` writes and everything after it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from al3d.data.extras import Extra
from al3d.data.hashing import hash_of
from al3d.data.whole import mapped as mapped
from al3d.files import read_json
from al3d.types import F32, F64, I32, U8, Array, Camera, ClassTable, FeatureExtractor, Image, Partition, Partitioner, Scene

#: Raised when stores written before cannot be read any more; part of a store's folder name.
FORMAT = 2


def partition_hash(partitioner: Partitioner) -> str:
    """12 hexadecimal digits over the partitioner's class name and fields: where its unit ids are kept."""
    return hash_of(partitioner)


def extra_hash(extra: Extra) -> str:
    """12 hexadecimal digits over the extra's class name and fields: where its numbers are kept."""
    return hash_of(extra)


class Store:
    """A prepared data set, read-only; arrays are mapped from the disk when a scene is read. Holds no labels: see `SimulatedOracle`.

    `scenes/<id>/`: xyz, feat, meta.json; `truth/<id>.npy`: labels, for the oracle only; `raw/<id>/`: with a grid, each raw point's
    point and its label; `extra/<hash>/<id>/<name>.npy`; `unit/<hash>/<id>.npy`; `features/<hash>/<id>.npy`; `manifest.json`, written last.
    `splits`: split -> sorted ids; `sizes`: id -> points; `raw_sizes`: id -> points before the grid; `grid` metres or None;
    `data_hash`: over the splits and every scene's content.
    Raises: FileNotFoundError when the folder was not prepared to the end; ValueError for another format.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        file = self.path / "manifest.json"
        if not file.is_file():
            raise FileNotFoundError(f"no prepared data set at {self.path.absolute()} (no manifest.json): run al3d prepare, which takes up where it was stopped")
        content: dict[str, Any] = read_json(file)
        if content.get("format") != FORMAT:
            raise ValueError(f"{file}: format {content.get('format')}, but this version reads {FORMAT}: delete the folder and run al3d prepare")
        self.name: str = content["name"]
        self.classes = ClassTable(tuple(content["classes"]), tuple((red, green, blue) for red, green, blue in content["colors"]))
        self.features: tuple[str, ...] = tuple(content["features"])
        self.splits: Mapping[str, tuple[str, ...]] = {split: tuple(ids) for split, ids in content["splits"].items()}
        self.sizes: Mapping[str, int] = content["points"]
        self.raw_sizes: Mapping[str, int] = content["raw_points"]
        self.grid: float | None = content["grid"]
        self.data_hash: str = content["data_hash"]

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process as a path: its lists of scenes are read there, once."""
        return _opened, (str(self.path.absolute()), self.data_hash)

    def scene(self, scene_id: str, extra: Sequence[Extra] = ()) -> Scene:
        """The scene, with the prepared numbers of `extra` under their names.

        Raises: ValueError for an unknown id; FileNotFoundError for an extra that was not prepared.
        """
        self.check(scene_id)
        folder = self.path / "scenes" / scene_id
        meta = read_json(folder / "meta.json")
        return Scene(
            id=scene_id,
            xyz=mapped(folder / "xyz.npy"),
            feat=mapped(folder / "feat.npy"),
            origin=np.array(meta["origin"], np.float64),
            sequence=meta["sequence"],
            frame=meta["frame"],
            pose=np.array(meta["pose"], np.float64),
            images=tuple(Image(Path(one["path"]) if one["path"] else None, _camera(one["camera"])) for one in meta["images"]),
            extra={one.name: self._prepared(self.extra_file(one, scene_id), scene_id, one) for one in extra},
        )

    def unit(self, partitioner: Partitioner, scene_id: str, scene: Scene | None = None) -> I32:
        """Unit ids i32[N] (-1: never queryable): read when the partitioner stores them, else computed.

        Raises: ValueError for an unknown id; FileNotFoundError for a stored partition that was not prepared.
        """
        self.check(scene_id)
        if partitioner.stored:
            return self._prepared(self.unit_file(partitioner, scene_id), scene_id, partitioner)
        return partitioner(scene or self.scene(scene_id)).unit

    def kind(self, partitioner: Partitioner, scene_id: str, unit: I32) -> U8:
        """The kind of every unit, u8[U], where `unit` i32[N] are the scene's unit ids; see `Partition`.

        Raises: FileNotFoundError for a partition of several kinds that was not prepared.
        """
        if len(partitioner.kinds) > 1:
            return self._prepared(self.kind_file(partitioner, scene_id), scene_id, partitioner)
        return Partition(unit).kinds()

    def labelled(self, scene_id: str) -> int:
        """How many points of a scene had a label when it was prepared."""
        self.check(scene_id)
        return int(read_json(self.path / "scenes" / scene_id / "meta.json")["labelled"])

    def inverse(self, scene_id: str) -> I32:
        """The prepared point of every raw point, i32[raw N]: `prediction[inverse]` is a prediction for the raw points."""
        self.check(scene_id)
        return mapped(self.path / "raw" / scene_id / "inverse.npy") if self.grid else np.arange(self.sizes[scene_id], dtype=np.int32)

    def unit_file(self, partitioner: Partitioner, scene_id: str) -> Path:
        """Where a scene's stored unit ids are."""
        return self.path / "unit" / partition_hash(partitioner) / f"{scene_id}.npy"

    def kind_file(self, partitioner: Partitioner, scene_id: str) -> Path:
        """Where the kinds of a scene's stored units are."""
        return self.path / "unit" / partition_hash(partitioner) / f"{scene_id}.kind.npy"

    def extra_file(self, extra: Extra, scene_id: str) -> Path:
        """Where a scene's prepared numbers are."""
        return self.path / "extra" / extra_hash(extra) / scene_id / f"{extra.name}.npy"

    def features_file(self, features: FeatureExtractor, scene_id: str, unit: Partitioner | None = None) -> Path:
        """Where the features of a scene's views are, or of its units."""
        return self.path / "features" / hash_of([features.identity, unit]) / f"{scene_id}.npy"

    def described(self, features: FeatureExtractor, scene_id: str, unit: Partitioner | None = None) -> F32:
        """The features f32[K,D] of a scene's views, or f32[U,D] of its units. Raises: FileNotFoundError when they were not prepared."""
        return self._prepared(self.features_file(features, scene_id, unit), scene_id, features)

    def check(self, scene_id: str) -> None:
        """Raise ValueError when the store has no such scene."""
        if scene_id not in self.sizes:
            raise ValueError(f"{self.name} has no scene {scene_id!r} ({len(self.sizes)} scenes, such as {next(iter(self.sizes))!r}): {self.path}")

    def _prepared(self, file: Path, scene_id: str, maker: object) -> Array:
        if not file.is_file():
            raise FileNotFoundError(f"scene {scene_id!r}: {maker} was not prepared ({file}): run al3d prepare with the same configuration")
        return mapped(file)


@lru_cache(maxsize=2)
def _opened(path: str, data_hash: str) -> Store:
    """The store at `path`, opened once per process and content."""
    return Store(Path(path))


def image_content(image: Image) -> dict[str, Any]:
    """A picture and its camera as `meta.json` keeps them."""
    camera = image.camera
    return {"path": str(image.path) if image.path else None, "camera": None if camera is None else {**vars(camera), "pose": camera.pose.tolist()}}


def _camera(content: dict[str, Any] | None) -> Camera | None:
    if content is None:
        return None
    pose: F64 = np.array(content["pose"], np.float64)
    return Camera(**{**content, "pose": pose})
