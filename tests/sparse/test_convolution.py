"""Sparse convolution against dense convolution, and the contract that every engine keeps."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from al3d.sparse import Conv3d, Geometry, SparseTensor, TransposedConv3d, convolve, loop

SIZE = 8
LOW = -4


def voxels(seed: int, density: float = 0.3, batches: int = 2) -> Tensor:
    """Random voxels i32[V,4] in a cube of `SIZE` around the origin, half of its coordinates negative, sorted."""
    grid = torch.rand(batches, SIZE, SIZE, SIZE, generator=torch.Generator().manual_seed(seed)) < density
    coord = grid.nonzero()
    coord[:, 1:] += LOW
    return coord.int()


def to_dense(coord: Tensor, feat: Tensor, low: int, size: int) -> Tensor:
    """Features [V,D] as a grid [B,D,size,size,size], differentiable."""
    dense = feat.new_zeros(int(coord[:, 0].max()) + 1, size, size, size, feat.shape[1])
    batch, x, y, z = coord.long().unbind(1)
    return dense.index_put((batch, x - low, y - low, z - low), feat).permute(0, 4, 1, 2, 3)


def from_dense(dense: Tensor, coord: Tensor, low: int) -> Tensor:
    batch, x, y, z = coord.long().unbind(1)
    return dense.permute(0, 2, 3, 4, 1)[batch, x - low, y - low, z - low]


def dense_kernel(kernel: Tensor, size: int) -> Tensor:
    """[K,I,O], z fastest, as [O,I,x,y,z]."""
    return kernel.view(size, size, size, *kernel.shape[-2:]).permute(4, 3, 0, 1, 2)


def dense_convolution(coord: Tensor, feat: Tensor, kernel: Tensor, kind: str) -> Tensor:
    """The twin: the same layer with `conv3d` on a dense grid, read where the sparse result has voxels (sorted by key)."""
    coarse = torch.unique(torch.cat([coord[:, :1], torch.div(coord[:, 1:], 2, rounding_mode="floor")], dim=1), dim=0)
    if kind == "one":
        return from_dense(functional.conv3d(to_dense(coord, feat, LOW, SIZE), dense_kernel(kernel[None], 1)), coord, LOW)
    if kind == "three":
        return from_dense(functional.conv3d(to_dense(coord, feat, LOW, SIZE), dense_kernel(kernel, 3), padding=1), coord, LOW)
    if kind == "down":
        return from_dense(functional.conv3d(to_dense(coord, feat, LOW, SIZE), dense_kernel(kernel, 2), stride=2), coarse, LOW // 2)
    weight = dense_kernel(kernel, 2).transpose(0, 1)
    return from_dense(functional.conv_transpose3d(to_dense(coarse, feat, LOW // 2, SIZE // 2), weight, stride=2), coord, LOW)


def layer(kind: str, inputs: int, outputs: int) -> Conv3d | TransposedConv3d:
    layers = {"one": (1, 1), "three": (3, 1), "down": (2, 2)}
    module = TransposedConv3d(inputs, outputs) if kind == "up" else Conv3d(inputs, outputs, *layers[kind])
    return module.double()


def sparse_input(coord: Tensor, kind: str, channels: int, seed: int) -> SparseTensor:
    geometry = Geometry(coord)
    stride = 2 if kind == "up" else 1
    feat = torch.randn(len(geometry.keys(stride)), channels, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return SparseTensor(feat.requires_grad_(), geometry, stride)


def assert_close(actual: Tensor, expected: Tensor, relative: float = 1e-12) -> None:
    assert actual.shape == expected.shape
    assert float((actual - expected).detach().abs().max()) <= relative * float(expected.detach().abs().max())


KINDS = ["one", "three", "down", "up"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunk", [loop.CHUNK, 7])
def test_equals_dense_convolution(kind: str, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CHUNK", chunk)
    torch.manual_seed(1)
    coord, module = voxels(1), layer(kind, 3, 5)
    x = sparse_input(coord, kind, 3, seed=2)
    y = module(x).feat
    twin_feat, twin_kernel = x.feat.detach().clone().requires_grad_(), module.kernel.detach().clone().requires_grad_()
    expected = dense_convolution(coord, twin_feat, twin_kernel, kind)
    assert_close(y, expected)
    weight = torch.randn(expected.shape, dtype=torch.float64)
    (y * weight).sum().backward()
    (expected * weight).sum().backward()
    assert x.feat.grad is not None and module.kernel.grad is not None and twin_feat.grad is not None and twin_kernel.grad is not None
    assert_close(x.feat.grad, twin_feat.grad)
    assert_close(module.kernel.grad, twin_kernel.grad)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), density=st.floats(0.01, 0.9), kind=st.sampled_from(KINDS))
def test_equals_dense_convolution_at_any_density(seed: int, density: float, kind: str) -> None:
    coord = torch.cat([voxels(seed, density, 1), torch.tensor([[1, 3, -4, 2]], dtype=torch.int32)])
    module, x = layer(kind, 2, 3), sparse_input(coord, kind, 2, seed)
    assert_close(module(x).feat, dense_convolution(coord, x.feat, module.kernel, kind))


@pytest.mark.parametrize("kind", KINDS)
def test_float32_in_large_chunks_equals_float64(kind: str) -> None:
    """Wide and long enough for many blocks of large products."""
    torch.manual_seed(0)
    grid = (torch.rand(1, 28, 28, 28) < 0.5).nonzero().int()
    module, x = layer(kind, 64, 48), sparse_input(grid, kind, 64, seed=0)
    y = module(x).feat
    y.square().sum().backward()
    feat32 = x.feat.detach().float().requires_grad_()
    kernel = module.kernel.grad
    module.zero_grad()
    y32 = module.float()(SparseTensor(feat32, x.geometry, x.stride)).feat
    y32.square().sum().backward()
    assert feat32.grad is not None and x.feat.grad is not None and module.kernel.grad is not None and kernel is not None
    assert_close(y32.double(), y, 1e-5)
    assert_close(feat32.grad.double(), x.feat.grad, 1e-5)
    assert_close(module.kernel.grad.double(), kernel, 1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_batch_items_do_not_mix(kind: str) -> None:
    both = voxels(3)
    first = both[both[:, 0] == 0]
    module, x = layer(kind, 3, 4), sparse_input(both, kind, 3, seed=0)
    rows = len(Geometry(first).keys(x.stride))
    alone = module(SparseTensor(x.feat[:rows], Geometry(first), x.stride)).feat
    torch.testing.assert_close(module(x).feat[: len(alone)], alone, rtol=1e-12, atol=1e-12)
    changed = x.feat.detach().clone()
    changed[rows:] += 100
    torch.testing.assert_close(module(x.with_feat(changed)).feat[: len(alone)], alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shift", [-31_996, -2, 31_990])
def test_moves_with_the_voxels(kind: str, shift: int) -> None:
    """An even translation changes nothing, up to the ends of the range and across zero."""
    coord = voxels(4)
    moved = coord + torch.tensor([0, shift, shift, shift], dtype=torch.int32)
    module, x = layer(kind, 3, 4), sparse_input(coord, kind, 3, seed=0)
    assert torch.equal(module(x).feat, module(SparseTensor(x.feat, Geometry(moved), x.stride)).feat)


@pytest.mark.parametrize("kind", KINDS)
def test_empty_input(kind: str) -> None:
    module, x = layer(kind, 3, 4), sparse_input(torch.empty(0, 4, dtype=torch.int32), kind, 3, seed=0)
    y = module(x).feat
    y.sum().backward()
    assert y.shape == (0, 4)
    assert module.kernel.grad is not None and not module.kernel.grad.any()


def test_single_voxel() -> None:
    coord = torch.tensor([[0, -1, -2, 5]], dtype=torch.int32)
    x = sparse_input(coord, "three", 3, seed=0)
    three, down, up = layer("three", 3, 4), layer("down", 3, 4), layer("up", 4, 2)
    assert_close(three(x).feat, x.feat @ three.kernel[13])
    octant = 4 * 1 + 2 * 0 + 1  # -1 is odd, -2 even, 5 odd
    y = down(x)
    assert y.geometry.coord(2).tolist() == [[0, -1, -1, 2]]
    assert_close(y.feat, x.feat @ down.kernel[octant])
    assert_close(up(y).feat, y.feat @ up.kernel[octant])


@pytest.mark.parametrize("seed", range(3))
def test_order_of_input_is_irrelevant(seed: int) -> None:
    coord = voxels(seed)
    feat = torch.randn(len(coord), 3, dtype=torch.float64)
    order = torch.randperm(len(coord), generator=torch.Generator().manual_seed(seed))
    module = layer("three", 3, 4)
    expected = module(SparseTensor.build(coord, feat)).in_input_order()
    shuffled = module(SparseTensor.build(coord[order], feat[order])).in_input_order()
    assert torch.equal(shuffled, expected[order])


@pytest.mark.parametrize("channels", [16, 64])
def test_same_bits_on_rerun(channels: int) -> None:
    coord = (torch.rand(1, 30, 30, 30, generator=torch.Generator().manual_seed(0)) < 0.4).nonzero().int()
    module = Conv3d(channels, channels)
    feat = torch.randn(len(coord), channels)
    results = []
    for _ in range(3):
        x = feat.clone().requires_grad_()
        module.zero_grad()
        y = module(SparseTensor.build(coord, x)).in_input_order()
        y.square().sum().backward()
        assert x.grad is not None and module.kernel.grad is not None
        results.append((y.detach(), x.grad, module.kernel.grad.clone()))
    assert all(torch.equal(a, b) for run in results[1:] for a, b in zip(run, results[0], strict=True))


def test_gradients_pass_the_numerical_check() -> None:
    pairs = Geometry(voxels(0, 0.05)).neighbors(1)
    feat = torch.randn(pairs.rows_in, 2, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(27, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f, k: convolve(f, k, pairs), (feat, kernel))


def test_only_the_gradients_asked_for() -> None:
    coord = voxels(0)
    for needs_feat, needs_kernel in ((True, False), (False, True)):
        feat = torch.randn(len(coord), 2, requires_grad=needs_feat)
        kernel = torch.randn(27, 2, 2, requires_grad=needs_kernel)
        convolve(feat, kernel, Geometry(coord).neighbors(1)).sum().backward()
        assert (feat.grad is not None, kernel.grad is not None) == (needs_feat, needs_kernel)


def test_autocast_sums_in_float32() -> None:
    coord, module = voxels(0), Conv3d(8, 8)
    feat = torch.randn(len(coord), 8, requires_grad=True)
    exact = module(SparseTensor.build(coord, feat)).feat
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = module(SparseTensor.build(coord, feat)).feat
    half.sum().backward()
    assert half.dtype == torch.float32 and feat.grad is not None and feat.grad.dtype == torch.float32
    assert not torch.equal(half, exact)
    assert_close(half, exact, 2e-2)


def test_kernel_shapes() -> None:
    assert Conv3d(3, 5, 1).kernel.shape == (3, 5)
    assert Conv3d(3, 5, 2, 2).kernel.shape == (8, 3, 5)
    assert Conv3d(3, 5, 3).kernel.shape == (27, 3, 5)
    assert TransposedConv3d(3, 5).kernel.shape == (8, 3, 5)
    biased = Conv3d(3, 5, bias=True)
    assert biased.bias is not None and biased.bias.shape == (5,)


def test_bias_is_added_to_every_voxel() -> None:
    coord, module = voxels(0), Conv3d(3, 5, bias=True)
    assert module.bias is not None
    zero = module(SparseTensor.build(coord, torch.zeros(len(coord), 3))).feat
    assert torch.equal(zero, module.bias.expand(len(coord), 5))


def test_z_runs_fastest() -> None:
    coord = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 1]], dtype=torch.int32)
    module = layer("three", 1, 1)
    y = module(SparseTensor.build(coord, torch.ones(2, 1, dtype=torch.float64))).feat
    assert_close(y, torch.stack([module.kernel[13, 0] + module.kernel[14, 0], module.kernel[13, 0] + module.kernel[12, 0]]))


def test_initial_kernels_fill_their_range() -> None:
    for module, fan in ((Conv3d(16, 32), 16 * 27), (Conv3d(16, 32, 2, 2), 16 * 8), (Conv3d(16, 32, 1), 16), (TransposedConv3d(16, 32), 32)):
        assert 0.9 * fan**-0.5 < float(module.kernel.detach().abs().max()) <= fan**-0.5


def test_wrong_uses_name_the_remedy() -> None:
    for kernel, stride, dilation in ((2, 1, 1), (4, 2, 1), (3, 3, 1), (1, 2, 1), (3, 1, 0), (2, 2, 2), (0, 1, 1)):
        with pytest.raises(ValueError, match=f"kernel {kernel}, stride {stride}, dilation {dilation}"):
            Conv3d(3, 5, kernel, stride, dilation=dilation)
    with pytest.raises(ValueError, match="Conv3d"):
        TransposedConv3d(3, 5, kernel=1, stride=1)
    with pytest.raises(ValueError, match="room for 767"):
        Conv3d(3, 3, 5, dilation=400)(SparseTensor.build(voxels(0), torch.zeros(len(voxels(0)), 3)))
    with pytest.raises(ValueError, match="stride 1"):
        TransposedConv3d(3, 3)(SparseTensor.build(voxels(0), torch.zeros(len(voxels(0)), 3)))
    pairs = Geometry(voxels(0)).neighbors(1)
    with pytest.raises(ValueError, match=r"\[27,3,O\]"):
        convolve(torch.zeros(pairs.rows_in, 3), torch.zeros(27, 4, 5), pairs)
    with pytest.raises(ValueError, match="rows"):
        convolve(torch.zeros(pairs.rows_in + 1, 3), torch.zeros(27, 3, 5), pairs)
