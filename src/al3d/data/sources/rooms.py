"""Procedural rooms as a data set: made on first use, then read as S3DIS is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from al3d.data.sources import s3dis
from al3d.data.sources.common import Coloured
from al3d.data.sources.generated import Generated, made
from al3d.types import U8, ClassTable, Scene
from al3d.world.rooms import VERSION, write_rooms


@dataclass(frozen=True)
class Rooms(Coloured, Generated):
    """`rooms` procedural rooms of about `points` points each, in S3DIS' raw layout below `root`; one in four is for validation.

    They are made on the first call that needs files, in a folder of their own per (rooms, rng, points, generator version), with
    `n_jobs` processes (-1: all cores), which do not change them. The fingerprint is of those options alone, so that two
    machines agree.
    Raises: ValueError for fewer than 2 rooms or fewer than 1000 points, when they are made.
    """

    root: str | Path
    rooms: int = 24
    rng: int = 1
    points: int = 60_000
    n_jobs: int = -1
    name: str = "rooms"

    @property
    def classes(self) -> ClassTable:
        """The 13 classes of S3DIS."""
        return s3dis.CLASSES

    @property
    def folder(self) -> Path:
        """Where these rooms lie, or will lie."""
        return Path(self.root).expanduser() / f"rooms{self.rooms}-rng{self.rng}-points{self.points}-v{VERSION}"

    def make(self) -> Path:
        """The folder of the rooms, which are made when it is absent; several processes may ask at once."""
        return made(self.folder, partial(write_rooms, scenes=self.rooms, rng=self.rng, points=self.points, n_jobs=self.n_jobs))

    def scenes(self, split: str) -> tuple[str, ...]:
        """The rooms of `split` ("train", "val"), sorted. Raises: ValueError for an unknown split."""
        return self._made().scenes(split)

    def read(self, scene_id: str) -> tuple[Scene, U8]:
        """The room's points, colours 0..1 and labels u8[N]; see `S3DIS.read`."""
        return self._made().read(scene_id)

    def fingerprint(self) -> str:
        """A hash of the options and of the versions of the generator and the reader; makes nothing."""
        options = [VERSION, s3dis.VERSION, self.rooms, self.rng, self.points]
        return hashlib.blake2b(json.dumps(options).encode(), digest_size=16).hexdigest()

    def _made(self) -> s3dis.S3DIS:
        return s3dis.S3DIS(self.make(), name=self.name)
