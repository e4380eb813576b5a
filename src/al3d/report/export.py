"""A run's choice in the files that others read: `al3d export RUN --out FOLDER` writes lists of scans and of regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hydra.utils import instantiate

from al3d.data.earlier import find_store, last_round, manifest, region_ids
from al3d.data.exchange import layout_of, write_regions, write_scans
from al3d.data.labels import LabelState
from al3d.data.store import mapped, partition_hash
from al3d.files import read_json, whole_file, write_json
from al3d.progress import console, track
from al3d.trust import check_parts
from al3d.types import I32, Bool

#: The kinds of stored units that are what published code calls regions.
REGIONS = ("Supervoxel", "KMeansRegion", "Published", "Auto")


@dataclass(frozen=True)
class Choice:
    """What a run bought, for lists: scene ids, asked points, and where there is a partition the bought and the left ids of it, from 0.

    `unit` names what was bought: "scene" when it was whole scenes alone.
    """

    bought: tuple[str, ...]
    left: tuple[str, ...]
    points: int
    unit: str
    regions: Mapping[str, Sequence[int]] | None = None
    other_regions: Mapping[str, Sequence[int]] | None = None


def choice_of(run: Path, round_index: int | None = None, data: Path | None = None, partition: str | None = None) -> Choice:
    """What `run` bought up to `round_index` (0: its seed alone; None: everything), one scene at a time.

    `data` holds prepared data sets (None: where the run's configuration says). Regions are units of the stored partition that the run
    bought by; where it bought whole scenes, all units of these, of the stored partition into regions. `partition` names another (a folder of
    the store's `unit/`).
    Raises: FileNotFoundError without the run or its data set; ValueError when what was bought is neither whole scenes nor whole regions.
    """
    labels = LabelState(run, find_store(run, data))
    scenes, last = labels.store.splits["train"], last_round(run, round_index)
    folder = _partition(labels, last, partition)
    regions: dict[str, list[int]] = {}
    others: dict[str, list[int]] = {}
    bought, points, whole = [], 0, True
    for scene in track(scenes, f"reading what {run.name} bought", len(scenes)):
        asked = labels.asked(scene, last)
        points += int(asked.sum())
        whole &= bool(asked.all() or not asked.any())
        if asked.any():
            bought.append(scene)
        ids = None if folder is None else mapped(folder / f"{scene}.npy")
        mine, rest = _regions(asked, ids)
        if mine is None or rest is None:
            parts = "all of it" if folder is None else f"all of it nor whole regions of {folder}"
            raise ValueError(
                f"{run}: what it bought of scene {scene!r} is {'not' if folder is None else 'neither'} {parts}, and the lists know nothing else: "
                f"a new run takes it over as it is with seed=file seed.unit.run={run}; --round 0 writes the seed alone"
            )
        regions |= {scene: mine} if mine else {}
        others |= {scene: rest} if rest else {}
    left = tuple(sorted(set(scenes) - set(bought)))
    unit = "scene" if whole else _unit_name(labels, last)
    return Choice(tuple(bought), left, points, unit, *((None, None) if folder is None else (regions, others)))


def _regions(asked: Bool, ids: I32 | None) -> tuple[list[int] | None, list[int] | None]:
    """The bought and the left regions of a scene; (None, None) when a part of a region was bought, or points in none but not the whole scene."""
    if ids is None:
        return ([], []) if asked.all() or not asked.any() else (None, None)
    count = int(ids.max(initial=-1)) + 1
    inside = ids >= 0
    total, taken = (np.bincount(ids[mask], minlength=count) for mask in (inside, inside & asked))
    if np.any((taken > 0) & (taken < total)) or (np.any(asked & ~inside) and not asked.all()):
        return None, None
    return np.flatnonzero(taken > 0).tolist(), np.flatnonzero(taken == 0).tolist()


def _unit_name(labels: LabelState, last: int) -> str:
    """The kind of units that were bought by, the latest that are parts of scenes, as conf/unit calls it."""
    names = [str(manifest(labels, index)["unit"]).split("-")[0] for index in range(last + 1)]
    return next((name for name in reversed(names) if name not in ("scene", "earlier")), "supervoxel")


def write_choice(choice: Choice, out: Path, up_to: int) -> list[Path]:
    """Write the lists of a choice into `out`; returns the files.

    Lists of scans name every scene of which something was bought, and the others; lists of regions (ids from 1) appear where there is a
    partition, and together hold every region once. `units.json` holds the units bought, scene -> ids from 0: of the
    partition, or 0 for scenes that were bought whole.
    """
    layout = layout_of((*choice.bought, *choice.left))
    files = [out / layout.file(side, "scan") for side in ("label", "ulabel")]
    for file, scenes in zip(files, (choice.bought, choice.left), strict=True):
        write_scans(file, scenes, layout)
    said = f"Scan Num: {len(choice.bought)} and Point Num: {choice.points}"
    if choice.regions is not None and choice.other_regions is not None:
        files += [out / layout.file(side, "region") for side in ("label", "ulabel")]
        for file, regions in zip(files[2:], (choice.regions, choice.other_regions), strict=True):
            write_regions(file, {scene: [one + 1 for one in ids] for scene, ids in regions.items()})
        said = f"Region Num: {sum(map(len, choice.regions.values()))} and Point Num: {choice.points}, {len(choice.bought)} scans"
    files += [out / "units.json", out / "info.txt"]
    by_region = choice.regions is not None and choice.unit != "scene"
    write_json(files[-2], choice.regions if by_region else {scene: [0] for scene in choice.bought})
    with whole_file(files[-1]) as temporary:
        temporary.write_text(f"{said}, bought up to round {up_to}\n", encoding="utf-8")
    return files


def export(run: Path, out: Path, round_index: int | None = None, data: Path | None = None, partition: str | None = None) -> list[Path]:
    """Write what a run bought into `out`, and say how it is bought again. Raises: as `choice_of`."""
    choice = choice_of(run, round_index, data, partition)
    files = write_choice(choice, out, last_round(run, round_index))
    again = f"seed.score.file={files[0]}" if choice.unit == "scene" else f"unit@seed.unit={choice.unit} seed.score.file={files[2]}"
    console.print(f"written to {out}: {', '.join(file.name for file in files)}; {files[-1].read_text(encoding='utf-8').strip()}", markup=False)
    if choice.regions is None:
        console.print("no lists of regions: the data set has no stored regions; al3d prepare ... unit@acquire.unit=supervoxel makes them", markup=False)
    console.print(f"bought again by: al3d train seed=published {again}", markup=False, soft_wrap=True)
    return files


def _partition(labels: LabelState, last: int, wanted: str | None) -> Path | None:
    """The folder of the stored partition that regions are of; None when the data set has none.

    Raises: ValueError when there are several, or scenes without ids in it.
    """
    by = {
        str(manifest(labels, index)["partition"])
        for index in range(last + 1)
        for scene in labels.scenes(index)[:1]
        if region_ids(labels, index, scene) is not None
    }
    if len(by) > 1 and wanted is None:
        raise ValueError(
            f"{labels.folder}: bought by the partitions {', '.join(sorted(by))}, but lists hold the regions of one: give --round 0 for the seed alone"
        )
    name = wanted or next(iter(by), None) or _only_regions(labels)
    if name is None:
        return None
    folder = labels.store.path / "unit" / name
    missing = [scene for scene in labels.store.splits["train"] if not (folder / f"{scene}.npy").is_file()]
    if missing:
        raise ValueError(f"{folder}: the partition lacks {len(missing)} scenes, such as {missing[0]}: run al3d prepare with the run's configuration")
    return folder


def _only_regions(labels: LabelState) -> str | None:
    """The stored partition into regions: the only one, or of several that which the run's method or seed names; None without any."""
    found = {file.parent.name: read_json(file) for file in sorted((labels.store.path / "unit").glob("*/made_by.json"))}
    names = [name for name, made in found.items() if made["class"] in REGIONS]
    if len(names) > 1:
        named = [name for name in _configured(labels.folder) if name in names]
        if not named:
            raise ValueError(f"{labels.store.path / 'unit'} holds {len(names)} partitions into regions: name one of {', '.join(names)} with --partition")
        return named[0]
    return next(iter(names), None)


def _configured(run: Path) -> list[str]:
    """The hashes of the stored units that the run's method and seed ask for."""
    identity = read_json(run / "identity.json")["identity"]
    trees = [identity[part]["unit"] for part in ("acquire", "seed")]
    check_parts({part: identity[part] for part in ("acquire", "seed")}, run)
    return [partition_hash(instantiate(tree)) for tree in trees if str(tree["_target_"]).startswith("al3d.units.")]
