"""Keys, coordinate maps and point maps against slow twins."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from al3d.sparse import LIMIT, BatchNorm, Geometry, KernelMap, Linear, SparseTensor, maps
from al3d.sparse.backend import Kernel
from al3d.sparse.keys import BATCH_LIMIT, decode, double, encode, halve, kernel_offsets, octant
from al3d.sparse.maps import in_blocks

from .test_convolution import voxels

AXIS = st.integers(-LIMIT, LIMIT)
ROWS = st.lists(st.tuples(st.integers(0, BATCH_LIMIT), AXIS, AXIS, AXIS), min_size=1, max_size=20)
NEAR = st.integers(-5, 5)
CLUSTER = st.sets(st.tuples(st.integers(0, 1), NEAR, NEAR, NEAR), min_size=1, max_size=60)


def as_coord(rows: object) -> Tensor:
    return torch.tensor(list(rows), dtype=torch.int32)  # type: ignore[call-overload]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(rows=ROWS)
def test_keys_decode_and_sort_like_coordinates(rows: list[tuple[int, int, int, int]]) -> None:
    keys = encode(as_coord(rows))
    assert torch.equal(decode(keys), as_coord(rows))
    assert decode(keys.sort().values).tolist() == [list(row) for row in sorted(rows)]
    parents = [[batch, *(axis // 2 for axis in xyz)] for batch, *xyz in rows]
    assert decode(halve(keys)).tolist() == parents
    assert torch.equal(double(halve(keys)) + keys.new_tensor([((x % 2) << 32) + ((y % 2) << 16) + z % 2 for _, x, y, z in rows]), keys)
    assert octant(keys).tolist() == [4 * (x % 2) + 2 * (y % 2) + z % 2 for _, x, y, z in rows]


@pytest.mark.parametrize("row", [(0, LIMIT + 1, 0, 0), (0, 0, -LIMIT - 1, 0), (0, 0, 0, 1 << 20), (-1, 0, 0, 0), (BATCH_LIMIT + 1, 0, 0, 0)])
def test_out_of_range_raises(row: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="keys hold"):
        Geometry(as_coord([row, (0, 0, 0, 0)]))


def test_malformed_input_raises() -> None:
    with pytest.raises(ValueError, match=r"\[V,4\]"):
        Geometry(torch.zeros(3, 3, dtype=torch.int32))
    with pytest.raises(ValueError, match=r"\[V,4\]"):
        Geometry(torch.zeros(3, 4))
    with pytest.raises(ValueError, match=r"\(0, 1, 2, 3\) is given more than once \(1 rows"):
        Geometry(as_coord([(0, 1, 2, 3), (0, 0, 0, 0), (0, 1, 2, 3)]))
    with pytest.raises(ValueError, match="features"):
        SparseTensor.build(as_coord([(0, 0, 0, 0)]), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="powers of two"):
        Geometry(as_coord([(0, 0, 0, 0)])).down(3)


def pairs_of(rows_in: list[list[int]], rows_out: list[list[int]], offset: tuple[int, int, int], step: int) -> set[tuple[int, int]]:
    """The twin: every pair of rows whose coordinates differ by `offset` once the output's are scaled by `step`."""
    return {
        (i, o)
        for i, o in itertools.product(range(len(rows_in)), range(len(rows_out)))
        if rows_in[i] == [rows_out[o][0], *(step * c + d for c, d in zip(rows_out[o][1:], offset, strict=True))]
    }


