"""Point cloud files by their ending: PLY, LAS, LAZ, PCD, NPZ, and the BIN files of KITTI."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from al3d.data.sources.cloud import Cloud, check_size, from_columns, readable, to_bytes
from al3d.data.sources.pcd import read_pcd
from al3d.data.sources.ply import read_ply
from al3d.types import Array

#: How sweeps of nuScenes end.
NUSCENES = ".pcd.bin"


def read_cloud(path: Path) -> Cloud:
    """Read one point cloud file; labels come from the field `label`, in LAS and LAZ from the classification.

    Raises: FileNotFoundError; ValueError naming the file, and the line or the field, when it cannot be understood.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{path}: files ending in {path.suffix!r} are not read: use one of {', '.join(READERS)}")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return reader(path)


def read_las(path: Path) -> Cloud:
    """Read a LAS or LAZ file: coordinates with scale and offset applied, classification as label."""
    return from_columns(path, las_columns(path))


def las_columns(path: Path, extra: bool = False) -> dict[str, Array]:
    """x, y, z, intensity, the classification as `label`, and red, green, blue where there are; with `extra` the extra bytes' fields, which win.

    Raises: ValueError naming the file when it cannot be read.
    """
    import laspy  # slow to import, and few data sets need it

    check_las(path)
    # one thread: the parallel decompressor believes the file's table of chunks and takes the process down when its sizes are garbled
    backend = laspy.LazBackend.Lazrs
    with readable(path, "a readable LAS file"):
        with laspy.open(path, laz_backend=backend) as opened:
            header = opened.header
            compressed, promised, start = header.are_points_compressed, header.point_count, header.offset_to_point_data
            width = header.point_format.size
        if promised < 0 or start < 0:
            raise ValueError(f"{promised} points from byte {start} on")
    check_size(path, start, 1 if compressed and promised else promised, 1 if compressed else width)
    with readable(path, "a readable LAS file"):
        las = laspy.read(path, laz_backend=backend)
        columns = {axis: np.asarray(las[axis], dtype=np.float64) for axis in "xyz"}
        columns |= {"intensity": np.asarray(las["intensity"]), "label": np.asarray(las["classification"])}
        if {"red", "green", "blue"} <= set(las.point_format.dimension_names):
            columns |= {name: np.asarray(las[name]) for name in ("red", "green", "blue")}
        if extra:
            columns |= {name: np.asarray(las[name]) for name in las.point_format.extra_dimension_names}
    if len(columns["x"]) < promised:
        raise ValueError(f"{path}: the file ends after {len(columns['x'])} of {promised} points: it was cut short; copy or write it again")
    return columns


def check_las(path: Path) -> None:
    """Refuse headers that promise more records than the file holds, which laspy would look for one by one, for minutes.

    Source: ASPRS LAS 1.4, public header block: variable length records take 54 bytes or more, the extended ones behind the points 60.
    """
    with path.open("rb") as file:
        head = file.read(247)
    size = path.stat().st_size
    if len(head) < 107 or head[:4] != b"LASF":
        raise ValueError(f"{path}: not a LAS file, which starts with 'LASF' and a header: {head[:4]!r}; copy or write it again")
    header, start, records = struct.unpack_from("<HII", head, 94)
    extended = struct.unpack_from("<QI", head, 235) if head[25] >= 4 and len(head) == 247 else (0, 0)
    if header + 54 * records > start or start > size or (extended[1] and extended[0] + 60 * extended[1] > size):
        raise ValueError(f"{path}: not a readable LAS file (the header promises more than its {size} bytes hold): it may be cut short; copy or write it again")
    if head[104] & 128:
        _check_chunks(path, header, start, records, struct.unpack_from("<H", head, 105)[0])


