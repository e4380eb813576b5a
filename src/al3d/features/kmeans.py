"""k-means with a stated number of restarts, the same labels on every run."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from al3d.arrays import Elsewhere, elsewhere
from al3d.types import F32, I32, Array

SUBSAMPLE = 20_000
#: Lloyd's steps end when the centres move less than this share of the features' variance: scikit-learn's default.
TOLERANCE = 1e-4


def kmeans_labels(feature: Array, clusters: int, mode: str = "fast", seed: int = 0) -> I32:
    """The cluster of each row: feature float [U,D] -> i32[U].

    `mode` "fast": one k-means++ start on a keyed subsample of 20,000 rows, then 25 Lloyd steps; "paper": 10 restarts to
    convergence (about ten times the time). With no more distinct rows than clusters each distinct row is its own cluster.
    One thread, so that sums have one order. Raises: ValueError for an unknown mode or clusters < 1.
    Source: scikit-learn's KMeans; `n_init` is stated because its default changed between releases (docs/fidelity.md D-03).
    """
    from sklearn.cluster import KMeans  # slow to import, and not needed to find a finished run

    if mode not in ("fast", "paper") or clusters < 1:
        raise ValueError(f"kmeans needs mode fast or paper and clusters >= 1, got {mode!r}, {clusters}")
    rows = np.ascontiguousarray(feature, dtype=np.float32)
    other = elsewhere("products", rows.size * clusters, rows)
    if other is None or not other.more_distinct(rows, clusters):
        distinct, labels = np.unique(rows, axis=0, return_inverse=True)
        if len(distinct) <= clusters:
            return labels.reshape(-1).astype(np.int32)
    if other is not None:
        return _elsewhere(other, rows, clusters, mode, seed)
    with threadpool_limits(1):
        if mode == "paper":
            return np.asarray(KMeans(clusters, n_init=10, random_state=seed).fit_predict(rows), np.int32)
        start = _start(rows, clusters, seed)
        return np.asarray(KMeans(clusters, init=start, n_init=1, max_iter=25, random_state=seed).fit_predict(rows), np.int32)


def _elsewhere(other: Elsewhere, rows: F32, clusters: int, mode: str, seed: int) -> I32:
    """The same with Lloyd's steps computed elsewhere; starts are drawn here, by the same keys."""
    with threadpool_limits(1):
        if mode == "fast":
            return other.lloyd(rows, _start(rows, clusters, seed), 25, TOLERANCE)[0]
        from sklearn.cluster import kmeans_plusplus

        state, middle, found = np.random.RandomState(seed), rows.mean(axis=0), []
        for _ in range(10):
            centres, _ = kmeans_plusplus(rows - middle, clusters, random_state=state)
            found.append(other.lloyd(rows, np.asarray(centres + middle), 300, TOLERANCE))
    best = found[0]
    for label, inertia in found[1:]:
        if inertia < best[1] and not _same_clusters(label, best[0]):
            best = label, inertia
    return best[0]


def _same_clusters(one: I32, other: I32) -> bool:
    """Whether two labellings differ in the clusters' numbers alone."""
    pairs = len(np.unique(one.astype(np.int64) * (int(other.max()) + 1) + other))
    return pairs == len(np.unique(one)) == len(np.unique(other))


def _start(rows: Array, clusters: int, seed: int) -> Array:
    from sklearn.cluster import kmeans_plusplus

    if len(rows) > SUBSAMPLE:
        chosen = np.random.Generator(np.random.Philox(seed)).choice(len(rows), max(SUBSAMPLE, clusters), replace=False)
        rows = rows[np.sort(chosen)]
    centres, _ = kmeans_plusplus(rows, clusters, random_state=seed)
    return np.asarray(centres)


def kmeans_centres(feature: Array, clusters: int, mode: str = "fast", seed: int = 0) -> F32:
    """The mean row of every cluster of `kmeans_labels`: feature float [U,D] -> f32[K,D] with K <= clusters, in the order of the labels."""
    labels = kmeans_labels(feature, clusters, mode, seed)
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(labels[order]) > 0])
    sums = np.add.reduceat(np.asarray(feature, np.float64)[order], starts, axis=0)
    return np.asarray(sums / np.diff(np.r_[starts, len(labels)])[:, None], dtype=np.float32)
