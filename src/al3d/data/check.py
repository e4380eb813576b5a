"""Verify a data set from its raw files and say what to mend: `python -m al3d.data.check dataset=X [scenes=20|all] [options as for train.py]`."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException, InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.markup import escape
from rich.table import Table
from scipy.spatial import cKDTree

import al3d
from al3d.command import plain_errors
from al3d.geometry.camera import in_view, project
from al3d.progress import console, track
from al3d.rng import generator
from al3d.types import F32, F64, I64, IGNORE, U8, Bool, ClassTable, Image, Scene, Source

#: Scenes that are read per split unless `scenes=` says otherwise.
SAMPLE = 20
#: Metres between two consecutive frames of a drive; 10 Hz at 130 km/h are 4, nuScenes' 2 Hz at 70 km/h are 10.
LONGEST_STEP = 10.0
#: How far a rotation's columns may be from orthonormal.
RIGID = 1e-3
#: Points per scene whose neighbours, pixels and colours are looked at.
PROBES = 2000
#: Widest table, in characters.
WIDTH = 100
#: Brightness that correlates less is another place, or other light.
UNLIKE = 0.2
#: Names listed in one finding.
LISTED = 5
STATES = {"ok": "green", "look": "yellow", "broken": "red"}
COLOURS = ("red", "green", "blue")


@dataclass(frozen=True)
class Finding:
    """One result: `aspect` names the table it belongs to, `state` is ok, look or broken, `way_out` says what to do (empty when ok)."""

    aspect: str
    state: str
    what: str
    way_out: str = ""


@dataclass(frozen=True)
class View:
    """What is known of one picture: its file's name, and what is wrong with it (empty: nothing).

    `likeness`: correlation of the points' and the pixels' brightness (nan: unknown); `lost`: a camera without a picture.
    """

    name: str
    wrong: str
    likeness: float = float("nan")
    lost: bool = False


@dataclass(frozen=True, eq=False)
class Facts:
    """A few numbers about one scene, so that memory does not grow with its points.

    Shapes: `classes` i64[C] points per class; `strange` labels outside the table; `low`, `mean`, `high` f64[F] of the attributes; `extent` f64[3] and
    `spacing` in metres (nan: unknown); `duplicates` points that repeat another's coordinates; `shown` share of the points
    inside at least one picture (nan: no camera). With an `error` only id and split are known.
    """

    id: str
    split: str
    error: str = ""
    warned: tuple[str, ...] = ()
    points: int = 0
    labelled: int = 0
    classes: I64 | None = None
    strange: tuple[int, ...] = ()
    low: F64 | None = None
    mean: F64 | None = None
    high: F64 | None = None
    extent: F64 | None = None
    spacing: float = float("nan")
    duplicates: int = 0
    sequence: str | None = None
    frame: int | None = None
    pose: F64 | None = None
    views: tuple[View, ...] = ()
    shown: float = float("nan")


@dataclass(frozen=True)
class Split:
    """The scenes of a split, those that were read, and how many the complete official data have (None: not published)."""

    name: str
    ids: tuple[str, ...]
    read: tuple[str, ...]
    published: int | None = None
    error: str = ""


def listed(source: Source, scenes: int | None) -> list[Split]:
    """Every split of the source with the scenes to read: all (None), or a keyed sample of `scenes`."""
    return [_listed(source, split, scenes) for split in source.splits]


def _listed(source: Source, split: str, scenes: int | None) -> Split:
    try:
        ids = source.scenes(split)
    except (ValueError, OSError) as error:
        return Split(split, (), (), source.published.get(split), str(error))
    return Split(split, ids, sample(ids, scenes), source.published.get(split))


def sample(ids: Sequence[str], count: int | None) -> tuple[str, ...]:
    """A keyed sample of neighbouring pairs, so that consecutive frames can be compared; in the order of `ids`."""
    if count is None or count >= len(ids):
        return tuple(ids)
    pairs = generator("check", *ids[:1], len(ids)).permutation(len(ids) // 2)
    chosen: list[int] = [int(place) for pair in pairs for place in (2 * pair, 2 * pair + 1)][:count]
    return tuple(ids[place] for place in sorted(chosen))


def facts_of(source: Source, split: str, scene_id: str) -> Facts:
    """Read one scene and keep its numbers; what the source raises or warns about its files is kept as text."""
    facts = Facts(scene_id, split)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            scene, label = source.read(scene_id)
        except (ValueError, OSError) as error:
            return replace(facts, error=str(error))
    facts = replace(facts, warned=tuple(str(warning.message) for warning in caught))
    wrong = _misfit(source, scene, label, scene_id)
    return replace(facts, error=wrong) if wrong else _measured(facts, scene, label, len(source.classes))


def _misfit(source: Source, scene: Scene, label: U8, scene_id: str) -> str:
    if scene.id != scene_id:
        return f"the source returned {scene.id!r} for {scene_id!r}"
    if label.shape != (len(scene),) or label.dtype != np.uint8:
        return f"{scene_id}: labels are {label.dtype} {list(label.shape)}, but must be uint8 [{len(scene)}]"
    if scene.feat.shape[1] != len(source.features):
        return f"{scene_id}: has {scene.feat.shape[1]} attributes, the source promises {', '.join(source.features)}"
    return ""


def _measured(facts: Facts, scene: Scene, label: U8, classes: int) -> Facts:
    counts = np.bincount(label, minlength=IGNORE + 1)
    probes = np.sort(generator("check", "probes", scene.id).choice(len(scene), min(PROBES, len(scene)), replace=False))
    pictures = [_view(image, scene.xyz[probes], scene.feat[probes]) for image in scene.images]
    seen = [inside for _, inside in pictures if inside is not None]
    return replace(
        facts,
        points=len(scene),
        labelled=len(label) - int(counts[IGNORE]),
        classes=counts[:classes].astype(np.int64),
        strange=tuple(int(value) for value in np.flatnonzero(counts[classes:IGNORE]) + classes),
        low=scene.feat.min(axis=0).astype(np.float64),
        mean=scene.feat.mean(axis=0, dtype=np.float64),
        high=scene.feat.max(axis=0).astype(np.float64),
        extent=(scene.xyz.max(axis=0) - scene.xyz.min(axis=0)).astype(np.float64),
        spacing=spacing(scene.xyz, probes),
        duplicates=duplicates(scene.xyz),
        sequence=scene.sequence,
        frame=scene.frame,
        pose=scene.pose,
        views=tuple(view for view, _ in pictures),
        shown=float(np.any(seen, axis=0).mean()) if seen else float("nan"),
    )


def spacing(xyz: F32, probes: I64) -> float:
    """The median distance (metres) from the probed points to their nearest other place; nan when all points coincide."""
    distances = np.asarray(cKDTree(xyz, balanced_tree=False, compact_nodes=False).query(xyz[probes], k=2)[0], dtype=np.float64)[:, 1]
    apart = distances[(distances > 0) & np.isfinite(distances)]
    return float(np.median(apart)) if len(apart) else float("nan")


def duplicates(xyz: F32) -> int:
    """How many points repeat the coordinates of another one, to the last bit."""
    words = np.ascontiguousarray(xyz + np.float32(0)).view(np.uint32).astype(np.uint64)  # + 0: -0.0 is 0.0
    mixed = words[:, 0] * np.uint64(0x9E3779B97F4A7C15) ^ (words[:, 1] * np.uint64(0xC2B2AE3D27D4EB4F) + words[:, 2] * np.uint64(0x165667B19E3779F9))
    return len(xyz) - len(np.unique(mixed))


def _view(image: Image, xyz: F32, feat: F32) -> tuple[View, Bool | None]:
    """What a picture is worth, and which points bool[P] lie inside (None without a camera)."""
    name = image.path.name if image.path else "a camera without a picture"
    seen: Bool | None = None
    pixel = np.empty((0, 2))
    if image.camera is not None:
        wrong = rigid_fault(image.camera.pose)
        if wrong:
            return View(name, f"has a camera whose pose {wrong}"), None
        pixel, depth = project(image.camera, xyz)
        seen = in_view(image.camera, pixel, depth)
    if image.path is None:
        return View(name, "", lost=True), seen
    from PIL import Image as Picture

    try:
        with Picture.open(image.path) as picture:
            size, grey = picture.size, np.asarray(picture.convert("L"), np.float64)
    except (OSError, SyntaxError, ValueError) as error:
        return View(name, f"cannot be read ({error})"), seen
    if image.camera is not None and size != (image.camera.width, image.camera.height):
        return View(name, f"is {size[0]}x{size[1]} pixels, its camera {image.camera.width}x{image.camera.height}"), seen
    coloured = seen is not None and feat.shape[1] == len(COLOURS)
    return View(name, "", likeness(grey, pixel[seen], feat[seen]) if coloured else float("nan")), seen


def likeness(grey: F64, pixel: F64, feat: F32) -> float:
    """The correlation of brightness between points and the pixels they land on, -1..1; nan for fewer than 50 points or a plain wall."""
    column, row = np.rint(pixel).astype(np.int64).T
    ours = feat @ np.array([0.299, 0.587, 0.114])
    theirs = grey[row.clip(0, grey.shape[0] - 1), column.clip(0, grey.shape[1] - 1)]
    if len(ours) < 50 or ours.std() < 0.02 or theirs.std() < 5:
        return float("nan")
    return float(np.corrcoef(ours, theirs)[0, 1])


def rigid_fault(pose: F64) -> str:
    """What keeps a pose from being a rigid motion; empty when nothing does."""
    if pose.shape != (4, 4) or not np.isfinite(pose).all():
        return "is not 4x4 finite numbers"
    turn = pose[:3, :3]
    if not np.allclose(turn @ turn.T, np.eye(3), atol=RIGID):
        return f"is not rigid (its axes are {', '.join(f'{length:.3g}' for length in np.linalg.norm(turn, axis=0))} long, or not at right angles)"
    if np.linalg.det(turn) < 0:
        return "mirrors (its determinant is negative)"
    return "" if np.allclose(pose[3], [0, 0, 0, 1]) else f"ends in the row {pose[3].tolist()} instead of 0 0 0 1"


# From facts to findings.


def findings(splits: Sequence[Split], facts: Sequence[Facts], classes: ClassTable, features: Sequence[str], voxel: float | None) -> list[Finding]:
    """Everything that can be said about a data set, in the order of the tables."""
    good = [one for one in facts if not one.error]
    found = [*_scenes(splits), *_files(facts)]
    if good:
        found += [*_labels(splits, good, classes), *_geometry(good, voxel), *_attributes(good, features), *_drives(splits, good), *_images(good)]
    return found


def _scenes(splits: Sequence[Split]) -> Iterable[Finding]:
    for split in splits:
        have, wanted = len(split.ids), split.published
        if split.error:
            needed = split.name in ("train", "val")
            yield Finding("scenes", "broken" if needed else "look", f"{split.name}: {split.error}", "" if needed else "only needed for a benchmark's server")
        elif wanted is None or have == wanted:
            yield Finding("scenes", "ok", f"{split.name}: {have} scenes{'' if wanted is None else ', as published'}")
        elif have < wanted:
            yield Finding(
                "scenes",
                "look",
                f"{split.name}: {have} of {wanted} published scenes, {wanted - have} missing",
                "fine for a trial; for published numbers get the rest",
            )
        else:
            yield Finding(
                "scenes", "look", f"{split.name}: {have} scenes, {have - wanted} more than published", "look for copies and folders that do not belong there"
            )
    owners: dict[str, list[str]] = {}
    for split in splits:
        for scene in split.ids:
            owners.setdefault(scene, []).append(split.name)
    twice = [scene for scene, names in owners.items() if len(names) > 1]
    if twice:
        yield Finding("scenes", "broken", f"in more than one split: {_names(twice)}", "leave each scene in one split: labels of val must not be trained on")


def _files(facts: Sequence[Facts]) -> Iterable[Finding]:
    broken: dict[str, list[Facts]] = {}
    for one in facts:
        if one.error:
            broken.setdefault(one.error, []).append(one)
    for error, ours in list(broken.items())[: 2 * LISTED]:  # the sources' errors say the way out themselves
        yield Finding("files", "broken", f"{ours[0].split} {_names([one.id for one in ours])}: {error}")
    if len(broken) > 2 * LISTED:
        rest = sum(len(ours) for ours in list(broken.values())[2 * LISTED :])
        yield Finding("files", "broken", f"{rest} more scenes cannot be read", "mend these first, then check again")
    warned = [(one, text) for one in facts for text in one.warned]
    for one, text in warned[:LISTED]:
        yield Finding("files", "look", text if one.id in text else f"{one.id}: {text}", "known flaws of a release are handled; else mend the file")
    if len(warned) > LISTED:
        yield Finding("files", "look", f"{len(warned) - LISTED} more warnings", "see above")
    if facts and not broken:
        yield Finding("files", "ok", f"{len(facts)} of {len(facts)} scenes read")


def _labels(splits: Sequence[Split], good: Sequence[Facts], classes: ClassTable) -> Iterable[Finding]:
    strange = [one for one in good if one.strange]
    if strange:
        first = strange[0]
        yield Finding(
            "labels",
            "broken",
            f"{_names([one.id for one in strange])}: labels {list(first.strange)} outside 0..{len(classes) - 1}",
            "map them to classes or to 255",
        )
    for split in splits:
        ours = [one for one in good if one.split == split.name]
        points, labelled = sum(one.points for one in ours), sum(one.labelled for one in ours)
        if not ours:
            continue
        if labelled == 0:
            state, way = _unlabelled(split.name)
            yield Finding("labels", state, f"{split.name}: no point has a label", way)
            continue
        bare = [one.id for one in ours if one.labelled == 0]
        if bare:
            yield Finding(
                "labels",
                "look",
                f"{split.name}: {len(bare)} scenes without any label: {_names(bare)}",
                "a simulated annotator knows nothing about them; leave them out, or label them",
            )
        if labelled < 0.5 * points:
            yield Finding(
                "labels",
                "look",
                f"{split.name}: only {100 * labelled / points:.1f} % of the points have a label",
                "look at the label map: unmapped values become 255",
            )
        counts = np.sum([one.classes for one in ours if one.classes is not None], axis=0)
        absent = [name for name, count in zip(classes.names, counts, strict=True) if count == 0]
        if absent:
            whole = len(split.read) == len(split.ids)
            way = "mIoU leaves them out, or counts 0: say which when you report it" if whole else "read more scenes (scenes=all) before you worry"
            yield Finding("labels", "look", f"{split.name}: no point of {', '.join(absent)} in {len(ours)} scenes", way)
    if not strange:
        yield Finding("labels", "ok", f"labels are 0..{len(classes) - 1} or unknown")


def _unlabelled(split: str) -> tuple[str, str]:
    if split == "val":
        return "broken", "val needs labels to measure anything: check that the label files lie where the source looks"
    if split == "train":
        return "look", "fine for real annotation; a simulated annotator needs labels: check where the label files lie"
    return "ok", "hidden labels of an official test split"


def _geometry(good: Sequence[Facts], voxel: float | None) -> Iterable[Finding]:
    extents = np.array([one.extent for one in good])
    reach = extents.max(axis=1)
    for low, what, way in (
        (reach > 2000, "over 2 km across", "remove stray points"),
        (reach < 0.1, "under 10 cm across", "keep scenes with more than a few points"),
    ):
        if low.any():
            names = _names([one.id for one, hit in zip(good, low, strict=True) if hit])
            yield Finding("geometry", "look", f"{int(low.sum())} scenes are {what}: {names}", f"check that coordinates are in metres; {way}")
    upright = extents[:, 2] <= extents[:, :2].max(axis=1)
    if upright.mean() < 0.5:
        yield Finding(
            "geometry", "look", f"{int((~upright).sum())} of {len(good)} scenes are higher than wide", "check the up axis: +z must point away from the floor"
        )
    else:
        yield Finding("geometry", "ok", f"{int(upright.sum())} of {len(good)} scenes are wider than high, as with +z up")
    repeated = [one for one in good if one.duplicates > 0.01 * one.points]
    if repeated:
        worst = max(repeated, key=lambda one: one.duplicates / one.points)
        share = 100 * worst.duplicates / worst.points
        yield Finding(
            "geometry",
            "look",
            f"{len(repeated)} scenes repeat over 1 % of their points, worst {worst.id} ({share:.1f} %)",
            "look for files that were merged twice",
        )
    else:
        yield Finding("geometry", "ok", "no scene repeats more than 1 % of its points")
    yield from _lengths(good, voxel)


def _lengths(good: Sequence[Facts], voxel: float | None) -> Iterable[Finding]:
    spacings = [one.spacing for one in good if np.isfinite(one.spacing)]
    if not spacings:
        yield Finding("geometry", "broken", "all points of every scene coincide", "check the coordinates' columns")
    elif voxel is not None:
        ratio = voxel / float(np.median(spacings))
        if not 0.5 <= ratio <= 50:
            what = f"voxels of {voxel:g} m are {ratio:.2g} times the point spacing of {np.median(spacings):.3g} m"
            yield Finding("geometry", "look", what, "check units, or set dataset.scale.voxel to 1 to 10 spacings")
        else:
            yield Finding("geometry", "ok", f"voxels of {voxel:g} m are {ratio:.2g} times the point spacing")


def _attributes(good: Sequence[Facts], features: Sequence[str]) -> Iterable[Finding]:
    if not features:
        return
    low, high = (np.array([getattr(one, key) for one in good]) for key in ("low", "high"))
    flawed = False
    for column, name in enumerate(features):
        least, most = low[:, column].min(), high[:, column].max()
        if name in COLOURS and (least < 0 or most > 1):
            flawed = True
            yield Finding("attributes", "broken", f"{name} ranges from {least:g} to {most:g}", "colours must be 0..1: divide bytes by 255")
        flat = [one.id for one, below, above in zip(good, low[:, column], high[:, column], strict=True) if below == above]
        if flat and name != "one":
            flawed = True
            what = f"{name} is the same for all points of {len(flat)} of {len(good)} scenes: {_names(flat)}"
            yield Finding("attributes", "look", what, "the network learns nothing from it: check that the files have this field")
    dark = all(name in features for name in COLOURS) and high[:, [features.index(name) for name in COLOURS]].max() < 0.02
    if dark:
        flawed = True
        yield Finding("attributes", "look", "colours are nearly black everywhere", "they were probably divided by 255 twice")
    if not flawed:
        yield Finding("attributes", "ok", f"{', '.join(features)}: finite, in range, not constant")


def _drives(splits: Sequence[Split], good: Sequence[Facts]) -> Iterable[Finding]:
    driven = {one.id: one for one in good if one.sequence is not None}
    if not driven:
        return
    faults = [(one, rigid_fault(one.pose)) for one in driven.values() if one.pose is not None]
    wrong = [(one, fault) for one, fault in faults if fault]
    for one, fault in wrong[:LISTED]:
        yield Finding("drives", "broken", f"{one.id}: its pose {fault}", "mend the file of poses or the calibration")
    steps, gaps, still = [], [], 0
    for before, after in _neighbours(splits, driven):
        if before.frame is None or after.frame is None or before.pose is None or after.pose is None:
            continue
        if after.frame - before.frame != 1:
            gaps.append(f"{before.id} -> {after.id}")
            continue
        length = float(np.linalg.norm(after.pose[:3, 3] - before.pose[:3, 3]))
        still += bool(np.array_equal(after.pose, before.pose))
        steps.append((length, f"{before.id} -> {after.id}"))
    if gaps:
        yield Finding(
            "drives", "look", f"frames are missing between neighbours: {_names(gaps)}", "copy the missing frames: methods that compare frames skip over them"
        )
    far = [(length, name) for length, name in steps if not length <= LONGEST_STEP]
    if far:
        worst = max(far)
        what = f"{len(far)} of {len(steps)} steps are over {LONGEST_STEP:g} m, the longest {worst[0]:.1f} m ({worst[1]})"
        yield Finding("drives", "look", what, "check that poses are in metres, of this drive, and one line per frame")
    if steps and still == len(steps):
        yield Finding(
            "drives",
            "look",
            f"the pose never changes over {len(steps)} steps",
            "poses are missing or all the same: methods that compare frames (LiDAL) would be misled",
        )
    if not (wrong or gaps or far) and still < max(1, len(steps)):
        yield Finding("drives", "ok", f"{len(driven)} frames with rigid poses; {len(steps)} steps between neighbours, none over {LONGEST_STEP:g} m")


def _neighbours(splits: Sequence[Split], driven: Mapping[str, Facts]) -> list[tuple[Facts, Facts]]:
    """Scenes that follow each other in a split's list and belong to one drive, both read."""
    pairs = [pair for split in splits for pair in pairwise(split.ids)]
    both = [(driven[first], driven[second]) for first, second in pairs if first in driven and second in driven]
    return [(before, after) for before, after in both if before.sequence == after.sequence]


