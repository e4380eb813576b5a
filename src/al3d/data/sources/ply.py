"""PLY files: ascii and binary, either byte order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from plyfile import PlyData

from al3d.data.sources.cloud import Cloud, check_size, from_columns, read_table, readable
from al3d.types import Array

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
_ORDERS = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}
_LONGEST_HEADER = 1000


@dataclass(frozen=True)
class _Header:
    """`fields` of the vertices; `first`: no other element's data lies before them, `last`: nor behind them; `plain`: none of them is a list."""

    order: str
    points: int
    fields: tuple[tuple[str, np.dtype[np.generic]], ...]
    first: bool
    last: bool
    plain: bool
    lines: int
    size: int


def read_ply(path: Path) -> Cloud:
    """Read the vertices of a PLY file.

    Raises: ValueError with the file, and the line where there is one, when the header is not PLY's, a line is broken, or the file is cut short.
    """
    return from_columns(path, ply_columns(path))


def ply_columns(path: Path) -> dict[str, Array]:
    """Every field of the vertices, lists aside. Raises: as `read_ply`."""
    header = read_header(path)
    if not (header.first and header.plain):
        return _by_plyfile(path)
    if header.order == "=":
        return read_table(path, header.lines, header.points, header.fields, last=header.last)
    dtype = np.dtype(list(header.fields))
    check_size(path, header.size, header.points, dtype.itemsize, last=header.last)
    data = np.fromfile(path, dtype, header.points, offset=header.size)
    return {name: data[name] for name, _ in header.fields}


def read_header(path: Path) -> _Header:
    """What the header of a PLY file promises. Raises: ValueError naming the file and what is wrong with it."""
    lines, size = _header_lines(path)
    order, points, before, behind, plain = "", None, 0, 0, True
    fields: dict[str, np.dtype[np.generic]] = {}
    element = ""
    for number, line in enumerate(lines, start=1):
        match line.split():
            case ["format", kind, _] if kind in _ORDERS:
                order = _ORDERS[kind]
            case ["element", name, count] if count.isdecimal():
                element = name
                if name == "vertex":
                    points = int(count)
                elif points is None:
                    before += int(count)
                else:
                    behind += int(count)
            case ["property", kind, name] if kind in _TYPES and name not in (fields if element == "vertex" else ()):
                if element == "vertex":
                    fields[name] = np.dtype((order or "=") + _TYPES[kind])
            case ["property", "list", _, _, _]:
                plain = plain and element != "vertex"
            case ["ply" | "end_header"] | ["comment" | "obj_info", *_]:
                continue
            case _:
                raise ValueError(f"{path}: line {number} of the PLY header is not understood: {line[:60]!r}; write the file again")
    if not order or points is None or not fields:
        raise ValueError(
            f"{path}: the PLY header has no {'format' if not order else 'element vertex' if points is None else 'property'} line: write the file again"
        )
    return _Header(order, points, tuple(fields.items()), before == 0, behind == 0, plain, len(lines), size)


def _header_lines(path: Path) -> tuple[list[str], int]:
    """The header's lines and its length in bytes. Raises: ValueError when the file does not start as PLY does."""
    lines: list[str] = []
    with path.open("rb") as file:
        while not lines or (lines[-1] != "end_header" and len(lines) < _LONGEST_HEADER):
            line = file.readline(4096)
            lines.append(line.decode("latin-1").strip())
            if not line or lines[0] != "ply":
                break
        if lines[0] != "ply" or lines[-1] != "end_header":
            raise ValueError(f"{path}: line {len(lines)}: not a PLY file, whose header starts with 'ply' and ends with 'end_header': {lines[-1][:40]!r}")
        return lines, file.tell()


def _by_plyfile(path: Path) -> dict[str, Array]:
    """The vertices of a file that puts other elements before them, or lists into them."""
    with readable(path, "a readable PLY file"):
        data = PlyData.read(path)["vertex"].data
    return {name: data[name] for name in data.dtype.names or () if data.dtype[name].kind != "O"}
