"""What is measured of a data set before it is trusted: one scene at a time, a few numbers each."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from al3d.data.jobs import reason
from al3d.geometry.bounds import bounds
from al3d.geometry.camera import in_view, project
from al3d.rng import generator
from al3d.types import F32, F64, I64, IGNORE, U8, Bool, Image, Scene, Source

COLOURS = ("red", "green", "blue")
#: Points per scene whose neighbours, pixels and colours are looked at.
PROBES = 2000
#: How far a rotation's columns may be from orthonormal.
RIGID = 1e-3


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
    except Exception as error:
        return Split(split, (), (), source.published.get(split), reason(error))
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
        except Exception as error:
            return replace(facts, error=reason(error))
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
    lowest, highest = bounds(scene.feat)
    low, high = bounds(scene.xyz)
    return replace(
        facts,
        points=len(scene),
        labelled=len(label) - int(counts[IGNORE]),
        classes=counts[:classes].astype(np.int64),
        strange=tuple(int(value) for value in np.flatnonzero(counts[classes:IGNORE]) + classes),
        low=lowest.astype(np.float64),
        mean=scene.feat.mean(axis=0, dtype=np.float64),
        high=highest.astype(np.float64),
        extent=(high - low).astype(np.float64),
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
