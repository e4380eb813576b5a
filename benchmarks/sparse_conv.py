"""One training step of MinkUNet on rooms: CPU seconds and peak memory of al3d's convolution and of spconv's.

Each figure comes from processes of their own, the two libraries in turn; the least of all repeats is printed.
Run: python benchmarks/sparse_conv.py [--voxels 30000 80000] [--threads 1 2] [--width 0.25] [--repeats 3] [--engine loop]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
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
from al3d.sparse.engine import ENGINES, engine_name
from al3d.threads import limit_threads, processor

CLASSES = 13
CHANNELS = 6
VOXEL = 0.05
STEPS = 3


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


def _in_own_process(library: str, voxels: int, threads: int, width: float, engine: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", library, "--engine", engine, "--voxels", str(voxels), "--threads", str(threads), "--width", str(width)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def _best(voxels: int, threads: int, width: float, libraries: list[str], repeats: int, engine: str) -> dict[str, dict[str, float]]:
    runs: dict[str, list[dict[str, float]]] = {library: [] for library in libraries}
    for _ in range(repeats):
        for library in libraries:
            runs[library].append(_in_own_process(library, voxels, threads, width, engine))
    return {library: {name: min(run[name] for run in results) for name in results[0]} for library, results in runs.items()}


def _row(voxels: int, threads: int, width: float, best: dict[str, dict[str, float]]) -> str:
    ours, theirs = best["al3d"], best.get("spconv")
    cells = [f"{voxels:6d}", f"{width:5.2f}", f"{threads:7d}", f"{ours['cpu']:8.2f}", f"{ours['wall']:8.2f}", f"{ours['peak']:8.0f}"]
    if theirs is not None:
        cells += [f"{theirs['cpu']:10.2f}", f"{theirs['wall']:11.2f}", f"{theirs['peak']:10.0f}", f"{ours['cpu'] / theirs['cpu']:9.2f}"]
        cells += [f"{ours['wall'] / theirs['wall']:10.2f}", f"{ours['peak'] / theirs['peak']:11.2f}"]
    return " | ".join(cells)


def main() -> None:
    """Prints the table; with --one, one library's figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voxels", type=int, nargs="+", default=[30_000, 80_000])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--engine", default="auto", choices=ENGINES, help="al3d's; auto is what a run takes")
    parser.add_argument("--one", choices=["al3d", "spconv"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        console.print(json.dumps(measure(options.one, options.voxels[0], options.threads[0], options.width, options.engine)))
        return
    libraries = ["al3d", "spconv"] if importlib.util.find_spec("spconv") else ["al3d"]
    if len(libraries) == 1:
        console.print("spconv: not measured: install with pip install -e '.[spconv]'", markup=False)
    taken = engine_name(options.engine, torch.device("cpu"), torch.float32)
    console.print(f"{processor()}, {torch.backends.cpu.get_cpu_capability()}; al3d's {taken} engine", markup=False)
    head = "voxels | width | threads | al3d cpu | al3d s  | al3d MiB"
    console.print(head + (" | spconv cpu | spconv s    | spconv MiB | cpu ratio | time ratio | memory ratio" if len(libraries) == 2 else ""))
    cases = [(voxels, threads, options.width) for voxels in options.voxels for threads in options.threads]
    for voxels, threads, width in [*cases, (38_000, 1, 0.25)]:
        console.print(_row(voxels, threads, width, _best(voxels, threads, width, libraries, options.repeats, options.engine)))


if __name__ == "__main__":
    main()
