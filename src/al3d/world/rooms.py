"""Procedural rooms with the 13 S3DIS classes, scanned from a few standpoints and written in the official raw layout."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from al3d.files import whole_folder
from al3d.progress import track
from al3d.rng import generator
from al3d.types import F64, I64
from al3d.world.layouts import LAYOUTS
from al3d.world.scanner import OVERSAMPLING, lit, scan, standpoints
from al3d.world.shapes import Cloud, sample_pieces

#: Raised whenever the same options give other rooms.
VERSION = 1
#: Every fourth room belongs to area 5, the usual validation area; the others take turns.
VAL_AREA, TRAIN_AREAS = 5, (1, 2, 3, 4, 6)
TRAIN_KINDS = (
    "office", "hallway", "conferenceRoom", "office", "storage", "lounge", "office", "hallway", "WC",
    "office", "hallway", "copyRoom", "office", "pantry", "hallway", "storage", "conferenceRoom", "lounge",
)  # fmt: skip
VAL_KINDS = ("office", "hallway", "lounge", "storage", "conferenceRoom", "WC", "office", "hallway", "copyRoom", "office", "pantry", "hallway")
#: Rooms stand on a grid of this pitch in metres, so that none overlap.
PITCH = (19.0, 8.5)
#: Square metres of surface that get the asked number of points; larger rooms get more, within limits.
TYPICAL_AREA = 190.0
#: Pieces with fewer visible points than this are left out.
FEWEST_POINTS = 5


@dataclass(frozen=True)
class RoomPlan:
    """Which room is number `index`: its area, kind and name, and the corner f64[3] where it stands in the area's building."""

    index: int
    area: int
    kind: str
    name: str
    corner: tuple[float, float, float]

    @property
    def folder(self) -> Path:
        """The room's folder inside the data set's root."""
        return Path(f"Area_{self.area}") / self.name


def plan(rng: int, index: int) -> RoomPlan:
    """The plan of room `index`; it does not depend on how many rooms there are."""
    area, kind, place = _turn(index)
    same = sum(_turn(other)[:2] == (area, kind) for other in range(index + 1))
    building = generator(rng, "rooms", "building", area).uniform(-30, 30, 3) * (1, 1, 0.05)
    step = np.array([place % 3, place // 3]) * PITCH
    x, y, z = (building + [step[0], step[1], 0.0]).round(3).tolist()
    return RoomPlan(index, area, kind, f"{kind}_{same}", (x, y, z))


def make_room(rng: int, index: int, points: int) -> tuple[list[str], Cloud]:
    """Class names of the pieces, and the scanned points in the building's coordinates; colours 0..1.

    A room of `TYPICAL_AREA` gets `points` points, others between 0.5 and 1.6 times as many, after their surface.
    """
    what = plan(rng, index)
    draw = generator(rng, "rooms", index)
    room = LAYOUTS[what.kind](draw)
    pieces = room.finished()
    area = sum(surface.area() for piece in pieces for surface in piece.surfaces)
    wanted = int(points * np.clip(area / TYPICAL_AREA, 0.5, 1.6))
    density = OVERSAMPLING * wanted / area
    cloud = sample_pieces(pieces, density, draw)
    size = np.array([room.length, room.width, room.height])
    cloud = lit(cloud, np.array(room.lights), size, draw)
    places = standpoints(room.free_grid(), int(np.clip(2 + room.length * room.width / 9, 3, 6)), draw)
    cloud = scan(cloud, places, wanted, density**-0.5, draw)
    shifted = (cloud.xyz + np.array(what.corner)).astype(np.float32)
    return [piece.kind for piece in pieces], Cloud(shifted, cloud.normal, cloud.color, cloud.piece)


def write_room(root: Path, rng: int, index: int, points: int) -> None:
    """Write one room as `Area_k/kind_n/Annotations/class_i.txt`, rows `x y z r g b` in metres and 0..255."""
    kinds, cloud = make_room(rng, index, points)
    folder = root / plan(rng, index).folder / "Annotations"
    folder.mkdir(parents=True)
    order: I64 = np.argsort(cloud.piece, kind="stable")
    ends = np.cumsum(np.bincount(cloud.piece, minlength=len(kinds)))
    rows = np.concatenate([cloud.xyz, np.rint(cloud.color * 255)], axis=1).astype(np.float64)[order]
    instances: Counter[str] = Counter()
    for kind, own in zip(kinds, np.split(rows, ends[:-1]), strict=True):
        if len(own) >= FEWEST_POINTS:
            instances[kind] += 1
            (folder / f"{kind}_{instances[kind]}.txt").write_text(_text(own), encoding="ascii")


def write_rooms(root: Path, scenes: int = 24, rng: int = 1, points: int = 60_000, n_jobs: int = -1, quiet: bool = False) -> None:
    """Write `scenes` rooms of about `points` points each under `root`, all of them or none.

    Room i is the same for any number of scenes and of processes (`n_jobs`, -1: all cores). Every fourth room is in area 5.
    Raises: ValueError for fewer than 2 scenes (one to train, one to validate) or fewer than 1000 points; FileExistsError when
    `root` holds something already.
    """
    if scenes < 2 or points < 1000:
        raise ValueError(f"scenes={scenes}, points={points}: ask for at least 2 scenes (train and val) of at least 1000 points")
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FileExistsError(f"{root} holds something already: name a new folder, or delete this one first")
    with whole_folder(root) as temporary:
        jobs = (delayed(write_room)(temporary, rng, index, points) for index in range(scenes))
        done = Parallel(n_jobs=min(n_jobs, scenes) if n_jobs > 0 else n_jobs, return_as="generator_unordered")(jobs)
        for _ in track(done, f"making {scenes} rooms", scenes, quiet):
            pass


def _turn(index: int) -> tuple[int, str, int]:
    """Area, kind, and the number of earlier rooms in the same area."""
    if index % 4 == 1:
        number = index // 4
        return VAL_AREA, VAL_KINDS[number % len(VAL_KINDS)], number
    number = index - (index + 2) // 4
    return TRAIN_AREAS[number % len(TRAIN_AREAS)], TRAIN_KINDS[number % len(TRAIN_KINDS)], number // len(TRAIN_AREAS)


def _text(rows: F64) -> str:
    template = "%.3f %.3f %.3f %d %d %d\n" * len(rows)
    return template % tuple(rows.ravel().tolist())
