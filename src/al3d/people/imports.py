"""Answers from files that other tools have edited: everything in them is checked before anything is recorded."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from al3d.data.sources.cloud import readable
from al3d.data.sources.formats import las_columns
from al3d.data.sources.pcd import pcd_columns
from al3d.data.sources.ply import ply_columns
from al3d.data.store import Store
from al3d.people.answers import Answer, Answers
from al3d.people.exchange import LAS_FIRST, UNSET, UNSURE, Asked, Sheet, answer_to, same
from al3d.people.queries import Key, points_of
from al3d.types import F64, I32, I64, Array

#: Coordinates may differ by so many metres, and by what float32 loses far from the origin.
TOLERANCE = 2e-3
#: A list of what is wrong names so many of a kind.
NAMED = 5


def import_answers(run: Path, store: Store, files: Sequence[Path], who: str) -> int:
    """Record what files of `export_queries`, edited since, say about the queries of a run; returns how many answers are new or changed.

    A point is found by the field `index`, or else by its place. Points without a class stay open; a region of several classes is an answer in parts.
    Raises: ValueError listing everything that is wrong in any of the files; then nothing is recorded.
    """
    asked = Asked(run, store)
    found: dict[Key, Answer] = {}
    wrong: list[str] = []
    for file in files:
        try:
            for answer in read_answers(asked, file, who):
                if answer.key in found and not same(found[answer.key], answer):
                    wrong.append(f"{file}: says something else about unit {answer.unit} of scene {answer.scene!r} than {found[answer.key].source[7:]}")
                found[answer.key] = answer
        except (ValueError, OSError) as error:
            wrong += str(error).splitlines()
    if wrong:
        raise ValueError("\n  ".join(["nothing was recorded, since", *wrong]))
    answers = Answers(run)
    read = {event.key: event for event in answers.history() if event.source.startswith("import:")}
    new = [answer for key, answer in found.items() if not (same(asked.answers.get(key), answer) or _read_before(read.get(key), answer, asked))]
    for answer in new:
        answers.record(answer)
    return len(new)


def _read_before(earlier: Answer | None, answer: Answer, asked: Asked) -> bool:
    """Whether the same file said the same when it was read last, so that it is no word against what stands since."""
    return same(earlier, answer) and earlier is not None and earlier.source == answer.source and answer.key in asked.answers


def read_answers(asked: Asked, path: Path, who: str) -> list[Answer]:
    """The answers of one file. Raises: ValueError naming the file in every line; FileNotFoundError."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.suffix.lower() == ".csv":
        return _table_answers(asked, path, who)
    if path.suffix.lower() == ".label":
        name, label = _label_file(asked, path)
        return _sheet_answers(asked, path, who, name, np.arange(len(label)), label)
    columns = _columns(path)
    _check_run(asked, path, columns)
    name = _scene_of(asked, path, columns)
    sheet = asked.sheet(name)
    index = _index_of(path, columns, sheet)
    _check_queries(path, columns, index, sheet)
    return _sheet_answers(asked, path, who, name, index, _labels(path, columns), sheet)