def _images(good: Sequence[Facts]) -> Iterable[Finding]:
    pictured = [one for one in good if one.views]
    if not pictured:
        return
    wrong = [(one, view) for one in pictured for view in one.views if view.wrong]
    for one, view in wrong[:LISTED]:
        yield Finding("images", "broken", f"{one.id}: {view.name} {view.wrong}", "copy the picture again, or mend the camera's size and pose")
    if len(wrong) > LISTED:
        yield Finding("images", "broken", f"{len(wrong) - LISTED} more pictures are wrong", "mend these first, then check again")
    count = sum(not view.lost for one in pictured for view in one.views)
    blind = [one.id for one in pictured if one.shown == 0]
    if blind:
        yield Finding(
            "images",
            "look",
            f"no point lies inside any picture of {_names(blind)}",
            "check the cameras' poses: they bring the camera's frame (z forward, y down) to the scene's",
        )
    lost = [one.id for one in pictured if any(view.lost for view in one.views)]
    if lost and any(not view.lost for one in pictured for view in one.views):
        yield Finding("images", "look", f"{len(lost)} of {len(pictured)} scenes have a camera, but no picture: {_names(lost)}", "copy the missing pictures")
    yield from _likeness([(view.likeness, f"{one.id}: {view.name}") for one in pictured for view in one.views if np.isfinite(view.likeness)])
    if not (wrong or blind or lost):
        yield Finding("images", "ok", f"{count} pictures of {len(pictured)} scenes found, sizes as their cameras say")


