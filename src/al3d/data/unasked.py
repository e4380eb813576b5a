"""How much of the training points a partition leaves out for good, and what a person is told where that is much."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import numpy as np

from al3d.data.jobs import Jobs
from al3d.data.store import Store
from al3d.files import read_json, write_json
from al3d.types import Partitioner

#: A larger share of the training points than this in no unit is worth a warning.
MUCH = 0.1


def never_asked(store: Store, partitioner: Partitioner, jobs: Jobs | None = None) -> float:
    """The share 0..1 of the training points that are in no unit of a prepared partition, and so can never be asked for.

    Counted once, then read from `unasked.json` beside the unit ids. Partitions that are not stored (scenes, points) leave nothing out.
    Raises: ValueError listing every scene whose unit ids cannot be read.
    """
    if not partitioner.stored:
        return 0.0
    file = store.unit_file(partitioner, "-").with_name("unasked.json")
    if file.is_file():
        return float(read_json(file)["share"])
    names = store.splits.get("train", ())
    outside = sum((jobs or Jobs()).each(partial(_outside, store, partitioner), names, f"{store.name}: points in no {partitioner.name} unit"))
    points = sum(store.sizes[name] for name in names)
    found: dict[str, Any] = {"points": points, "in_no_unit": outside, "share": outside / points if points else 0.0}
    if os.access(file.parent, os.W_OK):  # a store that others prepared may be read-only
        write_json(file, found)
    return float(found["share"])


def unasked_warning(store: Store, partitioner: Partitioner, group: str, jobs: Jobs | None = None) -> str | None:
    """What to tell a person where more than `MUCH` of the training points can never be asked for; None where that is not so.

    `group` is where the options of the unit are: "seed" or "acquire". Raises: as `never_asked`, and ValueError where there is no unit at all.
    """
    share = never_asked(store, partitioner, jobs)
    if share <= MUCH:
        return None
    kept = getattr(partitioner, "minimum_points", 0)
    smaller = "" if kept in (0, 1) else f"keep small regions with {group}.unit.minimum_points=1, or "
    unit = f"{partitioner.name}{f' (minimum_points={kept})' if smaller else ''}"
    way = f"{smaller}choose a unit that leaves out fewer, such as unit@{group}.unit=auto or voxel (al3d units measures them)"
    if share == 1:
        raise ValueError(f"no training point of {store.name} can be asked for as {group}.unit, since none is in a unit of {unit}: {way}")
    lost = f"warning: {100 * share:.1f} % of the training points of {store.name} can never be asked for as {group}.unit"
    return f"{lost}, since they are in no unit of {unit}: {way}"


def _outside(store: Store, partitioner: Partitioner, scene_id: str) -> int:
    return int(np.count_nonzero(store.unit(partitioner, scene_id) < 0))
