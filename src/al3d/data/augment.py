"""Augmentations as pure functions of (points, attributes, generator): x' = x R, lengths in metres, colours 0..1.

The generator is keyed by (rng, round, draw, scene), so that an augmented scene never depends on workers or on what was drawn before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numba
import numpy as np
from scipy import ndimage

from al3d.geometry.bounds import bounds
from al3d.types import F32, Array


class Augmentation(Protocol):
    """(xyz f32[N,3], feat f32[N,F], generator) -> the same shapes; never changes its arguments."""

    def __call__(self, xyz: F32, feat: F32, random: np.random.Generator) -> tuple[F32, F32]: ...


@dataclass(frozen=True)
class Elastic:
    """Smooth random displacement: Gaussian noise on a coarse grid, box-filtered twice, interpolated at the points.

    `steps` are (grid spacing, magnitude) pairs in metres. Source: ReDAL's and HPAL's indoor training, (0.2, 0.4) and (0.8, 1.6).
    """

    steps: tuple[tuple[float, float], ...] = ((0.2, 0.4), (0.8, 1.6))
    probability: float = 0.95

    def __call__(self, xyz: F32, feat: F32, random: np.random.Generator) -> tuple[F32, F32]:
        if random.random() >= self.probability:
            return xyz, feat
        for spacing, magnitude in self.steps:
            low, high = bounds(xyz)
            noise = _smooth_noise(tuple(int(n) for n in (high - low) // float(spacing) + 3), random)
            xyz = _displaced(xyz, low, np.float32(spacing), noise, np.float32(magnitude))
        return xyz, feat


def _smooth_noise(shape: tuple[int, ...], random: np.random.Generator) -> F32:
    """A displacement at every corner of a grid of that shape: f32[X,Y,Z,3]."""
    noise = random.standard_normal((3, *shape), dtype=np.float32)
    for _ in range(2):
        for axis in (1, 2, 3):
            noise = ndimage.uniform_filter1d(noise, 3, axis=axis, mode="constant")
    return np.ascontiguousarray(np.moveaxis(noise, 0, 3))


@numba.njit(cache=True, nogil=True)
def _displaced(xyz: Any, low: Any, spacing: Any, noise: Any, magnitude: Any) -> Any:
    """The points, moved by what is between the grid's corners around them, linearly in each axis; all three parts in one pass, on one thread."""
    out = np.empty_like(xyz)
    for n in range(len(xyz)):
        x, y, z = (xyz[n, 0] - low[0]) / spacing, (xyz[n, 1] - low[1]) / spacing, (xyz[n, 2] - low[2]) / spacing
        i, j, k = int(x), int(y), int(z)
        x, y, z = x - i, y - j, z - k
        for c in range(3):
            value = np.float32(0)
            for corner, there in ((i, 1 - x), (i + 1, x)):
                first = noise[corner, j, k, c] * (1 - z) + noise[corner, j, k + 1, c] * z
                second = noise[corner, j + 1, k, c] * (1 - z) + noise[corner, j + 1, k + 1, c] * z
                value += there * (first * (1 - y) + second * y)
            out[n, c] = xyz[n, c] + magnitude * value
    return out


@dataclass(frozen=True)
class Rotate:
    """A turn about z of up to `turn` radians either way, and tilts about x and y of up to `tilt`, around the bounding-box centre.

    The tilts come in random order. Source: ReDAL's and HPAL's indoor training turn fully; scans seen from one side only should not.
    """

    turn: float = np.pi
    tilt: float = np.pi / 64
    tilt_probability: float = 0.95

    def __call__(self, xyz: F32, feat: F32, random: np.random.Generator) -> tuple[F32, F32]:
        low, high = bounds(xyz)
        centre = np.asarray((low + high) / 2, np.float32)
        matrix = _rotation(2, random.uniform(-self.turn, self.turn))
        if random.random() < self.tilt_probability:
            for axis in random.permutation(2):
                matrix = matrix @ _rotation(int(axis), random.uniform(-self.tilt, self.tilt))
        return (xyz - centre) @ matrix.astype(np.float32) + centre, feat


