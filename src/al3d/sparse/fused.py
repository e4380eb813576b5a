"""The engine for a CPU: gather, multiply and add in one pass per block of output rows, all blocks in one parallel region.

The rows gathered for a block and their products stay in the processor's cache. numba compiles the copying for the processor at hand, and hands
the products to the BLAS behind SciPy, each to one thread of it. Sums do not depend on the number of threads: a block of rows belongs to one
thread, and so does the gradient of an offset's matrix.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numba
import numpy as np
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor

from al3d.sparse import loop
from al3d.sparse.maps import KernelMap
from al3d.types import I32, I64, Array

#: What it multiplies; other types, and other devices, are the loop's.
DTYPES = (torch.float32, torch.float64)
#: Output rows per block.
BLOCK = 1024
#: The gradient of a single matrix is summed in so many parts, which threads can share.
PARTS = 16
#: Up to so many channels on both sides, sums of outer products are faster row by row than by the BLAS.
NARROW = 48


@dataclass(frozen=True, eq=False)
class Blocks:
    """The pairs of a map ordered by block of output rows, then by offset, then by output row.

    `source` and `target` i32[P]; those of block b under offset k lie from `bounds[b,k]` to `bounds[b,k+1]`, i64[B,K+1]. `center` is the offset
    under which every row meets itself, -1 for none. There are `rows` output rows, `size` of them in a block.
    """

    source: I32
    target: I32
    bounds: I64
    center: int
    rows: int
    size: int

    def plain(self) -> tuple[I32, I32, I64, int, int]:
        """What the compiled functions take."""
        return self.source, self.target, self.bounds, self.center, self.size


def products(feat: Tensor, kernel: Tensor, pairs: KernelMap) -> Tensor:
    """`feat` [rows_in,I] convolved with `kernel` [K,I,O]: [rows_out,O], in float32 at least."""
    if not _takes(feat):
        return loop.products(feat, kernel, pairs)
    return _convolved(feat, kernel, blocks_of(pairs), kernel.shape[2])


def gradients(feat: Tensor, kernel: Tensor, pairs: KernelMap, grad: Tensor, needed: tuple[bool, ...]) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of features and kernel from `grad` [rows_out,O] of the result, each None unless `needed`.

    That of the features is a convolution of `grad` over the pairs from out to in. A map with a center is its own mirror, so there the pairs are the
    same and the kernel is mirrored.
    """
    if not _takes(feat):
        return loop.gradients(feat, kernel, pairs, grad, needed)
    feat_grad = _convolved(grad, kernel, blocks_of(pairs, back=pairs.center is None), kernel.shape[1], turned=True) if needed[0] else None
    return feat_grad, _kernel_gradient(feat, grad, blocks_of(pairs)) if needed[1] else None


def prepare(pairs: KernelMap) -> None:
    """Orders the pairs; for the direction of the gradients too, where there will be gradients."""
    blocks_of(pairs)
    if pairs.center is None and torch.is_grad_enabled():
        blocks_of(pairs, back=True)


def blocks_of(pairs: KernelMap, back: bool = False) -> Blocks:
    """The pairs in blocks of output rows, or, going `back`, of input rows with the two sides swapped; computed once per map."""
    key = ("fused", BLOCK, back)
    if key not in pairs.cache:
        source, target, rows = (pairs.target, pairs.source, pairs.rows_in) if back else (pairs.source, pairs.target, pairs.rows_out)
        starts = np.cumsum([0, *(len(side) for side in source)])
        there, here, bounds = _order(torch.cat(source).numpy(), torch.cat(target).numpy(), starts, rows, BLOCK)
        pairs.cache[key] = Blocks(there, here, bounds, -1 if pairs.center is None else pairs.center, rows, BLOCK)
    result: Blocks = pairs.cache[key]
    return result


def _takes(feat: Tensor) -> bool:
    return feat.device.type == "cpu" and feat.dtype in DTYPES


def _array(tensor: Tensor) -> Array:
    return tensor.detach().contiguous().numpy()


@cache
def _blas() -> list[Any]:
    """The libraries behind SciPy's products, which numba's `np.dot` calls."""
    import scipy.linalg.cython_blas  # noqa: F401

    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Each product on one thread, as the threads are ours. threadpoolctl's own context takes as long as a small convolution."""
    before = [(library, library.num_threads) for library in _blas()]
    try:
        for library, threads in before:
            if threads != 1:
                library.set_num_threads(1)
        yield
    finally:
        for library, threads in before:
            if threads != 1:
                library.set_num_threads(threads)


def _convolved(feat: Tensor, kernel: Tensor, blocks: Blocks, channels: int, turned: bool = False) -> Tensor:
    """`feat` convolved to so many `channels`; `turned`, with the transposed matrices of `kernel`, mirrored where the map has a center."""
    out = feat.new_empty(blocks.rows, channels)
    with _one_thread_each():
        _convolve(_array(feat), _array(kernel), turned, *blocks.plain(), out.numpy(), numba.get_num_threads())
    return out


def _kernel_gradient(feat: Tensor, grad: Tensor, blocks: Blocks) -> Tensor:
    offsets, number = blocks.bounds.shape[1] - 1, len(blocks.bounds)
    if offsets == 1:
        edges = np.linspace(0, number, PARTS + 1).astype(np.int64)
        tasks = np.column_stack([np.zeros(PARTS, np.int64), edges[:-1], edges[1:]])
    else:
        tasks = np.array([(offset, 0, number) for offset in range(offsets)])
    counts = np.diff(blocks.bounds, axis=1).sum(axis=0)
    if blocks.center >= 0:
        counts[blocks.center] = blocks.rows
    order = np.argsort(-counts[tasks[:, 0]], kind="stable")  # the longest first
    result = feat.new_zeros(len(tasks), feat.shape[1], grad.shape[1])
    with _one_thread_each():
        _outer_products(_array(feat), _array(grad), *blocks.plain(), tasks, order, result.numpy(), numba.get_num_threads())
    return result.sum(dim=0, keepdim=True) if offsets == 1 else result


