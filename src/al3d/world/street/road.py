"""The ground of a street: a winding road with its cross-section, as tables along the road that compiled code looks up."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from al3d import rng as random
from al3d.types import F64, U8
from al3d.world.sweep import CATEGORIES

#: Metres of road between two rows of the tables; of a block, the part of the street that is furnished at once; of road before the start.
STEP, BLOCK, BEFORE = 0.5, 24.0, 192.0
KERB = 0.12
ROAD, MARKING, PARKING, SIDEWALK = (CATEGORIES.index(name) for name in ("road", "lane-marking", "parking", "sidewalk"))
OTHER_GROUND, TERRAIN = CATEGORIES.index("other-ground"), CATEGORIES.index("terrain")
ZONES = ("gardens", "row", "park", "field", "shops")
#: What lies along the road in each style of drive: shares of `ZONES`, lane width, sidewalk width, shares of parking and of side roads.
STYLES: tuple[tuple[tuple[float, ...], tuple[float, float], tuple[float, float], float, float], ...] = (
    ((0.58, 0.07, 0.23, 0.10, 0.02), (3.0, 3.6), (2.0, 3.0), 0.12, 0.12),
    ((0.27, 0.43, 0.20, 0.02, 0.08), (3.0, 3.6), (2.4, 3.6), 0.20, 0.14),
    ((0.25, 0.0, 0.45, 0.30, 0.0), (3.2, 3.8), (1.6, 2.4), 0.05, 0.08),
)


class Block(NamedTuple):
    """What a block of the street is: the zone of its left and right side, whether cars park there, and whether a side road crosses."""

    zones: tuple[str, str]
    parking: tuple[bool, bool]
    crossing: bool
    driveway: tuple[float, float]


class Road(NamedTuple):
    """Rows every `STEP` metres from `start`; sides are 0 left, 1 right.

    `x`, `y`, `z`, `heading` f64[n] of the centre line; `edges` f64[n,2,4] distances from it where road, parking, sidewalk and what follows it
    end; `extra` u8[n,2] the category of what follows; `bank` f64[n,2] the slope beside the sidewalk; `zebra` u8[n]; `lane` its width in metres.
    """

    start: float
    x: F64
    y: F64
    z: F64
    heading: F64
    edges: F64
    extra: U8
    bank: F64
    zebra: U8
    lane: float


def block_of(key: random.Key, index: int) -> Block:
    """What block `index` of the drive `key` is; block 0 begins where the drive does. Blocks of a zone, three in a row, look alike."""
    style = STYLES[int(random.generator(*key, "style").choice(len(STYLES), p=[0.55, 0.25, 0.20]))]
    zone, own = random.generator(*key, "zone", index // 3), random.generator(*key, "kind", index)
    left, right = (ZONES[int(zone.choice(len(ZONES), p=style[0]))] for _ in range(2))
    parking = tuple(bool(zone.random() < style[3]) for _ in range(2))
    crossing = bool(own.random() < style[4])
    drives = tuple(float(own.uniform(4, BLOCK - 4)) if own.random() < 0.35 and kind == "gardens" and not crossing else -1.0 for kind in (left, right))
    return Block((left, right), (parking[0], parking[1]), crossing, (drives[0], drives[1]))


def road_of(key: random.Key, length: float) -> Road:
    """The road of the drive `key` from `BEFORE` metres behind its start to `length` metres ahead; a longer one begins the same."""
    style = STYLES[int(random.generator(*key, "style").choice(len(STYLES), p=[0.55, 0.25, 0.20]))]
    rng = random.generator(*key, "road")
    count = int((BEFORE + length) / STEP) + 2
    s: F64 = -BEFORE + STEP * np.arange(count, dtype=np.float64)
    waves = rng.uniform(170, 480, 3)
    bends = rng.uniform(0.1, 1.0) * np.array([0.5, 0.3, 0.2]) * waves / (2 * np.pi * 110)
    heading = (bends * np.sin(2 * np.pi * s[:, None] / waves + rng.uniform(0, 2 * np.pi, 3))).sum(axis=1)
    hills = rng.uniform(90, 300, 2)
    z = (rng.uniform(0.008, 0.03, 2) * hills / (2 * np.pi) * np.sin(2 * np.pi * s[:, None] / hills + rng.uniform(0, 2 * np.pi, 2))).sum(axis=1)
    x, y = (np.concatenate([[0.0], np.cumsum(STEP * part[:-1])]).astype(np.float64) for part in (np.cos(heading), np.sin(heading)))
    origin = int(BEFORE / STEP)
    bank = 0.03 + 0.09 * np.sin(2 * np.pi * s[:, None] / rng.uniform(60, 160, 2) + rng.uniform(0, 2 * np.pi, 2))
    lane, wide = float(rng.uniform(*style[1])), tuple(rng.uniform(*style[2], 2).tolist())
    edges, extra, zebra = _section(key, s, lane, wide)
    return Road(-BEFORE, x - x[origin], y - y[origin], z - z[origin], heading, edges, extra, bank, zebra, lane)


def _section(key: random.Key, s: F64, lane: float, wide: tuple[float, ...]) -> tuple[F64, U8, U8]:
    """The cross-section in every row: edges f64[n,2,4], extra u8[n,2], zebra u8[n]."""
    edges, extra, zebra = np.empty((len(s), 2, 4)), np.full((len(s), 2), OTHER_GROUND, np.uint8), np.zeros(len(s), np.uint8)
    number = np.floor(s / BLOCK).astype(np.int64)
    for index in np.unique(number):
        rows, block = np.flatnonzero(number == index), block_of(key, int(index))
        along = s[rows] - index * BLOCK
        for side in range(2):
            bay = 2.1 if block.parking[side] and not block.crossing else 0.0
            edges[rows, side] = np.cumsum([lane + 0.15, bay, wide[side], 2.0 if block.zones[side] == "shops" else 0.0])
            if block.zones[side] == "shops" and index % 6 < 3:
                extra[rows, side] = SIDEWALK
            if block.driveway[side] >= 0:
                drive = rows[np.abs(along - block.driveway[side]) < 1.6]
                edges[drive, side, 3] += 8.0
                extra[drive, side] = PARKING if (index + side) % 3 else OTHER_GROUND
        if block.crossing:
            away = np.abs(along - BLOCK / 2)
            edges[rows[away < 3.4]] = 400.0
            zebra[rows[(along > 5) & (along < 7.5)]] = 1
    return edges, extra, zebra


@numba.njit(cache=True)
def locate(road: Any, x: float, y: float, s: float) -> tuple[float, float]:  # pragma: no cover
    """The metres along the road and to its left of a place, searched from a guess `s`."""
    last = road.x.shape[0] - 2
    d = 0.0
    for _ in range(6):
        place = (s - road.start) / STEP
        i = min(max(int(place), 0), last)
        part = place - i
        heading = road.heading[i] + part * (road.heading[i + 1] - road.heading[i])
        cos, sin = np.cos(heading), np.sin(heading)
        dx, dy = x - road.x[i] - part * (road.x[i + 1] - road.x[i]), y - road.y[i] - part * (road.y[i + 1] - road.y[i])
        forward = dx * cos + dy * sin
        d = dy * cos - dx * sin
        s += forward
        if abs(forward) < 0.01:
            break
    return s, d


@numba.njit(cache=True)
def height(road: Any, s: float, d: float) -> float:  # pragma: no cover
    """The height of the ground in metres at `s` along and `d` to the left of the road."""
    place = (s - road.start) / STEP
    i = min(max(int(place), 0), road.x.shape[0] - 2)
    part = min(max(place - i, 0.0), 1.0)
    level = road.z[i] + part * (road.z[i + 1] - road.z[i])
    side, away = (0, d) if d > 0 else (1, -d)
    kerb = road.edges[i, side, 1]
    if away <= kerb:
        return float(level - 0.02 * min(away, 6.0))
    level += -0.02 * min(kerb, 6.0) + KERB * min((away - kerb) / 0.05, 1.0)
    beyond = away - road.edges[i, side, 2]
    if beyond <= 0:
        return float(level)
    slope = road.bank[i, side] + part * (road.bank[i + 1, side] - road.bank[i, side])
    rough = min(beyond, 2.0) * 0.012
    return float(level + slope * min(beyond, 14.0) + rough * (np.sin(0.9 * s + 0.4 * d) + np.sin(1.3 * d - 0.5 * s)))


@numba.njit(cache=True)
def surface(road: Any, s: float, d: float) -> int:  # pragma: no cover
    """The category of the ground at `s` along and `d` to the left of the road."""
    i = min(max(int((s - road.start) / STEP), 0), road.x.shape[0] - 2)
    side, away = (0, d) if d > 0 else (1, -d)
    if away < road.edges[i, side, 0]:
        if road.edges[i, side, 0] > 100.0:
            return ROAD
        if road.zebra[i] == 1 and away < road.lane - 0.3 and (d % 1.0) < 0.5:
            return MARKING
        if away < 0.07 and (s % 9.0) < 3.5 and road.lane > 3.0:
            return MARKING
        if abs(away - road.lane + 0.1) < 0.06 and road.lane > 3.3:
            return MARKING
        return ROAD
    if away < road.edges[i, side, 1]:
        return PARKING
    if away < road.edges[i, side, 2]:
        return SIDEWALK
    return int(road.extra[i, side]) if away < road.edges[i, side, 3] else TERRAIN


@numba.njit(cache=True)
def standing(road: Any, s: float, d: float) -> tuple[float, float, float, float]:  # pragma: no cover
    """Where something at `s` along and `d` to the left of the road stands: x, y, z, and the road's heading there."""
    place = (s - road.start) / STEP
    i = min(max(int(place), 0), road.x.shape[0] - 2)
    part = place - i
    heading = road.heading[i] + part * (road.heading[i + 1] - road.heading[i])
    x = road.x[i] + part * (road.x[i + 1] - road.x[i]) - d * np.sin(heading)
    y = road.y[i] + part * (road.y[i + 1] - road.y[i]) + d * np.cos(heading)
    return x, y, height(road, s, d), heading
