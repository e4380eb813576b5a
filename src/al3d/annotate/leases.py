"""A query that is shown to one person is not shown to another one: a lock file per query while somebody looks at it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from al3d.locks import Lock, lock
from al3d.people.queries import Key

#: How long somebody may give no sign of life before what is shown to them is free for others, seconds.
SILENT = 300.0


class Leases:
    """What one page holds in the `folder` that all pages and servers of a run share. A server that ends gives up its leases by ending."""

    def __init__(self, folder: Path, who: str) -> None:
        self.folder, self.who = folder, who
        self._held: dict[Key, Lock] = {}

    def take(self, key: Key) -> bool:
        """Hold a query; whether it is this page's now. Raises: OSError when the folder cannot be written."""
        if key in self._held:
            return True
        name = hashlib.blake2b(repr(key).encode(), digest_size=12).hexdigest()
        found = lock(self.folder / f"{name}.lock", f"{key}, shown to {self.who}", expires=SILENT)
        if isinstance(found, Lock):
            self._held[key] = found
        return isinstance(found, Lock)

    def keep_only(self, *keys: Key) -> None:
        """Give up everything else."""
        for key in [key for key in self._held if key not in keys]:
            self._held.pop(key).release()
