"""Say what this machine has, and what a configuration lacks here."""

from __future__ import annotations

import netrc
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import requires
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

import click

from al3d.command import Command, config_dir, examples, hydra_words, plain_errors

if TYPE_CHECKING:
    from omegaconf import DictConfig

#: Libraries that convolve in al3d's place and have no extra.
OTHERS = ("torchsparse", "MinkowskiEngine")
#: Extras that are nothing for a user.
NOT_FOR_USERS = ("dev",)


@click.command(
    cls=Command,
    epilog=examples(
        "al3d doctor", "al3d doctor dataset=folder dataset.root=/path logger=wandb trainer.accelerator=gpu"
    ),
)
@hydra_words
@config_dir
@plain_errors()
def command(words: tuple[str, ...], config_dir: Path | None) -> None:
    """Show what this machine has for the configuration that the words choose, as train's words do.

    The exit code is 1 when something that it needs is missing. The lines are what a report of a fault should hold.
    """
    from al3d.configuration import composed

    config = composed(words, config_dir)
    check_cache()
    lacking = list(missing(config))
    for name, value in facts(config):
        click.echo(f"{name:12} {value}")
    for line in lacking or ["nothing that this configuration needs"]:
        click.echo(f"{'missing':12} {line}")
    if lacking:
        sys.exit(1)


def check_cache() -> None:
    """Raises: ValueError where numba finds no folder for compiled functions, without which al3d cannot compute."""
    try:
        import al3d.sparse  # noqa: F401
    except RuntimeError as error:
        raise ValueError(
            f"numba finds no folder to keep compiled functions in ({error}): set NUMBA_CACHE_DIR"
        ) from error


def facts(config: DictConfig) -> Iterator[tuple[str, str]]:
    """What a report of a fault should say of the machine, a line each."""
    from al3d.sparse.proof import release

    yield "al3d", f"{release('al3d')}, Python {platform.python_version()}, {platform.platform()}"
    yield from computing()
    yield from engines()
    yield from libraries()
    yield from machine(config)


def computing() -> Iterator[tuple[str, str]]:
    """PyTorch, and the GPUs that it finds."""
    import torch

    from al3d.sparse.proof import driver, release

    cuda = torch.version.cuda or "none: a build for CPUs"
    yield "torch", f"{torch.__version__}, CUDA {cuda}, driver {driver()}, Triton {release('triton')}"
    gpus = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    yield (
        "GPU",
        "; ".join(f"{gpu.name}, {gib(gpu.total_memory)}, compute capability {gpu.major}.{gpu.minor}" for gpu in gpus)
        or "none found",
    )


def engines() -> Iterator[tuple[str, str]]:
    """al3d's engines of convolution, and what the check found of those on a GPU."""
    import torch

    from al3d.sparse.engine import engines_on_gpu, fault_of

    if not torch.cuda.is_available():
        yield "engines", "fused, loop on the CPU; those of a GPU are not checked without one"
        return
    device, types = torch.device("cuda"), (torch.float32, torch.bfloat16, torch.float16)
    for name in engines_on_gpu(device):
        faults = [fault for dtype in types if (fault := fault_of(name, device, dtype)) is not None]
        yield f"  {name}", "; ".join(faults) or "right on this GPU in float32, bfloat16 and float16"


def libraries() -> Iterator[tuple[str, str]]:
    """What may be installed, and how."""
    from al3d.sparse.proof import release

    for extra, packages in extras().items():
        found = {package: release(package) for package in packages}
        absent = f": pip install 'al3d[{extra}]'" if "absent" in found.values() else ""
        yield f"  {extra}", ", ".join(f"{package} {version}" for package, version in found.items()) + absent
    yield "  others", ", ".join(f"{package} {release(package)}" for package in OTHERS) + ": docs/performance.md"


def extras() -> dict[str, list[str]]:
    """The packages of each of al3d's extras, as its installation names them."""
    found: dict[str, list[str]] = {}
    for line in requires("al3d") or ():
        named = re.match(r"([\w.-]+).*extra == [\"'](\w+)", line)
        if named and named[2] not in NOT_FOR_USERS:
            found.setdefault(named[2], []).append(named[1])
    return found


