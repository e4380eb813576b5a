"""The vocabulary of al3d: what the floors above pass to each other.

N points, V voxels, U units, C classes, D features, F point attributes. NumPy outside the network, torch inside.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

#: The label of a point whose class is not known: not asked yet, or outside the class list.
IGNORE = 255
#: What a network says of a voxel: the features that its classifier sees, or those of the coarse voxel around it.
PENULTIMATE, BOTTLENECK = "penultimate", "bottleneck"

Array = NDArray[Any]
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]
Bool = NDArray[np.bool_]


@dataclass(frozen=True)
class ClassTable:
    """The classes of a data set, in label order: `names[i]` and `colors[i]` (red, green, blue, 0..255) belong to label i."""

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]

    def __post_init__(self) -> None:
        if not self.names or len(self.names) != len(self.colors):
            raise ValueError(f"a class table needs one colour per class: {len(self.names)} names, {len(self.colors)} colours")
        if len(self.names) >= IGNORE:
            raise ValueError(f"{len(self.names)} classes: labels are bytes and {IGNORE} means unknown, so at most {IGNORE - 1} classes fit")

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera: intrinsics in pixels and `pose` f64[4,4] from the camera's frame (z forward, y down) to the scene's."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    pose: F64 = field(default_factory=lambda: np.eye(4))


@dataclass(frozen=True, eq=False)
class Image:
    """A picture of a scene: its file (None: not kept), and the camera that took it (None: unknown, nothing can be projected into it)."""

    path: Path | None
    camera: Camera | None = None


@dataclass(frozen=True, eq=False)
class Scene:
    """One room, table or LiDAR frame, without labels.

    Shapes: `xyz` f32[N,3] metres in the scene's own frame (the sensor's for LiDAR; elsewhere world minus `origin` f64[3]);
    `feat` f32[N,F], the source's `features` (colours 0..1, or intensity); `sequence` and `frame` place a LiDAR frame in its drive;
    `pose` f64[4,4] to the drive's world; `images` with their cameras in the scene's frame; `extra` name -> f32[N]. +z is up. Everything is finite and N >= 1.
    Raises: ValueError naming the scene when a shape or a value breaks that.
    """

    id: str
    xyz: F32
    feat: F32
    origin: F64 = field(default_factory=lambda: np.zeros(3))
    sequence: str | None = None
    frame: int | None = None
    pose: F64 = field(default_factory=lambda: np.eye(4))
    images: tuple[Image, ...] = ()
    extra: Mapping[str, F32] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.xyz.ndim != 2 or self.xyz.shape[1] != 3 or self.xyz.dtype != np.float32:
            raise ValueError(f"scene {self.id!r}: xyz must be float32 [N,3], got {self.xyz.dtype} {list(self.xyz.shape)}")
        if len(self.xyz) == 0:
            raise ValueError(f"scene {self.id!r} has no points: remove it from its split, or read it again from the raw files")
        if self.feat.ndim != 2 or len(self.feat) != len(self.xyz) or self.feat.dtype != np.float32:
            raise ValueError(f"scene {self.id!r}: feat must be float32 [{len(self.xyz)},F], got {self.feat.dtype} {list(self.feat.shape)}")
        for name, values in (("xyz", self.xyz), ("feat", self.feat)):
            if not np.isfinite(values).all():
                row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
                raise ValueError(f"scene {self.id!r}: point {row} has a non-finite {name} {values[row].tolist()}: remove such points from the file")

    def __len__(self) -> int:
        return len(self.xyz)

    def in_world(self, xyz: F32) -> F64:
        """Places f32[M,3] of the scene's frame in the world of its drive, f64[M,3]."""
        local = xyz.astype(np.float64) + self.origin
        return np.asarray(local @ self.pose[:3, :3].T + self.pose[:3, 3])


class Source(Protocol):
    """Raw files of one data set: which scenes there are, and how to read one.

    `features` names the columns of `Scene.feat`; `scale` holds lengths in metres that the data set itself brings (empty if
    none); `splits` names what `scenes` accepts; `published` says how many scenes the complete official data have per split (empty
    when nobody published that); `fingerprint` hashes the raw files' names, sizes and times and the source's own options, without
    reading them.
    """

    @property
    def name(self) -> str: ...
    @property
    def classes(self) -> ClassTable: ...
    @property
    def features(self) -> tuple[str, ...]: ...
    @property
    def scale(self) -> Mapping[str, float]: ...
    @property
    def splits(self) -> Collection[str]: ...
    @property
    def published(self) -> Mapping[str, int]: ...
    def scenes(self, split: str) -> tuple[str, ...]:
        """The scene ids of `split`, sorted. Raises: ValueError for an unknown split."""
        ...

    def read(self, scene_id: str) -> tuple[Scene, U8]:
        """The scene and its labels u8[N] (IGNORE where unlabelled)."""
        ...

    def fingerprint(self) -> str: ...


@dataclass(frozen=True, eq=False)
class Partition:
    """A scene cut into query units: `unit` i32[N], dense ids from 0, -1 for points that can never be asked for.

    `kind` u8[U] sorts the units (BaSAL's objects and ground cells), an index into the partitioner's `kinds`; None: all are of the first.
    """

    unit: I32
    kind: U8 | None = None

    def kinds(self) -> U8:
        """The kind of every unit, u8[U]."""
        return np.zeros(int(self.unit.max(initial=-1)) + 1, np.uint8) if self.kind is None else self.kind


