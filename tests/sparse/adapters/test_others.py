"""torchsparse and MinkowskiEngine against al3d's own engine, where they are installed."""

from __future__ import annotations

import pytest
import torch

from al3d.nets.minkunet import MinkUNet
from al3d.nets.spvcnn import SPVCNN

from .twins import OVERLAPPING, SHAPES, WIDE, check_convolution, check_network, skip_without, voxels


@pytest.mark.parametrize(("shape", "stride"), [*SHAPES, *WIDE, *OVERLAPPING])
def test_minkowski_convolutions(shape, stride):
    skip_without("MinkowskiEngine")
    check_convolution("minkowski", voxels(1), shape, stride, torch.float64, 1e-12)


@pytest.mark.parametrize("kind", [MinkUNet, SPVCNN])
def test_minkowski_networks(kind):
    skip_without("MinkowskiEngine")
    check_network("minkowski", kind, torch.float64, 1e-10)


@pytest.mark.parametrize(("shape", "stride"), SHAPES)
def test_torchsparse_convolutions(shape, stride):
    skip_without("torchsparse", cuda=True)
    check_convolution("torchsparse", voxels(1, device="cuda"), shape, stride, torch.float32, 1e-4)


@pytest.mark.parametrize("kind", [MinkUNet, SPVCNN])
def test_torchsparse_networks(kind):
    skip_without("torchsparse", cuda=True)
    check_network("torchsparse", kind, torch.float32, 1e-3, "cuda")
