"""One training step of MinkUNet on rooms: CPU seconds and peak memory of al3d's convolution and of spconv's.

Each figure comes from processes of their own, the two libraries in turn.
Run: python benchmarks/sparse_conv.py [--voxels 30000 80000] [--threads 1 2] [--width 0.25] [--repeats 3] [--engine loop] [--vectors avx2]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from al3d.nets import MinkUNet
from al3d.progress import console
from al3d.rng import generator
from al3d.sparse import blas
from al3d.sparse.engine import ENGINES, engine_name
from al3d.threads import limit_threads, processor

CLASSES = 13
CHANNELS = 6
VOXEL = 0.05
STEPS = 3
#: What makes the libraries leave wider vectors alone.
VECTORS: dict[str, dict[str, str]] = {
    "native": {},
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
        "NUMBA_CPU_NAME": "haswell",
    },
}


def room_voxels(count: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """`count` surface voxels i32[count,4] = (0, x, y, z) of a furnished room of 5 cm voxels, none negative, sorted."""
    side = np.sqrt(count / 2.0) * VOXEL * 0.9
    boxes = [(np.zeros(3), np.array([side, side, 2.7]))]
    for _ in range(int(side * side / 2) + 1):
        size = rng.uniform([0.4, 0.4, 0.4], [1.6, 0.8, 1.8])
        boxes.append((np.append(rng.uniform(0.0, side - 1.6, 2), 0.0), size))
    points = np.concatenate([_box_surface(corner, size, rng) for corner, size in boxes])
    angle = rng.uniform(0.1, 0.5)
    turn = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    points = points @ turn + rng.normal(0.0, 0.004, points.shape)
    grid = np.floor((points - points.min(axis=0)) / VOXEL).astype(np.int32)
    grid = np.unique(grid, axis=0)
    if len(grid) < count:
        raise ValueError(f"the room has only {len(grid)} voxels of the {count} asked for")
    return np.insert(grid[:count], 0, 0, axis=1)


def _box_surface(corner: NDArray[np.float64], size: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Points on the six faces of a box, about 12 a voxel."""
    faces = []
    for axis in range(3):
        u, v = (other for other in range(3) if other != axis)
        number = int(12 * size[u] * size[v] / VOXEL**2)
        for level in (0.0, size[axis]):
            face = rng.random((number, 3)) * size
            face[:, axis] = level
            faces.append(face + corner)
    return np.concatenate(faces)


class SpconvNet(nn.Module):
    """The same MinkUNet built from spconv's modules."""

    def __init__(self, width: float) -> None:
        super().__init__()
        import spconv.pytorch as spconv

        # without a GPU this lookup fails in the backward pass, and its result is not used there
        spconv.ops.get_current_stream = lambda: 0
        self.lib = spconv
        cs = [round(c * width) for c in (32, 32, 64, 128, 256, 256, 128, 96, 96)]
        self.stem = nn.ModuleList([self._unit(CHANNELS, cs[0], "3_0"), self._unit(cs[0], cs[0], "3_0")])
        self.down = nn.ModuleList(
            nn.ModuleList([self._down(cs[i], i), self._residual(cs[i], cs[i + 1], i + 1), self._residual(cs[i + 1], cs[i + 1], i + 1)]) for i in range(4)
        )
        self.up = nn.ModuleList(
            nn.ModuleList(
                [self._up(cs[i + 4], cs[i + 5], 3 - i), self._residual(cs[i + 5] + cs[3 - i], cs[i + 5], 3 - i), self._residual(cs[i + 5], cs[i + 5], 3 - i)]
            )
            for i in range(4)
        )
        self.classifier = nn.Linear(cs[8], CLASSES)

    def _options(self) -> dict[str, Any]:
        return {"bias": False, "algo": self.lib.ConvAlgo.Native}

    def _unit(self, i: int, o: int, key: str, kernel: int = 3) -> nn.ModuleList:
        conv = self.lib.SubMConv3d(i, o, kernel, indice_key=key, **self._options()) if kernel == 3 else nn.Linear(i, o, bias=False)
        return nn.ModuleList([conv, nn.BatchNorm1d(o)])

    def _down(self, channels: int, level: int) -> nn.ModuleList:
        conv = self.lib.SparseConv3d(channels, channels, 2, 2, indice_key=f"2_{level}", **self._options())
        return nn.ModuleList([conv, nn.BatchNorm1d(channels)])

    def _up(self, i: int, o: int, level: int) -> nn.ModuleList:
        return nn.ModuleList([self.lib.SparseInverseConv3d(i, o, 2, indice_key=f"2_{level}", **self._options()), nn.BatchNorm1d(o)])

    def _residual(self, i: int, o: int, level: int) -> nn.ModuleList:
        units = [self._unit(i, o, f"3_{level}"), self._unit(o, o, f"3_{level}")]
        return nn.ModuleList(units if i == o else [*units, self._unit(i, o, "", kernel=1)])

    @staticmethod
    def _apply_unit(unit: Any, x: Any, relu: bool = True) -> Any:
        y = unit[0](x)
        feat = unit[1](y.features)
        return y.replace_feature(torch.relu_(feat) if relu else feat)

    def _apply_residual(self, block: Any, x: Any) -> Any:
        y = self._apply_unit(block[1], self._apply_unit(block[0], x), relu=False)
        short = x.features if len(block) == 2 else block[2][1](block[2][0](x.features))
        return y.replace_feature(torch.relu_(y.features.add_(short)))

    def forward(self, coord: Tensor, feat: Tensor) -> Tensor:
        """Logits [V,C]."""
        x = self.lib.SparseConvTensor(feat, coord, (coord[:, 1:].amax(dim=0) + 1).tolist(), 1)
        unit: Any
        for unit in self.stem:
            x = self._apply_unit(unit, x)
        skips = []
        stage: Any
        for stage in self.down:
            skips.append(x)
            x = self._apply_unit(stage[0], x)
            for block in stage[1:]:
                x = self._apply_residual(block, x)
        for stage in self.up:
            x = self._apply_unit(stage[0], x)
            x = x.replace_feature(torch.cat([x.features, skips.pop().features], dim=1))
            for block in stage[1:]:
                x = self._apply_residual(block, x)
        logits: Tensor = self.classifier(x.features)
        return logits


