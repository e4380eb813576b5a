"""The plan of a masked implicit GEMM: in which order output rows are taken, and which offsets each block of them has.

A block of rows is multiplied under an offset if one of its rows has a neighbour there; the other rows of the block then multiply
zeros. Rows with the same neighbours are therefore put together. Work is also saved by cutting the offsets into runs ("parts") that
order the rows each for itself; the parts add to the same result one after the other.

Neither the order nor the parts change a single bit of the result: every row still adds its offsets in their order, and what a block
multiplies in vain adds zeros. Nothing here needs Triton.

Source: the masks and splits are those of Tang et al. 2023, "TorchSparse++: Efficient Training and Inference Framework for Sparse
Convolution on GPUs"; it sorts rows by the value of their bitmask. Here the bitmask is read as a Gray code, with frequent offsets in
low bits, so that the masks of neighbouring rows differ in few bits (Lemire et al. 2010, "Sorting improves word-aligned bitmap indexes").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from al3d.sparse.maps import KernelMap

#: Rows per block that waste is counted for. Rows are padded to a multiple of it.
BLOCK = 128
#: Which offsets are present is kept for so many rows; blocks are a multiple of it.
UNIT = 16
#: What one more part is taken to cost, as a share of the work without it: it reads and writes the result once more. An assumption.
PART_COST = 0.08
#: How many numbers of parts are tried, from the smallest that holds the offsets on: 1, 2 and 3 parts of 27 offsets.
TRIES = 3
#: Pairs that one program of the kernel's gradient sums are a multiple of this.
RUN = 256

#: The offsets of a part are bits of an int32.
_BITS = 31

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Part:
    """The offsets from `first` on, and the order in which they take the output rows.

    `order` i32[P] are the output rows, -1 beyond the last; `source` i32[K',P] is the input row that each meets under each offset of the
    part, -1 for none; `active` bool[K',P/UNIT] says which offsets any of `UNIT` rows has.
    """

    first: int
    order: Tensor
    source: Tensor
    active: Tensor
    lists: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def blocks(self, rows: int) -> tuple[Tensor, Tensor]:
        """For blocks of `rows` rows: the offsets i32[B,K'] that each has, counted from `first`, ascending; and how many, i32[B]."""
        if rows not in self.lists:
            self.lists[rows] = _lists(_blockwise(self.active, rows // UNIT))
        return self.lists[rows]


@dataclass(frozen=True, eq=False)
class Plan:
    """How to multiply: `parts` one after the other. `pairs` and `work` count products of rows with matrices, needed and done (blocks of `BLOCK`)."""

    parts: tuple[Part, ...]
    rows: int
    pairs: int
    work: int

    @property
    def ratio(self) -> float:
        """Work done over work needed, 1 at best."""
        return self.work / max(self.pairs, 1)


@dataclass(frozen=True, eq=False)
class PairLists:
    """All pairs of a map, offset after offset: `source` and `target` i32[P], `counts` of them per offset.

    The kernel's gradient sums runs of pairs and then, per offset, these sums in order.
    """

    source: Tensor
    target: Tensor
    counts: tuple[int, ...]
    cuts: dict[int, tuple[Tensor, Tensor, int]] = field(default_factory=dict)

    def runs(self, about: int) -> tuple[Tensor, Tensor, int]:
        """About `about` runs of equal length: the edges i32[R,2] of each, i32[K+1] where each offset's runs start, and R."""
        if about not in self.cuts:
            length = -(-max(sum(self.counts) // about, 1) // RUN) * RUN
            starts = accumulate(self.counts, initial=0)
            edges = [
                (start + low, start + min(low + length, count)) for start, count in zip(starts, self.counts, strict=False) for low in range(0, count, length)
            ]
            firsts = list(accumulate((-(-count // length) for count in self.counts), initial=0))
            self.cuts[about] = _moved(edges, self.source.device).view(-1, 2), _moved(firsts, self.source.device), len(edges)
        return self.cuts[about]


def _moved(numbers: list[Any], device: torch.device) -> Tensor:
    """Numbers of the host as i32 on `device`, without waiting for it."""
    table = torch.tensor(numbers, dtype=torch.int32)
    return table.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else table.to(device)


def forward_plan(pairs: KernelMap) -> Plan:
    """The plan of the map itself; made at first use."""
    return _kept(pairs, "forward", lambda: make_plan(pairs.table.t().contiguous()))


def backward_plan(pairs: KernelMap) -> Plan:
    """The plan of the transposed map. A map that is its own mirror has one plan for both: its kernel has to be mirrored."""
    if pairs.center is not None:
        return forward_plan(pairs)
    return _kept(pairs, "backward", lambda: make_plan(pairs.transposed().table.t().contiguous()))


def pair_lists(pairs: KernelMap) -> PairLists:
    """All pairs of the map, with those of rows that meet themselves; made at first use."""
    return _kept(pairs, "pairs", lambda: _pair_lists(pairs))


def prepare_plans(pairs: KernelMap) -> None:
    """Makes what the convolution over a map needs; what its gradients need too, where there will be gradients."""
    forward_plan(pairs)
    if torch.is_grad_enabled():
        backward_plan(pairs)
        pair_lists(pairs)


def _kept(pairs: KernelMap, name: str, make: Callable[[], T]) -> T:
    key = ("triton", name)
    if key not in pairs.cache:
        pairs.cache[key] = make()
    result: T = pairs.cache[key]
    return result


def make_plan(table: Tensor, parts: int | None = None, ordered: bool = True) -> Plan:
    """The plan for a neighbour `table` i32[K,V], -1 for none, with `parts` parts (None: as many as pay) and rows as they are unless `ordered`.

    The host waits once, for the choice's few numbers. Raises: ValueError for parts of more offsets than an int32 has bits.
    """
    least = max(-(-len(table) // _BITS), 1)
    if parts is not None and parts < least:
        raise ValueError(f"{len(table)} offsets in {parts} parts: a part holds at most {_BITS} of them, take {least} parts or more")
    present = table >= 0
    tries = [_orders(present, count, ordered) for count in ([parts] if parts else range(least, min(least + TRIES, len(table) + 1)))]
    works = [sum((_blockwise(active, BLOCK // UNIT).sum() for _, _, active in cuts), start=present.new_zeros((), dtype=torch.int64)) for cuts in tries]
    pairs, *blocks = torch.stack([present.sum(), *works]).tolist()
    best = min(range(len(tries)), key=lambda i: blocks[i] * (1 + PART_COST * i))
    return Plan(tuple(_part(table, *cut) for cut in tries[best]), table.shape[1], pairs, blocks[best] * BLOCK)


def _orders(present: Tensor, parts: int, ordered: bool) -> list[tuple[range, Tensor, Tensor]]:
    """Per part its offsets, the order i64[P] of rows (-1 beyond the last) and the offsets that are active in each unit of rows."""
    count, rows = present.shape
    edges = [count * i // parts for i in range(parts + 1)]
    cuts = []
    for low, high in zip(edges, edges[1:], strict=False):
        here = present[low:high]
        order = row_order(here) if ordered else torch.arange(rows, device=present.device)
        units = functional.pad(here[:, order], (0, -rows % BLOCK)).view(high - low, (rows + -rows % BLOCK) // UNIT, UNIT)
        cuts.append((range(low, high), functional.pad(order, (0, -rows % BLOCK), value=-1), units.any(dim=2)))
    return cuts


def row_order(present: Tensor) -> Tensor:
    """The order i64[V] that puts rows with the same or similar offsets `present` bool[K,V] together; equal rows keep theirs."""
    bit = torch.argsort(torch.argsort(present.sum(dim=1), descending=True, stable=True))
    code = torch.where(present, (1 << bit).int()[:, None], 0).sum(dim=0, dtype=torch.int32)
    for shift in (1, 2, 4, 8, 16):
        code ^= code >> shift
    return torch.sort(code, stable=True, descending=True).indices


def _part(table: Tensor, offsets: range, order: Tensor, active: Tensor) -> Part:
    source = torch.where(order < 0, -1, table[offsets.start : offsets.stop, order.clamp(min=0)]) if table.shape[1] else table[offsets.start : offsets.stop]
    return Part(offsets.start, order.int(), source.contiguous(), active)


def _blockwise(active: Tensor, units: int) -> Tensor:
    """Which offsets are active in blocks of `units` units: bool[K,B]."""
    return active.view(len(active), active.shape[1] // units, units).any(dim=2)


def _lists(active: Tensor) -> tuple[Tensor, Tensor]:
    absent = (~active).t().to(torch.uint8)
    return torch.sort(absent, dim=1, stable=True).indices.int().contiguous(), active.sum(dim=0, dtype=torch.int32)


def _pair_lists(pairs: KernelMap) -> PairLists:
    source, target = pairs.every_pair()
    there, here = (torch.cat([rows.int() for rows in side]) for side in (source, target))
    return PairLists(there, here, tuple(len(rows) for rows in source))