@numba.njit(cache=True, nogil=True)
def _order(source: Any, target: Any, starts: Any, rows: int, size: int) -> Any:
    """`Blocks`' source, target and bounds: a counting sort of the pairs, which come offset by offset."""
    blocks, offsets = (rows + size - 1) // size, len(starts) - 1
    bounds = np.zeros((blocks, offsets + 1), np.int64)
    for k in range(offsets):
        for place in range(starts[k], starts[k + 1]):
            bounds[target[place] // size, k + 1] += 1
    total = 0
    for b in range(blocks):
        for k in range(offsets + 1):
            total += bounds[b, k]
            bounds[b, k] = total
    there, here = np.empty(total, np.int32), np.empty(total, np.int32)
    free = bounds[:, :offsets].copy()
    for k in range(offsets):
        for place in range(starts[k], starts[k + 1]):
            b = target[place] // size
            there[free[b, k]], here[free[b, k]] = source[place], target[place]
            free[b, k] += 1
    return there, here, bounds


@numba.njit(cache=True, nogil=True)
def _gather(rows: Any, feat: Any, out: Any) -> None:
    for i in range(len(rows)):
        row = rows[i]
        for c in range(feat.shape[1]):
            out[i, c] = feat[row, c]


@numba.njit(cache=True, nogil=True)
def _multiply(rows: Any, matrices: Any, offset: int, turned: bool, mirror: bool, out: Any) -> None:
    if not turned:
        np.dot(rows, matrices[offset], out)
    elif mirror:
        np.dot(rows, matrices[len(matrices) - 1 - offset].T, out)
    else:
        np.dot(rows, matrices[offset].T, out)


@numba.njit(cache=True, nogil=True, parallel=True)
def _convolve(feat: Any, matrices: Any, turned: bool, source: Any, target: Any, bounds: Any, center: int, size: int, out: Any, threads: int) -> None:
    for thread in numba.prange(threads):
        gathered, product = np.empty((size, feat.shape[1]), feat.dtype), np.empty((size, out.shape[1]), feat.dtype)
        for b in range(thread, len(bounds), threads):
            first, last = b * size, min((b + 1) * size, len(out))
            if center >= 0:
                _multiply(feat[first:last], matrices, center, turned, True, out[first:last])
            else:
                out[first:last] = 0
            for k in range(len(matrices)):
                low, high = bounds[b, k], bounds[b, k + 1]
                if low == high:
                    continue
                rows, sums = gathered[: high - low], product[: high - low]
                _gather(source[low:high], feat, rows)
                _multiply(rows, matrices, k, turned, center >= 0, sums)
                for i in range(high - low):
                    row = target[low + i]
                    for c in range(out.shape[1]):
                        out[row, c] += sums[i, c]


@numba.njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
def _add_outer_products(source: Any, target: Any, feat: Any, grad: Any, total: Any) -> None:
    """Four pairs at a time, so that a sum is read and written once for four products."""
    whole = len(source) // 4 * 4
    for p in range(0, whole, 4):
        left = feat[source[p]], feat[source[p + 1]], feat[source[p + 2]], feat[source[p + 3]]
        right = grad[target[p]], grad[target[p + 1]], grad[target[p + 2]], grad[target[p + 3]]
        for i in range(feat.shape[1]):
            a, b, c, d = left[0][i], left[1][i], left[2][i], left[3][i]
            row = total[i]
            for o in range(grad.shape[1]):
                row[o] += a * right[0][o] + b * right[1][o] + c * right[2][o] + d * right[3][o]
    for p in range(whole, len(source)):
        for i in range(feat.shape[1]):
            for o in range(grad.shape[1]):
                total[i, o] += feat[source[p], i] * grad[target[p], o]


@numba.njit(cache=True, nogil=True, parallel=True)
def _outer_products(
    feat: Any,
    grad: Any,
    source: Any,
    target: Any,
    bounds: Any,
    center: int,
    size: int,
    tasks: Any,
    order: Any,
    result: Any,
    threads: int,
) -> None:
    """For each task (offset, first block, last block): the sum over its pairs of outer products of both rows."""
    narrow = max(feat.shape[1], grad.shape[1]) <= NARROW
    for thread in numba.prange(threads):
        left, right = np.empty((size, feat.shape[1]), feat.dtype), np.empty((size, grad.shape[1]), feat.dtype)
        part = np.empty((feat.shape[1], grad.shape[1]), feat.dtype)
        for place in range(thread, len(order), threads):
            task = order[place]
            k = tasks[task, 0]
            for b in range(tasks[task, 1], tasks[task, 2]):
                if k == center:
                    first, last = b * size, min((b + 1) * size, len(feat))
                    np.dot(feat[first:last].T, grad[first:last], part)
                else:
                    low, high = bounds[b, k], bounds[b, k + 1]
                    if low == high:
                        continue
                    if narrow:
                        _add_outer_products(source[low:high], target[low:high], feat, grad, result[task])
                        continue
                    _gather(source[low:high], feat, left[: high - low])
                    _gather(target[low:high], grad, right[: high - low])
                    np.dot(left[: high - low].T, right[: high - low], part)
                result[task] += part
