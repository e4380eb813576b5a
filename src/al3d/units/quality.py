"""How good a partition is for labelling: sizes, purity, boundaries, and the best segmentation that its units allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from scipy.spatial import cKDTree

from al3d.geometry.neighbours import nearest
from al3d.types import F32, F64, I32, I64, IGNORE, U8, Bool

#: Neighbours of a point, itself not counted, among which a boundary is looked for.
NEIGHBOURS = 6
#: The quantiles that describe a distribution of sizes.
QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)


@dataclass(frozen=True, eq=False)
class Measured:
    """The counts of one partition of one scene, from which `summary` makes figures.

    `size` i64[U] points; `area` f64[U] square metres; `known` i64[U] points whose class is known; `majority` i64[U] those of them that have the
    unit's most frequent class; `table` i64[C,C+1] points by true class and by the class their unit would get (last: in no unit that has
    one); `outside` points in no unit; `edges` points on a boundary between classes, `found` those of them near a boundary between units.
    """

    points: int
    outside: int
    size: I64
    area: F64
    known: I64
    majority: I64
    table: I64
    edges: int
    found: int


@dataclass(frozen=True)
class Summary:
    """Figures over several scenes; shares are 0..1, and not a number where nothing could be measured.

    `scenes`; `units` in a scene on average, `fewest` and `most`; `sizes`: least, 5 %, median, 95 % and largest number of points of a unit; `area`
    in square metres of the median unit; `purity`: share of the points in units that have their unit's most frequent class; `pure`: share of
    the units with points of one class only; `recall`: share of the points on class boundaries that lie near a unit boundary;
    `miou`: mean IoU when every unit has its most frequent class (points in no unit count as wrong); `outside`: share of points in no unit.
    """

    scenes: int
    units: float
    fewest: int
    most: int
    sizes: tuple[float, ...]
    area: float
    purity: float
    pure: float
    recall: float
    miou: float
    outside: float

    def row(self) -> dict[str, float]:
        """The figures by name, the quantiles of sizes as `size_0`, `size_5`, ..., `size_100`."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "sizes"}
        sizes = {f"size_{round(100 * share)}": size for share, size in zip(QUANTILES, self.sizes, strict=True)}
        return {key: float(value) for key, value in (values | sizes).items()}


def measure(xyz: F32, unit: I32, label: U8, classes: int, cell: float, around: I32, edge: Bool) -> Measured:
    """Measure the unit ids i32[N] (-1: none) of points xyz f32[N,3] against labels u8[N] (IGNORE: unknown).

    `cell` metres: two boundaries are near when they are no further apart, and a unit's area is `cell` squared for every occupied cube of that
    size. `around` i32[N,k] are the neighbours and `edge` bool[N] the class boundaries, from `neighbours_of` and `borders`.
    Raises: ValueError for arrays that do not fit, a label that is no class, or a cell that is not positive.
    """
    if not (len(unit) == len(label) == len(xyz) == len(around) == len(edge)):
        lengths = f"{len(xyz)} points, {len(unit)} units, {len(label)} labels, {len(around)} neighbourhoods, {len(edge)} boundary marks"
        raise ValueError(f"one of each per point is needed: {lengths}")
    if not cell > 0:
        raise ValueError(f"cell = {cell} m: must be positive")
    strange = np.unique(label[(label >= classes) & (label != IGNORE)])
    if len(strange):
        raise ValueError(f"labels {strange.tolist()} are neither a class (0..{classes - 1}) nor {IGNORE}")
    inside = unit >= 0
    count = int(unit.max(initial=-1)) + 1
    known, majority, table = _votes(unit, label, count, classes)
    return Measured(
        points=len(unit),
        outside=int(np.count_nonzero(~inside)),
        size=np.bincount(unit[inside], minlength=count),
        area=_areas(xyz[inside], unit[inside], count, cell),
        known=known,
        majority=majority,
        table=table,
        edges=int(np.count_nonzero(edge)),
        found=_near(xyz, edge, borders(unit, around), cell),
    )


def neighbours_of(xyz: F32) -> I32:
    """The `NEIGHBOURS` nearest points of every point, i32[N,k]; k is smaller in tiny clouds."""
    return nearest(xyz, NEIGHBOURS + 1)[:, 1:]


def class_borders(label: U8, around: I32) -> Bool:
    """The points bool[N] of known class with a neighbour of another known class."""
    other = label[around]
    return np.asarray(((other != label[:, None]) & (other != IGNORE)).any(axis=1) & (label != IGNORE))


