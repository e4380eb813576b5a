"""Labelled scans as files: PLY, LAS and LAZ, SemanticKITTI's .label, NPZ, and the lines that ScanNet's server wants."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from al3d.predict.options import FIELDS as FIELDS
from al3d.predict.scans import COLOURS, BinaryPly, Columns, FileReader, Reader, binary_ply, ending_of, las_chunks
from al3d.predict.trained import Legend
from al3d.types import IGNORE, U8, Array, ClassTable

#: What `format=` takes, and the ending of each.
ENDINGS = {"ply": ".ply", "las": ".las", "laz": ".laz", "label": ".label", "npz": ".npz"}
#: What `format=same` means for a scan's ending.
SAME = {".ply": "ply", ".las": "las", ".laz": "laz", ".npz": "npz", ".bin": "label", ".pcd.bin": "label"}
_PLY_TYPES = {"i1": "char", "u1": "uchar", "i2": "short", "u2": "ushort", "i4": "int", "u4": "uint", "f4": "float", "f8": "double"}
#: The coordinates of LAS files made from others are whole multiples of this, in the file's unit.
_LAS_STEP = 1e-4


@dataclass(frozen=True, eq=False)
class Result:
    """What a writer is given: the scan, its chunks, and per chunk the class of every point u8[n] (IGNORE: none) and probabilities f16[n,C] or None."""

    reader: Reader
    size: int
    points: int
    classes: ClassTable
    label: Callable[[int], U8]
    prob: Callable[[int], Array] | None = None
    coloured: bool = False
    field: str = "classification"

    def chunks(self) -> Iterator[tuple[int, Columns]]:
        """The number and the columns of every chunk."""
        return enumerate(self.reader.columns(self.size))

    def spelled(self, chunk: int, legend: Legend) -> Array:
        """The labels of a chunk as numbers of a legend, in the smallest of u8, u16 and i32 that holds them all."""
        return spelling(legend)[self.label(chunk)]

    @property
    def prob_names(self) -> list[str]:
        """A column for every class's probability, all different (`prob_columns`); none when they were not asked for."""
        return prob_columns(self.classes.names) if self.prob is not None else []


def prob_columns(names: Sequence[str]) -> list[str]:
    """`prob_NAME` for every class, of Latin letters and digits and at most 32 long, as LAS has it; `prob_NUMBER` where that says nothing or is taken.

    NUMBER is the place of the class in the data set's list, from 0 on.
    """
    columns: list[str] = []
    spelled = [re.sub(r"[^A-Za-z0-9]+", "_", name) for name in names]
    numbered = {f"prob_{place}" for place in range(len(names))}
    for place, name in enumerate(spelled):
        column = f"prob_{name}"[:32]
        columns.append(f"prob_{place}" if not name.strip("_") or column in columns or column in numbered else column)
    return columns


def spelling(legend: Legend) -> Array:
    """Class or IGNORE -> the number in a file, [256]."""
    values = (*legend.values, legend.unknown)
    kind: Any = np.int32
    if min(values) >= 0 and max(values) < 2**16:
        kind = np.uint8 if max(values) < 2**8 else np.uint16
    table = np.full(256, legend.unknown, kind)
    table[: len(legend.values)] = legend.values
    return table


