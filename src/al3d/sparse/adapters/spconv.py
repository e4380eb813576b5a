"""spconv behind al3d's networks: gather and multiply on a CPU, masked implicit GEMM on CUDA."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from al3d.sparse.adapters.common import check_shape, forward_shape, inverse, library, nothing, order_of, product_types, upright
from al3d.sparse.backend import Kernel, Voxels

INSTALL = (
    "for a CPU, pip install -e '.[spconv]' (spconv==2.3.8 with cumm==0.7.11); for CUDA, pip install spconv-cu126, the newest there is. "
    "Builds for a CPU and for CUDA exclude each other: uninstall spconv and cumm of the one before the other."
)
#: spconv's masks of implicit GEMM have one bit per offset of a kernel.
MASK_BITS = 32
#: On a CPU spconv numbers the cells of the whole batch in 32 bits and does not notice an overflow.
CELLS = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Pairs:
    """spconv's map of one convolution. `order` says which of spconv's output rows each of ours is, None for the same order.

    `parts` are what `get_indice_pairs` or `get_indice_pairs_implicit_gemm` returned after the output's coordinates.
    """

    parts: tuple[Any, ...]
    masked: bool
    rows_in: int
    rows_out: int
    order: Tensor | None
    back: Tensor | None


@dataclass(frozen=True)
class Adapter:
    """Convolves with spconv 2.3.

    float16 under autocast to float16; spconv has no bfloat16, so that under autocast to it products stay in float32 (TF32 where PyTorch's own may).
    On a CPU spconv's backward pass asks for a CUDA stream that it then ignores: where its build has no CUDA, that question gets an answer.
    Source: spconv 2.3.8, `spconv.pytorch.ops` and `spconv.pytorch.functional`.
    Raises: ImportError that says what to install; on use, ValueError for a kernel that spconv would give other output voxels, for CUDA features and
    a build without CUDA, and on a CPU for batches over more cells than it can number.
    """

    name: str = "spconv"

    def __post_init__(self) -> None:
        library("spconv.pytorch", self.name, INSTALL)
        if _without_cuda():
            _part("pytorch.ops").get_current_stream = lambda: 0

    def convolve(self, feat: Tensor, kernel: Tensor, geometry: Voxels, stride: int, shape: Kernel) -> Tensor:
        """See `al3d.sparse.backend.Backend`."""
        check_shape(self.name, shape)
        shape, kernel = upright(shape, kernel)
        if feat.is_cuda and _without_cuda():
            raise ValueError(f"the features are on {feat.device}, but the installed spconv is its CPU build: {INSTALL}")
        if not len(feat):
            return nothing(feat, kernel)
        kept = (self.name, stride // shape.step if shape.transposed else stride, forward_shape(shape))
        if kept not in geometry.kept:
            geometry.kept[kept] = self._pairs(geometry, kept[1], kept[2])
        pairs: Pairs = geometry.kept[kept]
        with product_types(feat, kernel, (torch.float16,)) as (rows, weight):
            k, inputs, outputs = weight.shape
            weight = weight.permute(2, 0, 1).reshape(outputs, shape.size, shape.size, shape.size, inputs).contiguous()
            if pairs.back is not None and shape.transposed:
                rows = rows.index_select(0, pairs.back)
            result = self._masked(rows, weight, pairs, shape) if pairs.masked else self._gathered(rows, weight, pairs, shape)
            if pairs.order is not None and not shape.transposed:
                result = result.index_select(0, pairs.order)
            return result.to(torch.promote_types(result.dtype, torch.float32))

    def _pairs(self, geometry: Voxels, stride: int, shape: Kernel) -> Pairs:
        """The library's map from `stride`, over coordinates that begin at 0 and end where no voxel is cut off."""
        step = shape.step
        coord = geometry.coord(stride)
        shift = torch.div(coord[:, 1:].amin(0), step, rounding_mode="floor") * step
        shifted = torch.cat([coord[:, :1], coord[:, 1:] - shift], dim=1).contiguous()
        sides = [-(-(side + 1) // step) * step for side in shifted[:, 1:].amax(0).tolist()]
        batch = int(shifted[-1, 0]) + 1
        if not coord.is_cuda:
            _check_cells(batch, sides)
        masked = coord.is_cuda and shape.size**3 <= MASK_BITS
        ops, algorithms = _part("pytorch.ops"), _part("core").ConvAlgo
        sizes = ([shape.size] * 3, [step] * 3, [shape.dilation * (shape.size // 2) if step == 1 else 0] * 3, [shape.dilation] * 3, [0] * 3)
        if masked:
            # always with the backward map: an inverse convolution goes along it
            coarse, _, *parts = ops.get_indice_pairs_implicit_gemm(shifted, batch, sides, algorithms.MaskImplicitGemm, *sizes, subm=step == 1, is_train=True)
        else:
            coarse, *parts = ops.get_indice_pairs(shifted, batch, sides, algorithms.Native, *sizes, subm=step == 1)
        if step == 1:
            return Pairs(tuple(parts), masked, len(coord), len(coord), None, None)
        theirs = torch.cat([coarse[:, :1], coarse[:, 1:] + torch.div(shift, step, rounding_mode="floor")], dim=1)
        order = order_of(theirs, geometry.coord(stride * step), self.name)
        return Pairs(tuple(parts), masked, len(coord), len(coarse), order, None if order is None else inverse(order))

    def _gathered(self, rows: Tensor, weight: Tensor, pairs: Pairs, shape: Kernel) -> Tensor:
        functions = _part("pytorch.functional")
        one = functions.indice_subm_conv if shape.step == 1 else functions.indice_inverse_conv if shape.transposed else functions.indice_conv
        native = _part("core").ConvAlgo.Native
        return cast(Tensor, one(rows, weight, *pairs.parts, pairs.rows_in if shape.transposed else pairs.rows_out, native))

    def _masked(self, rows: Tensor, weight: Tensor, pairs: Pairs, shape: Kernel) -> Tensor:
        _part("constants").SPCONV_ALLOW_TF32 = torch.get_float32_matmul_precision() != "highest"
        forth, back, mask_forth, mask_back, sort_forth, sort_back, masks = pairs.parts
        if shape.transposed:
            forth, back, mask_forth, mask_back, sort_forth, sort_back = back, forth, mask_back, mask_forth, sort_back, sort_forth
        rows_out = pairs.rows_in if shape.transposed else pairs.rows_out
        one = _part("pytorch.functional").implicit_gemm
        return cast(Tensor, one(rows, weight, forth, back, mask_forth, mask_back, sort_forth, sort_back, rows_out, masks, True, shape.step == 1))


def _part(name: str) -> Any:
    return importlib.import_module(f"spconv.{name}")


def _without_cuda() -> bool:
    return bool(_part("cppconstants").CPU_ONLY_BUILD)


def _check_cells(batch: int, sides: list[int]) -> None:
    cells = batch * sides[0] * sides[1] * sides[2]
    if cells > CELLS:
        raise ValueError(
            f"spconv on a CPU numbers cells in 32 bits and would mix up those of {batch} scenes of {' x '.join(map(str, sides))} voxels: "
            "put fewer scenes into a step (rounds.batch, rounds.batch_voxels), or set net.backend=al3d"
        )
