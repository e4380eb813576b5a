"""Samplers are pure functions of their place: of epoch, batch, rank, and of nothing else."""

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.data.samplers import Blocks, Share, TrainBatches
from al3d.rng import generator

PROPERTY = settings(max_examples=25, deadline=None, derandomize=True)


def epoch(sampler, number):
    sampler.set_epoch(number)
    return list(sampler)


@PROPERTY
@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(0, 5))
def test_ranks_together_see_what_one_rank_sees(scenes, batch_size, batches, world, number):
    alone = TrainBatches(range(scenes), batch_size * world, batches, (0, "train"))
    ranks = [TrainBatches(range(scenes), batch_size, batches, (0, "train"), rank, world) for rank in range(world)]
    together = [sum(parts, []) for parts in zip(*(epoch(rank, number) for rank in ranks), strict=True)]
    assert together == epoch(alone, number) and len(together) == len(alone) == batches
    assert all(len(batch) == batch_size * world for batch in together)


@PROPERTY
@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 4))
def test_resuming_at_an_epoch_equals_the_undisturbed(scenes, batch_size, batches):
    undisturbed = TrainBatches(range(scenes), batch_size, batches, (0, "train"))
    all_epochs = [epoch(undisturbed, number) for number in range(4)]
    assert epoch(TrainBatches(range(scenes), batch_size, batches, (0, "train")), 2) == all_epochs[2]
    row = [pair for batches_ in all_epochs for batch in batches_ for pair in batch]
    assert [position for _, position in row] == list(range(len(row)))
    whole = len(row) // scenes * scenes
    assert all(count == whole // scenes for count in Counter(scene for scene, _ in row[:whole]).values())
    merged = TrainBatches(range(scenes), batch_size, 4 * batches, (0, "train"))
    assert epoch(merged, 0) == [batch for batches_ in all_epochs for batch in batches_], "the length of an epoch does not matter"


def naive_batches(scenes, voxels, most, limit, key, count):
    """Fill batch after batch from the endless row."""
    row = (scene for turn in itertools.count() for scene in generator(*key, "order", turn).permutation(len(scenes)))
    batches, batch, total, position = [], [], 0, 0
    while len(batches) < count:
        place = next(row)
        if len(batch) == most or (batch and total + voxels[place] > limit):
            batches.append(batch)
            batch, total = [], 0
        batch.append((scenes[place], position))
        total, position = total + voxels[place], position + 1
    return batches


@PROPERTY
@given(st.lists(st.integers(1, 50), min_size=1, max_size=9), st.integers(1, 5), st.integers(1, 120), st.integers(1, 3), st.integers(0, 4))
def test_batches_by_voxels_are_filled_in_order(voxels, most, limit, world, number):
    scenes, key = list(range(10, 10 + len(voxels))), (0, "train")
    wanted = naive_batches(scenes, voxels, most, limit, key, 3 * world * 5)
    ranks = [TrainBatches(scenes, most, 3, key, rank, world, limit, voxels) for rank in range(world)]
    together = [batch for step in zip(*(epoch(rank, number) for rank in ranks), strict=True) for batch in step]
    assert together == wanted[3 * world * number : 3 * world * (number + 1)], "and a sampler that starts at an epoch sees what the others saw"
    size = dict(zip(scenes, voxels, strict=True))
    for batch in together:
        assert 1 <= len(batch) <= most and (len(batch) == 1 or sum(size[scene] for scene, _ in batch) <= limit)
    turned = TrainBatches(scenes, most, 3, key, 0, world, limit, voxels)
    assert [epoch(turned, other) for other in (3, 0, number)][2] == epoch(ranks[0], number), "in whatever order epochs are asked for"


def test_a_limit_that_never_bites_changes_nothing():
    plain, limited = TrainBatches(range(7), 3, 9, (0,)), TrainBatches(range(7), 3, 9, (0,), limit=30, voxels=[10] * 7)
    assert epoch(plain, 2) == epoch(limited, 2)
    with pytest.raises(ValueError, match="need a voxel count per scene: 2 counts for 7 scenes"):
        TrainBatches(range(7), 3, 9, (0,), limit=30, voxels=[1, 2])


def test_orders_differ_by_key_and_turn():
    def order(key):
        return [scene for batch in TrainBatches(range(10, 30), 20, 2, key) for scene, _ in batch]

    first = order((0, "train", 1))
    assert sorted(first[:20]) == sorted(first[20:]) == list(range(10, 30)) and first[:20] != first[20:]
    assert first == order((0, "train", 1)) and len({tuple(order(key)) for key in ((0, "train", 1), (1, "train", 1), (0, "train", 2))}) == 3


def test_nothing_to_train_on_is_said():
    with pytest.raises(ValueError, match="no labelled scene"):
        TrainBatches([], 2, 3, (0,))


@PROPERTY
@given(st.integers(0, 30), st.integers(1, 5))
def test_share_gives_every_index_to_one_rank(count, world):
    shares = [Share(count, rank, world) for rank in range(world)]
    assert sorted(index for share in shares for index in share) == list(range(count))
    assert all(len(share) == len(list(share)) for share in shares)


@PROPERTY
@given(st.lists(st.integers(1, 4), max_size=9), st.integers(1, 5))
def test_blocks_go_whole_and_in_order_to_one_rank(lengths, world):
    starts = [sum(lengths[:place]) * 2 for place in range(len(lengths))]
    blocks = [range(start, start + length) for start, length in zip(starts, lengths, strict=True)]
    shares = [list(Blocks(blocks, rank, world)) for rank in range(world)]
    assert [scene for share in shares for scene in share] == [scene for block in blocks for scene in block]
    for block in blocks:
        assert sum(set(block) <= set(share) for share in shares) == 1
    assert [len(Blocks(blocks, rank, world)) for rank in range(world)] == [len(share) for share in shares]


@PROPERTY
@given(st.lists(st.integers(1, 1000), min_size=1, max_size=9), st.integers(1, 4), st.integers(2, 4), st.integers(0, 3))
def test_ranks_share_a_step_evenly_by_voxels(voxels, batch_size, world, number):
    scenes = list(range(len(voxels)))
    plain = TrainBatches(scenes, batch_size * world, 3, (0, "train"))
    ranks = [TrainBatches(scenes, batch_size, 3, (0, "train"), rank, world, None, voxels) for rank in range(world)]
    for whole, *shares in zip(epoch(plain, number), *(epoch(rank, number) for rank in ranks), strict=True):
        assert sorted(sum(shares, [])) == sorted(whole), "the same scenes and draws as without sharing"
        assert all(len(share) == batch_size for share in shares)
        loads = [sum(voxels[scene] for scene, _ in share) for share in shares]
        in_order = [sum(voxels[scene] for scene, _ in whole[rank * batch_size : (rank + 1) * batch_size]) for rank in range(world)]
        largest = max(voxels[scene] for scene, _ in whole)
        assert max(loads) <= max(max(in_order), sum(loads) / world + largest), "no rank has much more than the mean, or than without"
