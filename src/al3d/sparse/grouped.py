"""The engine for a GPU that needs PyTorch alone: all offsets in one grouped product, and one sum per output row.

The pairs of a map are gathered at once, ordered by offset; `torch.nn.functional.grouped_mm` multiplies each offset's rows with its matrix, and
`embedding_bag` adds up the products of each output row in a fixed order: no atomics, the same bits on a rerun. About ten launches take the
place of the loop's hundred. The price is a buffer of all products, so large scenes go through in blocks of output rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional

from al3d.sparse.loop import sum_type
from al3d.sparse.maps import KernelMap, in_blocks

#: Output rows per block.
BLOCK = 1 << 17
#: What the grouped product wants its rows to be a multiple of, in bytes.
ALIGNMENT = 16


@dataclass(frozen=True, eq=False)
class Part:
    """The pairs of the output rows in `rows`, ordered by offset, then by output row.

    `source` and `target` i32[P] are their rows; `counts` says how many each offset has, `ends` i32[K] where each ends and `absent` bool[K,1,1]
    which have none. The products `order[start[i]:start[i+1]]` belong to the part's i-th row.
    """

    rows: slice
    source: Tensor
    target: Tensor
    counts: list[int]
    ends: Tensor
    absent: Tensor
    order: Tensor
    start: Tensor


def products(feat: Tensor, kernel: Tensor, pairs: KernelMap) -> Tensor:
    """`feat` [rows_in,I] convolved with `kernel` [K,I,O]: [rows_out,O], in float32 at least."""
    if pairs.is_identity:
        return feat.mm(kernel[0]).to(sum_type(feat))
    rows, matrices, parts = _aligned(feat), _aligned(kernel, 2), parts_of(pairs)
    out = feat.new_empty(pairs.rows_out, kernel.shape[2], dtype=sum_type(feat))
    for part in parts:
        out[part.rows] = _sums(rows.index_select(0, part.source), matrices, part)[:, : kernel.shape[2]]
    return out


def gradients(feat: Tensor, kernel: Tensor, pairs: KernelMap, grad: Tensor, needed: tuple[bool, ...]) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of features and kernel from `grad` [rows_out,O] of the result, each None unless `needed`.

    That of the features is a convolution of `grad` over the pairs from out to in. A map with a center is its own mirror, so there the pairs are the
    same and the kernel is mirrored.
    """
    if pairs.is_identity:
        return grad.mm(kernel[0].t()) if needed[0] else None, feat.t().mm(grad).unsqueeze(0) if needed[1] else None
    mirror = pairs.center is not None
    turned = (kernel.flip(0) if mirror else kernel).transpose(1, 2)
    parts = parts_of(pairs, back=not mirror)
    feat_rows, grad_rows, matrices = _aligned(feat), _aligned(grad), _aligned(turned, 2)
    feat_grad = torch.empty_like(feat) if needed[0] else None
    kernel_grad = feat.new_zeros(len(kernel), feat_rows.shape[1], grad_rows.shape[1], dtype=sum_type(feat)) if needed[1] else None
    for part in parts:
        gathered = grad_rows.index_select(0, part.source)
        if kernel_grad is not None:
            kernel_grad += _outer_products(feat_rows.index_select(0, part.target), gathered, part)
        if feat_grad is not None:
            feat_grad[part.rows] = _sums(gathered, matrices, part)[:, : feat.shape[1]].to(feat.dtype)
    if kernel_grad is not None:
        kernel_grad = kernel_grad[:, : kernel.shape[1], : kernel.shape[2]].to(kernel.dtype)
        kernel_grad = (kernel_grad.flip(0) if mirror else kernel_grad).contiguous()
    return feat_grad, kernel_grad


def prepare(pairs: KernelMap) -> None:
    """Cuts the pairs; for the direction of the gradients too, where there will be gradients."""
    parts_of(pairs)
    if pairs.center is None and torch.is_grad_enabled():
        parts_of(pairs, back=True)


def parts_of(pairs: KernelMap, back: bool = False) -> tuple[Part, ...]:
    """The pairs in blocks of `BLOCK` output rows, or, going `back`, of input rows with the two sides swapped; computed once per map."""
    key = ("grouped", BLOCK, back)
    if key not in pairs.cache:
        source, target = pairs.every_pair()
        sides = (target, source, pairs.rows_in) if back else (source, target, pairs.rows_out)
        pairs.cache[key] = tuple(_part(*block) for block in in_blocks(*sides, BLOCK))
    result: tuple[Part, ...] = pairs.cache[key]
    return result


def _part(rows: slice, source: Tensor, target: Tensor, counts: list[int]) -> Part:
    ordered, order = torch.sort(target, stable=True)
    start = torch.searchsorted(ordered, torch.arange(rows.start, rows.stop + 1, device=target.device))
    ends = torch.tensor(list(accumulate(counts)), dtype=torch.int32, device=target.device)
    absent = torch.tensor([count == 0 for count in counts], device=target.device)[:, None, None]
    return Part(rows, source.int(), target.int(), counts, ends, absent, order.int(), start.int())


def _sums(gathered: Tensor, matrices: Tensor, part: Part) -> Tensor:
    """The rows of a part: `gathered` [P,I] times its offsets' `matrices` [K,I,O], added up per output row."""
    multiplied = _multiplied(gathered, matrices, part).to(sum_type(gathered))
    if len(multiplied) == 0:
        return multiplied.new_zeros(part.rows.stop - part.rows.start, matrices.shape[2])
    return functional.embedding_bag(part.order, multiplied, part.start, mode="sum", include_last_offset=True)


def _multiplied(gathered: Tensor, matrices: Tensor, part: Part) -> Tensor:
    if is_grouped(gathered):
        result: Tensor = functional.grouped_mm(gathered, matrices, offs=part.ends)
        return result
    result = gathered.new_empty(len(gathered), matrices.shape[2])
    for rows, matrix, product in zip(torch.split(gathered, part.counts), matrices.unbind(0), torch.split(result, part.counts), strict=True):
        if len(rows):
            torch.mm(rows, matrix, out=product)
    return result


def _outer_products(left: Tensor, right: Tensor, part: Part) -> Tensor:
    """For each offset `left` [P,I] transposed times `right` [P,O], over its own rows: [K,I,O]."""
    if is_grouped(left):
        result: Tensor = functional.grouped_mm(left.t(), right, offs=part.ends)
        return result.masked_fill_(part.absent, 0)
    pieces = zip(torch.split(left, part.counts), torch.split(right, part.counts), strict=True)
    return torch.stack([a.t().mm(b) for a, b in pieces])


def is_grouped(rows: Tensor) -> bool:
    """Whether one call multiplies all offsets of `rows` [P,I].

    On a GPU PyTorch has such a kernel for bfloat16 on Hopper and Blackwell chips. Elsewhere its stand-in waits for the GPU to learn the sizes, which are
    known here, so that one product per offset is better.
    """
    if not hasattr(functional, "grouped_mm") or rows.dtype == torch.float64 or len(rows) == 0:
        return False
    if rows.device.type == "cuda":
        return rows.dtype == torch.bfloat16 and torch.cuda.get_device_capability(rows.device)[0] in (9, 10)
    return rows.device.type == "cpu"


def _aligned(tensor: Tensor, axes: int = 1) -> Tensor:
    """The last `axes` axes filled up with zeros to whole multiples of `ALIGNMENT` bytes."""
    step = max(ALIGNMENT // tensor.element_size(), 1)
    fill = [-size % step for size in reversed(tensor.shape[-axes:])]
    return functional.pad(tensor, [side for extra in fill for side in (0, extra)]) if any(fill) else tensor
