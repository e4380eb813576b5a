"""Bins of clusters by size, each with an equal share of the average points information, and who falls into them."""

from __future__ import annotations

import numpy as np

from al3d.types import F32, F64, I32, I64, U8

READINGS = ("printed", "prose")


def cluster_sizes(extent: F32) -> I64:
    """The size of each box: extent f32[U,3] (length, width, height in metres) -> round(length + width + height) i64[U], halves to even.

    Source: BaSAL; its boxes are taken to be aligned with the axes.
    """
    return np.asarray(np.rint(extent.astype(np.float64).sum(axis=1)), np.int64)


def points_information(clusters: I64, points: I64, reading: str = "printed") -> F64:
    """The average points information of every size: C clusters with P points in all, i64[S] each -> f64[S].

    "printed": C / log P. "prose": 1 / log(P / C), from the text's "average points per cluster with an extra logarithm". The base of the logarithm does
    not matter to the bins. What is inside it counts as at least 2, so that a single point has a finite value.
    Raises: ValueError for another reading.
    Source: BaSAL eq. 1 (docs/fidelity.md D-07).
    """
    if reading not in READINGS:
        raise ValueError(f"reading = {reading!r}: choose one of {', '.join(READINGS)}")
    if reading == "printed":
        return np.asarray(clusters / np.log(np.maximum(points, 2)))
    return np.asarray(1 / np.log(np.maximum(points / clusters, 2)))


def api_edges(size: I64, points: I64, bins: int = 3, reading: str = "printed") -> I64:
    """The smallest size of every bin but the first, i64[bins - 1], ascending, from the size and the points of all clusters, i64[U] each.

    The sizes that occur are cut into contiguous bins: the cut k of `bins` comes where the information summed over the sizes below is nearest to k / bins
    of the total (of equally near cuts the lower), and every bin has at least one size. With fewer sizes than bins each size is
    a bin and the last bins are empty; without clusters all edges are 0.
    Raises: ValueError for bins < 1 or another reading.
    Source: BaSAL; the rule for cutting is ours, the paper has none.
    """
    if bins < 1:
        raise ValueError(f"bins = {bins}: at least one is needed")
    sizes, inverse = np.unique(size, return_inverse=True)
    clusters = np.bincount(inverse, minlength=len(sizes))
    total = np.bincount(inverse, weights=points, minlength=len(sizes))
    below = np.concatenate([[0.0], np.cumsum(points_information(clusters, total.astype(np.int64), reading))])
    after = np.append(sizes, sizes[-1] + 1 if len(sizes) else 0)
    cuts = np.zeros(bins, np.int64)
    for k in range(1, bins):
        first, last = cuts[k - 1] + 1, len(sizes) - (bins - k)
        if len(sizes) < bins:
            cuts[k] = min(k, len(sizes))
        else:
            cuts[k] = first + np.argmin(np.abs(below[first : last + 1] - below[-1] * k / bins))
    return np.asarray(after[cuts[1:]], np.int64)


def api_bins(size: I64, points: I64, bins: int = 3, reading: str = "printed") -> I64:
    """The bin of each cluster, 0 (small) to bins - 1 (large): i64[U]. See `api_edges`."""
    return np.searchsorted(api_edges(size, points, bins, reading), size, side="right").astype(np.int64)


def class_counts(label: U8, unit: I32, stratum: I64, strata: int, classes: int) -> I64:
    """How many points of each class lie in units of each stratum: i64[classes, strata + 1], the last column for points without a unit.

    `label` u8[N] (IGNORE is left out), `unit` i32[N], `stratum` i64[U] in 0..strata - 1. Tables of several scenes add up.
    Raises: ValueError for a stratum outside that range.
    """
    if len(stratum) and not (stratum.min() >= 0 and stratum.max() < strata):
        raise ValueError(f"strata from {stratum.min()} to {stratum.max()}: with strata = {strata} they must lie in 0..{strata - 1}")
    column = np.append(stratum, strata)[unit]
    known = label < classes
    flat = np.bincount(label[known].astype(np.int64) * (strata + 1) + column[known], minlength=classes * (strata + 1))
    return flat.reshape(classes, strata + 1).astype(np.int64)


def class_shares(counts: I64, queryable: bool = False) -> F64:
    """Each class's points over the columns of `class_counts`, as fractions: f64[C, strata + 1]; rows of absent classes are 0.

    `queryable` leaves points without a unit out, so that the other columns sum to 1.
    Source: the form of BaSAL's table I (there the columns are small, medium, large, ground).
    """
    kept = counts.astype(np.float64)
    if queryable:
        kept[:, -1] = 0
    return np.asarray(kept / np.maximum(kept.sum(axis=1, keepdims=True), 1))
