"""The engine that goes offset by offset: gather, multiply, add. It takes every type on every device.

On a CPU rows go through in chunks that stay in the processor's cache. An accelerator takes all rows of an offset at once; there the many
small launches are what it costs.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from al3d.sparse.maps import KernelMap

#: Rows per chunk on a CPU. An accelerator takes all rows at once.
CHUNK = 4096


def products(feat: Tensor, kernel: Tensor, pairs: KernelMap) -> Tensor:
    """`feat` [rows_in,I] convolved with `kernel` [K,I,O]: [rows_out,O]."""
    out = _own_rows(feat, kernel, pairs, pairs.rows_out)
    for k, source, target in _chunks(pairs):
        out.index_add_(0, target, feat.index_select(0, source).mm(kernel[k]).to(out.dtype))
    return out


def gradients(feat: Tensor, kernel: Tensor, pairs: KernelMap, grad: Tensor, needed: tuple[bool, ...]) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of features and kernel from `grad` [rows_out,O] of the result, each None unless `needed`; both from the same gathered rows."""
    transposed = kernel.transpose(1, 2)
    feat_grad = _own_rows(grad, transposed, pairs, pairs.rows_in) if needed[0] else None
    kernel_grad = _own_kernel_gradient(feat, kernel, pairs, grad) if needed[1] else None
    for k, source, target in _chunks(pairs):
        part = grad.index_select(0, target)
        if kernel_grad is not None:
            kernel_grad[k] += feat.index_select(0, source).t().mm(part)
        if feat_grad is not None:
            feat_grad.index_add_(0, source, part.mm(transposed[k]).to(feat_grad.dtype))
    return _cast(feat_grad, feat), _cast(kernel_grad, kernel)


def sum_type(rows: Tensor) -> torch.dtype:
    """The type that products of `rows` are added up in: float32 at least."""
    return torch.promote_types(rows.dtype, torch.float32)


def _slices(rows: int, device: torch.device) -> Iterator[slice]:
    step = CHUNK if device.type == "cpu" else max(rows, 1)
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def _chunks(pairs: KernelMap) -> Iterator[tuple[int, Tensor, Tensor]]:
    for k, (source, target) in enumerate(zip(pairs.source, pairs.target, strict=True)):
        for part in _slices(len(source), source.device):
            yield k, source[part], target[part]


def _own_rows(feat: Tensor, kernel: Tensor, pairs: KernelMap, rows: int) -> Tensor:
    """The product under the offset where every row meets itself, zeros [rows,O] without such an offset."""
    if pairs.center is None:
        return feat.new_zeros(rows, kernel.shape[2], dtype=sum_type(feat))
    return feat.mm(kernel[pairs.center]).to(sum_type(feat))


def _own_kernel_gradient(feat: Tensor, kernel: Tensor, pairs: KernelMap, grad: Tensor) -> Tensor:
    result = torch.zeros_like(kernel, dtype=sum_type(kernel), memory_format=torch.contiguous_format)
    if pairs.center is not None:
        for part in _slices(len(feat), feat.device):
            result[pairs.center] += feat[part].t().mm(grad[part])
    return result


def _cast(gradient: Tensor | None, like: Tensor) -> Tensor | None:
    return None if gradient is None else gradient.to(like.dtype)
