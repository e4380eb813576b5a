"""What planning a sparse convolution for a GPU saves and costs: work per pair in blocks of 128 rows, and CPU times. No GPU is used.

The room is a generated one of 5 cm voxels, the scan one turn of a generated 64-beam scanner in 5 cm voxels. Work is 1 where every row of a block
has every offset that the block multiplies. "by value" sorts rows by the value of their bitmask, the reference; "planned" is al3d's order.
Run: python benchmarks/kernel_maps.py [--voxels 80000] [--repeats 3]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from al3d.progress import console
from al3d.rng import generator
from al3d.sparse import Geometry, KernelMap
from al3d.sparse.triton_plan import BLOCK, forward_plan, make_plan, pair_lists
from al3d.world.street import HDL64, drive

sys.path.insert(0, str(Path(__file__).parent))
from sparse_conv import room_voxels

VOXEL = 0.05
T = TypeVar("T")
COLUMNS = (
    "map",
    "rows",
    "pairs a row",
    "unsorted",
    "by value 1",
    "by value 3",
    "planned 1",
    "planned 2",
    "planned 3",
    "chosen",
    "map CPU ms",
    "plan CPU ms",
    "pairs CPU ms",
)


def scan_voxels() -> Tensor:
    """The voxels i32[V,4] of one turn of a scanner."""
    sweep = next(iter(drive(1, 0, HDL64, 1, False)))
    grid = np.unique(np.floor(sweep.xyz / VOXEL).astype(np.int32), axis=0)
    return torch.from_numpy(np.insert(grid, 0, 0, axis=1))


def maps(coord: Tensor) -> Iterator[tuple[str, Callable[[], Geometry], Callable[[Geometry], KernelMap]]]:
    """For each map its name, fresh voxels without maps, and how to make it of them."""

    def at(stride: int) -> Geometry:
        return Geometry(torch.unique(torch.cat([coord[:, :1], coord[:, 1:] // stride], dim=1), dim=0))

    for stride in (1, 2, 4):
        yield f"3x3x3 at {stride}", partial(at, stride), lambda geometry: geometry.neighbors(1)
    yield "2x2x2 down", partial(at, 1), lambda geometry: geometry.down(1)
    yield "2x2x2 up", partial(at, 1), lambda geometry: geometry.down(1).transposed()


def work_by_value(table: Tensor, parts: int) -> int:
    """The work of blocks whose rows are sorted by the value of their bitmask, per part."""
    work = 0
    for here in torch.tensor_split(table >= 0, parts):
        value = (here.long() << torch.arange(len(here))[:, None]).sum(dim=0)
        rows = torch.nn.functional.pad(here[:, torch.argsort(value, stable=True)], (0, -here.shape[1] % BLOCK))
        work += BLOCK * int(rows.view(len(here), rows.shape[1] // BLOCK, BLOCK).any(dim=2).sum())
    return work


def cpu_milliseconds(prepare: Callable[[], T], act: Callable[[T], object], repeats: int) -> float:
    """The least processor time of `repeats` runs of `act`, each on what `prepare` gives."""
    times = []
    for _ in range(repeats):
        given = prepare()
        start = time.process_time()
        act(given)
        times.append(time.process_time() - start)
    return 1000 * min(times)


def row(name: str, voxels: Callable[[], Geometry], make: Callable[[Geometry], KernelMap], repeats: int) -> list[str]:
    """One line of the table."""
    pairs = make(voxels())
    table = pairs.table.t().contiguous()
    unsorted, *planned = (make_plan(table, parts, ordered) for parts, ordered in ((1, False), (1, True), (2, True), (3, True)))
    total = unsorted.pairs
    ratios = [unsorted.ratio, *(work_by_value(table, parts) / total for parts in (1, 3)), *(plan.ratio for plan in planned)]
    times = [
        cpu_milliseconds(voxels, make, repeats),
        cpu_milliseconds(lambda: replace(pairs, cache={}), forward_plan, repeats),
        cpu_milliseconds(lambda: replace(pairs, cache={}), pair_lists, repeats),
    ]
    counts = [name, f"{pairs.rows_out}", f"{total / pairs.rows_out:.2f}"]
    return [*counts, *(f"{ratio:.2f}" for ratio in ratios), f"{len(make_plan(table).parts)}", *(f"{each:.1f}" for each in times)]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voxels", type=int, default=80_000, help="of the room")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    table = Table(*COLUMNS)
    rooms = torch.from_numpy(room_voxels(options.voxels, generator("benchmark", "room", options.voxels)))
    for scene, coord in (("room", rooms), ("scan", scan_voxels())):
        for name, voxels, make in maps(coord):
            table.add_row(*row(f"{scene} {name}", voxels, make, options.repeats))
    console.print(f"Work per pair in blocks of {BLOCK} rows; numbers after the order are parts that the offsets are cut into. {options.threads} thread.")
    console.print(table)


if __name__ == "__main__":
    main()
