"""What generated data sets share: they are made on first use, by whichever process comes first."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from al3d.locks import held


class Generated:
    """What a generated data set says of itself: both splits, and nothing that anybody published."""

    @property
    def splits(self) -> tuple[str, ...]:
        """Train and val."""
        return ("train", "val")

    @property
    def published(self) -> Mapping[str, int]:
        """Nothing is published about generated data."""
        return {}


def made(folder: Path, write: Callable[[Path], None]) -> Path:
    """`folder`, filled by `write(another name)` and renamed when it is absent; several processes may ask at once: one works, the others wait.

    Raises: whatever `write` raises; nothing of `folder` is there then.
    """
    if folder.is_dir():
        return folder
    with held(folder.with_name(f".{folder.name}.lock"), f"making {folder.name}"):
        if folder.is_dir():
            return folder
        own = folder.with_name(f".{folder.name}.{os.getpid()}.made")
        shutil.rmtree(own, ignore_errors=True)
        write(own)
        _publish(own, folder)
    return folder


def _publish(own: Path, folder: Path) -> None:
    """Rename `own` to `folder`, unless another process was faster: what it made is the same."""
    try:
        os.rename(own, folder)
    except OSError:
        shutil.rmtree(own)
        if not folder.is_dir():
            raise
