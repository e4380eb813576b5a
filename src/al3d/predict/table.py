"""Columns of equally many rows, in memory for a small scan, in files for a large one: written and read in stretches, never as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from al3d.types import Array


class Table:
    """`rows` rows of named columns (type, values a row), in files below `folder`, or in memory when that is None."""

    def __init__(self, folder: Path | None, rows: int, columns: Mapping[str, tuple[Any, int]]) -> None:
        self.folder, self.rows = folder, rows
        self.types = {name: (np.dtype(kind), width) for name, (kind, width) in columns.items()}
        self._arrays = {name: np.empty((rows, width), kind) for name, (kind, width) in self.types.items()} if folder is None else {}
        for name in self.types if folder is not None else ():
            self._file(name).touch()

    def write(self, name: str, start: int, values: Array) -> None:
        """Put `values` [n] or [n,width] into the rows from `start` on."""
        kind, width = self.types[name]
        rows = np.ascontiguousarray(values.reshape(-1, width), dtype=kind)
        if self.folder is None:
            self._arrays[name][start : start + len(rows)] = rows
            return
        with self._file(name).open("r+b") as file:
            file.seek(start * width * kind.itemsize)
            rows.tofile(file)

    def read(self, name: str, start: int, stop: int) -> Array:
        """The rows from `start` to `stop`, [n] of a single value a row, else [n,width]."""
        kind, width = self.types[name]
        if self.folder is None:
            rows = self._arrays[name][start:stop]
        else:
            rows = np.fromfile(self._file(name), kind, (stop - start) * width, offset=start * width * kind.itemsize).reshape(-1, width)
        return rows[:, 0] if width == 1 else rows

    def bytes_a_row(self) -> int:
        """What a row takes."""
        return sum(kind.itemsize * width for kind, width in self.types.values())

    def _file(self, name: str) -> Path:
        if self.folder is None:
            raise ValueError("a table in memory has no files")
        return self.folder / f"{name}.bin"
