"""KMcentroid and KMfurthest: which unit of a cluster, how many clusters a budget has units for, and what is left of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import pairwise_distances

from al3d.acquire import clustering
from al3d.acquire.budget import Ledger
from al3d.acquire.clustering import KMeans, affordable, by_turn, copies, from_centre, narrowed
from al3d.acquire.embed import directions
from al3d.features.kmeans import kmeans_labels

from .picking import KEY, bought


def groups(random, count, each, wide=6, apart=20.0):
    """Tight groups far from each other, one after the other."""
    centre = random.normal(size=(count, wide)) * apart
    return (np.repeat(centre, each, axis=0) + random.normal(size=(count * each, wide)) * 0.1).astype(np.float32)


def chosen(feature, clusters, furthest, mode="paper"):
    """The twin: of each cluster one row, by looking at one cluster after the other."""
    label = kmeans_labels(feature, clusters, mode)
    rows = []
    for number in np.unique(label):
        members = np.flatnonzero(label == number)
        middle = feature[members].astype(float).mean(axis=0)
        away = [float(((feature[row] - middle) ** 2).sum()) for row in members]
        rows.append(int(members[int(np.argmax(away) if furthest else np.argmin(away))]))
    return sorted(rows)


def largest(feature, size, limit, furthest, mode):
    """The twin of the search: every number of clusters, from one to as many as there are rows."""
    fitting = [rows for count in range(1, len(feature) + 1) if size[rows := chosen(feature, count, furthest, mode)].sum() <= limit]
    return fitting[-1] if fitting else []


@pytest.mark.parametrize(("seed", "pick", "mode"), [(0, "centroid", "paper"), (1, "centroid", "fast"), (2, "furthest", "fast"), (3, "furthest", "fast")])
def test_as_many_clusters_as_fit_and_of_each_its_unit(make_units, seed, pick, mode):
    random = np.random.default_rng(seed)
    feature = random.normal(size=(14, 3)).astype(np.float32)
    size = random.integers(5, 40, 14)
    limit = int(size.sum() * random.uniform(0.2, 0.6))
    expected = largest(feature, size, limit, pick == "furthest", mode)
    rows = bought(make_units(size, list(range(14)), feature=feature), limit, KMeans(pick=pick, fill=False, kmeans=mode))
    assert sorted(rows) == expected


@pytest.mark.parametrize("pick", ["centroid", "furthest"])
def test_one_unit_of_every_group(make_units, pick):
    feature = groups(np.random.default_rng(3), 5, 7)
    rows = bought(make_units([10] * 35, list(range(35)), feature=feature), 50, KMeans(pick=pick))
    assert sorted(row // 7 for row in rows) == [0, 1, 2, 3, 4]
    for row in rows:
        members = np.arange(row // 7 * 7, row // 7 * 7 + 7)
        away = np.linalg.norm(feature[members] - feature[members].mean(axis=0), axis=1)
        assert row == members[away.argmin() if pick == "centroid" else away.argmax()]


def test_nearest_and_farthest_of_one_cluster(make_units):
    feature = [[0, 0], [1, 0], [2, 0], [3, 0], [10, 0]]  # the mean is 3.2
    units = make_units([1] * 5, list(range(5)), feature=feature)
    assert bought(units, 1, KMeans()) == [3]
    assert bought(units, 1, KMeans(pick="furthest")) == [4]
    assert bought(units, 3, KMeans(clusters=1)) == [3, 2, 1], "turn by turn"
    assert bought(units, 3, KMeans(pick="furthest", clusters=1)) == [4, 0, 1]
    assert bought(units, 3, KMeans(clusters=1, fill=False)) == [3]


def test_fill_serves_large_clusters_first(make_units):
    feature = [[0, 0], [0.1, 0], [9, 9], [9, 9.1], [9, 9.3], [5, -5]]
    units = make_units([1] * 6, list(range(6)), feature=feature)
    assert bought(units, 6, KMeans(clusters=3)) == [3, 0, 5, 2, 1, 4]


def test_what_is_left_buys_what_still_fits(make_units):
    feature = [[0, 0], [0.1, 0], [0.3, 0], [9, 9], [9, 9.1], [9, 9.3]]
    units = make_units([10, 10, 10, 10, 10, 5], list(range(6)), feature=feature)
    assert bought(units, 26, KMeans(clusters=2)) == [1, 4, 5], "others of either group cost 10, but 6 are left"


def test_a_wide_range_is_narrowed(make_units, monkeypatch):
    """What is found fits, the number after it does not, and few were tried."""
    random = np.random.default_rng(0)
    feature = directions(random.normal(size=(120, 5)))
    size = random.integers(1, 100, 120)
    limit, seen = 1500, set()
    least, most = affordable(size, limit)
    assert most - least > clustering.TRIED

    def counted(feature, clusters, mode):
        seen.add(clusters)
        return kmeans_labels(feature, clusters, mode)

    monkeypatch.setattr(clustering, "kmeans_labels", counted)
    rows = bought(make_units(size, list(range(120)), feature=feature), limit, KMeans(fill=False, kmeans="fast"))
    assert len(seen) <= 1 + clustering.GUESSES + np.ceil(np.log2(most - least)) + clustering.ABOVE
    assert size[rows].sum() <= limit and sorted(rows) == chosen(feature, len(rows), False, "fast")
    assert size[chosen(feature, len(rows) + 1, False, "fast")].sum() > limit


@given(st.lists(st.integers(1, 50), min_size=3, max_size=300), st.floats(0.0, 1.0))
def test_narrowing_finds_the_crossing_in_few_steps(prices, share):
    total, tried = np.cumsum(prices), set()

    def price(number):
        tried.add(number)
        return int(total[number])

    high = len(prices) - 1
    limit = int(total[0] + share * (total[high] - 1 - total[0]))
    low, last = narrowed(price, limit, 0, high)
    assert total[low] <= limit < total[low + 1] and last == min(high - 1, low + clustering.ABOVE)
    assert len(tried) <= 1 + clustering.GUESSES + np.ceil(np.log2(high))


def test_the_cap_bounds_clusters_and_fill_spends_the_rest(make_units):
    random = np.random.default_rng(0)
    units = make_units([10] * 60, list(range(60)), feature=random.normal(size=(60, 4)))
    assert len(bought(units, 400, KMeans(clusters=7, fill=False))) == 7
    assert len(bought(units, 400, KMeans(clusters=7))) == 40


def test_copies_wait_until_everything_else_was_bought(make_units):
    feature = np.repeat(np.random.default_rng(1).normal(size=(5, 3)), 4, axis=0)
    units = make_units([1] * 20, list(range(20)), feature=feature)
    for pick in ("centroid", "furthest"):
        rows = bought(units, 9, KMeans(pick=pick))
        assert sorted(rows[:5]) == [0, 4, 8, 12, 16] and len(set(rows)) == 9
        few = bought(units, 9, KMeans(pick=pick, clusters=2))
        assert sorted(few[:5]) == [0, 4, 8, 12, 16], "two clusters hold all five, and copies of them"
    assert bought(make_units([1] * 4, list(range(4)), feature=np.ones((4, 2))), 3, KMeans()) == [0, 1, 2]


def test_caps_per_scene_and_labelled_units_are_kept_to(make_units):
    feature = groups(np.random.default_rng(3), 3, 4)
    units = make_units([10] * 12, [0] * 6 + [1] * 6, feature=feature)
    units.size[[0, 5]] = 0
    rows = bought(units, 1000, KMeans(), per_scene=2)
    assert np.bincount(units.scene[rows]).tolist() == [2, 2] and not {0, 5} & set(rows)


def test_the_crossing_unit_is_a_matter_of_the_ledger(make_units):
    units = make_units([10] * 8, list(range(8)), feature=groups(np.random.default_rng(0), 4, 2))
    ledger = Ledger(units, 25, "include")
    KMeans()(units, ledger, KEY)
    assert len(ledger.rows) == 3 and ledger.spent == 30


def test_nothing_to_buy(make_units):
    assert bought(make_units([0, 0], [0, 1]), 10, KMeans()) == []
    assert bought(make_units([5, 5], [0, 1]), 4, KMeans()) == [], "every unit is dearer than the budget"


def test_restarts_are_for_small_pools(make_units, monkeypatch):
    modes = []

    def noted(feature, clusters, mode):
        modes.append(mode)
        return kmeans_labels(feature, clusters, mode)

    monkeypatch.setattr(clustering, "kmeans_labels", noted)
    monkeypatch.setattr(clustering, "PATIENT", 10)
    random = np.random.default_rng(0)
    for count in (10, 11):
        bought(make_units([1] * count, list(range(count)), feature=random.normal(size=(count, 2))), 3, KMeans())
    assert modes == ["paper", "fast"]


@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_parts_as_their_twins(count, clusters, seed):
    random = np.random.default_rng(seed)
    feature = random.integers(0, 3, (count, 3)).astype(np.float32)
    label = np.unique(random.integers(0, clusters, count), return_inverse=True)[1].reshape(-1).astype(np.int32)
    distinct, copy = copies(feature)
    assert distinct == len({tuple(row) for row in feature.tolist()})
    assert copy.tolist() == [sum(np.array_equal(feature[earlier], feature[row]) for earlier in range(row)) for row in range(count)]
    centre = np.stack([feature[label == number].mean(axis=0, dtype=float) for number in range(label.max() + 1)])
    away = from_centre(feature, label)
    np.testing.assert_allclose(away, pairwise_distances(feature, centre)[np.arange(count), label] ** 2, atol=1e-9)
    turn, order = by_turn(label, away, copy)
    assert sorted(order.tolist()) == list(range(count))
    waiting = {number: sorted(np.flatnonzero(label == number).tolist(), key=lambda row: (copy[row], away[row], row)) for number in range(label.max() + 1)}
    size = np.bincount(label)
    expected = sorted(
        ((copy[row], place, -size[number], min(rows), row) for number, rows in waiting.items() for place, row in enumerate(rows)),
        key=lambda entry: entry[:4],
    )
    assert order.tolist() == [entry[-1] for entry in expected]
    assert turn.tolist() == [entry[1] for entry in expected]


def test_far_rows_are_summed_in_blocks(monkeypatch):
    feature = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    label = (np.arange(50) % 4).astype(np.int32)
    whole = from_centre(feature, label)
    monkeypatch.setattr(clustering, "BLOCK", 7)
    np.testing.assert_allclose(from_centre(feature, label), whole, rtol=1e-12)


def test_how_many_units_a_budget_buys():
    cost = np.array([5, 1, 3, 9])
    assert affordable(cost, 9) == (1, 3) and affordable(cost, 0) == (0, 0) and affordable(cost, 18) == (4, 4) and affordable(cost, 8) == (0, 2)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"pick": "middle"}, r"pick\.pick='middle' is not one of centroid, furthest"),
        ({"kmeans": "slow"}, r"pick\.kmeans='slow' is not one of auto, paper, fast"),
        ({"clusters": 0}, r"pick\.clusters=0: make 1 cluster or more"),
    ],
)
def test_wrong_options_are_named(options, says):
    with pytest.raises(ValueError, match=says):
        KMeans(**options)
