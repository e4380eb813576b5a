"""Layers over sparse tensors."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from al3d.sparse.backend import Kernel, Own
from al3d.sparse.engine import linear
from al3d.sparse.norm import BatchNorm, normed_convolve, normed_relu
from al3d.sparse.tensor import SparseTensor


class Conv3d(nn.Module):
    """A sparse convolution: kernel 3 or 1 with stride 1, or kernel 2 with stride 2.

    With kernel 3 the output has the voxels of the input. The parameter `kernel` is [K,I,O] with z fastest over the
    K = kernel^3 offsets, and [I,O] for kernel 1.
    Raises: ValueError for another pair of kernel and stride.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1, bias: bool = False) -> None:
        super().__init__()
        if (kernel, stride) not in ((3, 1), (1, 1), (2, 2)):
            raise ValueError(f"a sparse convolution has (kernel, stride) (3, 1), (1, 1) or (2, 2), got {(kernel, stride)}")
        self.size = kernel
        self.shape = Kernel(kernel, stride)
        self.kernel, self.bias = _parameters(kernel, in_channels, out_channels, fan=in_channels * kernel**3, bias=bias)

    def after(self, norm: BatchNorm, x: SparseTensor) -> SparseTensor:
        """Maps `relu(norm(x))`, keeping only `x` for the gradient: less memory than the two layers one after the other.

        Raises: ValueError unless the kernel is 3.
        """
        if self.size != 3:
            raise ValueError(f"normalisation joins convolutions with kernel 3, this one has {self.size}: apply the layers one by one")
        if not isinstance(x.geometry.backend, Own):
            return self.forward(x.with_feat(normed_relu(norm, x.feat)))
        return x.with_feat(_plus(normed_convolve(norm, x.feat, self.kernel, x.geometry.pairs(x.stride, self.shape)), self.bias))

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Maps features [V,I] at stride s to [V,O], at stride 2s (and fewer rows) for kernel 2."""
        if self.size == 1:
            return x.with_feat(_plus(linear(x.feat, self.kernel), self.bias))
        feat = x.geometry.backend.convolve(x.feat, self.kernel, x.geometry, x.stride, self.shape)
        return SparseTensor(_plus(feat, self.bias), x.geometry, self.shape.step * x.stride)

    def extra_repr(self) -> str:
        """The shape, for printing a network."""
        return f"{list(self.kernel.shape)}, kernel={self.size}"


class TransposedConv3d(nn.Module):
    """The transpose of a convolution with kernel 2 and stride 2: back to the voxels that the encoder came from."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool = False) -> None:
        super().__init__()
        self.kernel, self.bias = _parameters(2, in_channels, out_channels, fan=out_channels, bias=bias)

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Maps features [W,I] at stride s to [V,O] at stride s/2. Raises: ValueError at stride 1."""
        if x.stride == 1:
            raise ValueError("a transposed convolution undoes a stride, this tensor is at stride 1")
        feat = x.geometry.backend.convolve(x.feat, self.kernel, x.geometry, x.stride, Kernel(2, 2, transposed=True))
        return SparseTensor(_plus(feat, self.bias), x.geometry, x.stride // 2)

    def extra_repr(self) -> str:
        """The shape, for printing a network."""
        return f"{list(self.kernel.shape)}"


class Linear(nn.Linear):
    """`torch.nn.Linear` over rows [V,I], on the engine's matrix product."""

    def forward(self, rows: Tensor) -> Tensor:
        """Maps [V,I] to [V,O]."""
        return _plus(linear(rows, self.weight.t()), self.bias)


def _parameters(size: int, inputs: int, outputs: int, fan: int, bias: bool) -> tuple[nn.Parameter, nn.Parameter | None]:
    """A kernel, uniform within 1 / sqrt(fan), and a bias of the same range or None."""
    bound = 1 / math.sqrt(fan)
    shape = (inputs, outputs) if size == 1 else (size**3, inputs, outputs)
    kernel = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
    return kernel, nn.Parameter(torch.empty(outputs).uniform_(-bound, bound)) if bias else None


def _plus(feat: Tensor, bias: Tensor | None) -> Tensor:
    return feat if bias is None else feat + bias
