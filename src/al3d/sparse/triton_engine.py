# mypy: disable-error-code="no-untyped-call"
"""Convolution on a GPU by masked implicit GEMM: one kernel gathers, multiplies and adds, and writes every output row once.

Importing this module needs Triton. What it is told about a map, it works out once and keeps with the map (`triton_plan`); after that
a convolution and its gradients wait for nothing. The gradient of the features is the same kernel on the transposed map with the
transposed matrices. The gradient of the kernel is summed over runs of pairs, then over runs in order.

Same bits on a rerun: no atomics, and every sum's order follows from channels, type and map. Block sizes may be tuned, because no
tuned size is part of that order (`triton_tuning`).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
from torch import Tensor

from al3d.sparse import triton_kernels as kernels
from al3d.sparse.maps import KernelMap
from al3d.sparse.triton_plan import PairLists, Plan, backward_plan, forward_plan, pair_lists, prepare_plans
from al3d.sparse.triton_tuning import SHARED, Choices, Config, Shape, choices_of

#: Types that the kernels take. Sums are float32.
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
#: About how many programs share the pairs of a map in the gradient of the kernel, in tiles of `_TILE` x `_TILE`; at least `_RUNS` runs.
_PROGRAMS, _TILE, _RUNS = 1024, 64, 32
#: Elements per program of the last sum.
_WIDTH = 1024
#: Rows times channels from which on an index no longer fits an int32.
_FAR = 1 << 31


def usable(device: torch.device) -> bool:
    """Whether the kernels run on `device`: NVIDIA from compute capability 8.0 on, or any device in Triton's interpreter."""
    if kernels.INTERPRETED:
        return True
    return device.type == "cuda" and torch.version.hip is None and torch.cuda.get_device_capability(device) >= (8, 0)


def prepare(pairs: KernelMap) -> None:
    """Plans the convolution over a map; its gradients too, where there will be gradients."""
    if not pairs.is_identity:
        prepare_plans(pairs)


def products(feat: Tensor, kernel: Tensor, pairs: KernelMap) -> Tensor:
    """The convolution of `feat` [rows_in,I] with `kernel` [K,I,O] over `pairs`, without its derivative: f32[rows_out,O].

    Raises: ValueError for a type that the kernels do not take.
    """
    _check(feat, kernel)
    if pairs.is_identity:
        return feat.mm(kernel[0]).float()
    return _convolve(feat, kernel, forward_plan(pairs))


