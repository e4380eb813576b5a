"""The door to the convolution: one autograd node, and a choice of engines that compute it.

An engine is a module with `products` and `gradients` (`Engine`): `fused` goes block of rows by block of rows on a CPU, `loop` offset by offset
anywhere, `grouped` multiplies all offsets at once with PyTorch's grouped product, `triton` brings kernels of its own for a GPU. Plain autograd
over the same steps takes three times as long and nine times the memory, because it keeps every gathered row.
"""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from al3d.sparse import fused, grouped, loop, proof
from al3d.sparse.maps import KernelMap

#: What `sparse.engine` may be; "auto" takes what suits the device.
ENGINES = ("auto", "loop", "fused", "grouped", "triton")


class Engine(Protocol):
    """Convolves over the pairs of a map. Sums are taken in float32 at least, in an order that does not change from run to run."""

    def products(self, feat: Tensor, kernel: Tensor, pairs: KernelMap) -> Tensor:
        """`feat` [rows_in,I] convolved with `kernel` [K,I,O]: [rows_out,O], in float32 at least."""
        ...

    def gradients(self, feat: Tensor, kernel: Tensor, pairs: KernelMap, grad: Tensor, needed: tuple[bool, ...]) -> tuple[Tensor | None, Tensor | None]:
        """The gradients of features and kernel, in their types, from `grad` [rows_out,O] in the type of `feat`; each None unless `needed`."""
        ...


def check_engine(name: str) -> None:
    """Raises: ValueError for an unknown engine, and for one whose library is missing."""
    if name not in ENGINES:
        raise ValueError(f"sparse.engine={name!r} is not one of {', '.join(ENGINES)}")
    if name == "triton" and _triton() is None:
        raise ValueError(
            "sparse.engine=triton needs the package triton, which cannot be imported here: install it with pip install triton (PyTorch's CUDA builds bring "
            "it along), or set sparse.engine=auto"
        )


#: What "auto" is on a GPU in this process; empty: the first engine that `proof` finds right.
_taken: list[str] = []


def use(name: str) -> None:
    """Let "auto" on a GPU mean this engine in this process from here on, where it takes the type: a run goes on as it began. "auto": any again."""
    check_engine(name)
    _taken[:] = [] if name == "auto" else [name]


def engine_name(name: str, device: torch.device, dtype: torch.dtype) -> str:
    """The engine that `name` means for features of that type on that device.

    For "auto" it is on a CPU fused, or the loop for half types; on a GPU the first of `engines_on_gpu` that computes right there (`proof`).
    """
    if name != "auto":
        return name
    if not proof.concerns(device):
        return "fused" if dtype in fused.DTYPES else "loop"
    return right_for(device, (dtype,))


def right_for(device: torch.device, dtypes: tuple[torch.dtype, ...]) -> str:
    """The engine for features of some types on a GPU: the one that was named by `use`, else the first that computes right in all of them; warns of others."""
    names = [name for name in engines_on_gpu(device) if name != "triton" or set(dtypes) <= set(_triton().DTYPES)]
    if _taken and _taken[0] in names:
        return _taken[0]
    for name, following in zip(names, names[1:], strict=False):
        fault = next(filter(None, (fault_of(name, device, dtype) for dtype in dtypes)), None)
        if fault is None:
            return name
        proof.warn(name, following, fault, device)
    return names[-1]


def fault_of(name: str, device: torch.device, dtype: torch.dtype) -> str | None:
    """What is wrong with an engine there, None if nothing is. Raises: as `proof.fault`."""
    return proof.fault(name, _module(name), device, dtype)


def engines_on_gpu(device: torch.device) -> list[str]:
    """The engines that may run on a GPU, the fastest first; the loop is the last resort."""
    kernels = _triton()
    return [*(["triton"] if kernels is not None and kernels.usable(device) else []), "grouped", "loop"]


def engine_for(name: str, device: torch.device, dtype: torch.dtype, checked: bool = True) -> Engine:
    """The engine itself; not `checked` for products with one matrix, which are PyTorch's own.

    Raises: ValueError for an unknown one, and for one that was named and cannot run or computes wrong on this GPU.
    """
    check_engine(name)
    taken = engine_name(name, device, dtype)
    if taken == "triton" and not _module(taken).usable(device):
        raise ValueError(f"sparse.engine=triton runs on GPUs from compute capability 8.0 on, not on {device}: set sparse.engine=auto")
    if checked and proof.concerns(device) and dtype in proof.TOLERANCE:
        fault = fault_of(taken, device, dtype)
        if fault is not None:
            raise ValueError(f"{proof.said(taken, fault, device)}: set sparse.engine=auto, or sparse.engine=loop in a run that began with {taken}")
    return cast(Engine, _module(taken))