def write_npz(result: Result, path: Path, legend: Legend) -> None:
    """`xyz` [N,3], `rgb` u8 [N,3] and `intensity` [N] where the scan has them, `label` [N], `classes` [C], and `prob` f16 [N,C]: array after array."""
    first = next(iter(result.reader.columns(result.size)))
    names = {name.lower().removeprefix("scalar_"): name for name in first}
    arrays: list[tuple[str, list[str], Any]] = [("xyz", [names[axis] for axis in "xyz"], first[names["x"]].dtype)]
    if set(COLOURS) <= set(names):
        arrays.append(("rgb", [names[colour] for colour in COLOURS], first[names["red"]].dtype))
    if "intensity" in names:
        arrays.append(("intensity", [names["intensity"]], first[names["intensity"]].dtype))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, columns, kind in arrays:
            parts = (np.stack([chunk[column] for column in columns], axis=1) for _, chunk in result.chunks())
            _member(archive, name, (part if len(columns) > 1 else part[:, 0] for part in parts), (result.points, len(columns)), kind)
        chunks = -(-result.points // result.size)
        _member(archive, "label", (result.spelled(chunk, legend) for chunk in range(chunks)), (result.points, 1), spelling(legend).dtype)
        names_of_classes = np.array(result.classes.names)
        _member(archive, "classes", iter([names_of_classes]), (len(names_of_classes), 1), names_of_classes.dtype)
        values = np.array([*legend.values, legend.unknown])
        _member(archive, "values", iter([values]), (len(values), 1), values.dtype)
        if result.prob is not None:
            _member(archive, "prob", (result.prob(chunk) for chunk in range(chunks)), (result.points, len(result.classes)), np.float16, flat=False)


def _member(archive: zipfile.ZipFile, name: str, parts: Iterator[Array], shape: tuple[int, int], kind: Any, flat: bool = True) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(kind)), "fortran_order": False, "shape": shape[:1] if flat and shape[1] == 1 else shape}
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            file.write(np.ascontiguousarray(part, dtype=kind).tobytes())


