"""Which scenes a rank sees, as pure functions of (rng, round, position): no padding, no hidden state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import numpy as np
from torch.utils.data import Sampler

from al3d.rng import Key, generator
from al3d.types import Array

#: Steps of this fraction of 1 fill the unit interval evenly, however many there are.
GOLDEN = (5**0.5 - 1) / 2
#: Batches over which the mean number of scenes of a batch is taken.
AVERAGED = 256


class TrainBatches(Sampler[list[tuple[int, int]]]):
    """Batches of (scene, draw): an endless row of keyed permutations of the labelled scenes, cut into batches.

    Batch b of epoch e on rank k is a pure function of (key, e, b, k), so a resumed training sees what an undisturbed one saw.
    `draw` is the position in the endless row: it keys the augmentation. Ranks take turns at the batches of the row.
    A batch has `batch_size` scenes; with a `limit` it ends before the scene that would bring its `voxels` (one number per scene of
    `scenes`) above it, but never before its first scene. Where batch b starts then follows from the row's beginning, which is walked again.
    Without a limit, ranks whose scenes have known `voxels` share each step's scenes evenly: as many scenes each, and about as many voxels.
    With a `probability` per scene (they sum to 1) a turn of the row is a systematic sample instead of a permutation: in so many places as there are
    scenes, each occurs as often as expected, to within one, and over the turns ever more exactly, since the sample's start moves by the golden ratio.
    """

    def __init__(
        self,
        scenes: Sequence[int],
        batch_size: int,
        batches: int,
        key: Key,
        rank: int = 0,
        world: int = 1,
        limit: int | None = None,
        voxels: Sequence[int] = (),
        probability: Array | None = None,
    ) -> None:
        if not scenes:
            raise ValueError("there is no labelled scene to train on: the seed bought nothing that can be learnt from")
        if (limit is not None or voxels) and len(voxels) != len(scenes):
            raise ValueError(f"batches of at most {limit} voxels need a voxel count per scene: {len(voxels)} counts for {len(scenes)} scenes")
        self.scenes, self.batch_size, self.batches, self.key = list(scenes), batch_size, batches, key
        self.rank, self.world, self.epoch = rank, world, 0
        self.limit, self.voxels = limit, list(voxels)
        self.sampler = self  # Lightning calls set_epoch on `batch_sampler.sampler`
        self._starts = [0]
        self._turn, self._order = -1, np.zeros(0, np.int64)
        self._bounds = None if probability is None else np.cumsum(probability) / np.sum(probability)

    @cached_property
    def usual_scenes(self) -> float:
        """How many scenes a batch has on average: of the first ones, where the voxels of a batch are limited."""
        if self.limit is None:
            return float(self.batch_size)
        return self._start(AVERAGED) / AVERAGED

    def set_epoch(self, epoch: int) -> None:
        """Move to an epoch; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for batch in range(self.epoch * self.batches, (self.epoch + 1) * self.batches):
            if self.world > 1 and self.limit is None and self.voxels:
                yield self._even_share(batch)
                continue
            number = batch * self.world + self.rank
            yield [(self.scenes[self._place(position)], position) for position in range(self._start(number), self._start(number + 1))]

    def _even_share(self, batch: int) -> list[tuple[int, int]]:
        """This rank's scenes of a step: the largest first, each to the rank with the fewest voxels that still has room."""
        first = batch * self.world * self.batch_size
        places = [(self._place(position), position) for position in range(first, first + self.world * self.batch_size)]
        load, shares = [0] * self.world, [[] for _ in range(self.world)]  # type: tuple[list[int], list[list[tuple[int, int]]]]
        for place, position in sorted(places, key=lambda one: (-self.voxels[one[0]], one[1])):
            rank = min((rank for rank in range(self.world) if len(shares[rank]) < self.batch_size), key=lambda rank: (load[rank], rank))
            load[rank] += self.voxels[place]
            shares[rank].append((self.scenes[place], position))
        return sorted(shares[self.rank], key=lambda one: one[1])

    def _start(self, number: int) -> int:
        """The position in the row where batch `number` of all ranks' batches starts."""
        if self.limit is None:
            return number * self.batch_size
        while len(self._starts) <= number:
            self._starts.append(self._end(self._starts[-1], self.limit))
        return self._starts[number]

    def _end(self, start: int, limit: int) -> int:
        total = 0
        for position in range(start, start + self.batch_size):
            total += self.voxels[self._place(position)]
            if total > limit and position > start:
                return position
        return start + self.batch_size

    def _place(self, position: int) -> int:
        """Which of `scenes` is at a position of the row."""
        turn, place = divmod(position, len(self.scenes))
        if turn != self._turn:
            self._turn, self._order = turn, generator(*self.key, "order", turn).permutation(self._sample(turn))
        return int(self._order[place])

    def _sample(self, turn: int) -> Array:
        """The scenes of one turn, in no particular order: each once, or as their probabilities say."""
        count = len(self.scenes)
        if self._bounds is None:
            return np.arange(count)
        start = (generator(*self.key, "start").random() + turn * GOLDEN) % 1
        return np.minimum(np.searchsorted(self._bounds, (np.arange(count) + start) / count, side="right"), count - 1)


class Share(Sampler[int]):
    """Every world-th index from `rank` on: each scene once over all ranks, never padded."""

    def __init__(self, count: int, rank: int = 0, world: int = 1) -> None:
        self.indices = range(rank, count, world)

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)


def share_of(blocks: Sequence[range], rank: int, world: int) -> Sequence[range]:
    """The contiguous share of the blocks that a rank has."""
    return blocks[rank * len(blocks) // world : (rank + 1) * len(blocks) // world]


class Blocks(Sampler[int]):
    """The scenes of this rank's contiguous share of the unfinished blocks, and what they reach, in order."""

    def __init__(self, blocks: Sequence[range], rank: int = 0, world: int = 1, reach: Callable[[Sequence[range]], list[int]] | None = None) -> None:
        own = share_of(blocks, rank, world)
        self.indices = reach(own) if reach else [scene for block in own for scene in block]

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)