def borders(unit: I32, around: I32) -> Bool:
    """The points bool[N] with a neighbour in another unit; points in no unit (-1) count as one more unit."""
    return np.asarray((unit[around] != unit[:, None]).any(axis=1))


def summary(measured: Sequence[Measured]) -> Summary:
    """The figures over scenes; means are over all units and all points of them. Raises: ValueError without a scene."""
    if not measured:
        raise ValueError("nothing was measured: give at least one scene")
    sizes = np.concatenate([scene.size for scene in measured])
    areas = np.concatenate([scene.area for scene in measured])
    known = np.concatenate([scene.known for scene in measured])
    majority = np.concatenate([scene.majority for scene in measured])
    units = [len(scene.size) for scene in measured]
    judged = known > 0
    return Summary(
        scenes=len(measured),
        units=float(np.mean(units)),
        fewest=min(units),
        most=max(units),
        sizes=tuple(float(value) for value in np.quantile(sizes, QUANTILES)) if len(sizes) else (np.nan,) * len(QUANTILES),
        area=float(np.median(areas)) if len(areas) else np.nan,
        purity=_share(majority.sum(), known.sum()),
        pure=_share((majority == known)[judged].sum(), judged.sum()),
        recall=_share(sum(scene.found for scene in measured), sum(scene.edges for scene in measured)),
        miou=mean_iou(np.sum([scene.table for scene in measured], axis=0)),
        outside=_share(sum(scene.outside for scene in measured), sum(scene.points for scene in measured)),
    )


def mean_iou(table: I64) -> float:
    """The mean IoU of counts i64[C,C+1] over the classes that occur; see `Measured.table`."""
    hits = np.diagonal(table).astype(np.float64)
    union = table.sum(axis=1) + table[:, :-1].sum(axis=0) - hits
    occurs = union > 0
    return float((hits[occurs] / union[occurs]).mean()) if occurs.any() else np.nan


def _votes(unit: I32, label: U8, count: int, classes: int) -> tuple[I64, I64, I64]:
    """`known`, `majority` and `table` of `Measured`; of equally frequent classes the first wins."""
    judged = label != IGNORE
    inside = judged & (unit >= 0)
    pairs, frequency = np.unique(unit[inside].astype(np.int64) * classes + label[inside], return_counts=True)
    owner, true = pairs // classes, pairs % classes
    # by unit, then by falling frequency; the sort is stable, so that the first class wins a tie
    order = np.lexsort((-frequency, owner))
    first = order[np.unique(owner[order], return_index=True)[1]]
    majority, given = np.zeros(count, np.int64), np.full(count, classes, np.int64)
    majority[owner[first]], given[owner[first]] = frequency[first], true[first]
    known = np.bincount(unit[inside], minlength=count)
    table = np.zeros((classes, classes + 1), np.int64)
    np.add.at(table, (true, given[owner]), frequency)
    table[:, classes] += np.bincount(label[judged & (unit < 0)], minlength=classes)
    return known, majority, table


def _areas(xyz: F32, unit: I32, count: int, cell: float) -> F64:
    """Square metres of every unit, f64[U]: the cubes of side `cell` that its points occupy, times the area of a side."""
    if count == 0:
        return np.zeros(0)
    place = np.floor(xyz.astype(np.float64) / cell).astype(np.int64)
    place -= place.min(axis=0)
    span = place.max(axis=0) + 1
    # without wrapping: cells first, then pairs of cell and unit
    cells = np.unique((place[:, 0] * span[1] + place[:, 1]) * span[2] + place[:, 2], return_inverse=True)[1]
    occupied = np.unique(unit.astype(np.int64) * (int(cells.max()) + 1) + cells)
    number: I64 = np.bincount(occupied // (int(cells.max()) + 1), minlength=count)
    return np.asarray(number * cell**2, np.float64)


def _near(xyz: F32, edge: Bool, border: Bool, reach: float) -> int:
    """How many points of `edge` have a point of `border` within `reach` metres."""
    missing = edge & ~border
    found = int(np.count_nonzero(edge & border))
    if not missing.any() or not border.any():
        return found
    distance = cKDTree(xyz[border]).query(xyz[missing], distance_upper_bound=reach)[0]
    return found + int(np.isfinite(distance).sum())


def _share(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole > 0 else np.nan
