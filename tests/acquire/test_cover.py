"""ProbCover: the radius whose balls are pure, greedy covering, and what happens when all is covered."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.acquire import cover
from al3d.acquire.budget import Ledger
from al3d.acquire.cover import Pairs, ProbCover, halved, pure_radius_squared
from al3d.features.kmeans import kmeans_labels

from .picking import bought


def squared_distances(feature):
    return ((feature[:, None, :].astype(float) - feature[None, :, :].astype(float)) ** 2).sum(axis=2)


def twin_radius(squared, label, purity):
    """The largest of all distances (and infinity) at which enough open balls are pure."""
    for radius in [np.inf, *sorted(np.unique(squared), reverse=True)]:
        pure = [not (label[squared[row] < radius] != label[row]).any() for row in range(len(label))]
        if np.mean(pure) >= purity:
            return radius
    return 0.0


def twin(feature, size, limit, classes, purity):
    """Greedy covering with the whole matrix of distances; every pick counts anew."""
    squared = squared_distances(feature)
    radius = twin_radius(squared, kmeans_labels(feature, classes), purity)
    nearest, there, rows, spent = np.full(len(size), np.inf), list(range(len(size))), [], 0
    while there and min(size) <= limit - spent:
        gain = {row: sum(nearest[other] >= radius and squared[row, other] < radius for other in range(len(size))) for row in there}
        best = max(there, key=lambda row: (gain[row], -row))
        if gain[best] == 0:
            farthest = max(nearest[row] for row in there)
            if farthest > 0:
                radius = farthest if radius == np.inf else radius
                while radius > farthest:
                    radius /= 4
                continue
            best = there[0]
        there.remove(best)
        if spent + size[best] <= limit:
            spent += size[best]
            rows.append(best)
            nearest = np.minimum(nearest, squared[best])
    return rows


@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(2, 4), st.sampled_from([0.5, 0.9, 0.95, 1.0]))
@settings(max_examples=40, deadline=None)
def test_as_the_twin(make_units, seed, count, classes, purity):
    """Whole numbers: their squared distances are exact, and many are equal."""
    random = np.random.default_rng(seed)
    feature = random.integers(0, 12, (count, 2)).astype(np.float32)
    size = random.integers(1, 9, count)
    limit = int(size.sum() * random.uniform(0.1, 1.0))
    rows = bought(make_units(size, list(range(count)), feature=feature), limit, ProbCover(classes, purity))
    assert rows == twin(feature, size, limit, classes, purity)


@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.floats(0.01, 1.0))
@settings(max_examples=60, deadline=None)
def test_the_radius_is_the_largest_that_is_pure_enough(seed, count, purity):
    random = np.random.default_rng(seed)
    feature = random.integers(0, 9, (count, 2)).astype(np.float32)
    label = np.unique(feature, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int32) % 3
    assert pure_radius_squared(Pairs(feature), label, purity) == twin_radius(squared_distances(feature), label, purity)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 70), st.sampled_from([0.0, 1e3]))
@settings(max_examples=40, deadline=None)
def test_pairs_are_exact_whatever_the_block(seed, count, wide, far):
    """Also far from the origin, where products of rows cancel, and where the limit is the distance of some pair itself."""
    random = np.random.default_rng(seed)
    feature = (random.normal(size=(count, wide)) + far).astype(np.float32)
    squared = np.stack([cover.squared_distance(feature, row) for row in feature])
    limit = float(random.choice(squared.reshape(-1)))
    members = np.flatnonzero(random.random(count) < 0.6)
    label = random.integers(0, 3, count).astype(np.int32)
    other = np.where(label[:, None] != label, squared, np.inf).min(axis=1)
    for block in (1, 50, 10_000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cover, "BLOCK_PAIRS", block)
            pairs = Pairs(feature)
            np.testing.assert_allclose(pairs.to_other(label), other, rtol=1e-5)
            assert np.array_equal(pairs.within(members, limit * (1 + 1e-4)), (squared[:, members] < limit * (1 + 1e-4)).sum(axis=1))
            assert pairs.within(members, 0.0).sum() == 0


def test_radius_of_two_groups_on_a_line():
    """Nearest of the other group: 5, 4, 3 | 3, 13, and of five balls one may be impure at 0.8."""
    feature = np.array([[0.0], [1], [2], [5], [15]], np.float32)
    label = np.array([0, 0, 0, 1, 1], np.int32)
    assert [pure_radius_squared(Pairs(feature), label, purity) for purity in (1.0, 0.8, 0.6, 0.4, 0.2)] == [9, 9, 16, 25, 169]
    assert pure_radius_squared(Pairs(feature), np.zeros(5, np.int32), 0.95) == np.inf


def test_dense_groups_come_first_and_outliers_last(make_units):
    random = np.random.default_rng(0)
    centre = np.array([[0, 0], [20, 0], [0, 20]])
    feature = np.concatenate([centre[number] + random.uniform(-1, 1, (each, 2)) for number, each in ((0, 10), (1, 30), (2, 20))] + [[[60, 60]]])
    units = make_units([1] * 61, list(range(61)), feature=feature)
    rows = bought(units, 4, ProbCover(4, purity=0.9))
    group = np.searchsorted([10, 40, 60], rows, side="right")
    assert group.tolist() == [1, 2, 0, 3], "the largest group, then smaller ones"


def test_when_all_is_covered_smaller_balls_are_drawn(make_units):
    """Two groups 100 apart; from the third unit on, the radius is halved until something in a group is uncovered."""
    feature = np.array([[0.0], [1], [2], [8], [100], [101]])
    units = make_units([1] * 6, list(range(6)), feature=feature)
    rows = bought(units, 6, ProbCover(2, purity=1.0))
    assert rows[:2] == [0, 4], "all that a ball can hold is a draw: the earlier wins"
    assert rows[2] == 3, "then what is farthest from what was taken"
    assert sorted(rows) == [0, 1, 2, 3, 4, 5]


def test_copies_come_last(make_units):
    feature = np.repeat([[0.0, 1], [1, 0], [0.6, 0.8], [-1, 0]], 3, axis=0)
    rows = bought(make_units([1] * 12, list(range(12)), feature=feature), 7, ProbCover(2))
    assert sorted(row // 3 for row in rows[:4]) == [0, 1, 2, 3] and rows[:4] == [row // 3 * 3 for row in rows[:4]]
    assert rows[4:] == sorted(rows[4:]) and len(set(rows)) == 7
    assert bought(make_units([1] * 5, list(range(5)), feature=np.ones((5, 2))), 3, ProbCover(2)) == [0, 1, 2]


def test_a_unit_that_does_not_fit_covers_nothing(make_units):
    feature = np.array([[0.0], [1], [-1], [40], [41]])
    units = make_units([50, 10, 10, 10, 10], list(range(5)), feature=feature)
    rows = bought(units, 20, ProbCover(2, purity=1.0))
    assert rows == [1, 3] and bought(units, 60, ProbCover(2, purity=1.0)) == [0, 3]


def test_caps_per_scene_and_labelled_units_are_kept_to(make_units):
    random = np.random.default_rng(0)
    units = make_units([10] * 12, [0] * 6 + [1] * 6, feature=random.normal(size=(12, 3)))
    units.size[[0, 5]] = 0
    rows = bought(units, 1000, ProbCover(3), per_scene=2)
    assert np.bincount(units.scene[rows]).tolist() == [2, 2] and not {0, 5} & set(rows)


def test_candidates_are_a_keyed_draw(make_units):
    random = np.random.default_rng(0)
    units = make_units([1] * 40, list(range(40)), feature=random.normal(size=(40, 3)))
    pick = ProbCover(3, candidates=10)
    rows = bought(units, 12, pick)
    assert len(rows) == 10 and rows == bought(units, 12, pick)
    other = Ledger(units, 12)
    pick(units, other, (2, "acquire", -1))
    assert set(other.rows) != set(rows)
    assert len(bought(units, 12, ProbCover(3, candidates=None))) == 12


def test_halving():
    assert halved(64.0, 5.0) == 4.0 and halved(64.0, 64.0) == 64.0 and halved(np.inf, 3.0) == 3.0
    assert 0 < halved(1.0, 1e-45) <= 1e-45


def test_nothing_to_buy(make_units):
    assert bought(make_units([0, 0], [0, 1]), 10, ProbCover(3)) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"purity": 0.0}, r"pick\.purity=0\.0 is a share"),
        ({"pseudo_classes": 1}, r"pick\.pseudo_classes=1: balls can be impure only among 2"),
        ({"candidates": 0}, r"pick\.candidates=0: look at 1 unit or more"),
    ],
)
def test_wrong_options_are_named(options, says):
    with pytest.raises(ValueError, match=says):
        ProbCover(**{"pseudo_classes": 3, **options})
