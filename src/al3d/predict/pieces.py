"""A scan of any size as voxels that lie in square columns: every point is looked at chunk by chunk, and none is kept in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np

from al3d.geometry.bounds import bounds
from al3d.predict.frame import Frame
from al3d.predict.options import CHUNK
from al3d.predict.scans import Reader
from al3d.predict.table import Table
from al3d.predict.trained import AXES, Inputs
from al3d.types import F32, F64, I32, I64, Array, Bool

#: Cells of a column's side. A multiple of the networks' coarsest stride.
SIDE = 256
#: Metres: float32 has steps of 6 cm there.
_FARTHEST = 1e6
Square = tuple[int, int]
#: row within its chunk i64[n], places f32[n,3], attributes f32[n,F].
Placed = tuple[I64, F32, F32]


@dataclass(frozen=True, eq=False)
class Survey:
    """What one pass over a scan says: points of every chunk, those with finite places, `origin` f64[3], and the box f32[3], f32[3] around it."""

    chunks: tuple[int, ...]
    finite: int
    origin: F64
    low: F32
    high: F32

    @property
    def points(self) -> int:
        """All points of the scan."""
        return sum(self.chunks)


def survey(reader: Reader, frame: Frame, chunk: int = CHUNK) -> Survey:
    """Look at every point of a scan once. Raises: ValueError when no place is finite, or places are farther apart than float32 can tell."""
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    counts, finite = [], 0
    for places in reader.places(chunk):
        counts.append(len(places))
        known = _finite(places)
        finite += int(known.sum())
        if known.any():
            metres = places[known].astype(np.float64) if reader.placed else frame.metres(places[known])
            low, high = np.minimum(low, metres.min(axis=0)), np.maximum(high, metres.max(axis=0))
    if not finite:
        raise ValueError(f"has {sum(counts)} points, none of them with finite coordinates: there is nothing to label")
    origin = np.zeros(3) if reader.placed else frame.origin(low)
    if max(np.abs(low - origin).max(), np.abs(high - origin).max()) > _FARTHEST:
        raise ValueError(f"its points lie between {low.tolist()} and {high.tolist()} metres: remove stray points, or mend units in dataset.yaml")
    return Survey(tuple(counts), finite, origin, (low - origin).astype(np.float32), (high - origin).astype(np.float32))


def placed_points(reader: Reader, frame: Frame, found: Survey, attributes: tuple[str, ...], chunk: int = CHUNK) -> Iterator[Placed]:
    """The points of every chunk whose place and attributes are finite, in the frame of the network."""
    for places, values in reader.points(chunk):
        feat = np.stack([values[name] for name in attributes], axis=1) if attributes else np.empty((len(places), 0), np.float32)
        rows = np.flatnonzero(_finite(places) & np.isfinite(feat).all(axis=1))
        xyz = places[rows] if reader.placed else (frame.metres(places[rows]) - found.origin).astype(np.float32)
        yield rows, xyz, np.ascontiguousarray(feat[rows])


def _finite(places: Array) -> Bool:
    return np.asarray(np.isfinite(places).all(axis=1))


class Cells:
    """Points sorted into cells, chunk by chunk; the cells of one square column of `SIDE` cells lie side by side, in the order x, y, z.

    `chunks[k]` and `squares[square]` are (start, stop): of the chunk's points in the order in which they are kept, and of the square's cells. `count`
    cells have `coord` i32[count,3] and `mean` f32[count,c], the mean, or the first, of the values of their points.
    """

    def __init__(self, folder: Path | None, points: int, columns: int) -> None:
        if folder is not None:
            folder.mkdir()
        self.kept = Table(folder, points, {"row": (np.uint32, 1), "cell": (np.int64, 1), "coord": (np.int32, 3), "value": (np.float32, columns)})
        self.found = Table(folder and _made(folder / "cells"), points, {"coord": (np.int32, 3), "mean": (np.float32, columns)})
        self.chunks: list[tuple[int, int]] = []
        self.squares: dict[Square, tuple[int, int]] = {}
        self.count = 0
        self._parts: dict[Square, list[tuple[int, int]]] = {}

    def put(self, row: I64, coord: I32, value: F32) -> None:
        """Add a chunk: `row` i64[n] of its points within the chunk, ascending, their cells `coord` i32[n,3] from 0 on, and values f32[n,c]."""
        start = self.chunks[-1][1] if self.chunks else 0
        self.chunks.append((start, start + len(row)))
        if not len(row):
            return
        square = coord[:, :2] // SIDE
        key = square[:, 0].astype(np.int64) << 32 | square[:, 1]
        order = np.argsort(key, kind="stable")
        self.kept.write("row", start, row[order])
        self.kept.write("coord", start, coord[order])
        self.kept.write("value", start, value[order])
        keys, first = np.unique(key[order], return_index=True)
        for one, begin, end in zip(keys.tolist(), first.tolist(), [*first[1:].tolist(), len(key)], strict=True):
            self._parts.setdefault((one >> 32, one & 0xFFFFFFFF), []).append((start + begin, start + end))

    def close(self, first: bool) -> None:
        """Find the cells of every square; `first` keeps the value of a cell's first point, instead of the mean."""
        for square in sorted(self._parts):
            self._gather(square, self._parts[square], first)
        self._parts.clear()

    def cells_of(self, chunk: int) -> tuple[Array, I64]:
        """The points of a chunk that were put, as rows within it, and the cell of each."""
        return self.kept.read("row", *self.chunks[chunk]), self.kept.read("cell", *self.chunks[chunk])

    def coords(self, square: Square) -> I32:
        """The cells i32[n,3] of a square."""
        return self.found.read("coord", *self.squares[square])

    def means(self, square: Square) -> F32:
        """Their values f32[n,c]."""
        start, stop = self.squares[square]
        return self.found.read("mean", start, stop).reshape(stop - start, -1)

    def _gather(self, square: Square, parts: list[tuple[int, int]], first: bool) -> None:
        keys = np.unique(np.concatenate([np.unique(self._keys(square, part)) for part in parts]))
        width = self.kept.types["value"][1]
        sums, number = np.zeros((len(keys), width)), np.zeros(len(keys), np.int64)
        for part in parts:
            cell = np.searchsorted(keys, self._keys(square, part))
            _add(sums, number, cell, self.kept.read("value", *part).reshape(-1, width), first)
            self.kept.write("cell", part[0], cell + self.count)
        column = keys >> 32
        coord = np.stack([column // SIDE + SIDE * square[0], column % SIDE + SIDE * square[1], keys & 0xFFFFFFFF], axis=1)
        self.found.write("coord", self.count, coord)
        self.found.write("mean", self.count, sums if first else sums / number[:, None])
        self.squares[square] = (self.count, self.count + len(keys))
        self.count += len(keys)

    def _keys(self, square: Square, part: tuple[int, int]) -> I64:
        """Numbers of cells that sort as (x, y, z) do."""
        coord = self.kept.read("coord", *part).astype(np.int64)
        return np.asarray(((coord[:, 0] - SIDE * square[0]) * SIDE + coord[:, 1] - SIDE * square[1]) << 32 | coord[:, 2])


@numba.njit(cache=True)
def _add(sums: F64, number: I64, cell: I64, value: F32, first: bool) -> None:  # pragma: no cover
    """Add the points of one part, in their order; with `first` only what comes first counts."""
    for i in range(len(cell)):
        number[cell[i]] += 1
        if first and number[cell[i]] > 1:
            continue
        for column in range(value.shape[1]):
            sums[cell[i], column] += value[i, column]


@dataclass(frozen=True, eq=False)
class Voxelised:
    """A scan as voxels (`cells`, whose means are the network's inputs) and the way back to the points of its chunks."""

    found: Survey
    cells: Cells
    thinned: Cells | None
    voxel_of_thinned: I64

    def voxels_of(self, chunk: int) -> I64:
        """The voxel of every point of a chunk, -1 for points that have none because a coordinate or an attribute is not finite."""
        voxel = np.full(self.found.chunks[chunk], -1, np.int64)
        row, cell = (self.cells if self.thinned is None else self.thinned).cells_of(chunk)
        voxel[row] = cell if self.thinned is None else self.voxel_of_thinned[cell]
        return voxel


def voxelised(reader: Reader, frame: Frame, inputs: Inputs, found: Survey, folder: Path | None = None, chunk: int = CHUNK) -> Voxelised:
    """Read a surveyed scan once more and cut it into voxels, as the run's `Voxeliser` does with whole scenes.

    `folder` holds files of 24 bytes and 4 for each input a point, and 12 and 4 for each input a voxel; without it all of that is in memory.
    With a grid, a voxel's first point (reduce "first") may be another one than in a whole scene where it reaches into two squares.
    """
    points = placed_points(reader, frame, found, inputs.attributes, chunk)
    if inputs.grid is None:
        cells = _voxels(points, found.finite, found.low, found.high, inputs, folder and folder / "voxels")
        return Voxelised(found, cells, None, np.empty(0, np.int64))
    thinned = _thinned(points, found, inputs, folder and folder / "grid")
    low, high = _box(thinned)
    again = (_stretch(thinned, start, min(start + chunk, thinned.count)) for start in range(0, thinned.count, chunk))
    cells = _voxels(again, thinned.count, low, high, inputs, folder and folder / "voxels")
    voxel_of_thinned = np.empty(thinned.count, np.int64)
    for number in range(len(cells.chunks)):
        row, cell = cells.cells_of(number)
        voxel_of_thinned[number * chunk + row.astype(np.int64)] = cell
    return Voxelised(found, cells, thinned, voxel_of_thinned)


def _voxels(points: Iterator[Placed], count: int, low: F32, high: F32, inputs: Inputs, folder: Path | None) -> Cells:
    cells = Cells(folder, count, len(inputs.names))
    columns = input_columns(inputs, low, high)
    for row, xyz, feat in points:
        cells.put(row, _voxel_coords(np.ascontiguousarray(xyz), low, np.float32(inputs.size)), columns(xyz, feat))
    if not (cells.chunks and cells.chunks[-1][1]):
        raise ValueError("no point has finite coordinates and attributes: there is nothing to label")
    cells.close(inputs.reduce == "first")
    return cells


def _thinned(points: Iterator[Placed], found: Survey, inputs: Inputs, folder: Path | None) -> Cells:
    """The points thinned to the grid, as `subsample` does: a cell's barycentre and mean attributes."""
    size = float(inputs.grid or 0)
    corner = np.floor(found.low.astype(np.float64) / size) * size
    thinned = Cells(folder, found.finite, 3 + len(inputs.attributes))
    for row, xyz, feat in points:
        thinned.put(row, np.floor((xyz.astype(np.float64) - corner) / size).astype(np.int32), np.concatenate([xyz, feat], axis=1))
    thinned.close(False)
    return thinned


def _stretch(thinned: Cells, start: int, stop: int) -> Placed:
    values = thinned.found.read("mean", start, stop)
    return np.arange(stop - start), np.ascontiguousarray(values[:, :3]), np.ascontiguousarray(values[:, 3:])


def _box(thinned: Cells) -> tuple[F32, F32]:
    corners = [bounds(thinned.means(square)[:, :3]) for square in thinned.squares]
    return np.min([low for low, _ in corners], axis=0), np.max([high for _, high in corners], axis=0)


def input_columns(inputs: Inputs, low: F32, high: F32) -> Callable[[F32, F32], F32]:
    """What makes the network's columns f32[n,c] of places and attributes, in the box of the whole scan; as `Voxeliser` does."""
    names = (*inputs.attributes, *AXES)
    middle = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]], np.float32)

    def columns(xyz: F32, feat: F32) -> F32:
        every = [*feat.T, *(xyz - middle if inputs.center else xyz).T]
        return np.stack([every[names.index(name)] for name in inputs.names], axis=1)

    return columns


@numba.njit(cache=True)
def _voxel_coords(xyz: F32, low: F32, size: np.float32) -> I32:  # pragma: no cover
    """The voxel of every point, by the same arithmetic as `voxelise`."""
    coord = np.empty(xyz.shape, np.int32)
    for i in range(len(xyz)):
        for axis in range(3):
            coord[i, axis] = np.int32(np.rint((xyz[i, axis] - low[axis]) / size))
    return coord


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
