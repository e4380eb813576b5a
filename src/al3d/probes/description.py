"""What a probe is given: numbers about every voxel of a scene that no training changes, computed once and kept in the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from al3d.data.hashing import hash_of
from al3d.data.jobs import Jobs, Light
from al3d.data.prepare import each_missing, lock_of
from al3d.data.store import Store, mapped
from al3d.data.voxelise import mean_rows, voxelise
from al3d.data.whole import save
from al3d.features.kept import check_features
from al3d.files import read_json, whole_file, write_json
from al3d.locks import held
from al3d.progress import track
from al3d.types import F32, F64, Scene

#: The largest half-precision number.
LARGEST = 65504.0


class Description(Protocol):
    """Describes every point of a scene: a pure function of the scene and its own fields, a frozen dataclass.

    `points` says what it wants to see: the scene's own points, whose rows are averaged in every voxel, or a scene made of the voxels, each at the mean
    place of its points with their mean attributes. `identity` are plain values whose hash names the kept files, the content of any weights or
    files among them; `parallel` says that scenes may be described in several processes; `anywhere` that any scan of the same attributes can be
    described, not only the scenes of this data set.
    """

    @property
    def name(self) -> str: ...
    @property
    def identity(self) -> object: ...
    @property
    def parallel(self) -> bool: ...
    @property
    def points(self) -> bool: ...
    @property
    def anywhere(self) -> bool: ...
    def check(self, scene: Scene) -> None:
        """Refuse a scene that cannot be described, quickly, before any is. Raises: ValueError or FileNotFoundError with the way out."""
        ...

    def __call__(self, scene: Scene) -> F32:
        """Finite numbers f32[N,D], D the same for every scene."""
        ...


@dataclass(frozen=True, eq=False)
class Kept:
    """The descriptions of a prepared data set's voxels of `size` metres, side by side, and how their columns spread over the training voxels."""

    store: Store
    parts: tuple[Description, ...]
    size: float

    def rows(self, scene_id: str) -> F32:
        """The description of a scene's voxels as `voxelise` orders them: f32[V,D]. Raises: FileNotFoundError when it was not prepared."""
        return np.concatenate([np.asarray(mapped(self.file(part, scene_id)), np.float32) for part in self.parts], axis=1)

    def file(self, part: Description, scene_id: str) -> Path:
        """Where one description of a scene is."""
        return self.store.path / "description" / hash_of([part.identity, float(self.size)]) / f"{scene_id}.npy"

    @property
    def spread(self) -> tuple[F64, F64]:
        """The mean and the standard deviation of each column over the voxels of the training scenes, f64[D] each; a constant column has 1."""
        kept = [read_json(self._statistics(part)) for part in self.parts]
        mean, deviation = (np.concatenate([np.asarray(one[name], np.float64) for one in kept]) for name in ("mean", "deviation"))
        return mean, deviation

    def prepare(self, jobs: Jobs) -> None:
        """Describe every scene that has no file yet, then what the columns are like. Raises: ValueError listing every scene that cannot be described."""
        names = [name for split in sorted(self.store.splits) for name in self.store.splits[split]]
        for part in self.parts:
            todo = [name for name in names if not self.file(part, name).is_file()]
            check_features(self.store, part, todo)
            folder, hands = self.file(part, "-").parent, jobs if part.parallel else Jobs()
            words = f"{self.store.name}: description {part.name}"
            each_missing(folder, part.identity, partial(self.file, part), partial(_write, self, Light(part)), names, hands, words)
            statistics = self._statistics(part)
            if not statistics.is_file():
                with held(lock_of(statistics), words):
                    write_json(statistics, self._spread_of(part))

    def _statistics(self, part: Description) -> Path:
        return self.file(part, "-").with_name("statistics.json")

    def _spread_of(self, part: Description) -> Mapping[str, Any]:
        count, total, squares = 0, np.zeros(1), np.zeros(1)
        for name in track(self.store.splits["train"], f"{self.store.name}: statistics of {part.name}", len(self.store.splits["train"])):
            rows = np.asarray(mapped(self.file(part, name)), np.float64)
            count, total, squares = count + len(rows), total + rows.sum(axis=0), squares + (rows**2).sum(axis=0)
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
        constant = deviation <= 1e-4 * np.maximum(np.abs(mean), 1e-3)
        return {"voxels": count, "mean": mean.tolist(), "deviation": np.where(constant, 1.0, deviation).tolist()}


def described(parts: Sequence[Description], scene: Scene, size: float) -> F32:
    """What the descriptions say of a scene's voxels of `size` metres, side by side: f32[V,D], as precise as kept files are."""
    _, inverse = voxelise(np.asarray(scene.xyz), size)
    count = int(inverse.max()) + 1
    voxels = replace(scene, xyz=mean_rows(np.asarray(scene.xyz), inverse, count), feat=mean_rows(np.asarray(scene.feat), inverse, count), extra={})
    return np.concatenate([_half(mean_rows(part(scene), inverse, count) if part.points else part(voxels)) for part in parts], axis=1).astype(np.float32)


def _half(rows: F32) -> np.ndarray[Any, np.dtype[np.float16]]:
    return np.clip(rows, -LARGEST, LARGEST).astype(np.float16)


def _write(kept: Kept, light: Light[Description], scene_id: str) -> None:
    part, scene = light.value, kept.store.scene(scene_id)
    rows = described([part], scene, kept.size)
    if rows.ndim != 2 or not np.isfinite(rows).all():
        raise ValueError(f"{part.name} gave {rows.dtype} {list(rows.shape)}, but must give finite float32 [points, columns]")
    with whole_file(kept.file(part, scene_id)) as temporary:
        save(temporary, rows.astype(np.float16))