def _module(name: str) -> Any:
    return _triton() if name == "triton" else {"loop": loop, "fused": fused, "grouped": grouped}[name]


@cache
def _triton() -> Any:
    """The module of the Triton engine, None where Triton is not installed."""
    if importlib.util.find_spec("triton") is None:
        return None
    return importlib.import_module("al3d.sparse.triton_engine")


def prepare(pairs: KernelMap, name: str) -> None:
    """Computes what the engine remembers about a map, so that convolving over it later waits for nothing."""
    ready = getattr(engine_for(name, pairs.source[0].device, torch.float32), "prepare", None)
    if ready is not None:
        ready(pairs)


def convolve(feat: Tensor, kernel: Tensor, pairs: KernelMap, engine: str = "auto") -> Tensor:
    """Convolves `feat` [rows_in,I] with `kernel` [K,I,O] over `pairs`: [rows_out,O], differentiable once in both.

    Under autocast the products run in the autocast type and the sums in float32.
    Raises: ValueError if features, kernel and map do not belong together, and for an engine that cannot run here.
    """
    check(feat, kernel, pairs)
    half = autocast_type(feat)
    dtype = half or feat.dtype
    taken = engine_for(engine, feat.device, dtype, checked=not pairs.is_identity)
    with torch.autocast(feat.device.type, enabled=False):
        result: Tensor = _Convolution.apply(feat.to(dtype).contiguous(), kernel.to(half or kernel.dtype), pairs, taken)  # type: ignore[no-untyped-call]
    return result


def check(feat: Tensor, kernel: Tensor, pairs: KernelMap) -> None:
    """Raises: ValueError if features, kernel and map do not belong together."""
    expected = (len(pairs.source), feat.shape[1])
    if kernel.ndim != 3 or tuple(kernel.shape[:2]) != expected:
        raise ValueError(f"a kernel for {expected[1]} channels over {expected[0]} offsets is [{expected[0]},{expected[1]},O], got {list(kernel.shape)}")
    if len(feat) != pairs.rows_in:
        raise ValueError(f"the map takes {pairs.rows_in} rows, got features {list(feat.shape)}")


def autocast_type(feat: Tensor) -> torch.dtype | None:
    """The type of products under autocast on the device of `feat`, None without autocast."""
    device = feat.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None


def linear(feat: Tensor, matrix: Tensor, engine: str = "auto") -> Tensor:
    """Multiplies `feat` [V,I] with `matrix` [I,O], differentiable once: a convolution of one offset.

    A plain product leaves a GPU kernel of ours nothing to gain, so the grouped engine, which hands it to PyTorch, stands in for Triton's.
    """
    check_engine(engine)
    taken = engine_name(engine, feat.device, feat.dtype)
    return convolve(feat, matrix.unsqueeze(0), identity_map(feat), "grouped" if taken == "triton" else taken)


def identity_map(feat: Tensor) -> KernelMap:
    """The map of a kernel of one voxel: every row of `feat` meets itself."""
    none = (feat.new_empty(0, dtype=torch.long),)
    return KernelMap(none, none, len(feat), len(feat), center=0)


def gradients(engine: Engine, feat: Tensor, kernel: Tensor, pairs: KernelMap, grad: Tensor, needed: tuple[bool, ...]) -> tuple[Tensor | None, Tensor | None]:
    """What `engine` makes of a gradient [rows_out,O] of any type and layout."""
    return engine.gradients(feat, kernel, pairs, grad.to(feat.dtype).contiguous(), needed)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, feat: Tensor, kernel: Tensor, pairs: KernelMap, engine: Engine) -> Tensor:
        ctx.save_for_backward(feat, kernel)
        ctx.pairs, ctx.engine = pairs, engine
        return engine.products(feat, kernel, pairs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        feat, kernel = ctx.saved_tensors
        return *gradients(ctx.engine, feat, kernel, ctx.pairs, grad, ctx.needs_input_grad), None, None
