"""Furnishes the street block by block: houses, gardens, plants, poles and parked vehicles, each at its place along the road."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from al3d import rng as random
from al3d.world.street import fixtures, vehicles, zones
from al3d.world.street.parts import Shape
from al3d.world.street.road import BLOCK, Block, Road, block_of
from al3d.world.street.site import Placed, Site

Builder = Callable[[np.random.Generator], Shape]
#: Rare objects of which every drive shows one near its start, by the drive's index: so a dozen drives show every category.
GUESTS: tuple[tuple[str, Builder], ...] = (
    ("bay", vehicles.motorcycle), ("bay", vehicles.truck), ("walk", vehicles.bicycle), ("bay", vehicles.trailer), ("walk", vehicles.person),
    ("field", vehicles.digger), ("bay", vehicles.tractor), ("works", fixtures.cone), ("bay", vehicles.bus), ("walk", fixtures.clutter),
    ("road", vehicles.bicyclist), ("road", vehicles.motorcyclist),
)  # fmt: skip
#: Who furnishes what lies beside the sidewalk.
BESIDE = {"gardens": zones.gardens, "row": zones.row, "park": zones.park, "field": zones.field, "shops": zones.shops}
#: Categories whose objects are counted one by one.
THINGS = (
    "car", "bicycle", "motorcycle", "truck", "bus", "trailer", "construction-vehicle", "other-vehicle", "person", "bicyclist", "motorcyclist",
    "barrier", "traffic-cone",
)  # fmt: skip


def guest_of(index: int, where: str) -> Builder | None:
    """The guest of drive `index` if it belongs there: "road" for those that move."""
    place, builder = GUESTS[index % len(GUESTS)]
    return builder if place == where else None


def furnished(key: random.Key, index: int, road: Road, number: int) -> list[Placed]:
    """What stands in block `number` of the drive; `index` is the drive's, for its guest."""
    block = block_of(key, number)
    placed: list[Placed] = []
    for side in range(2):
        site = Site(road, number, side, random.generator(*key, "site", number, side))
        if block.crossing:
            zones.corner(site)
        else:
            _side(site, block)
        if number == 1 and side == 1:
            _guest(site, index)
        placed += site.placed
    return placed


def _side(site: Site, block: Block) -> None:
    _parked(site, block.parking[site.side])
    _street_furniture(site)
    zone = block.zones[site.side]
    BESIDE[zone](site, block.driveway[site.side])


def _parked(site: Site, bay: bool) -> None:
    rng = site.rng
    for along in np.arange(3.2, BLOCK - 2, 6.0):
        if not (rng.random() < 0.5 if bay else rng.random() < 0.035):
            continue
        out = site.edge(along, 0) + (1.05 if bay else 0.8)
        pick = rng.random()
        shape = (vehicles.car if pick < 0.945 else vehicles.truck if pick < 0.98 else vehicles.trailer)(rng)
        site.put(shape, along + rng.uniform(-0.3, 0.3), out + rng.uniform(-0.12, 0.12), 180.0 * (rng.random() < 0.85) + rng.normal(0, 1.5))


def _street_furniture(site: Site) -> None:
    rng = site.rng
    kerb, walk = site.edge(12, 1), site.edge(12, 2)
    if (site.block + site.side) % 4 == 0:
        site.put(fixtures.lamp(rng) if rng.random() < 0.75 else fixtures.mast(rng), rng.uniform(1, BLOCK - 1), kerb + rng.uniform(0.4, 0.9), -90.0)
    if rng.random() < 0.14:
        site.put(fixtures.sign(rng), rng.uniform(2, BLOCK - 2), kerb + 0.5, 180.0 + rng.normal(0, 8))
    if rng.random() < 0.03:
        for along in np.arange(rng.uniform(2, 8), rng.uniform(10, 20), 1.6):
            site.put(fixtures.bollard(rng), along, kerb + 0.25)
    if rng.random() < 0.16:
        site.put(fixtures.clutter(rng), rng.uniform(2, BLOCK - 2), walk - 0.4, 90.0)
    if rng.random() < 0.13:
        site.put(vehicles.bicycle(rng), rng.uniform(2, BLOCK - 2), walk - 0.4, rng.normal(0, 12))
    if rng.random() < 0.03:
        site.put(vehicles.motorcycle(rng), rng.uniform(2, BLOCK - 2), kerb + 0.6, rng.normal(60, 12))
    if rng.random() < 0.03:
        site.put(vehicles.person(rng), rng.uniform(2, BLOCK - 2), rng.uniform(kerb + 0.5, walk - 0.3), rng.uniform(0, 360))
    if rng.random() < 0.02:
        _works(site, rng.uniform(5, 15))


def _works(site: Site, along: float) -> None:
    rng, kerb = site.rng, site.edge(along, 0)
    for k in range(int(rng.integers(3, 7))):
        site.put(fixtures.cone(rng), along + 1.5 * k, kerb - 0.3 - 0.15 * k)
    site.put(fixtures.barrier(rng, float(rng.uniform(2, 5))), along + 4.0, kerb + 0.7)


def _guest(site: Site, index: int) -> None:
    rng, (where, builder) = site.rng, GUESTS[index % len(GUESTS)]
    along = float(rng.uniform(1, 6))
    if where == "road":
        return
    if where == "bay":
        site.put(builder(rng), along, site.edge(along, 1) + 1.3, 180.0)
    elif where == "walk":
        site.put(builder(rng), along, site.edge(along, 2) - 0.5, rng.uniform(-15, 15))
    elif where == "field":
        site.put(builder(rng), along, site.edge(along, 2) + 3.0, rng.uniform(0, 360))
    else:
        _works(site, along)
