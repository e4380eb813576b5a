"""Normalisation joined with ReLU and convolution against the three layers one after the other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from al3d.nets import SPVCNN, MinkUNet
from al3d.sparse import BatchNorm, Conv3d, Geometry, SparseTensor, convolve, normed_convolve, normed_relu

Joined = Callable[[nn.BatchNorm1d, Tensor, Tensor], Tensor]


def geometry(seed: int = 0) -> Geometry:
    return Geometry((torch.rand(2, 9, 9, 9, generator=torch.Generator().manual_seed(seed)) < 0.3).nonzero().int())


PAIRS = geometry().neighbors(1)


def joined_convolve(norm: nn.BatchNorm1d, rows: Tensor, kernel: Tensor) -> Tensor:
    assert isinstance(norm, BatchNorm)
    return normed_convolve(norm, rows, kernel, PAIRS)


def joined_relu(norm: nn.BatchNorm1d, rows: Tensor, kernel: Tensor) -> Tensor:
    assert isinstance(norm, BatchNorm)
    return normed_relu(norm, rows)


def plain_convolve(norm: nn.BatchNorm1d, rows: Tensor, kernel: Tensor) -> Tensor:
    return convolve(torch.relu(norm(rows)), kernel, PAIRS)


def plain_relu(norm: nn.BatchNorm1d, rows: Tensor, kernel: Tensor) -> Tensor:
    return torch.relu(norm(rows))


BOTH = [(joined_convolve, plain_convolve), (joined_relu, plain_relu)]


def norms(channels: int, dtype: torch.dtype = torch.float64) -> tuple[BatchNorm, nn.BatchNorm1d]:
    """The joined and the plain layer with equal parameters and running statistics, none of them at its initial value."""
    plain = nn.BatchNorm1d(channels, dtype=dtype)
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for tensor in (plain.weight, plain.bias, plain.running_mean, plain.running_var):
            assert tensor is not None
            tensor.add_(0.5 * torch.rand(channels, generator=random, dtype=dtype))
    joined = BatchNorm(channels, dtype=dtype)
    joined.load_state_dict(plain.state_dict())
    return joined, plain


def tensors(inputs: int, outputs: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(4)
    rows = 1.0 + 2.0 * torch.randn(PAIRS.rows_in, inputs, generator=random, dtype=dtype)
    return rows.requires_grad_(), torch.randn(27, inputs, outputs, generator=random, dtype=dtype).requires_grad_()


def results(layer: Joined, norm: nn.BatchNorm1d, inputs: int, outputs: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """The layer's result, the gradients of rows, kernel (if used), weight and bias, and the running statistics after two passes."""
    rows, kernel = tensors(inputs, outputs, dtype)
    layer(norm, rows, kernel)
    result = layer(norm, rows, kernel)
    (result * torch.randn(result.shape, generator=torch.Generator().manual_seed(5), dtype=dtype)).sum().backward()
    gradients = [x.grad for x in (rows, kernel, norm.weight, norm.bias)]
    return [result.detach(), *(grad for grad in gradients if grad is not None), *norm.buffers()]


