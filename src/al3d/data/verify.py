"""Whether the files of a run and of its prepared data set are whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from al3d.data.hashing import array_hash, hash_of
from al3d.data.store import Store
from al3d.data.whole import check_archive, look_again, mapped
from al3d.files import BUY, PREPARE, TRAIN, read_json


def damages(folder: Path, way: str) -> Iterator[str]:
    """What is damaged in a folder, or of one file: array files, archives (checkpoints, NPZ) and JSON; a line each, with the file and the way out."""
    look_again()
    for file in [folder] if folder.is_file() else sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")):
        try:
            if file.suffix == ".npy":
                mapped(file, way)
            elif file.suffix in (".ckpt", ".npz"):
                check_archive(file, way)
            elif file.suffix == ".json":
                read_json(file)
        except (ValueError, OSError) as error:
            yield str(error)


def damages_of_run(run: Path) -> Iterator[str]:
    """As `damages`, of purchases, of guesses, of what rounds made, and of what lies beside them."""
    for folder in sorted(run.iterdir()):
        yield from damages(folder, BUY if folder.name.startswith(("labels-", "pseudo-")) else TRAIN)


def damages_of_store(store: Store) -> Iterator[str]:
    """As `damages`; and scenes, their labels and the list of scenes that are not what they were when the data set was prepared."""
    found = list(damages(store.path, PREPARE))
    yield from found
    hashes = read_json(store.path / "manifest.json")["hashes"]
    splits = sorted((scene, split) for split, scenes in store.splits.items() for scene in scenes)
    if hash_of([[scene, split, hashes.get(scene)] for scene, split in splits], 32) != store.data_hash:
        yield f"{store.path / 'manifest.json'}: its splits or hashes are not what was written: {PREPARE}"
    for scene in sorted(store.sizes):
        files = [store.path / "scenes" / scene / "xyz.npy", store.path / "scenes" / scene / "feat.npy", store.path / "truth" / f"{scene}.npy"]
        missing = [str(file) for file in files if not file.is_file()]
        if missing:
            yield f"{', '.join(missing)}: missing: {PREPARE}"
        elif not any(str(file) in line for file in files for line in found) and array_hash(*map(mapped, files)) != hashes.get(scene):
            yield f"{files[0].parent}: its points, or its labels in {files[2]}, are not what was prepared: {PREPARE}"