def _likeness(alike: Sequence[tuple[float, str]]) -> Iterable[Finding]:
    """Whether points and pixels look alike: never proof, since nothing is hidden here, but a wrong frame shows."""
    if not alike:
        return
    middle = float(np.median([value for value, _ in alike]))
    if middle < UNLIKE:
        what = f"points and pixels do not look alike: median correlation {middle:.2f} over {len(alike)} pictures"
        yield Finding("images", "look", what, "the cameras probably look elsewhere: check poses, intrinsics and the frame of the points")
        return
    odd = [name for value, name in alike if value < UNLIKE and middle > 0.6]
    if odd:
        yield Finding(
            "images", "look", f"{len(odd)} of {len(alike)} pictures do not look like their points: {_names(odd)}", "check that they belong to these scenes"
        )
    else:
        yield Finding("images", "ok", f"brightness of points and pixels correlates: median {middle:.2f} over {len(alike)} pictures")


def _names(names: Collection[str]) -> str:
    return f"{', '.join(list(names)[:LISTED])}{f' and {len(names) - LISTED} others' if len(names) > LISTED else ''}"


# Tables.


def tables(splits: Sequence[Split], facts: Sequence[Facts], classes: ClassTable, features: Sequence[str]) -> list[tuple[str, Table]]:
    """The numbers behind the findings: (aspect, table)."""
    good = [one for one in facts if not one.error]
    made = [("scenes", _scene_table(splits, facts))]
    if good:
        made += [
            ("labels", _class_table(splits, good, classes)),
            ("geometry", _geometry_table(splits, good)),
            ("attributes", _attribute_table(splits, good, features)),
        ]
    if any(one.views for one in good):
        made.append(("images", _image_table(splits, good)))
    return [(aspect, table) for aspect, table in made if table.row_count]


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column(first, overflow="fold")
    for column in columns:
        table.add_column(column, justify="right", overflow="fold")
    return table


