"""MinkUNet and SPVCNN on one GPU: time, memory and launches of every engine against spconv, and against what the card could do.

Each cell is a process of its own. A step is maps, forward, loss and backward, without an optimiser; both kinds of time include the maps. On a GPU they
are by the clock, on a CPU they are processor time, which other work on the machine disturbs less. `queued` is the time until the last launch of a step
that starts on an idle GPU, `tiny` a step on 1,000 voxels: what launching and Python cost when there is nothing to compute.
Products and bytes are counted from the kernel maps of the same batch (see `Count`), and compared with the card's published limits.
Run: python benchmarks/gpu.py [--nets minkunet spvcnn] [--voxels 80000 400000 1500000] [--types fp32 tf32 bf16] [--engines auto loop grouped triton spconv]
On a machine without a GPU: python benchmarks/gpu.py --device cpu --voxels 30000
Where the time goes, as a picture: python benchmarks/gpu.py --device cpu --voxels 30000 --profile profile.png
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from al3d.nets.minkunet import MinkUNet
from al3d.nets.spvcnn import SPVCNN
from al3d.progress import console
from al3d.rng import generator
from al3d.sparse import Conv3d, Linear
from al3d.sparse.backend import Kernel, Own, Voxels

sys.path.insert(0, str(Path(__file__).parent))
from sparse_conv import CHANNELS, CLASSES, VOXEL, peak, room_voxels, start_peak  # noqa: E402

NETS: dict[str, type[MinkUNet] | type[SPVCNN]] = {"minkunet": MinkUNet, "spvcnn": SPVCNN}
#: Bytes of a feature, and what a batch is computed in.
BYTES = {"fp32": 4, "tf32": 4, "bf16": 2}
#: Voxels of one room: larger batches have several.
ROOM = 100_000
SCAN = 70_000
#: Voxels of the step that shows what launching alone takes.
TINY = 1_000
WARM = 3


@dataclass(frozen=True)
class Card:
    """Published peaks of a card, without sparsity: 10^12 operations a second, and 10^9 bytes a second. 0 where it lacks the type."""

    fp32: float
    tf32: float
    bf16: float
    bandwidth: float


#: By a part of the name that PyTorch gives, the longest match counts. Sources: NVIDIA's data sheets of A100 (2022), H100 (2023) and H200 (2024), and the
#: architecture papers of GA102 (2021) and AD102 (2023), tensor products with float32 sums.
CARDS = {
    "A100-SXM4-80GB": Card(19.5, 156, 312, 2039),
    "A100-SXM4-40GB": Card(19.5, 156, 312, 1555),
    "A100-PCIE-40GB": Card(19.5, 156, 312, 1555),
    "A100 80GB PCIe": Card(19.5, 156, 312, 1935),
    "H100 PCIe": Card(51, 378, 756, 2000),
    "H100 80GB HBM3": Card(67, 494, 989, 3350),
    "H200": Card(67, 494, 989, 4800),
    "RTX 3090": Card(35.6, 35.6, 71, 936),
    "RTX 4090": Card(82.6, 82.6, 165, 1008),
}


def card_of(name: str) -> Card | None:
    """The limits of a card, None if it is not in the table."""
    found = [part for part in CARDS if part in name and not (part == "RTX 3090" and "3090 Ti" in name) and not (part == "RTX 4090" and "4090 D" in name)]
    return CARDS[max(found, key=len)] if found else None


@dataclass
class Count:
    """What a pass multiplies and moves at least.

    A convolution of P pairs from I to O channels multiplies and adds P*I*O times forward, and as often again for each gradient. It reads or writes,
    once each, its R rows in (R*I numbers), rows out (S*O), kernel (K*I*O) and the two row numbers of each pair (4 bytes each); a gradient of the
    features or of the kernel does the same with the same three tensors. Nothing else is counted: not normalisation, ReLU, sums, nor rows read twice.
    """

    forward: int = 0
    training: int = 0
    forward_numbers: int = 0
    training_numbers: int = 0
    row_bytes: int = 0
    pairs: int = 0
    layers: int = 0

    def add(self, pairs: int, kernel: Sequence[int], rows_in: int, rows_out: int, needs_input_gradient: bool, mapped: bool = True) -> None:
        """One convolution with a `kernel` of shape [K,I,O]."""
        passes = 3 if needs_input_gradient else 2
        operations = 2 * pairs * kernel[1] * kernel[2]
        numbers = rows_in * kernel[1] + rows_out * kernel[2] + math.prod(kernel)
        self.forward += operations
        self.training += passes * operations
        self.forward_numbers += numbers
        self.training_numbers += passes * numbers
        self.row_bytes += 8 * pairs if mapped else 0
        self.pairs += pairs
        self.layers += 1

    def bytes(self, training: bool, size: int) -> int:
        """The bytes that a pass moves at least, with numbers of `size` bytes; a step goes along each map three times."""
        return self.training_numbers * size + 3 * self.row_bytes if training else self.forward_numbers * size + self.row_bytes

    def least_seconds(self, card: Card, kind: str, training: bool) -> float:
        """The time of a pass that reaches the card's peak in products and in bytes, whichever takes longer; NaN if the card lacks the type."""
        peak = getattr(card, kind)
        if not peak:
            return math.nan
        operations = self.training if training else self.forward
        return max(operations / (peak * 1e12), self.bytes(training, BYTES[kind]) / (card.bandwidth * 1e9))


