"""Text rows `x y z r g b`, as S3DIS stores them: a strict fast reader that survives a few corrupt lines and says which."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numba
import numpy as np

from al3d.types import F32, F64, I64, U8

#: More unreadable lines than this in one file mean that the file is not what it should be.
MOST_BAD_LINES = 10
_EXACT = 2**53
#: Bytes read at once: what a file needs in memory beside its rows.
_BLOCK = 1 << 22


def count_lines(path: Path) -> int:
    """The most rows that a file can hold: one for each of its lines."""
    return sum(block.count(b"\n") for block in _blocks(path)) + 1


def read_rows(path: Path, shown: str, xyz: F64, colour: F32) -> int:
    """Write the rows of an annotation file into `xyz` f64[M,3] (metres) and `colour` f32[M,3] (0..255); returns how many there are.

    M is at least `count_lines`. Blank lines are ignored. Lines with corrupt bytes, another number of fields or a colour outside 0..255
    are skipped, and one warning lists them; `shown` is the file's name in messages.
    Raises: ValueError for a coordinate that is not finite, and for more than `MOST_BAD_LINES` unreadable lines.
    """
    filled, line = 0, 0
    bad: list[tuple[int, bytes]] = []
    for block in _blocks(path):
        if block.count(b"\n") + (not block.endswith(b"\n")) > len(xyz) - filled:
            raise ValueError(f"{shown}: has more lines than a moment ago: wait until nobody writes it, then read it again")
        data = np.frombuffer(block, dtype=np.uint8)
        suspects = np.empty((MOST_BAD_LINES + 1, 4), dtype=np.int64)
        rows, lines, found = _parse(data, xyz[filled:], colour[filled:], suspects)
        if found > len(suspects):
            suspects = np.empty((found, 4), dtype=np.int64)
            _parse(data, xyz[filled:], colour[filled:], suspects)
        if found:
            rows = _second_look(block, line, xyz[filled : filled + rows], colour[filled : filled + rows], suspects[:found], bad, shown)
        filled, line = filled + rows, line + lines
    _report(bad, shown)
    return filled


def _blocks(path: Path) -> Iterator[bytes]:
    """The file in pieces of whole lines."""
    rest = b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            block = rest + block
            end = block.rfind(b"\n") + 1 or len(block)
            rest = block[end:]
            yield block[:end]
    if rest:
        yield rest


def _second_look(block: bytes, before: int, xyz: F64, colour: F32, suspects: I64, bad: list[tuple[int, bytes]], shown: str) -> int:
    """Fill the rows that the fast parser left open (exponents, many digits), close the gaps of those that are no rows; returns the rows left."""
    keep = np.ones(len(xyz), dtype=bool)
    for row, line, start, end in suspects.tolist():
        text, number = block[start:end], before + line
        parsed = _row(text)
        if parsed is None:
            keep[row] = False
            bad.append((number, text))
        elif not np.isfinite(parsed[:3]).all():
            raise ValueError(
                f"{shown}, line {number}: a coordinate is not finite ({_quoted(text)}): remove the line, or extract the file from the archive again"
            )
        else:
            xyz[row], colour[row] = parsed[:3], parsed[3:]
    kept = int(keep.sum())
    if kept < len(keep):
        xyz[:kept], colour[:kept] = xyz[keep], colour[keep]
    return kept


def _row(text: bytes) -> list[float] | None:
    """Six numbers, the last three a colour, or None."""
    fields = text.split()
    if len(fields) != 6:
        return None
    try:
        numbers = [float(field) for field in fields]
    except ValueError:
        return None
    return numbers if all(0 <= color <= 255 for color in numbers[3:]) else None


def _report(bad: list[tuple[int, bytes]], shown: str) -> None:
    if not bad:
        return
    listed = ", ".join(f"line {line} ({_quoted(text)})" for line, text in bad[:MOST_BAD_LINES])
    if len(bad) > MOST_BAD_LINES:
        raise ValueError(
            f"{shown}: {len(bad)} lines are not 'x y z r g b' with colours 0..255, first {listed}: "
            "extract the file from the archive again, or write its rows in that form"
        )
    warnings.warn(f"{shown}: skipped {listed}: not 'x y z r g b' with colours 0..255", stacklevel=4)


def _quoted(text: bytes) -> str:
    return repr(text[:60].decode("latin-1"))


@numba.njit(cache=True)
def _parse(data: U8, xyz: F64, colour: F32, suspects: I64) -> tuple[int, int, int]:
    """Parse plain decimals; returns the rows, lines and suspects found.

    A line with anything else keeps an unfilled row and goes to `suspects`, as far as there is room, as (row, line, start, end). A decimal of at most
    2**53 over a power of ten up to 1e22 is correctly rounded, so values equal those of `float`.
    """
    size, position, line, row, suspect = len(data), 0, 0, 0, 0
    while position < size:
        start, field, good, line = position, 0, True, line + 1
        while position < size and data[position] != 10:
            byte = data[position]
            if byte == 32 or byte == 9 or byte == 13:
                position += 1
                continue
            position, good, value = _number(data, position, size)
            if not good or field == 6 or (field > 2 and not 0 <= value <= 255):
                good = False
                break
            if field < 3:
                xyz[row, field] = value
            else:
                colour[row, field - 3] = value
            field += 1
        while position < size and data[position] != 10:
            position += 1
        if not good or 0 < field < 6:
            if suspect < len(suspects):
                suspects[suspect, 0], suspects[suspect, 1], suspects[suspect, 2], suspects[suspect, 3] = row, line, start, position
            suspect += 1
            row += 1
        elif field == 6:
            row += 1
        position += 1
    return row, line, suspect


@numba.njit(cache=True)
def _number(data: U8, position: int, size: int) -> tuple[int, bool, float]:
    """Read one plain decimal from `position`: where it ends, whether it is one, its value."""
    negative = data[position] == 45
    if negative:
        position += 1
    mantissa, power, digits, decimals = 0, 1.0, 0, False
    while position < size:
        byte = data[position]
        if 48 <= byte <= 57:
            mantissa = mantissa * 10 + (byte - 48)
            digits += 1
            if decimals:
                power *= 10.0
            if mantissa >= _EXACT or power > 1e22:
                return position, False, 0.0
        elif byte == 46 and not decimals:
            decimals = True
        else:
            break
        position += 1
    ended = position == size or data[position] == 32 or data[position] == 9 or data[position] == 10 or data[position] == 13
    value = mantissa / power
    return position, ended and digits > 0, -value if negative else value
