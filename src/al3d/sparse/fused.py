"""The engine for a CPU: gather, multiply and add in one pass per block of output rows, all blocks in one parallel region.

The rows gathered for a block and their products stay in the processor's cache. numba compiles the copying for the processor at hand, and hands
the products to a library (`blas`), each to one thread of it. With few channels it multiplies by itself (`lanes`), without copying: there the copies
cost more than the products. Sums do not depend on the number of threads: a block of rows belongs to one thread, and so does the gradient of an
offset's matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from al3d.sparse import blas, loop
from al3d.sparse.blas import add_transposed, aligned, buffer, multiply, set_threads
from al3d.sparse.lanes import WIDTH, load, multiply_add, spread, store
from al3d.sparse.maps import KernelMap
from al3d.types import I32, I64

#: What it multiplies; other types, and other devices, are the loop's.
DTYPES = (torch.float32, torch.float64)
#: Output rows per block, at most: what is gathered for them fits into a core's second cache.
BLOCK = 2048
#: Blocks come in such numbers, so that threads have equally many: few rows make few, because small products are slow.
SHARES, FEW_SHARES, FEW = 8, 2, 4096
#: The gradient of a single matrix is summed in so many parts, which threads can share.
PARTS = 16
#: Up to so many channels on both sides, products row by row are faster than gathering for the library.
NARROW = 48
#: Rows of a matrix whose gradients are summed together, and pairs that are summed before the next ones, so that their rows stay in the nearest cache.
ROWS, CHUNK = 4, 64


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
    return _convolved(feat, kernel, blocks_of(pairs))


def gradients(feat: Tensor, kernel: Tensor, pairs: KernelMap, grad: Tensor, needed: tuple[bool, ...]) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of features and kernel from `grad` [rows_out,O] of the result, each None unless `needed`.

    That of the features is a convolution of `grad` over the pairs from out to in. A map with a center is its own mirror, so there the pairs are the
    same and the kernel is mirrored.
    """
    if not _takes(feat):
        return loop.gradients(feat, kernel, pairs, grad, needed)
    feat_grad = None
    if needed[0]:
        mirrored = pairs.center is not None
        feat_grad = _convolved(grad, (kernel.flip(0) if mirrored else kernel).transpose(1, 2), blocks_of(pairs, back=not mirrored))
    return feat_grad, _kernel_gradient(feat, grad, blocks_of(pairs)) if needed[1] else None


def prepare(pairs: KernelMap) -> None:
    """Orders the pairs; for the direction of the gradients too, where there will be gradients."""
    blocks_of(pairs)
    if pairs.center is None and torch.is_grad_enabled():
        blocks_of(pairs, back=True)


def blocks_of(pairs: KernelMap, back: bool = False) -> Blocks:
    """The pairs in blocks of output rows, or, going `back`, of input rows with the two sides swapped; computed once per map."""
    key = ("fused", back)
    if key not in pairs.cache:
        source, target, rows = (pairs.target, pairs.source, pairs.rows_in) if back else (pairs.source, pairs.target, pairs.rows_out)
        starts = np.cumsum([0, *(len(side) for side in source)])
        size = block_size(rows)
        there, here, bounds = _order(torch.cat(source).numpy(), torch.cat(target).numpy(), starts, rows, size)
        pairs.cache[key] = Blocks(there, here, bounds, -1 if pairs.center is None else pairs.center, rows, size)
    result: Blocks = pairs.cache[key]
    return result