@dataclass(frozen=True)
class Counting:
    """A backend that convolves as al3d does and counts."""

    count: Count = field(default_factory=Count)
    name: str = "counting"

    def convolve(self, feat: Tensor, kernel: Tensor, geometry: Voxels, stride: int, shape: Kernel) -> Tensor:
        """See `al3d.sparse.backend.Backend`."""
        pairs = geometry.pairs(stride, shape)
        found = sum(len(rows) for rows in pairs.source) + (pairs.rows_out if pairs.center is not None else 0)
        self.count.add(found, kernel.shape, pairs.rows_in, pairs.rows_out, needs_input_gradient=feat.requires_grad)
        return Own().convolve(feat, kernel, geometry, stride, shape)


def count(kind: str, coord: Tensor, width: float = 1.0) -> Count:
    """Counts a network's convolutions over voxels i32[V,4], and its products with one matrix, in a forward pass on the CPU."""
    counting = Counting()
    net = NETS[kind](CHANNELS, CLASSES, width)
    net.backend = counting

    def product(module: nn.Module, inputs: tuple[Any, ...], _: Any) -> None:
        matrix = module.weight.t() if isinstance(module, Linear) else module.kernel
        rows = inputs[0] if isinstance(inputs[0], Tensor) else inputs[0].feat
        counting.count.add(len(rows), (1, *matrix.shape), len(rows), len(rows), needs_input_gradient=rows.requires_grad, mapped=False)

    for module in net.modules():
        if isinstance(module, Linear) or (isinstance(module, Conv3d) and module.kernel.ndim == 2):
            module.register_forward_hook(product)
    net(coord, torch.zeros(len(coord), CHANNELS))
    return counting.count


