"""The GPU benchmark: what it counts, what it says, and its smallest cell on a CPU."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from al3d.nets.blocks import widths
from al3d.progress import console
from al3d.sparse import Geometry

PATH = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu.py"


@pytest.fixture(scope="module")
def gpu():
    return runpy.run_path(str(PATH))


def test_a_convolution_counts_pairs_rows_and_kernel(gpu):
    count = gpu["Count"]()
    count.add(100, (27, 8, 16), 30, 30, needs_input_gradient=True)
    assert count.forward == 2 * 100 * 8 * 16
    assert count.training == 3 * count.forward
    assert count.bytes(False, 4) == 4 * (30 * 8 + 30 * 16 + 27 * 8 * 16) + 8 * 100
    assert count.bytes(True, 2) == 3 * (2 * (30 * 8 + 30 * 16 + 27 * 8 * 16) + 8 * 100)
    first = gpu["Count"]()
    first.add(100, (27, 8, 16), 30, 30, needs_input_gradient=False)
    assert first.training == 2 * first.forward, "the input of a network needs no gradient"


def _closed_form(cs: tuple[int, ...], levels: list[int], pairs: list[int], channels: int, classes: int) -> int:
    """Multiply-adds of a MinkUNet's forward pass: `levels` rows and `pairs` of a 3x3x3 convolution at each stride."""
    total = pairs[0] * (channels * cs[0] + cs[0] ** 2)

    def residual(level: int, inputs: int, outputs: int) -> int:
        return pairs[level] * (inputs * outputs + outputs**2) + (levels[level] * inputs * outputs if inputs != outputs else 0)

    for i in range(4):
        total += levels[i] * cs[i] ** 2 + residual(i + 1, cs[i], cs[i + 1]) + residual(i + 1, cs[i + 1], cs[i + 1])
        level = 3 - i
        total += levels[level] * cs[i + 4] * cs[i + 5] + residual(level, cs[i + 5] + cs[level], cs[i + 5]) + residual(level, cs[i + 5], cs[i + 5])
    return total + levels[0] * cs[8] * classes


def test_a_full_cube_counts_as_its_closed_form(gpu):
    side, width = 16, 0.1
    coord = torch.from_numpy(np.indices((1, side, side, side)).reshape(4, -1).T.copy()).int()
    sides = [side >> level for level in range(5)]
    count = gpu["count"]("minkunet", coord, width)
    expected = _closed_form(widths(width), [n**3 for n in sides], [(3 * n - 2) ** 3 for n in sides], gpu["CHANNELS"], gpu["CLASSES"])
    assert count.forward == 2 * expected
    assert 2.9 * count.forward < count.training < 3 * count.forward
    assert count.layers == 49 + 1, "49 convolutions, those of one offset among them, and the classifier"
    more = gpu["count"]("spvcnn", coord, width)
    cs = widths(width)
    assert more.forward - count.forward == 2 * side**3 * sum(cs[i] * cs[o] for i, o in ((0, 4), (4, 6), (6, 8)))


def test_the_least_time_is_that_of_the_slower_of_products_and_bytes(gpu):
    count = gpu["Count"]()
    count.add(10**6, (27, 100, 100), 10**5, 10**5, needs_input_gradient=True)
    card = gpu["Card"](fp32=1, tf32=0, bf16=1000, bandwidth=100)
    assert count.least_seconds(card, "fp32", training=False) == pytest.approx(2e10 / 1e12)
    assert count.least_seconds(card, "bf16", training=False) == pytest.approx((2 * (2e7 + 27e4) + 8e6) / 100e9)
    assert np.isnan(count.least_seconds(card, "tf32", training=True))


def test_cards_are_known_by_their_longest_name(gpu):
    assert gpu["card_of"]("NVIDIA A100-SXM4-80GB").bandwidth == 2039
    assert gpu["card_of"]("NVIDIA H100 80GB HBM3").bf16 == 989
    assert gpu["card_of"]("NVIDIA H200").bandwidth == 4800
    assert gpu["card_of"]("NVIDIA GeForce RTX 3090 Ti") is None
    assert gpu["card_of"]("A card of tomorrow") is None