def write_label(result: Result, path: Path, legend: Legend) -> None:
    """One little-endian uint32 per point, as SemanticKITTI's label files; a number below 0 becomes that of 16 bits."""
    table = spelling(legend).astype(np.int64) & 0xFFFF
    with path.open("wb") as file:
        for chunk in range(-(-result.points // result.size)):
            table[result.label(chunk)].astype("<u4").tofile(file)


def write_text(result: Result, path: Path, legend: Legend) -> None:
    """One number a line and point, as ScanNet's server reads it."""
    table = spelling(legend)
    with path.open("w", encoding="ascii") as file:
        for chunk in range(-(-result.points // result.size)):
            file.write("".join(f"{value}\n" for value in table[result.label(chunk)].tolist()))


def write_ply(result: Result, path: Path, legend: Legend) -> None:
    """Binary PLY: every field of the scan, then `label`, and `prob_<class>` as floats.

    With `coloured` red, green and blue are the class's colour, black where there is none. Of a binary PLY file the byte order, the
    comments and the elements behind the vertices (a mesh's faces) are kept as they are.
    """
    source = result.reader.path if isinstance(result.reader, FileReader) else None
    layout = binary_ply(source) if source is not None and ending_of(source) == ".ply" else None
    order: Literal["<", ">"] = ">" if layout is not None and layout.order == ">" else "<"
    first = next(iter(result.reader.columns(result.size)))
    replaced = {"label", *(COLOURS if result.coloured else ()), *result.prob_names}
    kept = {name: _ply_type(values.dtype).newbyteorder(order) for name, values in first.items() if name.lower().removeprefix("scalar_") not in replaced}
    added: list[tuple[str, np.dtype[Any]]] = [(name, np.dtype("u1")) for name in (COLOURS if result.coloured else ())]
    # of two bytes and unsigned, Open3D's tensor reader leaves it out
    label_type = np.dtype(np.uint8 if spelling(legend).dtype == np.uint8 else np.int32).newbyteorder(order)
    added += [("label", label_type), *((name, np.dtype(f"{order}f4")) for name in result.prob_names)]
    dtype = np.dtype([*kept.items(), *added])
    with path.open("wb") as file:
        file.write(_ply_header(source, layout, dtype, result.points, order).encode("latin-1"))
        for chunk, columns in result.chunks():
            rows = np.empty(len(next(iter(columns.values()))), dtype)
            for name in kept:
                rows[name] = columns[name]
            _fill(rows, result, chunk, legend)
            rows.tofile(file)
        if layout is not None and source is not None:
            with source.open("rb") as before:
                before.seek(layout.end)
                shutil.copyfileobj(before, file, 1 << 24)


def _ply_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type itself where PLY has it, else float64, which holds whole numbers up to 2^53."""
    return dtype if dtype.str[1:] in _PLY_TYPES else np.dtype(np.float64)


def _fill(rows: Array, result: Result, chunk: int, legend: Legend) -> None:
    rows["label"] = result.spelled(chunk, legend)
    if result.coloured:
        table = np.zeros((256, 3), np.uint8)
        table[: len(result.classes)] = result.classes.colors
        for place, name in enumerate(COLOURS):
            rows[name] = table[result.label(chunk), place]
    if result.prob is not None:
        prob = result.prob(chunk)
        for place, name in enumerate(result.prob_names):
            rows[name] = prob[:, place]


def _ply_header(source: Path | None, layout: BinaryPly | None, dtype: np.dtype[Any], points: int, order: str) -> str:
    """The header: of a binary PLY file its own lines, with other properties of the vertices."""
    properties = [f"property {_PLY_TYPES[kind.str[1:]]} {name}" for name, (kind, *_) in (dtype.fields or {}).items()]
    if layout is None or source is None:
        start = ["ply", f"format binary_{'little' if order == '<' else 'big'}_endian 1.0"]
        return "\n".join([*start, f"element vertex {points}", *properties, "end_header", ""])
    with source.open("rb") as file:
        old = file.read(layout.start).decode("latin-1").replace("\r\n", "\n").split("\n")
    lines, element = [], ""
    for line in old:
        words = line.split()
        element = words[1] if words[:1] == ["element"] else element
        if not (words[:1] == ["property"] and element == "vertex"):
            lines.append(line)
        if words[:2] == ["element", "vertex"]:
            lines += properties
    return "\n".join(lines)


def write_las(result: Result, path: Path, legend: Legend, compressed: bool = False) -> None:
    """LAS, or `compressed` LAZ: a copy of a LAS or LAZ scan with its header, records and coordinates, or a new file.

    The number of the class becomes the `classification`, or an extra dimension `label` (uint8); probabilities are extra dimensions. Of a COPC file
    comes plain LAZ: its index says where chunks lie in the file, and is left out.
    Raises: ValueError when a number does not fit, or coordinates of other formats are not finite, which LAS cannot say.
    """
    import laspy

    source = result.reader.path if isinstance(result.reader, FileReader) and ending_of(result.reader.path) in (".las", ".laz") else None
    first = None if source is not None else next(iter(result.reader.columns(result.size)))
    header, largest = _new_header(result) if first is not None else (next(las_chunks(_known(source), result.size)), {})
    for records in (header.vlrs, header.evlrs or []):
        records[:] = [record for record in records if record.user_id != "copc"]
    dimensions = set(header.point_format.dimension_names)
    extra = [name for name in ("label",) if result.field == "label" and name not in dimensions]
    _check_fit(result, legend, 31 if result.field == "classification" and header.point_format.id < 6 else 255)
    added = [laspy.ExtraBytesParams(name=name, type=np.uint8, description="class") for name in extra]
    added += [laspy.ExtraBytesParams(name=name, type=np.float32) for name in result.prob_names if name not in dimensions]
    if added:
        header.add_extra_dims(added)
    backend = laspy.LazBackend.Lazrs
    with path.open("wb") as file, laspy.open(file, mode="w", header=header, do_compress=compressed, laz_backend=backend, closefd=False) as writer:
        for chunk, record in enumerate(_las_records(result, source, header, largest)):
            record[result.field] = result.spelled(chunk, legend)
            if result.prob is not None:
                prob = result.prob(chunk).astype(np.float32)
                for place, name in enumerate(result.prob_names):
                    record[name] = prob[:, place]
            writer.write_points(record)
        if header.evlrs:
            writer.write_evlrs(header.evlrs)


def _known(source: Path | None) -> Path:
    if source is None:
        raise ValueError("this scan has no LAS file")
    return source


def _las_records(result: Result, source: Path | None, header: Any, largest: Mapping[str, float]) -> Iterator[Any]:
    """Point records for a header: the file's own, or made of columns, whose `largest` values in the whole file say how they count."""
    import laspy

    if source is not None:
        chunks = las_chunks(source, result.size)
        next(chunks)
        for chunk in chunks:
            if chunk.point_format == header.point_format:
                yield chunk
                continue
            record = laspy.ScaleAwarePointRecord.zeros(len(chunk), header=header)
            record.copy_fields_from(chunk)
            yield record
        return
    for _, columns in result.chunks():
        record = laspy.ScaleAwarePointRecord.zeros(len(columns["x"]), header=header)
        for axis in "xyz":
            record[axis] = np.asarray(columns[axis], np.float64)
        for name in (*COLOURS, "intensity"):
            if name in columns and name in header.point_format.dimension_names:
                record[name] = _sixteen_bits(columns[name], largest[name])
        yield record


def _sixteen_bits(values: Array, largest: float) -> Array:
    """Bytes in the high byte, fractions (decimals of which the `largest` is at most 1) as a share of 65535, other numbers cut to 0..65535."""
    if values.dtype == np.uint8:
        return np.asarray(values.astype(np.uint16) << 8)
    if values.dtype.kind == "f" and largest <= 1:
        return np.asarray(np.rint(np.nan_to_num(values) * 65535).clip(0, 65535), dtype=np.uint16)
    return np.asarray(np.nan_to_num(values).clip(0, 65535), dtype=np.uint16)


def _new_header(result: Result) -> tuple[Any, dict[str, float]]:
    """A header for the scan, and the largest finite colours (together, so that all three are read alike) and intensity of all its chunks."""
    import laspy

    low, coloured = np.full(3, np.inf), False
    largest: dict[str, float] = {}
    for _, columns in result.chunks():
        places = np.stack([np.asarray(columns[axis], np.float64) for axis in "xyz"], axis=1)
        if not np.isfinite(places).all():
            raise ValueError("has points whose coordinates are not finite, which LAS cannot say: choose format=npz or format=ply")
        low, coloured = np.minimum(low, places.min(axis=0)), set(COLOURS) <= set(columns)
        for name in {*COLOURS, "intensity"} & set(columns):
            values = columns[name]
            finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
            largest[name] = max(largest.get(name, 0.0), float(finite.max(initial=0)))
    colour = max((largest[name] for name in COLOURS if name in largest), default=0.0)
    largest |= {name: colour for name in COLOURS if name in largest}
    header = laspy.LasHeader(point_format=7 if coloured else 6, version="1.4")
    header.offsets, header.scales = np.floor(low), np.full(3, _LAS_STEP)
    return header, largest


def _check_fit(result: Result, legend: Legend, most: int) -> None:
    """Raises: ValueError when a class's number, or that of no class where there are such points, does not fit."""
    used = list(legend.values)
    if any((result.label(chunk) == IGNORE).any() for chunk in range(-(-result.points // result.size))):
        used.append(legend.unknown)
    wrong = [value for value in used if not 0 <= value <= most]
    if wrong:
        raise ValueError(f"labels {wrong} do not fit into {result.field} (0..{most}): give field=label, or format=npz or ply")


WRITERS: dict[str, Callable[[Result, Path, Legend], None]] = {
    "ply": write_ply,
    "las": write_las,
    "laz": partial(write_las, compressed=True),
    "label": write_label,
    "npz": write_npz,
    "text": write_text,
}


def check_format(wanted: str, endings: Sequence[str]) -> None:
    """Raises: ValueError for a format that is not written, or scans that `same` cannot be said of."""
    known = (*ENDINGS, "same", "submission")
    if wanted not in known:
        raise ValueError(f"format={wanted}: choose one of {', '.join(known)}")
    unwritten = sorted({ending for ending in endings if wanted == "same" and ending not in SAME})
    if unwritten:
        raise ValueError(f"format=same: {', '.join(unwritten)} files are read but not written: choose one of {', '.join(ENDINGS)}")
