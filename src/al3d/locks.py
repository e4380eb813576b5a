"""Locks as files, so that processes do not do the same work twice: a lock names its owner, shows that it lives, and expires.

A lock saves work, no result depends on it: everything that is written under one is written whole or not at all, and comes out the same twice.
Files are locked by making them (a hard link, which is atomic on network file systems too), never by `flock`.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path

from al3d.progress import console

#: Seconds between two signs of life of an owner, and after how many without one its lock is free.
BEAT, EXPIRES = 20.0, 300.0
#: What the file system answers where nobody may write; there a process goes on without a lock.
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
_held: dict[str, int] = {}
_guard = threading.Lock()


@dataclass(frozen=True)
class Owner:
    """The process that holds a lock: `what` it does, where, and since when.

    `space` is the machine's boot and process namespace, `birth` the process' start in the kernel's ticks: a number of a process alone may
    belong to another one by now, or to another container.
    """

    what: str
    host: str
    process: int
    since: str
    space: str
    birth: int | None
    token: str

    def __str__(self) -> str:
        return f"process {self.process} on {self.host} (since {self.since})"


class Lock:
    """A lock that this process holds, by the file `path`; a thread of it renews the file's time until `release`."""

    def __init__(self, path: Path, owner: Owner, beat: float = BEAT) -> None:
        self.path, self.owner = path, owner
        self._process, self._over = os.getpid(), threading.Event()
        self._thread = threading.Thread(target=self._renew, args=(beat,), name=f"lock {path.name}", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Give the lock up; nothing happens in a forked child, or when somebody has taken the lock over."""
        if self._over.is_set() or os.getpid() != self._process:
            return
        self._over.set()
        self._thread.join(timeout=5)
        owner = owner_of(self.path)
        if owner is not None and owner.token == self.owner.token:
            self.path.unlink(missing_ok=True)

    def _renew(self, beat: float) -> None:
        while not self._over.wait(beat):
            try:
                owner = owner_of(self.path)
                if owner is None or owner.token != self.owner.token:
                    return  # a person has deleted it, the way to free it by hand, or it was taken over while this process was stopped
                os.utime(self.path)
            except OSError:
                continue  # a network file system that is away for a moment


def lock(path: Path, what: str, expires: float = EXPIRES, beat: float = BEAT) -> Lock | Owner:
    """Take the lock `path` if it is free or its owner is gone; else say who holds it.

    An owner on this machine is gone when its process is, any other when it gave no sign of life for `expires` seconds.
    Raises: OSError when the lock's folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    own = Owner(what, socket.gethostname(), os.getpid(), time.strftime("%Y-%m-%d %H:%M:%S"), _space(), _birth(os.getpid()), uuid.uuid4().hex)
    for _ in range(100):
        if _make(path, own):
            return Lock(path, own, beat)
        found = owner_of(path)
        if found is not None and not (gone(path, found, expires) and _free(path, found)):
            return found
    raise OSError(errno.EAGAIN, f"{path} comes and goes: processes take this lock in turns; run the same command again")


@contextmanager
def held(path: Path, what: str, expires: float = EXPIRES, beat: float = BEAT) -> Iterator[None]:
    """Hold the lock `path` while the block runs, after waiting for whoever has it, with one printed line; `what` is the work.

    Locks nest within a process. Where nothing may be written, the block runs without one.
    """
    key = str(path.absolute())
    with _guard:
        nested = _held.get(key, 0) > 0
        _held[key] = _held.get(key, 0) + 1
    mine = None
    try:
        if not nested:
            try:
                mine = wait_for_lock(path, what, _at_work, expires=expires, beat=beat)
            except OSError as error:
                if error.errno not in READ_ONLY:
                    raise
        yield
    finally:
        with _guard:
            _held[key] -= 1
        if mine is not None:
            mine.release()


def wait_for_lock(
    path: Path,
    what: str,
    line: Callable[[Owner], str],
    done: Callable[[], bool] | None = None,
    expires: float = EXPIRES,
    beat: float = BEAT,
    longest: float = 5.0,
) -> Lock | None:
    """Take the lock `path`, waiting for its owner; None as soon as `done` says that there is nothing left to do.

    One printed `line` says for whom it waits, and another one whenever that changes. It looks every tenth of a second at first, then every `longest`
    seconds.
    """
    told, pause = "", 0.1
    while True:
        if done is not None and done():
            return None
        found = lock(path, what, expires, beat)
        if isinstance(found, Lock):
            if done is not None and done():  # it was over between the two looks
                found.release()
                return None
            return found
        if found.token != told:
            told = found.token
            console.print(line(found), markup=False)
        time.sleep(pause)
        pause = min(longest, 1.3 * pause)


def _at_work(owner: Owner) -> str:
    return f"waiting for {owner}, which is at work on {owner.what}"


def owner_of(path: Path) -> Owner | None:
    """Who holds the lock `path`; None when nobody does. A file that names nobody counts as one of an unknown owner."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Owner(**{field.name: content[field.name] for field in fields(Owner)})
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return Owner("somebody", "an unknown machine", 0, "an unknown time", "", None, "")


def living_owner(path: Path, expires: float = EXPIRES, look: float = 1.0) -> Owner | None:
    """Who holds the lock `path` and lives; None when nobody does.

    Whether a process of this machine lives can be seen. For one elsewhere this waits until it gives a sign of life or was silent for too long, with one
    printed line: a job that a cluster moves to another node must not be refused because of what it was on the first one.
    """
    told = ""
    while (owner := owner_of(path)) is not None:
        if gone(path, owner, expires):
            return None
        if owner.space == _space():
            return owner
        last = _time(path)
        if owner.token != told:
            told = owner.token
            console.print(f"is {owner} still at work on {owner.what}? Its next sign of life, or {expires:.0f} s without one, will tell", markup=False)
        while owner_of(path) == owner and not gone(path, owner, expires):
            if _time(path) != last:
                return owner
            time.sleep(look)
    return None


def _time(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def gone(path: Path, owner: Owner, expires: float = EXPIRES) -> bool:
    """Whether the owner of the lock `path` has stopped: its process is over, where that can be seen, or it was silent for too long."""
    if owner.space == _space() and _ended(owner):
        return True
    silent = silence(path)
    return silent is not None and silent > expires


def silence(path: Path) -> float | None:
    """The seconds since the last sign of life, by the clock of the file system that holds the lock; None when the lock is gone."""
    probe = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        last = path.stat().st_mtime
        probe.touch()
        return probe.stat().st_mtime - last
    except FileNotFoundError:
        return None
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def _make(path: Path, owner: Owner) -> bool:
    """Make the lock file, with its whole content at once; False when there is one."""
    own = path.with_name(f".{path.name}.{owner.token}.tmp")
    try:
        own.write_text(json.dumps(asdict(owner)) + "\n", encoding="utf-8")
        try:
            os.link(own, path)
        except FileExistsError:
            return own.stat().st_nlink == 2  # the answer to a link that a network file system made, asked twice
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
                raise
            return _make_without_links(path, owner)
        return True
    finally:
        own.unlink(missing_ok=True)


def _make_without_links(path: Path, owner: Owner) -> bool:
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(json.dumps(asdict(owner)) + "\n")
    return True


def _free(path: Path, owner: Owner) -> bool:
    """Remove the lock of an owner that is gone; whether the lock may be free now. A lock that somebody took meanwhile is put back."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return True
    try:
        found = owner_of(aside)
        if found is not None and found.token != owner.token:
            with suppress(OSError):
                os.link(aside, path)
            return False
        return True
    finally:
        aside.unlink(missing_ok=True)


def _ended(owner: Owner) -> bool:
    """Whether a process of this machine is over; one that has its number but started later is another."""
    try:
        os.kill(owner.process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return owner.birth is not None and _birth(owner.process) != owner.birth


def _birth(process: int) -> int | None:
    """When a process started, in ticks since the machine did; None for one that is over, and where the kernel does not say."""
    try:
        state, *rest = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return None if state in ("Z", "X") else int(rest[18])


@cache
def _space() -> str:
    """The machine's present boot, and the namespace in which process numbers mean something."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()
