"""What a network gets: voxels of one or several scenes, sorted by (scene in batch, x, y, z)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from al3d.data.voxelise import first_label, first_rows, majority_label, mean_rows, voxelise
from al3d.geometry.bounds import bounds
from al3d.types import F32, I32, I64, IGNORE, U8, Bool


@dataclass(frozen=True)
class Voxels:
    """One scene as voxels: coord i32[V,3], feat f32[V,c], inverse i64[N], label i64[V]; `weight` of the scene's loss among those of its batch."""

    coord: I32
    feat: F32
    inverse: I64
    label: I64
    weight: float = 1.0


@dataclass(frozen=True)
class Pair:
    """One training scene twice, with the same points in the same order: `augmented`, and `plain` as it is; `labelled` bool[N] names the points with a label."""

    augmented: Voxels
    plain: Voxels
    labelled: Bool


@dataclass
class Batch:
    """coord i32[V,4] (scene in batch, x, y, z), feat f32[V,c], label i64[V], inverse i64[N] into V; `index` names the scenes.

    `point_label` i64[N] holds the labels to be judged by, in evaluation only; `views` other augmented copies of the same scene, in
    prediction only; `plain` the same points, in the same order, of scenes that are not augmented, and `labelled` bool[N] which of them have a
    label, in training by pairs only. `sizes` counts the voxels of each scene and `weights` says what its loss weighs, in training. Not frozen:
    Lightning moves it between devices.
    """

    coord: Tensor
    feat: Tensor
    label: Tensor
    inverse: Tensor
    index: list[int]
    point_label: Tensor | None = None
    views: list[Batch] = field(default_factory=list)
    plain: Batch | None = None
    labelled: Tensor | None = None
    sizes: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Voxeliser:
    """Scene arrays to `Voxels`: `size` metres, `inputs` columns by name (attributes and x, y, z), one row per voxel.

    `reduce` "mean" averages the points of a voxel, "first" keeps the first point as the papers do. `voxel_label` "majority" takes
    the most frequent of the asked points' labels, "first" the first point's, asked or not, as the papers' code does (D-30).
    `center` moves x and y to the middle of the cloud's box and z to its lowest point, so that inputs do not depend on where a
    building stands; the papers' code does not.
    """

    size: float
    inputs: tuple[str, ...]
    attributes: tuple[str, ...]
    classes: int
    reduce: str = "mean"
    center: bool = True
    voxel_label: str = "majority"

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", tuple(self.inputs))
        known = (*self.attributes, "x", "y", "z")
        wrong = [name for name in self.inputs if name not in known]
        if wrong or not self.inputs:
            raise ValueError(f"dataset.inputs names {wrong or 'nothing'}; this data set has {', '.join(known)}")
        if not self.size > 0 or self.reduce not in ("mean", "first"):
            raise ValueError(f"voxels need a positive size and reduce mean or first, got {self.size}, {self.reduce!r}")
        if self.voxel_label not in ("majority", "first"):
            raise ValueError(f"dataset.voxel_label={self.voxel_label!r} is not one of majority, first")

    def __call__(self, xyz: F32, feat: F32, label: U8) -> Voxels:
        coord, inverse = voxelise(xyz, self.size)
        columns = [*feat.T, *self._centered(xyz).T]
        chosen = [columns[(*self.attributes, "x", "y", "z").index(name)] for name in self.inputs]
        reduce = mean_rows if self.reduce == "mean" else first_rows
        rows = reduce(np.stack(chosen, axis=1), inverse, len(coord))
        if self.voxel_label == "first":
            return Voxels(coord, rows, inverse, first_label(label, inverse, len(coord)))
        return Voxels(coord, rows, inverse, majority_label(label, inverse, len(coord), self.classes))

    def _centered(self, xyz: F32) -> F32:
        if not self.center:
            return xyz
        low, high = bounds(xyz)
        return xyz - np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]], np.float32)


