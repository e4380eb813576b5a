"""Which library convolves: al3d's own engines, or another one with the same weights."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Protocol, cast

from torch import Tensor

from al3d.sparse.engine import convolve
from al3d.sparse.maps import KernelMap

#: Libraries that can stand in for al3d's own convolution; each is a module of `al3d.sparse.adapters`.
ADAPTERS: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kernel:
    """What a convolution looks at: `size` voxels a side, every `step`-th voxel, `dilation` apart; `transposed` undoes a step."""

    size: int = 3
    step: int = 1
    dilation: int = 1
    transposed: bool = False


class Voxels(Protocol):
    """What a backend is told about the voxels: `al3d.sparse.Geometry`. `kept` is for what it wants to remember about them."""

    kept: dict[Any, Any]

    def coord(self, stride: int) -> Tensor: ...
    def pairs(self, stride: int, shape: Kernel) -> KernelMap: ...


class Backend(Protocol):
    """Convolves features of a geometry's voxels."""

    @property
    def name(self) -> str:
        """What `net.backend` calls it."""
        ...

    def convolve(self, feat: Tensor, kernel: Tensor, geometry: Voxels, stride: int, shape: Kernel) -> Tensor:
        """Maps `feat` [W,I] at `stride` to [W',O] at `stride * step` (`stride / step` when transposed), rows sorted by key, differentiable once.

        `kernel` is [K,I,O] in al3d's order of offsets, z fastest, whatever the library's own order is.
        """
        ...


@dataclass(frozen=True)
class Own:
    """al3d's own engines: PyTorch alone."""

    name: str = "al3d"

    def convolve(self, feat: Tensor, kernel: Tensor, geometry: Voxels, stride: int, shape: Kernel) -> Tensor:
        """See `Backend`."""
        return convolve(feat, kernel, geometry.pairs(stride, shape))


def backend_of(name: str) -> Backend:
    """The backend of that name. Raises: ValueError for an unknown one, ImportError that says what to install for an absent library."""
    if name == "al3d":
        return Own()
    if name not in ADAPTERS:
        raise ValueError(f"net.backend={name!r} is not one of {', '.join(('al3d', *ADAPTERS))}")
    return cast(Backend, importlib.import_module(f"al3d.sparse.adapters.{name}").Adapter())
