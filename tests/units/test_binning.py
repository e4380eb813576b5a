"""Bins of clusters by size, and the shares of classes."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.types import IGNORE
from al3d.units.binning import READINGS, api_bins, api_edges, class_counts, class_shares, cluster_sizes, points_information

CLUSTERS = st.lists(st.tuples(st.integers(0, 25), st.integers(1, 5000)), min_size=1, max_size=80)


def test_size_is_the_rounded_sum_of_the_edges():
    extent = np.array([[1.2, 0.3, 0.9], [10, 4, 3.6], [0, 0, 0], [0.5, 0, 0], [0.5, 1.0, 0]], np.float32)
    assert cluster_sizes(extent).tolist() == [2, 18, 0, 0, 2]
    assert cluster_sizes(extent).dtype == np.int64


def test_the_two_readings():
    clusters, points = np.array([10, 2]), np.array([1000, 400])
    np.testing.assert_allclose(points_information(clusters, points, "printed"), [10 / np.log(1000), 2 / np.log(400)])
    np.testing.assert_allclose(points_information(clusters, points, "prose"), [1 / np.log(100), 1 / np.log(200)])
    for reading in READINGS:
        assert np.isfinite(points_information(np.array([1, 3]), np.array([1, 3]), reading)).all()


def test_bins_of_a_table_worked_out_by_hand():
    """Sizes 1, 2, 3, 4 with 60, 30, 20, 10 clusters of 10 points: information 9.38, 5.26, 3.77, 2.17; thirds of the total at 6.86 and 13.72."""
    size = np.repeat([1, 2, 3, 4], [60, 30, 20, 10])
    points = np.full(120, 10)
    np.testing.assert_allclose(points_information(np.array([60, 30, 20, 10]), np.array([600, 300, 200, 100])), [9.38, 5.26, 3.77, 2.17], atol=0.005)
    assert api_edges(size, points, 3).tolist() == [2, 3]
    assert api_bins(size, points, 3).tolist() == [0] * 60 + [1] * 30 + [2] * 30
    assert api_edges(size, points, 3, "prose").tolist() == [2, 4]


@settings(max_examples=80, deadline=None, derandomize=True)
@given(CLUSTERS, st.integers(1, 6), st.sampled_from(READINGS))
def test_bins_are_contiguous_filled_and_do_not_depend_on_the_order(clusters, bins, reading):
    size, points = np.array(clusters, np.int64).T
    label = api_bins(size, points, bins, reading)
    order = np.argsort(size, kind="stable")
    assert label.dtype == np.int64 and (np.diff(label[order]) >= 0).all()
    assert all(len(set(label[size == one])) == 1 for one in set(size.tolist())), "a size is in one bin"
    assert sorted(set(label.tolist())) == list(range(min(bins, len(set(size.tolist()))))), "no bin is empty before the sizes run out"
    assert np.array_equal(api_bins(size[::-1], points[::-1], bins, reading)[::-1], label)
    edges = api_edges(size, points, bins, reading)
    assert len(edges) == bins - 1 and (np.diff(edges) >= 0).all()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(CLUSTERS, st.sampled_from(READINGS))
def test_two_bins_are_as_equal_as_they_can_be(clusters, reading):
    size, points = np.array(clusters, np.int64).T
    sizes = sorted(set(size.tolist()))
    if len(sizes) < 2:
        return
    each = points_information(np.array([(size == s).sum() for s in sizes]), np.array([points[size == s].sum() for s in sizes]), reading)
    gaps = {edge: abs(each[:i].sum() - each[i:].sum()) for i, edge in itertools.islice(enumerate(sizes), 1, None)}
    chosen = int(api_edges(size, points, 2, reading)[0])
    assert gaps[chosen] <= min(gaps.values()) + 1e-9


def test_no_clusters_and_wrong_options():
    none = np.zeros(0, np.int64)
    assert api_bins(none, none, 3).tolist() == [] and api_edges(none, none, 3).tolist() == [0, 0]
    assert api_bins(np.array([4, 4]), np.array([9, 9]), 3).tolist() == [0, 0]
    with pytest.raises(ValueError, match="bins = 0"):
        api_edges(none, none, 0)
    with pytest.raises(ValueError, match="reading = 'eq1'.*printed, prose"):
        api_bins(none, none, 3, "eq1")


def test_shares_of_classes():
    label = np.array([0, 0, 0, 0, 1, 1, IGNORE, 1], np.uint8)
    unit = np.array([0, 0, 1, -1, 2, -1, 0, 2], np.int32)
    counts = class_counts(label, unit, np.array([0, 1, 2]), 3, classes=3)
    assert counts.tolist() == [[2, 1, 0, 1], [0, 0, 2, 1], [0, 0, 0, 0]]
    np.testing.assert_allclose(class_shares(counts), [[0.5, 0.25, 0, 0.25], [0, 0, 2 / 3, 1 / 3], [0, 0, 0, 0]])
    np.testing.assert_allclose(class_shares(counts, queryable=True), [[2 / 3, 1 / 3, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]])
    assert class_counts(label, np.full(8, -1, np.int32), np.zeros(0, np.int64), 3, 2).tolist() == [[0, 0, 0, 4], [0, 0, 0, 3]]
    with pytest.raises(ValueError, match="strata from 0 to 2: with strata = 2"):
        class_counts(label, unit, np.array([0, 1, 2]), 2, classes=3)
