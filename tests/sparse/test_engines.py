"""Every engine against dense convolution in every shape, against the others in whole networks, and what the forward pass may not do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numba
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from al3d.nets import SPVCNN, MinkUNet
from al3d.sparse import (
    BatchNorm,
    Conv3d,
    Geometry,
    Linear,
    SparseTensor,
    TransposedConv3d,
    blas,
    convolve,
    engine,
    fused,
    grouped,
    loop,
    maps,
    normed_convolve,
)
from al3d.sparse.backend import Kernel, Own, backend_of, engine_of

from .gpu_checks import two_million
from .test_convolution import LOW, SIZE, assert_close, dense_kernel, from_dense, to_dense, voxels

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def is_usable(name: str) -> bool:
    """Triton's kernels run on a CPU in its interpreter alone (TRITON_INTERPRET=1)."""
    if name != "triton":
        return True
    kernels = engine._triton()
    return kernels is not None and bool(kernels.usable(CPU))


ENGINES = [name for name in ("loop", "fused", "grouped", "triton") if is_usable(name)]
DOUBLE_ENGINES = [name for name in ENGINES if name != "triton"]
FORWARD = [Kernel(3), Kernel(5), Kernel(3, 1, 2), Kernel(5, 1, 2), Kernel(2, 2), Kernel(3, 2), Kernel(3, 2, 2), Kernel(5, 2)]
SHAPES = [shape for one in FORWARD for shape in (one, Kernel(one.size, one.step, one.dilation, transposed=True))] + [Kernel(1), Kernel(7)]


def spelled(shape: Kernel) -> str:
    return f"{'up' if shape.transposed else 'to'}{shape.size}s{shape.step}d{shape.dilation}"


def coarse_of(coord: Tensor) -> Tensor:
    return torch.unique(torch.cat([coord[:, :1], torch.div(coord[:, 1:], 2, rounding_mode="floor")], dim=1), dim=0)