def machine(config: DictConfig) -> Iterator[tuple[str, str]]:
    """Processor, memory, disk, and what lies outside of al3d."""
    import numba
    import torch

    from al3d.threads import processor

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = f"threads: torch {torch.get_num_threads()}, numba {numba.get_num_threads()}"
    yield (
        "processor",
        f"{processor()}, {cores} cores, {threads}, OMP_WAIT_POLICY={os.environ.get('OMP_WAIT_POLICY', 'unset')}",
    )
    yield "memory", memory()
    for key in ("data", "outputs"):
        usage = shutil.disk_usage(existing(Path(config.paths[key])))
        yield "disk", f"paths.{key}={config.paths[key]}: {gib(usage.free)} free of {gib(usage.total)}"
    yield "W&B", "logged in" if logged_in() else "not logged in: wandb login, or logger.wandb.offline=true"
    yield "numba cache", numba_cache()


def memory() -> str:
    """Free and whole memory, as the kernel gives them."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="utf-8")
    except OSError:
        return "unknown"
    found = {name: 1024 * int(number) for name, number in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}
    return f"{gib(found['MemAvailable'])} available of {gib(found['MemTotal'])}"


def gib(size: int) -> str:
    """Bytes in words."""
    return f"{size / 2**30:.1f} GiB"


def existing(path: Path) -> Path:
    """The folder itself or the nearest above it that there is."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())


def logged_in() -> bool:
    """Whether W&B finds a key: in the environment, or for its host in the netrc file."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    file = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    try:
        return file.is_file() and netrc.netrc(file).authenticators(host) is not None
    except netrc.NetrcParseError:
        return False


def numba_cache() -> str:
    """Whether compiled functions can be kept: where they cannot, every start compiles them again."""
    from al3d.sparse.blas import buffer

    folder = Path(str(buffer.stats.cache_path))
    if writable(folder):
        return f"{folder}: can be written"
    return f"{folder}: cannot be written, every start compiles anew: set NUMBA_CACHE_DIR"


def writable(folder: Path) -> bool:
    """Whether a file can be made in the folder, or in the nearest above it that there is."""
    try:
        with tempfile.TemporaryFile(dir=existing(folder)):
            return True
    except OSError:
        return False


def missing(config: DictConfig) -> Iterator[str]:
    """What the configuration needs and this machine has not, in words."""
    for check in (devices, data, network, loggers, workers, places):
        try:
            check(config)
        except (ValueError, OSError, ImportError) as error:
            yield str(error)


def devices(config: DictConfig) -> None:
    """The accelerator, and as many devices as are asked for."""
    from al3d.learn.on_device import check_compute, check_devices

    check_compute(config.trainer.compute)
    check_devices(config.trainer.accelerator, config.trainer.devices)


def data(config: DictConfig) -> None:
    """The data set's files, and what seed and method are made of, whose lengths follow from them."""
    from al3d.command import unwrapped
    from al3d.identity import chosen_methods
    from al3d.main import opened

    opened(config)
    with unwrapped(ImportError):
        chosen_methods(config)


def network(config: DictConfig) -> None:
    """The library that convolves, or al3d's engine, right on the device; and the weights to start from."""
    import torch
    from hydra.utils import instantiate

    from al3d.command import unwrapped
    from al3d.compose import convolving
    from al3d.identity import is_probe

    with unwrapped(ValueError, OSError, ImportError):
        instantiate(config.start)
        if is_probe(config):
            return
        engine: dict[str, Any] = {} if config.sparse.engine == "auto" else {"engine": config.sparse.engine}
        make: Callable[..., torch.nn.Module] = instantiate(config.net)
        with torch.device("meta"):
            net = make(1, 2, **engine)
    convolving(net, config.trainer.accelerator, config.trainer.precision)


def loggers(config: DictConfig) -> None:
    """A login for W&B, where runs are sent."""
    chosen = config.logger.get("wandb")
    if (
        chosen is not None
        and not chosen.offline
        and os.environ.get("WANDB_MODE") not in ("offline", "disabled")
        and not logged_in()
    ):
        raise ValueError("a login for logger=wandb: wandb login, or logger.wandb.offline=true")


def workers(config: DictConfig) -> None:
    """dask, where it prepares."""
    from al3d.sparse.proof import release

    absent = [name for name in ("dask", "distributed") if release(name) == "absent"]
    if config.prepare.backend == "dask" and absent:
        raise ValueError(f"{' and '.join(absent)} for prepare.backend=dask: pip install 'al3d[cluster]'")


def places(config: DictConfig) -> None:
    """Folders that can be written."""
    closed = [
        f"paths.{key}={config.paths[key]}" for key in ("data", "outputs") if not writable(Path(config.paths[key]))
    ]
    if closed:
        raise ValueError(f"{' and '.join(closed)} cannot be written: choose other folders")
