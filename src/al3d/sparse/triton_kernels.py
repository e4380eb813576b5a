# mypy: disable-error-code="import-not-found,import-untyped,unused-ignore", disallow-untyped-decorators=False, disallow-any-unimported=False
"""The Triton kernels of the masked implicit GEMM: products, the outer products of the kernel's gradient, and their sums.

Every sum is taken in an order that follows from channels, type and map alone; no kernel uses atomics. `DEPTH` (how many channels or
pairs one `tl.dot` takes) is part of that order; block sizes, warps and stages are not. In Triton's interpreter, which multiplies
16-bit floats wrongly, `WIDEN` turns them into float32 before the product; on a GPU it is off.
"""

from __future__ import annotations

import math
from collections.abc import Callable

try:
    import triton
    import triton.language as tl
except ImportError as error:
    raise ImportError(
        "sparse.engine=triton needs Triton, which CUDA builds of PyTorch bring along: pip install triton, or set sparse.engine=auto", name="triton"
    ) from error

VERSION: str = triton.__version__


@triton.jit
def products_kernel(  # type: ignore[no-untyped-def]
    feat,
    kernel,
    out,
    order,
    source,
    offsets,
    counts,
    padded,
    FIRST: tl.constexpr,
    SIZE: tl.constexpr,
    I: tl.constexpr,  # noqa: E741
    O: tl.constexpr,  # noqa: E741
    ADD: tl.constexpr,
    FAR: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
    PRECISION: tl.constexpr,
    WIDEN: tl.constexpr,
):
    """Rows `order` of `out` f32[V,O] (added to if ADD): the products of rows `source` of `feat` [W,I] with `kernel` [K,I,O]."""
    TILES: tl.constexpr = (O + COLUMNS - 1) // COLUMNS
    STEPS: tl.constexpr = (I + DEPTH - 1) // DEPTH
    block = tl.program_id(0) // TILES
    tile = tl.program_id(0) % TILES
    count = tl.load(counts + block)
    if (count > 0) | (not ADD):
        place = block * ROWS + tl.arange(0, ROWS)
        row = tl.load(order + place)
        column = tile * COLUMNS + tl.arange(0, COLUMNS)
        here = (row >= 0)[:, None] & (column < O)[None, :]
        if FAR:
            row = row.to(tl.int64)
        result = out + row[:, None] * O + column[None, :]
        # the sum goes on where the part before left it, so that the number of parts changes no bit
        total = tl.load(result, mask=here, other=0.0) if ADD else tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
        # one loop over offsets and channels, because only the innermost loop is pipelined
        for step in range(count * STEPS):
            offset = tl.load(offsets + block * SIZE + step // STEPS)
            channel = (step % STEPS) * DEPTH + tl.arange(0, DEPTH)
            near = tl.load(source + offset * padded + place)
            if FAR:
                near = near.to(tl.int64)
            left = tl.load(feat + near[:, None] * I + channel[None, :], mask=(near >= 0)[:, None] & (channel < I)[None, :], other=0.0)
            lines = (FIRST + offset) * I + channel
            right = tl.load(kernel + lines[:, None] * O + column[None, :], mask=(channel < I)[:, None] & (column < O)[None, :], other=0.0)
            if WIDEN:
                left, right = left.to(tl.float32), right.to(tl.float32)
            total = tl.dot(left, right, total, input_precision=PRECISION)
        tl.store(result, total, mask=here)


@triton.jit
def outer_kernel(  # type: ignore[no-untyped-def]
    feat,
    grad,
    sums,
    source,
    target,
    edges,
    I: tl.constexpr,  # noqa: E741
    O: tl.constexpr,  # noqa: E741
    FAR: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
    PRECISION: tl.constexpr,
    WIDEN: tl.constexpr,
):
    """`sums` f32[R,I,O]: per run of pairs, the sum of the outer products of rows `source` of `feat` and `target` of `grad`."""
    ACROSS: tl.constexpr = (O + COLUMNS - 1) // COLUMNS
    TILES: tl.constexpr = ACROSS * ((I + ROWS - 1) // ROWS)
    run = tl.program_id(0) // TILES
    tile = tl.program_id(0) % TILES
    channel = (tile // ACROSS) * ROWS + tl.arange(0, ROWS)
    column = (tile % ACROSS) * COLUMNS + tl.arange(0, COLUMNS)
    low = tl.load(edges + 2 * run)
    high = tl.load(edges + 2 * run + 1)
    total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for start in range(low, high, DEPTH):
        pair = start + tl.arange(0, DEPTH)
        some = pair < high
        one = tl.load(source + pair, mask=some, other=0)
        other = tl.load(target + pair, mask=some, other=0)
        if FAR:
            one, other = one.to(tl.int64), other.to(tl.int64)
        left = tl.load(feat + one[:, None] * I + channel[None, :], mask=some[:, None] & (channel < I)[None, :], other=0.0)
        right = tl.load(grad + other[:, None] * O + column[None, :], mask=some[:, None] & (column < O)[None, :], other=0.0)
        if WIDEN:
            left, right = left.to(tl.float32), right.to(tl.float32)
        total = tl.dot(tl.trans(left), right, total, input_precision=PRECISION)
    place = run * (I * O) + channel[:, None] * O + column[None, :]
    tl.store(sums + place, total, mask=(channel < I)[:, None] & (column < O)[None, :])


@triton.jit
def sum_kernel(sums, firsts, out, AREA: tl.constexpr, WIDTH: tl.constexpr):  # type: ignore[no-untyped-def]
    """`out` f32[K,AREA]: per offset the sum of its runs in `sums` f32[R,AREA], in order."""
    TILES: tl.constexpr = (AREA + WIDTH - 1) // WIDTH
    offset = tl.program_id(0) // TILES
    place = (tl.program_id(0) % TILES) * WIDTH + tl.arange(0, WIDTH)
    total = tl.zeros((WIDTH,), dtype=tl.float32)
    for run in range(tl.load(firsts + offset), tl.load(firsts + offset + 1)):
        total += tl.load(sums + run * AREA + place, mask=place < AREA, other=0.0)
    tl.store(out + offset * AREA + place, total, mask=place < AREA)


#: Whether these kernels run in Triton's interpreter (TRITON_INTERPRET=1 when this module was imported), on any device.
INTERPRETED: bool = not isinstance(products_kernel, triton.JITFunction)


def milliseconds(launch: Callable[[], object]) -> float:
    """The median time of `launch` on the current GPU; infinity if its blocks need more of the GPU than there is."""
    try:
        return float(triton.testing.do_bench(launch, warmup=5, rep=20, return_mode="median"))
    except triton.OutOfResources:
        return math.inf
