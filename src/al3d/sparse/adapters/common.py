"""What the adapters share: the import, the kernels they take, and the order of rows and offsets."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import torch
from torch import Tensor

from al3d.sparse.backend import Kernel
from al3d.sparse.engine import autocast_type
from al3d.sparse.keys import encode


def library(module: str, option: str, install: str) -> ModuleType:
    """Imports `module`. Raises: ImportError that names the option, and says what to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"net.backend={option} needs the Python package {module} ({error}): {install} Or set net.backend=al3d, which needs nothing."
        ) from error


def check_shape(option: str, shape: Kernel, dilated: bool = True, overlapping: bool = False) -> None:
    """Raises: ValueError for a kernel whose output voxels the library would choose in another way than al3d, or that it lacks.

    Every library does alike: kernels of step 1, whose output has the voxels of the input, and kernel 2 of step 2, whose output has the voxels that
    contain those of the input. `dilated` says whether the library knows dilation, `overlapping` whether an odd kernel of step 2 has the same output.
    """
    if (shape.dilation > 1 and not dilated) or (shape.step > 1 and shape.size != shape.step and not overlapping):
        raise ValueError(f"net.backend={option} has no convolution like {shape}: set net.backend=al3d")


def upright(shape: Kernel, kernel: Tensor) -> tuple[Kernel, Tensor]:
    """The same convolution, not transposed if its step is 1: the map is its own mirror, so that turning the kernel round does it."""
    return (forward_shape(shape), kernel.flip(0)) if shape.transposed and shape.step == 1 else (shape, kernel)


def forward_shape(shape: Kernel) -> Kernel:
    """The convolution that `shape` undoes if it is transposed, else `shape`: both share one map."""
    return Kernel(shape.size, shape.step, shape.dilation)


def order_of(coord: Tensor, like: Tensor, option: str) -> Tensor | None:
    """For each voxel of `like` i[W,4], sorted by key, its row i64[W] in `coord` i[W,4]; None where the two agree.

    Raises: ValueError if they are not the same voxels.
    """
    theirs, ours = encode(coord), encode(like)
    if len(theirs) == len(ours) and bool((theirs == ours).all()):
        return None
    keys, order = torch.sort(theirs)
    if len(keys) != len(ours) or not bool((keys == ours).all()):
        raise ValueError(f"net.backend={option} made {len(coord)} voxels where al3d has {len(like)}, or others: please report it, and set net.backend=al3d")
    return order


def inverse(order: Tensor) -> Tensor:
    """The permutation that undoes `order`."""
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    return place


def x_fastest(kernel: Tensor, size: int) -> Tensor:
    """A kernel [K,I,O] of al3d's, z fastest over the K = size^3 offsets, with x fastest; differentiable. It is its own inverse."""
    place = torch.arange(size**3, device=kernel.device).reshape(size, size, size).permute(2, 1, 0).reshape(-1)
    return kernel.index_select(0, place)


def nothing(feat: Tensor, kernel: Tensor) -> Tensor:
    """What comes of no voxel: [0,O], still part of the graph of `feat` and `kernel`."""
    return feat @ kernel[0]


@contextmanager
def product_types(feat: Tensor, kernel: Tensor, half: tuple[torch.dtype, ...]) -> Iterator[tuple[Tensor, Tensor]]:
    """`feat` and `kernel` as the products take them under autocast, which is off inside: the libraries' own rules would differ from ours.

    `half` are the autocast types that the library computes in; under another one the products stay in the type of `feat`.
    """
    wanted = autocast_type(feat)
    chosen = wanted if wanted in half else feat.dtype
    with torch.autocast(feat.device.type, enabled=False):
        yield feat.to(chosen).contiguous(), kernel.to(chosen)
