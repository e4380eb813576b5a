"""The network over all voxels of a scan, tile by tile, each seen together with what is around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from al3d.predict.pieces import SIDE, Cells
from al3d.predict.table import Table
from al3d.types import F32, I32, I64, IGNORE, U8, Bool

#: Voxels of a cell's side, the smallest step of a tile's border; a multiple of the networks' coarsest stride.
CELL = 16
#: Tiles are moved by multiples of this towards 0, which leaves the networks' coarse voxels where they are in the whole scan.
ALIGN = 256


@dataclass(frozen=True)
class Box:
    """Voxels `low` <= (x, y) < `high`."""

    low: tuple[int, int]
    high: tuple[int, int]

    def grown(self, by: int) -> Box:
        """The box with `by` voxels more on every side."""
        return Box((self.low[0] - by, self.low[1] - by), (self.high[0] + by, self.high[1] + by))

    def holds(self, place: I32) -> Bool:
        """Which of the places i32[n,2] lie inside."""
        return np.asarray(((place >= self.low) & (place < self.high)).all(axis=1))


@dataclass(frozen=True, eq=False)
class Density:
    """How many voxels stand in each occupied cell of `CELL` x `CELL` voxels: `place` i64[K,2] counts cells, `count` i64[K]."""

    place: I64
    count: I64


def density(cells: Cells) -> Density:
    """Count the voxels above every cell, square by square."""
    parts = []
    for square in cells.squares:
        place = cells.coords(square)[:, :2] // CELL
        keys, count = np.unique(place[:, 0].astype(np.int64) << 32 | place[:, 1], return_counts=True)
        parts.append((np.stack([keys >> 32, keys & 0xFFFFFFFF], axis=1), count))
    return Density(np.concatenate([place for place, _ in parts]), np.concatenate([count for _, count in parts]))


def boxes(found: Density, most: int | None, halo: int) -> list[Box]:
    """Boxes that hold every voxel once, halved along the longer side until each, with its halo, has at most `most` voxels (None: one box).

    A box is not halved when its halves would be narrower than the halo: the work would grow without end.
    """
    low, high = found.place.min(axis=0), found.place.max(axis=0) + 1
    waiting, done = [(low, high)], []
    around, narrowest = -(-halo // CELL), max(2, 2 * -(-halo // CELL))
    while waiting:
        low, high = waiting.pop()
        own = ((found.place >= low) & (found.place < high)).all(axis=1)
        seen = ((found.place >= low - around) & (found.place < high + around)).all(axis=1)
        if not own.any():
            continue
        low, high = found.place[own].min(axis=0), found.place[own].max(axis=0) + 1
        axis = int((high - low).argmax())
        if most is None or found.count[seen].sum() <= most or (high - low)[axis] < narrowest:
            done.append(Box(_voxel(low), _voxel(high)))
            continue
        middle = _middle(found.place[own, axis], found.count[own], int(low[axis]), int(high[axis]))
        left, right = high.copy(), low.copy()
        left[axis] = right[axis] = middle
        waiting += [(right, high), (low, left)]
    return done


def _voxel(cell: I64) -> tuple[int, int]:
    return int(cell[0]) * CELL, int(cell[1]) * CELL


def _middle(line: I64, count: I64, low: int, high: int) -> int:
    """The border that halves the voxels best, but leaves a quarter of the length on either side."""
    order = np.argsort(line, kind="stable")
    half = int(np.searchsorted(np.cumsum(count[order]), count.sum() / 2))
    quarter = max(1, (high - low) // 4)
    return int(np.clip(line[order[half]] + 1, low + quarter, high - quarter))


def seen_voxels(cells: Cells, wanted: Box) -> tuple[I32, F32, I64]:
    """The voxels in a box, sorted by x, y, z: coord i32[n,3], inputs f32[n,c], and their numbers i64[n]."""
    coords, means, numbers = [], [], []
    for x in range(wanted.low[0] // SIDE, (wanted.high[0] - 1) // SIDE + 1):
        for y in range(wanted.low[1] // SIDE, (wanted.high[1] - 1) // SIDE + 1):
            if (x, y) not in cells.squares:
                continue
            coord = cells.coords((x, y))
            inside = np.flatnonzero(wanted.holds(coord[:, :2]))
            coords.append(coord[inside])
            means.append(cells.means((x, y))[inside])
            numbers.append(inside + cells.squares[x, y][0])
    coord = np.concatenate(coords)
    order = np.lexsort((coord[:, 2], coord[:, 1], coord[:, 0]))
    return coord[order], np.concatenate(means)[order], np.concatenate(numbers)[order]


@dataclass(frozen=True, eq=False)
class Labelled:
    """The class u8[V] of every voxel, and its probabilities f16[V,C] in a table when they were asked for."""

    label: U8
    prob: Table | None


def run_tiles(
    net: Callable[[Tensor, Tensor], Any],
    cells: Cells,
    tiles: list[Box],
    halo: int,
    device: torch.device,
    prob: Table | None = None,
) -> Iterator[tuple[int, Labelled]]:
    """Run the network tile by tile; yields (tiles done, what is known so far) after each, the last with everything.

    A tile is run with the voxels up to `halo` around its box in x and y, and gives the rows of its own voxels alone.
    """
    labelled = Labelled(np.full(cells.count, IGNORE, np.uint8), prob)
    for done, tile in enumerate(tiles, start=1):
        coord, feat, number = seen_voxels(cells, tile.grown(halo) if len(tiles) > 1 else tile)
        own = tile.holds(coord[:, :2])
        shift = coord.min(axis=0) // ALIGN * ALIGN
        moved = np.concatenate([np.zeros((len(coord), 1), np.int32), coord - shift], axis=1).astype(np.int32)
        with torch.inference_mode():
            logits = net(torch.from_numpy(moved).to(device), torch.from_numpy(np.ascontiguousarray(feat)).to(device)).logits
            labelled.label[number[own]] = logits.argmax(dim=1).to(torch.uint8).cpu().numpy()[own]
            if prob is not None:
                _keep(prob, number[own], logits.float().softmax(dim=1).cpu().numpy()[own].astype(np.float16))
        yield done, labelled


def _keep(prob: Table, number: I64, values: np.ndarray[tuple[int, ...], np.dtype[np.float16]]) -> None:
    """Write the rows `number` of a table, stretch by stretch of neighbouring rows."""
    order = np.argsort(number)
    number, values = number[order], values[order]
    ends = np.flatnonzero(np.diff(number) != 1) + 1
    for start, stop in zip([0, *ends.tolist()], [*ends.tolist(), len(number)], strict=True):
        prob.write("prob", int(number[start]), values[start:stop])
