"""Kernel maps: which input row meets which output row under which offset of a kernel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from al3d.sparse.keys import halve, kernel_offsets, octant, offset_key


@dataclass(frozen=True, eq=False)
class KernelMap:
    """The row pairs of a convolution: under offset k, input row `source[k][i]` adds to output row `target[k][i]`.

    Within one offset every row occurs at most once on either side, which is what makes the engine's sums reproducible.
    `center` is the offset under which every row meets itself (its pairs stay empty), None where there is none. A map with a
    center is its own mirror: offsets k and K-1-k swap source and target. `cache` is the engines'.
    """

    source: tuple[Tensor, ...]
    target: tuple[Tensor, ...]
    rows_in: int
    rows_out: int
    center: int | None = None
    cache: dict[int, Any] = field(default_factory=dict)

    def transposed(self) -> KernelMap:
        """The map of the transposed convolution: in and out swapped, offsets unchanged."""
        return KernelMap(self.target, self.source, self.rows_out, self.rows_in, self.center)


def lookup(keys: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
    """The row of each `query` key in the sorted `keys`, and whether it is there (the row of an absent key means nothing)."""
    row = torch.searchsorted(keys, query).clamp_(max=max(len(keys) - 1, 0))
    return row, keys[row] == query if len(keys) else torch.zeros_like(query, dtype=torch.bool)


def neighbor_map(keys: Tensor) -> KernelMap:
    """The map of a 3x3x3 convolution of stride 1 over sorted `keys`: 13 searches, the other 13 offsets mirror them."""
    offsets = kernel_offsets(3)
    center = len(offsets) // 2
    empty = keys.new_empty(0)
    source, target = [empty] * len(offsets), [empty] * len(offsets)
    for k in range(center):
        row, found = lookup(keys, keys + offset_key(offsets[k]))
        here = found.nonzero().squeeze(1)
        there = row[here]
        source[k], target[k] = there, here
        source[-1 - k], target[-1 - k] = here, there
    return KernelMap(tuple(source), tuple(target), len(keys), len(keys), center)


def down_map(keys: Tensor) -> tuple[Tensor, KernelMap, Tensor]:
    """The map of a 2x2x2 convolution of stride 2 over sorted `keys`; also the coarse keys (sorted) and each fine row's coarse row."""
    coarse, parent = torch.unique(halve(keys), return_inverse=True)
    place = octant(keys)
    order = torch.sort(place, stable=True).indices
    counts = torch.bincount(place, minlength=8).tolist()
    source = torch.split(order, counts)
    target = torch.split(parent[order], counts)
    return coarse, KernelMap(tuple(source), tuple(target), len(keys), len(coarse)), parent
