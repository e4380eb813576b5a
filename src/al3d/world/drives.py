"""Procedural drives in the official raw layouts of LiDAR data sets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from joblib import Parallel, delayed

from al3d.files import whole_folder
from al3d.progress import track
from al3d.world.nuscenes import write_nuscenes
from al3d.world.semantic_kitti import write_sequence
from al3d.world.street import HDL32, HDL64, Sensor, drive
from al3d.world.sweep import Sweep

#: Raised whenever the same options give other drives.
VERSION = 1
#: The sequence that drive i becomes: the second one is the official validation sequence.
SEQUENCES = ("00", "08", "01", "02", "03", "04", "05", "06", "07", "09", "10")
#: The scene that drive i becomes: those of the mini release, the second and the sixth for validation.
SCENES = ("scene-0061", "scene-0103", "scene-0553", "scene-0655", "scene-0757", "scene-0916", "scene-0796", "scene-1077", "scene-1094", "scene-1100")


def write_semantic_kitti_drives(
    root: Path, drives: int, rng: int = 1, frames: int = 20, n_jobs: int = -1, sensor: Sensor = HDL64, shots: bool = True, quiet: bool = False
) -> None:
    """Write `drives` drives of `frames` scans each in SemanticKITTI's layout under `root`, all of them or none.

    Drive i is the same for any number of drives and of processes (`n_jobs`, -1: all cores). The second is sequence 08, for validation.
    Raises: ValueError for fewer than 2 drives (one to train, one to validate) or more than there are labelled sequences;
    FileExistsError when `root` holds something already.
    """
    _check(root, drives, frames, len(SEQUENCES), "labelled sequences in SemanticKITTI")
    with whole_folder(root) as temporary:
        jobs = (delayed(_write_one)(temporary, sequence, rng, index, sensor, frames, shots) for index, sequence in enumerate(SEQUENCES[:drives]))
        done = Parallel(n_jobs=min(n_jobs, drives) if n_jobs > 0 else n_jobs, return_as="generator_unordered")(jobs)
        for _ in track(done, f"making {drives} drives of {frames} scans", drives, quiet):
            pass


def write_nuscenes_drives(root: Path, drives: int, rng: int = 1, frames: int = 20, n_jobs: int = -1, sensor: Sensor = HDL32, quiet: bool = False) -> None:
    """Write `drives` drives of `frames` key frames each in nuScenes' layout (v1.0-mini) under `root`, all of them or none.

    Drives are made one after the other, since the tables link them; `n_jobs` changes nothing. Of ten drives two are for validation.
    Raises: as `write_semantic_kitti_drives`.
    """
    _check(root, drives, frames, len(SCENES), "scenes in v1.0-mini")
    sweeps = {scene: drive(rng, index, sensor, frames) for index, scene in enumerate(SCENES[:drives])}
    write_nuscenes(root, {scene: _seen(each, scene, frames, quiet) for scene, each in sweeps.items()})


def _seen(sweeps: Iterable[Sweep], name: str, frames: int, quiet: bool) -> Iterator[Sweep]:
    yield from track(sweeps, f"making {name}", frames, quiet)


def _write_one(root: Path, sequence: str, rng: int, index: int, sensor: Sensor, frames: int, shots: bool) -> None:
    write_sequence(root, sequence, drive(rng, index, sensor, frames, shots))


def _check(root: Path, drives: int, frames: int, most: int, what: str) -> None:
    if not 2 <= drives <= most or frames < 1:
        raise ValueError(f"scenes={drives}, frames={frames}: ask for 2 (train and val) to {most} drives, as there are {most} {what}, of at least 1 scan")
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FileExistsError(f"{root} holds something already: name a new folder, or delete this one first")
