"""One test for all libraries: a convolution, or a network, by the library and by al3d, with values and all gradients."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from al3d.nets.minkunet import MinkUNet
from al3d.nets.spvcnn import SPVCNN
from al3d.sparse import Geometry
from al3d.sparse.backend import Kernel, Own, backend_of

#: (shape, stride it starts from). The last stride is odd in number of cells a side, so that a coarse border cell is cut if the library rounds down.
SHAPES = [
    (Kernel(3), 1),
    (Kernel(3), 2),
    (Kernel(3, transposed=True), 1),
    (Kernel(2, 2), 1),
    (Kernel(2, 2), 2),
    (Kernel(2, 2, transposed=True), 2),
    (Kernel(2, 2, transposed=True), 4),
]
#: What not every library has.
WIDE = [(Kernel(5), 1), (Kernel(3, dilation=2), 2)]
OVERLAPPING = [(Kernel(3, 2), 1), (Kernel(3, 2, transposed=True), 2), (Kernel(5, 2, dilation=2), 1)]
INPUTS, OUTPUTS, CLASSES = 5, 7, 4


def skip_without(package: str, cuda: bool = False) -> None:
    """Skips the calling test unless the package can be imported (and there is a GPU)."""
    try:
        importlib.import_module(package)
    except ImportError as error:
        pytest.skip(f"{package} is not installed ({error})" + (": make test-spconv" if package == "spconv.pytorch" else ""))
    if cuda and not torch.cuda.is_available():
        pytest.skip(f"{package} needs a GPU")


def voxels(seed: int, points: int = 2000, low: int = -9, high: int = 8, device: str = "cpu") -> Tensor:
    """Shuffled voxels i32[V,4] of three batch items, half of the coordinates negative, 17 cells a side."""
    draw = torch.Generator().manual_seed(seed)
    coord = torch.cat([torch.randint(0, 3, (points, 1), generator=draw), torch.randint(low, high, (points, 3), generator=draw)], dim=1)
    coord = torch.unique(coord, dim=0)
    return coord[torch.randperm(len(coord), generator=draw)].int().to(device)


def both(name: str, coord: Tensor, shape: Kernel, stride: int, dtype: torch.dtype, seed: int = 0) -> list[tuple[Tensor, ...]]:
    """(values, gradient of features, gradient of kernel) by al3d and by the library `name`."""
    draw = torch.Generator().manual_seed(seed)
    geometry = Geometry(coord, backend_of(name))
    rows = len(geometry.coord(stride))
    there = stride // shape.step if shape.transposed else stride * shape.step
    feat = torch.randn(rows, INPUTS, generator=draw, dtype=dtype).to(coord.device)
    kernel = torch.randn(shape.size**3, INPUTS, OUTPUTS, generator=draw, dtype=dtype).to(coord.device)
    grad = torch.randn(len(geometry.coord(there)), OUTPUTS, generator=draw, dtype=dtype).to(coord.device)
    results = []
    for backend in (Own(), geometry.backend):
        inputs = feat.clone().requires_grad_(), kernel.clone().requires_grad_()
        value = backend.convolve(*inputs, geometry, stride, shape)
        results.append((value.detach(), *torch.autograd.grad(value, inputs, grad)))
    return results


def check_convolution(name: str, coord: Tensor, shape: Kernel, stride: int, dtype: torch.dtype, tolerance: float) -> None:
    for ours, theirs in zip(*both(name, coord, shape, stride, dtype), strict=True):
        assert ours.shape == theirs.shape
        assert float((ours - theirs).abs().max()) <= tolerance * float(ours.abs().max())


def check_network(name: str, kind: type[MinkUNet] | type[SPVCNN], dtype: torch.dtype, tolerance: float, device: str = "cpu") -> None:
    """Logits, and the gradients of all parameters and of the input, of a network with the same state dict; both directions of loading."""
    coord = voxels(5, device=device)
    feat = torch.randn(len(coord), INPUTS, generator=torch.Generator().manual_seed(6)).to(device, dtype)
    torch.manual_seed(7)
    ours: nn.Module = kind(INPUTS, CLASSES, 0.25, 0.0).to(device, dtype)
    theirs: nn.Module = kind(INPUTS, CLASSES, 0.25, 0.0, backend=name).to(device, dtype)
    assert not theirs.load_state_dict(ours.state_dict()).unexpected_keys
    outputs: list[dict[str, Any]] = []
    for net in (ours, theirs):
        inputs = feat.clone().requires_grad_()
        output = net(coord, inputs)
        torch.autograd.backward(output.logits.square().mean())
        outputs.append({"logits": output.logits.detach(), "bottleneck": output.bottleneck.detach(), "input": inputs.grad})
        outputs[-1] |= {parameter: value.grad for parameter, value in net.named_parameters()}
    largest = max(float(value.abs().max()) for parameter, value in outputs[0].items() if parameter not in ("logits", "bottleneck"))
    for key, value in outputs[0].items():
        scale = float(value.abs().max()) if key in ("logits", "bottleneck") else largest
        assert float((outputs[1][key] - value).abs().max()) <= tolerance * scale, key
    trained = {key: value + 0.01 for key, value in theirs.state_dict().items() if value.is_floating_point()}
    ours.load_state_dict({**theirs.state_dict(), **trained})
    assert torch.equal(ours.state_dict()["stem.0.conv.kernel"], trained["stem.0.conv.kernel"])
