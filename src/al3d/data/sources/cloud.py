"""What a point cloud file holds, whatever its format, and the steps that the formats share."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from al3d.geometry.bounds import bounds
from al3d.types import F32, F64, I64, U8, Array

_COLOUR_NAMES = (("red", "green", "blue"), ("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue"))


@dataclass(frozen=True, eq=False)
class Cloud:
    """The points of one file, in the file's own frame and units.

    Shapes: `xyz` f64[N,3]; `colour` u8[N,3] red, green, blue; `intensity` [N], the file's own numbers; `label` i64[N]; None where the file has none.
    `full` is the number that means full intensity, where the format says it.
    """

    xyz: F64
    colour: U8 | None = None
    intensity: Array | None = None
    label: I64 | None = None
    full: float | None = None

    def __len__(self) -> int:
        return len(self.xyz)

    @property
    def coloured(self) -> bool:
        """Whether there are colours; a file in which all are black was written by a program that had none."""
        return self.colour is not None and (len(self) == 0 or bool(self.colour.any()))


def from_columns(path: Path, columns: Mapping[str, Array]) -> Cloud:
    """Build a `Cloud` from named columns: x y z, red green blue, intensity, label.

    Names are matched without regard to case and to the prefix `scalar_` that some editors add; other columns are left alone.
    Warns of places that single precision has rounded. Raises: ValueError naming the file and the column.
    """
    named = {name.lower().removeprefix("scalar_"): values for name, values in columns.items()}
    missing = [axis for axis in "xyz" if axis not in named]
    if missing:
        raise ValueError(f"{path}: no field {', '.join(missing)} among {', '.join(columns) or 'none'}: a scene needs x, y and z")
    xyz = np.stack([np.asarray(named[axis], dtype=np.float64) for axis in "xyz"], axis=1)
    if any(named[axis].dtype == np.float32 for axis in "xyz"):
        _warn_of_steps(path, xyz)
    colour = next((names for names in _COLOUR_NAMES if all(name in named for name in names)), None)
    return Cloud(
        xyz,
        None if colour is None else to_bytes(path, np.stack([named[name] for name in colour], axis=1)),
        named.get("intensity"),
        to_labels(path, named["label"]) if "label" in named else None,
    )


def to_bytes(path: Path, colour: Array) -> U8:
    """Colours as bytes: 16-bit values keep their high byte when any exceeds 255, floats up to 1 are stretched to 255.

    Raises: ValueError naming the file when a colour is negative, not finite or too large.
    """
    if colour.dtype == np.uint8 or colour.size == 0:
        return colour.astype(np.uint8)
    low, high = colour.min(), colour.max()
    floating = colour.dtype.kind == "f"
    if not (low >= 0 and high <= (255 if floating else 65535)):
        raise ValueError(f"{path}: colours range from {low} to {high}: give bytes 0..255, 16-bit values 0..65535, or floats 0..1")
    if floating:
        return np.asarray(np.rint(colour * 255 if high <= 1 else colour), dtype=np.uint8)
    return np.asarray(colour >> 8 if high > 255 else colour, dtype=np.uint8)


def _warn_of_steps(path: Path, xyz: F64) -> None:
    """Say it when single precision, far from the origin, has moved points by more than a ten thousandth of the scan."""
    finite = xyz[np.isfinite(xyz).all(axis=1)]
    if len(finite) < 2:
        return
    low, high = bounds(finite)
    step = float(np.spacing(np.float32(min(np.abs([low, high]).max(), np.finfo(np.float32).max / 2))))
    if step > (high - low).max() / 10_000 > 0:
        warnings.warn(
            f"{path}: its coordinates are single precision, which has steps of {step:g} this far from the origin: write them as double, or move them to the "
            "origin before they are written",
            stacklevel=2,
        )


#: What wide integers are taken to be a fraction of: the smallest that holds the file's largest value.
FULL_SCALES = (2**8 - 1, 2**16 - 1, 2**24 - 1, 2**32 - 1)


def full_scale(dtype: np.dtype[Any], highest: float) -> float | None:
    """The number that means full intensity, when nobody says which; None for floats, which stay as they are.

    Of 8 and 16 bits it is the type's largest value, of wider integers the smallest of 255, 65535, ... that holds the file's largest: NumPy's default
    type is 64 bits wide, whatever it holds.
    """
    if dtype.kind not in "iu":
        return None
    limit = int(np.iinfo(dtype).max)
    return float(limit if dtype.itemsize <= 2 else next((scale for scale in FULL_SCALES if highest <= scale), limit))


def fractions(values: Array, full: float | None = None, highest: float | None = None) -> F32:
    """Intensities f32[N] as fractions of `full`, if it is given: equal numbers then give equal fractions, whatever their type and format.

    Otherwise integers are fractions of their `full_scale`, by the `highest` of the file (the highest here, unless given), and floats stay as they are.
    """
    if full is None:
        full = full_scale(values.dtype, float(values.max(initial=0)) if highest is None else highest)
    with np.errstate(over="ignore"):  # what becomes infinite is reported with its point where the scene is made
        return (values if full is None else values / np.float64(full)).astype(np.float32)


def to_labels(path: Path, values: Array) -> I64:
    """Labels as int64. Raises: ValueError naming the file and the point when one is not a whole number."""
    if values.dtype.kind in "biu":
        return values.astype(np.int64)
    broken = np.flatnonzero(~((values == np.rint(values)) & (np.abs(values.astype(np.float64)) < 2**53)))  # also what is not a number
    if len(broken):
        raise ValueError(f"{path}: point {broken[0]} has label {values[broken[0]]}: labels are whole numbers")
    return values.astype(np.int64)


@contextmanager
def readable(path: Path, what: str) -> Iterator[None]:
    """Turn whatever a library raises about a garbled file into a ValueError that names the file; what the system refuses stays an OSError.

    Libraries for formats promise no list of errors: a flipped byte may end in a KeyError, a MemoryError or a struct.error.
    """
    try:
        yield
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except BaseException as error:
        # a library in Rust panics with an exception that is no Exception and that cannot be imported
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise ValueError(f"{path}: not {what} ({why}): it may be cut short; copy or write it again") from error


def check_size(path: Path, start: int, points: int, width: int, last: bool = False) -> None:
    """Raises: ValueError when a file cannot hold `points` records of `width` bytes from byte `start` on; asked before memory is.

    Nothing follows the `last` records: what is left by a writer that said too few, or other fields than it wrote, garbles all of them.
    """
    held = max(0, path.stat().st_size - start) // max(width, 1)
    if held < points:
        raise ValueError(f"{path}: the file ends after {held} of {points} points: it was cut short; copy or write it again")
    if last and held > points:
        raise ValueError(f"{path}: {_more(points)} ({path.stat().st_size - start - points * width} bytes follow): {_WRITE_AGAIN}")


#: What to do about files whose header is wrong; PCL 1.13 writes such PLY from clouds with colours of another kind than its own.
_WRITE_AGAIN = "its header is wrong, so that no value can be relied on; write it again, with another program"


def _more(points: int) -> str:
    return f"holds more data than the {points} points that its header promises"


#: Fields that hold a place.
PLACES = ("x", "y", "z")


def read_table(path: Path, skip: int, rows: int, fields: Sequence[tuple[str, np.dtype[np.generic]]], last: bool = False) -> dict[str, Array]:
    """Read `rows` lines of numbers that follow the first `skip` lines of a text file: one array per field, of the field's type.

    Places stay float64 whatever their field promises: many programs write millimetres at map coordinates under a header that says float, whose
    steps there are a quarter of a metre and more.
    Raises: ValueError with the file and the line that is short, long or not a number, or where the file ends too early, or goes on after the `last` lines.
    """
    if rows == 0:
        return {name: np.empty(0, dtype) for name, dtype in fields}
    if 2 * rows * len(fields) > path.stat().st_size + 1:  # a digit and a separator each, the last line's end apart
        raise ValueError(_first_broken_line(path, skip, rows, len(fields)))
    try:
        with path.open(encoding="latin-1") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about blank lines and empty files, which are told apart below
            lines = islice(file, skip, None)
            table = np.loadtxt(lines, dtype=np.float64, comments=None, max_rows=rows, ndmin=2)
            left = last and any(line.strip() for line in lines)
    except ValueError as error:
        raise ValueError(_first_broken_line(path, skip, rows, len(fields))) from error
    if table.shape != (rows, len(fields)):
        raise ValueError(_first_broken_line(path, skip, rows, len(fields)))
    if left:
        raise ValueError(f"{path}: {_more(rows)}: {_WRITE_AGAIN}")
    return {name: _as_type(path, name, table[:, column], dtype) for column, (name, dtype) in enumerate(fields)}


def _as_type(path: Path, name: str, values: F64, dtype: np.dtype[np.generic]) -> Array:
    if dtype.kind not in "iu":
        with np.errstate(over="ignore"):
            return values if name.lower() in PLACES else values.astype(dtype)
    limit = np.iinfo(dtype.str)
    above = float(limit.max) + 1  # exact for every type, unlike the largest 64-bit numbers
    broken = np.flatnonzero(~((values >= limit.min) & (values < above) & (values == np.rint(values))))
    if len(broken):
        raise ValueError(f"{path}: point {broken[0]} has {name} {values[broken[0]]}, which is not of the type {dtype} that the header promises")
    return values.astype(dtype)


def _first_broken_line(path: Path, skip: int, rows: int, columns: int) -> str:
    """Say which line broke `read_table`; line by line, since it runs only when the file is broken."""
    number, read = skip, 0
    with path.open(encoding="latin-1") as file:
        for number, line in enumerate(file, start=1):
            words = line.split()
            if number <= skip or not words:
                continue
            if len(words) != columns:
                return f"{path}: line {number} has {len(words)} values where the header promises {columns}: {line.strip()[:60]!r}; write the file again"
            wrong = next((word for word in words if not _is_number(word)), None)
            if wrong is not None:
                return f"{path}: line {number}: {wrong[:30]!r} is not a number; write the file again"
            read += 1
    return f"{path}: the file ends at line {number}, after {read} of {rows} points: it was cut short; copy or write it again"


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
