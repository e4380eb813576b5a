"""The folder of one run: a pure function of what defines the run, guarded against being continued as another."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from al3d.files import guarded, read_json, remove_leftovers, write_json
from al3d.locks import EXPIRES, Lock, Owner, living_owner, lock, owner_of, silence
from al3d.progress import console

Tree = Mapping[str, Any]


def identity_hash(identity: Tree) -> str:
    """Ten hexadecimal digits of what defines a run; key order does not matter."""
    text = json.dumps(identity, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=5).hexdigest()


def differing_keys(old: Tree, new: Tree, prefix: str = "") -> list[str]:
    """The dotted keys in which two nested configurations differ, each as "key: old -> new"."""
    lines: list[str] = []
    for key in sorted({*old, *new}):
        name, before, after = f"{prefix}{key}", old.get(key, "(absent)"), new.get(key, "(absent)")
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += differing_keys(before, after, f"{name}.")
        elif before != after:
            lines.append(f"{name}: {before} -> {after}")
    return lines


@dataclass(frozen=True)
class RunFolder:
    """Paths inside one run's folder."""

    path: Path

    def labels(self, round_index: int) -> Path:
        """The purchase that round `round_index` trains on."""
        return self.path / f"labels-{round_index:02d}"

    def round(self, round_index: int) -> Path:
        """Everything that round `round_index` makes."""
        return self.path / f"round-{round_index:02d}"

    def weights(self, round_index: int) -> Path:
        """The trained network of a round; exists only when its training is over."""
        return self.round(round_index) / "last.ckpt"

    def best(self, round_index: int) -> Path:
        """The best of a round's checkpoints, where one is chosen."""
        return self.round(round_index) / "best.ckpt"

    def labelled(self, round_index: int) -> Path:
        """How many voxels of each class a round trains on, by scene."""
        return self.round(round_index) / "labelled.json"

    def prior(self, round_index: int) -> Path:
        """The class shares that a round was trained on, and those of the pool as its network sees it, where predictions are corrected by them."""
        return self.round(round_index) / "prior.json"

    def resume(self, round_index: int) -> Path:
        """Where a training that was stopped goes on; gone when it is over."""
        return self.round(round_index) / "resume.ckpt"

    def metrics(self, round_index: int) -> Path:
        """What the round's network scored."""
        return self.round(round_index) / "metrics.json"

    @property
    def shared(self) -> Path:
        """Whose first round this is: `shared_from` names the run that trained it, null for this one."""
        return self.round(0) / "shared.json"

    def units(self, round_index: int, block: int) -> Path:
        """The harvested rows of one block of pool scenes."""
        return self.round(round_index) / "units" / f"{block:05d}.npz"

    def guard(self, identity: Tree) -> None:
        """Accept the folder if it is new or belongs to the same identity.

        Raises: ValueError naming the keys in which the folder's identity differs.
        """
        file = self.path / "identity.json"
        wanted = json.loads(json.dumps(identity, default=str))
        if not file.is_file():
            write_json(file, {"hash": identity_hash(identity), "identity": wanted})
            return
        differing = differing_keys(read_json(file)["identity"], wanted)
        if differing:
            listing = "\n  ".join(differing)
            raise ValueError(
                f"{self.path} belongs to another run. These keys differ (there -> now):\n  {listing}\n"
                "Use the folder's own configuration, or leave paths.run empty so that this run gets a folder of its own."
            )

    def check_free(self) -> None:
        """Refuse the folder while another process writes it; see `al3d.locks.living_owner`. Raises: ValueError naming that process and the way out."""
        owner = living_owner(self._lock)
        if owner is not None:
            raise ValueError(self._busy(owner))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the folder while the block runs: the first process does, for all ranks of the run.

        A lock whose process is gone is taken over, and `execution.jsonl` says so.
        Raises: ValueError as `check_free`, and before a file is written when another process has taken the folder over meanwhile.
        """
        if not first_process():
            yield
            return
        before = owner_of(self._lock)
        self.check_free()
        mine = lock(self._lock, self.path.name)
        if isinstance(mine, Owner):
            raise ValueError(self._busy(mine))
        try:
            if before is not None:
                self.log_execution({"took_over_from": str(before)})
            self._sweep()
            with guarded(self.path, partial(self._check_mine, mine)):
                yield
        finally:
            mine.release()

    def _sweep(self) -> None:
        """Remove what killed processes left: nobody else writes here while the lock is held."""
        remove_leftovers(self.path, seconds=0)
        for folder in self.path.glob("round-*/csv/start-*"):
            if not any(folder.iterdir()):
                folder.rmdir()

    def _check_mine(self, mine: Lock) -> None:
        """Raises: ValueError when `mine` is another's by now: this process was stopped for so long that it looked gone."""
        owner = owner_of(self._lock)
        if owner is not None and owner.token != mine.owner.token:
            raise ValueError(
                f"{self.path} was taken over by {owner} while this process was stopped or gave no sign of life: that one goes on with the run, "
                "this one ends and writes nothing more"
            )

    @property
    def _lock(self) -> Path:
        return self.path / "run.lock"

    def _busy(self, owner: Owner) -> str:
        silent = silence(self._lock)
        sign = "" if silent is None else f", last sign of life {max(0.0, silent):.0f} s ago"
        return (
            f"{self.path} is written by {owner}{sign}: wait until it has ended, or end it there (kill {owner.process}). In a sweep, two cells that "
            f"are the same run meet here. If the process is gone, run the same command again {EXPIRES / 60:.0f} minutes after its last sign of life, or "
            f"delete {self._lock}"
        )

    def started_with(self, key: str) -> Any:
        """What the first start that says so said of `key`, None where none does."""
        return next((start[key] for start in remarks(self.path / "execution.jsonl") if key in start), None)

    def log_execution(self, settings: Tree) -> None:
        """Append how this process was started: what may change between restarts."""
        self.path.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%S"), "process": os.getpid(), **settings}, default=str)
        with (self.path / "execution.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def remarks(file: Path) -> list[dict[str, Any]]:
    """The lines of an execution.jsonl, without one that was cut off when a process was killed; none where there is no file."""
    found = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        with suppress(json.JSONDecodeError):
            found.append(json.loads(line))
    return [remark for remark in found if isinstance(remark, dict)]


def features_name(method: Tree) -> str | None:
    """The name of the features that a seed or method of an identity chooses by, or None."""
    node = method.get("features")
    while isinstance(node, dict) and "of" in node:
        node = node["of"]
    return str(node["name"]) if isinstance(node, dict) else None


def process_rank() -> int:
    """The rank of this process among those of the run, as its launcher says; 0 without one."""
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
        if name in os.environ:
            return int(os.environ[name])
    return 0


def first_process() -> bool:
    """Whether this process is the one that writes and shows."""
    return process_rank() == 0


def say(text: str) -> None:
    """One line for a person, from the first process only."""
    if first_process():
        console.print(text, markup=False)


def wait_for(path: Path, seconds: float = 24 * 3600.0, interval: float = 0.2) -> None:
    """Wait until another process has written `path`. Raises: TimeoutError naming the file."""
    wait_until(path.exists, str(path), seconds, interval)


def wait_until(there: Callable[[], bool], what: str, seconds: float = 24 * 3600.0, interval: float = 0.2) -> None:
    """Wait until `there` says so, for what another process writes. Raises: TimeoutError naming `what`."""
    limit = time.monotonic() + seconds
    while not there():
        if time.monotonic() > limit:
            raise TimeoutError(f"{what} did not appear within {seconds:.0f} s: did the first process stop? Run the same command again")
        time.sleep(interval)
