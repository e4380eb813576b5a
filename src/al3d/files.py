"""Files that are either whole or absent: written under a temporary name, then renamed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends well, remove it when it does not.

    Raises: OSError with the disk, the file and the way out when no space is left; nothing half-written stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _explained(error, path) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; rename it to `path` (replacing an older one) when the block ends well.

    Raises: OSError as `whole_file`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir()
        yield temporary
        for file in sorted(temporary.rglob("*")):
            if file.is_file():
                _flush(file)
        shutil.rmtree(path, ignore_errors=True)
        os.replace(temporary, path)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise _explained(error, path) from error
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def remove_leftovers(folder: Path, seconds: float = 24 * 3600.0) -> list[Path]:
    """Remove what killed processes left below `folder`: temporary files and folders of this module older than `seconds`; returns them.

    Younger ones may belong to a process that is still writing.
    """
    oldest, removed = time.time() - seconds, []
    for place, folders, files in os.walk(folder):
        for name in [name for name in (*folders, *files) if name.startswith(".") and name.endswith(".tmp")]:
            path = Path(place) / name
            inside = name in folders
            if inside:
                folders.remove(name)
            if path.lstat().st_mtime < oldest:
                shutil.rmtree(path) if inside else path.unlink()
                removed.append(path)
    return removed


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, whole or not at all; keys keep their order."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read JSON. Raises: ValueError with the file and the line when it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: line {error.lineno} is not JSON ({error.msg}): delete the file, it will be made again") from error


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _explained(error: OSError, path: Path) -> OSError:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return error
    return OSError(error.errno, f"no space left for {path}: free some on that disk and run the same command again; what was finished is kept")
