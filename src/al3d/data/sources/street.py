"""Procedural street drives as a data set: made on first use, then read as SemanticKITTI is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from al3d.data.sources import semantic_kitti
from al3d.data.sources.common import Scanned
from al3d.data.sources.generated import Generated, made
from al3d.data.sources.semantic_kitti_labels import CLASSES
from al3d.types import U8, ClassTable, Scene
from al3d.world.drives import SEQUENCES, VERSION, write_semantic_kitti_drives
from al3d.world.street import HDL64


@dataclass(frozen=True)
class Street(Scanned, Generated):
    """`drives` procedural drives of `frames` scans with a 64-beam scanner, in SemanticKITTI's raw layout below `root`.

    The second drive is for validation, the others for training. `columns` firings a turn: 2170 as the real scanner, fewer for smaller
    scans. Made on the first call that needs files, in a folder of their own per (drives, frames, columns, pictures, rng, generator
    version), with `n_jobs` processes (-1: all cores), which do not change them. The fingerprint is of those options alone.
    Raises: ValueError for fewer than 2 or more than 11 drives, when they are made.
    """

    root: str | Path
    drives: int = 5
    frames: int = 30
    columns: int = 480
    pictures: bool = False
    rng: int = 1
    n_jobs: int = -1
    name: str = "street"

    @property
    def classes(self) -> ClassTable:
        """The 19 classes of SemanticKITTI."""
        return CLASSES

    @property
    def folder(self) -> Path:
        """Where these drives lie, or will lie."""
        options = f"street{self.drives}x{self.frames}-columns{self.columns}-pictures{int(self.pictures)}-rng{self.rng}-v{VERSION}"
        return Path(self.root).expanduser() / options

    def make(self) -> Path:
        """The folder of the drives, which are made when it is absent; several processes may ask at once."""
        sensor = HDL64.thinned(self.columns)
        write = partial(
            write_semantic_kitti_drives, drives=self.drives, rng=self.rng, frames=self.frames, n_jobs=self.n_jobs, sensor=sensor, shots=self.pictures
        )
        return made(self.folder, write)

    def scenes(self, split: str) -> tuple[str, ...]:
        """The scans of `split` ("train", "val"), sorted. Raises: ValueError for an unknown split."""
        return self._made().scenes(split)

    def read(self, scene_id: str) -> tuple[Scene, U8]:
        """The scan's points, intensity 0..1 and labels u8[N]; see `SemanticKITTI.read`."""
        return self._made().read(scene_id)

    def fingerprint(self) -> str:
        """A hash of the options and of the versions of the generator and the reader; makes nothing."""
        options = [VERSION, semantic_kitti.VERSION, self.drives, self.frames, self.columns, self.pictures, self.rng]
        return hashlib.blake2b(json.dumps(options).encode(), digest_size=16).hexdigest()

    def _made(self) -> semantic_kitti.SemanticKITTI:
        train = SEQUENCES[:1] + SEQUENCES[2 : self.drives]
        return semantic_kitti.SemanticKITTI(self.make(), splits={"train": train, "val": SEQUENCES[1:2]}, name=self.name)
