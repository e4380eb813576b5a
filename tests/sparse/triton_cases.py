"""The Triton engine in Triton's interpreter against naive sums; `test_triton.py` runs this file in a process of its own."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import pytest
import torch
from torch import Tensor

# read when Triton is imported
os.environ["TRITON_INTERPRET"] = "1"

from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

from al3d.sparse import Geometry, KernelMap, convolve, triton_engine
from al3d.sparse.backend import Kernel
from al3d.sparse.triton_plan import backward_plan, forward_plan, make_plan, pair_lists
from al3d.sparse.triton_tuning import Config, candidates

#: Blocks so small that few voxels fill many of them.
SMALL = Config(16, 16, 4, 2)
KINDS = {"three": (1, Kernel(3)), "down": (1, Kernel(2, 2)), "up": (2, Kernel(2, 2, transposed=True)), "strided": (1, Kernel(3, 2)), "five": (1, Kernel(5))}
KINDS |= {"dilated": (1, Kernel(3, 1, 2)), "strided up": (2, Kernel(3, 2, 2, transposed=True))}


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_engine, "_choice", lambda *_: SMALL)
    monkeypatch.setattr(triton_engine, "_RUNS", 4)
    monkeypatch.setattr(triton_engine, "_PROGRAMS", 4)


@pytest.fixture
def exact_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products term by term: the interpreter's own leave the order of their sums to a BLAS, which goes by the size of the blocks."""

    def in_order(_: object, left: TensorHandle, right: TensorHandle, total: TensorHandle, *__: object) -> TensorHandle:
        result = total.data.copy()
        for i in range(left.data.shape[1]):
            result += left.data[:, i, None] * right.data[None, i]
        return TensorHandle(result, total.dtype.scalar)

    monkeypatch.setattr(InterpreterBuilder, "create_dot", in_order)


def geometry(seed: int = 0, size: int = 6, density: float = 0.25) -> Geometry:
    """Random voxels of two scenes; half of the coordinates are negative."""
    grid = torch.rand(2, size, size, size, generator=torch.Generator().manual_seed(seed)) < density
    coord = grid.nonzero()
    coord[:, 1:] -= size // 2
    return Geometry(coord.int())


def line(voxels: int) -> Geometry:
    return Geometry(torch.nn.functional.pad(torch.arange(voxels)[:, None], (1, 2)).int())


def pairs_of(kind: str) -> KernelMap:
    stride, shape = KINDS[kind]
    return geometry(size=4 if kind == "five" else 6).pairs(stride, shape)


