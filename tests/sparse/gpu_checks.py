"""What the engines must do on a GPU; in plain Python, so that `benchmarks/gpu_suite.sh` runs it where no pytest can be installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from al3d.sparse import Geometry, convolve, engine
from al3d.sparse.backend import Kernel

NAMES = ("loop", "grouped", "triton")
SHAPES = [(1, Kernel(3)), (1, Kernel(5)), (1, Kernel(3, 1, 2)), (1, Kernel(2, 2)), (2, Kernel(2, 2, transposed=True)), (1, Kernel(3, 2)), (1, Kernel(1))]
#: How far from sums in float64 a type may be, relative to the largest value.
TOLERANCE = {"fp32": 1e-5, "tf32": 2e-3, "bf16": 2e-2}


@contextmanager
def precision(kind: str, device: str) -> Iterator[None]:
    """float32 in full, as TF32, or bfloat16 by autocast."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if kind == "tf32" else "highest")
    try:
        with torch.autocast(device, dtype=torch.bfloat16) if kind == "bf16" else nullcontext():
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def cloud(voxels: int, side: int = 24) -> Tensor:
    """Voxels i32[V,4] of two scenes, half of their coordinates negative, in no order."""
    draw = torch.Generator().manual_seed(0)
    place = torch.randperm(2 * side**3, generator=draw)[:voxels]
    parts = [place // side**3, *((place // side**power) % side - side // 2 for power in (2, 1, 0))]
    return torch.stack(parts, dim=1).int()


def close(actual: Tensor, expected: Tensor, tolerance: float) -> bool:
    return float((actual.cpu().double() - expected).abs().max()) <= tolerance * float(expected.abs().max())


def convolutions(device: str, name: str, kind: str) -> None:
    """Values and both gradients are those of float64 on a CPU, over maps that were made on the device."""
    coord, draw = cloud(3000), torch.Generator().manual_seed(1)
    here, there = Geometry(coord), Geometry(coord.to(device))
    for stride, shape in SHAPES:
        pairs = here.pairs(stride, shape)
        feat = torch.randn(pairs.rows_in, 24, generator=draw)
        kernel = torch.randn(shape.size**3, 24, 40, generator=draw) / 24
        grad = torch.randn(pairs.rows_out, 40, generator=draw)
        exact = feat.double().requires_grad_(), kernel.double().requires_grad_()
        expected = convolve(*exact, pairs, "loop")
        leaves = feat.to(device).requires_grad_(), kernel.to(device).requires_grad_()
        with precision(kind, device):
            value = convolve(*leaves, there.pairs(stride, shape), name)
            found = torch.autograd.grad(value, leaves, grad.to(device))
        for actual, twin in zip((value.detach(), *found), (expected.detach(), *torch.autograd.grad(expected, exact, grad.double())), strict=True):
            assert close(actual, twin, TOLERANCE[kind]), (shape, kind)


def trained(net: nn.Module, geometry: Geometry, feat: Tensor) -> list[Tensor]:
    """Logits and all gradients of one step."""
    net.zero_grad()
    logits: Any = net(geometry, feat).logits
    logits.square().mean().backward()
    return [logits.detach(), *(parameter.grad.clone() for parameter in net.parameters() if parameter.grad is not None)]


def same_step(device: str, name: str, kind: Callable[..., nn.Module]) -> None:
    """A step has the same bits again and waits for nothing, once the maps are made. On a GPU PyTorch itself fails on whatever makes the host wait."""
    torch.manual_seed(0)
    net: Any = kind(6, 5, width=0.25, dropout=0.0, engine=name).to(device)
    coord = cloud(3000).to(device)
    feat, steps = torch.rand(len(coord), 6, device=device), []
    for _ in range(2):
        geometry = net.geometry(coord)
        # the first step may tune and compile
        trained(net, geometry, feat)
        before = torch.cuda.get_sync_debug_mode() if device == "cuda" else 0
        try:
            if device == "cuda":
                torch.cuda.set_sync_debug_mode("error")
            steps.append(trained(net, geometry, feat))
        finally:
            if device == "cuda":
                torch.cuda.set_sync_debug_mode(before)
    assert len(steps[0]) == 1 + len(list(net.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(*steps, strict=True))


def two_million() -> Tensor:
    """2^21 voxels i32[V,4]: a sheet of steps, two voxels thick."""
    side = 1 << 10
    x, y = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    z = (x // 7 + y // 5) % 11
    coord = torch.stack([x * 0, x, y, z], dim=2).view(-1, 4)
    return torch.cat([coord, coord + torch.tensor([0, 0, 0, 1])]).int()


def two_million_voxels(name: str) -> None:
    """Random rows of the values against the CPU's loop, and memory that does not grow with the products of all pairs."""
    coord, draw = two_million(), torch.Generator().manual_seed(0)
    feat, kernel = torch.randn(len(coord), 32, generator=draw), torch.randn(27, 32, 32, generator=draw)
    pairs = Geometry(coord.cuda()).neighbors(1)
    engine.prepare(pairs, name)
    rows, matrices = feat.cuda(), kernel.cuda()
    torch.cuda.reset_peak_memory_stats()
    idle = torch.cuda.memory_allocated()
    with precision("fp32", "cuda"):
        value = convolve(rows, matrices, pairs, name)
    products = 4 * 32 * sum(len(side) for side in pairs.every_pair()[0])
    assert torch.cuda.max_memory_allocated() - idle < products
    expected = convolve(feat, kernel, Geometry(coord).neighbors(1), "loop")
    assert close(value, expected.double(), 1e-5)
