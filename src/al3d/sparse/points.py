"""Means over voxels and interpolation between them: sparse matrices applied to features, forward and backward.

Source: Tang et al. 2020, "Searching Efficient 3D Architectures with Sparse Point-Voxel Convolution" (voxelise and devoxelise).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from al3d.sparse.keys import decode, kernel_offsets, offset_key
from al3d.sparse.maps import lookup


@dataclass(frozen=True, eq=False)
class _Rows:
    """A sparse matrix by rows: entries `start[i]` to `start[i+1]` of `column` and `weight` make row i."""

    start: Tensor
    column: Tensor
    weight: Tensor

    def __call__(self, feat: Tensor) -> Tensor:
        if len(self.column) == 0:
            return feat.new_zeros(len(self.start) - 1, feat.shape[1])
        weight = self.weight.to(feat.dtype)
        return functional.embedding_bag(self.column, feat, self.start, mode="sum", per_sample_weights=weight, include_last_offset=True)


@dataclass(frozen=True, eq=False)
class PointMap:
    """A fixed linear map between two sets of rows. Both directions are sums in a fixed order: same bits on a rerun."""

    forward: _Rows
    backward: _Rows

    def __call__(self, feat: Tensor) -> Tensor:
        """Maps `feat` [rows_in,D] to [rows_out,D], differentiable once."""
        result: Tensor = _Apply.apply(feat.contiguous(), self)  # type: ignore[no-untyped-call]
        return result


class _Apply(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, feat: Tensor, points: PointMap) -> Tensor:
        ctx.points = points
        return points.forward(feat)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.points.backward(grad.contiguous()), None


def point_map(target: Tensor, source: Tensor, weight: Tensor, rows_out: int, rows_in: int) -> PointMap:
    """The map that adds `weight[i]` times input row `source[i]` to output row `target[i]`, for every entry i."""
    return PointMap(_by_rows(target, source, weight, rows_out), _by_rows(source, target, weight, rows_in))


def _by_rows(row: Tensor, column: Tensor, weight: Tensor, rows: int) -> _Rows:
    start, order = _grouped(row, rows)
    return _Rows(start, column[order], weight[order])


def _grouped(row: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """The order that sorts entries by `row`, and where each of so many rows starts in it."""
    ordered, order = torch.sort(row, stable=True)
    return torch.searchsorted(ordered, torch.arange(rows + 1, device=row.device)), order


def mean_map(cell: Tensor, rows: int) -> PointMap:
    """The mean over the points of each voxel; `cell` i64[V] is each point's voxel, of `rows` voxels."""
    start, order = _grouped(cell, rows)
    weight = 1.0 / start.diff()[cell].double()
    every = torch.arange(len(cell) + 1, device=cell.device)
    return PointMap(_Rows(start, order, weight[order]), _Rows(every, cell, weight))


def trilinear_map(points: Tensor, keys: Tensor, stride: int) -> PointMap:
    """Interpolates voxel features at points: a point lies between the 2x2x2 voxels whose corners surround it.

    `points` i64[V] are sorted keys at stride 1, `keys` i64[W] those of the voxels at `stride`. Corners without a voxel
    weigh nothing and the others are scaled to sum to 1 (with 1e-8 added to the sum).
    """
    coord = decode(points).long()
    fraction = (coord[:, 1:] % stride).double() / stride
    base = _divided(coord, stride)
    entries = [_corner(base, fraction, keys, corner) for corner in kernel_offsets(2)]
    source, weight = (torch.stack(parts, dim=1) for parts in zip(*entries, strict=True))
    weight = weight / (weight.sum(dim=1, keepdim=True) + 1e-8)
    point, corner = (weight > 0).nonzero().unbind(1)
    return point_map(point, source[point, corner], weight[point, corner], len(points), len(keys))


def _divided(coord: Tensor, stride: int) -> Tensor:
    """The keys of the voxels at `stride` that contain `coord`; unlike `keys.encode`, without a check of ranges."""
    axes = torch.div(coord[:, 1:], stride, rounding_mode="floor")
    steps = coord.new_tensor([offset_key((1, 0, 0)), offset_key((0, 1, 0)), offset_key((0, 0, 1))])
    bias = offset_key((1 << 15, 1 << 15, 1 << 15))
    return (coord[:, 0] << 48) + (axes * steps).sum(dim=1) + bias


def _corner(base: Tensor, fraction: Tensor, keys: Tensor, corner: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """The row of the voxel at one corner of each point's cell and its trilinear weight, 0 where that voxel is missing."""
    row, found = lookup(keys, base + offset_key(corner))
    far = torch.tensor(corner, dtype=torch.bool, device=base.device)
    weight = torch.where(far, fraction, 1 - fraction).prod(dim=1)
    return row, weight * found