@settings(max_examples=15, deadline=None, derandomize=True)
@given(rows=CLUSTER)
def test_maps_equal_a_search_over_all_pairs(rows: set[tuple[int, int, int, int]]) -> None:
    geometry = Geometry(as_coord(rows))
    fine, coarse = geometry.coord(1).tolist(), geometry.coord(2).tolist()
    assert coarse == [list(row) for row in sorted({(b, x // 2, y // 2, z // 2) for b, x, y, z in rows})]
    for shape in (Kernel(3), Kernel(2, 2)):
        assert_pairs(geometry.pairs(1, shape), shape, fine, fine if shape.step == 1 else coarse)


@settings(max_examples=4, deadline=None, derandomize=True)
@given(rows=CLUSTER, shape=st.sampled_from([Kernel(1), Kernel(5), Kernel(3, 1, 3), Kernel(3, 2), Kernel(3, 2, 2), Kernel(5, 2)]))
def test_maps_of_every_shape_equal_a_search_over_all_pairs(rows: set[tuple[int, int, int, int]], shape: Kernel) -> None:
    geometry = Geometry(as_coord(rows))
    fine = geometry.coord(1).tolist()
    out = fine if shape.step == 1 else geometry.coord(2).tolist()
    kernel_map = geometry.pairs(1, shape)
    assert_pairs(kernel_map, shape, fine, out)
    back = geometry.pairs(shape.step, replace(shape, transposed=True))
    assert (back.rows_in, back.rows_out, back.center) == (kernel_map.rows_out, kernel_map.rows_in, kernel_map.center)
    assert back.source == kernel_map.target and back.target == kernel_map.source


def assert_pairs(kernel_map: KernelMap, shape: Kernel, fine: list[list[int]], out: list[list[int]]) -> None:
    """Pairs and table are those of the twin, and rows ascend under every offset."""
    assert (kernel_map.center is not None) == (shape.step == 1)
    for k, offset in enumerate(kernel_offsets(shape.size)):
        x, y, z = (shape.dilation * step for step in offset)
        expected = pairs_of(fine, out, (x, y, z), shape.step)
        column = kernel_map.table[:, k].tolist()
        assert {(i, o) for o, i in enumerate(column) if i >= 0} == expected
        if k == kernel_map.center:
            assert len(kernel_map.source[k]) == len(kernel_map.target[k]) == 0
            continue
        found = list(zip(kernel_map.source[k].tolist(), kernel_map.target[k].tolist(), strict=True))
        assert found == sorted(found) and set(found) == expected and len(found) == len(expected)
        assert [o for _, o in found] == sorted(o for _, o in found)


def test_looking_up_together_equals_one_by_one() -> None:
    """The way of an accelerator, which waits once, against that of a CPU."""
    keys = Geometry(as_coord({(0, x, y, (x * y) % 5) for x in range(-6, 6) for y in range(9)})).keys(1)
    queries = [keys + step for step in (0, 1, -1, 5 << 16, 1 << 40)]
    together, one_by_one = list(maps._together(keys, queries)), list(maps._one_by_one(keys, queries))
    assert len(together) == len(queries) and len(together[0][0]) == len(keys) and len(together[-1][0]) == 0
    assert all(torch.equal(a, b) for ours, theirs in zip(together, one_by_one, strict=True) for a, b in zip(ours, theirs, strict=True))
    assert list(maps._together(keys, [])) == []


def test_sorted_input_is_not_permuted() -> None:
    coord = as_coord(sorted({(0, x, y, 0) for x in range(3) for y in range(3)}))
    feat = torch.randn(9, 2)
    x = SparseTensor.build(coord, feat)
    assert x.geometry.order is None and x.feat is feat and x.in_input_order() is feat


def test_maps_are_computed_once() -> None:
    geometry = Geometry(as_coord({(0, x, y, x) for x in range(4) for y in range(4)}))
    assert geometry.neighbors(2) is geometry.neighbors(2)
    assert geometry.down(2) is geometry.down(2)
    assert geometry.mean(4) is geometry.mean(4)
    assert geometry.trilinear(4) is geometry.trilinear(4)


def slow_trilinear(fine: list[list[int]], coarse: list[list[int]], feat: Tensor, stride: int) -> Tensor:
    """The twin: eight corners per point, one by one."""
    row = {tuple(c): i for i, c in enumerate(coarse)}
    result = torch.zeros(len(fine), feat.shape[1], dtype=feat.dtype)
    for i, (batch, *xyz) in enumerate(fine):
        total = 1e-8
        for corner in itertools.product((0, 1), repeat=3):
            place = (batch, *(c // stride + d for c, d in zip(xyz, corner, strict=True)))
            parts = [(c % stride) / stride for c in xyz]
            weight = 1.0
            for part, far in zip(parts, corner, strict=True):
                weight *= part if far else 1 - part
            if place in row:
                total += weight
                result[i] += weight * feat[row[place]]
        result[i] /= total
    return result


@settings(max_examples=10, deadline=None, derandomize=True)
@given(rows=CLUSTER, stride=st.sampled_from([1, 2, 4]))
def test_point_maps_equal_their_twins(rows: set[tuple[int, int, int, int]], stride: int) -> None:
    geometry = Geometry(as_coord(rows))
    fine, coarse = geometry.coord(1).tolist(), geometry.coord(stride).tolist()
    feat = torch.randn(len(coarse), 3, dtype=torch.float64)
    torch.testing.assert_close(geometry.trilinear(stride)(feat), slow_trilinear(fine, coarse, feat, stride), rtol=1e-12, atol=1e-12)
    points = torch.randn(len(fine), 3, dtype=torch.float64)
    cells = [coarse.index([b, *(c // stride for c in xyz)]) for b, *xyz in fine]
    assert geometry.cells(stride).tolist() == cells
    means = torch.stack([points[torch.tensor(cells) == i].mean(dim=0) for i in range(len(coarse))])
    torch.testing.assert_close(geometry.mean(stride)(points), means, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["mean", "trilinear"])
def test_point_maps_pass_the_numerical_check(name: str) -> None:
    geometry = Geometry(as_coord({(0, x, y, (x * y) % 3) for x in range(-3, 3) for y in range(3)}))
    points = getattr(geometry, name)(2)
    rows = len(geometry.keys(1 if name == "mean" else 2))
    feat = torch.randn(rows, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(points, (feat,))


def test_point_maps_of_nothing() -> None:
    geometry = Geometry(torch.empty(0, 4, dtype=torch.int32))
    assert geometry.mean(2)(torch.zeros(0, 3)).shape == (0, 3)
    assert geometry.trilinear(2)(torch.zeros(0, 3)).shape == (0, 3)


def test_stride_one_interpolation_is_the_identity() -> None:
    geometry = Geometry(as_coord({(0, x, -x, 2 * x) for x in range(9)}))
    feat = torch.randn(9, 4)
    torch.testing.assert_close(geometry.trilinear(1)(feat), feat)
    assert torch.equal(geometry.mean(1)(feat), feat)


def test_batch_norm_takes_one_row_or_none() -> None:
    norm = BatchNorm(3)
    before = norm.running_mean.clone() if norm.running_mean is not None else None
    row = torch.randn(1, 3)
    torch.testing.assert_close(norm(row), row / (1 + norm.eps) ** 0.5)
    assert before is not None and norm.running_mean is not None and torch.equal(norm.running_mean, before)
    assert norm(torch.zeros(0, 3)).shape == (0, 3)
    many = torch.randn(10, 3)
    torch.testing.assert_close(norm(many), torch.nn.BatchNorm1d(3)(many))


def test_linear_equals_torch() -> None:
    ours = Linear(5, 3)
    rows = torch.randn(20, 5, requires_grad=True)
    twin = rows.detach().clone().requires_grad_()
    ours(rows).square().sum().backward()
    torch.nn.functional.linear(twin, ours.weight, ours.bias).square().sum().backward()
    assert rows.grad is not None
    torch.testing.assert_close(rows.grad, twin.grad)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_blocks_hold_the_pairs_of_their_rows(size: int) -> None:
    """Both directions of a map; put together again they are all pairs, offset by offset."""
    for pairs in (Geometry(voxels(3)).neighbors(1), Geometry(voxels(3)).down(1)):
        source, target = pairs.every_pair()
        for there, here, rows in ((source, target, pairs.rows_out), (target, source, pairs.rows_in)):
            found: list[set[tuple[int, int]]] = [set() for _ in there]
            covered = []
            for block, one, other, counts in in_blocks(there, here, rows, size):
                covered += list(range(block.start, block.stop))
                assert len(one) == len(other) == sum(counts) and block.stop - block.start <= size
                for k, (a, b) in enumerate(zip(torch.split(one, counts), torch.split(other, counts), strict=True)):
                    assert ((b >= block.start) & (b < block.stop)).all() and (b.diff() > 0).all()
                    found[k] |= set(zip(a.tolist(), b.tolist(), strict=True))
            assert covered == list(range(rows))
            assert found == [set(zip(a.tolist(), b.tolist(), strict=True)) for a, b in zip(there, here, strict=True)]