def rooms(voxels: int) -> NDArray[np.int32]:
    """Rooms of at most `ROOM` voxels each, i32[voxels,4] = (room, x, y, z)."""
    sizes = [ROOM] * (voxels // ROOM) + ([voxels % ROOM] if voxels % ROOM else [])
    parts = [room_voxels(size, generator("benchmark", "gpu room", number, size)) for number, size in enumerate(sizes)]
    return np.concatenate([np.column_stack([np.full(len(part), number), part[:, 1:]]) for number, part in enumerate(parts)]).astype(np.int32)


def scan(voxels: int = SCAN) -> NDArray[np.int32]:
    """Voxels i32[voxels,4] of 5 cm of one LiDAR scan: 64 beams at 1.73 m over flat ground, among walls at 4 to 50 m."""
    rng = generator("benchmark", "gpu scan")
    azimuth, elevation = np.meshgrid(np.linspace(0, 2 * np.pi, 3000, endpoint=False), np.deg2rad(np.linspace(-24.8, 2.0, 64)))
    wall = rng.uniform(4.0, 50.0, 60)[(azimuth / (2 * np.pi) * 60).astype(int)]
    ground = np.where(elevation < -0.02, 1.73 / np.maximum(np.sin(-elevation), 1e-6), 1e6)
    reach = np.minimum(ground, wall / np.cos(elevation)) + rng.normal(0.0, 0.01, wall.shape)
    points = np.stack([reach * np.cos(elevation) * np.cos(azimuth), reach * np.cos(elevation) * np.sin(azimuth), reach * np.sin(elevation)], axis=-1)
    cells = np.floor(points.reshape(-1, 3) / VOXEL).astype(np.int32)
    cells = cells[np.unique(np.ravel_multi_index((cells - cells.min(axis=0)).T, np.ptp(cells, axis=0) + 1), return_index=True)[1]]
    if len(cells) < voxels:
        raise ValueError(f"the scan has only {len(cells)} voxels of the {voxels} asked for")
    kept = np.sort(rng.choice(len(cells), voxels, replace=False))
    return np.insert(cells[kept], 0, 0, axis=1)


@dataclass(frozen=True)
class Cell:
    """One figure's circumstances: `engine` is one of al3d's, or spconv."""

    net: str
    voxels: str
    kind: str
    engine: str
    device: str
    width: float
    steps: int
    threads: int
    coord: str


def build(cell: Cell, device: torch.device) -> nn.Module:
    """The network of a cell, on its device."""
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high" if cell.kind == "tf32" else "highest")
    options = {"backend": "spconv"} if cell.engine == "spconv" else {"engine": cell.engine}
    return NETS[cell.net](CHANNELS, CLASSES, cell.width, **options).to(device)


def autocast(cell: Cell, device: torch.device) -> Any:
    """Half the bits: bfloat16, or float16 for spconv, which has no bfloat16."""
    return torch.autocast(device.type, dtype=torch.float16 if cell.engine == "spconv" else torch.bfloat16) if cell.kind == "bf16" else nullcontext()


@dataclass(frozen=True)
class Work:
    """A cell's network and voxels on its device, and what is timed."""

    cell: Cell
    device: torch.device
    net: nn.Module
    coord: Tensor
    feat: Tensor
    label: Tensor

    def step(self, rows: slice = slice(None)) -> None:
        """Maps, forward pass, loss and backward pass over some of the voxels."""
        self.net.zero_grad(set_to_none=True)
        with autocast(self.cell, self.device):
            loss = nn.functional.cross_entropy(self.net(self.coord[rows], self.feat[rows]).logits.float(), self.label[rows])
        torch.autograd.backward(loss)

    def infer(self) -> None:
        """Maps and forward pass."""
        with torch.inference_mode(), autocast(self.cell, self.device):
            self.net(self.coord, self.feat)


def work_of(cell: Cell) -> Work:
    """What a cell is about to do."""
    device = torch.device(cell.device)
    torch.set_num_threads(cell.threads)
    net = build(cell, device)
    coord = torch.from_numpy(np.load(cell.coord)).to(device)
    return Work(cell, device, net, coord, torch.rand(len(coord), CHANNELS, device=device), torch.randint(CLASSES, (len(coord),), device=device))


def measure(cell: Cell) -> dict[str, float]:
    """Seconds (least of the repeats) of a step, of inference and of a step on few voxels; peak MiB over idle; seconds until the step is queued; launches."""
    work = work_of(cell)
    device = work.device
    idle = _idle(device)
    work.net.eval()
    result = {"inference": _timed(work.infer, cell.steps, device)[0], "inference_peak": _peak_over(idle, device)}
    _idle(device)
    work.net.train()
    result["step"], result["queued"] = _timed(work.step, cell.steps, device)
    result["step_peak"] = _peak_over(idle, device)
    tiny = slice(None, None, max(len(work.coord) // TINY, 1))
    result["tiny"] = _timed(lambda: work.step(tiny), cell.steps, device)[0]
    return {**result, "launches": _launches(work.step, device)}


def _timed(run: Callable[[], None], steps: int, device: torch.device) -> tuple[float, float]:
    """The least seconds of `steps` runs, and the least until a run was queued, after warming up. On a CPU they are the processor's, and nothing is queued."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    for _ in range(WARM if device.type == "cuda" else 1):
        run()
    whole, queued = [], []
    for _ in range(steps):
        _wait(device)
        start = clock()
        run()
        queued.append(clock() - start)
        _wait(device)
        whole.append(clock() - start)
    return min(whole), min(queued) if device.type == "cuda" else math.nan


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _idle(device: torch.device) -> float:
    """Forgets the peak so far, and returns the memory in use, MiB."""
    if device.type != "cuda":
        return start_peak()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device) / 2**20


def _peak_over(idle: float, device: torch.device) -> float:
    return (torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else peak()) - idle


def _launches(run: Callable[[], None], device: torch.device) -> float:
    """Kernels that one run puts onto a GPU, NaN on a CPU."""
    if device.type != "cuda":
        return math.nan
    kinds = torch.profiler.ProfilerActivity
    with torch.profiler.profile(activities=[kinds.CPU, kinds.CUDA]) as profile:
        run()
        _wait(device)
    return float(sum(event.count for event in profile.key_averages() if "LaunchKernel" in event.key))


def in_own_process(cell: Cell) -> dict[str, float] | str:
    """A cell's figures, or in words why there are none."""
    command = [sys.executable, __file__, "--one", json.dumps(asdict(cell))]
    done = subprocess.run(command, capture_output=True, text=True)
    return outcome(done.returncode, done.stdout, done.stderr)


def outcome(code: int, stdout: str, stderr: str) -> dict[str, float] | str:
    """What a cell's process tells: figures, out of memory, not available here, or failed and how."""
    if code == 0:
        result: dict[str, float] = json.loads(stdout.splitlines()[-1])
        return result
    last = next((line for line in reversed(stderr.splitlines()) if line.strip()), f"exit status {code}")
    if code == -9 or any(sign in stderr for sign in ("OutOfMemoryError", "CUDA out of memory", "can't allocate memory", "MemoryError")):
        return "out of memory"
    if "ImportError" in last or "sparse.engine=" in last:
        return "not here"
    return f"failed: {last[:200]}"


def engines_here(device: str, asked: Sequence[str] | None) -> list[str]:
    """The engines to measure: those asked for, else all that can run. On a CPU auto is fused."""
    known = ["fused", "loop", "grouped"] if device == "cpu" else ["auto", "loop", "grouped", "triton"]
    return list(asked) if asked else [*known, *(["spconv"] if importlib.util.find_spec("spconv") else [])]


HEAD = "net      | voxels  | type | engine  | step ms | infer ms | step MiB | infer MiB | queued ms | tiny ms | launches | Tflop |   GB | of limit | ref/this"


def row(cell: Cell, figures: dict[str, float] | str, needed: Count, card: Card | None, reference: dict[str, float] | str | None) -> str:
    """A cell's line. `of limit` is the least time of a step on this card over the measured one; the last column is the reference's step over this one."""
    begin = f"{cell.net:8s} | {cell.voxels:>7s} | {cell.kind:4s} | {cell.engine:7s} | "
    if isinstance(figures, str):
        return begin + figures
    limit = needed.least_seconds(card, cell.kind, training=True) / figures["step"] if card else math.nan
    ratio = reference["step"] / figures["step"] if isinstance(reference, dict) else math.nan
    columns = [f"{1e3 * figures['step']:7.1f}", f"{1e3 * figures['inference']:8.1f}", f"{figures['step_peak']:8.0f}", f"{figures['inference_peak']:9.0f}"]
    columns += [_or_dash(1e3 * figures["queued"], "9.1f"), f"{1e3 * figures['tiny']:7.1f}", _or_dash(figures["launches"], "8.0f")]
    columns += [f"{needed.training / 1e12:5.2f}", f"{needed.bytes(True, BYTES[cell.kind]) / 1e9:4.1f}", _or_dash(limit, "8.3f"), _or_dash(ratio, "8.2f")]
    return begin + " | ".join(columns)


def keep(path: Path | None, cell: Cell, figures: dict[str, float] | str, needed: Count) -> None:
    """A cell as a line of JSON, with the operations and bytes of its step."""
    if path is not None:
        counted = {"operations": needed.training, "bytes": needed.bytes(True, BYTES[cell.kind])}
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"net": cell.net, "voxels": cell.voxels, "type": cell.kind, "engine": cell.engine, "figures": figures, **counted}) + "\n")


