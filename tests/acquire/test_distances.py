"""Distances that pass over most rows, against those that look at all of them."""

import numba
import numpy as np
import pytest
from scipy.spatial import cKDTree

from al3d.acquire import distances
from al3d.acquire.distances import Nearest, mean_of_nearest, nearest, plain, squared_distance
from al3d.acquire.diverse import _drawn
from al3d.rng import generator


def rows_of(kind, count=400, width=70):
    random = generator("distances", kind)
    noise = random.normal(size=(count, width)).astype(np.float32)
    if kind == "clustered":
        return (random.normal(size=(9, width))[random.integers(0, 9, count)] * 5 + noise).astype(np.float32)
    if kind == "lengths":
        return (noise * random.exponential(1, (count, 1)) ** 3).astype(np.float32)
    if kind == "few":
        return random.integers(0, 3, (count, 2)).astype(np.float32)
    return noise


KINDS = ("noise", "clustered", "lengths", "few")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("known", [0, 1, 25])
def test_taking_rows_equals_comparing_with_all_of_them(kind, known):
    rows = rows_of(kind)
    random = generator("taking", kind, known)
    start = np.sort(random.choice(len(rows), known, replace=False))
    covered = Nearest(rows, start)
    naive = np.min([np.full(len(rows), np.inf, np.float32), *(squared_distance(rows, rows[row]) for row in start)], axis=0)
    np.testing.assert_allclose(covered.distance, naive, rtol=1e-5, atol=1e-6)
    naive = covered.distance.copy()
    for row in random.permutation(len(rows))[:300].tolist():
        covered.take(row)
        naive = np.minimum(naive, squared_distance(rows, rows[row]))
        assert np.array_equal(covered.distance, naive), "bit for bit"


def test_rows_that_are_closed_stay_closed():
    rows = rows_of("noise")
    covered = Nearest(rows, np.zeros(0, np.int64))
    assert np.isinf(covered.distance).all()
    covered.distance[:100], covered.distance[100:200] = -np.inf, 0
    covered.take(300)
    assert np.isneginf(covered.distance[:100]).all() and (covered.distance[100:200] == 0).all() and covered.distance[300] == 0
    assert np.array_equal(covered.distance[200:], squared_distance(rows[200:], rows[300]))


def test_clustered_rows_are_mostly_passed_over(monkeypatch):
    rows = rows_of("clustered")
    covered = Nearest(rows, np.zeros(0, np.int64))
    for row in range(60):
        covered.take(row)
    gap = squared_distance(rows[:60], rows[200])
    assert (gap[covered._owner] >= 4 * distances.SPARE * covered.distance).mean() > 0.7


def test_the_same_bits_on_any_number_of_threads():
    rows, threads, found = rows_of("lengths"), numba.get_num_threads(), []
    try:
        for count in (1, threads):
            numba.set_num_threads(count)
            covered = Nearest(rows, np.array([3, 9]))
            for row in range(50):
                covered.take(row)
            found.append((covered.distance, mean_of_nearest(rows, 7)))
    finally:
        numba.set_num_threads(threads)
    assert all(np.array_equal(one, two) for one, two in zip(*found, strict=True))


def test_the_nearest_centre_is_named(monkeypatch):
    rows, centres = rows_of("noise"), rows_of("clustered")[:30]
    exact = np.linalg.norm(rows[:, None].astype(np.float64) - centres[None], axis=2)
    for pairs in (distances.BLOCK_PAIRS, 700):
        monkeypatch.setattr(distances, "BLOCK_PAIRS", pairs)
        squared, owner = nearest(rows, centres)
        assert np.array_equal(owner, exact.argmin(axis=1)) and owner.dtype == np.int32
        np.testing.assert_allclose(np.sqrt(squared), exact.min(axis=1), rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 20, 399])
def test_the_mean_of_the_nearest_equals_a_tree(monkeypatch, kind, count):
    rows = rows_of(kind)
    wanted = cKDTree(rows.astype(np.float64)).query(rows, k=count + 1)[0][:, 1:].mean(axis=1)
    for pairs in (distances.BLOCK_PAIRS, 3000):
        monkeypatch.setattr(distances, "BLOCK_PAIRS", pairs)
        np.testing.assert_allclose(mean_of_nearest(rows, count), wanted, rtol=2e-5, atol=1e-6)


def test_draws_follow_the_weights():
    random = generator("drawn")
    weight = np.where(random.random(20_000) < 0.3, random.exponential(1, 20_000), 0).astype(np.float32)
    edges = np.cumsum(weight.astype(np.float64))
    for uniform in [0.0, 0.25, 0.5, 1 - 1e-16, 1.0, *random.random(500)]:
        row = _drawn(weight, uniform)
        assert weight[row] > 0
        assert edges[row] - weight[row] - 1e-6 <= uniform * edges[-1] <= edges[row] + 1e-6
    only = np.zeros(9000, np.float32)
    only[[5000, 8999]] = 1
    assert [_drawn(only, uniform) for uniform in (0.0, 0.499, 0.501, 1.0)] == [5000, 5000, 8999, 8999]


def test_features_become_float32_in_blocks(monkeypatch):
    monkeypatch.setattr(distances, "BLOCK_ROWS", 7)
    rows = rows_of("noise").astype(np.float16)
    for chosen in (np.arange(0, 400, 3), np.arange(400), np.zeros(0, np.int64)):
        got = plain(rows, chosen)
        assert got.dtype == np.float32 and got.flags.c_contiguous and np.array_equal(got, rows[chosen])
    assert np.array_equal(plain(rows), rows)
