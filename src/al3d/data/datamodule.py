"""What a round trains on, is judged on and chooses from, as a LightningDataModule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytorch_lightning as pl
from torch.utils.data import DataLoader, Dataset

from al3d.data.augment import Augmentation
from al3d.data.batch import Batch, Crop, Voxeliser, Voxels, collate, collate_pairs, holding, judged, paired
from al3d.data.holdout import Holdout
from al3d.data.labels import LabelState
from al3d.data.samplers import Blocks, Share, TrainBatches
from al3d.data.store import Store
from al3d.data.voxelise import first_label, majority_label
from al3d.rng import Key, generator
from al3d.types import F32, IGNORE, U8, Oracle


@dataclass(frozen=True)
class TrainScenes(Dataset[tuple[int, object]]):
    """(scene, draw) -> that scene with the labels of round `round_index`, augmented and cropped by the draw's own randomness.

    Its labels are those bought up to the round; a voxel that has none takes one that was guessed for the round. With `pairs` it comes as a
    `Pair`, beside itself without augmentation; a point counts as labelled if it was asked, whatever the answer, or guessed.
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

    def __getitem__(self, item: tuple[int, int]) -> tuple[int, object]:
        index, draw = item
        name = self.scenes[index]
        scene = self.store.scene(name)
        asked = self.labels.asked(name, self.round_index)
        asked = asked if self.holdout is None else asked & ~self.holdout.mask(name)
        label, guess = self.oracle.answer(name, asked), self.labels.pseudo(name, self.round_index)
        xyz, feat = _augmented(np.asarray(scene.xyz), np.asarray(scene.feat), self.augment, (*self.key, "augment", draw, name))
        voxels = _guessed(self.voxeliser(xyz, feat, label), guess, self.voxeliser)
        points = self.crop.points(voxels, generator(*self.key, "crop", draw, name)) if self.crop else None
        if not self.pairs:
            return index, voxels if points is None else holding(voxels, points)
        plain = self.voxeliser(np.asarray(scene.xyz), np.asarray(scene.feat), np.full(len(scene), IGNORE, np.uint8))
        return index, paired(voxels, plain, asked if guess is None else asked | (guess != IGNORE), points)


@dataclass(frozen=True)
class JudgedScenes(Dataset[Batch]):
    """scene -> a batch of it alone with every point's true label, as it is; raw points where the store kept them.

    With several `votes` the batch carries as many views less one, each an augmented copy drawn by (key, view, scene).
    """

    store: Store
    oracle: Oracle
    scenes: tuple[str, ...]
    voxeliser: Voxeliser
    points: str = "raw"
    votes: int = 1
    augment: tuple[Augmentation, ...] = ()
    key: Key = ()

    def __getitem__(self, index: int) -> Batch:
        name = self.scenes[index]
        raw = self.points == "raw" and self.store.grid is not None
        label = self.oracle.raw_labels(name) if raw else self.oracle.answer(name, np.ones(self.store.sizes[name], dtype=bool))
        to_point = self.store.inverse(name) if raw else None
        first = judged(_plain(self.store, name, index, self.voxeliser), label, to_point)
        copies = (_plain(self.store, name, index, self.voxeliser, self.augment, (*self.key, view, name)) for view in range(1, self.votes))
        return replace(first, views=[judged(copy, label, to_point) for copy in copies])


@dataclass(frozen=True)
class HeldOutScenes(Dataset[Batch]):
    """scene -> a batch of it alone, as it is, with the labels of its held-out points and no other."""

    store: Store
    oracle: Oracle
    holdout: Holdout
    voxeliser: Voxeliser

    def __getitem__(self, index: int) -> Batch:
        name = self.holdout.held[index]
        return judged(_plain(self.store, name, index, self.voxeliser), self.oracle.answer(name, self.holdout.mask(name)), None)


@dataclass(frozen=True)
class PoolScenes(Dataset[Batch]):
    """scene -> a batch of it alone, without any label: as it is, or with `views` > 1 so many augmented copies, drawn by (key, view, scene)."""

    store: Store
    scenes: tuple[str, ...]
    voxeliser: Voxeliser
    views: int = 1
    augment: tuple[Augmentation, ...] = ()
    key: Key = ()

    def __getitem__(self, index: int) -> Batch:
        name = self.scenes[index]
        if self.views == 1:
            return _plain(self.store, name, index, self.voxeliser)
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


def _plain(store: Store, name: str, index: int, voxeliser: Voxeliser, augment: tuple[Augmentation, ...] = (), key: Key = ()) -> Batch:
    scene = store.scene(name)
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
    which `batch_voxels` does not count. Test and predict take one scene at a time: predictions then do not
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
    ) -> None:
        super().__init__()
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
        self.train_scenes, self.judged_scenes = store.splits["train"], store.splits["val"]

    def train_dataloader(self) -> DataLoader[tuple[int, object]]:
        """Labelled scenes, augmented, in keyed order."""
        rank, world = self._place()
        if self.batch_size % world:
            raise ValueError(
                f"a batch of {self.batch_size} scenes cannot be shared by {world} ranks: make rounds.batch a multiple of trainer.devices x trainer.num_nodes"
            )
        key: Key = (self.rng, "train", self.round_index)
        touched = set(self.labels.trained_on(self.round_index) if self.holdout is None else self.holdout.trained)
        scenes = [index for index, name in enumerate(self.train_scenes) if name in touched]
        dataset = TrainScenes(
            self.store, self.oracle, self.labels, self.train_scenes, self.voxeliser, self.augment, self.round_index, key, self.crop, self.holdout, self.pairs
        )
        sampler = TrainBatches(scenes, self.batch_size // world, self.batches, key, rank, world, *self._voxel_limit(scenes, world))
        sampler.set_epoch(self._epochs_done())
        together = collate_pairs if self.pairs else collate
        return DataLoader(dataset, batch_sampler=sampler, num_workers=self.workers, collate_fn=together, persistent_workers=self.workers > 0)

    def test_dataloader(self) -> DataLoader[Batch]:
        """Every validation scene once."""
        key: Key = (self.rng, "vote", self.round_index)
        dataset = JudgedScenes(self.store, self.oracle, self.judged_scenes, self.voxeliser, self.judged_points, self.votes, self.augment, key)
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
        dataset = PoolScenes(self.store, self.train_scenes, self.voxeliser, self.views, self.augment, (self.rng, "view", self.round_index))
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
