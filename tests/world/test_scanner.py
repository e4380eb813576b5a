"""Surfaces and the scanner: areas, normals, and who sees what."""

from __future__ import annotations

import numpy as np
import pytest

from al3d.world.scanner import scan, standpoints, visible
from al3d.world.shapes import Piece, Surface, ball, box, disc, plane, rod, sample_pieces, tube
from al3d.world.textures import Plain

GREY = Plain((0.5, 0.5, 0.5))
SURFACES = {
    "plane": (plane((0, 0, 0), (2, 0, 0), (0, 0, 3), GREY), 6.0),
    "disc": (disc((1, 1, 1), 0.5, GREY), np.pi / 4),
    "tube": (tube((1, 0, 0), 0.5, 2.0, GREY), 2 * np.pi),
    "rod": (rod((0, 0, 0), (1, 2, 2), 0.1, GREY), 0.6 * np.pi),
    "ball": (ball((0, 1, 0), (0.5, 0.5, 0.5), GREY), np.pi),
}


@pytest.mark.parametrize(("surface", "area"), SURFACES.values(), ids=SURFACES)
def test_areas_counts_and_normals(surface: Surface, area: float) -> None:
    assert surface.area() == pytest.approx(area)
    xyz, normal, color = surface.sample(500, np.random.default_rng(0))
    assert abs(len(xyz) - 500 * area) <= 1
    assert xyz.shape == normal.shape == color.shape
    np.testing.assert_allclose(np.linalg.norm(normal, axis=1), 1)


def test_a_box_faces_outwards_and_keeps_doing_so_when_moved() -> None:
    faces = Piece("clutter", box((-1, 0, 0), (1, 2, 3), GREY)).moved(5, -3, 1, 0.7)
    cloud = sample_pieces([faces], 50, np.random.default_rng(0))
    turn = np.array([[np.cos(0.7), -np.sin(0.7), 0], [np.sin(0.7), np.cos(0.7), 0], [0, 0, 1]])
    center = turn @ np.array([0, 1, 1.5]) + np.array([5, -3, 1])
    assert (np.einsum("ij,ij->i", cloud.xyz - center, cloud.normal) > 0.9).all()


def test_holes_are_cut() -> None:
    wall = plane((0, 0, 0), (4, 0, 0), (0, 0, 3), GREY, holes=((1, 0.5, 2, 2.5),))
    xyz, _, _ = wall.sample(400, np.random.default_rng(0))
    inside = (xyz[:, 0] > 1) & (xyz[:, 0] < 2) & (xyz[:, 2] > 0.5) & (xyz[:, 2] < 2.5)
    assert not inside.any()
    assert len(xyz) == pytest.approx(400 * 10, rel=0.02)


def test_a_screen_hides_the_wall_behind_it() -> None:
    wall = Piece("wall", (plane((4, 0, 0), (-8, 0, 0), (0, 0, 3), GREY),))
    screen = Piece("wall", (plane((1, 2.5, 0.5), (-2, 0, 0), (0, 0, 2), GREY),))
    cloud = sample_pieces([wall, screen], 900, np.random.default_rng(0))
    eye = np.array([0.0, 5.0, 1.5])
    distance, seen = visible(cloud.xyz, cloud.normal, eye, 1 / 30)
    np.testing.assert_allclose(distance, np.linalg.norm(cloud.xyz - eye, axis=1), rtol=1e-5)
    # The exact shadow by similar triangles, its border left out.
    x, z = cloud.xyz[:, 0] / 2, 1.5 + (cloud.xyz[:, 2] - 1.5) / 2
    margin, behind = 0.1, cloud.piece == 0
    hidden = behind & (np.abs(x) < 1 - margin) & (z > 0.5 + margin) & (z < 2.5 - margin)
    beside = behind & ((np.abs(x) > 1 + margin) | (z < 0.5 - margin) | (z > 2.5 + margin))
    assert hidden.sum() > 1000
    assert seen[hidden].mean() < 0.003
    assert seen[beside].all()
    assert seen[~behind].all()
    assert not visible(cloud.xyz, -cloud.normal, eye, 1 / 30)[1].any()


def test_far_surfaces_are_thinner_and_noise_is_small() -> None:
    floor = Piece("floor", (plane((0, 0, 0), (16, 0, 0), (0, 2, 0), GREY),))
    cloud = sample_pieces([floor], 2000, np.random.default_rng(0))
    scanned = scan(cloud, np.array([[0.5, 1.0, 1.5]]), 12_000, 0.022, np.random.default_rng(1))
    assert len(scanned) == 12_000
    near, far = (scanned.xyz[:, 0] < 3).sum(), (scanned.xyz[:, 0] > 13).sum()
    assert near > 2 * far > 200
    assert 0.001 < np.abs(scanned.xyz[:, 2]).std() * np.sqrt(3) < 0.006
    assert np.abs(scanned.xyz[:, 2]).max() < 0.01


def test_standpoints_are_free_cells_far_apart() -> None:
    free = np.stack(np.meshgrid(np.arange(10.0), np.arange(2.0)), axis=-1).reshape(-1, 2)
    chosen = standpoints(free, 3, np.random.default_rng(0))
    assert all((free == place[:2]).all(axis=1).any() for place in chosen)
    assert min(np.linalg.norm(chosen[a, :2] - chosen[b, :2]) for a in range(3) for b in range(a)) > 3
    assert len(standpoints(free[:2], 5, np.random.default_rng(0))) == 2
