"""What lies beside the sidewalk: gardens with houses, rows of houses, shops, parks, fields and corners."""

from __future__ import annotations

import numpy as np

from al3d.world.street import fixtures, houses, vehicles
from al3d.world.street.road import BLOCK
from al3d.world.street.site import Site


def _front(site: Site, driveway: float) -> None:
    """What separates a garden from the sidewalk: a fence or a hedge with a gap for the drive."""
    rng = site.rng
    back, pick, gap = rng.uniform(0.4, 3.2), rng.random(), (driveway - 1.9, driveway + 1.9) if driveway >= 0 else (BLOCK, BLOCK)
    if pick > 0.97:
        return
    for low, high in ((0.0, min(gap[0], BLOCK)), (gap[1], BLOCK)):
        for start in np.arange(low, high - 1.0, 8.0):
            length = float(min(8.0, high - start))
            middle = start + length / 2
            if pick < 0.66:
                site.put(fixtures.fence(rng, length), middle, site.edge(middle, 2) + back)
            for along in np.arange(start + 0.8, high - 0.6, 1.8)[:4]:
                if rng.random() < 0.7:
                    shape = (
                        fixtures.tree(rng, float(rng.uniform(3.0, 6.5)), low=rng.random() < 0.5)
                        if rng.random() < 0.2
                        else fixtures.bush(rng, float(rng.uniform(0.5, 1.2)))
                    )
                    site.put(shape, along, site.edge(along, 2) + back + rng.uniform(1.3, 2.2))
            if pick > 0.36:
                site.put(fixtures.hedge(rng, length), middle, site.edge(middle, 2) + back + (0.4 if pick > 0.66 else 0.7))


def _planted(site: Site, count: float, nearest: float, farthest: float) -> None:
    """About `count` trees and bushes between two distances from the sidewalk."""
    rng = site.rng
    for _ in range(int(rng.poisson(count))):
        along, pick = rng.uniform(0, BLOCK), rng.random()
        out = site.edge(along, 2) + rng.uniform(nearest, farthest)
        if out < 60:
            shape = fixtures.tree(rng, low=pick < 0.2) if pick < 0.45 else fixtures.conifer(rng) if pick < 0.55 else fixtures.bush(rng)
            site.put(shape, along, out)


def _thicket(site: Site, away: float) -> None:
    """A strip of wild bushes and low trees along the road."""
    rng = site.rng
    for along in np.arange(0.5, BLOCK, 1.5):
        out = site.edge(along, 2) + away + rng.uniform(0.6, 2.0)
        site.put(fixtures.tree(rng, float(rng.uniform(3, 7)), low=True) if rng.random() < 0.25 else fixtures.bush(rng), along, out)


def _backdrop(site: Site) -> None:
    """Trees and hedges far behind."""
    rng = site.rng
    for along in np.arange(rng.uniform(0, 4), BLOCK, 5.0):
        if rng.random() < 0.95:
            site.put(fixtures.tree(rng, low=True), along, site.edge(along, 2) + rng.uniform(20, 34))
        if rng.random() < 0.8:
            site.put(fixtures.tree(rng, float(rng.uniform(8, 14)), low=True), along + 2.0, site.edge(along, 2) + rng.uniform(36, 54))


def gardens(site: Site, driveway: float) -> None:
    """A house behind a fence or hedge, perhaps with a drive and a garage, trees and bushes around it."""
    rng = site.rng
    _front(site, driveway)
    width, depth, back = rng.uniform(9, 14), rng.uniform(8, 11), rng.uniform(5.0, 10.0)
    middle = BLOCK / 2 + (0.0 if driveway < 0 else np.sign(BLOCK / 2 - driveway) * 2.5)
    walk = site.edge(middle, 2)
    site.put(houses.house(rng, width, depth, int(rng.integers(1, 4))), middle, walk + back)
    if driveway >= 0:
        if rng.random() < 0.6:
            site.put(houses.garage(rng), driveway, walk + back + 4.5)
        if rng.random() < 0.5:
            site.put(vehicles.car(rng), driveway, walk + back + 0.8, 90.0 + 180.0 * (rng.random() < 0.5))
    for edge in (0.2, BLOCK - 0.2):
        if rng.random() < 0.5:
            length = float(rng.uniform(6, 14))
            shape = fixtures.fence(rng, length) if rng.random() < 0.5 else fixtures.hedge(rng, length)
            site.put(shape, edge, walk + 0.6 + length / 2, 90.0)
    _planted(site, 8.0, 2.5, back)
    for along in rng.uniform(1, BLOCK - 1, 4):
        site.put(fixtures.bush(rng, 0.7), along, walk + rng.uniform(3.8, 4.8))
    _planted(site, 3.0, back + depth + 2, back + depth + 14)
    _backdrop(site)


