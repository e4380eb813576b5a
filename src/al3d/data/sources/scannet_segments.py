"""ScanNet's annotation as it was made: groups of mesh segments with free-text names, and the table that maps these to NYU40."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from al3d.types import I64

NAMES = "scannetv2-labels.combined.tsv"
AGGREGATION, SEGMENTS = ".aggregation.json", "_vh_clean_2.0.010000.segs.json"
#: The same annotation of the mesh that was not decimated; a few mirrors give this name to the file of the decimated one.
AGGREGATION_FINE = "_vh_clean.aggregation.json"


def nyu40_of_segments(folder: Path, scene_id: str, points: int, root: Path) -> I64:
    """NYU40 ids i64[points] of the vertices, 0 where nobody annotated: vertex -> segment -> group -> name -> id; later groups win.

    Raises: FileNotFoundError naming what to fetch; ValueError for another number of vertices, for groups of another mesh's segments,
    or for a name that the table does not have.
    """
    groups = _groups(folder, scene_id)
    segment = _segments(folder / f"{scene_id}{SEGMENTS}", scene_id, points)
    ids = _ids(root, folder)
    found, inverse = np.unique(segment, return_inverse=True)
    owner = np.zeros(len(found), np.int64)
    for path, group in groups:
        own = np.isin(found, np.asarray(group["segments"], dtype=np.int64))
        owner[own] = _id_of(str(group["label"]), ids, path, root)
    return np.asarray(owner[inverse], dtype=np.int64)


def read_names(path: Path) -> dict[str, int]:
    """The NYU40 id of every name (raw_category) in ScanNet's table; 0 where the table leaves it blank.

    Raises: ValueError when a column is missing or an id is not a number.
    """
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t")
        missing = {"raw_category", "nyu40id"} - set(reader.fieldnames or ())
        if missing:
            raise ValueError(f"{path}: no column {', '.join(sorted(missing))} in the first line: fetch the file again")
        names = {}
        for row in reader:
            words = (row["nyu40id"] or "0").strip() or "0"
            if not words.isdigit():
                raise ValueError(f"{path}: line {reader.line_num}: nyu40id {words!r} is not a number: fetch the file again")
            names[row["raw_category"].strip()] = int(words)
    return names


def _groups(folder: Path, scene_id: str) -> list[tuple[Path, dict[str, Any]]]:
    path = folder / f"{scene_id}{AGGREGATION}"
    if not path.is_file():
        path = folder / f"{scene_id}{AGGREGATION_FINE}"
    if not path.is_file():
        wanted = f"{scene_id}_vh_clean_2.labels.ply (type _vh_clean_2.labels.ply), or {scene_id}{AGGREGATION} and {scene_id}{SEGMENTS}"
        raise FileNotFoundError(f"{folder.absolute()} has no labels: fetch {wanted} with ScanNet's download script")
    content = _json(path)
    try:
        groups = [(path, {"segments": group["segments"], "label": group["label"]}) for group in content["segGroups"]]
        of = str(content.get("segmentsFile", SEGMENTS))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: segGroups with segments and label are expected, as ScanNet writes them: fetch the file again") from error
    if not of.endswith(SEGMENTS):
        raise ValueError(f"{path}: it groups the segments of {of!r}, not of {scene_id}{SEGMENTS}: fetch {scene_id}{AGGREGATION} (type {AGGREGATION})")
    return groups


def _segments(path: Path, scene_id: str, points: int) -> I64:
    if not path.is_file():
        raise FileNotFoundError(f"no file {path.absolute()}: fetch the type {SEGMENTS} (or _vh_clean_2.labels.ply) with ScanNet's download script")
    content = _json(path)
    if not isinstance(content, dict) or "segIndices" not in content:
        raise ValueError(f"{path}: no segIndices: fetch the file again")
    segment = np.asarray(content["segIndices"], dtype=np.int64)
    if segment.shape != (points,):
        raise ValueError(f"{path}: segments of {segment.size} vertices, but {scene_id}_vh_clean_2.ply has {points}: fetch both again, from the same release")
    return segment


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error}): the file is broken; fetch it again") from error


def _ids(root: Path, folder: Path) -> dict[str, int]:
    path = next((place / NAMES for place in (root, folder.parent) if (place / NAMES).is_file()), None)
    if path is None:
        raise FileNotFoundError(f"no file {(root / NAMES).absolute()}: ScanNet's download script fetches it together with the scans (label_map)")
    return read_names(path)


def _id_of(label: str, ids: dict[str, int], path: Path, root: Path) -> int:
    if label.strip() not in ids:
        raise ValueError(f"{path}: the name {label!r} is not in {NAMES} under {root}, which has {len(ids)} names: fetch the table of the release v2")
    return ids[label.strip()]
