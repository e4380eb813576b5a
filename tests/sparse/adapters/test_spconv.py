"""spconv gives what al3d's own engine gives: values, gradients, networks, a training."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from al3d.nets.minkunet import MinkUNet
from al3d.nets.spvcnn import SPVCNN
from al3d.sparse import Conv3d, Geometry, SparseTensor
from al3d.sparse.backend import Kernel, backend_of

from .twins import SHAPES, WIDE, both, check_convolution, check_network, skip_without, voxels

REPOSITORY = Path(__file__).resolve().parents[3]
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))]


@pytest.fixture(autouse=True)
def _installed():
    skip_without("spconv.pytorch")


@pytest.mark.parametrize(("shape", "stride"), [*SHAPES, *WIDE])
def test_convolutions_on_a_cpu(shape, stride):
    check_convolution("spconv", voxels(1), shape, stride, torch.float64, 1e-12)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("shape", "stride"), [*SHAPES, *WIDE])
def test_convolutions_on_a_gpu(shape, stride):
    check_convolution("spconv", voxels(1, device="cuda"), shape, stride, torch.float32, 1e-4)


def test_maps_are_built_once_for_a_convolution_and_its_transpose():
    geometry = Geometry(voxels(2), backend_of("spconv"))
    backend, feat = geometry.backend, torch.randn(len(geometry), 3)
    for _ in range(2):
        coarse = backend.convolve(feat, torch.randn(8, 3, 4), geometry, 1, Kernel(2, 2))
        backend.convolve(coarse, torch.randn(8, 4, 3), geometry, 2, Kernel(2, 2, transposed=True))
        backend.convolve(feat, torch.randn(27, 3, 4), geometry, 1, Kernel(3))
    assert sorted(key[2].size for key in geometry.kept) == [2, 3]


@pytest.mark.parametrize("points", [0, 1])
def test_no_voxel_and_one_voxel(points):
    coord = torch.tensor([[0, -3, 5, 7]], dtype=torch.int32)[:points]
    for shape, stride in SHAPES:
        ours, theirs = both("spconv", coord, shape, stride, torch.float64)
        for a, b in zip(ours, theirs, strict=True):
            assert a.shape == b.shape and torch.allclose(a, b, rtol=1e-12, atol=0)


def test_products_of_half_the_bits_stay_in_float32():
    geometry = Geometry(voxels(3), backend_of("spconv"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = geometry.backend.convolve(torch.ones(len(geometry), 4), torch.ones(27, 4, 2), geometry, 1, Kernel(3))
    assert value.dtype == torch.float32
    assert torch.equal(value, value.round()), "sums of ones are whole numbers up to 108, which bfloat16 keeps, and float32 too"


def test_more_cells_than_spconv_can_number_are_refused():
    far = torch.tensor([[0, -30_000, 0, 0], [0, 30_000, 300, 300]], dtype=torch.int32)
    x = SparseTensor.build(far, torch.ones(2, 4), backend_of("spconv"))
    with pytest.raises(ValueError, match=r"1 scenes of 60001 x 301 x 301 voxels.*rounds.batch"):
        Conv3d(4, 4)(x)


def test_a_kernel_with_other_voxels_is_refused():
    geometry = Geometry(voxels(4), backend_of("spconv"))
    with pytest.raises(ValueError, match="net.backend=spconv has no convolution like"):
        geometry.backend.convolve(torch.ones(len(geometry), 2), torch.ones(27, 2, 2), geometry, 1, Kernel(3, 2))


def test_a_network_can_be_copied():
    assert copy.deepcopy(MinkUNet(3, 2, 0.1, backend="spconv")).backend == backend_of("spconv")


@pytest.mark.slow
@pytest.mark.parametrize("kind", [MinkUNet, SPVCNN])
@pytest.mark.parametrize("device", DEVICES)
def test_networks(kind, device):
    dtype, tolerance = (torch.float64, 1e-10) if device == "cpu" else (torch.float32, 1e-3)
    check_network("spconv", kind, dtype, tolerance, device)


@pytest.mark.slow
def test_networks_in_float32():
    check_network("spconv", SPVCNN, torch.float32, 2e-4)


@pytest.mark.slow
def test_a_training_ends(tmp_path):
    options = ("experiment=demo", "dataset.source.rooms=8", "dataset.source.points=4000", "net.width=0.125", "rounds.n=1", "rounds.steps=2")
    options += ("rounds.epochs=null", "trainer.threads=1", "net.backend=spconv", f"paths.data={tmp_path / 'data'}", f"paths.outputs={tmp_path / 'outputs'}")
    done = subprocess.run(
        [sys.executable, "train.py", *options], cwd=REPOSITORY, capture_output=True, text=True, timeout=600, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert list((tmp_path / "outputs").rglob("round-00/metrics.json"))