def row(site: Site, driveway: float) -> None:
    """Houses wall to wall close to the sidewalk."""
    rng = site.rng
    floors = int(rng.integers(2, 5))
    for k in range(2):
        width = BLOCK / 2
        middle = (k + 0.5) * width
        site.put(houses.house(rng, width, rng.uniform(9, 13), floors), middle, site.edge(middle, 2) + rng.uniform(1.0, 1.6) + site.block % 3)
    if rng.random() < 0.5:
        for along in (6.0, 18.0):
            site.put(fixtures.tree(rng, float(rng.uniform(4.5, 7))), along, site.edge(along, 1) + 0.6)


def shops(site: Site, driveway: float) -> None:
    """A shop or workshop behind its forecourt."""
    rng = site.rng
    site.put(houses.hall(rng, BLOCK - rng.uniform(1, 6), rng.uniform(10, 16)), BLOCK / 2, site.edge(BLOCK / 2, 3) + 0.3)
    _planted(site, 1.0, 0.5, 2.5)


def park(site: Site, driveway: float) -> None:
    """Trees and bushes, often a thicket along the road."""
    _planted(site, 8.0, 1.0, 22.0)
    if site.rng.random() < 0.9:
        _thicket(site, float(site.rng.uniform(0.8, 8.0)))
    for _ in range(4):
        site.put(fixtures.weeds(site.rng), site.rng.uniform(0, BLOCK), site.edge(12, 2) + site.rng.uniform(0.6, 8))
    if site.rng.random() < 0.35:
        site.put(fixtures.hedge(site.rng, BLOCK), BLOCK / 2, site.edge(12, 2) + 0.7)
    elif site.rng.random() < 0.55:
        site.put(fixtures.fence(site.rng, BLOCK), BLOCK / 2, site.edge(12, 2) + 0.4)
    _backdrop(site)


def field(site: Site, driveway: float) -> None:
    """Open ground with few plants."""
    _planted(site, 1.8, 3.0, 30.0)
    if site.rng.random() < 0.85:
        _thicket(site, float(site.rng.uniform(1.5, 10.0)))
    if site.rng.random() < 0.6:
        site.put(fixtures.fence(site.rng, BLOCK), BLOCK / 2, site.edge(12, 2) + site.rng.uniform(0.4, 2.0))
    for _ in range(6):
        site.put(fixtures.weeds(site.rng), site.rng.uniform(0, BLOCK), site.edge(12, 2) + site.rng.uniform(0.6, 10))
    _backdrop(site)


def corner(site: Site) -> None:
    """A side road leaves here: signs or lights at its mouth, plants far from it."""
    rng = site.rng
    lights = rng.random() < 0.35
    for along, turn in ((6.0, 180.0), (18.0, 90.0))[: 2 if lights else 1]:
        kerb = site.edge(2.0, 1)
        site.put(fixtures.traffic_light(rng) if lights else fixtures.sign(rng), along, kerb + 0.5, turn)
    for along in (2.5, BLOCK - 2.5):
        walk = site.edge(2.0, 2)
        site.put(fixtures.hedge(rng, 10.0), along, walk + 6.0, 90.0)
        site.put(fixtures.tree(rng), along, walk + rng.uniform(3, 12))
        site.put(fixtures.tree(rng, low=True), along, walk + rng.uniform(14, 30))
