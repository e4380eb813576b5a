"""New scans: finding their files, and reading each in chunks of points that always come in the same order."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from al3d.data.sources import formats, pcd, ply
from al3d.data.sources.cloud import Cloud, check_size, fractions, from_columns, readable
from al3d.data.sources.formats import NUSCENES, READERS, read_cloud
from al3d.types import F32, F64, Array, Scene, Source

Columns = dict[str, Array]
#: A chunk for the network: places f64[n,3] (f32 when they are a scene's own) and attribute -> f32[n].
Points = tuple[Array, dict[str, F32]]
COLOURS = ("red", "green", "blue")
ENDINGS = (*READERS, NUSCENES)


@dataclass(frozen=True)
class ScanFile:
    """A scan to be labelled: its file, and `name`, the relative path without an ending under which its labels are kept."""

    path: Path
    name: str


class Reader(Protocol):
    """One scan, read chunk by chunk; all three iterators cut it at the same points. `placed`: its places need no frame any more."""

    @property
    def placed(self) -> bool: ...
    def places(self, size: int) -> Iterator[Array]:
        """The places of every chunk, in the file's frame; must be read to its end before `points`, which depends on the largest colour."""
        ...

    def points(self, size: int) -> Iterator[Points]:
        """The places and attributes of every chunk."""
        ...

    def columns(self, size: int) -> Iterator[Columns]:
        """What the file says about the points of every chunk, under its own names and types."""
        ...


def find_scans(scans: str) -> list[ScanFile]:
    """The scans of a file, a folder (its own files alone) or a glob pattern (`**` descends), sorted by name.

    Raises: FileNotFoundError when there is none; ValueError for a file of another kind, or two files that would share a name.
    """
    place = Path(scans).expanduser()
    if place.is_file():
        if ending_of(place) is None:
            raise ValueError(f"scans={scans}: files ending in {place.suffix!r} are not read: use one of {', '.join(ENDINGS)}")
        found, base = [place], place.parent
    elif place.is_dir():
        found, base = [path for path in place.iterdir() if _is_scan(path)], place
    else:
        found = [Path(path) for path in glob.glob(str(place), recursive=True) if _is_scan(Path(path))]
        base = _common(found)
    if not found:
        what = "in this folder" if place.is_dir() else "at this place, nor matching it as a pattern"
        raise FileNotFoundError(f"scans={scans}: no scan {what}; give a file, a folder of files or a pattern such as '/path/*.ply' ({' '.join(ENDINGS)})")
    files = sorted((ScanFile(path, without_ending(path).relative_to(base).as_posix()) for path in found), key=lambda scan: scan.name)
    twice = sorted({one.name for one, other in zip(files, files[1:], strict=False) if one.name == other.name})
    if twice:
        raise ValueError(f"scans={scans}: several files are called {', '.join(twice[:5])} but for their ending: label them one kind at a time, as in '*.ply'")
    return files


def ending_of(path: Path) -> str | None:
    """The ending by which a scan is read, lower case, or None when it is not read."""
    name = path.name.lower()
    if name.endswith(NUSCENES):
        return NUSCENES
    return path.suffix.lower() if path.suffix.lower() in READERS else None


def without_ending(path: Path) -> Path:
    """The path without the ending by which it is read; of a COPC file without `.copc.laz`, since what is written is not COPC."""
    stem = path.name[: -len(ending_of(path) or path.suffix)]
    copc = path.suffix.lower() == ".laz" and stem.lower().endswith(".copc")
    return path.with_name(stem[: -len(".copc")] if copc else stem)


