"""MinkowskiEngine behind al3d's networks."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor

from al3d.sparse.adapters.common import check_shape, inverse, library, nothing, order_of, product_types, upright, x_fastest
from al3d.sparse.backend import Kernel, Voxels

INSTALL = (
    "build version 0.5.4 from its source; pip install MinkowskiEngine alone fails. Its last commit is of 2023: name the BLAS library (--blas=openblas), "
    "build with distutils of Python's own (SETUPTOOLS_USE_DISTUTILS=stdlib, Python up to 3.11), import Sequence from collections.abc in its Python files; "
    "for CUDA 12 and later its sources need patches."
)


@dataclass(frozen=True)
class Level:
    """The voxels at one stride: the manager's key, and which of its rows each of ours is (`back` undoes it), None where both agree."""

    key: Any
    order: Tensor | None
    back: Tensor | None


@dataclass(frozen=True)
class State:
    """MinkowskiEngine's coordinate manager of a batch, which keeps the maps, and its strides seen so far."""

    manager: Any
    levels: dict[int, Level] = field(default_factory=dict)


@dataclass(frozen=True)
class Adapter:
    """Convolves with MinkowskiEngine 0.5, on a CPU or on CUDA.

    It computes in float32 or float64, also under autocast. Its offsets run x fastest: weights are permuted on the fly.
    Source: NVIDIA/MinkowskiEngine 0.5.4 (Choy et al. 2019), `MinkowskiConvolutionFunction` and `MinkowskiConvolutionTransposeFunction`.
    Raises: ImportError that says what to install; on use, ValueError for a kernel that the other backends would not do alike.
    """

    name: str = "minkowski"

    def __post_init__(self) -> None:
        library("MinkowskiEngine", self.name, INSTALL)

    def convolve(self, feat: Tensor, kernel: Tensor, geometry: Voxels, stride: int, shape: Kernel) -> Tensor:
        """See `al3d.sparse.backend.Backend`."""
        check_shape(self.name, shape, overlapping=True)
        shape, kernel = upright(shape, kernel)
        if not len(feat):
            return nothing(feat, kernel)
        engine: Any = importlib.import_module("MinkowskiEngine")
        state = self._state(engine, geometry, feat.device)
        there = stride // shape.step if shape.transposed else stride * shape.step
        source, target = (self._level(state, geometry, level) for level in (stride, there))
        generator = engine.KernelGenerator(kernel_size=shape.size, stride=shape.step, dilation=shape.dilation, dimension=3)
        mode = importlib.import_module("MinkowskiEngineBackend._C").ConvolutionMode.DEFAULT
        function = engine.MinkowskiConvolutionTransposeFunction if shape.transposed else engine.MinkowskiConvolutionFunction
        with product_types(feat, kernel, ()) as (rows, weight):
            if source.back is not None:
                rows = rows.index_select(0, source.back)
            result = cast(Tensor, function.apply(rows, x_fastest(weight, shape.size), generator, mode, source.key, target.key, state.manager))
            return result if target.order is None else result.index_select(0, target.order)

    def _state(self, engine: Any, geometry: Voxels, device: torch.device) -> State:
        if self.name not in geometry.kept:
            kinds = engine.CoordinateMapType
            manager = engine.CoordinateManager(D=3, coordinate_map_type=kinds.CUDA if device.type == "cuda" else kinds.CPU)
            geometry.kept[self.name] = State(manager)
        return cast(State, geometry.kept[self.name])

    def _level(self, state: State, geometry: Voxels, stride: int) -> Level:
        """The voxels at `stride`, a power of two: those given at stride 1, and above it MinkowskiEngine's own."""
        if stride not in state.levels:
            manager = state.manager
            if stride == 1:
                key = manager.insert_and_map(geometry.coord(1).contiguous(), 1)[0]
            else:
                key = manager.stride(self._level(state, geometry, stride // 2).key, 2)
            coord = manager.get_coordinates(key)
            theirs = torch.cat([coord[:, :1], torch.div(coord[:, 1:], stride, rounding_mode="floor")], dim=1)
            order = order_of(theirs, geometry.coord(stride), self.name)
            state.levels[stride] = Level(key, order, None if order is None else inverse(order))
        return state.levels[stride]
