"""The first round of runs that differ only in what they choose later: trained by one of them, taken by the others, with the same bits."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numba
import torch

from al3d.files import explained, read_json, temporary_beside, whole_file, whole_folder, write_json
from al3d.learn.on_device import device_of
from al3d.locks import Lock, Owner, lock, wait_for_lock
from al3d.progress import console
from al3d.run import RunFolder, first_process, wait_until
from al3d.threads import processor

Tree = Mapping[str, Any]
#: Parts of an identity, and options of `rounds`, that say what is chosen after the first round and what is trained then. How much is
#: bought first is part of the seed, and the base of its percentages is put in as a number.
LATER = ("acquire", "pseudo")
LATER_ROUNDS = ("base", "init", "initial", "initial_per", "optimizer", "step")
#: What a first round leaves, in the order in which it is taken over: a file says that the ones before it are there.
SEED, FILES = "labels-00", ("labelled.json", "train.json", "best.ckpt", "last.ckpt", "metrics.json")
#: Libraries whose versions may change a bit.
LIBRARIES = ("torch", "pytorch-lightning", "torchmetrics", "numpy", "numba", "scipy", "scikit-learn", "lightgbm")
CARD = "first_round.json"


def first_round(identity: Tree, base: int, trainer: Tree) -> dict[str, Any]:
    """Everything that can change a bit of a run's first round, as plain values.

    `identity` is the run's, `base` the points that its percentages divide by, `trainer` the options of its Trainer. The content of files
    that the identity names counts, and so does what trains: the device, the threads, the ranks, the libraries and this package's code.
    """
    rounds = {key: value for key, value in identity["rounds"].items() if key not in LATER_ROUNDS}
    if rounds.get("first_steps") or rounds.get("first_epochs"):
        rounds = {key: value for key, value in rounds.items() if key not in ("steps", "epochs")}
    first = {key: value for key, value in identity.items() if key not in LATER} | {"rounds": rounds, "base": base}
    plain: dict[str, Any] = json.loads(json.dumps({**first, "files": contents(first), "computed": computed_by(trainer)}, sort_keys=True, default=str))
    return plain


def computed_by(trainer: Tree) -> dict[str, Any]:
    """What a training runs on and with, as far as it may change bits; processes that prepare batches do not."""
    gpu = device_of(trainer["accelerator"]).type == "cuda"
    options = {key: value for key, value in trainer.items() if key not in ("accelerator", "threads", "workers")}
    return {
        **options,
        "device": torch.cuda.get_device_name() if gpu else "cpu" if trainer["accelerator"] == "auto" else trainer["accelerator"],
        "threads": [torch.get_num_threads(), numba.get_num_threads()],
        "processor": [platform.machine(), processor(), torch.backends.cpu.get_cpu_capability()],
        "libraries": {name: version(name) for name in LIBRARIES},
        "code": _code(),
    }


def contents(tree: Any) -> dict[str, str]:
    """The hash of every file that a value of a tree names; of a folder, that of its files' names, sizes and times."""
    if isinstance(tree, Mapping):
        return {name: digest for value in tree.values() for name, digest in contents(value).items()}
    if isinstance(tree, (list, tuple)):
        return {name: digest for value in tree for name, digest in contents(value).items()}
    if not isinstance(tree, (str, Path)) or not str(tree):
        return {}
    path = Path(tree).expanduser()
    try:
        if path.is_file():
            return {str(tree): digest_of(path)}
        if path.is_dir():
            return {str(tree): hashlib.blake2b(json.dumps(_listing(path)).encode(), digest_size=16).hexdigest()}
    except OSError:  # a text too long for a name, or a folder that may not be read
        return {}
    return {}


@dataclass(frozen=True)
class Sharing:
    """Where first rounds are shared, below `root`, and what this run's one is (`first`, see `first_round`)."""

    root: Path
    first: Tree

    @property
    def key(self) -> str:
        """The hash that two runs with the same first round have in common."""
        return hashlib.blake2b(json.dumps(self.first, sort_keys=True).encode(), digest_size=10).hexdigest()