@dataclass(frozen=True)
class Crop:
    """Cuts a scene of more than `voxels` voxels for training, by what `random` draws.

    `by` "nearest": to the `voxels` nearest in x and y to one of its labelled voxels. Of equally near voxels the first in order stay; without a
    labelled voxel any voxel may be the middle. Voxels at the edge of what is labelled are then seen less often. "labels": to a part that is
    found by cutting in two, along the longer side of a turned frame, until a part is small enough; of two parts one is taken with the probability of its
    share of the labelled voxels, so that in the mean of a crop's loss each of the scene's labelled voxels weighs the same.
    Coordinates and inputs stay those of the whole scene, so that a crop looks like its part of the scene does in evaluation.
    Raises: ValueError unless `voxels` is a positive whole number.
    """

    voxels: int
    by: str = "nearest"

    def __post_init__(self) -> None:
        if isinstance(self.voxels, bool) or not isinstance(self.voxels, int) or self.voxels < 1:
            raise ValueError(f"dataset.crop_voxels={self.voxels!r}: give a whole number of voxels from 1 on, or null for whole scenes")

    def __call__(self, scene: Voxels, random: np.random.Generator) -> Voxels:
        """The part of `scene`; `inverse` then counts the points of the part alone."""
        points = self.points(scene, random)
        return scene if points is None else holding(scene, points)

    def points(self, scene: Voxels, random: np.random.Generator) -> Bool | None:
        """The points bool[N] of the part, or None for a scene that stays whole."""
        if len(scene.coord) <= self.voxels:
            return None
        if self.by == "labels":
            kept = np.zeros(len(scene.coord), dtype=bool)
            kept[_part(scene, self.voxels, random)] = True
            return kept[scene.inverse]
        labelled = np.flatnonzero(scene.label != IGNORE)
        middle = labelled[random.integers(len(labelled))] if len(labelled) else random.integers(len(scene.coord))
        offset = (scene.coord[:, :2] - scene.coord[middle, :2]).astype(np.int64)
        kept = np.zeros(len(scene.coord), dtype=bool)
        kept[np.argsort((offset**2).sum(axis=1), kind="stable")[: self.voxels]] = True
        return kept[scene.inverse]


def _part(scene: Voxels, most: int, random: np.random.Generator) -> I64:
    """The rows of a part of at most `most` voxels; each labelled voxel is in it, divided by how many it has, equally often."""
    angle = random.uniform(0, np.pi)
    turned = scene.coord[:, :2] @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    known, rows = scene.label != IGNORE, np.arange(len(scene.coord))
    while len(rows) > most:
        own = turned[rows]
        line = own[:, int(np.ptp(own, axis=0).argmax())]
        left = line < np.quantile(line, random.uniform(1 / 3, 2 / 3))
        if left.all() or not left.any():  # all above one place
            return rows
        counted = known[rows] if known[rows].any() else np.ones(len(rows), dtype=bool)
        rows = rows[left == (random.random() < counted[left].sum() / counted.sum())]
    return rows


def holding(scene: Voxels, points: Bool) -> Voxels:
    """The voxels that hold any of `points` bool[N], with what they are in the whole scene; `inverse` counts these points alone."""
    inverse = scene.inverse[points]
    kept = np.zeros(len(scene.coord), dtype=bool)
    kept[inverse] = True
    place = np.cumsum(kept) - 1
    return Voxels(scene.coord[kept], scene.feat[kept], place[inverse], scene.label[kept], scene.weight)


def paired(augmented: Voxels, plain: Voxels, labelled: Bool, points: Bool | None) -> Pair:
    """Two sights of one scene, both with all its points, or with `points` bool[N] alone."""
    if points is None:
        return Pair(augmented, plain, labelled)
    return Pair(holding(augmented, points), holding(plain, points), labelled[points])


def collate(items: Sequence[tuple[int, Voxels]], usual: float | None = None) -> Batch:
    """Put scenes side by side in one batch; `inverse` counts over the batch's voxels.

    Where batches differ in their number of scenes and have `usual` ones on average, the weights make up for it: a mean over the batch's scenes
    then adds up to the same over many batches as if all were of one size.
    """
    size = 1.0 if usual is None else len(items) / usual
    counts = np.cumsum([0, *(len(voxels.coord) for _, voxels in items)])
    coord = [np.concatenate([np.full((len(v.coord), 1), b, np.int32), v.coord], axis=1) for b, (_, v) in enumerate(items)]
    return Batch(
        coord=torch.from_numpy(np.concatenate(coord)),
        feat=torch.from_numpy(np.concatenate([v.feat for _, v in items])),
        label=torch.from_numpy(np.concatenate([v.label for _, v in items])),
        inverse=torch.from_numpy(np.concatenate([v.inverse + counts[b] for b, (_, v) in enumerate(items)])),
        index=[index for index, _ in items],
        sizes=[len(voxels.coord) for _, voxels in items],
        weights=[size * voxels.weight for _, voxels in items],
    )


def collate_pairs(items: Sequence[tuple[int, Pair]], usual: float | None = None) -> Batch:
    """Put pairs side by side: row i of the batch's `inverse` and of its plain part's `inverse` are about the same point."""
    batch = collate([(index, pair.augmented) for index, pair in items], usual)
    plain = collate([(index, pair.plain) for index, pair in items])
    return replace(batch, plain=plain, labelled=torch.from_numpy(np.concatenate([pair.labelled for _, pair in items])))


def judged(batch: Batch, point_label: U8, to_point: I32 | None) -> Batch:
    """The batch of one scene with labels to be judged by; `to_point` maps each judged point to a point of the scene as prepared."""
    inverse = batch.inverse if to_point is None else batch.inverse[torch.from_numpy(to_point.astype(np.int64))]
    return replace(batch, inverse=inverse, point_label=torch.from_numpy(point_label.astype(np.int64)))