@pytest.mark.parametrize(("joined", "plain"), BOTH)
@pytest.mark.parametrize(("inputs", "outputs"), [(5, 3), (40, 48)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_the_layers_one_by_one(joined: Joined, plain: Joined, inputs: int, outputs: int, training: bool) -> None:
    """Result, gradients, running statistics and the count of batches, with few channels and with many."""
    ours, theirs = norms(inputs)
    actual = results(joined, ours.train(training), inputs, outputs)
    expected = results(plain, theirs.train(training), inputs, outputs)
    assert len(actual) == len(expected) == (8 if plain is plain_convolve else 7)
    for a, b in zip(actual, expected, strict=True):
        assert a.shape == b.shape
        assert float((a - b).abs().max()) <= 1e-12 * float(b.abs().max())
    assert int(expected[-1]) == (2 if training else 0)


@pytest.mark.parametrize(("joined", "plain"), BOTH)
def test_gradients_pass_the_numerical_check(joined: Joined, plain: Joined) -> None:
    norm = norms(2)[0]

    def layer(rows: Tensor, kernel: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.func.functional_call(norm, {"weight": weight, "bias": bias}, (rows, kernel))  # type: ignore[no-any-return]

    norm.forward = lambda rows, kernel: joined(norm, rows, kernel)  # type: ignore[method-assign, assignment]
    pieces = [x.detach().clone().requires_grad_() for x in (norm.weight, norm.bias)]
    assert torch.autograd.gradcheck(layer, (*tensors(2, 2), *pieces), fast_mode=True)


@pytest.mark.parametrize(("joined", "plain"), BOTH)
def test_same_bits_on_rerun_and_as_one_by_one(joined: Joined, plain: Joined) -> None:
    runs = [results(layer, norms(16, torch.float32)[which], 16, 16, torch.float32) for layer, which in ((joined, 0), (joined, 0), (plain, 1))]
    assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(*runs, strict=True))


def saved_bytes(run: Callable[[], Tensor]) -> int:
    """The bytes of the distinct storages that autograd keeps for the gradient of `run`."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = run()
    assert result.requires_grad
    return sum(kept.values())


def test_keeps_one_tensor_for_the_gradient_instead_of_two() -> None:
    rows, kernel = tensors(16, 16)
    joined, plain = norms(16)
    ours, theirs = saved_bytes(lambda: joined_convolve(joined, rows, kernel)), saved_bytes(lambda: plain_convolve(plain, rows, kernel))
    assert theirs - ours >= 0.99 * rows.nbytes
    ours, theirs = saved_bytes(lambda: joined_relu(joined, rows, kernel)), saved_bytes(lambda: plain_relu(plain, rows, kernel))
    assert theirs - ours >= 0.99 * rows.nbytes


@pytest.mark.parametrize("kind", [MinkUNet, SPVCNN])
def test_networks_keep_less(kind: type[nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the same network without joined layers, which computes the same gradients; beside parameters, an eighth less."""
    torch.manual_seed(0)
    net = kind(6, 5, width=0.5, dropout=0.0)
    coord = geometry(1).coord(1)
    feat = torch.randn(len(coord), 6)
    kept, gradients = [], []
    for join in (True, False):
        if not join:
            monkeypatch.setattr(BatchNorm, "is_joinable", lambda norm, rows: False)
        kept.append(saved_bytes(lambda: net(coord, feat).logits) - sum(p.nbytes for p in net.parameters()))
        net.zero_grad()
        net(coord, feat).logits.square().mean().backward()
        gradients.append([p.grad for p in net.parameters()])
    assert kept[0] < 0.875 * kept[1]
    assert all(a is not None and torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize(("joined", "plain"), BOTH)
def test_only_the_gradients_asked_for(joined: Joined, plain: Joined) -> None:
    for wanted in range(4):
        norm = norms(4)[0].requires_grad_(False)
        rows, kernel = (x.detach() for x in tensors(4, 4))
        leaves = [rows, norm.weight, norm.bias, kernel]
        if plain is plain_relu and wanted == 3:
            continue
        leaves[wanted].requires_grad_()
        joined(norm, rows, kernel).sum().backward()
        assert [leaf.grad is not None for leaf in leaves] == [i == wanted for i in range(4)]


def test_autocast_equals_the_layers_one_by_one() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        joined = results(joined_convolve, norms(16, torch.float32)[0], 16, 16, torch.float32)
        plain = results(plain_convolve, norms(16, torch.float32)[1], 16, 16, torch.float32)
    assert joined[0].dtype == torch.float32
    assert all(a.dtype == b.dtype for a, b in zip(joined, plain, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(joined, plain, strict=True))


@pytest.mark.parametrize("count", [0, 1])
def test_one_row_and_none_leave_the_running_statistics(count: int) -> None:
    norm = norms(3)[0]
    before = [buffer.clone() for buffer in norm.buffers()]
    small = Geometry(torch.zeros(count, 4, dtype=torch.int32))
    rows = torch.randn(count, 3, dtype=torch.float64, requires_grad=True)
    y = Conv3d(3, 2).double().after(norm, SparseTensor(rows, small)).feat
    y.sum().backward()
    assert y.shape == (count, 2) and normed_relu(norm, rows).shape == (count, 3)
    assert rows.grad is not None and torch.isfinite(y).all()
    assert all(torch.equal(a, b) for a, b in zip(norm.buffers(), before, strict=True))


def test_wrong_uses_name_the_remedy() -> None:
    norm, (rows, kernel) = norms(4)[0], tensors(4, 4)
    with pytest.raises(ValueError, match="rows"):
        normed_convolve(norm, rows[1:], kernel, PAIRS)
    assert int(norm.num_batches_tracked or 0) == 0
    with pytest.raises(ValueError, match="kernel 3"):
        Conv3d(4, 4, kernel=1).after(norm, SparseTensor(rows, geometry()))
