"""What a round trains on, is judged on and chooses from, as a LightningDataModule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
from torch.utils.data import DataLoader, Dataset

from al3d.data.augment import Augmentation
from al3d.data.batch import Batch, Crop, Voxeliser, Voxels, collate, collate_pairs, holding, judged, paired
from al3d.data.draw import Draw
from al3d.data.holdout import Holdout
from al3d.data.labels import LabelState
from al3d.data.samplers import Blocks, Share, TrainBatches
from al3d.data.store import Store
from al3d.data.voxelise import first_label, majority_label, voxelise
from al3d.files import read_json, write_json
from al3d.progress import track
from al3d.rng import Key, generator
from al3d.run import first_process, wait_for
from al3d.types import F32, F64, I64, IGNORE, U8, Bool, Oracle

#: What is known beforehand about the voxels of a scene, f32[V,D].
RowsOf = Callable[[str], F32]


@dataclass(frozen=True)
class TrainScenes(Dataset[tuple[int, object]]):
    """(scene, draw) -> that scene with the labels of round `round_index`, augmented and cropped by the draw's own randomness.

    Its labels are those bought up to the round; a voxel that has none takes one that was guessed for the round. With `pairs` it comes as a
    `Pair`, beside itself without augmentation; a point counts as labelled if it was answered, whatever the answer, or guessed. `weight` f64[S] is what
    each scene's loss weighs (empty: 1).
    """

    store: Store
    oracle: Oracle
    labels: LabelState
    scenes: tuple[str, ...]
    voxeliser: Voxeliser
    augment: tuple[Augmentation, ...]
    round_index: int
    key: Key
    crop: Crop | None = None
    holdout: Holdout | None = None
    pairs: bool = False
    weight: F64 = field(default_factory=lambda: np.zeros(0))

    def asked(self, name: str) -> Bool:
        """The points of a scene whose answers are trained on: bool[N]."""
        asked = self.labels.asked(name, self.round_index)
        return asked if self.holdout is None else asked & ~self.holdout.mask(name)

    def labelled(self, name: str) -> I64:
        """The labels i64[V] of a scene's voxels when it is not augmented."""
        xyz, label = np.asarray(self.store.scene(name).xyz), self.oracle.answer(name, self.asked(name))
        voxels = replace(self.voxeliser, inputs=("x",), reduce="first")(xyz, np.zeros((len(xyz), len(self.voxeliser.attributes)), np.float32), label)
        return _guessed(voxels, self.labels.pseudo(name, self.round_index), self.voxeliser).label

    def class_voxels(self, quiet: bool = False) -> I64:
        """How many voxels of each class training has in each scene: i64[S,C], zeros where nothing is labelled; one pass over the labelled scenes."""
        counts = np.zeros((len(self.scenes), self.voxeliser.classes), np.int64)
        places = {name: place for place, name in enumerate(self.scenes)}
        names = [name for name in self.labels.trained_on(self.round_index) if name in places]
        for name in track(names, f"round {self.round_index}: count labels", len(names), quiet):
            label = self.labelled(name)
            counts[places[name]] = np.bincount(label[label != IGNORE], minlength=self.voxeliser.classes)
        return counts

    def __getitem__(self, item: tuple[int, int]) -> tuple[int, object]:
        index, draw = item
        name = self.scenes[index]
        scene = self.store.scene(name)
        asked = self.asked(name)
        label, guess = self.oracle.answer(name, asked), self.labels.pseudo(name, self.round_index)
        xyz, feat = _augmented(np.asarray(scene.xyz), np.asarray(scene.feat), self.augment, (*self.key, "augment", draw, name))
        voxels = _guessed(self.voxeliser(xyz, feat, label), guess, self.voxeliser)
        if len(self.weight):
            voxels = replace(voxels, weight=float(self.weight[index]))
        points = self.crop.points(voxels, generator(*self.key, "crop", draw, name)) if self.crop else None
        if not self.pairs:
            return index, voxels if points is None else holding(voxels, points)
        plain = self.voxeliser(np.asarray(scene.xyz), np.asarray(scene.feat), np.full(len(scene), IGNORE, np.uint8))
        told = self.oracle.answered(name, asked)
        return index, paired(voxels, plain, told if guess is None else told | (guess != IGNORE), points)


