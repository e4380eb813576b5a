"""Queries as files for other tools, and the answers of those: PLY, LAS, PCD, SemanticKITTI's layout, and a table."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from al3d.data.labels import LabelState
from al3d.data.store import Store
from al3d.files import read_json, whole_file
from al3d.people.answers import Answer, Answers, Part
from al3d.people.oracle import check_answer, labels_of
from al3d.people.queries import Query, points_of, queries_of
from al3d.types import F64, I32, I64, IGNORE, Scene

#: What `--format` takes.
KINDS = ("ply", "las", "pcd", "label", "csv")
#: In a label field: nobody said anything yet.
UNSET = -1
#: Whole numbers up to this keep their value in float32, in which CloudCompare holds every field.
LARGEST = 2**24
#: How a table spells that nobody can tell.
UNSURE = "unsure"
HEAD = ("query", "scene", "unit", "points", "x", "y", "z", "class", "round", "run")
#: LAS keeps 0..63 for the standard's own classes; 0 means never classified.
LAS_FIRST = 64


@dataclass(frozen=True, eq=False)
class Sheet:
    """What one scene's file says of its points, each i32[N].

    `label`: a class from 0 on, the number of classes where nobody can tell, UNSET; `query`: the number in the run of
    what asked for the point, UNSET.
    """

    scene: Scene
    label: I32
    query: I32


class Asked:
    """The queries of a run, numbered from 0 on, round after round, in the order of their worth, and what was answered.

    `run_number` is a whole number below 2^24 that says which run a file is of.
    """

    def __init__(self, run: Path, store: Store) -> None:
        self.run, self.store, self.labels = run, store, LabelState(run, store)
        self.queries = [query for index in range(self.labels.rounds) for query in queries_of(run, store, index)]
        if not self.queries:
            raise ValueError(f"{run}: nothing was asked yet: run al3d train until it says that answers are missing")
        self.answers = Answers(run).current()
        for query in self.queries:
            if query.key in self.answers:
                check_answer(self.answers[query.key], query, self.labels)
        self.scenes = sorted({query.scene for query in self.queries})
        self.run_number = int(str(read_json(run / "identity.json")["hash"])[:6], 16)

    def sheet(self, name: str) -> Sheet:
        """What the file of a scene says now."""
        rounds, units = self.labels.first_asked(name, self.labels.rounds - 1)
        query = np.full(len(rounds), UNSET, np.int32)
        for number, one in self.of(name):
            query[(rounds == one.round) & (units == one.unit)] = number
        given = [self.answers[one.key] for _, one in self.of(name) if one.key in self.answers]
        label = np.full(len(rounds), UNSET, np.int32)
        if given:
            said, about = labels_of(given, rounds, units, self.store.classes.names)
            label[about] = np.where(said[about] == IGNORE, len(self.store.classes), said[about])
        return Sheet(self.store.scene(name), label, query)

    def of(self, scene: str) -> list[tuple[int, Query]]:
        """The queries of a scene with their numbers."""
        return [(number, query) for number, query in enumerate(self.queries) if query.scene == scene]

    def spelled(self, query: Query) -> str:
        """The answer to a query as a table has it: a class, `unsure`, `parts`, or nothing."""
        answer = self.answers.get(query.key)
        return "" if answer is None else answer.class_name or answer.kind


def check_names(names: Sequence[str]) -> None:
    """Refuse class names that a table of answers cannot carry. Raises: ValueError."""
    wrong = [name for name in names if name in ("", "parts", UNSURE) or name != " ".join(name.split())]
    if wrong:
        raise ValueError(
            f"classes: {', '.join(map(repr, wrong))}: not empty, parts or unsure, which answers mean something by, nor with more than single spaces"
        )


def export_queries(run: Path, store: Store, out: Path, kind: str = "ply") -> list[Path]:
    """Write what a run asks, with what was answered, into a folder: a file a scene, or one table; and `classes.csv`, the numbers of the classes.

    Raises: ValueError for an unknown format, and for a scene of more points than numbers fit into the format.
    """
    if kind not in KINDS:
        raise ValueError(f"format {kind!r} is not one of {', '.join(KINDS)}")
    asked = Asked(run, store)
    if kind == "las" and LAS_FIRST + len(store.classes) > 255:
        raise ValueError(f"{len(store.classes)} classes do not fit into the classification of LAS, which has numbers up to 255: choose another format")
    files = [_write_table(asked, out / "queries.csv")] if kind == "csv" else [_write_scene(asked, name, out, kind) for name in asked.scenes]
    _write_rows(out / "classes.csv", ("class", "number", "las", "label"), _class_rows(asked))
    return files


def _class_rows(asked: Asked) -> list[tuple[Any, ...]]:
    names = [*asked.store.classes.names, UNSURE]
    rows = [(name, number, LAS_FIRST + number, number + 1) for number, name in enumerate(names)]
    return [*rows, ("not labelled yet", UNSET, 0, 0)]


def _write_table(asked: Asked, path: Path) -> Path:
    rows = []
    for number, query in enumerate(asked.queries):
        scene = asked.store.scene(query.scene)
        centre = np.asarray(scene.xyz)[points_of(query, asked.labels)].mean(axis=0, dtype=np.float64) + scene.origin
        place = [f"{value:.3f}" for value in centre.tolist()]
        rows.append((number, query.scene, query.unit, query.points, *place, asked.spelled(query), query.round, asked.run_number))
    return _write_rows(path, HEAD, rows)


def _write_rows(path: Path, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> Path:
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(head)
        table.writerows(rows)
    return path


def _write_scene(asked: Asked, name: str, out: Path, kind: str) -> Path:
    sheet = asked.sheet(name)
    if kind == "label":
        return _write_label(asked, sheet, out)
    numbers = {"label": sheet.label, "query": sheet.query, "index": np.arange(len(sheet.label)), "scene": np.full(len(sheet.label), _place(asked, name))}
    numbers["run"] = np.full(len(sheet.label), asked.run_number)
    if kind == "ply" and max(len(sheet.label), len(asked.queries)) > LARGEST:
        words = f"scene {name!r} has {len(sheet.label):,} points: numbers from {LARGEST:,} on are not exact in PLY"
        raise ValueError(f"{words}: choose the format las or pcd")
    path = out / f"{name}.{kind}"
    with whole_file(path) as temporary:
        _WRITERS[kind](temporary, _world(sheet.scene), _seen(asked.store, sheet.scene), numbers)
    return path


def _place(asked: Asked, name: str) -> int:
    """The number of a scene: its place among all of the store, sorted."""
    return sorted(asked.store.sizes).index(name)


def _world(scene: Scene) -> F64:
    """The place of every point as files say it, f64[N,3]: metres, upright."""
    return np.asarray(scene.xyz, np.float64) + scene.origin


def _seen(store: Store, scene: Scene) -> dict[str, Any]:
    """Colours as bytes, or the intensity, as far as the scene has them."""
    feat = np.asarray(scene.feat)
    if store.features[:3] == ("red", "green", "blue"):
        return {name: np.rint(255 * np.clip(feat[:, place], 0, 1)).astype(np.uint8) for place, name in enumerate(store.features[:3])}
    return {"intensity": feat[:, 0].astype(np.float32)} if store.features[0] == "intensity" else {}


def _write_ply(path: Path, xyz: F64, seen: Mapping[str, Any], numbers: Mapping[str, Any]) -> None:
    """CloudCompare keeps numbers only in fields named scalar_*, as float32."""
    columns = {axis: xyz[:, place] for place, axis in enumerate("xyz")}
    columns |= {name if name != "intensity" else "scalar_intensity": values for name, values in seen.items()}
    columns |= {f"scalar_{name}": np.asarray(values, np.float32) for name, values in numbers.items()}
    kinds = {"f8": "double", "f4": "float", "u1": "uchar"}
    head = ["ply", "format binary_little_endian 1.0", f"element vertex {len(xyz)}"]
    head += [f"property {kinds[values.dtype.str[1:]]} {name}" for name, values in columns.items()]
    _write_records(path, "\n".join([*head, "end_header\n"]), columns)


def _write_pcd(path: Path, xyz: F64, seen: Mapping[str, Any], numbers: Mapping[str, Any]) -> None:
    columns = {axis: xyz[:, place] for place, axis in enumerate("xyz")} | dict(seen)
    columns |= {name: np.asarray(values, np.int32) for name, values in numbers.items()}
    size = " ".join(str(values.dtype.itemsize) for values in columns.values())
    types = " ".join({"f": "F", "u": "U", "i": "I"}[values.dtype.kind] for values in columns.values())
    ones = " ".join("1" for _ in columns)
    head = ["VERSION 0.7", f"FIELDS {' '.join(columns)}", f"SIZE {size}", f"TYPE {types}", f"COUNT {ones}", f"WIDTH {len(xyz)}", "HEIGHT 1"]
    _write_records(path, "\n".join([*head, "VIEWPOINT 0 0 0 1 0 0 0", f"POINTS {len(xyz)}", "DATA binary\n"]), columns)


def _write_records(path: Path, head: str, columns: Mapping[str, Any]) -> None:
    """A header, then the values of a point side by side, little-endian."""
    count = len(next(iter(columns.values())))
    table = np.empty(count, [(name, values.dtype.newbyteorder("<")) for name, values in columns.items()])
    for name, values in columns.items():
        table[name] = values
    with path.open("wb") as file:
        file.write(head.encode())
        table.tofile(file)


def _write_las(path: Path, xyz: F64, seen: Mapping[str, Any], numbers: Mapping[str, Any]) -> None:
    """The label is the classification, from 64 on, which the standard leaves to users; the other numbers are extra bytes."""
    import laspy  # slow to import

    header = laspy.LasHeader(point_format=7, version="1.4")
    header.scales, header.offsets = np.full(3, 1e-4), np.floor(xyz.min(axis=0))
    for name in ("query", "index", "scene", "run"):
        header.add_extra_dim(laspy.ExtraBytesParams(name, np.int32))
    las = laspy.LasData(header)
    las.x, las.y, las.z = xyz.T
    for name, values in seen.items():
        las[name] = values.astype(np.uint16) << 8 if name != "intensity" else np.rint(65535 * np.clip(values, 0, 1)).astype(np.uint16)
    label = np.asarray(numbers["label"])
    las.classification = np.where(label == UNSET, 0, label + LAS_FIRST).astype(np.uint8)
    for name in ("query", "index", "scene", "run"):
        las[name] = np.asarray(numbers[name], np.int32)
    with path.open("wb") as file:
        las.write(file, do_compress=False)


_WRITERS: Mapping[str, Callable[[Path, F64, Mapping[str, Any], Mapping[str, Any]], None]] = {"ply": _write_ply, "pcd": _write_pcd, "las": _write_las}


def _write_label(asked: Asked, sheet: Sheet, out: Path) -> Path:
    """The layout of SemanticKITTI: velodyne/NUMBER.bin, labels/NUMBER.label, poses.txt; `scenes.csv` says which scene a number is, and of which run.

    In the low 16 bits a class counts from 1 on; the high ones carry the number of the query, from 1 on, as if it were an instance.
    """
    number = asked.scenes.index(sheet.scene.id)
    seen = _seen(asked.store, sheet.scene).get("intensity", np.zeros(len(sheet.label), np.float32))
    points = np.column_stack([np.asarray(sheet.scene.xyz, np.float32), seen]).astype("<f4")
    with whole_file(out / "velodyne" / f"{number:06d}.bin") as temporary:
        points.tofile(temporary)
    path = out / "labels" / f"{number:06d}.label"
    with whole_file(path) as temporary:
        ((np.minimum(sheet.query + 1, 0xFFFF).astype("<u4") << 16) | (sheet.label + 1).astype("<u4")).tofile(temporary)
    if number == 0:
        _write_rows(out / "scenes.csv", ("number", "scene", "run"), [(place, name, asked.run_number) for place, name in enumerate(asked.scenes)])
        still = " ".join(f"{value:g}" for value in np.eye(4)[:3].ravel())
        for file, text in (("poses.txt", f"{still}\n" * len(asked.scenes)), ("calib.txt", f"Tr: {still}\n")):
            with whole_file(out / file) as temporary:
                temporary.write_text(text, encoding="ascii")
    return path


def distinct(label: I32, points: I64) -> list[tuple[int, I64]]:
    """The labels of some points, each with the points that have it."""
    return [(int(value), points[label[points] == value]) for value in np.unique(label[points])]


def answer_to(query: Query, label: I32, points: I64, names: Sequence[str], who: str, source: str) -> Answer | None:
    """What the labels i32[N] of a scene say to a query; None when all of its points are unset."""
    found = distinct(label, points)
    if [value for value, _ in found] == [UNSET]:
        return None
    if len(found) == 1:
        value = found[0][0]
        kind, name = ("class", names[value]) if value < len(names) else ("unsure", None)
        return Answer(who, kind, query.round, query.scene, query.unit, name, source=source)
    parts = tuple(Part(names[value] if 0 <= value < len(names) else None, tuple(own.tolist())) for value, own in found)
    return Answer(who, "parts", query.round, query.scene, query.unit, parts=parts, source=source)


def same(one: Answer | None, other: Answer) -> bool:
    """Whether two answers say the same, whoever gave them and when."""
    return one is not None and (one.kind, one.class_name) == (other.kind, other.class_name) and _pieces(one) == _pieces(other)


def _pieces(answer: Answer) -> dict[str, set[int]]:
    """The points of each class of an answer in parts; what no part has nobody could tell, as if a part said so."""
    found: dict[str, set[int]] = {}
    for part in answer.parts:
        if part.class_name is not None:
            found.setdefault(part.class_name, set()).update(part.points)
    return found
