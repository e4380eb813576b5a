"""Colour textures: from surface coordinates in metres to colours, as frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from al3d.types import F64

Color = tuple[float, float, float]


@dataclass(frozen=True)
class Plain:
    """One colour with soft, room-sized stains (`stains`) and speckle (`speckle`), both as fractions of brightness."""

    color: Color
    stains: float = 0.04
    speckle: float = 0.02

    def __call__(self, surface: F64, rng: np.random.Generator) -> F64:
        """Colours f64[n,3] in 0..1."""
        waves = rng.uniform(0.3, 2.5, (3, 2)) * rng.choice([-1, 1], (3, 2))
        soft = np.cos(surface @ waves.T + rng.uniform(0, 2 * np.pi, 3)).mean(axis=1)
        light = 1 + self.stains * soft + self.speckle * rng.standard_normal(len(surface))
        return np.asarray(np.clip(np.array(self.color) * light[:, None], 0, 1))


@dataclass(frozen=True)
class Wood:
    """Grain along the first surface axis: wavy dark lines of about `ring` metres."""

    color: Color
    ring: float = 0.06

    def __call__(self, surface: F64, rng: np.random.Generator) -> F64:
        """Colours f64[n,3] in 0..1."""
        along, across = surface[:, 0], surface[:, 1]
        bend = 0.6 * np.sin(along * rng.uniform(0.8, 2.0) + rng.uniform(0, 6)) + 0.2 * np.sin(along * 5 + across * 3)
        grain = np.abs(np.sin(np.pi * across / self.ring + 2 * bend + rng.uniform(0, 6)))
        light = 0.78 + 0.26 * np.sqrt(grain) + 0.03 * rng.standard_normal(len(surface))
        return np.asarray(np.clip(np.array(self.color) * light[:, None], 0, 1))


@dataclass(frozen=True)
class Carpet:
    """Tiles of `size` metres, neighbours a little lighter or darker, with strong speckle."""

    color: Color
    size: float = 0.6
    contrast: float = 0.08

    def __call__(self, surface: F64, rng: np.random.Generator) -> F64:
        """Colours f64[n,3] in 0..1."""
        cell = np.floor(surface / self.size)
        light = 1 + self.contrast * ((cell.sum(axis=1) % 2) - 0.5) + 0.1 * rng.standard_normal(len(surface))
        return np.asarray(np.clip(np.array(self.color) * light[:, None], 0, 1))


@dataclass(frozen=True)
class Tiles:
    """Rectangles `width` x `height` metres with joints of another colour; `shift` moves every second row (bricks)."""

    color: Color
    joint: Color
    width: float = 0.3
    height: float = 0.3
    gap: float = 0.012
    shift: float = 0.0
    vary: float = 0.04

    def __call__(self, surface: F64, rng: np.random.Generator) -> F64:
        """Colours f64[n,3] in 0..1."""
        row = np.floor(surface[:, 1] / self.height)
        along = surface[:, 0] / self.width + self.shift * (row % 2)
        column = np.floor(along)
        own = _scatter(row, column, rng)
        light = 1 + self.vary * (2 * own - 1) + 0.02 * rng.standard_normal(len(surface))
        color = np.array(self.color) * light[:, None]
        inside = np.minimum((along - column) * self.width, surface[:, 1] - row * self.height)
        color[inside < self.gap] = self.joint
        return np.clip(color, 0, 1)


@dataclass(frozen=True)
class Poster:
    """A sheet of `paper` with blocks of `inks` on a grid of `block` metres, `ink` of them filled, and a plain margin."""

    paper: Color
    inks: tuple[Color, ...]
    block: float = 0.12
    ink: float = 0.5

    def __call__(self, surface: F64, rng: np.random.Generator) -> F64:
        """Colours f64[n,3] in 0..1."""
        cell = np.floor(surface / self.block)
        filled, which = _scatter(cell[:, 0], cell[:, 1], rng), _scatter(cell[:, 0], cell[:, 1], rng)
        color = np.where((filled < self.ink)[:, None], np.array(self.inks)[(which * len(self.inks)).astype(int)], self.paper)
        return np.clip(color + 0.02 * rng.standard_normal(color.shape), 0, 1)


@dataclass(frozen=True)
class Scribbles:
    """A whiteboard: near white with a few thin coloured waves of writing."""

    inks: tuple[Color, ...] = ((0.1, 0.15, 0.5), (0.6, 0.1, 0.1), (0.1, 0.1, 0.12))
    base: Color = (0.93, 0.94, 0.95)

    def __call__(self, surface: F64, rng: np.random.Generator) -> F64:
        """Colours f64[n,3] in 0..1."""
        color = np.array(self.base) + 0.01 * rng.standard_normal((len(surface), 3))
        for line in range(6):
            height, start, end = rng.uniform(0.15, 1.1), *np.sort(rng.uniform(0.1, 2.5, 2))
            wave = height + 0.03 * np.sin(surface[:, 0] * rng.uniform(15, 40))
            color[(np.abs(surface[:, 1] - wave) < 0.018) & (surface[:, 0] > start) & (surface[:, 0] < end)] = self.inks[line % len(self.inks)]
        return np.clip(color, 0, 1)


@dataclass(frozen=True)
class Books:
    """Rows of book spines: upright stripes of about `thick` metres in many colours."""

    thick: float = 0.035

    def __call__(self, surface: F64, rng: np.random.Generator) -> F64:
        """Colours f64[n,3] in 0..1."""
        spine = np.floor(surface[:, 0] / self.thick)
        red, green, blue = (_scatter(spine, np.zeros_like(spine), rng) for _ in range(3))
        color = 0.15 + 0.65 * np.stack([red, green, blue], axis=1) * (0.5 + 0.5 * _scatter(spine, spine, rng))[:, None]
        return np.clip(color + 0.02 * rng.standard_normal(color.shape), 0, 1)


def _scatter(first: F64, second: F64, rng: np.random.Generator) -> F64:
    """A value in 0..1 per cell: the same for all points of a cell, another for its neighbour."""
    p, q, r = rng.uniform(40, 90, 3)
    return np.asarray(np.abs(np.sin(first * p + second * q + r) * 43758.5453) % 1.0)


def tinted(color: Color, rng: np.random.Generator, spread: float = 0.06) -> Color:
    """The colour, a little off: brightness by `spread`, channels by a third of it."""
    shifted = np.array(color) * (1 + spread * rng.uniform(-1, 1)) + spread / 3 * rng.uniform(-1, 1, 3)
    red, green, blue = np.clip(shifted, 0.02, 0.98).tolist()
    return red, green, blue