@dataclass(frozen=True)
class JudgedScenes(Dataset[Batch]):
    """scene -> a batch of it alone with every point's true label, as it is; raw points where the store kept them.

    With several `votes` the batch carries as many views less one, each an augmented copy drawn by (key, view, scene). With `rows` a voxel's inputs are
    what that says of the scene.
    """

    store: Store
    oracle: Oracle
    scenes: tuple[str, ...]
    voxeliser: Voxeliser
    points: str = "raw"
    votes: int = 1
    augment: tuple[Augmentation, ...] = ()
    key: Key = ()
    rows: RowsOf | None = None

    def __getitem__(self, index: int) -> Batch:
        name = self.scenes[index]
        raw = self.points == "raw" and self.store.grid is not None
        label = self.oracle.raw_labels(name) if raw else self.oracle.answer(name, np.ones(self.store.sizes[name], dtype=bool))
        to_point = self.store.inverse(name) if raw else None
        first = judged(_plain(self.store, name, index, self.voxeliser, rows=self.rows), label, to_point)
        copies = (_plain(self.store, name, index, self.voxeliser, self.augment, (*self.key, view, name)) for view in range(1, self.votes))
        return replace(first, views=[judged(copy, label, to_point) for copy in copies])


@dataclass(frozen=True)
class HeldOutScenes(Dataset[Batch]):
    """scene -> a batch of it alone, as it is, with the labels of its held-out points and no other; `rows` as in `JudgedScenes`."""

    store: Store
    oracle: Oracle
    holdout: Holdout
    voxeliser: Voxeliser
    rows: RowsOf | None = None

    def __getitem__(self, index: int) -> Batch:
        name = self.holdout.held[index]
        return judged(_plain(self.store, name, index, self.voxeliser, rows=self.rows), self.oracle.answer(name, self.holdout.mask(name)), None)


@dataclass(frozen=True)
class PoolScenes(Dataset[Batch]):
    """scene -> a batch of it alone, without any label: as it is, or with `views` > 1 so many augmented copies, drawn by (key, view, scene)."""

    store: Store
    scenes: tuple[str, ...]
    voxeliser: Voxeliser
    views: int = 1
    augment: tuple[Augmentation, ...] = ()
    key: Key = ()
    rows: RowsOf | None = None

    def __getitem__(self, index: int) -> Batch:
        name = self.scenes[index]
        if self.views == 1:
            return _plain(self.store, name, index, self.voxeliser, rows=self.rows)
        first, *others = (_plain(self.store, name, index, self.voxeliser, self.augment, (*self.key, view, name)) for view in range(self.views))
        return replace(first, views=others)


def _guessed(voxels: Voxels, guess: U8 | None, voxeliser: Voxeliser) -> Voxels:
    """The voxels, with pseudo-labels u8[N] where no label was bought."""
    if guess is None:
        return voxels
    if voxeliser.voxel_label == "first":
        label = first_label(guess, voxels.inverse, len(voxels.coord))
    else:
        label = majority_label(guess, voxels.inverse, len(voxels.coord), voxeliser.classes)
    return replace(voxels, label=np.where(voxels.label == IGNORE, label, voxels.label))


def _plain(
    store: Store, name: str, index: int, voxeliser: Voxeliser, augment: tuple[Augmentation, ...] = (), key: Key = (), rows: RowsOf | None = None
) -> Batch:
    scene = store.scene(name)
    if rows is not None:
        coord, inverse = voxelise(np.asarray(scene.xyz), voxeliser.size)
        return collate([(index, Voxels(coord, rows(name), inverse, np.full(len(coord), IGNORE, np.int64)))])
    xyz, feat = _augmented(np.asarray(scene.xyz), np.asarray(scene.feat), augment, key)
    return collate([(index, voxeliser(xyz, feat, np.full(len(scene), IGNORE, np.uint8)))])


def _augmented(xyz: F32, feat: F32, augment: tuple[Augmentation, ...], key: Key) -> tuple[F32, F32]:
    """The scene after every step, drawn from one generator keyed by `key`."""
    if not augment:
        return xyz, feat
    random = generator(*key)
    for step in augment:
        xyz, feat = step(xyz, feat, random)
    return xyz.astype(np.float32), feat


def _alone(batches: list[Batch]) -> Batch:
    return batches[0]