def dense(coord: Tensor, feat: Tensor, kernel: Tensor, shape: Kernel) -> Tensor:
    """The twin: `conv3d` or `conv_transpose3d` on a grid, read where the sparse result has voxels."""
    step, coarse = shape.step, coarse_of(coord) if shape.step == 2 else coord
    padding = 0 if shape.size == 2 else shape.size // 2 * shape.dilation
    weight = dense_kernel(kernel, shape.size)
    if not shape.transposed:
        grid = functional.conv3d(to_dense(coord, feat, LOW, SIZE), weight, stride=step, padding=padding, dilation=shape.dilation)
        return from_dense(grid, coarse, LOW // step)
    extra = step - 1 if shape.size % 2 else 0
    grid = to_dense(coarse, feat, LOW // step, SIZE // step)
    grid = functional.conv_transpose3d(grid, weight.transpose(0, 1), stride=step, padding=padding, output_padding=extra, dilation=shape.dilation)
    return from_dense(grid, coord, LOW)


def layer(shape: Kernel, inputs: int, outputs: int) -> nn.Module:
    kind = TransposedConv3d if shape.transposed else Conv3d
    return kind(inputs, outputs, kernel=shape.size, stride=shape.step, dilation=shape.dilation)


def sparse_input(coord: Tensor, shape: Kernel, channels: int, name: str, dtype: torch.dtype = torch.float64) -> SparseTensor:
    geometry = Geometry(coord, Own(engine=name))
    stride = shape.step if shape.transposed else 1
    feat = torch.randn(len(geometry.keys(stride)), channels, dtype=dtype, generator=torch.Generator().manual_seed(2))
    return SparseTensor(feat.requires_grad_(), geometry, stride)


def results(module: nn.Module, x: SparseTensor) -> list[Tensor]:
    """Values, and the gradients of features and kernel under fixed random weights of the values."""
    module.zero_grad()
    y = module(x).feat
    weight = torch.randn(y.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).to(y.dtype)
    kernel: Any = module.kernel
    return [y.detach(), *torch.autograd.grad((y * weight).sum(), (x.feat, kernel))]


def twins(coord: Tensor, module: nn.Module, x: SparseTensor, shape: Kernel) -> list[Tensor]:
    kernel: Any = module.kernel
    feat, matrix = x.feat.detach().double().requires_grad_(), kernel.detach().double().requires_grad_()
    y = dense(coord, feat, matrix, shape)
    weight = torch.randn(y.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    return [y.detach(), *torch.autograd.grad((y * weight).sum(), (feat, matrix))]


@contextmanager
def pieces(rows: int) -> Iterator[None]:
    """All engines cut what they do into pieces of so many rows."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((loop, "CHUNK"), (fused, "BLOCK"), (grouped, "BLOCK")):
            patch.setattr(module, name, rows)
        yield


@pytest.mark.parametrize("name", DOUBLE_ENGINES)
@pytest.mark.parametrize("shape", SHAPES, ids=spelled)
def test_equals_dense_convolution(name: str, shape: Kernel) -> None:
    torch.manual_seed(1)
    coord, module = voxels(1, 0.2), layer(shape, 3, 5).double()
    for rows in (loop.CHUNK, 50):
        with pieces(rows):
            x = sparse_input(coord, shape, 3, name)
            for ours, theirs in zip(results(module, x), twins(coord, module, x, shape), strict=True):
                assert_close(ours, theirs)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("shape", [Kernel(3), Kernel(3, 2), Kernel(2, 2, transposed=True)], ids=spelled)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 1e-2), (torch.float16, 2e-3)])
def test_shorter_types_are_as_near_as_their_digits(name: str, shape: Kernel, dtype: torch.dtype, tolerance: float) -> None:
    """Relative to the largest value; the twin sees the same rounded features and kernel, so products and sums alone differ. 6 channels are padded."""
    torch.manual_seed(1)
    coord, module = voxels(1, 0.2), layer(shape, 6, 8).to(dtype)
    x = sparse_input(coord, shape, 6, name, dtype)
    ours = results(module, x)
    assert ours[0].dtype == torch.float32 and ours[1].dtype == ours[2].dtype == dtype
    for a, b in zip(ours, twins(coord, module, x, shape), strict=True):
        assert_close(a.double(), b, tolerance)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("shape", [Kernel(3), Kernel(3, 2), Kernel(2, 2), Kernel(2, 2, transposed=True)], ids=spelled)
@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_voxels_and_offsets_that_have_none(name: str, shape: Kernel, count: int) -> None:
    """Nothing, one voxel, and two that are far from each other: almost all offsets are empty."""
    coord = torch.tensor([[0, -1, -2, 3], [0, 3, 3, 3]], dtype=torch.int32)[:count]
    module = layer(shape, 4, 8)
    x = sparse_input(coord, shape, 4, name, torch.float32)
    ours = results(module, x)
    assert all(torch.isfinite(part).all() for part in ours)
    if count == 0:
        assert ours[0].shape == (0, 8) and ours[1].shape == (0, 4) and not ours[2].any()
        return
    for a, b in zip(ours, twins(coord, module, x, shape), strict=True):
        assert_close(a.double(), b, 1e-6)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("shape", [Kernel(3), Kernel(3, 2)], ids=spelled)
def test_same_bits_on_rerun_and_batch_items_do_not_mix(name: str, shape: Kernel) -> None:
    torch.manual_seed(0)
    coord, module = voxels(3), layer(shape, 16, 16)
    x = sparse_input(coord, shape, 16, name, torch.float32)
    first = results(module, x)
    again = results(module, SparseTensor(x.feat, Geometry(coord, Own(engine=name))))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    changed = x.feat.detach().clone()
    own = int((coord[:, 0] == 0).sum())
    changed[own:] += 100
    rows = int((x.geometry.coord(shape.step)[:, 0] == 0).sum())
    torch.testing.assert_close(module(x.with_feat(changed)).feat[:rows], first[0][:rows])
    assert not torch.allclose(module(x.with_feat(changed)).feat[rows:], first[0][rows:])


@pytest.mark.parametrize("shape", [Kernel(3), Kernel(3, 2), Kernel(2, 2, transposed=True), Kernel(1)], ids=spelled)
def test_fused_sums_do_not_depend_on_the_threads(shape: Kernel) -> None:
    """With as many blocks as give every thread some; the BLAS has its own number of threads again afterwards."""
    torch.manual_seed(0)
    coord, module = voxels(3), layer(shape, 12, 20)
    own = [library.num_threads for library in blas._pools()]
    found = []
    with pieces(40):
        for threads in range(1, numba.config.NUMBA_NUM_THREADS + 1):  # type: ignore[attr-defined]
            numba.set_num_threads(threads)
            found.append(results(module, sparse_input(coord, shape, 12, "fused", torch.float32)))
    numba.set_num_threads(1)
    assert all(torch.equal(a, b) for other in found for a, b in zip(found[0], other, strict=True))
    assert own == [library.num_threads for library in blas._pools()]


@pytest.mark.parametrize("channels", [(8, 8), (6, 8), (12, 24), (16, 40), (48, 48), (48, 56), (64, 96)])
@pytest.mark.parametrize("shape", [Kernel(3), Kernel(2, 2), Kernel(1)], ids=spelled)
def test_fused_equals_the_loop_at_any_width(channels: tuple[int, int], shape: Kernel) -> None:
    """With few channels it multiplies by itself, four pairs and eight or sixteen channels at a time; blocks of 9 rows leave every number of pairs over."""
    torch.manual_seed(0)
    coord, module = voxels(3), layer(shape, *channels)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        module = module.to(dtype)
        with pieces(9):
            found, expected = (results(module, sparse_input(coord, shape, channels[0], name, dtype)) for name in ("fused", "loop"))
        for ours, theirs in zip(found, expected, strict=True):
            assert_close(ours, theirs, tolerance)


def test_blocks_cover_all_rows_and_suit_threads() -> None:
    for rows in (0, 1, 2, 101, 1766, 4095, 4096, 7393, 30000, 10**6):
        size = fused.block_size(rows)
        number = -(-rows // size)
        assert size <= fused.BLOCK and (rows < 3 or number % (fused.FEW_SHARES if rows < fused.FEW else fused.SHARES) == 0)


@pytest.mark.parametrize("name", ENGINES)
def test_only_the_gradients_asked_for(name: str) -> None:
    coord = voxels(0)
    pairs = Geometry(coord).neighbors(1)
    for wanted in ((True, False), (False, True)):
        feat = torch.randn(len(coord), 4, requires_grad=wanted[0])
        kernel = torch.randn(27, 4, 4, requires_grad=wanted[1])
        convolve(feat, kernel, pairs, name).sum().backward()
        assert (feat.grad is not None, kernel.grad is not None) == wanted


@pytest.mark.parametrize("name", ENGINES)
def test_products_with_one_matrix(name: str) -> None:
    torch.manual_seed(0)
    rows, ours = torch.randn(40, 6, requires_grad=True), Linear(6, 3, engine=name)
    twin = rows.detach().clone().requires_grad_()
    ours(rows).square().sum().backward()
    functional.linear(twin, ours.weight, ours.bias).square().sum().backward()
    assert rows.grad is not None and twin.grad is not None
    assert_close(rows.grad, twin.grad, 1e-5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = ours(rows)
    assert half.dtype == torch.float32
    assert_close(half, ours(rows), 2e-2)
    assert not torch.equal(half, ours(rows))


@pytest.mark.parametrize("kind", [MinkUNet, SPVCNN])
@pytest.mark.parametrize("name", [name for name in ENGINES if name != "loop"])
def test_networks_do_not_depend_on_the_engine(kind: Callable[..., nn.Module], name: str) -> None:
    """In training, with joined normalisation: values and gradients, which all layers must have computed with the engine that was named."""
    coord = voxels(5, 0.3)
    feat = torch.randn(len(coord), 6, generator=torch.Generator().manual_seed(0))
    dtype = torch.float64 if name in DOUBLE_ENGINES else torch.float32
    found = []
    for chosen in ("loop", name):
        torch.manual_seed(0)
        net = kind(6, 5, width=0.25, dropout=0.0, engine=chosen).to(dtype)
        out = net(coord, feat.to(dtype))
        out.logits.square().mean().backward()
        found.append([out.logits.detach(), torch.cat([p.grad.flatten() for p in net.parameters()])])
    for a, b in zip(*found, strict=True):
        assert_close(b, a, 1e-10 if dtype == torch.float64 else 1e-2)


def test_every_layer_follows_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Tensor:
        raise AssertionError("another engine was asked")

    coord = voxels(5, 0.3)
    feat = torch.randn(len(coord), 6)
    for name, other in (("loop", grouped), ("grouped", loop)):
        with monkeypatch.context() as patch:
            patch.setattr(other, "products", refuse)
            patch.setattr(other, "gradients", refuse)
            for kind in (MinkUNet, SPVCNN):
                kind(6, 5, width=0.1, engine=name)(coord, feat).logits.sum().backward()
            with pytest.raises(AssertionError, match="another engine"):
                Linear(6, 5, engine="grouped" if name == "loop" else "loop")(feat)


def test_joined_normalisation_takes_the_engine() -> None:
    torch.manual_seed(0)
    coord = voxels(1)
    pairs, norm = Geometry(coord).neighbors(1), BatchNorm(8)
    rows, kernel = torch.randn(len(coord), 8, requires_grad=True), torch.randn(27, 8, 8, requires_grad=True)
    found = []
    for name in ENGINES:
        y = normed_convolve(norm, rows, kernel, pairs, name)
        found.append([y.detach(), *torch.autograd.grad(y.square().sum(), (rows, kernel))])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert_close(b, a, 1e-4)


def test_auto_goes_by_device_and_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_triton", lambda: None)
    monkeypatch.setattr(engine.proof, "fault", lambda *_: None)
    assert engine.engine_name("auto", CPU, torch.float32) == "fused"
    assert engine.engine_name("auto", CPU, torch.bfloat16) == "loop"
    assert engine.engine_name("auto", CUDA, torch.bfloat16) == "grouped"
    assert engine.engine_name("loop", CUDA, torch.bfloat16) == "loop"
    with pytest.raises(ValueError, match="pip install triton"):
        Own(engine="triton")
    kernels = SimpleNamespace(DTYPES=(torch.float32, torch.bfloat16), usable=lambda device: device.type == "cuda")
    monkeypatch.setattr(engine, "_triton", lambda: kernels)
    assert engine.engine_name("auto", CPU, torch.float32) == "fused"
    assert engine.engine_name("auto", CUDA, torch.float32) == "triton"
    assert engine.engine_name("auto", CUDA, torch.float64) == "grouped"
    assert engine.engine_for("triton", CUDA, torch.float32) is kernels
    with pytest.raises(ValueError, match=r"sparse\.engine=auto"):
        engine.engine_for("triton", CPU, torch.float32)
    kernels.usable = lambda device: False
    assert engine.engine_name("auto", CUDA, torch.float32) == "grouped"


def test_wrong_choices_name_the_option() -> None:
    with pytest.raises(ValueError, match=r"sparse\.engine='fast' is not one of auto, loop, fused, grouped, triton"):
        MinkUNet(6, 5, engine="fast")
    with pytest.raises(ValueError, match=r"sparse\.engine='fast'"):
        convolve(torch.zeros(0, 3), torch.zeros(27, 3, 3), Geometry(torch.zeros(0, 4, dtype=torch.int32)).neighbors(1), "fast")
    with pytest.raises(ValueError, match=r"net\.backend=spconv convolves"):
        backend_of("spconv", "grouped")
    assert engine_of(backend_of("al3d", "grouped")) == "grouped"


#: What makes the host wait for a GPU: operators whose result has a size or a value that the host must know.
WAITING = ("_local_scalar_dense", "nonzero", "unique", "_unique", "masked_select", "bincount", "repeat_interleave", "is_nonzero", "equal", "_assert_async")
#: The same as they are called from Python: on a CPU some of them never reach an operator.
CALLED = ("item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__", "__index__", "nonzero", "unique", "argwhere", "bincount", "allclose")


def waits_for_host(func: Any, args: Any) -> bool:
    """Whether an operator makes the host wait; boolean masks as an index do."""
    name = func.overloadpacket.__name__
    if name in ("index", "index_put", "index_put_") and any(isinstance(i, Tensor) and i.dtype in (torch.bool, torch.uint8) for i in args[1]):
        return True
    return any(name.startswith(word) for word in WAITING) and name != "nonzero_static"


class NoWaitingOperators(TorchDispatchMode):
    """Fails on an operator that makes the host wait."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if waits_for_host(func, args):
            raise AssertionError(f"{func} makes the host wait")
        return func(*args, **(kwargs or {}))


class NoWaitingCalls(TorchFunctionMode):
    """Fails on a call by which Python learns what is in a tensor."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in CALLED:
            raise AssertionError(f"{func.__name__} makes the host wait")
        return func(*args, **(kwargs or {}))


@contextmanager
def no_waiting() -> Iterator[None]:
    with NoWaitingCalls(), NoWaitingOperators():
        yield


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: x.tolist(),
        lambda x: bool((x > 0).all()),
        lambda x: x[x > 0],
        lambda x: (x > 0).nonzero(),
        lambda x: x.unique(),
        lambda x: int(x[0]),
        lambda x: torch.bincount(x.long()),
        lambda x: x.repeat_interleave(x.long()),
        lambda x: torch.equal(x, x),
    ],
)
def test_waiting_is_noticed(wait: Callable[[Tensor], object]) -> None:
    with pytest.raises(AssertionError, match="makes the host wait"), no_waiting():
        wait(torch.ones(3))


@pytest.mark.parametrize("name", ["loop", "grouped"])
@pytest.mark.parametrize("kind", [MinkUNet, SPVCNN])
@pytest.mark.parametrize("half", [False, True])
def test_a_pass_over_a_geometry_waits_for_nothing(kind: Callable[..., nn.Module], name: str, half: bool) -> None:
    """Forward and backward, shuffled input."""
    coord = voxels(2, 0.2)
    coord = coord[torch.randperm(len(coord), generator=torch.Generator().manual_seed(0))]
    net, feat = kind(6, 5, width=0.1, engine=name), torch.randn(len(coord), 6)
    geometry = net.geometry(coord)
    with no_waiting(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        out = net(geometry, feat)
        out.logits.sum().backward()
    assert torch.equal(net.eval()(geometry, feat).logits, net(coord, feat).logits)


def test_building_waits_a_few_times_per_stride(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the way of an accelerator: for ranges and order of the coordinates, for neighbours at five strides, for sizes and places of four steps."""
    waits: list[str] = []

    class Operators(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            waits.extend([func.overloadpacket.__name__] if waits_for_host(func, args) else [])
            return func(*args, **(kwargs or {}))

    class Calls(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            waits.extend(["tolist"] if getattr(func, "__name__", "") == "tolist" else [])
            return func(*args, **(kwargs or {}))

    monkeypatch.setattr(maps, "_matches", maps._together)
    net, coord = MinkUNet(6, 5, width=0.1, engine="grouped"), voxels(2, 0.2)
    with Calls(), Operators():
        net.geometry(coord)
    assert sorted(waits) == ["_local_scalar_dense"] + 4 * ["_unique2"] + (1 + 5 + 4) * ["tolist"]


def test_geometry_holds_what_a_network_asks_for() -> None:
    coord = voxels(2, 0.2)
    for kind in (MinkUNet, SPVCNN):
        net = kind(6, 5, width=0.1)
        geometry = net.geometry(coord)
        before = (set(geometry._maps), set(geometry._means), set(geometry._trilinears))
        net(geometry, torch.randn(len(coord), 6))
        assert before == (set(geometry._maps), set(geometry._means), set(geometry._trilinears))


def resident(field: str) -> float:
    """MiB of this process, "VmRSS" now or "VmHWM" at most."""
    return next(int(line.split()[1]) / 1024 for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))


@pytest.mark.slow
def test_two_million_voxels() -> None:
    """Rows drawn at random and the whole gradient of the kernel against sums in float64, in memory that does not grow with the products of all pairs."""
    coord = two_million()
    assert len(coord) == 1 << 21
    pairs = Geometry(coord).neighbors(1)
    draw = torch.Generator().manual_seed(0)
    rows = torch.randint(len(coord), (5000,), generator=draw)
    feat, grad = (torch.randn(len(coord), 8, generator=draw) for _ in range(2))
    kernel = torch.randn(27, 8, 8, generator=draw)
    met = pairs.table[rows].long()
    padded, padded_grad = (torch.cat([rows, rows.new_zeros(1, 8)])[met].double() for rows in (feat, grad))  # row -1: no voxel there
    expected = torch.einsum("rki,kio->ro", padded, kernel.double())
    # the map is its own mirror: along it go the gradients too
    expected_feat = torch.einsum("rko,kio->ri", padded_grad, kernel.flip(0).double())
    sides = zip(*pairs.every_pair(), strict=True)
    expected_kernel = torch.stack([feat[source].double().t() @ grad[target].double() for source, target in sides])
    every = sum(len(side) for side in pairs.every_pair()[0])
    for name in DOUBLE_ENGINES:
        engine.prepare(pairs, name)
        leaves = feat.clone().requires_grad_(), kernel.clone().requires_grad_()
        clear = Path("/proc/self/clear_refs")
        if clear.exists():
            clear.write_text("5")
            before = resident("VmRSS")
        out = convolve(*leaves, pairs, name)
        found = out.detach(), *torch.autograd.grad(out, leaves, grad)
        if clear.exists():
            assert resident("VmHWM") - before < 0.5 * every * (8 + 8) * 4 / 2**20
        assert_close(found[0][rows].double(), expected, 1e-6)
        assert_close(found[1][rows].double(), expected_feat, 1e-6)
        # two million terms one after the other in float32, where channels are few
        assert_close(found[2].double(), expected_kernel, 1e-4)