def _scene_table(splits: Sequence[Split], facts: Sequence[Facts]) -> Table:
    table = _table("scenes", "split", "scenes", "published", "read", "failed", "points min", "median", "max", "labelled")
    for split in splits:
        ours = [one for one in facts if one.split == split.name]
        points = np.array([one.points for one in ours if not one.error])
        sizes = [f"{int(value):,}" for value in (points.min(), np.median(points), points.max())] if len(points) else ["-"] * 3
        labelled = f"{100 * sum(one.labelled for one in ours) / points.sum():.1f} %" if len(points) else "-"
        failed = sum(bool(one.error) for one in ours)
        table.add_row(split.name, str(len(split.ids)), "-" if split.published is None else str(split.published), str(len(ours)), str(failed), *sizes, labelled)
    return table


def _class_table(splits: Sequence[Split], good: Sequence[Facts], classes: ClassTable) -> Table:
    names = [split.name for split in splits if any(one.split == split.name for one in good)]
    table = _table("labels: % of the labelled points, (scenes with the class)", "class", *names)
    for index, name in enumerate(classes.names):
        row = []
        for split in names:
            counts = np.array([one.classes for one in good if one.split == split and one.classes is not None])
            present, total = int((counts[:, index] > 0).sum()), int(counts.sum())
            row.append(f"{100 * counts[:, index].sum() / total:.3g} ({present})" if present else "absent")
        table.add_row(f"{index} {name}", *row)
    return table


