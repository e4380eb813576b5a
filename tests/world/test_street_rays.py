"""Ray casting in the street against slow twins: rays that are walked along in small steps through plain formulas of the bodies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.rng import generator
from al3d.world.street import fixtures, vehicles
from al3d.world.street.parts import BALL, BOX, CLOUD, DRUM, HOOP, Parts, joined, pose_at, turned
from al3d.world.street.rays import GROUND, NOTHING, cast
from al3d.world.street.road import height, locate, road_of, standing, surface
from al3d.world.street.stage import staged
from al3d.world.sweep import CATEGORIES

ROAD = road_of((1, "test"), 200.0)
STEP = 0.004


def inside(kind, shape, place):
    """Whether points f64[N,3] of a body's unit frame lie in it."""
    x, y, z = place.T
    flat = np.hypot(x, y)
    if kind == BALL:
        return (place**2).sum(axis=1) <= 1
    if kind == BOX:
        shrink = (z + 1) / 2
        return (np.abs(z) <= 1) & (np.abs(x) <= 1 - shape[0] * shrink) & (np.abs(y) <= 1 - shape[1] * shrink)
    if kind == DRUM:
        return (np.abs(z) <= 1) & (flat <= 1 - shape[0] * (z + 1) / 2)
    return (np.abs(z) <= 1) & (flat <= 1) & (flat >= shape[0])


def walked(shape, origin, ray, reach):
    """The first distance at which a ray is inside a body, and which; by walking."""
    t = np.arange(0.05, reach, STEP)
    best = (np.inf, NOTHING)
    for number in range(len(shape)):
        inverse = np.linalg.inv(np.vstack([shape.matrix[number], [0, 0, 0, 1]]))
        place = (origin + t[:, None] * ray) @ inverse[:3, :3].T + inverse[:3, 3]
        hit = np.flatnonzero(inside(shape.kind[number], shape.shape[number], place))
        if len(hit) and t[hit[0]] < best[0]:
            best = (t[hit[0]], number)
    return best