def test_scenes_have_the_voxels_asked_for(gpu):
    scan = gpu["scan"](20_000)
    assert scan.shape == (20_000, 4) and len(np.unique(scan, axis=0)) == 20_000
    assert len(Geometry(torch.from_numpy(scan))) == 20_000
    assert gpu["rooms"](3000).shape == (3000, 4)


@pytest.mark.parametrize(
    ("code", "stderr", "told"),
    [
        (1, "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", "out of memory"),
        (-9, "", "out of memory"),
        (1, "RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory: you tried", "out of memory"),
        (1, "Traceback\nValueError: sparse.engine=triton runs on GPUs from compute capability 8.0 on, not on cpu", "not here"),
        (1, "Traceback\nImportError: net.backend=spconv needs the Python package spconv.pytorch", "not here"),
        (1, "Traceback\nRuntimeError: a bug", "failed: RuntimeError: a bug"),
    ],
)
def test_a_cell_without_figures_says_why(gpu, code, stderr, told):
    assert gpu["outcome"](code, "", stderr) == told


def test_a_line_compares_with_the_reference_and_the_limit(gpu):
    cell = gpu["Cell"]("minkunet", "10", "fp32", "loop", "cuda", 1.0, 1, 1, "")
    figures = {"step": 0.2, "inference": 0.1, "step_peak": 300.0, "inference_peak": 30.0, "queued": 0.05, "tiny": 0.04, "launches": 500.0}
    count = gpu["Count"]()
    count.add(10**6, (27, 100, 100), 10**5, 10**5, needs_input_gradient=True)
    card = gpu["Card"](1, 1, 1, 1e6)
    words = [word.strip() for word in gpu["row"](cell, figures, count, card, {"step": 0.1}).split("|")]
    assert words[-2:] == ["0.300", "0.50"] and words[4:6] == ["200.0", "100.0"]
    assert gpu["row"](cell, "out of memory", count, card, None).endswith("| out of memory")
    assert [word.strip() for word in gpu["row"](cell, figures, count, None, "failed").split("|")][-2:] == ["-", "-"]


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("aten::index_add_", "add rows"),
        ("aten::index_select", "gather rows"),
        ("aten::addmm", "products"),
        ("aten::add_", "copy, fill, add"),
        ("aten::mkldnn_convolution", "products"),
        ("aten::convolution_backward", "products"),
        ("_ConvolutionBackward", "Python and the rest"),
        ("aten::searchsorted", "maps"),
    ],
)
def test_operators_belong_to_parts(gpu, name, part):
    assert gpu["part_of"](name) == part


def test_without_a_gpu_it_says_so_in_a_line(gpu, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with console.capture() as printed:
        assert gpu["main"]([]) == 0
    assert printed.get().count("\n") == 1 and "not measured" in printed.get()


@pytest.mark.slow
def test_the_smallest_cell_on_a_cpu(gpu):
    small = [
        "--device",
        "cpu",
        "--voxels",
        "3000",
        "--width",
        "0.1",
        "--nets",
        "minkunet",
        "--engines",
        "loop",
        "grouped",
        "triton",
        "--steps",
        "1",
        "--no-scan",
    ]
    with console.capture() as printed:
        assert gpu["main"](small) == 0
    lines = [[word.strip() for word in line.split("|")] for line in printed.get().splitlines() if line.startswith("minkunet |")]
    assert [line[3] for line in lines] == ["loop", "grouped", "triton"]
    assert all(0 < float(line[4]) < 1e5 and float(line[5]) > 0 for line in lines[:2])
    assert lines[0][-1] == "1.00" and lines[2][4] == "not here"


@pytest.mark.slow
def test_the_picture(gpu, tmp_path):
    path = tmp_path / "deep" / "profile.png"
    with console.capture() as printed:
        assert gpu["main"](["--device", "cpu", "--voxels", "3000", "--width", "0.1", "--nets", "minkunet", "--engines", "loop", "--profile", str(path)]) == 0
    assert path.stat().st_size > 10_000
    assert "products" in printed.get()