def tensors(pairs: KernelMap, inputs: int, outputs: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Features, kernel and the gradient of the result."""
    draw = torch.Generator().manual_seed(inputs)
    sizes = ((pairs.rows_in, inputs), (len(pairs.source), inputs, outputs), (pairs.rows_out, outputs))
    feat, kernel, grad = (torch.randn(size, generator=draw).to(dtype) for size in sizes)
    return feat, kernel, grad


def naive(feat: Tensor, kernel: Tensor, pairs: KernelMap, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The twin: result and both gradients pair by pair in float64."""
    feat, kernel, grad = feat.double(), kernel.double(), grad.double()
    result, feat_grad, kernel_grad = torch.zeros_like(grad), torch.zeros_like(feat), torch.zeros_like(kernel)
    for k, (source, target) in enumerate(zip(pairs.source, pairs.target, strict=True)):
        met = [(i, i) for i in range(pairs.rows_in)] if k == pairs.center else zip(source.tolist(), target.tolist(), strict=True)
        for i, o in met:
            result[o] += feat[i] @ kernel[k]
            feat_grad[i] += kernel[k] @ grad[o]
            kernel_grad[k] += torch.outer(feat[i], grad[o])
    return result, feat_grad, kernel_grad


def assert_close(actual: Tensor | None, expected: Tensor, relative: float) -> None:
    assert actual is not None and actual.shape == expected.shape
    if actual.numel():
        assert float((actual.double() - expected).detach().abs().max()) <= relative * float(expected.detach().abs().max())


def everything(pairs: KernelMap, values: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    feat, kernel, grad = values
    feat_grad, kernel_grad = triton_engine.gradients(feat, kernel, pairs, grad, (True, True))
    assert feat_grad is not None and kernel_grad is not None
    return triton_engine.products(feat, kernel, pairs), feat_grad, kernel_grad


def fresh(pairs: KernelMap) -> KernelMap:
    """The same map, of which no engine knows anything."""
    return dataclasses.replace(pairs, cache={})


def check(pairs: KernelMap, inputs: int, outputs: int, dtype: torch.dtype = torch.float32) -> None:
    values = tensors(pairs, inputs, outputs, dtype)
    result, *gradients = everything(pairs, values)
    expected, *expected_gradients = naive(values[0], values[1], pairs, values[2])
    assert result.dtype == torch.float32
    assert_close(result, expected, 1e-6)
    # gradients are sums in float32 that are rounded once, to the type of what they belong to
    rounding = {torch.float32: 1e-6, torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8}[dtype]
    for gradient, twin in zip(gradients, expected_gradients, strict=True):
        assert gradient.dtype == dtype
        assert_close(gradient, twin, rounding)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("inputs", "outputs"), [(3, 13), (48, 24)])
def test_equals_naive_sums(kind: str, inputs: int, outputs: int, small_blocks: None) -> None:
    check(pairs_of(kind), inputs, outputs)


@pytest.mark.parametrize("kind", ["three", "down", "up"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_sums_in_float32(kind: str, dtype: torch.dtype, small_blocks: None) -> None:
    check(pairs_of(kind), 6, 20, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_chosen_block_sizes(dtype: torch.dtype) -> None:
    check(pairs_of("three"), 33, 70, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_kernel_of_one_voxel(dtype: torch.dtype) -> None:
    pairs = KernelMap((torch.empty(0, dtype=torch.long),), (torch.empty(0, dtype=torch.long),), 40, 40, center=0)
    feat, kernel, grad = tensors(pairs, 6, 13, dtype)
    for actual, expected in zip(everything(pairs, (feat, kernel, grad)), naive(feat, kernel, pairs, grad), strict=True):
        assert_close(actual, expected, 1e-6 if dtype == torch.float32 else 2.0**-8)
    assert not pairs.cache, "a plain product needs no plan"


@pytest.mark.parametrize("voxels", [0, 1, 127, 128, 129])
def test_numbers_of_rows_around_a_block(voxels: int) -> None:
    """On a line, 24 of the 27 offsets have no pair."""
    for pairs in (line(voxels).neighbors(1), line(voxels).down(1), line(voxels).down(1).transposed()):
        check(pairs, 3, 5)
    _, _, kernel_grad = everything(line(voxels).neighbors(1), tensors(line(voxels).neighbors(1), 3, 5))
    used = {k for k in range(27) if bool(kernel_grad[k].any())}
    assert used == ({4, 13, 22} if voxels > 1 else {13} if voxels else set())


def test_map_without_any_pair() -> None:
    none = tuple(torch.empty(0, dtype=torch.long) for _ in range(8))
    pairs = KernelMap(none, none, 5, 7)
    result, feat_grad, kernel_grad = everything(pairs, tensors(pairs, 3, 4))
    assert (result.shape, feat_grad.shape, kernel_grad.shape) == ((7, 4), (5, 3), (8, 3, 4))
    assert not result.any() and not feat_grad.any() and not kernel_grad.any()


@pytest.mark.parametrize("kind", ["three", "strided"])
def test_neither_order_nor_parts_change_a_bit(kind: str, small_blocks: None, exact_order: None) -> None:
    stride, shape = KINDS[kind]
    pairs = geometry(size=5).pairs(stride, shape)
    values = tensors(pairs, 20, 6)
    expected = everything(pairs, values)
    for parts, ordered in ((1, False), (1, True), (2, True), (3, True), (5, False)):
        other = fresh(pairs)
        other.cache["triton", "forward"] = make_plan(pairs.table.t().contiguous(), parts, ordered)
        other.cache["triton", "backward"] = make_plan(pairs.transposed().table.t().contiguous(), parts, ordered)
        assert all(torch.equal(a, b) for a, b in zip(everything(other, values), expected, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_same_bits_on_a_rerun(dtype: torch.dtype, small_blocks: None) -> None:
    values = tensors(pairs_of("three"), 20, 6, dtype)
    first, *others = [everything(pairs_of("three"), values) for _ in range(2)]
    assert all(torch.equal(a, b) for other in others for a, b in zip(other, first, strict=True))


def test_no_block_size_changes_a_bit(monkeypatch: pytest.MonkeyPatch, exact_order: None) -> None:
    """What may be tuned is no part of the order of sums."""
    pairs = geometry(size=4).neighbors(1)
    values = tensors(pairs, 40, 70)
    expected = everything(pairs, values)
    made = {config for kernel in ("products", "outer") for config in candidates(triton_engine._shape(kernel, values[0], 27, 40, 70))}
    assert len(made) > 8
    for config in made:
        monkeypatch.setattr(triton_engine, "_choice", lambda *_, config=config: config)
        result, feat_grad, kernel_grad = everything(pairs, values)
        assert torch.equal(kernel_grad, expected[2])
        if config.rows <= 128:
            assert torch.equal(result, expected[0]) and torch.equal(feat_grad, expected[1])


def test_indices_beyond_an_int32_change_nothing(monkeypatch: pytest.MonkeyPatch, small_blocks: None) -> None:
    pairs = pairs_of("three")
    values = tensors(pairs, 5, 6)
    expected = everything(pairs, values)
    monkeypatch.setattr(triton_engine, "_FAR", 1)
    assert all(torch.equal(a, b) for a, b in zip(everything(pairs, values), expected, strict=True))


def test_only_the_gradients_asked_for(small_blocks: None) -> None:
    pairs = pairs_of("down")
    feat, kernel, grad = tensors(pairs, 3, 4)
    for needed in ((True, False), (False, True), (False, False)):
        assert tuple(gradient is not None for gradient in triton_engine.gradients(feat, kernel, pairs, grad, needed)) == needed


def test_views_are_taken_as_they_are_meant(small_blocks: None) -> None:
    pairs = pairs_of("three")
    feat, kernel, grad = tensors(pairs, 6, 8)
    views = feat.t().contiguous().t(), kernel.transpose(1, 2).contiguous().transpose(1, 2), grad.t().contiguous().t()
    assert not any(view.is_contiguous() for view in views)
    assert all(torch.equal(a, b) for a, b in zip(everything(pairs, views), everything(pairs, (feat, kernel, grad)), strict=True))


def test_is_the_engine_of_that_name(small_blocks: None) -> None:
    """Through the door that layers use, in full precision and under autocast."""
    pairs = pairs_of("three")
    feat, kernel, grad = tensors(pairs, 6, 8)
    results = {}
    for engine in ("loop", "triton"):
        leaves = feat.clone().requires_grad_(), kernel.clone().requires_grad_()
        result = convolve(*leaves, pairs, engine)
        result.backward(grad)
        results[engine] = (result, leaves[0].grad, leaves[1].grad)
    for actual, expected in zip(results["triton"], results["loop"], strict=True):
        assert_close(actual, expected.double(), 1e-6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = convolve(feat, kernel, pairs, "triton")
    assert half.dtype == torch.float32 and not torch.equal(half, results["triton"][0])
    assert_close(half, results["triton"][0].double(), 2e-2)


def on_meta(value: Any) -> Any:
    """A plan whose tensors have shapes and no values."""
    if isinstance(value, Tensor):
        return value.to("meta")
    if isinstance(value, (tuple, list)):
        return type(value)(map(on_meta, value))
    if isinstance(value, dict):
        return {key: on_meta(inner) for key, inner in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(value, **{field.name: on_meta(getattr(value, field.name)) for field in dataclasses.fields(value)})
    return value


class Launches:
    """Stands in for a kernel: counts its launches and computes nothing."""

    def __init__(self) -> None:
        self.count = 0

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        assert all(isinstance(size, int) and size > 0 for size in grid)
        return self

    def __call__(self, *_: object, **__: object) -> None:
        self.count += 1


@pytest.mark.parametrize("kind", ["three", "down", "up"])
def test_waits_for_nothing_once_planned(kind: str, monkeypatch: pytest.MonkeyPatch, small_blocks: None) -> None:
    """Tensors on the meta device have no values: whoever reads one, as a host that waits for a GPU does, fails."""
    pairs = pairs_of(kind)
    triton_engine.prepare(pairs)
    values = tensors(pairs, 6, 8)
    everything(pairs, values)
    launches = {name: Launches() for name in ("products_kernel", "outer_kernel", "sum_kernel")}
    for name, stand_in in launches.items():
        monkeypatch.setattr(triton_engine.kernels, name, stand_in)
    planned = on_meta(pairs)
    shapes = [tensor.shape for tensor in everything(planned, on_meta(values))]
    assert shapes == [(pairs.rows_out, 8), (pairs.rows_in, 6), (len(pairs.source), 6, 8)]
    parts = len(forward_plan(pairs).parts) + len(backward_plan(pairs).parts)
    assert [stand_in.count for stand_in in launches.values()] == [parts, 1, 1]
    with pytest.raises((RuntimeError, NotImplementedError), match="(?i)meta"):
        everything(dataclasses.replace(planned, cache={}), on_meta(values))


def test_prepared_maps_are_planned_once(monkeypatch: pytest.MonkeyPatch, small_blocks: None) -> None:
    pairs = pairs_of("down")
    triton_engine.prepare(pairs)
    plans = forward_plan(pairs), backward_plan(pairs), pair_lists(pairs)
    everything(pairs, tensors(pairs, 3, 4))
    assert all(a is b for a, b in zip(plans, (forward_plan(pairs), backward_plan(pairs), pair_lists(pairs)), strict=True))


def test_other_types_name_the_way_out() -> None:
    pairs = pairs_of("three")
    feat, kernel, grad = tensors(pairs, 3, 4, torch.float64)
    with pytest.raises(ValueError, match="sparse.engine=loop"):
        triton_engine.products(feat, kernel, pairs)
    with pytest.raises(ValueError, match=r"torch.float32 and torch.bfloat16"):
        triton_engine.gradients(feat.float(), kernel.bfloat16(), pairs, grad, (True, True))


def test_precision_follows_pytorch() -> None:
    before = torch.get_float32_matmul_precision()
    try:
        for setting, expected in (("highest", "ieee"), ("high", "tf32")):
            torch.set_float32_matmul_precision(setting)
            assert triton_engine._precision(torch.float32) == expected
            assert triton_engine._precision(torch.bfloat16) == "ieee"
    finally:
        torch.set_float32_matmul_precision(before)


def test_runs_anywhere_in_the_interpreter() -> None:
    assert triton_engine.kernels.INTERPRETED and triton_engine.usable(torch.device("cpu"))
