"""The engine for few channels on a CPU: products of a block of output rows are kept and summed in one pass.

With few channels `index_add_` costs more than the product that it adds. Here the products of a block's pairs go to one
buffer, ordered by offset, and `embedding_bag` reads them once per output row: six times cheaper at 24 channels. The price is a
buffer of about 12 rows per output row of a block, which leaves the cache at many channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from al3d.sparse.maps import KernelMap, in_blocks

#: Output rows per block.
BLOCK = 2048
#: From this many channels on, on both sides of the layer, the general engine is faster.
CHANNELS = 32


@dataclass(frozen=True, eq=False)
class Block:
    """The pairs of the output rows in `rows`, ordered by offset (`counts` of them), then by output row.

    `source` and `target` i32[P] are their rows; the products `order[start[i]:start[i+1]]` belong to the block's i-th row.
    """

    rows: slice
    source: Tensor
    target: Tensor
    counts: list[int]
    order: Tensor
    start: Tensor


def is_narrow(feat: Tensor, kernel: Tensor, pairs: KernelMap) -> bool:
    """Whether this engine takes the convolution: few channels, on a CPU, in full precision, of a map that is its own mirror."""
    few = min(kernel.shape[1:]) < CHANNELS
    return few and pairs.center is not None and len(pairs.source) > 1 and feat.device.type == "cpu" and feat.dtype in (torch.float32, torch.float64)


def blocks_of(pairs: KernelMap) -> tuple[Block, ...]:
    """The blocks of a map whose targets ascend under every offset, `BLOCK` rows each; computed once per map."""
    key = ("narrow", BLOCK)
    if key not in pairs.cache:
        pairs.cache[key] = tuple(_block(*block) for block in in_blocks(*pairs.every_pair(), pairs.rows_out, BLOCK))
    result: tuple[Block, ...] = pairs.cache[key]
    return result


def convolve(feat: Tensor, kernel: Tensor, pairs: KernelMap) -> Tensor:
    """`feat` [V,I] convolved with `kernel` [K,I,O]: [V,O]."""
    out = feat.new_empty(pairs.rows_out, kernel.shape[2])
    matrices = kernel.unbind(0)
    for block in blocks_of(pairs):
        out[block.rows] = _block_sum(feat.index_select(0, block.source), matrices, block)
    return out


def gradients(feat: Tensor, kernel: Tensor, pairs: KernelMap, grad: Tensor, needed: tuple[bool, ...]) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of features and kernel, each None unless `needed`.

    The map is its own mirror: the gradient of the features is the convolution of `grad` with the kernel, mirrored and transposed.
    """
    mirrored = kernel.flip(0)
    matrices = mirrored.transpose(1, 2).unbind(0)
    feat_grad = torch.empty_like(feat) if needed[0] else None
    kernel_grad = torch.zeros_like(mirrored) if needed[1] else None
    for block in blocks_of(pairs):
        part = grad.index_select(0, block.source)
        if kernel_grad is not None:
            _add_outer_products(kernel_grad, feat.index_select(0, block.target), part, block)
        if feat_grad is not None:
            feat_grad[block.rows] = _block_sum(part, matrices, block)
    return feat_grad, None if kernel_grad is None else kernel_grad.flip(0)


def _block_sum(gathered: Tensor, matrices: tuple[Tensor, ...], block: Block) -> Tensor:
    products = gathered.new_empty(len(gathered), matrices[0].shape[1])
    for rows, matrix, product in zip(torch.split(gathered, block.counts), matrices, torch.split(products, block.counts), strict=True):
        if len(rows):
            torch.mm(rows, matrix, out=product)
    return functional.embedding_bag(block.order, products, block.start, mode="sum", include_last_offset=True)


def _add_outer_products(kernel_grad: Tensor, left: Tensor, right: Tensor, block: Block) -> None:
    for total, a, b in zip(kernel_grad.unbind(0), torch.split(left, block.counts), torch.split(right, block.counts), strict=True):
        if len(a):
            total.addmm_(a.t(), b)


def _block(rows: slice, source: Tensor, target: Tensor, counts: list[int]) -> Block:
    """Orders a block's pairs by output row with a table of rows and offsets, which is faster than sorting."""
    local = target - rows.start
    offset = torch.repeat_interleave(torch.tensor(counts))
    table = local.new_full(((rows.stop - rows.start) * len(counts),), -1)
    table[local * len(counts) + offset] = torch.arange(len(local))
    start = functional.pad(torch.bincount(local, minlength=rows.stop - rows.start).cumsum(0), (1, 0))
    return Block(rows, source.int(), target.int(), counts, table[table >= 0].int(), start.int())
