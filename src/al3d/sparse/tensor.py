"""Sparse tensors: features, and the coordinate maps that all layers of a network share."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from al3d.sparse import engine
from al3d.sparse.backend import Backend, Kernel, Own
from al3d.sparse.keys import decode, encode
from al3d.sparse.maps import KernelMap, down_map, neighbor_map, strided_map
from al3d.sparse.points import PointMap, mean_map, trilinear_map


class Geometry:
    """The voxels of a batch at every stride (1, 2, 4, ...) with their maps; each is computed once, when first asked for.

    `coord` i[V,4] = (batch, x, y, z) in any order. Inside, rows are sorted by key; `order` says which input row each of
    them is, or is None when the input was sorted already. `backend` convolves; what it keeps about these voxels is in `kept`.
    Raises: ValueError for coordinates out of range or given twice.
    """

    def __init__(self, coord: Tensor, backend: Backend | None = None) -> None:
        self.backend: Backend = Own() if backend is None else backend
        self.kept: dict[Any, Any] = {}
        keys = encode(coord)
        self.order: Tensor | None = None
        if not bool((keys[1:] > keys[:-1]).all()):
            keys, self.order = torch.sort(keys)
            _check_unique(keys)
        self._keys = {1: keys}
        self._parents: dict[int, Tensor] = {}
        self._maps: dict[tuple[int, Kernel], KernelMap] = {}
        self._means: dict[int, PointMap] = {}
        self._trilinears: dict[int, PointMap] = {}

    def __len__(self) -> int:
        return len(self._keys[1])

    def keys(self, stride: int) -> Tensor:
        """The sorted keys i64[W] of the voxels at `stride`."""
        if stride not in self._keys:
            self.down(stride // 2)
        return self._keys[stride]

    def coord(self, stride: int) -> Tensor:
        """The coordinates i32[W,4] at `stride`, counted in voxels of that size."""
        return decode(self.keys(stride))

    def neighbors(self, stride: int) -> KernelMap:
        """The map of a 3x3x3 convolution of step 1 at `stride`."""
        return self.pairs(stride, Kernel(3))

    def down(self, stride: int) -> KernelMap:
        """The map of a 2x2x2 convolution of step 2 from `stride` to twice that."""
        return self.pairs(stride, Kernel(2, 2))

    def pairs(self, stride: int, shape: Kernel) -> KernelMap:
        """The map of a convolution from `stride`.

        Raises: ValueError for a transposed one that leads below stride 1, and for a reach beyond the keys' margin.
        """
        if stride < 1 or stride & (stride - 1):
            raise ValueError(f"strides are powers of two from 1 on, got {stride}")
        if (stride, shape) not in self._maps:
            self._maps[stride, shape] = self._pairs(stride, shape)
        return self._maps[stride, shape]

    def _pairs(self, stride: int, shape: Kernel) -> KernelMap:
        if shape.transposed:
            if stride < shape.step:
                raise ValueError(f"a transposed convolution of stride {shape.step} undoes a stride, these voxels are at stride {stride}")
            return self.pairs(stride // shape.step, Kernel(shape.size, shape.step, shape.dilation)).transposed()
        if shape.size == 2:
            self._keys[2 * stride], pairs, self._parents[stride] = down_map(self.keys(stride))
            return pairs
        if shape.step == 2:
            return strided_map(self.keys(stride), self.keys(2 * stride), shape.size, shape.dilation)
        return neighbor_map(self.keys(stride), shape.size, shape.dilation)

    def prepare(self, depth: int, points: Collection[int] = ()) -> Geometry:
        """Computes now what a U-Net with `depth` strides of 2 asks for, and returns itself; layers then find all maps, and never wait for a GPU.

        Those are the maps of kernel 3 at every stride, of kernel 2 between them in both directions, and means and interpolation at the strides `points`.
        Another library than al3d's own makes its own maps.
        """
        self.keys(1 << depth)
        if isinstance(self.backend, Own):
            for level in range(depth + 1):
                shapes = [(1 << level, Kernel(3))]
                if level:
                    shapes += [(1 << level - 1, Kernel(2, 2)), (1 << level, Kernel(2, 2, transposed=True))]
                for stride, shape in shapes:
                    engine.prepare(self.pairs(stride, shape), self.backend.engine)
        for stride in points:
            self.mean(stride)
            self.trilinear(stride)
        return self

    def cells(self, stride: int) -> Tensor:
        """The row i64[V] at `stride` that contains each voxel of stride 1."""
        if stride == 1:
            return torch.arange(len(self._keys[1]), device=self._keys[1].device)
        self.keys(stride)
        return self._parents[stride // 2][self.cells(stride // 2)]

    def mean(self, stride: int) -> PointMap:
        """The mean of the features of all stride-1 voxels in each voxel at `stride`."""
        if stride not in self._means:
            self._means[stride] = mean_map(self.cells(stride), len(self.keys(stride)))
        return self._means[stride]

    def trilinear(self, stride: int) -> PointMap:
        """The interpolation from the voxels at `stride` to those of stride 1."""
        if stride not in self._trilinears:
            self._trilinears[stride] = trilinear_map(self._keys[1], self.keys(stride), stride)
        return self._trilinears[stride]

    def sort(self, feat: Tensor) -> Tensor:
        """Brings `feat` [V,D] from the order of the input into that of the keys."""
        return feat if self.order is None else feat[self.order]

    def unsort(self, feat: Tensor) -> Tensor:
        """Brings `feat` [V,D] at stride 1 back into the order of the input."""
        if self.order is None:
            return feat
        place = torch.empty_like(self.order)
        place[self.order] = torch.arange(len(place), device=place.device)
        return feat[place]


def _check_unique(keys: Tensor) -> None:
    twice = keys[1:] == keys[:-1]
    if bool(twice.any()):
        first = decode(keys[1:][twice][:1])[0].tolist()
        raise ValueError(f"voxel (batch, x, y, z) = {tuple(first)} is given more than once ({int(twice.sum())} rows too many): voxelise first")


@dataclass(frozen=True, eq=False)
class SparseTensor:
    """Features `feat` [W,D] of the voxels at `stride` of `geometry`, in the order of their keys."""

    feat: Tensor
    geometry: Geometry
    stride: int = 1

    @classmethod
    def build(cls, coord: Tensor | Geometry, feat: Tensor, backend: Backend | None = None) -> SparseTensor:
        """A tensor at stride 1 from `coord` i[V,4] = (batch, x, y, z), or their geometry, and `feat` [V,D], rows in the order of `coord`.

        Raises: ValueError if the two differ in rows, or for coordinates out of range or given twice.
        """
        if feat.ndim != 2 or len(feat) != len(coord):
            raise ValueError(f"features must be [{len(coord)},D] for {len(coord)} voxels, got {list(feat.shape)}")
        geometry = coord if isinstance(coord, Geometry) else Geometry(coord, backend)
        return cls(geometry.sort(feat), geometry)

    def with_feat(self, feat: Tensor) -> SparseTensor:
        """The same voxels with other features."""
        return SparseTensor(feat, self.geometry, self.stride)

    def in_input_order(self) -> Tensor:
        """The features in the order in which the voxels were given. Raises: ValueError at a stride other than 1."""
        if self.stride != 1:
            raise ValueError(f"only stride 1 has the voxels of the input, this tensor is at stride {self.stride}")
        return self.geometry.unsort(self.feat)
