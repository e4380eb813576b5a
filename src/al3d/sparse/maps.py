"""Kernel maps: which input row meets which output row under which offset of a kernel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from al3d.sparse.keys import MARGIN, double, halve, kernel_offsets, octant, offset_key


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
    cache: dict[Any, Any] = field(default_factory=dict)

    @property
    def table(self) -> Tensor:
        """The input row i32[rows_out,K] that each output row meets under each offset, -1 for none; made when first asked for."""
        if "table" not in self.cache:
            self.cache["table"] = _table(self)
        result: Tensor = self.cache["table"]
        return result

    def transposed(self) -> KernelMap:
        """The map of the transposed convolution: in and out swapped, offsets unchanged."""
        return KernelMap(self.target, self.source, self.rows_out, self.rows_in, self.center)

    @property
    def is_identity(self) -> bool:
        """Whether every row meets itself and nothing else: the convolution is a product with one matrix."""
        return self.center == 0 and len(self.source) == 1

    def every_pair(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """`source` and `target` with the pairs of the center, ascending rows that meet themselves."""
        if self.center is None:
            return self.source, self.target
        own = torch.arange(self.rows_out, device=self.source[0].device)
        source, target = (tuple(own if k == self.center else rows for k, rows in enumerate(side)) for side in (self.source, self.target))
        return source, target


def in_blocks(source: tuple[Tensor, ...], target: tuple[Tensor, ...], rows: int, size: int) -> Iterator[tuple[slice, Tensor, Tensor, list[int]]]:
    """The pairs of `size` output rows at a time, of `rows` in all; those rows must ascend under every offset.

    Yields the block of rows; their pairs' `source` and `target` i64[P], ordered by offset, then by output row; and how many pairs each offset has.
    """
    stops = [*range(0, rows, size), rows]
    bounds = _bounds(target, stops)
    for i in range(len(stops) - 1):
        spans = [slice(low, high) for low, high in zip(bounds[i], bounds[i + 1], strict=True)]
        there, here = (torch.cat([side[span] for side, span in zip(sides, spans, strict=True)]) for sides in (source, target))
        yield slice(stops[i], stops[i + 1]), there, here, [span.stop - span.start for span in spans]


def _bounds(target: tuple[Tensor, ...], stops: list[int]) -> list[list[int]]:
    """Where the output rows `stops` begin under each offset. A single block needs no look at the rows, for which the host would have to wait."""
    if len(stops) <= 2:
        return [[0] * len(target), [len(side) for side in target]][: len(stops)]
    edges = torch.tensor(stops, device=target[0].device)
    found: list[list[int]] = torch.stack([torch.searchsorted(side, edges) for side in target], dim=1).tolist()
    return found


def lookup(keys: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
    """The row of each `query` key in the sorted `keys`, and whether it is there (the row of an absent key means nothing)."""
    row = torch.searchsorted(keys, query).clamp_(max=max(len(keys) - 1, 0))
    return row, keys[row] == query if len(keys) else torch.zeros_like(query, dtype=torch.bool)


def neighbor_map(keys: Tensor, size: int = 3, dilation: int = 1) -> KernelMap:
    """The map of a convolution of odd `size` and stride 1 over sorted `keys`, offsets `dilation` apart: half of the searches, the others mirror them.

    Raises: ValueError for a reach beyond the keys' margin.
    """
    offsets = _dilated(size, dilation)
    center = len(offsets) // 2
    empty = keys.new_empty(0)
    source, target = [empty] * len(offsets), [empty] * len(offsets)
    for k, (there, here) in enumerate(_matches(keys, (keys + offset_key(offset) for offset in offsets[:center]))):
        source[k], target[k] = there, here
        source[-1 - k], target[-1 - k] = here, there
    return KernelMap(tuple(source), tuple(target), len(keys), len(keys), center)


def strided_map(keys: Tensor, coarse: Tensor, size: int, dilation: int = 1) -> KernelMap:
    """The map of a convolution of odd `size` and stride 2 from sorted `keys` to the voxels `coarse`, sorted, that contain one of them.

    Under offset d, coarse voxel c meets the fine voxel 2c + d: what `conv3d` with padding (size - 1) / 2 * dilation computes where it is read at the coarse
    voxels that contain a fine one. A fine voxel is reached from coarse voxels beside its own too.
    Raises: ValueError for a reach beyond the keys' margin.
    """
    corner = double(coarse)
    found = list(_matches(keys, (corner + offset_key(offset) for offset in _dilated(size, dilation))))
    return KernelMap(tuple(there for there, _ in found), tuple(here for _, here in found), len(keys), len(coarse))


def down_map(keys: Tensor) -> tuple[Tensor, KernelMap, Tensor]:
    """The map of a 2x2x2 convolution of stride 2 over sorted `keys`; also the coarse keys (sorted) and each fine row's coarse row."""
    coarse, parent = torch.unique(halve(keys), return_inverse=True)
    place, order = torch.sort(octant(keys), stable=True)
    bounds = torch.searchsorted(place, torch.arange(9, device=keys.device)).tolist()
    counts = [stop - start for start, stop in zip(bounds, bounds[1:], strict=False)]
    source = torch.split(order, counts)
    target = torch.split(parent[order], counts)
    return coarse, KernelMap(tuple(source), tuple(target), len(keys), len(coarse)), parent


def _dilated(size: int, dilation: int) -> list[tuple[int, int, int]]:
    """The offsets of a kernel, `dilation` apart. Raises: ValueError for offsets so far that keys of neighbours would run into each other."""
    reach = size // 2 * dilation
    if reach > MARGIN:
        raise ValueError(f"a kernel of {size} voxels {dilation} apart reaches {reach} voxels far, but keys leave room for {MARGIN}: take a smaller dilation")
    return [(x * dilation, y * dilation, z * dilation) for x, y, z in kernel_offsets(size)]


def _matches(keys: Tensor, queries: Iterable[Tensor]) -> Iterable[tuple[Tensor, Tensor]]:
    """For each query i64[W]: the rows of `keys` that are found, and the places in the query where they are."""
    return _one_by_one(keys, queries) if keys.device.type == "cpu" else _together(keys, queries)


def _one_by_one(keys: Tensor, queries: Iterable[Tensor]) -> Iterable[tuple[Tensor, Tensor]]:
    """A CPU has nothing to wait for, and query by query takes less memory."""
    for query in queries:
        row, found = lookup(keys, query)
        here = found.nonzero().squeeze(1)
        yield row[here], here


def _together(keys: Tensor, queries: Iterable[Tensor]) -> Iterable[tuple[Tensor, Tensor]]:
    """On an accelerator the host waits once, for the numbers of matches of all queries."""
    looked = [lookup(keys, query) for query in queries]
    counts = torch.stack([found.sum() for _, found in looked]).tolist() if looked else []
    for (row, found), count in zip(looked, counts, strict=True):
        here = torch.nonzero_static(found, size=count).squeeze(1)
        yield row[here], here


def _table(pairs: KernelMap) -> Tensor:
    sources, targets = pairs.every_pair()
    columns = sources[0].new_full((len(sources), pairs.rows_out), -1, dtype=torch.int32)
    for column, source, target in zip(columns, sources, targets, strict=True):
        column.scatter_(0, target, source.int())
    return columns.t().contiguous()
