"""Seeds by clusters: from every k-means cluster the unit nearest to its centre, or the one farthest from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from al3d.acquire.budget import Ledger
from al3d.acquire.distances import plain
from al3d.acquire.pick import admit_in_order
from al3d.arrays import elsewhere
from al3d.features.kmeans import kmeans_labels
from al3d.rng import Key
from al3d.types import F32, F64, I32, I64, Units

#: Pools of more units are clustered once instead of with ten restarts.
PATIENT = 2_000
#: So many numbers of clusters are tried one after the other, where there are no more; else their range is narrowed first.
TRIED = 32
#: Numbers of clusters that are guessed from the price of the one before, until the range is halved.
GUESSES = 4
#: So many numbers of clusters above the one that was found so are tried too: what a seed costs does not rise evenly.
ABOVE = 4
#: Rows that are compared with their centre at once.
BLOCK = 65_536


@dataclass(frozen=True)
class KMeans:
    """k-means on unit features with as many clusters as the budget has units for; of each cluster one unit, as `pick` says.

    "centroid": the unit nearest to its cluster's mean feature; "furthest": the one farthest from it. The number of clusters K is the
    largest whose units fit the budget together, at most `clusters`. It lies between how many units the budget buys when the dearest, and
    when the cheapest come first. A range of up to 32 numbers is tried from above, so K is exact; a wider one is narrowed down,
    as if a larger K always cost more, and then the 4 numbers above the result are tried, because it does not quite.
    With `fill` what is left of the budget buys the next nearest (farthest) unit of each cluster, large clusters first, turn by turn; a
    copy of an earlier unit (equal features) waits until all others had their turn.
    `kmeans` "paper": 10 restarts; "fast": one; "auto": paper for up to 2,000 units, fast for more. Time grows with units x K x features:
    700,000 units are feasible because `clusters` bounds K, and fill buys the rest.
    Ties go to the earlier (scene, unit). Raises: ValueError for an unknown `pick` or `kmeans`, or `clusters` below 1.
    Source: KMcentroid and KMfurthest of SeedAL's tables, which define neither; this is our reading (docs/fidelity.md D-03 for restarts).
    """

    pick: str = "centroid"
    clusters: int = 500
    fill: bool = True
    kmeans: str = "auto"
    needs: frozenset[str] = frozenset({"feature"})

    def __post_init__(self) -> None:
        if self.pick not in ("centroid", "furthest"):
            raise ValueError(f"pick.pick={self.pick!r} is not one of centroid, furthest")
        if self.kmeans not in ("auto", "paper", "fast"):
            raise ValueError(f"pick.kmeans={self.kmeans!r} is not one of auto, paper, fast")
        if self.clusters < 1:
            raise ValueError(f"pick.clusters={self.clusters}: make 1 cluster or more")

    def __call__(self, units: Units, ledger: Ledger, key: Key) -> None:
        rows = np.flatnonzero(units.size > 0)
        if not len(rows) or ledger.full:
            return
        feature, cost = plain(units.feature, rows), ledger.cost[rows]
        distinct, copy = copies(feature)
        turn, order = self._turns(feature, self._labels(feature, cost, ledger.limit, distinct, copy), copy)
        admit_in_order(rows[order if self.fill else order[turn == 0]], ledger)

    def _labels(self, feature: F32, cost: I64, limit: int, distinct: int, copy: I64) -> I32:
        """The clusters that are bought from: i32[U]."""
        tried: dict[int, tuple[I32, int]] = {}

        def price(clusters: int) -> int:
            """What one unit of each cluster costs."""
            if clusters not in tried:
                label = self._clustered(feature, clusters)
                turn, order = self._turns(feature, label, copy)
                tried[clusters] = label, int(cost[order[turn == 0]].sum())
            return tried[clusters][1]

        cap = min(self.clusters, distinct)
        low, high = (min(cap, number) for number in affordable(cost, limit))
        if high - low > TRIED and price(high) > limit:
            low, high = narrowed(price, limit, low, high)
        largest = next((number for number in range(high, max(low, 1), -1) if price(number) <= limit), max(low, 1))
        price(largest)
        return tried[largest][0]

    def _clustered(self, feature: F32, clusters: int) -> I32:
        mode = self.kmeans if self.kmeans != "auto" else ("paper" if len(feature) <= PATIENT else "fast")
        return kmeans_labels(feature, clusters, mode)

    def _turns(self, feature: F32, label: I32, copy: I64) -> tuple[I64, I64]:
        away = from_centre(feature, label)
        return by_turn(label, away if self.pick == "centroid" else -away, copy)


def affordable(cost: I64, limit: int) -> tuple[int, int]:
    """How many units `limit` buys for certain (the dearest first), and how many at the very most (the cheapest first)."""
    order = np.sort(cost)
    least, most = (int(np.searchsorted(np.cumsum(prices), limit, side="right")) for prices in (order[::-1], order))
    return least, most


def narrowed(price: Callable[[int], int], limit: int, low: int, high: int) -> tuple[int, int]:
    """A number that fits `limit` beside one that does not, and the last of the `ABOVE` numbers after it, below `high`.

    As if prices rose with the number; `low` fits and `high` does not. The first steps guess by the price of one cluster, later ones halve.
    """
    top, last, step = high, high, 0
    while high - low > 1:
        guess = limit * last // max(1, price(last)) if step < GUESSES else (low + high) // 2
        last, step = min(max(guess, low + 1), high - 1), step + 1
        low, high = (last, high) if price(last) <= limit else (low, last)
    return low, min(top - 1, low + ABOVE)


def copies(feature: F32) -> tuple[int, I64]:
    """How many distinct rows f32[U,D] has, and for every row how many earlier rows equal it: i64[U]."""
    distinct, group = np.unique(feature, axis=0, return_inverse=True)
    return len(distinct), _place(group.reshape(-1), np.arange(len(feature)))


def from_centre(feature: F32, label: I32) -> F64:
    """The squared distance of every row f32[U,D] to the mean row of its cluster: f64[U]."""
    other = elsewhere("numbers", feature.size, feature)
    if other is not None:
        return other.from_centre(feature, label)
    blocks = [slice(start, start + BLOCK) for start in range(0, len(feature), BLOCK)]
    count = np.bincount(label)
    centre = np.zeros((len(count), feature.shape[1]))
    for part in blocks:
        rows = len(label[part])
        member = sparse.csr_matrix((np.ones(rows), (label[part], np.arange(rows))), shape=(len(count), rows))
        centre += member @ feature[part].astype(np.float64)
    centre /= np.maximum(count, 1)[:, None]
    return np.concatenate([((feature[part] - centre[label[part]]) ** 2).sum(axis=1) for part in blocks])


def by_turn(label: I32, value: F64, copy: I64) -> tuple[I64, I64]:
    """In which turn each place of the result is, and the rows: of every cluster its least `value`, then its second least, and so on.

    Rows with more `copy` come after all with less. Within a turn large clusters come first, equally large ones by their first row.
    """
    within = np.lexsort((value, label, copy))
    turn = _place(label, within)
    count, first = np.bincount(label), np.full(int(label.max()) + 1, len(label))
    np.minimum.at(first, label, np.arange(len(label)))
    order = np.lexsort((first[label], -count[label], turn, copy))
    return turn[order], order


def _place(group: I32 | I64, order: I64) -> I64:
    """How many rows of its own group come before each row in `order`: i64[U]."""
    sorted_group = group[order]
    by_group = np.argsort(sorted_group, kind="stable")
    members = sorted_group[by_group]
    starts = np.flatnonzero(np.r_[True, members[1:] != members[:-1]])
    place = np.arange(len(members)) - np.repeat(starts, np.diff(np.r_[starts, len(members)]))
    result = np.empty(len(group), np.int64)
    result[order[by_group]] = place
    return result
