"""Which library convolves: al3d's own engines, or another one with the same weights."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Protocol, cast

from torch import Tensor

from al3d.sparse.engine import check_engine, convolve
from al3d.sparse.maps import KernelMap

#: Libraries that can stand in for al3d's own convolution; each is a module of `al3d.sparse.adapters`.
ADAPTERS = ("torchsparse", "minkowski", "spconv")


@dataclass(frozen=True)
class Kernel:
    """What a convolution looks at: `size` voxels a side, every `step`-th voxel, `dilation` apart; `transposed` undoes a step.

    With an odd `size` it looks around each output voxel, as `conv3d` with padding (size - 1) / 2 * dilation does. The output has the voxels of the
    input for step 1, and for step 2 those voxels twice as large that contain one of the input. Size 2 takes step 2 and no padding.
    Raises: ValueError for another combination.
    """

    size: int = 3
    step: int = 1
    dilation: int = 1
    transposed: bool = False

    def __post_init__(self) -> None:
        around = self.size >= 1 and self.size % 2 == 1 and self.step == 1
        around = around or (self.size >= 3 and self.size % 2 == 1 and self.step == 2)
        if self.dilation < 1 or not (around or (self.size == 2 and self.step == 2 and self.dilation == 1)):
            raise ValueError(
                f"a sparse convolution has an odd kernel with stride 1 or 2 (kernel 1: stride 1) and any dilation from 1 on, or kernel 2 with stride 2 and "
                f"dilation 1, got kernel {self.size}, stride {self.step}, dilation {self.dilation}"
            )


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
    """al3d's own convolution: PyTorch alone, by the `engine` of `al3d.sparse.engine.ENGINES`. Raises: ValueError for an engine that there is not."""

    name: str = "al3d"
    engine: str = "auto"

    def __post_init__(self) -> None:
        check_engine(self.engine)

    def convolve(self, feat: Tensor, kernel: Tensor, geometry: Voxels, stride: int, shape: Kernel) -> Tensor:
        """See `Backend`."""
        return convolve(feat, kernel, geometry.pairs(stride, shape), self.engine)


def engine_of(backend: Backend) -> str:
    """The engine of layers that no other library computes, such as products with one matrix."""
    return backend.engine if isinstance(backend, Own) else "auto"


def backend_of(name: str, engine: str = "auto") -> Backend:
    """The backend of that name. Raises: ValueError for an unknown one, ImportError that says what to install for an absent library."""
    if name == "al3d":
        return Own(engine=engine)
    if name not in ADAPTERS:
        raise ValueError(f"net.backend={name!r} is not one of {', '.join(('al3d', *ADAPTERS))}")
    if engine != "auto":
        raise ValueError(f"sparse.engine={engine} chooses among al3d's own engines, but net.backend={name} convolves: leave sparse.engine=auto")
    return cast(Backend, importlib.import_module(f"al3d.sparse.adapters.{name}").Adapter())
