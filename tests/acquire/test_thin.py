"""Frames that resemble the one before leave the pool: the twin walks one frame at a time, in double precision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.acquire.thin import HALVINGS, Sparsify


@dataclass(frozen=True)
class Nothing:
    """Features that are handed in by the tests."""

    name: str = "nothing"
    identity: str = "nothing"
    parallel: bool = True
    of: None = None


def sparsify(**options):
    return Sparsify(Nothing(), **options)


def segments(feature, threshold):
    """[(first, end)] of the frames of one sequence, as the paper tells it."""
    found, first = [], 0
    for row in range(1, len(feature)):
        one, other = feature[first].astype(float), feature[row].astype(float)
        if one @ other / np.linalg.norm(one) / np.linalg.norm(other) <= threshold:
            found.append((first, row))
            first = row
    return [*found, (first, len(feature))]


def twin(feature, sequences, frames, threshold, keep, keep_tail):
    stay = {index for index, name in enumerate(sequences) if name is None}
    middles = []
    for name in sorted({name for name in sequences if name is not None}):
        rows = sorted((index for index, other in enumerate(sequences) if other == name), key=lambda index: frames[index])
        cut = segments(feature[rows], threshold)
        if keep == "first":
            stay |= {rows[first] for first, _ in cut}
            continue
        stay |= {rows[(first + end) // 2] for first, end in (cut if keep_tail else cut[:-1])}
        middles.append((len(cut), rows[(cut[-1][0] + cut[-1][1]) // 2]))
    if keep == "middle" and not keep_tail and middles and all(count == 1 for count, _ in middles):
        stay |= {middle for _, middle in middles}
    return sorted(stay)


def drive(angles):
    """Features on a circle: the cosine of two frames is that of the difference of their angles."""
    angles = np.radians(angles)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def walk(random, count, wide=5, step=0.6):
    """Features that drift, of any length."""
    return (np.cumsum(random.normal(size=(count, wide)), axis=0) * step + random.normal(size=wide)).astype(np.float32)


# Angles 0 10 20 | 50 60 70 80 | 100 110: the threshold 0.9 is 25.8 degrees.
ANGLES = [0, 10, 20, 50, 60, 70, 75, 100, 110]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"keep": "first"}, [0, 3, 7]),
        ({"keep": "first", "keep_tail": True}, [0, 3, 7]),
        ({"keep": "middle"}, [1, 5]),
        ({"keep": "middle", "keep_tail": True}, [1, 5, 8]),
    ],
)
def test_first_and_middle_frames_of_a_drive(options, expected):
    kept = sparsify(threshold=0.9, **options)(drive(ANGLES), ["a"] * 9, list(range(9)))
    assert kept.tolist() == expected and kept.dtype == np.int64


def test_a_frame_is_compared_with_the_first_of_its_segment_not_with_the_one_before():
    angles = np.arange(0, 100, 10)
    kept = sparsify(threshold=np.cos(np.radians(25)), keep="first")(drive(angles), ["a"] * 10, list(range(10)))
    assert kept.tolist() == [0, 3, 6, 9]


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 40),
    st.sampled_from([("first", False), ("middle", False), ("middle", True)]),
    st.sampled_from([-0.5, 0.0, 0.6, 0.75, 0.95]),
)
def test_as_the_twin_on_shuffled_drives(seed, count, kept, threshold):
    random = np.random.default_rng(seed)
    feature = walk(random, count)
    sequences = [["a", "b", "c", None][choice] for choice in random.integers(0, 4, count)]
    frames = random.permutation(count).tolist()
    keep, keep_tail = kept
    thin = sparsify(threshold=threshold, keep=keep, keep_tail=keep_tail)
    expected = twin(feature, sequences, frames, threshold, keep, keep_tail)
    assert thin(feature, sequences, frames).tolist() == expected
    order = random.permutation(count)
    again = thin(feature[order], [sequences[index] for index in order], [frames[index] for index in order])
    assert sorted(order[again].tolist()) == expected, "the order of the pool does not matter"


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 24), st.integers(1, 12), st.sampled_from(["first", "middle"]))
def test_without_a_threshold_it_is_as_high_as_may_be(seed, count, at_most, keep):
    random = np.random.default_rng(seed)
    feature = walk(random, count)
    sequences, frames = ["a"] * count, list(range(count))
    kept = sparsify(threshold=None, at_most=at_most, keep=keep)(feature, sequences, frames)
    if count <= at_most:
        assert kept.tolist() == frames
        return
    assert 1 <= len(kept) <= at_most
    unit = feature.astype(float) / np.linalg.norm(feature.astype(float), axis=1, keepdims=True)
    steps = np.unique(np.r_[-1.0, 1.0, (unit @ unit.T)[np.triu_indices(count, 1)]].clip(-1, 1))  # what stays changes at cosines of pairs alone
    grid = [sparsify(threshold=threshold, keep=keep)(feature, sequences, frames).tolist() for threshold in (steps[1:] + steps[:-1]) / 2]
    few = [len(rows) <= at_most for rows in grid]
    crossings = [rows for rows, fits, next_fits in zip(grid, few, few[1:], strict=False) if fits and not next_fits]
    if sum(a != b for a, b in zip(few, few[1:], strict=False)) == 1 and len(crossings) == 1:
        assert len(kept) >= len(crossings[0]), "no threshold leaves more and still few enough"


def test_the_threshold_found_is_the_last_that_leaves_few_enough():
    """Frames 4 degrees apart: ten segments of 40 frames have four frames each."""
    feature, sequences, frames = drive(np.arange(40) * 4.0), ["a"] * 40, list(range(40))
    thin = sparsify(threshold=None, at_most=10, keep="first")
    assert thin(feature, sequences, frames).tolist() == list(range(0, 40, 4))
    found = thin._most(feature, np.zeros(40, np.int64), 0)
    assert abs(found - np.cos(np.radians(12))) <= 2**-20, "from the cosine of 12 degrees on the fourth frame no longer resembles the first"
    assert len(sparsify(threshold=found, keep="first")(feature, sequences, frames)) == 10
    assert len(sparsify(threshold=min(1, found + 2.0 ** (1 - HALVINGS)), keep="first")(feature, sequences, frames)) > 10


def test_never_empty():
    alike = np.ones((6, 3), np.float32)
    sequences, frames = ["a", "a", "a", "b", "b", "b"], [0, 1, 2, 0, 1, 2]
    assert sparsify()(alike, sequences, frames).tolist() == [1, 4], "the middle frame of either drive"
    assert sparsify(keep_tail=True)(alike, sequences, frames).tolist() == [1, 4]
    assert sparsify(keep="first")(alike, sequences, frames).tolist() == [0, 3]
    assert sparsify()(alike[:1], ["a"], [7]).tolist() == [0]
    assert sparsify(threshold=None, at_most=1)(alike[:3], sequences[:3], frames[:3]).tolist() == [1]


def test_a_drive_of_one_segment_beside_a_longer_one_goes_with_its_tail():
    feature = np.concatenate([drive([0, 1, 2]), drive([0, 90, 91])])
    assert sparsify()(feature, ["a"] * 3 + ["b"] * 3, [0, 1, 2] * 2).tolist() == [3]


def test_scenes_without_a_drive_stay():
    feature = np.ones((5, 2), np.float32)
    assert sparsify()(feature, [None] * 5, [None] * 5).tolist() == [0, 1, 2, 3, 4]
    assert sparsify(keep="first")(feature, ["a", None, "a", "a", None], [0, None, 1, 2, None]).tolist() == [0, 1, 4]
    with_many = sparsify(threshold=None, at_most=3, keep="first")
    assert with_many(feature, ["a", None, None, None, "a"], [0, None, None, None, 1]).tolist() == [0, 1, 2, 3], "as few as can be"


def test_centring_makes_frames_differ():
    """Frames that share a large common part are alike until it is taken off."""
    feature = drive(np.arange(0, 360, 30)) + np.array([100, 0], np.float32)
    sequences, frames = ["a"] * 12, list(range(12))
    assert len(sparsify(keep="first")(feature, sequences, frames)) == 1
    assert len(sparsify(keep="first", center=True)(feature, sequences, frames)) == 6
    assert len(sparsify(keep="first", center=True)(np.full((12, 2), 0.3, np.float32), sequences, frames)) == 1, "equal frames stay alike"


def test_exact_duplicates_are_alike_at_any_threshold_below_one():
    feature = np.repeat(walk(np.random.default_rng(0), 4, wide=64), 5, axis=0)
    kept = sparsify(threshold=0.999999, keep="first")(feature, ["a"] * 20, list(range(20)))
    assert kept.tolist() == [0, 5, 10, 15]
    assert len(sparsify(threshold=1.0, keep="first")(feature, ["a"] * 20, list(range(20)))) == 20


def test_wanted_says_when_a_pool_must_be_described():
    assert sparsify().wanted(["a", None]) and not sparsify().wanted([None, None]) and not sparsify().wanted([])
    few = sparsify(threshold=None, at_most=3)
    assert not few.wanted(["a"] * 3) and few.wanted(["a"] * 4) and not few.wanted([None] * 4)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"threshold": 1.5}, r"thin\.threshold=1\.5 is a cosine"),
        ({"keep": "last"}, r"thin\.keep='last' is not one of first, middle"),
        ({"at_most": 0}, r"thin\.at_most=0: keep 1 scene or more"),
    ],
)
def test_wrong_options_are_named(options, says):
    with pytest.raises(ValueError, match=says):
        sparsify(**options)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_at_most_a_share_of_the_frames_stays_and_scenes_without_a_drive_are_not_counted(share):
    random = np.random.default_rng(3)
    feature = walk(random, 60)
    sequences = ["a"] * 30 + [None] * 10 + ["b"] * 20
    frames = list(range(60))
    kept = sparsify(threshold=None, at_most=1000, share=share, keep="first")(feature, sequences, frames)
    drives = [index for index in kept.tolist() if sequences[index] is not None]
    assert set(range(30, 40)) <= set(kept.tolist())
    assert 2 <= len(drives) <= max(2, share * 50), "at least the first frame of each drive"
    assert len(drives) > share * 50 - 8, "and not many fewer than allowed"
    with pytest.raises(ValueError, match="thin.share=0"):
        sparsify(share=0.0)
