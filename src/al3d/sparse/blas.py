"""Matrix products inside of functions that numba compiles, by whichever library multiplies faster on the processor at hand.

PyTorch's wheels for x86 bring Intel's MKL and let others call it; SciPy brings OpenBLAS. Which one is faster depends on the processor, so the
two are timed once, and the outcome is kept in a file: other sums are other bits, so a run says which one it took and goes on with that one.
"""

from __future__ import annotations

import ctypes
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numba
import numpy as np
import scipy.linalg.cython_blas
import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils as untyped_cgutils
from numba.extending import get_cython_function_address, intrinsic
from threadpoolctl import ThreadpoolController
from torch import Tensor

from al3d.files import cache_folder, write_first
from al3d.threads import processor
from al3d.types import Array

#: Rows and channels of the products that are timed: those of a block of a network of full width.
ROWS, CHANNELS = 512, 96
#: Bytes of a cache line.
LINE = 64
#: SciPy's library must be faster by so much to be taken.
MARGIN = 1.05
#: As in `lanes`.
_intrinsic: Callable[[Any], Any] = intrinsic
#: Without annotations of its own.
cgutils: Any = untyped_cgutils
_INTEGER, _CHARACTER = ir.IntType(32), ir.IntType(8)


@dataclass(frozen=True)
class Library:
    """A library's products: the addresses of its `sgemm` and `dgemm`, and of what sets the calling thread's number of threads (0: none)."""

    name: str
    single: int
    double: int
    threads: int = 0

    def address(self, array: Array) -> int:
        """The product for the type of an array, float32 or float64."""
        return self.single if array.dtype == np.float32 else self.double


@cache
def libraries() -> dict[str, Library]:
    """The libraries at hand, by name: `torch` where its build brings MKL, and `scipy`."""
    scipys = [get_cython_function_address(scipy.linalg.cython_blas.__name__, name) for name in ("sgemm", "dgemm")]
    found = {"scipy": Library("scipy", *scipys)}
    folder = Path(torch.__file__).parent / "lib"
    for file in folder.glob("*torch_cpu.*"):
        names = ("sgemm_", "dgemm_", "MKL_Set_Num_Threads_Local")
        torchs = [_address(ctypes.CDLL(str(file)), name) for name in names]
        if all(torchs):
            found["torch"] = Library("torch", *torchs)
    return found


def _address(library: ctypes.CDLL, name: str) -> int:
    function = getattr(library, name, None)
    return 0 if function is None else int(ctypes.cast(function, ctypes.c_void_p).value or 0)


_taken: list[str] = []


def use(name: str) -> None:
    """Multiply with one library in this process from here on. Raises: ValueError for one that is not at hand."""
    if name not in libraries():
        raise ValueError(
            f"this run multiplies with the library of {name}, but this installation has only that of {', '.join(libraries())}: go on where it began, "
            "or start it anew in a folder of its own (paths.run=FOLDER)"
        )
    _taken[:] = [name]


def taken() -> Library:
    """The library that this process multiplies with: the one that was named by `use`, else the faster one."""
    if not _taken:
        use(fastest())
    return libraries()[_taken[0]]


def fastest(folder: Path | None = None) -> str:
    """The name of the library that multiplies faster here: timed once per processor and releases, and kept in a file of `folder`.

    Of several processes that time at once, the first to write decides. Where nothing can be written, every process times anew.
    """
    if len(libraries()) == 1:
        return next(iter(libraries()))
    words = [processor(), torch.backends.cpu.get_cpu_capability(), version("torch"), version("scipy")]
    file = (folder or cache_folder()) / f"products-{hashlib.blake2b(' '.join(words).encode(), digest_size=5).hexdigest()}.txt"
    if not file.is_file():
        seconds = {name: _seconds(library) for name, library in libraries().items()}
        name = "scipy" if MARGIN * seconds["scipy"] < seconds["torch"] else "torch"
        try:
            write_first(file, name)
        except OSError:
            return name
    kept = file.read_text(encoding="utf-8").strip()
    return kept if kept in libraries() else next(iter(libraries()))


def _seconds(library: Library) -> float:
    """The least time of a few products of each kind."""
    rows, matrix = np.zeros((ROWS, CHANNELS), np.float32), np.zeros((CHANNELS, CHANNELS), np.float32)
    result = np.empty_like(rows)
    with one_thread_each():
        times = [_timed(lambda: _products(library.single, library.threads, rows, matrix, result)) for _ in range(8)]
    return min(times)