def _rotation(axis: int, angle: float) -> Array:
    i, j = [k for k in range(3) if k != axis]
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = np.cos(angle)
    matrix[i, j], matrix[j, i] = np.sin(angle), -np.sin(angle)
    return matrix


@dataclass(frozen=True)
class Scale:
    """A factor from 1 - `spread` to 1 + `spread`, per axis or one for all (`isotropic`)."""

    spread: float = 0.1
    isotropic: bool = False
    probability: float = 0.95

    def __call__(self, xyz: F32, feat: F32, random: np.random.Generator) -> tuple[F32, F32]:
        factors = random.uniform(1 - self.spread, 1 + self.spread, 1 if self.isotropic else 3).astype(np.float32)
        return (xyz * factors, feat) if random.random() < self.probability else (xyz, feat)


@dataclass(frozen=True)
class Flip:
    """Mirrors x, and y, each with the given probability; `axes` "x" mirrors x alone."""

    probability: float = 0.5
    axes: str = "xy"

    def __post_init__(self) -> None:
        if self.axes not in ("x", "y", "xy"):
            raise ValueError(f"flip axes={self.axes!r} is not one of x, y, xy")

    def __call__(self, xyz: F32, feat: F32, random: np.random.Generator) -> tuple[F32, F32]:
        mirrored = (random.random(2) < self.probability) & np.array([axis in self.axes for axis in "xy"])
        return xyz * np.array([*np.where(mirrored, -1, 1), 1], np.float32), feat


@dataclass(frozen=True)
class Colour:
    """Auto-contrast, a shift of each channel and noise per point, on the first three attributes (colours 0..1).

    Does nothing on scenes without three attributes. Source: ReDAL's and HPAL's training (shift 25.5, jitter 12.75 of 255); a
    constant channel is left alone where their code divides by zero.
    """

    contrast_probability: float = 0.2
    shift: float = 0.1
    jitter: float = 0.05
    probability: float = 0.95

    def __call__(self, xyz: F32, feat: F32, random: np.random.Generator) -> tuple[F32, F32]:
        if feat.shape[1] < 3:
            return xyz, feat
        colour = feat[:, :3]
        if random.random() < self.contrast_probability:
            low, high = bounds(colour)
            stretched = np.where(high > low, (colour - low) / np.maximum(high - low, 1e-6), colour)
            blend = np.float32(random.random())
            colour = np.asarray((1 - blend) * colour + blend * stretched, np.float32)
        if random.random() < self.probability:
            colour = np.clip(colour + random.uniform(-self.shift, self.shift, 3).astype(np.float32), 0, 1)
        if random.random() < self.probability:
            colour = np.clip(colour + self.jitter * random.standard_normal(colour.shape, dtype=np.float32), 0, 1)
        return xyz, np.concatenate([colour.astype(np.float32), feat[:, 3:]], axis=1)


@dataclass(frozen=True)
class Turn:
    """A turn about z of up to `turn` radians either way, around the origin: the scanner of a LiDAR frame stays where it is.

    Source: ReDAL's and LiDAL's outdoor training. `Rotate` turns around the middle of the cloud, which would move the scanner, and with
    it what the coordinates tell the network.
    """

    turn: float = np.pi

    def __call__(self, xyz: F32, feat: F32, random: np.random.Generator) -> tuple[F32, F32]:
        return xyz @ _rotation(2, random.uniform(-self.turn, self.turn)).astype(np.float32), feat


@dataclass(frozen=True)
class Affine:
    """A random linear map around the origin: the unit matrix plus normal noise of deviation `noise`, mirrored with `flip_probability`.

    Only the matrix' entry for x in x changes its sign, so that x is mirrored and the shear stays. Source: LiDAL's training (0.1, 0.5).
    """

    noise: float = 0.1
    flip_probability: float = 0.5

    def __call__(self, xyz: F32, feat: F32, random: np.random.Generator) -> tuple[F32, F32]:
        matrix = np.eye(3) + self.noise * random.standard_normal((3, 3))
        if random.random() < self.flip_probability:
            matrix[0, 0] = -matrix[0, 0]
        return xyz @ matrix.astype(np.float32), feat