def _columns(path: Path) -> dict[str, Array]:
    """The fields of a file by their names in small letters, without the prefix of CloudCompare; in LAS a label is what a classification from 64 on means."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{path}: answers are read from files ending in {', '.join((*_READERS, '.label', '.csv'))}")
    with readable(path, "a readable file of points"):
        columns = {name.lower().removeprefix("scalar_"): np.asarray(values) for name, values in reader(path).items()}
    missing = [name for name in ("x", "y", "z", "label") if name not in columns]
    if missing:
        raise ValueError(f"{path}: has no field {', '.join(missing)} (it has {', '.join(columns)}): keep the fields that were exported")
    if any(values.ndim != 1 for values in columns.values()):
        raise ValueError(f"{path}: has fields of several values a point: keep the fields that were exported")
    return columns


def _las_columns(path: Path) -> dict[str, Array]:
    columns = las_columns(path, extra=True)
    code = columns["label"].astype(np.int64)
    return columns | {"label": np.where(code == 0, UNSET, np.where(code < LAS_FIRST, -1 - code, code - LAS_FIRST))}


_READERS: Mapping[str, Callable[[Path], Mapping[str, Array]]] = {".ply": ply_columns, ".las": _las_columns, ".laz": _las_columns, ".pcd": pcd_columns}


def whole_numbers(path: Path, name: str, values: Array) -> I64:
    """A field as whole numbers. Raises: ValueError naming the file, the field and a point that has none."""
    if values.dtype.kind in "iub":
        return values.astype(np.int64)
    broken = np.flatnonzero(~((np.abs(values) < 2**53) & (values == np.rint(values)))) if values.dtype.kind == "f" else np.arange(len(values))
    if len(broken):
        raise ValueError(f"{path}: point {broken[0]} has {name} {values[broken[0]]}, which is no whole number")
    return values.astype(np.int64)


def _check_run(asked: Asked, path: Path, columns: Mapping[str, Array]) -> None:
    if "run" in columns:
        other = whole_numbers(path, "run", columns["run"]) != asked.run_number
        if other.any():
            raise ValueError(f"{path}: is of another run ({int(other.sum())} points say so): export the queries of {asked.run} again")


def _scene_of(asked: Asked, path: Path, columns: Mapping[str, Array]) -> str:
    """The scene that a file is about: by its field `scene`, or by its name. Raises: ValueError when neither says one."""
    if "scene" in columns and len(columns["scene"]):
        numbers = np.unique(whole_numbers(path, "scene", columns["scene"]))
        names = sorted(asked.store.sizes)
        if len(numbers) == 1 and 0 <= numbers[0] < len(names) and names[numbers[0]] in asked.scenes:
            return str(names[int(numbers[0])])
        raise ValueError(f"{path}: its field scene says {numbers[:NAMED].tolist()}, which is not one scene of this run: a file is about one scene")
    fitting = [name for name in asked.scenes if path.stem == name or (path.stem.startswith(name) and not path.stem[len(name)].isalnum())]
    if not fitting:
        raise ValueError(f"{path}: nothing was asked about a scene of that name: name the file as it was exported, such as {asked.scenes[0]}{path.suffix}")
    return max(fitting, key=len)


def _index_of(path: Path, columns: Mapping[str, Array], sheet: Sheet) -> I64:
    """The point of the scene that each point of the file is: i64[P]. Raises: ValueError when they are not the scene's, or moved."""
    xyz = np.stack([np.asarray(columns[axis], np.float64) for axis in "xyz"], axis=1)
    if not np.isfinite(xyz).all():
        raise ValueError(f"{path}: {int((~np.isfinite(xyz).all(axis=1)).sum())} points have no finite place: export the queries again")
    place = np.asarray(sheet.scene.xyz, np.float64) + sheet.scene.origin
    near = TOLERANCE + 2 * float(np.finfo(np.float32).eps) * float(np.abs(place).max())
    index = _by_place(path, xyz, place, near) if "index" not in columns else whole_numbers(path, "index", columns["index"])
    if len(index) and (index.min() < 0 or index.max() >= len(place)):
        raise ValueError(f"{path}: its field index runs from {index.min()} to {index.max()}, but the scene has {len(place)} points: is it another scene?")
    if len(np.unique(index)) < len(index):
        raise ValueError(f"{path}: {len(index) - len(np.unique(index))} points of the scene are in it twice: keep every point once, and the field index")
    away = np.abs(xyz - place[index]).max(axis=1) > near
    if away.any():
        first = int(np.flatnonzero(away)[0])
        moved = ", ".join(f"{value:.3f}" for value in (xyz - place[index])[first].tolist())
        raise ValueError(f"{path}: {int(away.sum())} of {len(away)} points were moved, the first by ({moved}) m: save without a shift of the coordinates")
    return index


def _by_place(path: Path, xyz: F64, place: F64, near: float) -> I64:
    index = np.asarray(cKDTree(place).query(xyz, distance_upper_bound=3 * near)[1], np.int64)
    lost = index == len(place)
    if lost.any():
        raise ValueError(f"{path}: {int(lost.sum())} of {len(lost)} points are at no point of the scene: were the coordinates shifted? Or keep the field index")
    return index


def _check_queries(path: Path, columns: Mapping[str, Array], index: I64, sheet: Sheet) -> None:
    """Refuse a file whose queries are others; those that were asked after it was exported may be absent."""
    if "query" not in columns:
        return
    query = whole_numbers(path, "query", columns["query"])
    other = (query != UNSET) & (query != sheet.query[index])
    if other.any():
        raise ValueError(f"{path}: {int(other.sum())} points have the number of another query: it is of another run, or its field query was changed")


def _labels(path: Path, columns: Mapping[str, Array]) -> I64:
    return whole_numbers(path, "label", columns["label"])


