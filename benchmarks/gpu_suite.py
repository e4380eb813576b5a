"""The parts of `benchmarks/gpu_suite.sh`, each a process of its own, so that one that fails or takes too long costs no other.

Shares of the card are those of its rates of copying and of multiplying matrices, measured here first.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from al3d.progress import console
from al3d.sparse import engine, proof

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests" / "sparse")]
KINDS = ("sparse", "device", "train")
#: Seconds that everything may take.
LIMIT = 9 * 60 - 15
CLASSES, VOXEL, STEPS = 13, 0.05, 100
#: Types of numbers, as the tables name them.
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Line:
    """A line of the table: what was done in which part, how it ended in words, and figures for the file."""

    part: str
    what: str
    outcome: str
    figures: dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """Where and how large."""

    device: str
    small: bool


def rates(setting: Setting) -> Iterator[Line]:
    """How fast the device copies (10^9 bytes a second, read and written) and multiplies matrices (10^12 operations a second)."""
    side, numbers = (512, 1 << 20) if setting.small else (8192, 1 << 28)
    whole = torch.empty(numbers, device=setting.device)
    other = torch.empty_like(whole)
    found = {"copy": 8 * numbers / seconds(lambda: other.copy_(whole), setting.device) / 1e9}
    for name, dtype in TYPES.items():
        left = torch.ones(side, side, device=setting.device, dtype=dtype)
        found[name] = 2 * side**3 / seconds(partial(torch.mm, left, left), setting.device) / 1e12
    yield Line("card", "rates", f"copies {found['copy']:.0f} GB/s, multiplies " + ", ".join(f"{found[name]:.2f} {name}" for name in TYPES) + " Tflop/s", found)


def seconds(run: Callable[[], object], device: str, repeats: int = 5) -> float:
    """The least time of a run, after a first one."""
    found = []
    for _ in range(1 + repeats):
        wait(device)
        start = time.perf_counter()
        run()
        wait(device)
        found.append(time.perf_counter() - start)
    return min(found[1:])


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def engines(setting: Setting) -> list[str]:
    """al3d's engines that run there."""
    found = engine.engines_on_gpu(torch.device(setting.device))
    return found if setting.device == "cuda" else ["fused", *found]


def right(setting: Setting) -> Iterator[Line]:
    """The check that a first use makes, of every engine and type."""
    for name in engines(setting):
        for kind, dtype in TYPES.items():
            if name == "fused" and dtype not in engine.fused.DTYPES:
                continue
            start = time.perf_counter()
            fault = proof.computed_fault(engine._module(name), torch.device(setting.device), dtype)
            took = time.perf_counter() - start
            yield Line("sparse", f"check {name} {kind}", "failed: " + fault if fault else f"right, {took:.2f} s", {"seconds": took})


def tests(setting: Setting) -> Iterator[Line]:
    """What the tests of the engines on a GPU check."""
    import gpu_checks

    from al3d.nets import SPVCNN, MinkUNet

    for name in [name for name in engines(setting) if name in gpu_checks.NAMES]:
        checks: list[tuple[str, Callable[[], None]]] = [(kind, partial(gpu_checks.convolutions, setting.device, name, kind)) for kind in gpu_checks.TOLERANCE]
        checks += [(f"step {net.__name__}", partial(gpu_checks.same_step, setting.device, name, net)) for net in (MinkUNet, SPVCNN)]
        checks += [] if setting.device == "cpu" else [("2^21 voxels", partial(gpu_checks.two_million_voxels, name))]
        for what, check in checks:
            yield Line("sparse", f"test {name} {what}", tried(check), {})


def tried(check: Callable[[], None]) -> str:
    """How a check ended."""
    try:
        check()
    except Exception as error:  # whatever a compiler or a driver raises
        return f"failed: {type(error).__name__} {' '.join(str(error).split())[:150]}"
    return "passes"


