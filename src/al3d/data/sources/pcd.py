"""PCD files (Point Cloud Library): ascii, binary and binary_compressed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import njit

from al3d.data.sources.cloud import Cloud, check_size, from_columns, read_table
from al3d.types import U8, Array

_KINDS = {"F": "f", "I": "i", "U": "u"}
#: Values in one field; descriptors have a few hundred.
_LONGEST_FIELD = 4096
#: LZF turns at most 264 bytes into 3.
_DENSEST = 88
_KEYS = ("VERSION", "FIELDS", "SIZE", "TYPE", "COUNT", "WIDTH", "HEIGHT", "VIEWPOINT", "POINTS", "DATA")


@dataclass(frozen=True)
class _Header:
    """`fields`: name and type of each column, those with COUNT > 1 split into one column per value."""

    fields: tuple[tuple[str, np.dtype[np.generic]], ...]
    counts: tuple[int, ...]
    points: int
    data: str
    lines: int
    size: int


def read_pcd(path: Path) -> Cloud:
    """Read a PCD file; a packed field `rgb` or `rgba` becomes colours.

    Raises: ValueError with the file, and the line where there is one, when the header or a line is broken, or the file is cut short.
    """
    return from_columns(path, pcd_columns(path))


def pcd_columns(path: Path) -> dict[str, Array]:
    """Every field of a PCD file, colours unpacked. Raises: as `read_pcd`."""
    header = read_header(path)
    if header.data == "ascii":
        columns = read_table(path, header.lines, header.points, header.fields, last=True)
    elif header.data == "binary":
        dtype = np.dtype(list(header.fields))
        check_size(path, header.size, header.points, dtype.itemsize, last=True)
        data = np.fromfile(path, dtype, header.points, offset=header.size)
        columns = {name: data[name] for name, _ in header.fields}
    else:
        columns = _compressed_columns(path, header)
    return _unpacked(columns)


def read_header(path: Path) -> _Header:
    """Parse the header. Raises: ValueError with the file and the line."""
    found: dict[str, list[str]] = {}
    number = 0
    with path.open("rb") as file:
        while "DATA" not in found:
            number += 1
            line = file.readline(65536).decode("latin-1")
            words = line.split()
            if not line or (words and not line.startswith("#") and words[0] not in _KEYS):
                raise ValueError(f"{path}: line {number} of the PCD header is not understood, or DATA is missing: {line.strip()[:60]!r}; write the file again")
            if words and not line.startswith("#"):
                found[words[0]] = words[1:]
        size = file.tell()
    try:
        return _parsed(found, number, size)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        why = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path}: the PCD header is broken ({why}): it needs FIELDS, SIZE, TYPE, POINTS and DATA; write the file again") from error


def _parsed(found: dict[str, list[str]], lines: int, size: int) -> _Header:
    counts = [int(word) for word in found.get("COUNT", ["1"] * len(found["FIELDS"]))]
    if not all(1 <= count <= _LONGEST_FIELD for count in counts):
        raise ValueError(f"COUNT {counts}, of which each must be 1..{_LONGEST_FIELD}")
    fields: list[tuple[str, np.dtype[np.generic]]] = []
    for index, (name, width, kind, count) in enumerate(zip(found["FIELDS"], found["SIZE"], found["TYPE"], counts, strict=True)):
        # "_" is padding and may occur several times, which a structured type does not allow
        names = [f"_{index}" if name == "_" else name] if count == 1 else [f"{name}:{index}:{part}" for part in range(count)]
        fields += [(one, np.dtype(f"<{_KINDS[kind]}{width}")) for one in names]
    if len({name for name, _ in fields}) < len(fields):
        raise ValueError("a field is named twice")
    points = int(found["POINTS"][0]) if "POINTS" in found else int(found["WIDTH"][0]) * int(found["HEIGHT"][0])
    if points < 0 or not fields:
        raise ValueError(f"{points} points of {len(fields)} fields")
    data = found["DATA"][0]
    if data not in ("ascii", "binary", "binary_compressed"):
        raise ValueError(f"DATA {data}")
    return _Header(tuple(fields), tuple(counts), points, data, lines, size)


def _compressed_columns(path: Path, header: _Header) -> dict[str, Array]:
    """Decode `binary_compressed`: two lengths, then LZF data that holds one field after the other, a field's values of a point side by side.

    The Point Cloud Library leaves padding (`_`) out of this part, other writers keep it: the length tells.
    """
    if header.points == 0:
        return {name: np.empty(0, dtype) for name, dtype in header.fields}
    check_size(path, header.size, 8, 1)
    packed_size, plain_size = (int(size) for size in np.fromfile(path, "<u4", 2, offset=header.size))
    groups = _groups(header)
    kept = [group for group in groups if not group[0][0].startswith("_")]
    sizes = {header.points * sum(dtype.itemsize for group in some for _, dtype in group): some for some in (kept, groups)}
    if plain_size not in sizes:
        wanted = " or ".join(str(size) for size in sorted(sizes))
        raise ValueError(f"{path}: {header.points} points need {wanted} bytes, the compressed part says {plain_size}: write the file again")
    held = path.stat().st_size - header.size - 8
    if held < packed_size or plain_size > _DENSEST * packed_size:
        raise ValueError(f"{path}: the compressed part ({held} of {packed_size} bytes) is cut short or broken: copy or write it again")
    plain = np.zeros(plain_size, np.uint8)
    if lzf_decode(np.fromfile(path, np.uint8, packed_size, offset=header.size + 8), plain) != plain_size:
        raise ValueError(f"{path}: the compressed part ({packed_size} bytes) is cut short or broken: copy or write it again")
    columns: dict[str, Array] = {}
    start = 0
    for group in sizes[plain_size]:
        end = start + header.points * sum(dtype.itemsize for _, dtype in group)
        values = plain[start:end].view(group[0][1]).reshape(header.points, len(group))
        columns |= {name: values[:, index] for index, (name, _) in enumerate(group)}
        start = end
    return columns


def _groups(header: _Header) -> list[tuple[tuple[str, np.dtype[np.generic]], ...]]:
    """The columns of each field."""
    ends = np.cumsum(header.counts).tolist()
    return [header.fields[end - count : end] for end, count in zip(ends, header.counts, strict=True)]


def _unpacked(columns: dict[str, Array]) -> dict[str, Array]:
    """Split `rgb` or `rgba`, one 32-bit word per point (often declared as a float), into red, green, blue."""
    name = next((name for name in ("rgb", "rgba") if name in columns and columns[name].dtype.itemsize == 4), None)
    if name is None:
        return columns
    word = np.ascontiguousarray(columns.pop(name)).view("<u4")
    return columns | {colour: (word >> shift & 255).astype(np.uint8) for colour, shift in (("red", 16), ("green", 8), ("blue", 0))}


@njit(cache=True)
def lzf_decode(packed: U8, plain: U8) -> int:
    """Decode LZF data u8[P] into `plain` u8[Q]; returns the bytes written, or -1 when the data is broken."""
    read, written = 0, 0
    while read < len(packed):
        control = int(packed[read])
        read += 1
        if control < 32:
            length = control + 1
            if read + length > len(packed) or written + length > len(plain):
                return -1
            plain[written : written + length] = packed[read : read + length]
            read += length
        else:
            length = control >> 5
            if length == 7 and read < len(packed):
                length += int(packed[read])
                read += 1
            length += 2
            if read >= len(packed):
                return -1
            start = written - ((control & 31) << 8) - int(packed[read]) - 1
            read += 1
            if start < 0 or written + length > len(plain):
                return -1
            # byte by byte: the copied stretch may overlap the place it is copied to
            for index in range(length):
                plain[written + index] = plain[start + index]
        written += length
    return written
