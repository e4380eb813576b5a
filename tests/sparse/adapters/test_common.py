"""What the adapters share, without any of the libraries."""

from __future__ import annotations

import sys

import pytest
import torch

from al3d.nets.public_names import in_our_order
from al3d.sparse import Geometry
from al3d.sparse.adapters.common import check_shape, forward_shape, inverse, library, nothing, order_of, product_types, upright, x_fastest
from al3d.sparse.backend import ADAPTERS, Kernel, backend_of
from al3d.sparse.keys import kernel_offsets

PACKAGES = {"spconv": "spconv.pytorch", "torchsparse": "torchsparse", "minkowski": "MinkowskiEngine"}


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_absent_library_is_named_with_what_to_install(name, monkeypatch):
    monkeypatch.setitem(sys.modules, PACKAGES[name], None)
    with pytest.raises(ImportError, match=f"net.backend={name} needs the Python package {PACKAGES[name]}.*(install|build).*net.backend=al3d"):
        backend_of(name)


def test_a_present_library_is_returned():
    assert library("math", "x", "").sqrt(4) == 2


@pytest.mark.parametrize("size", [2, 3])
def test_x_fastest_is_the_order_of_published_kernels(size):
    ours = kernel_offsets(size)
    numbers = torch.tensor(ours, dtype=torch.float64).reshape(len(ours), 1, 3)
    theirs = [tuple(int(value) for value in row) for row in x_fastest(numbers, size)[:, 0]]
    assert theirs == sorted(ours, key=lambda offset: offset[::-1])
    assert torch.equal(x_fastest(x_fastest(numbers, size), size), numbers)
    kernel = torch.randn(size**3, 2, 4)
    assert torch.equal(in_our_order(x_fastest(kernel, size), "minkowski"), kernel)


def test_the_gradient_of_x_fastest_goes_back_to_its_offset():
    kernel, grad = torch.randn(27, 1, 2, requires_grad=True), torch.randn(27, 1, 2)
    assert torch.equal(torch.autograd.grad(x_fastest(kernel, 3), kernel, grad)[0], x_fastest(grad, 3))


def test_order_of_matches_voxels_by_key():
    coord = torch.unique(torch.randint(-9, 9, (300, 4), generator=torch.Generator().manual_seed(3)).abs_().sub_(torch.tensor([0, 5, 5, 5])), dim=0)
    ours = Geometry(coord).coord(1)
    assert order_of(ours, ours, "x") is None
    theirs = ours[torch.randperm(len(ours), generator=torch.Generator().manual_seed(4))]
    order = order_of(theirs, ours, "x")
    assert order is not None
    assert torch.equal(theirs[order], ours)
    assert torch.equal(ours[inverse(order)], theirs)
    with pytest.raises(ValueError, match=f"net.backend=x made {len(ours) - 1} voxels where al3d has {len(ours)}"):
        order_of(theirs[1:], ours, "x")
    other = theirs.clone()
    other[0, 1] += 100
    with pytest.raises(ValueError, match="or others"):
        order_of(other, ours, "x")


EVERYWHERE = [Kernel(3), Kernel(5), Kernel(3, transposed=True), Kernel(3, dilation=2), Kernel(2, 2), Kernel(2, 2, transposed=True)]


@pytest.mark.parametrize("shape", EVERYWHERE)
def test_shapes_that_all_libraries_do_alike(shape):
    check_shape("x", shape)
    assert forward_shape(shape) == Kernel(shape.size, shape.step, shape.dilation)


@pytest.mark.parametrize("shape", [Kernel(3, 2), Kernel(5, 2, dilation=2), Kernel(3, 2, transposed=True)])
def test_overlapping_strides_are_refused_unless_the_library_does_them_alike(shape):
    check_shape("x", shape, overlapping=True)
    with pytest.raises(ValueError, match="net.backend=x has no convolution like Kernel"):
        check_shape("x", shape)


def test_dilation_is_refused_where_the_library_lacks_it():
    with pytest.raises(ValueError, match="dilation=2"):
        check_shape("x", Kernel(3, dilation=2), dilated=False)


def test_a_transposed_convolution_of_step_one_is_one_with_its_kernel_turned_round():
    coord = torch.unique(torch.randint(0, 5, (60, 4), generator=torch.Generator().manual_seed(1)), dim=0)
    geometry = Geometry(coord)
    draw = torch.Generator().manual_seed(2)
    feat, kernel = torch.randn(len(coord), 2, generator=draw, dtype=torch.float64), torch.randn(27, 2, 3, generator=draw, dtype=torch.float64)
    shape, turned = upright(Kernel(3, transposed=True), kernel)
    assert shape == Kernel(3)
    direct = geometry.backend.convolve(feat, kernel, geometry, 1, Kernel(3, transposed=True))
    assert torch.allclose(geometry.backend.convolve(feat, turned, geometry, 1, shape), direct, rtol=1e-12, atol=1e-12)
    assert upright(Kernel(2, 2, transposed=True), kernel) == (Kernel(2, 2, transposed=True), kernel)


def test_nothing_stays_in_the_graph():
    feat, kernel = torch.zeros(0, 4, requires_grad=True), torch.randn(27, 4, 5, requires_grad=True)
    result = nothing(feat, kernel)
    result.sum().backward()
    assert result.shape == (0, 5) and feat.grad is not None and kernel.grad is not None and not kernel.grad.any()


def test_products_follow_autocast_only_where_the_library_can():
    feat, kernel = torch.zeros(2, 3), torch.zeros(27, 3, 4)
    with product_types(feat, kernel, (torch.bfloat16,)) as (rows, weight):
        assert rows.dtype == weight.dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for half, expected in (((torch.bfloat16,), torch.bfloat16), ((torch.float16,), torch.float32)):
            with product_types(feat, kernel, half) as (rows, weight):
                assert rows.dtype == weight.dtype == expected
                assert not torch.is_autocast_enabled("cpu")
            assert torch.is_autocast_enabled("cpu")
