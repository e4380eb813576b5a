"""Files that are either whole or absent: written under a temporary name, then renamed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

#: What the system answers when something does not fit: the disk, a quota, a limit on the size of files.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


#: What to do about a damaged file: of most, of a prepared data set, of a run's purchases, of what its rounds made.
_MADE_AGAIN = "delete the file, it will be made again"
PREPARE = "delete the data set's folder and run al3d prepare"
BUY = "delete its folder and those of later rounds (labels-RR, round-RR) and run the same training command again, which buys them again"
TRAIN = "take it from where the folder came from, or delete its round's folder (round-RR) and those of later rounds and run the same training command again"
_WAYS = {
    "meta.json": PREPARE,
    "manifest.json": f"of a data set: delete its folder and run al3d prepare; of a purchase: {BUY}",
    "purchase.json": BUY,
}


#: What is asked before anything in a folder gets its name; see `guarded`.
_guards: dict[Path, Callable[[], None]] = {}


@contextmanager
def guarded(folder: Path, check: Callable[[], None]) -> Iterator[None]:
    """While the block runs, ask `check` before `whole_file` and `whole_folder` put anything below `folder`; what it raises keeps them from it."""
    place = folder.absolute()
    _guards[place] = check
    try:
        yield
    finally:
        del _guards[place]


class DiskFull(OSError):
    """There is no space left; the message names the file and the way out."""

    def __str__(self) -> str:
        return str(self.strerror)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends well, remove it when it does not.

    Raises: DiskFull with the file and the way out when no space is left; nothing half-written stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    try:
        yield temporary
        _flush(temporary)
        _ask(path)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise explained(error, path) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; rename it to `path` (replacing an older one) when the block ends well.

    Raises: DiskFull as `whole_file`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir()
        yield temporary
        for file in sorted(temporary.rglob("*")):
            if file.is_file():
                _flush(file)
        _ask(path)
        _rename_over(temporary, path)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise explained(error, path) from error
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def temporary_beside(path: Path) -> Path:
    """A name beside `path` that no other process uses, also not on another machine that sees the same files."""
    return path.with_name(f".{path.name}.{_machine()}-{os.getpid()}.tmp")


def cache_folder() -> Path:
    """Where al3d keeps what it found out about this machine."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "al3d"


def write_first(file: Path, text: str) -> None:
    """Write a file unless it is there; whole in either case."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(file)
    try:
        temporary.write_text(f"{text}\n", encoding="utf-8")
        with suppress(FileExistsError):
            os.link(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


def explained(error: OSError, path: Path) -> OSError:
    """`error`, or, when it says that something is full and no file is named yet, what a person should know about that."""
    cut = error.errno is None and "requested and" in str(error)  # what NumPy says of a file that did not get all its bytes
    if (error.errno not in FULL and not cut) or isinstance(error, DiskFull):
        return error
    limit = ": the process may not write larger files (ulimit -f)" if error.errno == errno.EFBIG else ": free some on that disk"
    return DiskFull(error.errno or errno.ENOSPC, f"no space left for {path}{limit} and run the same command again; what was finished is kept")


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
    """Read JSON. Raises: ValueError with the file, the line and the way out when it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not JSON (byte {error.start} is no UTF-8): {_WAYS.get(path.name, _MADE_AGAIN)}") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: line {error.lineno} is not JSON ({error.msg}): {_WAYS.get(path.name, _MADE_AGAIN)}") from error


def _ask(path: Path) -> None:
    """Ask every guard of a folder that holds `path`."""
    for folder, check in _guards.items():
        if folder in path.absolute().parents:
            check()


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _rename_over(temporary: Path, path: Path) -> None:
    """Rename a folder to `path`; one that is there is moved aside first, so that nobody ever sees a part of it."""
    old = temporary.with_name(f"{temporary.name[: -len('.tmp')]}.old.tmp")
    for _ in range(100):
        try:
            os.replace(temporary, path)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
        with suppress(FileNotFoundError):  # another process has replaced it just now
            os.rename(path, old)
        _remove(old)
    raise OSError(errno.EEXIST, f"{path} comes back as often as it is replaced: another process writes it; end that one")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@cache
def _machine() -> str:
    return hashlib.blake2b(socket.gethostname().encode(), digest_size=3).hexdigest()