def _geometry_table(splits: Sequence[Split], good: Sequence[Facts]) -> Table:
    table = _table("geometry: medians, metres", "split", "extent x", "y", "z", "widest", "point spacing", "repeated points")
    for split in splits:
        ours = [one for one in good if one.split == split.name]
        if not ours:
            continue
        extents = np.array([one.extent for one in ours])
        spacings = [one.spacing for one in ours if np.isfinite(one.spacing)]
        repeated = 100 * sum(one.duplicates for one in ours) / sum(one.points for one in ours)
        middle = [f"{value:.3g}" for value in np.median(extents, axis=0)]
        table.add_row(split.name, *middle, f"{extents.max():.4g}", f"{np.median(spacings):.3g}" if spacings else "-", f"{repeated:.2g} %")
    return table


def _attribute_table(splits: Sequence[Split], good: Sequence[Facts], features: Sequence[str]) -> Table:
    table = _table("attributes", "attribute", "split", "least", "mean", "most")
    for column, name in enumerate(features):
        for split in splits:
            ours = [one for one in good if one.split == split.name]
            if not ours:
                continue
            low, mean, high = (np.array([getattr(one, key)[column] for one in ours]) for key in ("low", "mean", "high"))
            weighted = np.average(mean, weights=[one.points for one in ours])
            table.add_row(name, split.name, f"{low.min():.4g}", f"{weighted:.4g}", f"{high.max():.4g}")
    return table