def gradients(feat: Tensor, kernel: Tensor, pairs: KernelMap, grad: Tensor, needed: tuple[bool, ...]) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of features and kernel from `grad` [rows_out,O] of the result, each None unless `needed` and of its own type.

    Raises: ValueError for a type that the kernels do not take.
    """
    _check(feat, kernel)
    grad = grad.to(feat.dtype).contiguous()
    feat_grad = _feat_gradient(kernel, pairs, grad) if needed[0] else None
    kernel_grad = _kernel_gradient(feat, pairs, grad) if needed[1] else None
    return None if feat_grad is None else feat_grad.to(feat.dtype), None if kernel_grad is None else kernel_grad.to(kernel.dtype)


def _check(feat: Tensor, kernel: Tensor) -> None:
    if feat.dtype not in DTYPES or kernel.dtype != feat.dtype:
        names = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)
        raise ValueError(f"the Triton engine takes features and kernel of one type of {names}, got {feat.dtype} and {kernel.dtype}: set sparse.engine=loop")


def _feat_gradient(kernel: Tensor, pairs: KernelMap, grad: Tensor) -> Tensor:
    if pairs.is_identity:
        return grad.mm(kernel[0].t())
    mirrored = kernel if pairs.center is None else kernel.flip(0)
    return _convolve(grad, mirrored.transpose(1, 2), backward_plan(pairs))


def _kernel_gradient(feat: Tensor, pairs: KernelMap, grad: Tensor) -> Tensor:
    if pairs.is_identity:
        return feat.t().mm(grad).unsqueeze(0)
    return _outer(feat.contiguous(), grad, pair_lists(pairs))


def _convolve(feat: Tensor, kernel: Tensor, plan: Plan) -> Tensor:
    feat, kernel = feat.contiguous(), kernel.contiguous()
    out = feat.new_empty(plan.rows, kernel.shape[2], dtype=torch.float32)
    if out.numel():
        shape = _shape("products", feat, *kernel.shape)
        with _on(feat.device):
            config = _choice(shape, feat.device, lambda config: _multiply(feat, kernel, out, plan, 0, shape, config))
            for part in range(len(plan.parts)):
                _multiply(feat, kernel, out, plan, part, shape, config)
    return out


def _multiply(feat: Tensor, kernel: Tensor, out: Tensor, plan: Plan, number: int, shape: Shape, config: Config) -> None:
    """Adds one part of the offsets to `out`; the first part writes it."""
    part = plan.parts[number]
    offsets, counts = part.blocks(config.rows)
    grid = (len(counts) * -(-shape.outputs // config.columns),)
    kernels.products_kernel[grid](
        feat, kernel, out, part.order, part.source, offsets, counts, len(part.order),
        FIRST=part.first, SIZE=len(part.source), I=shape.inputs, O=shape.outputs, ADD=number > 0,
        FAR=max(feat.numel(), out.numel()) >= _FAR, ROWS=config.rows, COLUMNS=config.columns, DEPTH=shape.depth,
        PRECISION=shape.precision, WIDEN=_widen(feat), num_warps=config.warps, num_stages=config.stages,
    )  # fmt: skip


def _outer(feat: Tensor, grad: Tensor, lists: PairLists) -> Tensor:
    offsets, inputs, outputs = len(lists.counts), feat.shape[1], grad.shape[1]
    out = feat.new_zeros(offsets, inputs, outputs, dtype=torch.float32)
    tiles = -(-inputs // _TILE) * -(-outputs // _TILE)
    edges, firsts, runs = lists.runs(max(_PROGRAMS // max(tiles, 1), _RUNS))
    if runs and out.numel():
        sums = feat.new_empty(runs, inputs, outputs, dtype=torch.float32)
        shape = _shape("outer", feat, offsets, inputs, outputs)
        with _on(feat.device):
            config = _choice(shape, feat.device, lambda config: _add_up(feat, grad, sums, lists, edges, shape, config))
            _add_up(feat, grad, sums, lists, edges, shape, config)
            grid = (offsets * -(-inputs * outputs // _WIDTH),)
            kernels.sum_kernel[grid](sums, firsts, out, AREA=inputs * outputs, WIDTH=_WIDTH)
    return out


def _add_up(feat: Tensor, grad: Tensor, sums: Tensor, lists: PairLists, edges: Tensor, shape: Shape, config: Config) -> None:
    grid = (len(edges) * -(-shape.inputs // config.rows) * -(-shape.outputs // config.columns),)
    kernels.outer_kernel[grid](
        feat, grad, sums, lists.source, lists.target, edges,
        I=shape.inputs, O=shape.outputs, FAR=max(feat.numel(), grad.numel()) >= _FAR,
        ROWS=config.rows, COLUMNS=config.columns, DEPTH=shape.depth,
        PRECISION=shape.precision, WIDEN=_widen(feat), num_warps=config.warps, num_stages=config.stages,
    )  # fmt: skip


def _shape(kernel: str, feat: Tensor, offsets: int, inputs: int, outputs: int) -> Shape:
    return Shape(kernel, str(feat.dtype).removeprefix("torch."), _precision(feat.dtype), offsets, inputs, outputs)


def _precision(dtype: torch.dtype) -> str:
    """tf32 where PyTorch's own matrix products may use it, else full precision."""
    settings: Any = torch.backends.cuda.matmul
    is_allowed = settings.fp32_precision == "tf32" if hasattr(settings, "fp32_precision") else settings.allow_tf32
    return "tf32" if dtype == torch.float32 and is_allowed else "ieee"


def _widen(feat: Tensor) -> bool:
    return kernels.INTERPRETED and feat.dtype != torch.float32


def _on(device: torch.device) -> AbstractContextManager[object]:
    """Triton launches on the current GPU, wherever the tensors are."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


@cache
def _choices(device: torch.device) -> tuple[Choices, int]:
    if device.type != "cuda":
        return choices_of(device.type, kernels.VERSION), SHARED
    properties = torch.cuda.get_device_properties(device)
    return choices_of(properties.name, kernels.VERSION), getattr(properties, "shared_memory_per_block_optin", SHARED)


def _choice(shape: Shape, device: torch.device, launch: Any) -> Config:
    choices, shared = _choices(device)
    measure = None if kernels.INTERPRETED else lambda config: kernels.milliseconds(lambda: launch(config))
    return choices(shape, shared, measure)
