"""The engines on a GPU, where there is one. On the CPU a few of the same checks run, so that the checks themselves are known to work."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from al3d.nets import SPVCNN, MinkUNet
from al3d.sparse import engine

from . import gpu_checks

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
DEVICES = ["cpu", pytest.param("cuda", marks=needs_gpu)]


def skip_without(name: str, device: str) -> None:
    """Skips the calling test where the engine does not run."""
    try:
        engine.engine_for(name, torch.device(device), torch.float32)
    except ValueError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", gpu_checks.NAMES)
@pytest.mark.parametrize("kind", gpu_checks.TOLERANCE)
def test_convolutions_are_those_of_float64_on_a_cpu(device: str, name: str, kind: str) -> None:
    skip_without(name, device)
    gpu_checks.convolutions(device, name, kind)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", gpu_checks.NAMES)
@pytest.mark.parametrize("kind", [MinkUNet, SPVCNN])
def test_a_step_has_the_same_bits_again_and_waits_for_nothing(device: str, name: str, kind: Callable[..., nn.Module]) -> None:
    skip_without(name, device)
    gpu_checks.same_step(device, name, kind)


@needs_gpu
@pytest.mark.slow
@pytest.mark.parametrize("name", gpu_checks.NAMES)
def test_two_million_voxels(name: str) -> None:
    skip_without(name, "cuda")
    gpu_checks.two_million_voxels(name)