def _image_table(splits: Sequence[Split], good: Sequence[Facts]) -> Table:
    table = _table("images", "split", "scenes with pictures", "pictures", "points in a picture", "likeness")
    for split in splits:
        ours = [one for one in good if one.split == split.name and one.views]
        if not ours:
            continue
        shares = [one.shown for one in ours if np.isfinite(one.shown)]
        alike = [view.likeness for one in ours for view in one.views if np.isfinite(view.likeness)]
        table.add_row(
            split.name,
            str(len(ours)),
            str(sum(not view.lost for one in ours for view in one.views)),
            f"{100 * np.mean(shares):.1f} %" if shares else "-",
            f"{np.median(alike):.2f}" if alike else "-",
        )
    return table


def _finding_table(found: Sequence[Finding]) -> Table:
    table = Table(title="findings", title_justify="left", title_style="bold", pad_edge=False, box=None, show_header=False, expand=True)
    for _ in ("state", "aspect"):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    order = list(STATES)
    for one in sorted(found, key=lambda one: -order.index(one.state)):
        way = f"\n[italic]-> {escape(one.way_out)}[/]" if one.way_out else ""
        table.add_row(f"[{STATES[one.state]}]{one.state}[/]", one.aspect, escape(one.what) + way)
    return table


# The command.