def _or_dash(value: float, form: str) -> str:
    return f"{'-':>{form.split('.')[0]}s}" if math.isnan(value) else f"{value:{form}}"


def machine(device: str, threads: int) -> str:
    """What computes, in words."""
    return torch.cuda.get_device_name() if device == "cuda" else f"CPU, {threads} thread{'s' if threads > 1 else ''}"


def table(options: argparse.Namespace, device: str, folder: Path) -> bool:
    """Prints every cell; whether all that was asked for ran, was too large or is not for this machine."""
    card = card_of(torch.cuda.get_device_name()) if device == "cuda" else None
    name = machine(device, options.threads)
    say(f"{name}, PyTorch {torch.__version__}: {card if card else 'unknown card, no limits to compare with'}")
    engines = engines_here(device, options.engines)
    reference = "spconv" if "spconv" in engines else engines[0]
    say(f"the last column compares a step with that of {reference}; bf16 of spconv is float16. Width {options.width}.\n{HEAD}")
    fine = True
    sizes = [str(voxels) for voxels in options.voxels] + ([f"scan {SCAN // 1000}k"] if options.scan else [])
    for size in sizes:
        path = folder / f"{size.replace(' ', '_')}.npy"
        np.save(path, scan() if size.startswith("scan") else rooms(int(size)))
        for net in options.nets:
            needed = count(net, torch.from_numpy(np.load(path)), options.width)
            for kind in options.types:
                cells = [Cell(net, size, kind, engine, device, options.width, options.steps, options.threads, str(path)) for engine in engines]
                found: dict[str, dict[str, float] | str] = {}
                for cell in sorted(cells, key=lambda one: one.engine != reference):
                    found[cell.engine] = in_own_process(cell)
                    say(row(cell, found[cell.engine], needed, card, found.get(reference)))
                    keep(options.json, cell, found[cell.engine], needed)
                fine &= not any(isinstance(value, str) and value.startswith("failed") for value in found.values())
    return fine


