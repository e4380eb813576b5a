"""Pickers against naive quadratic twins, exact."""

import numpy as np
import pytest
import sklearn.cluster
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.acquire.budget import Ledger
from al3d.acquire.pick import ClusterDecay, Top, rank_in_cluster
from al3d.features import kmeans as kmeans_module
from al3d.features.kmeans import kmeans_labels
from al3d.rng import generator


def naive_order(rows, score):
    """Selection sort: again and again the best row that is left, the earliest among equals."""
    left, order = list(rows), []
    while left:
        best = left[0]
        for row in left:
            if score[row] > score[best]:
                best = row
        left.remove(best)
        order.append(best)
    return order


def naive_buy(order, sizes, limit):
    bought, spent = [], 0
    for row in order:
        if spent + sizes[row] <= limit:
            bought.append(row)
            spent += int(sizes[row])
    return bought


def pool(make_units, seed):
    random = generator("pool", seed)
    count = int(random.integers(1, 60))
    score = random.integers(0, 8, count) / np.float32(8)
    feature = random.integers(0, 4, (count, 3)).astype(np.float32)
    return make_units(random.integers(0, 12, count), random.integers(0, 4, count), score, feature), int(random.integers(1, 200))


@pytest.mark.parametrize("seed", range(20))
def test_top_equals_the_naive_twin(make_units, seed):
    units, limit = pool(make_units, seed)
    ledger = Ledger(units, limit)
    Top()(units, ledger, ())
    rows = [row for row in range(len(units)) if units.size[row] > 0]
    assert list(ledger.rows) == naive_buy(naive_order(rows, units.score[:, 0]), units.size, limit)


@pytest.mark.parametrize("seed", range(20))
def test_cluster_decay_equals_the_naive_twin(make_units, seed):
    units, limit = pool(make_units, seed)
    clusters, decay, trim = (4, 0.9, 0.6) if seed % 2 else (100, 0.5, 1.0)
    ledger = Ledger(units, limit)
    ClusterDecay(clusters, decay, trim)(units, ledger, ())
    score = units.score[:, 0]
    ranked = naive_order([row for row in range(len(units)) if units.size[row] > 0], score)
    ranked = ranked[: max(1, int(len(ranked) * trim))]
    label = dict(zip(ranked, kmeans_labels(units.feature[ranked], clusters).tolist(), strict=True)) if ranked else {}
    worth = {row: np.float64(score[row]) * np.float64(decay) ** sum(label[other] == label[row] for other in ranked[:place]) for place, row in enumerate(ranked)}
    assert list(ledger.rows) == naive_buy(naive_order(ranked, worth), units.size, limit)


def test_equal_scores_go_to_the_earlier_scene_and_unit(make_units):
    units = make_units([1] * 6, [1, 0, 1, 0, 2, 0], [5, 5, 5, 9, 5, 5], np.arange(12).reshape(6, 2))
    for picker in (Top(), ClusterDecay()):
        ledger = Ledger(units, 4)
        picker(units, ledger, ())
        assert ledger.rows == (3, 0, 1, 2)


def test_decay_spreads_over_clusters(make_units):
    units = make_units([1] * 4, score=[1.0, 0.9, 0.8, 0.6], feature=[[0, 0], [0, 0], [0, 0], [5, 5]])
    ledger = Ledger(units, 3)
    ClusterDecay(decay=0.5)(units, ledger, ())
    assert ledger.rows == (0, 3, 1)


def test_decay_refuses_negative_scores(make_units):
    units = make_units([1, 1], score=[-0.1, -0.9])
    with pytest.raises(ValueError, match="negative"):
        ClusterDecay()(units, Ledger(units, 2), ())


def test_an_empty_pool_buys_nothing(make_units):
    units = make_units([0, 0])
    for picker in (Top(), ClusterDecay()):
        ledger = Ledger(units, 2)
        picker(units, ledger, ())
        assert ledger.rows == ()


@pytest.mark.parametrize("values", [{"decay": 0}, {"decay": 1.1}, {"trim": 0}, {"clusters": 0}])
def test_decay_arguments_are_checked(values):
    with pytest.raises(ValueError, match="cluster decay needs"):
        ClusterDecay(**values)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 5), max_size=40))
def test_rank_in_cluster_equals_counting(labels):
    clusters = np.array(labels, np.int32)
    assert rank_in_cluster(clusters).tolist() == [labels[:row].count(labels[row]) for row in range(len(labels))]


def blobs(count=300, groups=6):
    random = generator("blobs")
    centres = random.normal(size=(groups, 4)) * 20
    truth = random.integers(0, groups, count)
    return (centres[truth] + random.normal(size=(count, 4))).astype(np.float32), truth


@pytest.mark.parametrize("mode", ["fast", "paper"])
def test_kmeans_finds_well_separated_groups_and_repeats_itself(mode):
    rows, truth = blobs()
    np.random.seed(1)
    first = kmeans_labels(rows, 6, mode)
    np.random.seed(2)
    assert first.dtype == np.int32 and np.array_equal(first, kmeans_labels(rows, 6, mode))
    if mode == "paper":
        assert len({(int(a), int(b)) for a, b in zip(first, truth, strict=True)}) == 6


def test_kmeans_modes_and_seeds_are_passed_on(monkeypatch):
    calls = []

    real = sklearn.cluster.KMeans

    def spy(*arguments, **values):
        calls.append((values.get("n_init"), values.get("random_state")))
        return real(*arguments, **values)

    monkeypatch.setattr(sklearn.cluster, "KMeans", spy)
    for mode in ("fast", "paper"):
        kmeans_labels(blobs()[0], 5, mode, 3)
    assert calls == [(1, 3), (10, 3)]


def test_kmeans_on_a_subsample(monkeypatch):
    monkeypatch.setattr(kmeans_module, "SUBSAMPLE", 40)
    rows, _ = blobs()
    first = kmeans_labels(rows, 6)
    assert np.array_equal(first, kmeans_labels(rows, 6)) and first.max() <= 5
    assert len(np.unique(kmeans_labels(rows, 60))) > 40, "more clusters than the subsample holds"


@pytest.mark.parametrize("feature", [np.zeros((5, 3)), np.repeat(np.eye(3), 4, axis=0), np.zeros((3, 0)), np.zeros((0, 3))])
def test_few_distinct_rows_are_their_own_clusters(feature):
    labels = kmeans_labels(feature, 3)
    pairs = {(tuple(row), int(label)) for row, label in zip(feature.tolist(), labels, strict=True)}
    assert labels.dtype == np.int32 and len(labels) == len(feature)
    assert len(pairs) == len({row for row, _ in pairs}) == len({label for _, label in pairs})


def test_kmeans_arguments_are_checked():
    for mode, clusters in (("slow", 3), ("fast", 0)):
        with pytest.raises(ValueError, match="mode fast or paper"):
            kmeans_labels(np.zeros((4, 2)), clusters, mode)