def check(source: Source, scenes: int | None, voxel: float | None) -> list[Finding]:
    """Read a data set's scenes, print what they are like, and return the findings; memory holds one scene at a time."""
    splits = listed(source, scenes)
    todo = [(split.name, scene) for split in splits for scene in split.read]
    facts = [facts_of(source, split, scene) for split, scene in track(todo, f"{source.name}: reading", len(todo))]
    features = source.features if any(not one.error for one in facts) else ()
    found = findings(splits, facts, source.classes, features, voxel)
    for _, table in tables(splits, facts, source.classes, features):
        console.print(table, width=WIDTH)
        console.print()
    console.print(_finding_table(found), width=WIDTH)
    return found


def verdict(found: Sequence[Finding]) -> str:
    """One line about all findings."""
    counts = {state: sum(one.state == state for one in found) for state in STATES}
    if counts["broken"]:
        return f"{counts['broken']} broken, {counts['look']} to look at: mend what is broken before preparing the data"
    return f"nothing broken, {counts['look']} to look at" if counts["look"] else "everything ok"


def composed(overrides: Sequence[str]) -> DictConfig:
    """The configuration that train.py would get. Raises: ValueError for options that do not exist or have no value."""
    folder = Path(al3d.__file__).parent / "conf"
    try:
        with initialize_config_dir(config_dir=str(folder.resolve()), version_base="1.3"):
            config = compose("train", overrides=list(overrides))
    except HydraException as error:
        raise ValueError(f"{error}{f': {error.__cause__}' if error.__cause__ else ''}") from error
    missing = _missing(OmegaConf.to_container(config.dataset, resolve=False), "dataset")
    if missing:
        raise ValueError(f"these options have no value yet: {', '.join(missing)}. Give them on the command line, for example {missing[0]}=/path/to/data")
    return config