def block_size(rows: int) -> int:
    """The output rows of a block: a function of their number alone, as sums depend on it."""
    shares = FEW_SHARES if rows < FEW else SHARES
    return max(1, -(-rows // (shares * -(-rows // (shares * BLOCK)) or 1)))


def _takes(feat: Tensor) -> bool:
    return feat.device.type == "cpu" and feat.dtype in DTYPES


def _convolved(feat: Tensor, matrices: Tensor, blocks: Blocks) -> Tensor:
    """`feat` [rows_in,I] convolved with `matrices` [K,I,O]: [rows,O]."""
    out = feat.new_empty(blocks.rows, matrices.shape[2])
    rows, library = aligned(feat), blas.taken()
    narrow = out.shape[1] % WIDTH == 0 and max(matrices.shape[1:]) <= NARROW
    with blas.one_thread_each():
        _convolve(rows, aligned(matrices), *blocks.plain(), narrow, out.numpy(), numba.get_num_threads(), library.address(rows), library.threads)
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
    inputs, outputs = feat.shape[1], grad.shape[1]
    narrow = inputs % ROWS == 0 and outputs % WIDTH == 0 and max(inputs, outputs) <= NARROW
    result, rows, library = feat.new_zeros(len(tasks), inputs, outputs), aligned(feat), blas.taken()
    with blas.one_thread_each():
        _outer_products(
            rows,
            aligned(grad),
            *blocks.plain(),
            tasks,
            order,
            narrow,
            result.numpy(),
            numba.get_num_threads(),
            library.address(rows),
            library.threads,
        )
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
def _add_products(source: Any, target: Any, feat: Any, matrix: Any, out: Any, inputs: int, outputs: int) -> None:
    """Add each source row times `matrix` to its target row, four pairs at a time; all arrays flat, `outputs` a multiple of eight."""
    whole = len(source) // 4 * 4
    for p in range(0, whole, 4):
        x0, x1, x2, x3 = source[p] * inputs, source[p + 1] * inputs, source[p + 2] * inputs, source[p + 3] * inputs
        y0, y1, y2, y3 = target[p] * outputs, target[p + 1] * outputs, target[p + 2] * outputs, target[p + 3] * outputs
        o = 0
        while o + 2 * WIDTH <= outputs:
            q = o + WIDTH
            a0, a1, a2, a3 = load(out, y0 + o), load(out, y1 + o), load(out, y2 + o), load(out, y3 + o)
            b0, b1, b2, b3 = load(out, y0 + q), load(out, y1 + q), load(out, y2 + q), load(out, y3 + q)
            for i in range(inputs):
                m, n = load(matrix, i * outputs + o), load(matrix, i * outputs + q)
                s0, s1, s2, s3 = spread(feat, x0 + i), spread(feat, x1 + i), spread(feat, x2 + i), spread(feat, x3 + i)
                a0, a1, a2, a3 = multiply_add(s0, m, a0), multiply_add(s1, m, a1), multiply_add(s2, m, a2), multiply_add(s3, m, a3)
                b0, b1, b2, b3 = multiply_add(s0, n, b0), multiply_add(s1, n, b1), multiply_add(s2, n, b2), multiply_add(s3, n, b3)
            store(out, y0 + o, a0), store(out, y1 + o, a1), store(out, y2 + o, a2), store(out, y3 + o, a3)
            store(out, y0 + q, b0), store(out, y1 + q, b1), store(out, y2 + q, b2), store(out, y3 + q, b3)
            o += 2 * WIDTH
        if o < outputs:
            a0, a1, a2, a3 = load(out, y0 + o), load(out, y1 + o), load(out, y2 + o), load(out, y3 + o)
            for i in range(inputs):
                m = load(matrix, i * outputs + o)
                s0, s1, s2, s3 = spread(feat, x0 + i), spread(feat, x1 + i), spread(feat, x2 + i), spread(feat, x3 + i)
                a0, a1, a2, a3 = multiply_add(s0, m, a0), multiply_add(s1, m, a1), multiply_add(s2, m, a2), multiply_add(s3, m, a3)
            store(out, y0 + o, a0), store(out, y1 + o, a1), store(out, y2 + o, a2), store(out, y3 + o, a3)
    for p in range(whole, len(source)):
        x, y = source[p] * inputs, target[p] * outputs
        for o in range(0, outputs, WIDTH):
            total = load(out, y + o)
            for i in range(inputs):
                total = multiply_add(spread(feat, x + i), load(matrix, i * outputs + o), total)
            store(out, y + o, total)


@numba.njit(cache=True, nogil=True, parallel=True)
def _convolve(
    feat: Any,
    matrices: Any,
    source: Any,
    target: Any,
    bounds: Any,
    center: int,
    size: int,
    narrow: bool,
    out: Any,
    threads: int,
    product: int,
    setter: int,
) -> None:
    """Each thread takes every so-manieth block of output rows; `narrow` pairs are added as they are, others gathered and multiplied by the library."""
    inputs, outputs = feat.shape[1], out.shape[1]
    for thread in numba.prange(threads):
        before = set_threads(setter, np.int32(1))
        gathered, sums = buffer(size, inputs, feat), buffer(size, outputs, feat)
        for b in range(thread, len(bounds), threads):
            first, last = b * size, min((b + 1) * size, len(out))
            if center >= 0:
                multiply(product, feat[first:last], matrices[center], out[first:last])
            else:
                out[first:last] = 0
            for k in range(len(matrices)):
                low, high = bounds[b, k], bounds[b, k + 1]
                if low == high:
                    continue
                if narrow:
                    flat = matrices[k].reshape(-1)
                    _add_products(source[low:high], target[low:high], feat.reshape(-1), flat, out.reshape(-1), inputs, outputs)
                    continue
                _gather(source[low:high], feat, gathered)
                multiply(product, gathered[: high - low], matrices[k], sums)
                for i in range(high - low):
                    row = target[low + i]
                    for c in range(outputs):
                        out[row, c] += sums[i, c]
        set_threads(setter, before)


@numba.njit(cache=True, nogil=True)
def _add_outer_products(source: Any, target: Any, feat: Any, grad: Any, total: Any, inputs: int, outputs: int) -> None:
    """Add the outer product of each pair's rows to `total`, four rows of it at a time; all arrays flat, sizes multiples of four and eight."""
    for i in range(0, inputs, ROWS):
        o = 0
        while o < outputs:
            two = o + 2 * WIDTH <= outputs
            t0 = i * outputs + o
            t1, t2, t3 = t0 + outputs, t0 + 2 * outputs, t0 + 3 * outputs
            a0, a1, a2, a3 = load(total, t0), load(total, t1), load(total, t2), load(total, t3)
            if two:
                b0, b1, b2, b3 = load(total, t0 + WIDTH), load(total, t1 + WIDTH), load(total, t2 + WIDTH), load(total, t3 + WIDTH)
                for p in range(len(source)):
                    x, y = source[p] * inputs + i, target[p] * outputs + o
                    m, n = load(grad, y), load(grad, y + WIDTH)
                    s0, s1, s2, s3 = spread(feat, x), spread(feat, x + 1), spread(feat, x + 2), spread(feat, x + 3)
                    a0, a1, a2, a3 = multiply_add(s0, m, a0), multiply_add(s1, m, a1), multiply_add(s2, m, a2), multiply_add(s3, m, a3)
                    b0, b1, b2, b3 = multiply_add(s0, n, b0), multiply_add(s1, n, b1), multiply_add(s2, n, b2), multiply_add(s3, n, b3)
                store(total, t0 + WIDTH, b0), store(total, t1 + WIDTH, b1), store(total, t2 + WIDTH, b2), store(total, t3 + WIDTH, b3)
            else:
                for p in range(len(source)):
                    x, y = source[p] * inputs + i, target[p] * outputs + o
                    m = load(grad, y)
                    s0, s1, s2, s3 = spread(feat, x), spread(feat, x + 1), spread(feat, x + 2), spread(feat, x + 3)
                    a0, a1, a2, a3 = multiply_add(s0, m, a0), multiply_add(s1, m, a1), multiply_add(s2, m, a2), multiply_add(s3, m, a3)
            store(total, t0, a0), store(total, t1, a1), store(total, t2, a2), store(total, t3, a3)
            o += 2 * WIDTH if two else WIDTH


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
    narrow: bool,
    result: Any,
    threads: int,
    product: int,
    setter: int,
) -> None:
    """For each task (offset, first block, last block): the sum over its pairs of outer products of both rows."""
    inputs, outputs = feat.shape[1], grad.shape[1]
    for thread in numba.prange(threads):
        before = set_threads(setter, np.int32(1))
        left, right = buffer(size, inputs, feat), buffer(size, outputs, feat)
        for place in range(thread, len(order), threads):
            task = order[place]
            k = tasks[task, 0]
            filled = 0
            for b in range(tasks[task, 1], tasks[task, 2]):
                if k == center:
                    first, last = b * size, min((b + 1) * size, len(feat))
                    add_transposed(product, feat[first:last], grad[first:last], result[task])
                    continue
                low, high = bounds[b, k], bounds[b, k + 1]
                if narrow:
                    flat = result[task].reshape(-1)
                    for part in range(low, high, CHUNK):
                        end = min(part + CHUNK, high)
                        _add_outer_products(source[part:end], target[part:end], feat.reshape(-1), grad.reshape(-1), flat, inputs, outputs)
                    continue
                if filled + high - low > size:
                    add_transposed(product, left[:filled], right[:filled], result[task])
                    filled = 0
                _gather(source[low:high], feat, left[filled:])
                _gather(target[low:high], grad, right[filled:])
                filled += high - low
            if filled:
                add_transposed(product, left[:filled], right[:filled], result[task])
        set_threads(setter, before)