def _is_scan(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and ending_of(path) is not None


def _common(paths: Sequence[Path]) -> Path:
    """The deepest folder that holds all paths."""
    parents = [set(path.parents) for path in paths]
    shared: set[Path] = set.intersection(*parents) if parents else set()
    return max(shared, key=lambda path: len(path.parts), default=Path())


def fields_of(path: Path) -> frozenset[str]:
    """Which of red, green, blue, intensity a scan's file has, read from its header alone.

    Raises: ValueError naming the file when its header cannot be understood.
    """
    names = {name.lower().removeprefix("scalar_") for name in _field_names(path)}
    coloured = any(set(kind) <= names for kind in (COLOURS, ("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("rgb",), ("rgba",)))
    return frozenset((*(COLOURS if coloured else ()), *(name for name in ("intensity",) if name in names)))


def _field_names(path: Path) -> Iterable[str]:
    match ending_of(path):
        case ".ply":
            return (name for name, _ in ply.read_header(path).fields)
        case ".las" | ".laz":
            with _opened_las(path) as file:
                return [str(name) for name in file.header.point_format.dimension_names]
        case ".pcd":
            return (name for name, _ in pcd.read_header(path).fields)
        case ".npz":
            with readable(path, "a readable NPZ file of plain arrays, as numpy.savez writes it"), np.load(path, allow_pickle=False) as file:
                return list(file.files)
        case _:
            return ("intensity",)


class FileReader:
    """A scan's file, read by the readers of folders: in chunks where the format allows it (LAS, LAZ, binary PLY, BIN), else once and whole.

    Labels in the file are not read. `raw_intensity` keeps the 0..255 of nuScenes' sweeps, which are a fraction of 255 otherwise. `full_intensity` is the
    number that means full intensity in files of any format, None where that is not known.
    """

    def __init__(self, path: Path, attributes: Sequence[str] = (), raw_intensity: bool = False, full_intensity: float | None = None) -> None:
        self.path, self.attributes, self.raw_intensity, self.full_intensity = path, tuple(attributes), raw_intensity, full_intensity
        self._highest = self._brightest = 0.0
        self._whole: Columns | None = None

    @property
    def placed(self) -> bool:
        """No: the file's frame is its own."""
        return False

    def places(self, size: int) -> Iterator[F64]:
        """The places f64[n,3] of every chunk."""
        for columns in self.columns(size):
            named = _named(columns)
            if "intensity" in named:
                self._brightest = max(self._brightest, float(named["intensity"].max(initial=0)))
            for names in _colour_names(named):
                self._highest = max(self._highest, *(float(named[name].max(initial=0)) for name in names))
            yield from_columns(self.path, {axis: named[axis] for axis in "xyz" if axis in named}).xyz

    def points(self, size: int) -> Iterator[Points]:
        """The places f64[n,3] and attributes f32[n] of every chunk. Raises: ValueError naming an attribute that the file does not have."""
        for columns in self.columns(size):
            named = {name: values for name, values in _named(columns).items() if name != "label"}
            for names in _colour_names(named):
                named |= {name: _byte(named[name], self._highest) for name in names}
            cloud = from_columns(self.path, named)
            yield cloud.xyz, self._attributes(cloud)

    def columns(self, size: int) -> Iterator[Columns]:
        """The fields of every chunk as the file has them; of PCD, NPZ and PLY with lists what the readers of folders know."""
        match ending_of(self.path):
            case ".las" | ".laz":
                yield from _las_columns(self.path, size)
            case ".bin":
                formats.check_four(self.path)
                yield from _binary_columns(self.path, 4, size)
            case ".pcd.bin":
                yield from _binary_columns(self.path, 5, size)
            case ".ply" if binary_ply(self.path) is not None:
                yield from _ply_columns(self.path, size)
            case _:
                yield from _sliced(self._read(), size)

    def _read(self) -> Columns:
        if self._whole is None:
            cloud = read_cloud(self.path)
            self._whole = {axis: cloud.xyz[:, place] for place, axis in enumerate("xyz")}
            if cloud.colour is not None:
                self._whole |= {name: cloud.colour[:, place] for place, name in enumerate(COLOURS)}
            if cloud.intensity is not None:
                self._whole["intensity"] = cloud.intensity
        return self._whole

    def _attributes(self, cloud: Cloud) -> dict[str, F32]:
        found: dict[str, F32] = {"one": np.ones(len(cloud), np.float32)}
        if cloud.colour is not None:
            found |= {name: (cloud.colour[:, place] / np.float32(255)).astype(np.float32) for place, name in enumerate(COLOURS)}
        if cloud.intensity is not None:
            whole = ending_of(self.path) == NUSCENES and not self.raw_intensity
            full = self.full_intensity or (255.0 if whole else None)
            found["intensity"] = fractions(cloud.intensity, full, self._brightest)
        check_fields(self.path, self.attributes, found)
        return {name: found[name] for name in self.attributes}


def check_fields(path: Path, wanted: Sequence[str], found: Iterable[str]) -> None:
    """Raises: ValueError naming the file and the attributes that the network was trained on and the file does not have."""
    missing = [name for name in wanted if name not in set(found)]
    if missing:
        raise ValueError(f"{path}: has no {', '.join(missing)}, which the network was trained on: give scans that have it, or train on fewer dataset.inputs")


class SceneReader:
    """A scene of a data set, as its source reads it; `attributes` of the source's `features` are what the network needs."""

    def __init__(self, source: Source, scene_id: str, attributes: Sequence[str]) -> None:
        self.source, self.scene_id, self.attributes = source, scene_id, tuple(attributes)
        self._scene: Scene | None = None

    @property
    def placed(self) -> bool:
        """Yes: the source has done it."""
        return True

    def places(self, size: int) -> Iterator[F32]:
        """The places f32[n,3] of every chunk."""
        xyz = self._read().xyz
        yield from (xyz[start : start + size] for start in range(0, len(xyz), size))

    def points(self, size: int) -> Iterator[Points]:
        """The places f32[n,3] and attributes f32[n] of every chunk."""
        scene, names = self._read(), tuple(self.source.features)
        found = {name: scene.feat[:, names.index(name)] for name in self.attributes if name in names}
        check_fields(Path(self.scene_id), self.attributes, found)
        for start in range(0, len(scene), size):
            yield scene.xyz[start : start + size], {name: values[start : start + size] for name, values in found.items()}

    def columns(self, size: int) -> Iterator[Columns]:
        """x, y, z in the data set's own frame, and colours as bytes or what else the source has."""
        scene = self._read()
        xyz = scene.xyz + scene.origin
        whole: Columns = {axis: xyz[:, place] for place, axis in enumerate("xyz")}
        for place, name in enumerate(self.source.features):
            values = scene.feat[:, place]
            whole[name] = np.rint(values * 255).astype(np.uint8) if name in COLOURS else values
        yield from _sliced(whole, size)

    def _read(self) -> Scene:
        if self._scene is None:
            self._scene = self.source.read(self.scene_id)[0]
        return self._scene


def _named(columns: Columns) -> Columns:
    return {name.lower().removeprefix("scalar_"): values for name, values in columns.items()}


def _colour_names(named: Mapping[str, Array]) -> list[tuple[str, str, str]]:
    """The names of the colours that `from_columns` would take, if there are any."""
    kinds = (("red", "green", "blue"), ("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue"))
    return [names for names in kinds if all(name in named for name in names)][:1]


def _byte(values: Array, highest: float) -> Array:
    """Colours as bytes, by the largest colour of the whole file, as `to_bytes` makes them of a whole file."""
    if values.dtype == np.uint8 or not highest <= 65535:
        return values
    if values.dtype.kind == "f":
        return values if highest > 255 or not (values >= 0).all() else np.rint(values * 255 if highest <= 1 else values).astype(np.uint8)
    return values if (values < 0).any() else (values >> 8 if highest > 255 else values).astype(np.uint8)


def _sliced(whole: Columns, size: int) -> Iterator[Columns]:
    count = len(whole["x"])
    yield from ({name: values[start : start + size] for name, values in whole.items()} for start in range(0, count, size))


def _opened_las(path: Path) -> Any:
    import laspy  # slow to import, and few scans need it

    formats.check_las(path)
    # one thread: see read_las
    with readable(path, "a readable LAS file"):
        return laspy.open(path, laz_backend=laspy.LazBackend.Lazrs)


def las_chunks(path: Path, size: int) -> Iterator[Any]:
    """The header of a LAS or LAZ file, then its points in chunks, as laspy has them. Raises: ValueError when the file is cut short."""
    read = 0
    with _opened_las(path) as file:
        promised = file.header.point_count
        if not file.header.are_points_compressed:
            check_size(path, file.header.offset_to_point_data, promised, file.header.point_format.size)
        yield file.header
        chunks = file.chunk_iterator(size)
        while True:
            with readable(path, "a readable LAS file"):
                chunk = next(chunks, None)
            if chunk is None or len(chunk) == 0:
                break
            read += len(chunk)
            yield chunk
    if read < promised:
        raise ValueError(f"{path}: the file ends after {read} of {promised} points: it was cut short; copy or write it again")


def _las_columns(path: Path, size: int) -> Iterator[Columns]:
    chunks = las_chunks(path, size)
    names = {"intensity", *COLOURS} & set(next(chunks).point_format.dimension_names)
    for chunk in chunks:
        places = {axis: np.asarray(chunk[axis], dtype=np.float64) for axis in "xyz"}
        yield places | {name: np.asarray(chunk[name]) for name in (*COLOURS, "intensity") if name in names}


def _binary_columns(path: Path, width: int, size: int) -> Iterator[Columns]:
    total = path.stat().st_size
    if total % (4 * width):
        kind = "float32 x y z intensity" if width == 4 else "float32 x y z intensity ring"
        raise ValueError(f"{path}: has {total} bytes, which is no multiple of {4 * width} ({kind}): it was cut short or is something else; copy it again")
    names = ("x", "y", "z", "intensity", "ring")[:width]
    for start in range(0, total // (4 * width), size):
        values = np.fromfile(path, "<f4", width * size, offset=4 * width * start).reshape(-1, width)
        yield {name: values[:, place] for place, name in enumerate(names)}


@dataclass(frozen=True)
class BinaryPly:
    """A binary PLY file whose vertices come first and have no lists: their type, number, first byte and byte order."""

    dtype: np.dtype[np.void]
    points: int
    start: int
    order: str

    @property
    def end(self) -> int:
        """The first byte after the vertices."""
        return self.start + self.points * self.dtype.itemsize


def binary_ply(path: Path) -> BinaryPly | None:
    """How the vertices of a PLY file lie in it, or None when they cannot be read in pieces."""
    header = ply.read_header(path)
    if header.order == "=" or not (header.first and header.plain):
        return None
    dtype = np.dtype(list(header.fields))
    check_size(path, header.size, header.points, dtype.itemsize, last=header.last)
    return BinaryPly(dtype, header.points, header.size, header.order)


def _ply_columns(path: Path, size: int) -> Iterator[Columns]:
    layout = binary_ply(path)
    if layout is None:
        raise ValueError(f"{path}: is not a binary PLY file of plain vertices")
    for start in range(0, layout.points, size):
        rows = np.fromfile(path, layout.dtype, min(size, layout.points - start), offset=layout.start + start * layout.dtype.itemsize)
        yield {name: rows[name] for name in layout.dtype.names or ()}
