"""The engine that goes offset by offset: gather, multiply, add; with few channels on a CPU, `narrow`.

On a CPU rows go through in chunks that stay in the processor's cache. An accelerator takes all rows of an offset at once; there the many
small launches are what it costs.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from al3d.sparse import narrow
from al3d.sparse.maps import KernelMap
from al3d.sparse.matmul import STEP, is_padded, multiply, multiply_transposed, padded, sum_type

#: Rows per chunk on a CPU. An accelerator takes all rows at once.
CHUNK = 4096


def products(feat: Tensor, kernel: Tensor, pairs: KernelMap) -> Tensor:
    """`feat` [rows_in,I] convolved with `kernel` [K,I,O]: [rows_out,O]."""
    return narrow.convolve(feat, kernel, pairs) if narrow.is_narrow(feat, kernel, pairs) else _gather_multiply_add(feat, kernel, pairs)


def gradients(feat: Tensor, kernel: Tensor, pairs: KernelMap, grad: Tensor, needed: tuple[bool, ...]) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of features and kernel from `grad` [rows_out,O] of the result, each None unless `needed`."""
    engine = narrow.gradients if narrow.is_narrow(feat, kernel, pairs) else _gradients
    return engine(feat, kernel, pairs, grad, needed)


class _Gather:
    """Copies rows of `feat` into one buffer that all chunks share, padded to a number of rows that multiplies fast.

    The padding holds zeros or rows of an earlier chunk: the caller drops or clears it.
    """

    def __init__(self, feat: Tensor, pairs: KernelMap, kernel: Tensor) -> None:
        self.feat = feat
        largest = max((len(source) for source in pairs.source), default=0)
        self.pad = padded if is_padded(feat, kernel.shape[1], kernel.shape[2]) else int
        self.buffer = feat.new_zeros(self.pad(min(largest, CHUNK)), feat.shape[1]) if feat.device.type == "cpu" else None

    def __call__(self, rows: Tensor) -> Tensor:
        if self.buffer is None:
            return self.feat.index_select(0, rows)
        torch.index_select(self.feat, 0, rows, out=self.buffer[: len(rows)])
        return self.buffer[: self.pad(len(rows))]


def _slices(rows: int, device: torch.device) -> Iterator[slice]:
    """Cuts `rows` into chunks; on a CPU into whole ones, a multiple of the step of fast products, and the rest."""
    stops = [*range(0, rows, CHUNK), rows // STEP * STEP, rows] if device.type == "cpu" else [0, rows]
    ends = sorted(set(stops))
    return (slice(start, stop) for start, stop in pairwise(ends))


def _chunks(pairs: KernelMap) -> Iterator[tuple[int, Tensor, Tensor]]:
    for k, (source, target) in enumerate(zip(pairs.source, pairs.target, strict=True)):
        step = CHUNK if source.device.type == "cpu" else max(len(source), 1)
        for start in range(0, len(source), step):
            yield k, source[start : start + step], target[start : start + step]


def _gather_multiply_add(feat: Tensor, kernel: Tensor, pairs: KernelMap) -> Tensor:
    out = _own_rows(feat, kernel, pairs, pairs.rows_out)
    gather = _Gather(feat, pairs, kernel)
    for k, source, target in _chunks(pairs):
        out.index_add_(0, target, multiply(gather(source), kernel[k])[: len(target)].to(out.dtype))
    return out


def _own_rows(feat: Tensor, kernel: Tensor, pairs: KernelMap, rows: int) -> Tensor:
    """The product under the offset where every row meets itself, zeros [rows,O] without such an offset."""
    if pairs.center is None:
        return feat.new_zeros(rows, kernel.shape[2], dtype=sum_type(feat))
    out = feat.new_empty(rows, kernel.shape[2], dtype=sum_type(feat))
    for part in _slices(rows, feat.device):
        out[part] = multiply(feat[part], kernel[pairs.center])
    return out


def _gradients(feat: Tensor, kernel: Tensor, pairs: KernelMap, grad: Tensor, needed: tuple[bool, ...]) -> tuple[Tensor | None, Tensor | None]:
    """`gradients` by the general engine: both come from the same gathered chunk of `grad`."""
    transposed = kernel.transpose(1, 2)
    feat_grad = _own_rows(grad, transposed, pairs, pairs.rows_in) if needed[0] else None
    kernel_grad = _own_kernel_gradient(feat, kernel, pairs, grad) if needed[1] else None
    gather_feat, gather_grad = _Gather(feat, pairs, kernel), _Gather(grad, pairs, kernel)
    for k, source, target in _chunks(pairs):
        part = gather_grad(target)
        if kernel_grad is not None:
            part[len(target) :] = 0
            kernel_grad[k] += multiply_transposed(gather_feat(source), part)
        if feat_grad is not None:
            feat_grad.index_add_(0, source, multiply(part, transposed[k])[: len(source)].to(feat_grad.dtype))
    return _cast(feat_grad, feat), _cast(kernel_grad, kernel)


def _own_kernel_gradient(feat: Tensor, kernel: Tensor, pairs: KernelMap, grad: Tensor) -> Tensor:
    result = torch.zeros_like(kernel, dtype=sum_type(kernel), memory_format=torch.contiguous_format)
    if pairs.center is not None:
        for part in _slices(len(feat), feat.device):
            result[pairs.center] += multiply_transposed(feat[part], grad[part])
    return result


def _cast(gradient: Tensor | None, like: Tensor) -> Tensor | None:
    return None if gradient is None else gradient.to(like.dtype)
