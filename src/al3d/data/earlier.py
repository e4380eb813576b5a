"""What an earlier run bought, as units: so that a new run can start from its labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from al3d.data.labels import LabelState
from al3d.data.store import Store, mapped
from al3d.files import read_json
from al3d.types import I32, Bool, Partition, Partitioner, Scene


@dataclass(frozen=True)
class Earlier:
    """A scene cut into what `run` bought of it up to `round` (0: its seed alone; None: all its purchases); -1 for everything else.

    Units are those that were bought: scenes, regions, single points; of other units whose ids are not kept (a seed from yet another
    run) what one purchase took of a scene is one unit. Points that were asked twice belong to the first purchase; ids go by round, then by the id there.
    The data set is the one that `check_store` was shown, whose content is the same wherever it lies; else it is found by its content among the
    prepared ones in `data` (None: where the run's config.yaml says). The partitions that the run bought by must be in it.
    One scene is looked at at a time, and the run is only read.
    Raises: FileNotFoundError when the folder holds no purchase; ValueError for a round that it does not have. When called:
    FileNotFoundError when its data set is not there; ValueError for a scene of other data, or when a partition is gone.
    """

    run: Path
    round: int | None = None
    data: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "run", Path(self.run).expanduser())
        object.__setattr__(self, "data", None if self.data is None else Path(self.data).expanduser())
        last_round(self.run, self.round)

    @property
    def name(self) -> str:
        return "earlier"

    @property
    def stored(self) -> bool:
        """Not stored: a purchase of these units is logged as points, and is read without the earlier run or its partitions."""
        return False

    @property
    def kinds(self) -> tuple[str, ...]:
        return ("bought",)

    def check_store(self, store: Store, unit: Partitioner) -> None:
        """Refuse another data set than the run's, and one without the partitions that it bought by, before anything is bought.

        Raises: ValueError naming both data sets, or the partition that is gone.
        """
        name, wanted = data_of(self.run)
        if store.data_hash != wanted:
            raise ValueError(
                f"{self.run} bought labels of {name} (content {wanted[:12]}), but the data set here is {store.name} (content {store.data_hash[:12]}, "
                f"{store.path}): a seed from a run needs the data that it chose from, prepared with the same dataset.grid"
            )
        labels, last = LabelState(self.run, store), last_round(self.run, self.round)
        for scene in labels.scenes():
            labels.asked(scene, last)
        self.__dict__["_labels"] = labels  # the cached value: the same content, so that no answer depends on where it was found

    def __call__(self, scene: Scene) -> Partition:
        labels, last = self._labels, last_round(self.run, self.round)
        unit = np.full(len(scene), -1, np.int32)
        before = np.zeros(len(scene), dtype=bool)
        if _same(self.run, labels.store, scene, labels.scenes()):
            for index in range(last + 1):
                asked = labels.asked(scene.id, index)
                bought = asked & ~before
                unit[bought] = unit.max(initial=-1) + 1 + units_bought(labels, index, scene.id, bought)
                before = asked
        return Partition(unit)

    @cached_property
    def _labels(self) -> LabelState:
        return LabelState(self.run, find_store(self.run, self.data))


def units_bought(labels: LabelState, round_index: int, scene_id: str, bought: Bool) -> I32:
    """The unit of every point that a purchase took of a scene, i32[points in `bought`], dense from 0; see `Earlier` for what a unit is."""
    ids = region_ids(labels, round_index, scene_id)
    if ids is not None:
        return np.unique(ids[bought], return_inverse=True)[1].astype(np.int32)
    points = int(bought.sum())
    single = manifest(labels, round_index)["unit"] == "point"
    return np.arange(points, dtype=np.int32) if single else np.zeros(points, np.int32)


def region_ids(labels: LabelState, round_index: int, scene_id: str) -> I32 | None:
    """The stored unit ids i32[N] that a purchase was made by, or None when its units are not stored."""
    file = labels.store.path / "unit" / str(manifest(labels, round_index)["partition"]) / f"{scene_id}.npy"
    return mapped(file) if file.is_file() else None


def manifest(labels: LabelState, round_index: int) -> Mapping[str, Any]:
    """What a purchase's manifest.json says: `partition`, the hash of its units, and `unit`, their name."""
    content: Mapping[str, Any] = read_json(labels.folder / f"labels-{round_index:02d}" / "manifest.json")
    return content


def last_round(run: Path, wanted: int | None) -> int:
    """The round up to which purchases are meant: `wanted`, or the run's last.

    Raises: FileNotFoundError when the folder holds no purchase; ValueError for a round that it does not have.
    """
    count = 0
    while (run / f"labels-{count:02d}" / "manifest.json").is_file():
        count += 1
    if count == 0:
        raise FileNotFoundError(f"{run.absolute()} is not the folder of a run that bought anything (no labels-00): give one such as outputs/NAME")
    if wanted is None:
        return count - 1
    if type(wanted) is not int or not 0 <= wanted < count:
        raise ValueError(f"{run}: round={wanted}, but its purchases are 0 (the seed) to {count - 1}: choose one of these, or null for all")
    return wanted


def data_of(run: Path) -> tuple[str, str]:
    """The name and the content hash of the data set that a run chose from. Raises: FileNotFoundError without identity.json."""
    file = run / "identity.json"
    if not file.is_file():
        raise FileNotFoundError(f"{file.absolute()} is not there: what is given must be the folder of a run")
    identity = read_json(file)["identity"]
    return str(identity["dataset"]["name"]), str(identity["data"])


def find_store(run: Path, data: Path | None = None) -> Store:
    """The prepared data set that a run chose from, among those in `data` (None: the folder that its config.yaml names), by its content.

    Raises: FileNotFoundError naming the data set and the folder when it is not there, as after preparing other raw files or another grid.
    """
    name, wanted = data_of(run)
    classes = read_json(run / "identity.json")["identity"].get("classes")  # people's runs: scans without labels are the same under other class names
    folder = _data_folder(run) if data is None else data
    for file in sorted(folder.glob("*/manifest.json")):
        content = read_json(file)
        if content.get("data_hash") == wanted and content["classes"] == (classes or content["classes"]):
            return Store(file.parent)
    there = ", ".join(file.parent.name for file in sorted(folder.glob("*/manifest.json"))) or "nothing"
    raise FileNotFoundError(
        f"{run} chose from {name} (content {wanted[:12]}), which is not among the prepared data sets in {folder.absolute()} ({there}): name the folder "
        "that holds it (seed.unit.data=FOLDER, --data FOLDER), or run al3d prepare with the run's configuration"
    )


def _data_folder(run: Path) -> Path:
    file = run / "config.yaml"
    if not file.is_file():
        raise FileNotFoundError(f"{file.absolute()} is not there, so that nothing says where the data set is: name its folder (seed.unit.data=, --data)")
    return Path(yaml.safe_load(file.read_text(encoding="utf-8"))["paths"]["data"]).expanduser()


def _same(run: Path, store: Store, scene: Scene, bought: Collection[str]) -> bool:
    """Whether labels of the scene were bought. Raises: ValueError when it is not the scene that the run chose from."""
    if scene.id not in store.sizes:
        raise ValueError(f"{run} chose from {store.name} ({store.path}), which has no scene {scene.id!r}: use the same data set")
    if scene.id not in bought and len(scene) == store.sizes[scene.id]:
        return False
    if len(scene) != store.sizes[scene.id] or not np.array_equal(scene.xyz, store.scene(scene.id).xyz):
        raise ValueError(f"scene {scene.id!r} has other points here than {run} chose from ({store.path}): use the same data set, with the same dataset.grid")
    return True
