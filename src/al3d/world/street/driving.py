"""A drive through a procedural street: the ego vehicle follows its lane, and its scanner and cameras look around."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from al3d import rng as random
from al3d.types import F64, I32, Bool
from al3d.world.street import pictures, scanner, town
from al3d.world.street.parts import joined, turned
from al3d.world.street.road import BLOCK, Road, road_of, standing
from al3d.world.street.sensors import Sensor
from al3d.world.street.site import Placed
from al3d.world.street.stage import Stage, staged
from al3d.world.street.town import THINGS, furnished
from al3d.world.street.traffic import Mover, moving, pace, streams_of
from al3d.world.sweep import CATEGORIES, Shot, Sweep

THING = np.isin(CATEGORIES, THINGS)


def drive(rng: int, index: int, sensor: Sensor, frames: int, shots: bool = True) -> Iterator[Sweep]:
    """The sweeps of drive `index` of the world `rng`, one after the other, with pictures when `shots`.

    A drive is the same whatever else is generated, in any process; one of more frames begins with the sweeps of a shorter one. The points
    of HDL64 come ring by ring, the top beam first, each ring anticlockwise from straight ahead; those of HDL32 column by column clockwise
    from the left, the lowest beam first, and firings without echo are kept as points of the category "noise" at the scanner.
    Raises: ValueError when `frames` is below 1.
    """
    if frames < 1:
        raise ValueError(f"a drive needs at least one frame, got frames = {frames}")
    return _drive((rng, "street", index), index, sensor, frames, shots)


def _drive(key: random.Key, index: int, sensor: Sensor, frames: int, shots: bool) -> Iterator[Sweep]:
    speed = pace(key)
    road = road_of(key, speed * frames / sensor.rate + 192.0)
    streams = streams_of(key, road, town.guest_of(index, "road"))
    blocks: dict[int, list[Placed]] = {}
    numbers: dict[tuple[int, ...], int] = {}
    azimuth, lift = random.generator(*key, "sun").uniform((0, 35), (360, 65))
    sun = turned(0.0, -lift, azimuth)[:, 0]
    for frame in range(frames):
        time = frame / sensor.rate
        along = speed * time
        window = range(int(np.floor((along - 110) / BLOCK)), int(np.floor((along + 130) / BLOCK)) + 1)
        blocks = {number: blocks.get(number) or furnished(key, index, road, number) for number in window}
        standing_objects = [placed for number in window for placed in blocks[number]]
        movers = moving(key, streams, road, along, time, 110.0)
        stage, named, in_motion = _scene(standing_objects, movers, numbers)
        pose = ego_pose(key, road, streams[0].lateral, along, frame, sensor.mount)
        echoes = scanner.turn(road, stage, sensor, pose, along, speed, random.generator(*key, sensor.name, "frame", frame))
        instance = np.where(THING[echoes.category], named[echoes.owner], 0).astype(np.int32)
        seen = _shots(road, stage, sensor, pose, along, sun, time) if shots else ()
        yield Sweep(echoes.xyz, echoes.intensity, echoes.ring, echoes.category, in_motion[echoes.owner], instance, pose, time, seen)


def _shots(road: Road, stage: Stage, sensor: Sensor, pose: F64, along: float, sun: F64, time: float) -> tuple[Shot, ...]:
    pairs = ((lens.name, lens.camera()) for lens in sensor.cameras)
    return tuple(Shot(name, pictures.taken(road, stage, camera, pose, along, sun).image, camera, time) for name, camera in pairs)


def _scene(fixed: list[Placed], movers: list[Mover], numbers: dict[tuple[int, ...], int]) -> tuple[Stage, I32, Bool]:
    """The stage of a frame; per object its instance number and whether it moves. `numbers` remembers who has which number."""
    shapes = [placed.shape for placed in fixed] + [mover.shape for mover in movers]
    names = [(0, *placed.name) for placed in fixed] + [(1, *mover.name) for mover in movers]
    owner = np.repeat(np.arange(len(shapes), dtype=np.int32), [len(shape) for shape in shapes])
    named = np.zeros(len(shapes) + 1, np.int32)
    for row, (shape, name) in enumerate(zip(shapes, names, strict=True)):
        if THING[shape.category[0]]:
            named[row] = numbers.setdefault(name, len(numbers) + 1)
    in_motion = np.zeros(len(shapes) + 1, np.bool_)
    in_motion[len(fixed) : len(shapes)] = True
    return staged(joined(shapes), owner), named, in_motion


def ego_pose(key: random.Key, road: Road, lateral: float, along: float, frame: int, mount: float) -> F64:
    """The scanner's pose f64[4,4] in the world: on the road, pitched with its slope and rocking a little around the tilt in which it was mounted."""
    x, y, z, heading = standing(road, along, lateral)
    rise = (standing(road, along + 1.4, lateral)[2] - standing(road, along - 1.4, lateral)[2]) / 2.8
    rock = random.generator(*key, "rock", frame).normal(0, (0.12, 0.15, 0.008)) + random.generator(*key, "tilt").normal(0, (0.5, 0.6, 0.0))
    pose = np.eye(4)
    pose[:3, :3] = turned(float(rock[0]), float(-np.degrees(np.arctan(rise)) + rock[1]), float(np.degrees(heading)))
    pose[:3, 3] = x, y, z + mount + rock[2]
    return pose
