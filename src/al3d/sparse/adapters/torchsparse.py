"""torchsparse behind al3d's networks: masked implicit GEMM on CUDA. Written from its published code; never run by us."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from al3d.sparse.adapters.common import check_shape, forward_shape, library, nothing, order_of, product_types, upright, x_fastest
from al3d.sparse.backend import Kernel, Voxels

INSTALL = (
    "build version 2.1 from its source with a CUDA compiler of PyTorch's CUDA version (pip install git+https://github.com/mit-han-lab/torchsparse.git). "
    "It is not in the package index, and its import fails without CUDA."
)
#: Coordinates are moved by multiples of this, so that every stride of a network divides the shift.
SHIFT = 1024


@dataclass(frozen=True)
class Adapter:
    """Convolves with torchsparse 2.1, in its hash-map mode, whose coarse voxels come sorted like ours.

    float16 under autocast to float16, else float32 (TF32 where PyTorch's own may): its kernels know no bfloat16. Kernels of 2 and 3 voxels a side.
    Its offsets run x fastest over odd kernels and z fastest over even ones: weights are permuted on the fly.
    Source: mit-han-lab/torchsparse 2.1, `nn/functional/conv` (Tang et al. 2023, "TorchSparse++").
    Raises: ImportError that says what to install; on use, ValueError on a CPU and for a kernel that it would give other output voxels.
    """

    name: str = "torchsparse"

    def __post_init__(self) -> None:
        library("torchsparse", self.name, INSTALL)

    def convolve(self, feat: Tensor, kernel: Tensor, geometry: Voxels, stride: int, shape: Kernel) -> Tensor:
        """See `al3d.sparse.backend.Backend`."""
        check_shape(self.name, shape, dilated=False)
        shape, kernel = upright(shape, kernel)
        if shape.size > 3:
            raise ValueError(f"net.backend={self.name} has kernels of 2 and 3 voxels a side, not {shape.size}: set net.backend=al3d")
        if not feat.is_cuda:
            raise ValueError(f"torchsparse convolves on CUDA, the features are on {feat.device}: set trainer.accelerator=gpu, or net.backend=al3d")
        if not len(feat):
            return nothing(feat, kernel)
        training = torch.is_grad_enabled()
        functional, package = importlib.import_module("torchsparse.nn.functional"), importlib.import_module("torchsparse")
        package.backends.allow_tf32 = torch.get_float32_matmul_precision() != "highest"
        config = functional.conv_config.get_default_conv_config(conv_mode=functional.get_conv_mode(), training=training).copy()
        config.kmap_mode = "hashmap"
        caches = self._caches(functional, config, geometry, stride // shape.step if shape.transposed else stride, forward_shape(shape), training)
        with product_types(feat, kernel, (torch.float16,)) as (rows, weight):
            given = package.SparseTensor(rows, caches.cmaps[(stride,) * 3][0], stride=stride)
            given._caches = caches
            result = functional.conv3d(
                given,
                x_fastest(weight, shape.size) if shape.size % 2 else weight,
                kernel_size=shape.size,
                stride=shape.step,
                config=config,
                transposed=shape.transposed,
                training=training,
            )
            return cast(Tensor, result.feats.to(torch.promote_types(result.feats.dtype, torch.float32)))

    def _caches(self, functional: Any, config: Any, geometry: Voxels, stride: int, shape: Kernel, training: bool) -> Any:
        """The library's coordinates and maps of this batch, those of this convolution among them. A backward pass needs maps of its own."""
        kept = (self.name, training)
        if kept not in geometry.kept:
            geometry.kept[kept] = importlib.import_module("torchsparse.utils.tensor_cache").TensorCache()
        caches = geometry.kept[kept]
        key = ((stride,) * 3, (shape.size,) * 3, (shape.step,) * 3, (1, 1, 1))
        if key in caches.kmaps:
            return caches
        for level in {stride, stride * shape.step}:
            caches.cmaps.setdefault((level,) * 3, (_shifted(geometry, level), None))
        coord = caches.cmaps[key[0]][0]
        table = caches.hashmaps.get(key[0], (None, None))
        kernel_map = functional.build_kernel_map(
            coord,
            len(coord),
            key[1],
            key[2],
            (0, 0, 0),
            table[0],
            table[1],
            None,
            config.kmap_mode,
            config.dataflow,
            downsample_mode=config.downsample_mode,
            training=training,
            ifsort=config.ifsort,
            split_mask_num=config.split_mask_num,
            split_mask_num_bwd=config.split_mask_num_bwd,
        )
        if order_of(kernel_map["coords"].int(), caches.cmaps[(stride * shape.step,) * 3][0], self.name) is not None:
            raise ValueError(f"net.backend={self.name} did not sort its coarse voxels, as version 2.1 does: install that version, or set net.backend=al3d")
        caches.kmaps[key] = kernel_map
        caches.hashmaps[key[0]] = (kernel_map["hashmap_keys"], kernel_map["hashmap_vals"])
        return caches


def _shifted(geometry: Voxels, stride: int) -> Tensor:
    """The coordinates i32[W,4] at `stride`, moved alike at all strides so that none is negative."""
    shift = torch.div(geometry.coord(1)[:, 1:].amin(0), SHIFT, rounding_mode="floor") * SHIFT
    coord = geometry.coord(stride)
    return torch.cat([coord[:, :1], coord[:, 1:] - torch.div(shift, stride, rounding_mode="floor")], dim=1).int().contiguous()