class Partitioner(Protocol):
    """Cuts a scene into query units; a pure function of the scene and its own fields.

    `stored` says whether the ids are worth a file; `kinds` names what sorts of unit there are.
    """

    @property
    def name(self) -> str: ...
    @property
    def stored(self) -> bool: ...
    @property
    def kinds(self) -> tuple[str, ...]: ...
    def __call__(self, scene: Scene) -> Partition: ...


class FeatureExtractor(Protocol):
    """Describes a scene, or its units, without a label: what a seed chooses by before there is a network.

    `name` is what curves carry; `identity` plain values or frozen dataclasses whose hash names the kept files (with the content of any
    weights); `parallel` says that scenes may be described in several processes (false: once per process, on its device); `of` is the
    extractor that this one summarises (None: it reads the scene itself), whose result is then handed in as `inner`.
    """

    @property
    def name(self) -> str: ...
    @property
    def identity(self) -> object: ...
    @property
    def parallel(self) -> bool: ...
    @property
    def of(self) -> FeatureExtractor | None: ...
    def check(self, scene: Scene) -> None:
        """Refuse a scene that cannot be described, quickly, before any is. Raises: ValueError or FileNotFoundError with the way out."""
        ...

    def __call__(self, scene: Scene, inner: F32 | None = None) -> F32:
        """The features of the scene's views (pictures, parts, clusters of them): finite f32[K,D], K >= 1."""
        ...

    def of_units(self, scene: Scene, unit: I32) -> F32:
        """One feature per unit, finite f32[U,D]; `unit` i32[N]. Raises: ValueError when these features describe whole scenes alone."""
        ...


class Oracle(Protocol):
    """The only reader of ground truth: labels u8[N] of the asked points, IGNORE elsewhere.

    `simulated` says that every answer is known beforehand, so that reports may show what a method could not see.
    """

    @property
    def simulated(self) -> bool: ...
    def heard(self, run: Path, round_index: int) -> Oracle:
        """The oracle with what was known when a round of a run was trained."""
        ...

    def listen(self, run: Path, round_index: int, every: bool) -> str | None:
        """Keep what a round trains on; what a person is told where answers are missing (with `every`: any answer), else None."""
        ...

    def answer(self, scene_id: str, asked: Bool) -> U8: ...
    def answered(self, scene_id: str, asked: Bool) -> Bool:
        """The asked points about which there is an answer, if only that the class is not known: bool[N]."""
        ...

    def raw_labels(self, scene_id: str) -> U8:
        """The labels of the points before grid subsampling, for evaluation only."""
        ...


@dataclass(frozen=True, eq=False)
class View:
    """What a scorer sees of one scene: the scene, its units, what is asked already, and what the network predicted.

    Shapes: `unit` i32[N] (-1: never queryable); `kind` u8[units of the scene]; `asked` bool[N]; per voxel `prob` f32[V,C] (rows sum to 1) and `feature`
    f32[V,D] (penultimate), both None when nothing was predicted; `inverse` i64[N] point -> voxel. With several passes `prob` is their
    mean and `entropy_of_passes` f32[V] the mean of their entropies in nats. `regions` holds the partitions that a score asked for,
    `neighbours` the frames around this one, `indexed` what is derived from this frame once for all that look at it. `key` starts
    every random draw about this scene. `described` is what the method's `features` say: f32[K,D] views when the
    unit is the `whole` scene, else f32[U,D].
    """

    scene: Scene
    index: int
    unit: I32
    kind: U8
    asked: Bool
    key: tuple[int | str, ...] = ()
    prob: F32 | None = None
    feature: F32 | None = None
    inverse: I64 | None = None
    entropy_of_passes: F32 | None = None
    regions: Mapping[Partitioner, I32] = field(default_factory=dict)
    neighbours: tuple[View, ...] = ()
    indexed: dict[float, Any] = field(default_factory=dict)
    described: F32 | None = None
    whole: bool = False

    def predicted(self) -> F32:
        """`prob`, or a ValueError when the method was run without a prediction pass."""
        if self.prob is None or self.inverse is None:
            raise ValueError(f"scene {self.scene.id!r}: this score needs predictions; its `needs` must name 'prob' so that the pool is predicted")
        return self.prob


@dataclass(frozen=True, eq=False)
class Units:
    """Rows about query units, sorted by (scene, unit), so that no choice depends on how scenes were sharded.

    Shapes: `scene` i32[U] (index into the pool's scene list), `unit` i32[U], `size` i64[U] (its points not yet asked), `points`
    i64[U] (all its points), `center` and `extent` f32[U,3] metres in the scene's frame, `world` f64[U,3] the centre in the world of
    its drive and `drive` i32[U] a number that frames of one sequence share (a scene without a sequence has its own), `score` f32[U,S]
    (higher = ask first), `feature` f32 or f16 [U,D] (D may be 0), or f32[U,K,D] of a scene's views (rows of NaN where it has fewer),
    `kind` u8[U], `predicted` u8[U] the class that most of its points are predicted as (IGNORE without predictions), `clicks` i64[U] in
    how many classes its points are predicted (1 without predictions): what labelling it should cost; `labelled` bool[U] (at least half of its
    points are asked).
    """

    scene: I32
    unit: I32
    size: I64
    points: I64
    center: F32
    extent: F32
    world: F64
    drive: I32
    score: F32
    feature: Array
    kind: U8
    predicted: U8
    clicks: I64
    labelled: Bool

    def __len__(self) -> int:
        return len(self.scene)