#: Parts of a step, by the beginning of PyTorch's name of an operator; the longest that fits counts.
PARTS = {
    "products": (
        "aten::mm",
        "aten::addmm",
        "aten::bmm",
        "aten::_grouped_mm",
        "aten::matmul",
        "aten::linear",
        "aten::conv",
        "aten::_conv",
        "aten::mkldnn",
        "mkldnn",
        "products_kernel",
        "outer_kernel",
        "sum_kernel",
    ),
    "gather rows": ("aten::index_select", "aten::gather", "aten::index", "aten::take"),
    "add rows": ("aten::index_add", "aten::scatter", "aten::embedding_bag", "aten::_embedding_bag", "aten::segment_reduce"),
    "normalise, ReLU": (
        "aten::native_batch_norm",
        "aten::batch_norm",
        "aten::relu",
        "aten::threshold",
        "aten::clamp",
    ),
    "copy, fill, add": ("aten::copy", "aten::add", "aten::zero", "aten::fill", "aten::cat", "aten::clone", "aten::empty", "aten::flip", "aten::to"),
    "maps": ("aten::searchsorted", "aten::sort", "aten::_unique", "aten::unique", "aten::nonzero", "aten::bincount", "aten::cumsum", "aten::argsort"),
    "inside a library": ("SubMConv", "SparseConv", "SparseInverse", "SparseImplicit"),
}
REST = "Python and the rest"


def part_of(name: str) -> str:
    """The part of a step that an operator or autograd function belongs to."""
    fitting = [(len(begin), part) for part, begins in PARTS.items() for begin in begins if name.startswith(begin)]
    return max(fitting)[1] if fitting else REST


def profiled(cell: Cell) -> dict[str, float]:
    """Milliseconds of one step by part, after a first one.

    On a GPU they are its own, and the rest is the time in which it waited for launches. On a CPU the profiler's clock also runs while other work has
    the processor: the parts are its shares of a step's processor time, which is measured without it.
    """
    work = work_of(cell)
    kinds, on_gpu = torch.profiler.ProfilerActivity, work.device.type == "cuda"
    whole = 1e3 * _timed(work.step, cell.steps, work.device)[0]
    with torch.profiler.profile(activities=[kinds.CPU, *([kinds.CUDA] if on_gpu else [])]) as profile:
        work.step()
        _wait(work.device)
    found = dict.fromkeys((*PARTS, REST), 0.0)
    for event in profile.key_averages():
        found[part_of(event.key)] += (event.self_device_time_total if on_gpu else event.self_cpu_time_total) / 1e3
    if on_gpu:
        found[REST] += max(whole - sum(found.values()), 0.0)
        return found
    scale = whole / sum(found.values())
    return {part: scale * value for part, value in found.items()}


