"""What the tests of labelling share: scans whose labels were taken away, and a person who knows them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import yaml
from plyfile import PlyData, PlyElement

from al3d.data.labels import LabelState
from al3d.data.store import Store
from al3d.people.answers import Answer, Answers
from al3d.people.queries import points_of, queries_of
from al3d.types import IGNORE, U8


def without_labels(root: Path, out: Path, val: bool = False) -> Path:
    """A copy of a folder of PLY files in which no file has a label; with `val` those of that split keep theirs, else there is no such split."""
    card = yaml.safe_load((root / "dataset.yaml").read_text())
    (out / "scenes").mkdir(parents=True)
    for name in (*card["splits"]["train"], *card["splits"]["val"]):
        data = PlyData.read(str(root / "scenes" / f"{name}.ply"))["vertex"].data
        if name in card["splits"]["val"]:
            if val:
                shutil.copy(root / "scenes" / f"{name}.ply", out / "scenes" / f"{name}.ply")
            continue
        bare = data[[field for field in data.dtype.names if field != "label"]]
        kept = np.empty(len(bare), [(field, bare.dtype[field]) for field in bare.dtype.names])
        for field in kept.dtype.names:
            kept[field] = bare[field]
        PlyData([PlyElement.describe(kept, "vertex")]).write(str(out / "scenes" / f"{name}.ply"))
    if not val:
        del card["splits"]["val"]
    (out / "dataset.yaml").write_text(yaml.safe_dump(card))
    return out


def truth_of(root: Path, names: tuple[str, ...]) -> dict[str, U8]:
    """The labels of scenes, from the files that have them."""
    return {name: np.asarray(PlyData.read(str(root / "scenes" / f"{name}.ply"))["vertex"].data["label"], np.uint8) for name in names}


def answer_as_they_are(run: Path, store: Store, truth: Mapping[str, U8], count: int | None = None, who: str = "anna") -> int:
    """Answer the first `count` open queries (None: all) with the class that most of their points have; returns how many."""
    answers, labels = Answers(run), LabelState(run, store)
    current = answers.current()
    todo = [query for query in queries_of(run, store) if query.key not in current][:count]
    for query in todo:
        label = truth[query.scene][points_of(query, labels)]
        known = label[label != IGNORE]
        name = store.classes.names[int(np.bincount(known).argmax())] if len(known) else None
        answers.record(Answer(who, "unsure" if name is None else "class", query.round, query.scene, query.unit, name, seconds=1.0))
    return len(todo)
