"""Which scenes a rank sees, as pure functions of (rng, round, position): no padding, no hidden state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch.utils.data import Sampler

from al3d.rng import Key, generator


class TrainBatches(Sampler[list[tuple[int, int]]]):
    """Batches of (scene, draw): an endless row of keyed permutations of the labelled scenes, cut into equal batches.

    Batch b of epoch e on rank k is a pure function of (key, e, b, k), so a resumed training sees what an undisturbed one saw.
    `draw` is the position in the endless row: it keys the augmentation.
    """

    def __init__(self, scenes: Sequence[int], batch_size: int, batches: int, key: Key, rank: int = 0, world: int = 1) -> None:
        if not scenes:
            raise ValueError("there is no labelled scene to train on: the seed bought nothing that can be learnt from")
        self.scenes, self.batch_size, self.batches, self.key = list(scenes), batch_size, batches, key
        self.rank, self.world, self.epoch = rank, world, 0
        self.sampler = self  # Lightning calls set_epoch on `batch_sampler.sampler`

    def set_epoch(self, epoch: int) -> None:
        """Move to an epoch; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for batch in range(self.epoch * self.batches, (self.epoch + 1) * self.batches):
            start = (batch * self.world + self.rank) * self.batch_size
            yield [(self._scene(position), position) for position in range(start, start + self.batch_size)]

    def _scene(self, position: int) -> int:
        turn, place = divmod(position, len(self.scenes))
        return self.scenes[int(generator(*self.key, "order", turn).permutation(len(self.scenes))[place])]


class Share(Sampler[int]):
    """Every world-th index from `rank` on: each scene once over all ranks, never padded."""

    def __init__(self, count: int, rank: int = 0, world: int = 1) -> None:
        self.indices = range(rank, count, world)

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)


class Blocks(Sampler[int]):
    """The scenes of this rank's contiguous share of the unfinished blocks, in order."""

    def __init__(self, blocks: Sequence[range], rank: int = 0, world: int = 1) -> None:
        low, high = rank * len(blocks) // world, (rank + 1) * len(blocks) // world
        self.indices = [scene for block in blocks[low:high] for scene in block]

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)
