"""Whether an engine computes right on the GPU at hand: a small convolution against sums in float64, before the first large one.

A driver or a compiler may be another one than ever was tested. The outcome is kept in a file, so that later starts cost nothing.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from al3d.files import cache_folder, write_first
from al3d.sparse import loop
from al3d.sparse.keys import encode
from al3d.sparse.maps import KernelMap, down_map, neighbor_map, strided_map

#: How far from sums in float64 an engine may be, relative to the largest value.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 4e-3}
#: The same where PyTorch may multiply float32 as TF32.
TF32 = 2e-3
#: What is convolved: voxels per side of a cube of which every third is taken, and channels.
SIDE, INPUTS, OUTPUTS = 12, 24, 40
#: What the file of an engine without fault says.
RIGHT = "right"

_found: dict[tuple[str, ...], str | None] = {}
_warned: set[tuple[str, str]] = set()


def concerns(device: torch.device) -> bool:
    """Whether engines are checked on `device`: on a GPU, for a CPU's are tested everywhere."""
    return device.type == "cuda"


def fault(name: str, engine: Any, device: torch.device, dtype: torch.dtype, folder: Path | None = None) -> str | None:
    """What is wrong with what an engine computes there in that type, None if nothing is; computed once per GPU, driver and releases, and kept in `folder`.

    Raises: torch.OutOfMemoryError, which says nothing about the engine, and ValueError when the GPU no longer answers this process.
    """
    if name == "loop":
        return None
    key = (name, str(device), str(dtype), torch.get_float32_matmul_precision())
    if key not in _found:
        words = (*key[:1], *key[2:], *place(device).values())
        file = (folder or cache_folder()) / f"convolution-{hashlib.blake2b(' '.join(words).encode(), digest_size=5).hexdigest()}.txt"
        _found[key] = _kept(file, lambda: computed_fault(engine, device, dtype))
        if _found[key] is not None and not _answers(device):
            raise ValueError(f"{said(name, str(_found[key]), device)}, and the GPU no longer answers: run the same command again, which takes another engine")
    return _found[key]


def faults() -> dict[str, str]:
    """The engines that were found wrong in this process, and how."""
    return {key[0]: fault for key, fault in _found.items() if fault is not None}


def _kept(file: Path, compute: Callable[[], str | None]) -> str | None:
    """What the file says, or what is computed and then kept there; where nothing can be written, every process computes anew."""
    text = file.read_text(encoding="utf-8").strip() if file.is_file() else ""
    if not text:
        text = compute() or RIGHT
        try:
            write_first(file, text)
        except OSError as error:
            warnings.warn(f"{file} cannot be written ({error}): every start checks the convolution anew", stacklevel=2)
    return None if text == RIGHT else text


def computed_fault(engine: Any, device: torch.device, dtype: torch.dtype) -> str | None:
    """What is wrong with an engine, found out now. Raises: as `fault`."""
    try:
        with torch.autocast(device.type, enabled=False), torch.no_grad():
            return next(filter(None, (_difference(engine, here, there, dtype) for here, there in _maps(device))), None)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a compiler, a driver: whatever they raise
        return f"fails with {type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _answers(device: torch.device) -> bool:
    """Whether the device still computes for this process: some faults of a kernel end that."""
    try:
        return float(torch.ones(2, device=device).sum()) == 2
    except RuntimeError:
        return False


def _maps(device: torch.device) -> Iterator[tuple[KernelMap, KernelMap]]:
    """The maps of a kernel of 3, of one with stride 2, of both kinds, and its transposed; on the CPU, and on `device`."""
    cube = torch.cartesian_prod(*[torch.arange(-SIDE // 2, SIDE // 2)] * 3)
    coord = torch.nn.functional.pad(cube[torch.randperm(len(cube), generator=torch.Generator().manual_seed(0))[: len(cube) // 3]], (1, 0))
    keys = encode(coord).sort().values
    yield from zip(_maps_of(keys), _maps_of(keys.to(device)), strict=True)


def _maps_of(keys: Tensor) -> tuple[KernelMap, ...]:
    coarse, down, _ = down_map(keys)
    return neighbor_map(keys), down, strided_map(keys, coarse, 3), down.transposed()


def _difference(engine: Any, here: KernelMap, there: KernelMap, dtype: torch.dtype) -> str | None:
    """How the engine's result or a gradient over `there` differs from the loop's in float64 over `here`; None within the tolerance."""
    draw, offsets = torch.Generator().manual_seed(1), len(here.source)
    shapes = ((here.rows_in, INPUTS), (offsets, INPUTS, OUTPUTS), (here.rows_out, OUTPUTS))
    values = [(torch.randn(shape, generator=draw) / shape[-1]).to(dtype) for shape in shapes]
    wanted = _everything(loop, [value.double() for value in values], here)
    device = there.source[0].device
    found = _everything(engine, [value.to(device) for value in values], there)
    fast = dtype == torch.float32 and torch.get_float32_matmul_precision() != "highest"
    for what, one, other in zip(("result", "gradient of the features", "gradient of the kernel"), found, wanted, strict=True):
        share = float((one.cpu().double() - other).abs().max() / other.abs().max())
        if not share <= (TF32 if fast else TOLERANCE[dtype]):  # NaN too
            return f"computes the {what} of {offsets} offsets wrong in {_short(dtype)}: off by {share:.1e} of the largest value"
    return None


def _everything(engine: Any, values: list[Tensor], pairs: KernelMap) -> tuple[Tensor, Tensor, Tensor]:
    feat, kernel, grad = values
    return engine.products(feat, kernel, pairs), *engine.gradients(feat, kernel, pairs, grad, (True, True))


def warn(name: str, following: str, fault: str, device: torch.device) -> None:
    """One warning per engine and device that it is not taken."""
    if (name, str(device)) not in _warned:
        _warned.add((name, str(device)))
        warnings.warn(f"{said(name, fault, device)}; {following} is tried in its place", stacklevel=2)


def said(name: str, fault: str, device: torch.device) -> str:
    """An engine's fault with all that a report of it needs."""
    return f"the {name} engine {fault} ({', '.join(' '.join(pair) for pair in place(device).items())})"


@cache
def place(device: torch.device) -> dict[str, str]:
    """What the numbers of an engine may depend on, in words: GPU, driver and releases."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {"GPU": gpu, "driver": driver(), "torch": torch.__version__, "Triton": release("triton")}


def driver() -> str:
    """The release of NVIDIA's driver, as the kernel gives it."""
    file = Path("/proc/driver/nvidia/version")
    found = re.search(r"\d+\.\d+(\.\d+)?", file.read_text(encoding="utf-8")) if file.is_file() else None
    return found.group() if found else "unknown"


def release(package: str) -> str:
    """The version of a package, "absent" without it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