def training(setting: Setting) -> Iterator[Line]:
    """A training of MinkUNet by Lightning on generated rooms, as a round's."""
    import pytorch_lightning as pl

    from al3d.learn.losses import CrossEntropy
    from al3d.learn.segmenter import Segmenter
    from al3d.nets import MinkUNet

    steps, rooms, points = (3, 1, 3000) if setting.small else (STEPS, 4, 200_000)
    torch.manual_seed(0)
    batches = [room_batch(index, points) for index in range(rooms)]
    net = MinkUNet(4, CLASSES, 0.25 if setting.small else 1.0)
    module = Segmenter(net=net, classes=CLASSES, optimizer=partial(torch.optim.AdamW, lr=1e-3), loss=CrossEntropy())
    losses: list[float] = []
    module.training_step = noting(module.training_step, losses)  # type: ignore[method-assign]
    precision: Any = "bf16-mixed" if setting.device == "cuda" else "32-true"
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(accelerator="gpu" if setting.device == "cuda" else "cpu", devices=1, precision=precision, max_steps=steps, max_epochs=-1, **quiet)
    start = time.perf_counter()
    trainer.fit(module, torch.utils.data.DataLoader(batches, batch_size=None))
    wait(setting.device)
    took = time.perf_counter() - start
    figures = {"seconds": took, "steps": steps, "first_loss": losses[0], "last_loss": losses[-1], "voxels": [len(batch.coord) for batch in batches]}
    fine = bool(np.isfinite(losses).all()) and (setting.small or losses[-1] < losses[0])
    words = f"{steps} steps in {took:.1f} s ({precision}), loss {losses[0]:.3f} to {losses[-1]:.3f}"
    yield Line("train", "MinkUNet on rooms", words if fine else f"failed: {words}", figures)


def noting(step: Callable[..., Any], losses: list[float]) -> Callable[..., Any]:
    """A training step whose loss is noted."""

    def noted(batch: Any, batch_idx: int) -> Any:
        loss = step(batch, batch_idx)
        losses.append(float(loss.detach()))
        return loss

    return noted


def room_batch(index: int, points: int) -> Any:
    """A generated room as a batch: colour and height, every voxel labelled by the kind of its piece."""
    from al3d.data.batch import Batch
    from al3d.world.rooms import make_room

    kinds, cloud = make_room(1, index, points)
    names = sorted(set(kinds))
    label = np.array([names.index(kind) % CLASSES for kind in kinds])[cloud.piece]
    xyz = (cloud.xyz - cloud.xyz.min(axis=0)).astype(np.float32)
    cells, inverse = np.unique(np.floor(xyz / VOXEL).astype(np.int32), axis=0, return_inverse=True)
    first = np.unique(inverse, return_index=True)[1]
    feat = np.column_stack([cloud.color, xyz[:, 2]]).astype(np.float32)[first]
    coord = np.insert(cells, 0, 0, axis=1)
    arrays = (coord, feat, label[first].astype(np.int64), inverse.ravel())
    return Batch(*map(torch.from_numpy, arrays), index=[index], sizes=[len(coord)], weights=[1.0])


def networks(setting: Setting, path: Path) -> list[str]:
    """The command of `benchmarks/gpu.py`."""
    sizes = ["--voxels", "10000", "--width", "0.25", "--no-scan", "--steps", "1"] if setting.small else ["--types", "bf16", "--steps", "3"]
    chosen = [] if setting.device == "cpu" else ["--engines", "auto", "grouped", *(["spconv"] if there("spconv") else [])]
    return [str(HERE / "gpu.py"), "--device", setting.device, "--nets", "minkunet", *sizes, *chosen, "--json", str(path)]


def choosing(setting: Setting, path: Path) -> list[str]:
    """The command of `benchmarks/on_device.py`."""
    return [str(HERE / "on_device.py"), "--device", setting.device, "--share", "0.002" if setting.small else "0.1", "--json", str(path)]