def built(config: DictConfig) -> Source:
    """The data set's source. Raises: whatever it raises about its files, without Hydra's frame around it."""
    try:
        return cast(Source, instantiate(config.dataset.source))
    except InstantiationException as error:
        if isinstance(error.__cause__, (ValueError, OSError)):
            raise error.__cause__ from None
        raise


def _missing(node: Any, path: str) -> list[str]:
    """Dotted keys that say "???"."""
    if isinstance(node, Mapping):
        return [key for name, part in node.items() for key in _missing(part, f"{path}.{name}")]
    return [path] if node == "???" else []


def chosen_scenes(arguments: Sequence[str]) -> tuple[int | None, list[str]]:
    """How many scenes per split to read (None: all), and the other arguments. Raises: ValueError for anything but a whole number or `all`."""
    given = [argument.partition("=")[2] for argument in arguments if argument.startswith("scenes=")]
    others = [argument for argument in arguments if not argument.startswith("scenes=")]
    if not given or given[-1] == "all":
        return (None if given else SAMPLE), others
    if not given[-1].isdecimal() or int(given[-1]) < 1:
        raise ValueError(f"scenes={given[-1]}: give how many scenes to read per split (at least 1), or all")
    return int(given[-1]), others


def main(arguments: Sequence[str]) -> int:
    """Check the data set that the arguments choose; 1 when something is broken, else 0."""
    scenes, overrides = chosen_scenes(arguments)
    config = composed(overrides)
    source = built(config)
    found = check(source, scenes, config.dataset.scale.voxel)
    broken = any(one.state == "broken" for one in found)
    console.print(f"\n{source.name}: {verdict(found)}", markup=False)
    return int(broken)


if __name__ == "__main__":
    with plain_errors():
        sys.exit(main(sys.argv[1:]))
