"""Cover feature space: always the unit around which most units are not covered yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numba
import numpy as np

from al3d.acquire.budget import Ledger
from al3d.acquire.distances import plain, squared_distance
from al3d.arrays import Balls, elsewhere
from al3d.features.kmeans import kmeans_labels
from al3d.rng import Key, generator
from al3d.types import F32, I32, I64, Units

#: Pairs of rows whose distances are held at once.
BLOCK_PAIRS = 8_000_000


@dataclass(frozen=True)
class ProbCover:
    """Buy the unit whose ball of radius delta holds most units that no ball holds yet, again and again.

    Delta is the largest radius at which a share of `purity` of the balls around all units is pure: holds no unit of another pseudo-class.
    Pseudo-classes are `pseudo_classes` k-means clusters of the features, as many as the data have classes. A ball of radius delta
    holds what is nearer than delta (Euclidean), so delta is exact: a quantile of the distances to the nearest unit of another pseudo-class.
    When every unit is covered, delta is halved until some unit is not covered by what was bought, and so on; units that coincide with
    bought ones come last. A unit that does not fit the budget is passed over and covers nothing. Ties go to the earlier (scene, unit).
    No graph of neighbours is kept: memory is three copies of the features and 32 MB of distances. Time is three passes over all pairs of
    units, and at most two for each halving; `candidates` bounds it by looking at a keyed draw of so many units of the pool alone (null:
    all). It must be well above what a round buys, or the round ends with budget left.
    Raises: ValueError for a purity outside 0..1, fewer than two pseudo-classes, or candidates below 1.
    Source: Yehuda et al., NeurIPS 2022, on features of length 1. What happens when all is covered is ours.
    """

    pseudo_classes: int
    purity: float = 0.95
    candidates: int | None = 20_000
    kmeans: str = "fast"
    needs: frozenset[str] = frozenset({"feature"})

    def __post_init__(self) -> None:
        if not 0 < self.purity <= 1:
            raise ValueError(f"pick.purity={self.purity} is a share of balls, above 0 and at most 1")
        if self.pseudo_classes < 2:
            raise ValueError(f"pick.pseudo_classes={self.pseudo_classes}: balls can be impure only among 2 pseudo-classes or more")
        if self.candidates is not None and self.candidates < 1:
            raise ValueError(f"pick.candidates={self.candidates}: look at 1 unit or more, or null for the whole pool")

    def __call__(self, units: Units, ledger: Ledger, key: Key) -> None:
        rows = self._rows(units, key)
        if not len(rows):
            return
        feature = plain(units.feature, rows)
        pairs = balls(feature)
        cover = _Cover(pairs, pure_radius_squared(pairs, kmeans_labels(feature, self.pseudo_classes, self.kmeans), self.purity))
        while not ledger.full:
            row = cover.best()
            if row is None:
                return
            cover.leave(row, ledger.admit(int(rows[row])))

    def _rows(self, units: Units, key: Key) -> I64:
        """The rows of the pool that are looked at."""
        rows = np.flatnonzero(units.size > 0)
        if self.candidates is None or len(rows) <= self.candidates:
            return rows
        return np.sort(generator(*key, "candidates").choice(rows, self.candidates, replace=False))


def balls(feature: F32) -> Balls:
    """`Pairs`, or their like elsewhere."""
    other = elsewhere("products", len(feature) * feature.size, feature)
    return Pairs(feature) if other is None else other.balls(feature)


def pure_radius_squared(pairs: Balls, label: I32, purity: float) -> float:
    """The square of the largest radius at which a share `purity` of the open balls around all rows holds no row of another label.

    Infinite when all labels are equal.
    """
    other = np.sort(pairs.to_other(label))
    impure = int((1 - purity) * len(other) + 1e-9)
    return float(other[impure])


class _Cover:
    """Which rows are covered, and how many uncovered ones each row that is still there would cover."""

    def __init__(self, pairs: Balls, squared: float) -> None:
        self.pairs = pairs
        self.nearest = np.full(len(pairs), np.inf, np.float32)
        self.there = np.ones(len(pairs), dtype=bool)
        self._open(squared)

    def best(self) -> int | None:
        """The row that covers most, None when none is left."""
        if not self.there.any():
            return None
        row = int(np.where(self.there, self.gain, -1).argmax())
        if self.gain[row] > 0:
            return row
        farthest = float(self.nearest[self.there].max())
        if farthest == 0:
            return int(np.flatnonzero(self.there)[0])
        self._open(halved(self.squared, farthest))
        return self.best()

    def leave(self, row: int, bought: bool) -> None:
        """Take a row out; a bought one covers its ball."""
        self.there[row] = False
        if not bought:
            return
        distance = self.pairs.to_row(row)
        fresh = np.flatnonzero((distance < self.squared) & (self.nearest >= self.squared))
        np.minimum(self.nearest, distance, out=self.nearest)
        self.gain -= self.pairs.within(fresh, self.squared)

    def _open(self, squared: float) -> None:
        """Count anew with balls of this squared radius."""
        self.squared = squared
        self.gain = self.pairs.within(np.flatnonzero(self.nearest >= squared), squared)


def halved(squared: float, farthest: float) -> float:
    """A squared radius, halved (as a radius) until it is no more than `farthest`; from infinity on, `farthest` itself."""
    if squared == np.inf:
        return farthest
    while squared > farthest:
        squared /= 4
    return squared


class Pairs:
    """Squared distances between the rows of f32[U,D], exact, without keeping them.

    Matrix products of blocks say which pairs are near or far, up to `slack`; the few in between are computed anew. So no result depends
    on blocks or threads.
    """

    def __init__(self, feature: F32) -> None:
        self.feature = feature
        self._moved = feature - feature.mean(axis=0, dtype=np.float64).astype(np.float32)
        self._length = np.einsum("ij,ij->i", self._moved, self._moved)
        self.slack = float(8 * (feature.shape[1] + 8) * np.finfo(np.float32).eps * self._length.max(initial=0))

    def __len__(self) -> int:
        return len(self.feature)

    def within(self, members: I64, squared: float) -> I64:
        """How many of the rows `members` are nearer to every row than the root of `squared`: i64[U]."""
        result = np.zeros(len(self), np.int64)
        for part, product in self._blocks(members):
            _count_within(self.feature, members, product, part.start, squared, self.slack, result)
        return result

    def to_other(self, label: I32) -> F32:
        """The squared distance of every row to the nearest row of another label, infinite without one: f32[U]."""
        result = np.full(len(self), np.inf, np.float32)
        for part, product in self._blocks(np.arange(len(self))):
            _least_other(self.feature, label, product, part.start, self.slack, result)
        return result

    def to_row(self, row: int) -> F32:
        """The squared distance of every row to one of them: f32[U]."""
        return squared_distance(self.feature, self.feature[row])

    def _blocks(self, members: I64) -> Iterator[tuple[slice, F32]]:
        """Some rows after the others, and about how far they are from all `members`: squared, f32[rows,members]."""
        if not len(members):
            return
        other, length = self._moved[members], self._length[members]
        step = max(1, BLOCK_PAIRS // len(members))
        for start in range(0, len(self), step):
            part = slice(start, start + step)
            product = self._moved[part] @ other.T
            product *= -2
            product += self._length[part, None]
            product += length
            yield part, product


@numba.njit(cache=True, fastmath={"reassoc", "contract", "nsz"})
def _apart(one: F32, other: F32) -> np.float32:
    """The squared distance of two f32[D]."""
    total = np.float32(0)
    for column in range(len(one)):
        gap = one[column] - other[column]
        total += gap * gap
    return total


@numba.njit(parallel=True, cache=True)
def _count_within(feature: F32, members: I64, about: F32, start: int, squared: float, slack: float, result: I64) -> None:
    for turn in numba.prange(len(about)):
        count = 0
        for place in range(len(members)):
            if about[turn, place] < squared - slack:
                count += 1
            elif about[turn, place] <= squared + slack:
                count += int(_apart(feature[start + turn], feature[members[place]]) < squared)
        result[start + turn] = count


@numba.njit(parallel=True, cache=True)
def _least_other(feature: F32, label: I32, about: F32, start: int, slack: float, result: F32) -> None:
    for turn in numba.prange(len(about)):
        own, near = label[start + turn], np.inf
        for other in range(len(feature)):
            if label[other] != own:
                near = min(near, float(about[turn, other]))
        least = np.inf
        for other in range(len(feature)):
            if label[other] != own and about[turn, other] <= near + 2 * slack:
                least = min(least, float(_apart(feature[start + turn], feature[other])))
        result[start + turn] = least