def measure(library: str, voxels: int, threads: int, width: float, engine: str) -> dict[str, float]:
    """CPU and wall seconds of the fastest of `STEPS` training steps after the first, and the peak over idle in MiB of all."""
    limit_threads(threads)
    torch.manual_seed(0)
    coord = torch.from_numpy(room_voxels(voxels, generator("benchmark", "room", voxels)))
    feat, label = torch.rand(voxels, CHANNELS), torch.randint(CLASSES, (voxels,))
    net: nn.Module = MinkUNet(CHANNELS, CLASSES, width, engine=engine) if library == "al3d" else SpconvNet(width)
    idle = start_peak()
    times = [_step(net, coord, feat, label) for _ in range(1 + STEPS)][1:]
    return {"cpu": min(cpu for cpu, _ in times), "wall": min(wall for _, wall in times), "peak": peak() - idle}


def _step(net: nn.Module, coord: Tensor, feat: Tensor, label: Tensor) -> tuple[float, float]:
    net.zero_grad(set_to_none=True)
    cpu, wall = time.process_time(), time.perf_counter()
    result = net(coord, feat)
    logits = result if isinstance(result, Tensor) else result.logits
    torch.autograd.backward(nn.functional.cross_entropy(logits, label))
    return time.process_time() - cpu, time.perf_counter() - wall


def start_peak() -> float:
    """Forgets the peak so far and returns the memory in use, MiB."""
    status = Path("/proc/self/clear_refs")
    if status.exists():
        status.write_text("5")
    return _status("VmRSS") or peak()


def peak() -> float:
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _status(name: str) -> float:
    path = Path("/proc/self/status")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name)), 0.0)


def _in_own_process(library: str, voxels: int, threads: int, width: float, engine: str, vectors: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", library, "--engine", engine, "--voxels", str(voxels), "--threads", str(threads), "--width", str(width)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **VECTORS[vectors]})
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def _runs(voxels: int, threads: int, width: float, libraries: list[str], options: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    """The figures of every repeat, the libraries in turn."""
    runs: dict[str, list[dict[str, float]]] = {library: [] for library in libraries}
    for _ in range(options.repeats):
        for library in libraries:
            runs[library].append(_in_own_process(library, voxels, threads, width, options.engine, options.vectors))
            if options.log:
                with options.log.open("a") as file:
                    file.write(json.dumps({"library": library, "voxels": voxels, "width": width, "threads": threads, **runs[library][-1]}) + "\n")
    return runs


def _row(voxels: int, threads: int, width: float, runs: dict[str, list[dict[str, float]]]) -> str:
    """The least of all repeats, and the medians of the ratios of pairs."""
    cells = [f"{voxels:6d}", f"{width:5.2f}", f"{threads:7d}"]
    for results in runs.values():
        cells += [f"{min(run['cpu'] for run in results):8.2f}", f"{min(run['wall'] for run in results):8.2f}", f"{min(run['peak'] for run in results):8.0f}"]
    if len(runs) == 2:
        pairs = list(zip(*runs.values(), strict=True))
        cells += [f"{statistics.median(ours[name] / theirs[name] for ours, theirs in pairs):9.2f}" for name in ("cpu", "wall", "peak")]
    return " | ".join(cells)


def main() -> None:
    """Prints the table; with --one, one library's figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voxels", type=int, nargs="+", default=[30_000, 80_000])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--engine", default="auto", choices=ENGINES, help="al3d's; auto is what a run takes")
    parser.add_argument("--vectors", default="native", choices=VECTORS, help="avx2: as on a processor without AVX-512")
    parser.add_argument("--log", type=Path, help="append the figures of every process to this file, a JSON object a line")
    parser.add_argument("--one", choices=["al3d", "spconv"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        console.print(json.dumps(measure(options.one, options.voxels[0], options.threads[0], options.width, options.engine)))
        return
    libraries = ["al3d", "spconv"] if importlib.util.find_spec("spconv") else ["al3d"]
    if len(libraries) == 1:
        console.print("spconv: not measured: install with pip install -e '.[spconv]'", markup=False)
    taken = engine_name(options.engine, torch.device("cpu"), torch.float32)
    products = f", products of {blas.fastest()}" if options.vectors == "native" else ""
    waiting = os.environ.get("OMP_WAIT_POLICY", "the library's choice").lower()
    console.print(f"{processor()}, {options.vectors} vectors, {torch.backends.cpu.get_cpu_capability()}; waiting: {waiting}", markup=False)
    console.print(f"al3d's {taken} engine{products}; seconds: the least of {options.repeats}; ratios: medians of pairs", markup=False)
    head = "voxels | width | threads | al3d cpu | al3d s   | al3d MiB"
    console.print(head + (" | spc. cpu | spconv s | spc. MiB | cpu ratio | time rat. | mem. rat." if len(libraries) == 2 else ""))
    for voxels in options.voxels:
        for threads in options.threads:
            console.print(_row(voxels, threads, options.width, _runs(voxels, threads, options.width, libraries, options)))


if __name__ == "__main__":
    main()
