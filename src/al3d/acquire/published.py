"""Seeds that others published: the scans or regions that ReDAL's and SeedAL's files list, bought in their order."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from al3d.acquire.score import NO_NEEDS, Score
from al3d.data.exchange import Listing, read_listing, region_counts
from al3d.data.store import Store
from al3d.types import F32, I64, Partitioner, View

MISSING = ("error", "skip")
#: How many names an error lists.
SHOWN = 10
NOT_PORTABLE = "region ids are not portable between runs of the supervoxel program (docs/fidelity.md D-27)"


@dataclass(frozen=True)
class Published(Score):
    """1 for the first listed unit, less for every later one, 0 for units that are not listed.

    `file` lists scans, or regions with ids from 1 (see `al3d.data.exchange`). Of a listed scan every unit is meant, whatever the units are:
    its regions are those made here. Listed regions are the units of that number less 1, which takes units made as the publisher's.
    `region_list` is a list of all regions of the listed scans; it must name the same scenes, and other numbers of regions here are warned of.
    Left out, the two lists of regions beside `init_label_*.json` say how many regions there should be. With the picker `Top(above=0)`
    only listed units are bought, in the order of the list. `missing` "skip" passes over listed scenes that the training split lacks.
    Raises: ValueError for another `missing`; FileNotFoundError or ValueError naming the file for what is no list. The list is compared with
    the data by `check_store`, and once more as far as a scene shows when it is scored.
    Source: the scan lists of ReDAL and SeedAL, bought as such whatever share of the points they are (docs/fidelity.md D-01, D-27).
    """

    file: Path
    region_list: Path | None = None
    missing: str = "error"

    def __post_init__(self) -> None:
        if self.missing not in MISSING:
            raise ValueError(f"missing={self.missing!r} is not one of {', '.join(MISSING)}")
        object.__setattr__(self, "file", Path(self.file).expanduser())
        if self.region_list is not None:
            object.__setattr__(self, "region_list", Path(self.region_list).expanduser())
        if not self.listing.scenes:
            raise ValueError(f"{self.file}: lists nothing: give the list of what to label, such as init_label_scan.json")
        _ = self.counts

    @property
    def needs(self) -> frozenset[str]:
        """No predictions."""
        return NO_NEEDS

    @cached_property
    def listing(self) -> Listing:
        """What the file lists."""
        return read_listing(self.file)

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """How many regions the publisher's scenes have; empty when no file says so."""
        counts = region_counts(self.file, self.region_list)
        if self.region_list is None:
            return counts
        if self.listing.regions is not None:
            raise ValueError(f"{self.file} lists regions already: leave region_list={self.region_list} out, it goes with a list of scans")
        if set(counts) != set(self.listing.scenes):
            odd = sorted(set(counts) ^ set(self.listing.scenes))
            raise ValueError(f"{self.region_list} and {self.file} are not lists of the same scenes: {_some(odd)} in one of them alone; use lists of one seed")
        return counts

    def check_store(self, store: Store, unit: Partitioner) -> None:
        """Compare the list with a prepared data set and its units, one scene at a time, before anything is bought.

        Warns when listed scans have other numbers of regions here than published. Raises: ValueError naming the file and the scenes when
        the training split lacks listed scenes (unless `missing` is "skip", or when it has none of them), when regions are listed
        and units are scenes, when a listed region does not exist, or when a scene of listed regions has another number of them here.
        """
        train = set(store.splits["train"])
        there = [scene for scene in self.listing.scenes if scene in train]
        lacking = [scene for scene in self.listing.scenes if scene not in train]
        if lacking and (self.missing == "error" or not there):
            raise ValueError(
                f"{self.file}: {len(lacking)} of {len(self.listing.scenes)} listed scenes are not in the training split of {store.name} "
                f"({len(train)} scenes, such as {min(train)}): {_some(lacking)}. Get them, or set seed.score.missing=skip to buy the others"
            )
        if lacking:
            warnings.warn(f"{self.file}: {len(lacking)} of {len(self.listing.scenes)} listed scenes are not there and left out: {_some(lacking)}", stacklevel=2)
        if self.listing.regions is not None and unit.name == "scene":
            raise ValueError(self._whole())
        if unit.name != "scene" and (self.counts or self.listing.regions):
            self._check_counts({scene: int(store.unit(unit, scene).max(initial=-1)) + 1 for scene in there})

    def __call__(self, view: View) -> F32:
        count = int(view.unit.max(initial=-1)) + 1
        value = np.zeros(count + 1, np.float32)
        first, ids = self._places.get(view.scene.id, (0, None))
        if ids is None and view.scene.id in self._places:
            value[:count] = 1 - first / (self._length + 1)
        elif ids is not None:
            if view.whole:
                raise ValueError(self._whole())
            if len(ids) and int(ids.max()) >= count:
                raise ValueError(self._unknown({view.scene.id: count}))
            value[ids] = 1 - (first + np.arange(len(ids))) / (self._length + 1)
        return np.asarray(value[view.unit])

    @cached_property
    def _places(self) -> Mapping[str, tuple[int, I64 | None]]:
        """Scene -> its place in the list, and the ids from 0 of its listed units i64[R] (None: all of them)."""
        regions = self.listing.regions
        if regions is None:
            return {scene: (place, None) for place, scene in enumerate(self.listing.scenes)}
        starts = np.cumsum([0, *map(len, regions.values())]).tolist()
        return {scene: (start, np.array(ids, np.int64) - 1) for start, (scene, ids) in zip(starts, regions.items(), strict=False)}

    @property
    def _length(self) -> int:
        """How many places there are."""
        regions = self.listing.regions
        return len(self.listing.scenes) if regions is None else sum(map(len, regions.values()))

    def _check_counts(self, here: Mapping[str, int]) -> None:
        """Compare the numbers of regions of scenes made here with the published ones."""
        listed = self.listing.regions
        other = [scene for scene, count in here.items() if self.counts.get(scene, count) != count]
        shown = f"{_some([f'{scene} {self.counts[scene]} there, {here[scene]} here' for scene in other])}; {NOT_PORTABLE}"
        if listed is None:
            if other:
                whole = "the listed scenes are bought whole, in the regions made here"
                warnings.warn(f"{self.file}: {len(other)} of {len(here)} scenes have another number of regions: {shown}; {whole}", stacklevel=3)
            return
        if any(max(listed[scene], default=0) > count for scene, count in here.items()):
            raise ValueError(self._unknown(here))
        if other:
            raise ValueError(f"{self.file}: {len(other)} of {len(here)} scenes have another number of regions: {shown}. {_way_out()}")
        fewer = [scene for scene, count in here.items() if len(listed[scene]) == max(listed[scene], default=0) < count and scene not in self.counts]
        if fewer:
            shown = _some([f"{scene} 1..{len(listed[scene])} of {here[scene]}" for scene in fewer])
            warnings.warn(
                f"{self.file}: of {len(fewer)} scenes the first regions alone are listed: {shown}. If whole scenes were meant, {NOT_PORTABLE}: {_way_out()}",
                stacklevel=3,
            )

    def _unknown(self, here: Mapping[str, int]) -> str:
        listed = self.listing.regions or {}
        over = [scene for scene, count in here.items() if max(listed[scene], default=0) > count]
        shown = _some([f"{scene} has {here[scene]}, region {max(listed[scene])} is listed" for scene in over])
        return f"{self.file}: {len(over)} scenes have fewer regions than are listed: {shown}; {NOT_PORTABLE}. {_way_out()}"

    def _whole(self) -> str:
        return (
            f"{self.file} lists regions, but whole scenes are asked for: add unit@seed.unit=supervoxel_redal, or give the list of scans, init_label_scan.json"
        )


def _way_out() -> str:
    return "Take the publisher's regions (unit@seed.unit=published), or give the list of scans, whose scenes are bought whole"


def _some(names: Sequence[str]) -> str:
    """The first names, and how many more."""
    return f"{', '.join(names[:SHOWN])}{f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''}"