def _check_chunks(path: Path, header: int, start: int, records: int, width: int) -> None:
    """Refuse a LAZ file whose tables ask for more than it can hold: the decompressor takes that much memory, or ends the process.

    Source: LASzip's format: a chunk begins with a whole point; the place of the table of chunks lies before the first, or, as -1 there, at the end.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        kind = _compressor(file, header, records)
        if kind not in (2, 3):  # the kinds that have a table
            return
        file.seek(start)
        table = int.from_bytes(file.read(8), "little", signed=True)
        if table == -1:
            file.seek(-8, 2)
            table = int.from_bytes(file.read(8), "little", signed=True)
        file.seek(max(0, table))
        version, chunks = struct.unpack("<II", file.read(8).ljust(8, b"\0"))
    if not start + 8 <= table <= size - 8 or version or chunks * width > table - start:
        raise ValueError(
            f"{path}: not a readable LAS file (a table of {chunks} chunks of points at byte {table} of {size}, which cannot be): "
            "it may be cut short; copy or write it again"
        )


def _compressor(file: BinaryIO, place: int, records: int) -> int | None:
    """The kind of compression that the variable length records from `place` on say, None where none does."""
    for _ in range(records):
        file.seek(place)
        head = file.read(54 + 2)
        if len(head) < 56:
            return None
        owner, number, length = struct.unpack_from("<16sHH", head, 2)
        if owner.startswith(b"laszip encoded") and number == 22204:
            return int.from_bytes(head[54:56], "little")
        place += 54 + length
    return None


def read_npz(path: Path) -> Cloud:
    """Read an NPZ file: `xyz` [N,3], and optionally `rgb` [N,3], `intensity` [N], `label` [N]."""
    with readable(path, "a readable NPZ file of plain arrays, as numpy.savez writes it"), np.load(path, allow_pickle=False) as file:
        arrays = {name: np.asarray(file[name]) for name in ("xyz", "rgb", "intensity", "label") if name in file.files}
        names = list(file.files)
    if "xyz" not in arrays:
        raise ValueError(f"{path}: no array xyz among {', '.join(names) or 'none'}: a scene needs xyz [N,3]")
    count = len(arrays["xyz"]) if arrays["xyz"].ndim else 0
    for name, array in arrays.items():
        wanted = (count, 3) if name in ("xyz", "rgb") else (count,)
        if array.shape != wanted or array.dtype.kind not in "fiub":
            raise ValueError(f"{path}: array {name} is {array.dtype} {list(array.shape)}, but must hold numbers {list(wanted)}")
    columns = {axis: arrays["xyz"][:, index] for index, axis in enumerate("xyz")}
    cloud = from_columns(path, columns | {name: arrays[name] for name in ("intensity", "label") if name in arrays})
    colour = to_bytes(path, arrays["rgb"]) if "rgb" in arrays else None
    return Cloud(cloud.xyz, colour, cloud.intensity, cloud.label)


def read_bin(path: Path) -> Cloud:
    """Read a KITTI scan, float32 [N,4] x y z intensity, or a sweep of nuScenes, `.pcd.bin`, with a fifth number for the beam and intensities 0..255.

    Labels are the low 16 bits of the uint32 [N] in a `.label` file beside it.
    Source: SemanticKITTI (Behley et al., ICCV 2019), whose high 16 bits number the instances.
    """
    sweep = path.name.lower().endswith(NUSCENES)
    if not sweep:
        check_four(path)
    values, labels = _whole(path, "<f4", 5 if sweep else 4, f"float32 x y z intensity{' ring' if sweep else ''}"), None
    beside = label_file(path)
    if beside.is_file():
        labels = (_whole(beside, "<u4", 1, "one uint32 per point")[:, 0] & 0xFFFF).astype(np.int64)
        if len(labels) != len(values):
            raise ValueError(f"{beside}: has {len(labels)} labels for the {len(values)} points of {path.name}: they are not of the same scan; copy both again")
    return Cloud(values[:, :3].astype(np.float64), None, values[:, 3], labels, 255.0 if sweep else None)


def check_four(path: Path) -> None:
    """Refuse a BIN file that would be read as x y z intensity and holds a fifth number for each point, the beam: nothing in the file says so.

    Raises: ValueError when every fifth number is whole and below 256, in a file whose size allows it.
    """
    values = np.fromfile(path, "<f4", 5 * 4096)
    if path.stat().st_size % 20 or len(values) < 50:
        return
    beams = values.reshape(-1, 5)[:, 4]
    if ((beams == np.rint(beams)) & (beams >= 0) & (beams < 256)).all() and len(np.unique(beams)) > 1:
        raise ValueError(f"{path}: looks like five numbers a point, x y z intensity ring, as nuScenes writes them: name it {path.stem}{NUSCENES}")


def label_file(path: Path) -> Path:
    """Where the labels of a KITTI scan are, when it has any."""
    return path.with_suffix(".label")  # x.pcd.label of x.pcd.bin


def _whole(path: Path, kind: str, columns: int, what: str) -> Array:
    width = columns * np.dtype(kind).itemsize
    size = path.stat().st_size
    if size % width:
        raise ValueError(f"{path}: has {size} bytes, which is no multiple of {width} ({what}): it was cut short or is something else; copy it again")
    return np.fromfile(path, kind).reshape(-1, columns)


READERS: dict[str, Callable[[Path], Cloud]] = {
    ".ply": read_ply,
    ".las": read_las,
    ".laz": read_las,
    ".pcd": read_pcd,
    ".npz": read_npz,
    ".bin": read_bin,
}
