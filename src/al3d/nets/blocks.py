"""What MinkUNet and SPVCNN share: convolution units, residual blocks, the encoder and the decoder."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from al3d.sparse import BatchNorm, Conv3d, Geometry, SparseTensor, TransposedConv3d, normed_relu

#: Channels of the stem, four encoder stages and four decoder stages at width 1.
WIDTHS = (32, 32, 64, 128, 256, 256, 128, 96, 96)


class Output(NamedTuple):
    """What a network returns for V voxels, rows in the order of its input.

    `logits` [V,C]; `feature` [V,D], what the classifier sees; `bottleneck` [W,B], the encoder's features of the W voxels at
    stride 16, sorted by (batch, x, y, z).
    """

    logits: Tensor
    feature: Tensor
    bottleneck: Tensor


def widths(width: float) -> tuple[int, ...]:
    """`WIDTHS` scaled by `width`, rounded to integers. Raises: ValueError if a layer would have no channel."""
    scaled = tuple(round(channels * width) for channels in WIDTHS)
    if min(scaled) < 1:
        raise ValueError(f"width={width} leaves layers without channels: the smallest that works is {0.51 / min(WIDTHS):.3f}")
    return scaled


def check_input(coord: Tensor | Geometry, feat: Tensor, channels: int) -> None:
    """Raises: ValueError unless `coord` is [V,4] or a geometry of V voxels, and `feat` [V,`channels`]."""
    shape = [len(coord), 4] if isinstance(coord, Geometry) else list(coord.shape)
    if len(shape) != 2 or shape[1] != 4 or feat.shape != (len(coord), channels):
        raise ValueError(f"the network takes coord [V,4] and feat [V,{channels}], got {shape} and {list(feat.shape)}")


class Unit(nn.Module):
    """Convolution, batch normalisation, ReLU. `up` is a transposed convolution (kernel 2, stride 2)."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1, up: bool = False) -> None:
        super().__init__()
        self.conv = TransposedConv3d(in_channels, out_channels) if up else Conv3d(in_channels, out_channels, kernel, stride)
        self.norm = BatchNorm(out_channels)

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Maps features [V,I] to [W,O] at the convolution's stride."""
        y: SparseTensor = self.conv(x)
        return y.with_feat(normed_relu(self.norm, y.feat))


class Stem(nn.Sequential):
    """Two units at full resolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(Unit(in_channels, out_channels), Unit(out_channels, out_channels))

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Maps features [V,I] to [V,O]."""
        first: Any
        second: Any
        first, second = self
        y: SparseTensor = second.conv.after(first.norm, first.conv(x))
        return y.with_feat(normed_relu(second.norm, y.feat))


class Residual(nn.Module):
    """Two 3x3x3 convolutions and a shortcut, which is a 1x1x1 convolution where the number of channels changes."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = Unit(in_channels, out_channels)
        self.second = Conv3d(out_channels, out_channels)
        self.norm = BatchNorm(out_channels)
        same = in_channels == out_channels
        self.shortcut = None if same else Conv3d(in_channels, out_channels, kernel=1)
        self.shortcut_norm = None if same else BatchNorm(out_channels)

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Maps features [V,I] to [V,O]."""
        y = self.second.after(self.first.norm, self.first.conv(x))
        return y.with_feat(torch.relu_(self.norm(y.feat).add_(self._short(x))))

    def _short(self, x: SparseTensor) -> Tensor:
        if self.shortcut is None or self.shortcut_norm is None:
            return x.feat
        result: Tensor = self.shortcut_norm(self.shortcut(x).feat)
        return result


class Down(nn.Sequential):
    """An encoder stage: halve the resolution, then two residual blocks."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(Unit(in_channels, in_channels, kernel=2, stride=2), Residual(in_channels, out_channels), Residual(out_channels, out_channels))


class Up(nn.Module):
    """A decoder stage: double the resolution, append the encoder's features, then two residual blocks."""

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.up = Unit(in_channels, out_channels, up=True)
        self.blocks = nn.Sequential(Residual(out_channels + skip_channels, out_channels), Residual(out_channels, out_channels))

    def forward(self, x: SparseTensor, skip: SparseTensor) -> SparseTensor:
        """Maps features [W,I] at stride 2s and `skip` [V,S] at stride s to [V,O] at stride s."""
        y: SparseTensor = self.up(x)
        result: SparseTensor = self.blocks(y.with_feat(torch.cat([y.feat, skip.feat], dim=1)))
        return result


def encoder(cs: tuple[int, ...]) -> nn.ModuleList:
    """The four stages from stride 1 to 16."""
    return nn.ModuleList(Down(cs[i], cs[i + 1]) for i in range(4))


def decoder(cs: tuple[int, ...]) -> nn.ModuleList:
    """The four stages from stride 16 to 1, which take up the encoder's features in reverse."""
    return nn.ModuleList(Up(cs[i + 4], cs[3 - i], cs[i + 5]) for i in range(4))