class FirstRound:
    """One start of a run and its first round: taken from another run, or trained here under a lock and published.

    `round-00/shared.json` says which: `shared_from` is the name of the run that trained it, null for this one; `key` the hash of what it is, null
    when it was not made in one way from its seed to its test; `copying` whether the files of another run are being taken. A run that has
    begun to train its first round goes on with it.
    """

    def __init__(self, sharing: Sharing, folder: RunFolder) -> None:
        self.sharing, self.folder = sharing, folder
        self.taken: str | None = None
        self._lock: Lock | None = None

    def begin(self) -> None:
        """Take the first round if another run has it, wait for one that trains it, or claim it; other ranks wait until that is decided."""
        if not first_process():
            wait_until(self._decided, f"{self.folder.shared}")
            return
        note = self._note
        if note is None and self.folder.labels(0).is_dir():
            self._write_note(None)  # begun without sharing: who knows with what
        elif note is not None and not note["copying"]:
            self._go_on(note)
        else:
            self._take_or_claim(self.sharing.key if note is None else note["key"])

    def publish(self) -> None:
        """Give the first round to others once it is judged, and let go of the lock; a failure is said, and costs nothing but work."""
        note = self._note
        if not first_process() or note is None or note["key"] is None or note["shared_from"] or not self.folder.metrics(0).is_file():
            return
        entry = self._entry(note["key"])
        if not (entry / CARD).is_file():
            try:
                publish(self.folder, entry, self.sharing.first)
            except OSError as error:
                console.print(f"the first round cannot be shared with other runs: {explained(error, entry)}", markup=False)
        self.end()

    def end(self) -> None:
        """Let go of the lock."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _take_or_claim(self, key: str) -> None:
        entry = self._entry(key)
        try:
            self._lock = wait_for_lock(self._lock_file(key), self.folder.path.name, _waiting, done=lambda: whole(entry))
        except OSError as error:
            console.print(f"the first round is trained without sharing: {explained(error, entry)}", markup=False)
        else:
            if self._lock is None:
                self._write_note(key, _card(entry)["from"], copying=True)
                self.taken = take(entry, self.folder)
                self._write_note(key, self.taken)
                self.folder.log_execution({"first_round": f"taken from {self.taken}"})
                return
        self._write_note(key if key == self.sharing.key else None)

    def _go_on(self, note: Tree) -> None:
        if self.folder.metrics(0).is_file():
            self.publish()
            return
        if note["key"] != self.sharing.key and note["key"] is not None:
            self._write_note(None, note["shared_from"])
        elif note["key"] is not None and note["shared_from"] is None:
            with suppress(OSError):  # another start says why
                found = lock(self._lock_file(note["key"]), self.folder.path.name)
                self._lock = found if isinstance(found, Lock) else None

    @property
    def _note(self) -> dict[str, Any] | None:
        return read_json(self.folder.shared) if self.folder.shared.is_file() else None

    def _write_note(self, key: str | None, shared_from: str | None = None, copying: bool = False) -> None:
        write_json(self.folder.shared, {"shared_from": shared_from, "key": key, "copying": copying})

    def _decided(self) -> bool:
        note = self._note
        return note is not None and not note["copying"]

    def _entry(self, key: str) -> Path:
        return self.sharing.root / key

    def _lock_file(self, key: str) -> Path:
        return self.sharing.root / f"{key}.lock"


@contextmanager
def taking_part(sharing: Sharing | None, folder: RunFolder) -> Iterator[FirstRound | None]:
    """What a start of a run has to do with the first rounds of others, while the block runs; None: nothing."""
    if sharing is None:
        yield None
        return
    first = FirstRound(sharing, folder)
    try:
        first.begin()
        yield first
    finally:
        first.end()


def publish(folder: RunFolder, entry: Path, first: Tree) -> None:
    """Put a run's first round into `entry`, weights as hard links where they can be; whoever renames first has it.

    Raises: OSError (DiskFull) naming the place.
    """
    entry.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(entry)
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        (temporary / SEED).mkdir(parents=True)
        sources = [*sorted(folder.labels(0).iterdir()), *(file for name in FILES if (file := folder.round(0) / name).is_file())]
        for source in sources:
            link_or_copy(source, temporary / SEED / source.name if source.parent.name == SEED else temporary / source.name)
        files = {str(file.relative_to(temporary)): digest_of(file) for file in sorted(temporary.rglob("*")) if file.is_file()}
        write_json(temporary / CARD, {"from": folder.path.name, "time": time.strftime("%Y-%m-%dT%H:%M:%S"), "files": files, "first_round": first})
        with suppress(FileExistsError, NotADirectoryError):
            _rename(temporary, entry)
    except OSError as error:
        raise explained(error, entry) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def take(entry: Path, folder: RunFolder) -> str:
    """Put the first round of `entry` into a run's folder, the files that say that something is over last; returns the name of the run that made it.

    Killed in between, it is done again. Raises: DiskFull naming the file.
    """
    with whole_folder(folder.labels(0)) as temporary:
        for source in sorted((entry / SEED).iterdir()):
            shutil.copyfile(source, temporary / source.name)
    for name in FILES:
        if (entry / name).is_file():
            with whole_file(folder.round(0) / name) as temporary:
                link_or_copy(entry / name, temporary)
    folder.resume(0).unlink(missing_ok=True)
    return str(_card(entry)["from"])


def whole(entry: Path) -> bool:
    """Whether there is a shared first round and every file has its content still; one that has not is removed and said."""
    if not (entry / CARD).is_file():
        return False
    broken = [name for name, digest in _card(entry)["files"].items() if not (entry / name).is_file() or digest_of(entry / name) != digest]
    if broken:
        console.print(f"{entry} was changed since it was published ({', '.join(broken)}): it is removed, and the first round is trained again", markup=False)
        aside = temporary_beside(entry)
        os.replace(entry, aside)
        shutil.rmtree(aside, ignore_errors=True)
    return not broken


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` the same file as `source` when it is a checkpoint and the disk can, else a copy; checkpoints are never written to again."""
    target.unlink(missing_ok=True)
    if source.suffix == ".ckpt":
        try:
            os.link(source, target)
            return
        except OSError:  # another disk, or one without links: a copy says what is wrong if that is not it
            target.unlink(missing_ok=True)
    shutil.copyfile(source, target)


def digest_of(file: Path) -> str:
    """The hash of a file's content, 32 hexadecimal digits."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _waiting(owner: Owner) -> str:
    return f"waiting for {owner.what}, {owner}, to train the first round, which is the same here; should that process stop, this one trains it"


def _card(entry: Path) -> dict[str, Any]:
    card: dict[str, Any] = read_json(entry / CARD)
    return card


def _rename(temporary: Path, entry: Path) -> None:
    """Rename a folder to one that is not there. Raises: FileExistsError when another process was first."""
    try:
        os.rename(temporary, entry)
    except OSError:
        if (entry / CARD).is_file():
            raise FileExistsError(str(entry)) from None
        raise


def _listing(folder: Path) -> list[tuple[str, int, int]]:
    found = ((file, file.stat()) for file in sorted(folder.rglob("*")) if file.is_file())
    return [(str(file.relative_to(folder)), state.st_size, state.st_mtime_ns) for file, state in found]


@cache
def _code() -> str:
    """The hash of this package's source files: what another version trained is another first round."""
    package = Path(__file__).parent
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(package.rglob("*.py")):
        digest.update(f"{file.relative_to(package)}\n".encode() + file.read_bytes())
    return digest.hexdigest()
