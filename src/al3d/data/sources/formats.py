"""Point cloud files by their ending: PLY, LAS, LAZ, PCD, NPZ."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from al3d.data.sources.cloud import Cloud, from_columns, to_bytes
from al3d.data.sources.pcd import read_pcd
from al3d.data.sources.ply import read_ply


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
    import laspy  # slow to import, and few data sets need it

    try:
        las = laspy.read(path)
    except (laspy.errors.LaspyException, ValueError, RuntimeError, OSError, EOFError) as error:
        raise ValueError(f"{path}: not a readable LAS file ({error}): it may be cut short; copy or write it again") from error
    promised = las.header.point_count
    if len(las.points) < promised:
        raise ValueError(f"{path}: the file ends after {len(las.points)} of {promised} points: it was cut short; copy or write it again")
    columns = {axis: np.asarray(las[axis], dtype=np.float64) for axis in "xyz"}
    columns |= {"intensity": np.asarray(las["intensity"]), "label": np.asarray(las["classification"])}
    if {"red", "green", "blue"} <= set(las.point_format.dimension_names):
        columns |= {name: np.asarray(las[name]) for name in ("red", "green", "blue")}
    return from_columns(path, columns)


def read_npz(path: Path) -> Cloud:
    """Read an NPZ file: `xyz` [N,3], and optionally `rgb` [N,3], `intensity` [N], `label` [N]."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ("xyz", "rgb", "intensity", "label") if name in file.files}
            names = file.files
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path}: not a readable NPZ file of plain arrays ({error}): write it again with numpy.savez") from error
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


READERS: dict[str, Callable[[Path], Cloud]] = {".ply": read_ply, ".las": read_las, ".laz": read_las, ".pcd": read_pcd, ".npz": read_npz}
