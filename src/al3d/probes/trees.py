"""Ensembles of decision trees as flat arrays: what boosting and forests learn is evaluated here, without the library that trained it.

Two ways give the same bits. Trees of at most 32 leaves carry a word with a bit per leaf: every node that a row does not pass strikes the
leaves to its left, and the lowest bit that is left is the row's leaf. That has no branch and works on many rows at once. Larger trees are
walked level by level, with the rows that have arrived taken out.
Source of the words: Lucchese et al. 2015 (QuickScorer), with rows and not documents of a query side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from al3d.types import F32, F64, I32, Array

#: Rows that are worked on together: their columns fit a core's first cache.
CHUNK = 128
#: Rows that walk together: enough of them to share what a large tree brings into the caches.
WALKING = 2048
#: Leaves that a word has bits for.
WORD = 32
#: Multiplying a single bit by this leaves its position in the upper five bits (de Bruijn's sequence).
_SEQUENCE = 0x077CB531

U32 = NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class Trees:
    """An ensemble: a row goes left at a node when its `feature` is at most the `threshold`, and the values of the leaves where it ends are added up.

    Shapes: `feature` i32[M], `threshold` f32[M], `left` and `right` i32[M] of the M inner nodes of all trees; a child is a node from 0 on, or
    the leaf ~child below 0. A child follows its node. `root` i32[T], the same way. `value` f64[L,W] of the leaves of all trees is added to
    the columns `column` i32[T] .. column + W - 1 of the sums. `inputs` columns go in and `outputs` come out.
    Raises: ValueError saying what is wrong when the arrays are no ensemble.
    """

    feature: I32
    threshold: F32
    left: I32
    right: I32
    root: I32
    column: I32
    value: F64
    inputs: int
    outputs: int

    def __post_init__(self) -> None:
        nodes, width = len(self.feature), self.value.shape[-1]
        wanted = {"feature": np.int32, "threshold": np.float32, "left": np.int32, "right": np.int32, "root": np.int32, "column": np.int32}
        for name, kind in wanted.items():
            _check(getattr(self, name).ndim == 1 and getattr(self, name).dtype == kind, f"{name} must be {np.dtype(kind).name} with one axis")
        _check(self.value.ndim == 2 and self.value.dtype == np.float64, "value must be float64 [leaves,width]")
        _check(len(self.threshold) == len(self.left) == len(self.right) == nodes, "feature, threshold, left and right must have one entry per node")
        _check(len(self.root) == len(self.column), "root and column must have one entry per tree")
        _check(_within(self.feature, 0, self.inputs), f"a node looks at a column outside the {self.inputs} there are")
        _check(_within(self.column, 0, self.outputs - width + 1), f"a tree adds to a column outside the {self.outputs} there are")
        _check(bool(np.isfinite(self.value).all()) and not bool(np.isnan(self.threshold).any()), "a leaf or a threshold is not a number")
        for name in ("left", "right", "root"):
            _check(_within(getattr(self, name), -len(self.value), nodes), f"{name} names a node or leaf that does not exist")
        # Then no walk can run in a circle, and each tree is a tree.
        own = np.arange(nodes)
        _check(all(bool((child[child >= 0] > own[child >= 0]).all()) for child in (self.left, self.right)), "a child stands before its node")
        ends = np.concatenate([self.left, self.right, self.root])
        _check(len(np.unique(ends)) == len(ends) == nodes + len(self.value), "a node or leaf hangs from two places or from none")

    def __call__(self, rows: F32) -> F64:
        """The sums of the leaf values, f64[V,outputs], of finite rows f32[V,inputs]; the same bits for any number of threads.

        Raises: ValueError for rows of another width.
        """
        if rows.ndim != 2 or rows.shape[1] != self.inputs or rows.dtype != np.float32:
            raise ValueError(f"these trees look at float32 [V,{self.inputs}], got {rows.dtype} {list(rows.shape)}")
        sums = np.zeros((len(rows), self.outputs))
        rows = np.ascontiguousarray(rows)
        if self.words is not None:
            _by_words(rows, *self.words, self.column, sums)
        else:
            _by_walking(rows, self.nodes, self.nodes.view(np.float32), self.root, self.column, self.value, sums)
        return sums

    @cached_property
    def nodes(self) -> I32:
        """What evaluation by walking reads, i32[M,4]: feature, the bits of the threshold, left and right."""
        return np.ascontiguousarray(np.stack([self.feature, self.threshold.view(np.int32), self.left, self.right], axis=1))

    @cached_property
    def words(self) -> tuple[I32, I32, F32, U32, F64] | None:
        """What evaluation by words reads, or None when a tree has too many leaves; see `_words`."""
        first, feature, threshold, word, value, largest = _words(self.feature, self.threshold, self.left, self.right, self.root, self.value)
        return (first, feature, threshold, word, value) if largest <= WORD else None

    def state(self) -> dict[str, Tensor]:
        """The ensemble as tensors."""
        arrays = {name: torch.from_numpy(np.array(getattr(self, name))) for name in _ARRAYS}
        return {**arrays, "inputs": torch.tensor(self.inputs), "outputs": torch.tensor(self.outputs)}


_ARRAYS = ("feature", "threshold", "left", "right", "root", "column", "value")


def trees_of(state: Mapping[str, Tensor]) -> Trees:
    """The ensemble of a state. Raises: ValueError saying what is missing or wrong."""
    missing = sorted({*_ARRAYS, "inputs", "outputs"} - set(state))
    if missing:
        raise ValueError(f"a state of trees lacks {', '.join(missing)}: it is damaged, or something else")
    arrays: dict[str, Array] = {name: state[name].numpy() for name in _ARRAYS}
    return Trees(**arrays, inputs=int(state["inputs"]), outputs=int(state["outputs"]))


def float_below(threshold: F64) -> F32:
    """The largest f32 that is at most each f64: for every float32 x, x <= threshold exactly where x <= the result."""
    near = threshold.astype(np.float32)
    return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float32)


def joined(trees: Iterable[tuple[Array, Array, Array, Array, F64, int]], inputs: int, outputs: int) -> Trees:
    """An ensemble of trees that are numbered on their own: (feature [M], threshold f64[M], left [M], right [M], value f64[M+1,W], column).

    A child is an inner node of its tree from 0 on, or its leaf ~child; node 0 is the root, and a tree without a node is its only leaf.
    """
    # Of no tree at all there are still arrays, of the right kinds.
    parts: dict[str, list[Array]] = {name: [np.zeros(0, np.int32)] for name in _ARRAYS}
    parts["threshold"], parts["value"] = [np.zeros(0, np.float32)], []
    nodes, leaves = 0, 0
    for feature, threshold, left, right, value, column in trees:
        for name, child in (("left", left), ("right", right)):
            parts[name].append(np.where(np.asarray(child) >= 0, np.asarray(child) + nodes, np.asarray(child) - leaves).astype(np.int32))
        parts["feature"].append(np.asarray(feature, np.int32))
        parts["threshold"].append(float_below(np.asarray(threshold, np.float64)))
        parts["value"].append(np.asarray(value, np.float64))
        parts["root"].append(np.array([nodes if len(feature) else ~leaves], np.int32))
        parts["column"].append(np.array([column], np.int32))
        nodes, leaves = nodes + len(feature), leaves + len(value)
    parts["value"] = parts["value"] or [np.zeros((0, 1))]
    return Trees(**{name: np.concatenate(arrays) for name, arrays in parts.items()}, inputs=inputs, outputs=outputs)


def _check(right: bool, what: str) -> None:
    if not right:
        raise ValueError(f"these are no trees: {what}")


def _within(values: I32, first: int, end: int) -> bool:
    return not len(values) or bool(values.min() >= first and values.max() < end)


@numba.njit(cache=True)
def _words(feature: I32, threshold: F32, left: I32, right: I32, root: I32, value: F64) -> tuple[I32, I32, F32, U32, F64, int]:
    """Nodes tree by tree with the leaves that they strike, and leaf values where their bit is found.

    Shapes: `first` i32[T+1], the nodes of a tree; `feature` i32[M], `threshold` f32[M] and `word` u32[M] in that order: all bits but those
    of the leaves to the left of the node's right child; `value` f64[T,32,W]. The last result is the largest number of leaves of a tree.
    """
    count, width = len(root), value.shape[1]
    first, order, word = np.zeros(count + 1, np.int32), np.empty(len(feature), np.int32), np.zeros(len(feature), np.uint32)
    table = np.zeros((count, WORD, width))
    largest, done = 1, 0
    waiting, begun = np.empty(len(feature) + 2, np.int64), np.empty(len(feature) + 2, np.int64)
    for tree in range(count):
        # Depth first, left before right: `waiting` holds children, and 2^40 + node once the left part of a node is behind us.
        leaves, top = 0, 1
        waiting[0] = root[tree]
        while top > 0:
            top -= 1
            child = waiting[top]
            if child >= 2**40:
                node = child - 2**40
                for bit in range(begun[node], min(leaves, WORD)):
                    word[node] |= np.uint32(1) << np.uint32(bit)
                waiting[top] = right[node]
                top += 1
            elif child >= 0:
                order[done] = child
                done += 1
                begun[child] = leaves
                waiting[top] = child + 2**40
                waiting[top + 1] = left[child]
                top += 2
            else:
                if leaves < WORD:
                    place = np.uint32((np.uint32(1) << np.uint32(leaves)) * np.uint32(_SEQUENCE)) >> np.uint32(27)
                    table[tree, place] = value[~child]
                leaves += 1
        first[tree + 1] = done
        largest = max(largest, leaves)
    return first, feature[order], threshold[order], ~word[order], table, largest


@numba.njit(parallel=True, cache=True)
def _by_words(rows: F32, first: I32, feature: I32, threshold: F32, word: U32, value: F64, column: I32, sums: F64) -> None:
    """Add to `sums` f64[V,outputs] the values of the leaves that `rows` f32[V,inputs] reach; the arrays are those of `_words`."""
    inputs, width, outputs = rows.shape[1], value.shape[2], sums.shape[1]
    for chunk in numba.prange((len(rows) + CHUNK - 1) // CHUNK):
        start = chunk * CHUNK
        count = min(CHUNK, len(rows) - start)
        # Always a whole chunk, so that the loops over it have a length that the compiler knows.
        columns = np.zeros((inputs, CHUNK), np.float32)
        for row in range(count):
            for place in range(inputs):
                columns[place, row] = rows[start + row, place]
        left = np.empty(CHUNK, np.uint32)
        total = np.zeros((outputs, CHUNK))
        for tree in range(len(first) - 1):
            left[:] = np.uint32(0xFFFFFFFF)
            for node in range(first[tree], first[tree + 1]):
                own, limit, struck = columns[feature[node]], threshold[node], word[node]
                for row in range(CHUNK):
                    left[row] &= np.uint32(0xFFFFFFFF) if own[row] <= limit else struck
            for part in range(width):
                into, table = total[column[tree] + part], value[tree]
                for row in range(CHUNK):
                    bit = left[row] & (~left[row] + np.uint32(1))
                    into[row] += table[np.uint32(bit * np.uint32(_SEQUENCE)) >> np.uint32(27), part]
        for row in range(count):
            for part in range(outputs):
                sums[start + row, part] = total[part, row]


@numba.njit(parallel=True, cache=True)
def _by_walking(rows: F32, nodes: I32, threshold: F32, root: I32, column: I32, value: F64, sums: F64) -> None:
    """Add to `sums` f64[V,outputs] the values of the leaves that `rows` f32[V,inputs] reach.

    `nodes` i32[M,4] holds feature, threshold, left and right of a node, so that one read of memory brings them all; `threshold` f32[M,4] is the same memory.
    """
    width = value.shape[1]
    for chunk in numba.prange((len(rows) + WALKING - 1) // WALKING):
        start = chunk * WALKING
        count = min(WALKING, len(rows) - start)
        place, walking = np.empty(WALKING, np.int32), np.empty(WALKING, np.int32)
        for tree in range(len(root)):
            place[:] = root[tree]
            for row in range(count):
                walking[row] = row
            many = count if root[tree] >= 0 else 0
            while many > 0:
                # One level down for all rows that are not at a leaf: no branch to be guessed wrong, and many reads under way at once.
                # Unsigned indices spare the compiler Python's negative ones.
                still = 0
                for turn in range(many):
                    own = np.uint64(walking[np.uint64(turn)])
                    node = np.uint64(place[own])
                    beyond = np.uint64(rows[np.uint64(start) + own, np.uint64(nodes[node, 0])] > threshold[node, 1])
                    child = nodes[node, np.uint64(2) + beyond]
                    place[own] = child
                    walking[np.uint64(still)] = own
                    still += int(child >= 0)
                many = still
            for row in range(count):
                for part in range(width):
                    sums[start + row, column[tree] + part] += value[~place[row], part]
