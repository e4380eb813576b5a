"""Where the heavy steps of a harvest and a choice are computed: in NumPy, unless a device was announced and the arrays are large."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from al3d.types import F32, F64, I32, I64, Array

#: The least work that leaves NumPy, by its kind: numbers that are read (features of all rows), multiplications of pairs of rows, and keys that are sorted.
#: Below, sending and starting takes about as long as the work does. Estimates: they were chosen without a GPU at hand.
LEAST: Mapping[str, int] = {"numbers": 2**22, "products": 2**26, "keys": 2**16}


class Covering(Protocol):
    """The squared distance of every row to the nearest row taken so far, infinite before the first; as `al3d.acquire.distances.Nearest`."""

    def take(self, row: int) -> None:
        """Take one more row."""
        ...

    def close(self, rows: Array | int, to: float) -> None:
        """Set the distance of some rows (a mask, indices, or one) to 0 or less: they are not looked at any more."""
        ...

    def farthest(self) -> tuple[int, float]:
        """The first row of the largest distance, and that distance."""
        ...

    def sums(self, block: int) -> F64:
        """The sums of the distances of so many consecutive rows each."""
        ...

    def part(self, start: int, stop: int) -> F32:
        """The distances of consecutive rows."""
        ...


class Balls(Protocol):
    """Squared distances between all pairs of rows, never kept; as `al3d.acquire.cover.Pairs`."""

    def __len__(self) -> int: ...
    def within(self, members: I64, squared: float) -> I64:
        """How many of the rows `members` are nearer to every row than the root of `squared`: i64[U]."""
        ...

    def to_other(self, label: I32) -> F32:
        """The squared distance of every row to the nearest row of another label, infinite without one: f32[U]."""
        ...

    def to_row(self, row: int) -> F32:
        """The squared distance of every row to one of them: f32[U]."""
        ...


class Elsewhere(Protocol):
    """The heavy steps, computed elsewhere than in NumPy; arrays come and go as NumPy's, features as contiguous f32[U,D].

    Every step has its twin in NumPy where it is used. Contract: the same numbers within float tolerance, the same bits on every run, equal
    rows get equal results, and of equal candidates the first is taken.
    """

    def room(self) -> int:
        """How many numbers may be sent at once."""
        ...

    def covering(self, rows: F32, taken: I64) -> Covering:
        """Distances to taken rows, of which `taken` are the first."""
        ...

    def balls(self, rows: F32) -> Balls:
        """Distances between all pairs of rows."""
        ...

    def squared_distance(self, rows: F32, centre: F32) -> F32:
        """The squared distance of every row to one centre f32[D]: f32[U]."""
        ...

    def mean_of_nearest(self, rows: F32, count: int) -> F64:
        """The mean distance of every row to the `count` other rows nearest to it: f64[U]."""
        ...

    def summed(self, rows: F32, centres: F32) -> F64:
        """The sum of the distances of every row to all centres f32[C,D]: f64[U]."""
        ...

    def products(self, rows: F64) -> Callable[[I64 | slice], F64]:
        """The products f64[R,U] of some rows with all rows f64[U,D]."""
        ...

    def more_distinct(self, rows: F32, than: int) -> bool:
        """Whether surely more than so many rows are distinct; False may be wrong."""
        ...

    def lloyd(self, rows: F32, start: F32, steps: int, tolerance: float) -> tuple[I32, float]:
        """k-means from `start` f32[K,D] by at most so many steps of Lloyd: labels i32[U] and the sum of squared distances."""
        ...

    def from_centre(self, rows: F32, label: I32) -> F64:
        """The squared distance of every row to the mean row of its label: f64[U]."""
        ...

    def group_sums(self, values: F64, group: I64, count: int) -> F64:
        """The sums f64[count,S] of the rows f64[N,S] of each of `count` groups."""
        ...

    def picked_sums(self, values: F32, weight: F32 | None, group: I64, row: I64, count: int) -> F32:
        """For each of `count` groups the sum of `values[row]` f32[V,D] over its members; with `weight` f32[V,C] of their outer products, f32[count,C*D]."""
        ...

    def voxel_keys(self, xyz: F32, low: F32, size: np.float32) -> tuple[I64, I64]:
        """The distinct keys of the voxels round((xyz - low) / size), sorted, and each point's place among them: x << 32 | y << 16 | z."""
        ...


@dataclass(frozen=True)
class _Announced:
    """An implementation, whether it takes work of any size, and the process that announced it."""

    arrays: Elsewhere
    any_size: bool
    process: int


_ANNOUNCED: ContextVar[_Announced | None] = ContextVar("al3d_arrays", default=None)


@contextmanager
def computing_with(arrays: Elsewhere | None, any_size: bool = False) -> Iterator[None]:
    """Within this context large steps are computed by `arrays`, with `any_size` small ones too; None: all in NumPy.

    Processes that are started within it compute in NumPy: a forked one cannot use its parent's device.
    """
    token = _ANNOUNCED.set(None if arrays is None else _Announced(arrays, any_size, os.getpid()))
    try:
        yield
    finally:
        _ANNOUNCED.reset(token)


def elsewhere(kind: str, work: int, *sent: Array) -> Elsewhere | None:
    """Who computes a step of so much work of a kind (see `LEAST`) on the arrays that must be sent; None: NumPy does."""
    announced = _ANNOUNCED.get()
    if announced is None or announced.process != os.getpid():
        return None
    if not work or (work < LEAST[kind] and not announced.any_size):
        return None
    return announced.arrays if sum(array.size for array in sent) <= announced.arrays.room() else None
