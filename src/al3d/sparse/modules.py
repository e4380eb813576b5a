"""Layers over sparse tensors."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from al3d.sparse.backend import Kernel, Own, engine_of
from al3d.sparse.engine import linear
from al3d.sparse.norm import BatchNorm, normed_convolve, normed_relu
from al3d.sparse.tensor import SparseTensor


class Conv3d(nn.Module):
    """A sparse convolution: an odd `kernel` with stride 1 or 2 and any `dilation`, or kernel 2 with stride 2; see `al3d.sparse.backend.Kernel`.

    With stride 1 the output has the voxels of the input. The parameter `kernel` is [K,I,O] with z fastest over the K = kernel^3 offsets, and
    [I,O] for kernel 1.
    Raises: ValueError for another combination.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1, bias: bool = False, dilation: int = 1) -> None:
        super().__init__()
        self.size = kernel
        self.shape = Kernel(kernel, stride, dilation)
        self.kernel, self.bias = _parameters(kernel, in_channels, out_channels, fan=in_channels * kernel**3, bias=bias)

    def after(self, norm: BatchNorm, x: SparseTensor) -> SparseTensor:
        """Maps `relu(norm(x))`, keeping only `x` for the gradient: less memory than the two layers one after the other.

        Raises: ValueError unless the kernel is 3 or more and the stride 1.
        """
        if self.size == 1 or self.shape.step != 1:
            raise ValueError(
                f"normalisation joins convolutions with kernel 3 or more and stride 1, this one has kernel {self.size} and stride {self.shape.step}: apply the "
                "layers one by one"
            )
        backend = x.geometry.backend
        if not isinstance(backend, Own):
            return self.forward(x.with_feat(normed_relu(norm, x.feat)))
        return x.with_feat(_plus(normed_convolve(norm, x.feat, self.kernel, x.geometry.pairs(x.stride, self.shape), backend.engine), self.bias))

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Maps features [V,I] at stride s to [W,O] at s times the layer's stride."""
        backend = x.geometry.backend
        if self.size == 1:
            return x.with_feat(_plus(linear(x.feat, self.kernel, engine_of(backend)), self.bias))
        feat = backend.convolve(x.feat, self.kernel, x.geometry, x.stride, self.shape)
        return SparseTensor(_plus(feat, self.bias), x.geometry, self.shape.step * x.stride)

    def extra_repr(self) -> str:
        """The shape, for printing a network."""
        return f"{list(self.kernel.shape)}, {_described(self.shape)}"


class TransposedConv3d(nn.Module):
    """The transpose of a convolution, kernel 2 and stride 2 unless given: back to the voxels that the convolution came from.

    Raises: ValueError as `Conv3d`, and for kernel 1.
    """

    def __init__(self, in_channels: int, out_channels: int, bias: bool = False, kernel: int = 2, stride: int = 2, dilation: int = 1) -> None:
        super().__init__()
        if kernel == 1:
            raise ValueError("a transposed convolution has kernel 2 or more: with kernel 1 it is a Conv3d")
        self.shape = Kernel(kernel, stride, dilation, transposed=True)
        # so many input voxels reach an output voxel
        reaching = max(kernel // stride, 1) ** 3
        self.kernel, self.bias = _parameters(kernel, in_channels, out_channels, fan=out_channels * reaching, bias=bias)

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Maps features [W,I] at stride s to [V,O] at s divided by the layer's stride. Raises: ValueError at a stride smaller than the layer's."""
        if x.stride < self.shape.step:
            raise ValueError(f"a transposed convolution undoes a stride, this tensor is at stride {x.stride}")
        feat = x.geometry.backend.convolve(x.feat, self.kernel, x.geometry, x.stride, self.shape)
        return SparseTensor(_plus(feat, self.bias), x.geometry, x.stride // self.shape.step)

    def extra_repr(self) -> str:
        """The shape, for printing a network."""
        return f"{list(self.kernel.shape)}, {_described(self.shape)}"


class Linear(nn.Linear):
    """`torch.nn.Linear` over rows [V,I], on the matrix product of the convolution's `engine`."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True, engine: str = "auto") -> None:
        super().__init__(in_features, out_features, bias)
        self.engine = engine

    def forward(self, rows: Tensor) -> Tensor:
        """Maps [V,I] to [V,O]."""
        return _plus(linear(rows, self.weight.t(), self.engine), self.bias)


def _described(shape: Kernel) -> str:
    return f"kernel={shape.size}, stride={shape.step}" + (f", dilation={shape.dilation}" if shape.dilation > 1 else "")


def _parameters(size: int, inputs: int, outputs: int, fan: int, bias: bool) -> tuple[nn.Parameter, nn.Parameter | None]:
    """A kernel, uniform within 1 / sqrt(fan), and a bias of the same range or None."""
    bound = 1 / math.sqrt(fan)
    shape = (inputs, outputs) if size == 1 else (size**3, inputs, outputs)
    kernel = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
    return kernel, nn.Parameter(torch.empty(outputs).uniform_(-bound, bound)) if bias else None


def _plus(feat: Tensor, bias: Tensor | None) -> Tensor:
    return feat if bias is None else feat + bias
