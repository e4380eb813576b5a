"""The pool of a round: its scenes, what is asked of them already, and the view of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from al3d.acquire.acquirer import Acquirer
from al3d.acquire.described import described_unit, looked_at
from al3d.acquire.reduce import join
from al3d.acquire.window import windows
from al3d.data.labels import LabelState
from al3d.data.store import Store
from al3d.progress import track
from al3d.rng import Key
from al3d.types import F32, I64, Units, View

BASES = ("prepared", "queryable", "raw", "train_and_val")


@dataclass(frozen=True)
class Pool:
    """The training split as seen by one method in one round; scenes are named by their index in `scenes`.

    `round_index` is the round whose labels are known: -1 before the seed.
    """

    store: Store
    labels: LabelState
    method: Acquirer
    rng: int
    round_index: int

    @property
    def scenes(self) -> tuple[str, ...]:
        """The scene ids, in index order."""
        return self.store.splits["train"]

    @property
    def key(self) -> Key:
        """The key of every draw of this selection."""
        return (self.rng, "acquire", self.round_index)

    def view(self, index: int, prob: F32 | None = None, feature: F32 | None = None, inverse: I64 | None = None, entropy_of_passes: F32 | None = None) -> View:
        """One scene with its units, its asked points and, where given, what the network predicted per voxel."""
        name, features = self.scenes[index], self.method.features
        scene = self.store.scene(name, self.method.extras)
        unit = self.store.unit(self.method.unit, name, scene)
        return View(
            scene=scene,
            index=index,
            unit=unit,
            kind=self.store.kind(self.method.unit, name, unit),
            asked=self.labels.asked(name, self.round_index),
            key=(*self.key, name),
            prob=prob,
            feature=feature,
            inverse=inverse,
            entropy_of_passes=entropy_of_passes,
            described=None if features is None else self.store.described(features, name, described_unit(self.method)),
            whole=self.method.unit.name == "scene",
            regions={other: self.store.unit(other, name, scene) for other in self.method.partitions[1:]},
        )

    def windows(self) -> list[range]:
        """For every scene the scenes that must be predicted before it can be scored, itself included; see `al3d.acquire.window`."""
        context = self.method.context
        drives = [self.store.scene(name).sequence or name for name in self.scenes] if context else list(self.scenes)
        return windows(drives, context)

    def blocks(self) -> tuple[range, ...]:
        """The scenes in blocks of consecutive indices: at most 256, about 16 blocks of a small pool; independent of ranks."""
        size = min(256, max(1, -(-len(self.scenes) // 16)))
        return tuple(range(start, min(start + size, len(self.scenes))) for start in range(0, len(self.scenes), size))

    def harvest_unpredicted(self, quiet: bool = False) -> Units:
        """The rows of every scene for a method that needs no network."""
        return join(list(self._locals(quiet)))

    def _locals(self, quiet: bool) -> Iterator[Units]:
        there = looked_at(self.store, self.method).tolist()
        for index in track(there, f"collect units for {self.method.title}", len(there), quiet):
            yield self.method.local(self.view(index))


def base_points(store: Store, base: str | int, method: Acquirer) -> int:
    """The denominator of every percentage: points of the training split as prepared, unless said otherwise.

    `base`: "prepared", "raw" (before grid subsampling), "queryable" (points in some unit of `method`), "train_and_val", or a number.
    Source: the papers count differently (docs/fidelity.md D-45). Raises: ValueError for anything else.
    """
    if isinstance(base, int) and base > 0:
        return base
    if base == "prepared":
        return sum(store.sizes[name] for name in store.splits["train"])
    if base == "train_and_val":
        return sum(store.sizes[name] for split in ("train", "val") for name in store.splits[split])
    if base == "raw":
        return sum(store.raw_sizes[name] for name in store.splits["train"])
    if base == "queryable":
        return sum(int((store.unit(method.unit, name) >= 0).sum()) for name in store.splits["train"])
    raise ValueError(f"rounds.base={base!r} is not one of {', '.join(BASES)} or a positive number of points")
