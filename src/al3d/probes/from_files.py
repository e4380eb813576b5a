"""Descriptions that somebody else's program wrote, one array file a scene."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from al3d.types import F32, Array, Scene

_OPTION = "net.descriptions.file"
_TYPES = (np.dtype(np.float16), np.dtype(np.float32))
#: Numbers that are looked at at a time for those that are not finite.
BLOCK = 1 << 24


@dataclass(frozen=True)
class FromFiles:
    """The rows of `root`/SCENE.npy, f32[N,D]: one for each point of the prepared scene, in its order, finite float16 or float32.

    With `dataset.grid` the scene's points are the subsampled ones. Every file has as many columns. Nothing is run from a file, and of a file only the
    rows in use are in memory. Files are told apart by their content, so all are read once when a run starts (about a second a gigabyte).
    Raises: `check` and `identity` ValueError, FileNotFoundError naming the file.
    """

    VERSION: ClassVar[int] = 1
    points: ClassVar[bool] = True
    anywhere: ClassVar[bool] = False
    root: Path
    # A plain value and no cached_property: it travels to other processes, which need not read all files again.
    _content: str | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root).expanduser().absolute())

    @property
    def name(self) -> str:
        """What tables and messages call it."""
        return "file"

    @property
    def identity(self) -> object:
        """The names of the files and what is in them; not where they lie."""
        return ["FromFiles", self.VERSION, self.fingerprint]

    @property
    def parallel(self) -> bool:
        """It needs no device."""
        return True

    @property
    def fingerprint(self) -> str:
        """32 hexadecimal digits over the files' names and contents, read once. Raises: FileNotFoundError when there are none."""
        if self._content is None:
            content = [(path.name, _digest(path)) for path in self._files]
            object.__setattr__(self, "_content", hashlib.blake2b(json.dumps(content).encode(), digest_size=16).hexdigest())
        return str(self._content)

    def check(self, scene: Scene) -> None:
        """Refuse a scene without a file, and one whose file does not hold finite rows of its points."""
        rows = self._rows(scene)
        step = max(1, BLOCK // rows.shape[1])
        for start in range(0, len(rows), step):
            broken = np.flatnonzero(~np.isfinite(rows[start : start + step]).all(axis=1))
            if len(broken):
                row = start + int(broken[0])
                value = float(rows[row][~np.isfinite(rows[row])][0])
                raise ValueError(f"{self._file(scene)}: row {row} holds {value}: write finite numbers alone, such as zeros where nothing is known")

    def __call__(self, scene: Scene) -> F32:
        return np.asarray(self._rows(scene), np.float32)

    def _file(self, scene: Scene) -> Path:
        return self.root / f"{scene.id}.npy"

    def _rows(self, scene: Scene) -> Array:
        """The scene's rows [N,D], read from the disk as they are used. Raises: FileNotFoundError, ValueError as `check`, but for numbers."""
        path = self._file(scene)
        if not path.is_file():
            raise FileNotFoundError(f"scene {scene.id!r} has no {path} (there are {len(self._files)} .npy files): write one for every scene of train and val")
        rows = _opened(path)
        if len(rows) != len(scene):
            raise ValueError(
                f"{path} has {len(rows):,} rows, but scene {scene.id!r} has {len(scene):,} points: write a row for each of its points in "
                "their order as prepared; with dataset.grid those are the subsampled points (xyz.npy of the prepared scene), not the raw ones"
            )
        first, columns = self._first
        if rows.shape[1] != columns:
            raise ValueError(f"{path} has {rows.shape[1]} columns, {first} has {columns}: write every scene with the same model")
        return rows

    @cached_property
    def _files(self) -> tuple[Path, ...]:
        """The files in the order of their names. Raises: FileNotFoundError."""
        found = tuple(sorted(self.root.glob("*.npy"))) if self.root.is_dir() else ()
        if not found:
            there = "holds no .npy files" if self.root.is_dir() else "is not a folder"
            raise FileNotFoundError(f"{_OPTION}.root={self.root} {there}: name the folder with a file SCENE.npy for every scene")
        return found

    @cached_property
    def _first(self) -> tuple[str, int]:
        """The name of the first file, and how many columns it has."""
        return self._files[0].name, int(_opened(self._files[0]).shape[1])


def _opened(path: Path) -> Array:
    """The array [N,D] of a file, read as it is used. Raises: ValueError naming a file that is not one of half or single precision numbers."""
    try:
        rows = np.load(path, allow_pickle=False, mmap_mode="r")
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} is not a whole array file ({error}): write it with numpy.save") from error
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.dtype not in _TYPES or rows.shape[1] < 1:
        is_now = f"{rows.dtype} {list(rows.shape)}" if isinstance(rows, np.ndarray) else type(rows).__name__
        raise ValueError(f"{path} is {is_now}: write float16 or float32 [points, columns]")
    return rows


def _digest(path: Path) -> str:
    """32 hexadecimal digits over a file's bytes, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