def _timed(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


@cache
def _pools() -> list[Any]:
    """The libraries behind SciPy's and NumPy's products."""
    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Each product of SciPy's library on one thread, as the threads are ours. threadpoolctl's own context takes as long as a small convolution."""
    before = [(library, library.num_threads) for library in _pools()]
    try:
        for library, threads in before:
            if threads != 1:
                library.set_num_threads(1)
        yield
    finally:
        for library, threads in before:
            if threads != 1:
                library.set_num_threads(threads)


def aligned(tensor: Tensor) -> Array:
    """A tensor as a contiguous array on a cache line's border: MKL's last bits depend on where rows lie."""
    whole = tensor.detach().contiguous()
    return (whole if whole.data_ptr() % LINE == 0 else whole.clone()).numpy()


@numba.njit(cache=True, nogil=True)
def buffer(rows: int, columns: int, like: Any) -> Any:
    """An empty array [rows,columns] of the type of `like` on a cache line's border."""
    size = LINE // like.itemsize
    flat = np.empty(rows * columns + size, like.dtype)
    skipped = (-flat.ctypes.data % LINE) // like.itemsize
    return flat[skipped : skipped + rows * columns].reshape(rows, columns)


@_intrinsic
def set_threads(typing: Any, function: Any, threads: Any) -> Any:
    """Let the library whose `function` this is use so many threads for the calling one, 0: as before; returns the former number. Address 0: nothing."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        former = cgutils.alloca_once_value(builder, ir.Constant(_INTEGER, 0))
        known = builder.icmp_unsigned("!=", values[0], ir.Constant(values[0].type, 0))
        with builder.if_then(known):
            callee = builder.inttoptr(values[0], ir.FunctionType(_INTEGER, [_INTEGER]).as_pointer())
            builder.store(builder.call(callee, [values[1]]), former)
        return builder.load(former)

    return types.int32(types.intp, types.int32), code


@_intrinsic
def multiply(typing: Any, function: Any, left: Any, right: Any, out: Any) -> Any:
    """`out` [N,O] = `left` [N,I] times `right` [I,O], rows contiguous, by the product at an address."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        (a, (n, i)), (b, (_, o)), (c, _) = _parts(context, builder, signature, values)
        _call(builder, out.dtype, values[0], "NN", (o, n, i), (b, o), (a, i), 0.0, (c, o))
        return context.get_dummy_value()

    return types.void(types.intp, left, right, out), code


@_intrinsic
def add_transposed(typing: Any, function: Any, left: Any, right: Any, out: Any) -> Any:
    """`out` [I,O] += `left` [N,I] transposed times `right` [N,O], rows contiguous, by the product at an address."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        (a, (n, i)), (b, (_, o)), (c, _) = _parts(context, builder, signature, values)
        _call(builder, out.dtype, values[0], "NT", (o, i, n), (b, o), (a, i), 1.0, (c, o))
        return context.get_dummy_value()

    return types.void(types.intp, left, right, out), code


def _parts(context: Any, builder: Any, signature: Any, values: Any) -> list[tuple[Any, Any]]:
    """The data and the shape of the three arrays of a product."""
    arrays = [context.make_array(kind)(context, builder, value) for kind, value in zip(signature.args[1:], values[1:], strict=True)]
    return [(array.data, cgutils.unpack_tuple(builder, array.shape, 2)) for array in arrays]


def _call(builder: Any, dtype: Any, address: Any, forms: str, sizes: Any, left: Any, right: Any, before: float, out: Any) -> None:
    """Call a Fortran product, for which rows are columns: sizes m, n, k; matrices with their leading sizes; `before` times the former result is added."""
    real = ir.FloatType() if dtype == types.float32 else ir.DoubleType()
    number = partial(cgutils.alloca_once_value, builder)
    integers = [number(builder.trunc(size, _INTEGER)) for size in (*sizes, left[1], right[1], out[1])]
    m, n, k, first, second, last = integers
    flags = [number(ir.Constant(_CHARACTER, ord(form))) for form in forms]
    factors = [number(ir.Constant(real, factor)) for factor in (1.0, before)]
    arguments = [*flags, m, n, k, factors[0], left[0], first, right[0], second, factors[1], out[0], last]
    callee = builder.inttoptr(address, ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments]).as_pointer())
    builder.call(callee, arguments)


@numba.njit(cache=True, nogil=True)
def _products(function: int, threads: int, rows: Any, matrix: Any, result: Any) -> None:
    """What is timed: products as a block of a convolution and of its gradient makes them."""
    before = set_threads(threads, np.int32(1))
    for _ in range(8):
        multiply(function, rows, matrix, result)
        add_transposed(function, rows, rows, matrix)
    set_threads(threads, before)
