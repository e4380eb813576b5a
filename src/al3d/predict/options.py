"""What labelling is told; apart from the rest, so that wrong places are found before torch is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from al3d.predict.scans import ScanFile, find_scans

#: Points that are read at once, and scans of how many points are kept in memory.
CHUNK, IN_MEMORY = 1_000_000, 4_000_000
#: Where LAS and LAZ files can keep the class.
FIELDS = ("classification", "label")


@dataclass(frozen=True)
class Options:
    """What the command was told; see `al3d predict --help`.

    `chunk` points are read at once, and scans of more than `in_memory` are kept in files meanwhile.
    """

    run: Path
    out: Path
    scans: str | None = None
    split: str | None = None
    format: str = "same"
    round: int | None = None
    probabilities: bool = False
    colours: str = "scan"
    field: str = "classification"
    overwrite: bool = False
    root: Path | None = None
    tile_voxels: int | None = 400_000
    tile_halo: int = 96
    device: str = "auto"
    threads: int | None = None
    chunk: int = CHUNK
    in_memory: int = IN_MEMORY

    def __post_init__(self) -> None:
        if (self.scans is None) == (self.split is None):
            raise ValueError(f"give either scans= (files) or split= (of the run's data set), got scans={self.scans} split={self.split}")
        for name, value, known in (("colours", self.colours, ("scan", "class")), ("field", self.field, FIELDS)):
            if value not in known:
                raise ValueError(f"{name}={value}: choose one of {', '.join(known)}")
        if self.format == "same" and self.split is not None:
            object.__setattr__(self, "format", "npz")
        if self.probabilities and self.format in ("label", "submission"):
            raise ValueError(f"probabilities=true: format={self.format} has no place for them: choose npz, ply or las")

    def files(self) -> list[ScanFile]:
        """The scans that are given as files. Raises: FileNotFoundError when there are none."""
        return find_scans(self.scans) if self.scans is not None else []


def check_run(run: Path) -> None:
    """Raises: FileNotFoundError, with the runs that are near, when the folder is no run's."""
    if not (run / "config.yaml").is_file():
        near = sorted(path.parent.name for path in run.glob("*/config.yaml"))[:5] if run.is_dir() else []
        hint = f"; it holds the runs {', '.join(near)}: give one of them" if near else ": give the folder that `al3d train` printed as 'run folder'"
        raise FileNotFoundError(f"run={run}: no run there (no config.yaml){hint}")
