"""Batch normalisation, and its union with ReLU and convolution that keeps one tensor for the gradient instead of two.

Layer by layer, autograd keeps the rows that enter the normalisation and those that leave the ReLU. In training the nodes here
keep the former and compute the latter anew in the backward pass, with the same bits. A MinkUNet keeps a quarter less so, in no
more time than repeats differ by.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from al3d.sparse.engine import Engine, autocast_type, check, convolve, engine_for, gradients
from al3d.sparse.maps import KernelMap


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation over the rows of a sparse tensor that also accepts one row, or none.

    One row has no variance: it is normalised with the running statistics, as in evaluation, and does not change them.
    """

    def forward(self, rows: Tensor) -> Tensor:
        """Maps [V,D] to [V,D]."""
        if len(rows) == 0:
            return rows
        if len(rows) == 1 and self.training:
            return nn.functional.batch_norm(rows, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps)
        return super().forward(rows)

    def is_joinable(self, rows: Tensor) -> bool:
        """Whether `rows` are normalised with their own mean and variance and these enter the running ones by a fixed momentum."""
        return self.training and len(rows) > 1 and self.momentum is not None and self.running_mean is not None


def normed_relu(norm: BatchNorm, rows: Tensor) -> Tensor:
    """`relu(norm(rows))` [V,D], differentiable once; in training only `rows` are kept for the gradient."""
    if not norm.is_joinable(rows):
        return _one_by_one(norm, rows)
    _count(norm)
    with torch.autocast(rows.device.type, enabled=False):
        result: Tensor = _NormedRelu.apply(rows, norm.weight, norm.bias, norm)  # type: ignore[no-untyped-call]
    return result


def normed_convolve(norm: BatchNorm, rows: Tensor, kernel: Tensor, pairs: KernelMap, engine: str = "auto") -> Tensor:
    """`convolve(relu(norm(rows)), kernel, pairs, engine)`, differentiable once; in training only `rows` are kept for the gradient.

    Raises: ValueError if rows, kernel and map do not belong together, and for an engine that cannot run here.
    """
    if not norm.is_joinable(rows):
        return convolve(_one_by_one(norm, rows), kernel, pairs, engine)
    check(rows, kernel, pairs)
    half = autocast_type(rows)
    matrices = kernel.to(half or kernel.dtype)
    taken = engine_for(engine, rows.device, matrices.dtype)
    _count(norm)
    with torch.autocast(rows.device.type, enabled=False):
        result: Tensor = _NormedConvolution.apply(rows, norm.weight, norm.bias, matrices, norm, pairs, taken)  # type: ignore[no-untyped-call]
    return result


class _NormedRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor | None, bias: Tensor | None, norm: BatchNorm) -> Tensor:
        ctx.save_for_backward(rows, weight, bias)
        ctx.eps = norm.eps
        return _forward(rows, weight, bias, norm)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, bias = ctx.saved_tensors
        active, *moments = _again(rows, weight, bias, ctx.eps)
        masked = torch.ops.aten.threshold_backward(grad, active, 0)
        del active
        return *_norm_gradients(masked, rows, weight, moments, ctx.eps, ctx.needs_input_grad), None


class _NormedConvolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, weight: Tensor | None, bias: Tensor | None, kernel: Tensor, norm: BatchNorm, pairs: KernelMap, engine: Engine
    ) -> Tensor:
        ctx.save_for_backward(rows, weight, bias, kernel)
        ctx.eps, ctx.pairs, ctx.engine = norm.eps, pairs, engine
        return engine.products(_forward(rows, weight, bias, norm).to(kernel.dtype), kernel, pairs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, bias, kernel = ctx.saved_tensors
        active, *moments = _again(rows, weight, bias, ctx.eps)
        needed = (any(ctx.needs_input_grad[:3]), ctx.needs_input_grad[3])
        active_grad, kernel_grad = gradients(ctx.engine, active.to(kernel.dtype), kernel, ctx.pairs, grad, needed)
        if active_grad is None:
            return None, None, None, kernel_grad, None, None, None
        masked = active_grad.to(rows.dtype)
        # in place: the gradient is this node's own
        torch.ops.aten.threshold_backward.grad_input(masked, active, 0, grad_input=masked)
        del active, active_grad
        return *_norm_gradients(masked, rows, weight, moments, ctx.eps, ctx.needs_input_grad), kernel_grad, None, None, None


def _one_by_one(norm: BatchNorm, rows: Tensor) -> Tensor:
    # in place, but not in the caller's rows, which the normalisation returns as they are if there are none
    return torch.relu_(norm(rows)) if len(rows) else norm(rows)


def _count(norm: BatchNorm) -> None:
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)


def _forward(rows: Tensor, weight: Tensor | None, bias: Tensor | None, norm: BatchNorm) -> Tensor:
    """`relu(norm(rows))`, which also updates the running statistics."""
    return torch.native_batch_norm(rows, weight, bias, norm.running_mean, norm.running_var, True, norm.momentum or 0.0, norm.eps)[0].relu_()


def _again(rows: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """The result of `_forward` once more, without the running statistics; and the mean and inverse deviation of `rows`."""
    normed, mean, inverse = torch.native_batch_norm(rows, weight, bias, None, None, True, 0.0, eps)
    return normed.relu_(), mean, inverse


def _norm_gradients(
    grad: Tensor, rows: Tensor, weight: Tensor | None, moments: list[Tensor], eps: float, needed: tuple[bool, ...]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of rows, weight and bias from `grad` of the normalised rows, each None unless `needed`."""
    mean, inverse = moments
    results: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.native_batch_norm_backward(
        grad, rows, weight, None, None, mean, inverse, True, eps, list(needed[:3])
    )
    rows_grad, weight_grad, bias_grad = (result if wanted else None for result, wanted in zip(results, needed[:3], strict=True))
    return rows_grad, weight_grad, bias_grad