@settings(max_examples=5, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_rays_meet_what_a_walk_along_them_meets(seed):
    rng = np.random.default_rng(seed)
    parts = Parts("car")
    for _ in range(14):
        kind = int(rng.choice([BOX, BALL, DRUM, HOOP]))
        shape = (float(rng.uniform(0.2, 0.8)), float(rng.uniform(0, 0.8)))
        parts.add(kind, rng.uniform((-4, -4, 20), (4, 4, 26)), rng.uniform(0.3, 1.2, 3), "metal", (0.5, 0.5, 0.5), shape, tuple(rng.uniform(0, 360, 3)))
    shape = parts.built()
    stage = staged(shape, np.arange(len(shape)))
    origin = np.array([rng.uniform(-6, 6), -7.0, 23.0])
    rays = rng.uniform((-4, -4, 20), (4, 4, 26), (40, 3)) - origin
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    hits = cast(ROAD, stage, origin, rays, 16.0, 0.0, 1)
    for row, ray in enumerate(rays):
        distance, body = walked(shape, origin, ray, 16.0)
        if body == NOTHING or hits.body[row] == NOTHING:  # a ray may pass a corner between two steps of the walk
            assert body == NOTHING or hits.body[row] >= 0
            if body == NOTHING and hits.body[row] >= 0:
                again = walked(shape, origin + (hits.distance[row] - 0.01) * ray, ray, 0.1)
                assert again[1] != NOTHING or hits.slant[row] < 0.5
            continue
        assert hits.distance[row] <= distance + 1e-9
        assert hits.distance[row] > distance - 0.3
        if hits.distance[row] > distance - 1.01 * STEP:
            assert abs((hits.normal[row] ** 2).sum() - 1) < 1e-9


def test_normals_look_outwards():
    parts = Parts("car")
    for x, kind in ((-6, BOX), (0, BALL), (6, DRUM)):
        parts.add(kind, (x, 0, 22), (1, 1.5, 2), "metal", (0.5, 0.5, 0.5), (0.3, 0.2), (20, 30, 40))
    shape = parts.built()
    rng = np.random.default_rng(0)
    rays = rng.normal(size=(600, 3))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    for number in range(3):
        centre = shape.matrix[number, :, 3]
        for ray in rays[:60]:
            hits = cast(ROAD, staged(shape, np.arange(3)), centre - 5 * ray, ray[None], 8.0, 0.0, 1)
            if hits.body[0] == number:
                assert (hits.normal[0] * ray).sum() < 1e-9
                assert hits.slant[0] == pytest.approx(-(hits.normal[0] * ray).sum())


def test_ground_is_met_where_it_is():
    rng = np.random.default_rng(3)
    nothing = staged(joined([]), np.zeros(0, np.int32))
    x, y, z, _ = standing(ROAD, 60.0, -1.5)
    origin = np.array([x, y, z + 1.8])
    turn, lift = rng.uniform(0, 2 * np.pi, 300), np.radians(rng.uniform(-25, -2.5, 300))
    rays = np.stack([np.cos(lift) * np.cos(turn), np.cos(lift) * np.sin(turn), np.sin(lift)], axis=1)
    hits = cast(ROAD, nothing, origin, rays, 60.0, 60.0, 0)
    seen = hits.body == GROUND
    assert seen.mean() > 0.9
    for ray, distance, category in zip(rays[seen], hits.distance[seen], hits.category[seen], strict=True):
        place = origin + distance * ray
        s, d = locate(ROAD, place[0], place[1], 60.0)
        around = [height(ROAD, s + step, d) for step in (-0.05, 0.0, 0.05)]  # the kerb ends abruptly where a parking bay begins
        assert min(around) - 0.01 < place[2] < max(around) + 0.01
        assert category == surface(ROAD, s, d)
        early = origin + np.linspace(0.02, 0.97, 60)[:, None] * distance * ray
        clear = [spot[2] - height(ROAD, *locate(ROAD, spot[0], spot[1], 60.0)) for spot in early]
        assert min(clear) > -0.15  # at most a kerb may be skipped by a grazing ray


def test_a_place_is_found_again():
    for s, d in ((0.0, 0.0), (33.3, 5.0), (120.0, -30.0), (-60.0, 12.0)):
        x, y, z, _ = standing(ROAD, s, d)
        assert locate(ROAD, x, y, s + 9) == pytest.approx((s, d), abs=0.05)
        assert z == pytest.approx(height(ROAD, s, d))


def test_leaves_let_some_rays_pass():
    parts = Parts("vegetation")
    parts.add(CLOUD, (0, 0, 24), (2, 2, 2), "leaves", (0.2, 0.4, 0.1), (0.5, 0.0))
    rays = np.tile([[0.0, 1.0, 0.0]], (20_000, 1))
    hits = cast(ROAD, staged(parts.built(), np.zeros(1, np.int32)), np.array([0.0, -5, 24]), rays, 20.0, 0.0, 9)
    assert (hits.body == NOTHING).mean() == pytest.approx(np.exp(-0.5 * 4), abs=0.01)
    depth = hits.distance[hits.body == 0] - 3
    assert depth.min() >= 0
    assert depth.max() <= 4
    assert depth.mean() == pytest.approx(2 - 4 * np.exp(-2) / (1 - np.exp(-2)), abs=0.03)


@pytest.mark.parametrize(
    ("builder", "length", "height_"),
    [
        (vehicles.car, (3.5, 5.2), (1.35, 2.05)),
        (vehicles.bus, (10, 12.6), (2.9, 3.2)),
        (vehicles.truck, (6.3, 10), (2.5, 3.7)),
        (vehicles.bicycle, (1.6, 1.9), (0.9, 1.2)),
        (vehicles.bicyclist, (1.6, 1.9), (1.6, 2.0)),
        (vehicles.motorcyclist, (1.9, 2.4), (1.5, 1.9)),
        (vehicles.person, (0.3, 1.0), (1.4, 2.0)),
        (fixtures.cone, (0.3, 0.5), (0.45, 0.8)),
    ],
)
def test_objects_have_the_size_of_the_real_ones(builder, length, height_):
    for seed in range(6):
        shape = builder(generator(seed))
        half = np.abs(shape.matrix[:, :, :3]).sum(axis=2)
        low, high = (shape.matrix[:, :, 3] - half).min(axis=0), (shape.matrix[:, :, 3] + half).max(axis=0)
        assert length[0] < high[0] - low[0] < length[1]
        assert height_[0] < high[2] < height_[1]
        assert -0.35 < low[2] < 0.08


def test_placing_turns_and_moves():
    shape = vehicles.person(generator(1))
    moved = shape.at(pose_at(3, 4, 5, np.pi / 2))
    np.testing.assert_allclose(moved.matrix[:, :, 3], shape.matrix[:, :, 3] @ turned(0, 0, 90).T + [3, 4, 5], atol=1e-12)
    assert {CATEGORIES[number] for number in shape.category} == {"person"}