class RoundData(pl.LightningDataModule):
    """The loaders of one round.

    `batch_size` counts scenes over all ranks, and so does `batch_voxels`, the voxels of a batch before augmentation (`voxel_counts`:
    scene -> voxels); `crop` cuts large training scenes. `batches` is how many make an epoch (a checkpoint is written after each);
    `blocks` are the pool scenes still to be predicted, `reach` adds those that must be predicted with them; each is predicted from `views`
    augmented copies (1: as it is). A judged scene is seen `votes` times, as it is and augmented. `accumulate` batches make a step of the
    optimiser; ranks share the scenes of a step so that each has about as many voxels, where voxels are counted. `holdout` is kept from training and
    is, with `select_on` "bought_holdout", what checkpoints are chosen by. With `pairs` a training scene comes together with itself as it is,
    which `batch_voxels` does not count. `draw` says how often scenes are drawn and what they weigh; with "labels" `count_labels`
    comes first. Rounds are judged on the validation scenes, or on the held-out points of `judge`. With `rows` test and predict batches carry what is known of each scene beforehand instead of the voxeliser's inputs. Test and predict take one scene at a time: predictions then do not
    depend on which scenes share a batch, and memory is bounded by one scene.
    """

    def __init__(
        self,
        store: Store,
        oracle: Oracle,
        labels: LabelState,
        voxeliser: Voxeliser,
        augment: Sequence[Augmentation],
        round_index: int,
        rng: int,
        batch_size: int,
        batches: int,
        blocks: Sequence[range] = (),
        workers: int = 0,
        judged_points: str = "raw",
        crop: Crop | None = None,
        batch_voxels: int | None = None,
        voxel_counts: Mapping[str, int] | None = None,
        reach: Callable[[Sequence[range]], list[int]] | None = None,
        views: int = 1,
        votes: int = 1,
        accumulate: int = 1,
        holdout: Holdout | None = None,
        select_on: str = "none",
        pairs: bool = False,
        draw: Draw | None = None,
        rows: RowsOf | None = None,
        judge: Holdout | None = None,
    ) -> None:
        super().__init__()
        self.rows, self.judge = rows, judge
        oracle = oracle.heard(labels.folder, round_index)
        self.draw = draw or Draw()
        self._class_voxels: I64 | None = None
        self.store, self.oracle, self.labels, self.voxeliser = store, oracle, labels, voxeliser
        self.augment, self.round_index, self.rng = tuple(augment), round_index, rng
        self.batch_size, self.batches, self.blocks, self.workers = batch_size, batches, tuple(blocks), workers
        self.judged_points, self.crop = judged_points, crop
        self.reach, self.views = reach, views
        self.votes, self.accumulate, self.holdout, self.select_on = votes, accumulate, holdout, select_on
        self.pairs = pairs
        if batch_voxels is not None and voxel_counts is None:
            raise ValueError("batches by voxel count need both batch_voxels and the voxel_counts of the scenes")
        self.batch_voxels, self.voxel_counts = batch_voxels, voxel_counts
        self.train_scenes, self.judged_scenes = store.splits["train"], store.splits["val"] if judge is None else judge.held

    def train_dataloader(self) -> DataLoader[tuple[int, object]]:
        """Labelled scenes, augmented, in keyed order."""
        rank, world = self._place()
        if self.batch_size % world:
            raise ValueError(
                f"a batch of {self.batch_size} scenes cannot be shared by {world} ranks: make rounds.batch a multiple of trainer.devices x trainer.num_nodes"
            )
        scenes, probability, weight = self._drawn()
        dataset = replace(self.training, weight=weight)
        limits = self._voxel_limit(scenes, world)
        sampler = TrainBatches(scenes, self.batch_size // world, self.batches, dataset.key, rank, world, *limits, probability=probability)
        sampler.set_epoch(self._epochs_done())
        together = partial(collate_pairs if self.pairs else collate, usual=sampler.usual_scenes if self.draw.weighs else None)
        return DataLoader(dataset, batch_sampler=sampler, num_workers=self.workers, collate_fn=together, persistent_workers=self.workers > 0)

    @cached_property
    def training(self) -> TrainScenes:
        """What the round trains on."""
        crop = replace(self.crop, by="labels") if self.crop and self.draw.weighs else self.crop
        key: Key = (self.rng, "train", self.round_index)
        return TrainScenes(
            self.store, self.oracle, self.labels, self.train_scenes, self.voxeliser, self.augment, self.round_index, key, crop, self.holdout, self.pairs
        )

    def count_labels(self, file: Path) -> I64:
        """The labelled voxels of each training scene and class, i64[S,C], and kept in `file`: the first process counts, the others wait for it."""
        if not file.is_file() and first_process():
            counts = self.training.class_voxels()
            there = np.flatnonzero(counts.sum(axis=1))
            write_json(file, {self.train_scenes[place]: counts[place].tolist() for place in there})
        wait_for(file)
        kept = read_json(file)
        none = [0] * self.voxeliser.classes
        self._class_voxels = np.array([kept.get(name, none) for name in self.train_scenes], np.int64)
        return self._class_voxels

    def _drawn(self) -> tuple[list[int], F64 | None, F64]:
        """The scenes that are drawn, how often each (None: equally), and what the loss of each training scene weighs (empty: all the same)."""
        if not self.draw.weighs:
            touched = set(self.labels.trained_on(self.round_index) if self.holdout is None else self.holdout.trained)
            return [index for index, name in enumerate(self.train_scenes) if name in touched], None, np.zeros(0)
        if self._class_voxels is None:
            raise ValueError("scenes are drawn by their labels, which have not been counted: call count_labels first")
        voxels = self._class_voxels.sum(axis=1)
        scenes = np.flatnonzero(voxels)
        weight = np.zeros(len(voxels))
        weight[scenes] = self.draw.weight(voxels[scenes]) if len(scenes) else 0
        return scenes.tolist(), self.draw.probability(voxels[scenes]) if len(scenes) else None, weight

    def test_dataloader(self) -> DataLoader[Batch]:
        """Every scene that the round is judged on, once."""
        key: Key = (self.rng, "vote", self.round_index)
        dataset: Dataset[Batch] = JudgedScenes(
            self.store, self.oracle, self.judged_scenes, self.voxeliser, self.judged_points, self.votes, self.augment, key, self.rows
        )
        if self.judge is not None:
            dataset = HeldOutScenes(self.store, self.oracle, self.judge, self.voxeliser, self.rows)
        return DataLoader(dataset, sampler=Share(len(self.judged_scenes), *self._place()), num_workers=self.workers, collate_fn=_alone)

    def selection_dataloader(self) -> DataLoader[Batch]:
        """This rank's share of what a checkpoint is chosen by: the validation scenes, or the bought points that training does not see."""
        if self.select_on == "val":
            dataset: Dataset[Batch] = JudgedScenes(self.store, self.oracle, self.judged_scenes, self.voxeliser, self.judged_points)
            count = len(self.judged_scenes)
        elif self.holdout is not None:
            dataset, count = HeldOutScenes(self.store, self.oracle, self.holdout, self.voxeliser), len(self.holdout.held)
        else:
            raise ValueError(f"eval.select_on={self.select_on!r} chooses no checkpoint: set it to val or bought_holdout")
        return DataLoader(dataset, sampler=Share(count, *self._place()), num_workers=self.workers, collate_fn=_alone)

    def predict_dataloader(self) -> DataLoader[Batch]:
        """The pool scenes of this rank's unfinished blocks, and those that they reach."""
        dataset = PoolScenes(self.store, self.train_scenes, self.voxeliser, self.views, self.augment, (self.rng, "view", self.round_index), self.rows)
        return DataLoader(dataset, sampler=Blocks(self.blocks, *self._place(), self.reach), num_workers=self.workers, collate_fn=_alone)

    def _voxel_limit(self, scenes: Sequence[int], world: int) -> tuple[int | None, list[int]]:
        """The voxels of one rank's batch, and those of each of `scenes` where they are counted."""
        if self.voxel_counts is None:
            return None, []
        counts = [self.voxel_counts[self.train_scenes[index]] for index in scenes]
        limit = None if self.batch_voxels is None else self.batch_voxels // world
        return limit, [min(count, self.crop.voxels) for count in counts] if self.crop else counts

    def _epochs_done(self) -> int:
        """The epochs that a resumed training has behind it: workers draw their first batches before Lightning sets the epoch."""
        return self.trainer.global_step * self.accumulate // self.batches if self.trainer is not None else 0

    def _place(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)