def _sheet_answers(asked: Asked, path: Path, who: str, name: str, index: I64, given: I64, sheet: Sheet | None = None) -> list[Answer]:
    """The answers of the labels i64[P] that a file gives to points `index` of a scene."""
    sheet = sheet or asked.sheet(name)
    names = asked.store.classes.names
    wrong: list[str] = []
    strange = (given < UNSET) | (given > len(names))
    if strange.any():
        values = np.unique(given[strange])[:NAMED].tolist()
        wrong.append(f"{path}: {int(strange.sum())} points have labels {values}, which are no class: classes.csv has the numbers")
    outside = (given != UNSET) & (sheet.query[index] == UNSET)
    if outside.any():
        wrong.append(f"{path}: {int(outside.sum())} points were labelled that were not asked, such as point {index[outside][0]}")
    there = np.zeros(len(sheet.query), dtype=bool)
    there[index] = True
    asked_points = {number: points_of(query, asked.labels) for number, query in asked.of(name)}
    lacking = {number: int((~there[points]).sum()) for number, points in asked_points.items() if not there[points].all()}
    if lacking:
        shown = ", ".join(f"query {number} ({count} of {len(asked_points[number])} points)" for number, count in list(lacking.items())[:NAMED])
        wrong.append(f"{path}: {len(lacking)} regions that were asked are missing or incomplete: {shown}")
    if wrong:
        raise ValueError("\n".join(wrong))
    label: I32 = np.full(len(sheet.query), UNSET, np.int32)
    label[index] = given
    answers = (answer_to(query, label, asked_points[number], names, who, f"import:{path}") for number, query in asked.of(name))
    return [answer for answer in answers if answer is not None]


def _label_file(asked: Asked, path: Path) -> tuple[str, I64]:
    """The scene and the labels of a file of SemanticKITTI's layout, in the order of the points."""
    listing = path.parent.parent / "scenes.csv"
    rows = {row.get("number"): row for row in _rows(listing)} if listing.is_file() else {}
    row = rows.get(str(int(path.stem))) if path.stem.isdecimal() else None
    name = None if row is None else row.get("scene")
    if row is None or name not in asked.scenes:
        raise ValueError(f"{path}: which scene is it? {listing} must list its number with one of the scenes that were asked: keep the folder as exported")
    if row.get("run") != str(asked.run_number):
        raise ValueError(f"{path}: is of another run, as {listing} says: export the queries of {asked.run} again")
    size, count = path.stat().st_size, asked.store.sizes[name]
    if size != 4 * count:
        raise ValueError(f"{path}: has {size} bytes for the {count} points of scene {name!r}, which need {4 * count}: it was cut short, or is of another scene")
    values = np.fromfile(path, "<u4").astype(np.int64)
    number, query = values >> 16, np.minimum(asked.sheet(name).query + 1, 0xFFFF)
    other = (number != 0) & (number != query)
    if other.any():
        raise ValueError(f"{path}: {int(other.sum())} points have the number of another query: it is of another run, or its instances were changed")
    return name, (values & 0xFFFF) - 1


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a table, its delimiter a comma or, as spreadsheets of some countries write it, a semicolon."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        head = text.partition("\n")[0]
        return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=";" if ";" in head and "," not in head else ",", strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: is no table of UTF-8 text ({error}): save it as CSV again") from error


def _table_answers(asked: Asked, path: Path, who: str) -> list[Answer]:
    rows = _rows(path)
    wrong: list[str] = []
    answers: list[Answer] = []
    seen: set[int] = set()
    for place, row in enumerate(rows, start=2):
        text = str(row.get("query") or "").strip()
        number = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else -1
        problem = _row_problem(asked, row, number, seen)
        if problem:
            wrong.append(f"{path}: line {place}: {problem}")
            continue
        seen.add(number)
        word, query = (row["class"] or "").strip(), asked.queries[number]
        if word and word != "parts":
            kind = "unsure" if word == UNSURE else "class"
            name = None if word == UNSURE else word
            answers.append(Answer(who, kind, query.round, query.scene, query.unit, name, source=f"import:{path}"))
    newest = max((asked.queries[number].round for number in seen), default=0)
    missing = [number for number, query in enumerate(asked.queries) if number not in seen and query.round <= newest]
    if missing and not wrong:
        wrong.append(f"{path}: {len(missing)} queries are missing, such as {missing[:NAMED]}: keep every row, without a class where you do not know yet")
    if wrong:
        raise ValueError("\n".join(wrong))
    return answers


def _row_problem(asked: Asked, row: Mapping[str, Any], number: int, seen: set[int]) -> str:
    """What is wrong with a row of a table; empty when nothing is."""
    if row.get("class") is None or not 0 <= number < len(asked.queries) or number in seen:
        return f"needs the columns query (0..{len(asked.queries) - 1}, each once) and class, got {row.get('query')!r} and {row.get('class')!r}"
    query, word = asked.queries[number], row["class"].strip()
    expected = {"scene": query.scene, "unit": str(query.unit), "round": str(query.round), "run": str(asked.run_number)}
    other = [key for key, value in expected.items() if row.get(key) is not None and row[key].strip() != value]
    if other:
        return f"query {number} has another {', '.join(other)} here: the table is of another run"
    current = asked.answers.get(query.key)
    if word == "parts" and (current is None or current.kind != "parts"):
        return f"query {number}: a table cannot tell the parts of a region: export it as ply or las"
    known = ("", UNSURE, "parts", *asked.store.classes.names)
    return "" if word in known else f"query {number}: {word!r} is no class: {', '.join(asked.store.classes.names)}, {UNSURE}, or nothing"
