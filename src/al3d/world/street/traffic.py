"""What moves in the street: cars in both directions, riders, walkers; where each is at a time, for any time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from al3d import rng as random
from al3d.types import F64
from al3d.world.street import vehicles
from al3d.world.street.parts import Shape, pose_at
from al3d.world.street.road import STEP, Road, standing
from al3d.world.street.town import Builder


@dataclass(frozen=True)
class Stream:
    """Objects that follow each other along the road, all at the same pace, so that they never meet.

    `lateral` is the distance to the left of the middle of the road, `speed` in m/s along it, `gap` the mean metres between two places of
    the stream, `filled` the share of places taken, `kinds` the builders and their shares; `guest`, if any, is sure to come at place 0.
    """

    name: str
    lateral: float
    speed: float
    gap: float
    filled: float
    kinds: tuple[tuple[Builder, float], ...]
    guest: Builder | None = None


@dataclass(frozen=True, eq=False)
class Mover:
    """A moving object now: its stream and place (a name that stays), its bodies in world coordinates, its speed in m/s."""

    name: tuple[int, int]
    shape: Shape
    speed: float


def pace(key: random.Key) -> float:
    """The ego vehicle's speed in m/s."""
    return float(random.generator(*key, "pace").uniform(4.5, 11.0))


def streams_of(key: random.Key, road: Road, guest: Builder | None) -> tuple[Stream, ...]:
    """The streams of the drive; the first one is the ego vehicle's own lane. A `guest` rides towards the ego vehicle."""
    rng = random.generator(*key, "streams")
    own = pace(key)
    motors: tuple[tuple[Builder, float], ...] = ((vehicles.car, 0.91), (vehicles.truck, 0.05), (vehicles.bus, 0.025), (vehicles.motorcyclist, 0.015))
    walkers, riders = ((vehicles.person, 1.0),), ((vehicles.bicyclist, 1.0),)
    kerb = road.lane + 0.15
    streams = [
        Stream("own", -0.38 * road.lane, own, float(rng.uniform(35, 80)), 0.28, motors),
        Stream("oncoming", 0.55 * road.lane, -float(rng.uniform(0.8, 1.2)) * own, float(rng.uniform(35, 80)), 0.35, motors),
        Stream("riders", -kerb + 0.45, float(rng.uniform(3, 5)), 90.0, 0.13, riders),
        Stream("riders back", kerb - 0.45, -float(rng.uniform(3, 5)), 60.0, 0.09, riders, guest),
    ]
    for number, side in enumerate((1.0, -1.0)):
        walk = kerb + float((road.edges[:, number, 2] - road.edges[:, number, 1]).max())  # the same for any length of road
        for way in (1.0, -1.0):
            streams.append(Stream(f"walk {side} {way}", side * (walk - 0.9 + 0.35 * way), way * float(rng.uniform(0.9, 1.5)), 55.0, 0.12, walkers))
    return tuple(streams)


def moving(key: random.Key, streams: tuple[Stream, ...], road: Road, place: float, time: float, reach: float) -> list[Mover]:
    """Everything that moves within `reach` metres along the road of `place` at `time` seconds, but for the ego vehicle."""
    found = []
    for number, stream in enumerate(streams):
        shift = stream.speed * time
        first, last = (int(np.floor((place - shift + side * reach) / stream.gap)) for side in (-1, 1))
        for rank in range(first, last + 1):
            rng = random.generator(*key, "mover", stream.name, rank)
            start = (rank + rng.uniform(0.1, 0.9)) * stream.gap
            s = start + shift
            own = stream.name == "own" and abs(start) < 14
            guest = stream.guest if rank == 0 else None
            if (rng.random() >= stream.filled and guest is None) or own or abs(s - place) > reach or not 0 < (s - road.start) < len(road.x) * STEP - 1:
                continue
            builder = guest or stream.kinds[int(rng.choice(len(stream.kinds), p=[share for _, share in stream.kinds]))][0]
            found.append(Mover((number, rank), builder(rng).at(_pose(road, s, stream)), stream.speed))
    return found


def _pose(road: Road, s: float, stream: Stream) -> F64:
    lateral = stream.lateral + (_bay(road, s, stream.lateral) if abs(stream.lateral) > road.lane + 0.15 else 0.0)
    x, y, z, heading = standing(road, s, lateral)
    return pose_at(x, y, z, heading if stream.speed > 0 else heading + np.pi)


def _bay(road: Road, s: float, lateral: float) -> float:
    """How far a parking bay pushes the sidewalk outwards, to the side of `lateral`; walkers swerve over some metres."""
    row = int((s - road.start) / STEP)
    kerb = road.edges[max(row - 8, 0) : row + 9, 0 if lateral > 0 else 1, 1] - road.lane - 0.15
    return float(np.copysign(np.where(kerb < 10, kerb, 0.0).mean(), lateral))
