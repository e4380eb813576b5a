"""Raw files to a store, once: scenes first, then what is computed from them; stopped at any moment, it goes on from there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from al3d.data.extras import Extra
from al3d.data.grid import subsample
from al3d.data.hashing import array_hash, described, hash_of
from al3d.data.jobs import Jobs, Light, relative_paths
from al3d.data.sources.names import checked_id
from al3d.data.store import FORMAT, Store, image_content
from al3d.data.voxelise import lowest, voxelise
from al3d.data.whole import save
from al3d.files import read_json, remove_leftovers, whole_file, whole_folder, write_json
from al3d.locks import held
from al3d.progress import console
from al3d.types import F32, I32, IGNORE, U8, Partitioner, Scene, Source


def prepare(
    source: Source,
    root: Path,
    splits: Sequence[str] = ("train", "val"),
    grid: float | None = None,
    extras: Sequence[Extra] = (),
    partitioners: Sequence[Partitioner] = (),
    workers: int = 1,
    computed_splits: Sequence[str] = ("train",),
    backend: str = "loky",
    scheduler: str | None = None,
) -> Store:
    """Write the scenes of `source` to `<root>/<name>-<hash>` and compute `extras` and stored unit ids; what is there is kept.

    `grid` (metres) subsamples every scene. Extras and unit ids are computed for `computed_splits`, where labels are bought.
    `workers`, `backend` and `scheduler` say where the scenes are worked on (see `Jobs`); the files do not depend on it. Several processes may
    ask at once: one works, the others wait for it. What killed processes left half-written is never read, and removed a day later.
    Raises: ValueError listing every scene that could not be prepared, after the others were; OSError when the disk is full.
    """
    jobs = Jobs(workers, backend, scheduler)
    if grid is not None and not (np.isfinite(grid) and grid > 0):
        raise ValueError(f"grid={grid}: give a positive cell size in metres, or None for every point")
    path = store_folder(source, _reachable(jobs, source, Path(root)), splits, grid)
    if not (path / "manifest.json").is_file():
        with held(lock_of(path), f"{source.name}: scenes"):
            _write_store(path, source, splits, grid, jobs)
    store = Store(path)
    ids = [scene for split in computed_splits for scene in store.splits.get(split, ())]
    _compute_extras(store, extras, ids, jobs)
    _compute_units(store, partitioners, ids, jobs)
    return store


def voxel_counts(store: Store, size: float, jobs: Jobs | None = None) -> Mapping[str, int]:
    """How many voxels of `size` metres every scene has when it is not augmented; counted once, then read from a file of the store.

    Raises: ValueError listing every scene that cannot be voxelised.
    """
    file = store.path / "voxels" / f"{hash_of(float(size))}.json"
    if not file.is_file():
        words = f"{store.name}: voxels of {size:g} m"
        with held(lock_of(file), words):
            if not file.is_file():
                ids = sorted(store.sizes)
                counts = (jobs or Jobs()).each(partial(_count_voxels, store, float(size)), ids, words)
                write_json(file, {"size": size, "voxels": dict(zip(ids, counts, strict=True))})
    counted: Mapping[str, int] = read_json(file)["voxels"]
    return counted


def check_extents(store: Store, size: float, jobs: Jobs | None = None) -> None:
    """Refuse scenes that are too wide for voxels of `size` metres, as one stray point makes them. Raises: ValueError listing every one of them."""
    (jobs or Jobs()).each(partial(_check_extent, store, size), sorted(store.sizes), f"{store.name}: extents")


def store_folder(source: Source, root: Path, splits: Sequence[str] = ("train", "val"), grid: float | None = None) -> Path:
    """Where `prepare` puts the data set: another raw file, another grid or another split is another folder."""
    return root / f"{checked_id(source.name, 'data set name')}-{hash_of([FORMAT, source.fingerprint(), grid, sorted(splits)])}"


def _write_store(path: Path, source: Source, splits: Sequence[str], grid: float | None, jobs: Jobs) -> None:
    """Write the scenes that are not there yet, then the manifest, unless another process has done so."""
    if (path / "manifest.json").is_file():
        return
    listed = _listed(source, splits)
    remove_leftovers(path)
    ids = [scene for scenes in listed.values() for scene in scenes]
    todo = [scene for scene in ids if not (path / "scenes" / scene / "meta.json").is_file()]
    jobs.each(partial(_write_scene, Light(source), source.features, path, grid), todo, f"{source.name}: scenes")
    _write_manifest(path, source, listed, grid)


def _listed(source: Source, splits: Sequence[str]) -> dict[str, list[str]]:
    """The scenes of each split. Raises: ValueError for a scene in two splits, or an id that cannot name a folder."""
    listed = {split: sorted(checked_id(scene) for scene in source.scenes(split)) for split in splits}
    ids = sorted(scene for scenes in listed.values() for scene in scenes)
    twice = sorted({first for first, second in zip(ids, ids[1:], strict=False) if first == second})
    if twice:
        raise ValueError(f"{source.name}: {', '.join(twice[:10])} occur more than once in splits {', '.join(splits)}: a scene belongs in one split, once")
    if not ids:
        raise ValueError(f"{source.name}: no scenes in splits {', '.join(splits)}")
    return listed


def _reachable(jobs: Jobs, source: Source, root: Path) -> Path:
    """`root` as workers on other machines can use it. Raises: ValueError when they could not find the raw files."""
    if jobs.scheduler is None:
        return root
    relative = relative_paths(source)
    if relative:
        names = ", ".join(relative)
        raise ValueError(f"{source.name}: {names} is relative, but the workers of {jobs.scheduler} may run elsewhere: give dataset.root as an absolute path")
    return root.absolute()


def _check_extent(store: Store, size: float, scene_id: str) -> None:
    lowest(np.asarray(store.scene(scene_id).xyz), size)


def _count_voxels(store: Store, size: float, scene_id: str) -> int:
    return len(voxelise(np.asarray(store.scene(scene_id).xyz), size)[0])


def _write_scene(light: Light[Source], features: tuple[str, ...], path: Path, grid: float | None, scene_id: str) -> None:
    """Read one scene and write it; its folder in `scenes/` comes last and says that the rest is there."""
    source = light.value
    scene, raw_label = source.read(scene_id)
    classes = len(source.classes)
    _check(scene, raw_label, scene_id, features, classes)
    xyz, feat, label = scene.xyz, scene.feat, raw_label
    if grid is not None:
        xyz, feat, label, inverse = subsample(scene.xyz, scene.feat, raw_label, grid, classes)
        with whole_folder(path / "raw" / scene_id) as temporary:
            save(temporary / "inverse.npy", inverse)
            save(temporary / "label.npy", raw_label)
    with whole_file(path / "truth" / f"{scene_id}.npy") as temporary:
        save(temporary, label)
    with whole_folder(path / "scenes" / scene_id) as temporary:
        save(temporary / "xyz.npy", xyz)
        save(temporary / "feat.npy", feat)
        write_json(temporary / "meta.json", _meta(scene, xyz, feat, label))


def _check(scene: Scene, label: U8, scene_id: str, features: tuple[str, ...], classes: int) -> None:
    if scene.id != scene_id:
        raise ValueError(f"the source returned scene {scene.id!r} for {scene_id!r}")
    if scene.feat.shape[1] != len(features):
        raise ValueError(f"{scene.feat.shape[1]} features per point, but the source promises {', '.join(features)}")
    if label.shape != (len(scene),) or label.dtype != np.uint8:
        raise ValueError(f"labels are {label.dtype} {list(label.shape)}, but must be uint8 [{len(scene)}]")
    strange = np.unique(label[(label >= classes) & (label != IGNORE)])
    if len(strange):
        raise ValueError(f"labels {strange.tolist()} are neither a class (0..{classes - 1}) nor {IGNORE}")


def _meta(scene: Scene, xyz: F32, feat: F32, label: U8) -> dict[str, object]:
    return {
        "origin": scene.origin.tolist(),
        "pose": scene.pose.tolist(),
        "sequence": scene.sequence,
        "frame": scene.frame,
        "images": [image_content(image) for image in scene.images],
        "points": len(xyz),
        "raw_points": len(scene),
        "labelled": int((label != IGNORE).sum()),
        "hash": array_hash(xyz, feat, label),
    }


def _write_manifest(path: Path, source: Source, listed: dict[str, list[str]], grid: float | None) -> None:
    meta = {scene: read_json(path / "scenes" / scene / "meta.json") for scenes in listed.values() for scene in sorted(scenes)}
    hashes = {scene: meta[scene]["hash"] for scene in sorted(meta)}
    splits_of = sorted((scene, split) for split, scenes in listed.items() for scene in scenes)
    content = {
        "format": FORMAT,
        "name": source.name,
        "classes": source.classes.names,
        "colors": source.classes.colors,
        "features": source.features,
        "grid": grid,
        "data_hash": hash_of([[scene, split, hashes[scene]] for scene, split in splits_of], 32),
        "splits": listed,
        "points": {scene: meta[scene]["points"] for scene in sorted(meta)},
        "raw_points": {scene: meta[scene]["raw_points"] for scene in sorted(meta)},
        "hashes": hashes,
    }
    for split, scenes in listed.items():
        unknown = [scene for scene in scenes if not meta[scene]["labelled"]]
        if unknown:
            shown = f"{', '.join(unknown[:5])}{', ...' if len(unknown) > 5 else ''}"
            words = f"{len(unknown)} of {len(scenes)} {split} scenes have no label at all ({shown}): only people can answer there (oracle=people)"
            console.print(f"{source.name}: {words}", markup=False)
    write_json(path / "manifest.json", content)


def _compute_extras(store: Store, extras: Sequence[Extra], ids: Sequence[str], jobs: Jobs) -> None:
    for extra in extras:
        missing = [name for place, name in enumerate(extra.needs) if store.features[place : place + 1] != (name,)]
        if missing:
            raise ValueError(f"{extra.name} needs the features {', '.join(extra.needs)} first, but {store.name} has {', '.join(store.features)}: leave it out")
        folder, words = store.extra_file(extra, "-").parents[1], f"{store.name}: {extra.name}"
        each_missing(folder, extra, partial(store.extra_file, extra), partial(_write_extra, store, extra), ids, jobs, words)


def _compute_units(store: Store, partitioners: Sequence[Partitioner], ids: Sequence[str], jobs: Jobs) -> None:
    for partitioner in partitioners:
        if not partitioner.stored:
            continue
        folder, words = store.unit_file(partitioner, "-").parent, f"{store.name}: {partitioner.name} units"
        each_missing(folder, partitioner, partial(store.unit_file, partitioner), partial(_write_unit, store, partitioner), ids, jobs, words)


def each_missing(folder: Path, maker: object, file: Callable[[str], Path], work: Callable[[str], None], ids: Sequence[str], jobs: Jobs, words: str) -> None:
    """Do `work` for the scenes of `ids` whose `file` in `folder` is missing; other processes that ask for it meanwhile wait."""
    if all(file(scene).is_file() for scene in ids):
        return
    with held(lock_of(folder), words):
        todo = [scene for scene in ids if not file(scene).is_file()]
        describe_folder(folder, maker, todo)
        jobs.each(work, todo, words)


def lock_of(path: Path) -> Path:
    """The lock beside something that is prepared."""
    return path.with_name(f".{path.name}.lock")


def describe_folder(folder: Path, maker: object, todo: Sequence[str]) -> None:
    """Leave a note for people about what is in a folder whose name is a hash, and clear what was left half-written there."""
    if todo:
        remove_leftovers(folder)
    if todo and not (folder / "made_by.json").is_file():
        write_json(folder / "made_by.json", described(maker))


def _write_extra(store: Store, extra: Extra, scene_id: str) -> None:
    scene = store.scene(scene_id)
    values: F32 = extra(scene)
    if values.dtype != np.float32 or values.shape != (len(scene),) or not np.isfinite(values).all():
        raise ValueError(f"{extra} gave {values.dtype} {list(values.shape)}, but must give finite float32 [{len(scene)}]")
    with whole_file(store.extra_file(extra, scene_id)) as temporary:
        save(temporary, values)


def _write_unit(store: Store, partitioner: Partitioner, scene_id: str) -> None:
    scene = store.scene(scene_id)
    partition = partitioner(scene)
    unit: I32 = partition.unit
    if unit.dtype != np.int32 or unit.shape != (len(scene),):
        raise ValueError(f"{partitioner} gave {unit.dtype} {list(unit.shape)}, but must give int32 [{len(scene)}]")
    found = np.unique(unit)
    if found[0] < -1 or not np.array_equal(found[found >= 0], np.arange((found >= 0).sum())):
        raise ValueError(f"{partitioner} gave ids {found[:3].tolist()}..{found[-1]}, but must give every id from 0 on, and -1 for none")
    if len(partitioner.kinds) > 1:
        kind = partition.kinds()
        if kind.dtype != np.uint8 or kind.shape != ((found >= 0).sum(),) or kind.max(initial=0) >= len(partitioner.kinds):
            raise ValueError(f"{partitioner} gave kinds {kind.dtype} {list(kind.shape)} for {(found >= 0).sum()} units of the kinds {partitioner.kinds}")
        with whole_file(store.kind_file(partitioner, scene_id)) as temporary:
            save(temporary, kind)
    with whole_file(store.unit_file(partitioner, scene_id)) as temporary:
        save(temporary, unit)