def draw(profiles: dict[str, dict[str, float]], title: str, path: Path) -> None:
    """Stacked bars, one per engine."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 1.3 + 0.55 * len(profiles)), layout="constrained")
    colours = ["#30638e", "#00798c", "#67b99a", "#edae49", "#8d6a9f", "#d1495b", "#5c6b73", "#c8c8c8"]
    left = np.zeros(len(profiles))
    for part, colour in zip((*PARTS, REST), colours, strict=True):
        values = np.array([found[part] for found in profiles.values()])
        if values.max() > 0:
            axes.barh(list(profiles), values, left=left, color=colour, label=part, height=0.65)
        left += values
    for place, total in enumerate(left):
        axes.text(total, place, f" {total:,.0f} ms", va="center")
    axes.invert_yaxis()
    axes.set_xlim(0, left.max() * 1.12)
    axes.set_xlabel("milliseconds of one training step")
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncol=4, frameon=False, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def picture(options: argparse.Namespace, device: str, folder: Path) -> None:
    """Profiles one step of each engine and draws them."""
    voxels = options.voxels[0]
    path = folder / "rooms.npy"
    np.save(path, rooms(voxels))
    profiles = {}
    for net in options.nets:
        for engine in engines_here(device, options.engines):
            cell = Cell(net, str(voxels), options.types[0], engine, device, options.width, options.steps, options.threads, str(path))
            command = [sys.executable, __file__, "--one", json.dumps(asdict(cell)), "--profile", "-"]
            done = subprocess.run(command, capture_output=True, text=True)
            figures = outcome(done.returncode, done.stdout, done.stderr)
            if isinstance(figures, str):
                say(f"{net} {engine}: {figures}")
                continue
            profiles[f"{net}, {engine}"] = figures
            say(f"{net}, {engine}: " + ", ".join(f"{part} {value:.0f} ms" for part, value in figures.items() if value >= 0.5))
    name = machine(device, options.threads)
    draw(profiles, f"{voxels:,} voxels of rooms, width {options.width:g}, {options.types[0]}, {name}", Path(options.profile))


def say(text: str) -> None:
    """Prints a line as it is."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def options_of(arguments: Iterable[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], help="default: the GPU, or nothing where there is none")
    parser.add_argument("--nets", nargs="+", choices=list(NETS), default=list(NETS))
    parser.add_argument("--voxels", type=int, nargs="+", default=[80_000, 400_000, 1_500_000])
    parser.add_argument("--types", nargs="+", choices=list(BYTES), help="default: all on a GPU, fp32 on a CPU")
    parser.add_argument("--engines", nargs="+", choices=["auto", "fused", "loop", "grouped", "triton", "spconv"], help="default: all that can run")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=5, help="repeats, of which the least counts")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--no-scan", dest="scan", action="store_false", help=f"leave out the LiDAR scan of {SCAN:,} voxels")
    parser.add_argument("--profile", metavar="PNG", help="draw where the time of a step goes, for the first of --voxels and of --types, and print no table")
    parser.add_argument("--json", type=Path, help="add every cell to this file too, a line of JSON each")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args(None if arguments is None else list(arguments))


def main(arguments: Iterable[str] | None = None) -> int:
    """Prints the table, or says in one line that there is no GPU; the number of an exit status."""
    options = options_of(arguments)
    if options.one:
        cell = Cell(**json.loads(options.one))
        console.print(json.dumps(profiled(cell) if options.profile else measure(cell)), soft_wrap=True, markup=False, highlight=False)
        return 0
    device = options.device or ("cuda" if torch.cuda.is_available() else None)
    if device is None or (device == "cuda" and not torch.cuda.is_available()):
        say("GPU figures: not measured, PyTorch finds no GPU here. On a CPU: python benchmarks/gpu.py --device cpu --voxels 30000")
        return 0
    if device == "cpu":
        say("GPU figures: not measured. These are of the CPU:")
    options.types = options.types or (["fp32"] if device == "cpu" else list(BYTES))
    with tempfile.TemporaryDirectory() as folder:
        if options.profile:
            picture(options, device, Path(folder))
            return 0
        return 0 if table(options, device, Path(folder)) else 1


if __name__ == "__main__":
    sys.exit(main())