def there(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def of_networks(line: dict[str, Any], card: dict[str, float]) -> Line:
    """A cell of `benchmarks/gpu.py`, with its share of what the card's measured rates allow."""
    what, figures = f"{line['net']} {line['voxels']} {line['type']} {line['engine']}", line["figures"]
    if isinstance(figures, str):
        return Line("sparse", what, figures, line)
    words = f"step {1e3 * figures['step']:.1f} ms, inference {1e3 * figures['inference']:.1f} ms"
    if card.get(line["type"]):
        line["share"] = max(line["operations"] / card[line["type"]] / 1e12, line["bytes"] / card["copy"] / 1e9) / figures["step"]
        words += f", {line['share']:.2f} of the card's rates"
    return Line("sparse", what, words + (f", {figures['launches']:.0f} launches" if figures["launches"] > 0 else ""), line)


def of_choosing(line: dict[str, Any], _: dict[str, float]) -> Line:
    """A case of `benchmarks/on_device.py`."""
    return Line("device", line["case"], f"NumPy {line['numpy']:.3f} s, torch {line['torch']:.3f} s, {line['agrees']}", line)


#: Parts of one function, and those that are other benchmarks: their command, and what a line of their file says.
OWN: dict[str, tuple[str, Callable[[Setting], Iterator[Line]]]] = {
    "rates": ("sparse", rates),
    "checks": ("sparse", right),
    "tests": ("sparse", tests),
    "training": ("train", training),
}
OTHERS = {"choosing": ("device", choosing, of_choosing), "networks": ("sparse", networks, of_networks)}
#: The share of the time left that a part may take: the longest comes last.
SHARES = {"rates": 0.3, "checks": 0.5, "tests": 0.5, "training": 0.5, "choosing": 0.5, "networks": 1.0}


def run(arguments: Sequence[str], limit: float) -> str:
    """Runs Python, and says in words what went wrong, if anything; at the limit it ends with all that it started."""
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            _, stderr = process.communicate(timeout=max(limit, 0.1))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return f"cut off after {limit:.0f} s"
    missing = re.search(r"No module named '(\w+)", stderr)
    if process.returncode and missing:
        return f"left out: needs {missing.group(1)}"
    last = next((line for line in reversed(stderr.splitlines()) if line.strip()), "")
    return "" if process.returncode == 0 else f"failed with exit status {process.returncode}: {last[:200]}"


def lines_of(name: str, setting: Setting, limit: float, card: dict[str, float]) -> Iterator[Line]:
    """The lines of a part, also those before it failed or was cut off."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lines"
        path.touch()
        if name in OWN:
            kind, read = OWN[name][0], lambda line, _: Line(**line)
            command = [__file__, "--part", name, "--device", setting.device, *(["--small"] if setting.small else []), "--out", str(path)]
        else:
            kind, command, read = OTHERS[name][0], OTHERS[name][1](setting, path), OTHERS[name][2]
        ended = run(command, limit)
        for line in path.read_text(encoding="utf-8").splitlines():
            yield read(json.loads(line), card)
        if ended:
            yield Line(kind, name, ended, {})


def one_part(name: str, setting: Setting, path: Path) -> None:
    """Writes the lines of a part of ours, each as soon as it is known."""
    for line in OWN[name][1](setting):
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(line)) + "\n")


def left_out(device: str) -> Iterator[Line]:
    """What this Python or machine has not."""
    if device == "cpu":
        yield Line("all", "figures of a GPU", "left out: needs a GPU; these are of the CPU", {})
    for package in ("triton", "spconv"):
        if not there(package):
            yield Line("sparse", f"engine {package}", f"left out: needs {package}", {})


def everything(options: argparse.Namespace, setting: Setting) -> list[Line]:
    """Runs the parts asked for, and says each line as it comes."""
    found: list[Line] = []
    deadline = time.monotonic() + LIMIT

    def note(line: Line) -> None:
        found.append(line)
        console.print(f"{line.part:7} {line.what:34} {line.outcome}", markup=False, highlight=False, soft_wrap=True)

    for line in left_out(setting.device):
        note(line)
    card: dict[str, float] = {}
    for name in SHARES:
        kind = (OWN.get(name) or OTHERS[name])[0]
        if options.only in (None, kind):
            for line in lines_of(name, setting, SHARES[name] * (deadline - time.monotonic()), card):
                note(line)
                card |= line.figures if line.part == "card" else {}
    return found


def main() -> int:
    """Prints the table and writes it; 1 when something failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=KINDS)
    parser.add_argument("--device", choices=("cuda", "cpu"), help="default: the GPU")
    parser.add_argument("--small", action="store_true", help="sizes that only show that everything works")
    parser.add_argument("--out", type=Path, default=Path("outputs/gpu_suite.json"))
    parser.add_argument("--part", choices=OWN, help=argparse.SUPPRESS)
    options = parser.parse_args()
    device = options.device or ("cuda" if torch.cuda.is_available() else None)
    if device is None or (device == "cuda" and not torch.cuda.is_available()):
        sys.exit("figures of a GPU: not measured, PyTorch finds none here; to see that everything works: benchmarks/gpu_suite.sh --device cpu --small")
    setting = Setting(device, options.small)
    if options.part:
        one_part(options.part, setting, options.out)
        return 0
    machine = {**proof.place(torch.device(device)), "Python": platform.python_version()}
    console.print(", ".join(f"{name} {value}" for name, value in machine.items()), markup=False, highlight=False, soft_wrap=True)
    found = everything(options, setting)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"machine": machine, "small": options.small, "lines": [asdict(line) for line in found]}, indent=1), encoding="utf-8")
    console.print(f"written: {options.out}", markup=False, highlight=False)
    return int(any(line.outcome.startswith("failed") for line in found))


if __name__ == "__main__":
    sys.exit(main())
