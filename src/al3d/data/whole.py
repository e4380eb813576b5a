"""Array files that notice damage: behind the array stands a checksum of all that lies before it, which NumPy passes over."""

from __future__ import annotations

import mmap
import zipfile
import zlib
from functools import cache
from pathlib import Path
from tokenize import TokenError

import numpy as np

from al3d.files import PREPARE
from al3d.types import Array

_MARK = b"al3d crc32 "
_LENGTH = len(_MARK) + 8
#: The bytes of the record that ends a zip archive.
_END = 22


def save(path: Path, array: Array) -> None:
    """Write one array file with its checksum; through a handle, since a bare path would get another ending."""
    with path.open("w+b") as file:
        np.save(file, np.ascontiguousarray(array), allow_pickle=False)
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            checksum = zlib.crc32(content)
        file.seek(0, 2)
        file.write(_MARK + f"{checksum:08x}".encode())


def mapped(file: Path, way: str = PREPARE) -> Array:
    """An array of a file, read from the disk as it is used; read-only. Its checksum is looked at once per process; older files have none.

    Raises: ValueError naming the file, and the way out, when it is not a whole array file, or was altered since it was written.
    """
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
        state = file.stat()
        _check(file, array.offset + array.nbytes, state.st_size, state.st_mtime_ns)
    except (ValueError, EOFError, SyntaxError, OverflowError, TokenError) as error:
        raise ValueError(f"{file}: not a whole array file ({str(error).splitlines()[0]}): {way}") from error
    return np.asarray(array)


def check_archive(file: Path, way: str) -> None:
    """Look at the checksums in a zip archive, as NPZ files and checkpoints are. Raises: ValueError naming the file, and the way out."""
    try:
        with file.open("rb") as opened, zipfile.ZipFile(opened) as archive:
            broken = archive.testzip()
            opened.seek(-_END, 2)
            end = opened.read()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise ValueError(f"{file}: is damaged ({error}): {way}") from error
    if broken is not None or end[:4] != b"PK\x05\x06" or end[-2:] != b"\0\0":  # neither NumPy nor torch writes a comment
        raise ValueError(f"{file}: is damaged ({broken or 'its end'} is not what was written): {way}")


def look_again() -> None:
    """Look at every file's checksum once more."""
    _check.cache_clear()


@cache
def _check(file: Path, end: int, size: int, changed: int) -> None:
    """Compare what follows the array, which ends at byte `end`, with the content. Raises: ValueError."""
    if size == end:
        return
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content, memoryview(content) as view:
        if size != end + _LENGTH or bytes(view[end:]) != _MARK + f"{zlib.crc32(view[:end]):08x}".encode():
            raise ValueError("its content is not what was written")
