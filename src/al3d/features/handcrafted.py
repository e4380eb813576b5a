"""Colour, edges and texture of a picture as numbers, without weights: what works everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image as Photograph

from al3d.types import F32, U8, Array, Bool

#: What drawn pictures have where there is no point: reports' pictures, drawn rooms, drawn LiDAR scans.
BACKGROUNDS = ((248, 249, 251), (236, 238, 242), (16, 18, 26))
#: Centres along lightness, along each of the two colour axes, and of the directions of edges (which meet at 180 degrees).
LIGHT, CHROMA, DIRECTIONS = 16, 8, 9
#: Edges are taken from the picture, and from it at a half and a quarter of the size.
SCALES = (1, 2, 4)
EDGES = range(2, 2 + len(SCALES))
#: The eight pixels around one, in a circle.
CIRCLE = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))


def _uniform_patterns() -> Array:
    """Bin 0..57 of the 58 patterns of eight bits with at most two changes around the circle; 58 for all others."""
    bits = (np.arange(256)[:, None] >> np.arange(8)) & 1
    uniform = (bits != np.roll(bits, 1, axis=1)).sum(axis=1) <= 2
    return np.where(uniform, np.cumsum(uniform) - 1, int(uniform.sum()))


PATTERN = _uniform_patterns()
PATTERNS = int(PATTERN.max()) + 1


@dataclass(frozen=True)
class Handcrafted:
    """Colour, layout, edges and texture of a picture, f32[pictures,D]; blocks of about unit length, so that distances weigh them alike.

    A picture is first brought to about `size` x `size` pixels, its proportions kept. Blocks are square roots of histograms: lightness;
    red-green and blue-yellow together; directions of edges weighed by their strength in `grid` x `grid` cells at three sizes of the
    picture; uniform local binary patterns of the lightness at the first two. One more holds the mean colour of every cell. Pixels of
    one of the `backgrounds`, and edges towards them, do not count; a picture of nothing else is a row of zeros. `patches` describes the `cells` x
    `cells` fields of a picture one by one, without those that show background alone.
    Raises: ValueError for a size, grid or number of cells that cannot work.
    Source: histograms of oriented gradients after Dalal and Triggs 2005, with one norm per size for all cells instead of one per block; uniform
    patterns of Ojala et al. 2002 on the square of eight pixels; square roots of shares as RootSIFT (Arandjelovic and Zisserman 2012).
    """

    VERSION: ClassVar[int] = 2
    size: int = 224
    grid: int = 4
    cells: int = 8
    backgrounds: tuple[tuple[int, int, int], ...] = BACKGROUNDS

    def __post_init__(self) -> None:
        least = 8 * max(self.grid, self.cells)
        if min(self.grid, self.cells) < 1 or self.size < least:
            raise ValueError(f"features.encoder: size={self.size} pixels are too few for grid={self.grid} and cells={self.cells}: at least {max(least, 8)}")

    @property
    def fingerprint(self) -> str:
        """It has no weights."""
        return ""

    @property
    def parallel(self) -> bool:
        """It needs no device."""
        return True

    def check(self) -> None:
        """It can always run."""

    def __call__(self, pictures: Sequence[U8]) -> F32:
        return np.stack([self._whole(picture) for picture in pictures])

    def patches(self, picture: U8) -> F32:
        """The fields of a grid that show anything, row by row: f32[P,D] with 1 <= P <= cells * cells."""
        image, shown = resized(picture, self.size, self.backgrounds)
        counted, layout = _described(image, shown, self.cells)
        fields = np.concatenate([layout, *(_rooted(block) for block in counted)], axis=1)
        filled = np.bincount(_fields(shown.shape, self.cells)[shown], minlength=self.cells**2) > 0
        return np.asarray(fields[filled if filled.any() else [0]], dtype=np.float32)

    def _whole(self, picture: U8) -> F32:
        image, shown = resized(picture, self.size, self.backgrounds)
        counted, layout = _described(image, shown, self.grid)
        # Where a colour or a texture is says little; where edges and mean colours are is the layout of the place.
        rows = [block.reshape(1, -1) if number in EDGES else block.sum(axis=0)[None] for number, block in enumerate(counted)]
        return np.concatenate([layout.reshape(-1) / self.grid, *(_rooted(row)[0] for row in rows)]).astype(np.float32)


def resized(picture: U8, size: int, backgrounds: tuple[tuple[int, int, int], ...] = BACKGROUNDS) -> tuple[F32, Bool]:
    """The picture u8[H,W,3] with about size x size pixels in its own proportions, f32[h,w,3] in 0..1, and bool[h,w] where it shows anything."""
    height, width = picture.shape[:2]
    scale = size / np.sqrt(height * width)
    to = (max(8, round(width * scale)), max(8, round(height * scale)))
    packed = _packed(picture)
    empty = np.isin(packed, [_packed(np.array(colour, np.uint8)) for colour in backgrounds])
    image = Photograph.fromarray(np.ascontiguousarray(picture)).resize(to, Photograph.Resampling.BILINEAR)
    values: F32 = np.asarray(image, dtype=np.float32) / np.float32(255)
    shown: Bool = np.ones(values.shape[:2], dtype=bool)
    if empty.any():
        share = np.asarray(Photograph.fromarray(empty.astype(np.uint8) * 255).resize(to, Photograph.Resampling.BILINEAR))
        shown = np.asarray(share < 128)
    return values, shown


def _packed(colour: U8) -> Array:
    """Colours u8[...,3] as one number each."""
    return np.asarray((colour[..., 0].astype(np.int32) << 16) | (colour[..., 1].astype(np.int32) << 8) | colour[..., 2])


def _described(image: F32, shown: Bool, grid: int) -> tuple[list[Array], Array]:
    """Counts in every field of a grid, each [grid * grid, bins]: lightness, chroma, edges of three sizes, patterns of two; and mean colours."""
    field, fields = _fields(shown.shape, grid), grid**2
    axes = _opponents(image)
    weight = shown.astype(np.float32)
    counted = [_spread(axes[0], field, weight, fields, LIGHT), _spread_pairs(axes[1], axes[2], field, weight, fields, CHROMA)]
    sizes = [_shrunk(axes[0], shown, scale) for scale in SCALES]
    counted += [_edges(light, clear, _fields(clear.shape, grid), fields) for light, clear in sizes]
    counted += [_patterns(light, clear, _fields(clear.shape, grid), fields) for light, clear in sizes[:2]]
    return counted, _colours(axes, field, shown, fields)


def _rooted(counts: Array) -> Array:
    """Square roots at unit length; rows of nothing stay."""
    return np.asarray(np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12)))


def _opponents(image: F32) -> tuple[F32, F32, F32]:
    """Lightness, red against green, blue against yellow: each 0..1, grey at a half; the root spreads the many colours that are nearly grey."""
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    axes = (red - green, blue - (red + green) / 2)
    first, second = (np.asarray((1 + np.copysign(np.sqrt(np.abs(axis)), axis)) / 2, np.float32) for axis in axes)
    light: F32 = np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue
    return light, first, second


def _fields(shape: tuple[int, ...], grid: int) -> Array:
    """The field of every pixel, row by row: i64[h,w]."""
    row, column = (np.arange(length) * grid // length for length in shape[:2])
    return np.asarray(row[:, None] * grid + column)


def _spread(value: Array, field: Array, weight: Array, fields: int, bins: int) -> Array:
    """Weights of values in 0..1, shared between the two nearest of `bins` centres: [fields,bins]."""
    place = value * (bins - 1)
    lower = np.minimum(place.astype(np.int64), bins - 2)
    upper = (place - lower) * weight
    cell = (field * bins + lower).ravel()
    total = np.bincount(cell, (weight - upper).ravel(), fields * bins) + np.bincount(cell + 1, upper.ravel(), fields * bins)
    return total.reshape(fields, bins)


def _spread_pairs(first: Array, second: Array, field: Array, weight: Array, fields: int, bins: int) -> Array:
    """As `_spread` for pairs of values, shared between the two nearest centres of the second: [fields,bins*bins]."""
    row = np.rint(first * (bins - 1)).astype(np.int64)
    return _spread(second, field * bins + row, weight, fields * bins, bins).reshape(fields, bins * bins)


def _colours(axes: tuple[F32, ...], field: Array, shown: Bool, fields: int) -> Array:
    """Mean (from grey) and deviation of each axis in every field, [fields,6], doubled to be about as long as a block; nothing is grey."""
    inside = field[shown]
    number = np.maximum(np.bincount(inside, minlength=fields), 1)
    columns = []
    for axis in axes:
        values = axis[shown] - np.float32(0.5)
        mean = np.bincount(inside, values, fields) / number
        square = np.bincount(inside, values**2, fields) / number
        columns += [2 * mean, 2 * np.sqrt(np.maximum(square - mean**2, 0))]
    return np.stack(columns, axis=1)


def _shrunk(light: F32, shown: Bool, scale: int) -> tuple[F32, Bool]:
    """Lightness at 1 / scale of the size, mean by mean, and where all of it is shown."""
    height, width = (length // scale for length in light.shape)
    squares = light[: height * scale, : width * scale].reshape(height, scale, width, scale)
    clear = shown[: height * scale, : width * scale].reshape(height, scale, width, scale)
    every: Bool = np.asarray(clear.all(axis=(1, 3)))
    return np.asarray(squares.mean(axis=(1, 3)), np.float32), every


def _edges(light: F32, shown: Bool, field: Array, fields: int) -> Array:
    """The strength of edges by their direction, from 0 to 180 degrees, in every field: [fields,DIRECTIONS]."""
    down, right = light[2:, 1:-1] - light[:-2, 1:-1], light[1:-1, 2:] - light[1:-1, :-2]
    clear = shown[1:-1, 1:-1] & shown[2:, 1:-1] & shown[:-2, 1:-1] & shown[1:-1, 2:] & shown[1:-1, :-2]
    turn = np.arctan2(down, right) * np.float32(DIRECTIONS / np.pi)
    turn[turn < 0] += DIRECTIONS
    lower = turn.astype(np.int64)
    strength = np.sqrt(down**2 + right**2) * clear
    upper = (turn - lower) * strength
    start = field[1:-1, 1:-1] * DIRECTIONS
    size = fields * DIRECTIONS
    total = np.bincount((start + lower % DIRECTIONS).ravel(), (strength - upper).ravel(), size)
    total += np.bincount((start + (lower + 1) % DIRECTIONS).ravel(), upper.ravel(), size)
    return np.maximum(total, 0).reshape(fields, DIRECTIONS)


def _patterns(light: F32, shown: Bool, field: Array, fields: int) -> Array:
    """How often each local binary pattern is in every field: [fields,PATTERNS]."""
    height, width = light.shape
    middle = light[1:-1, 1:-1] + np.float32(1 / 255)  # noise of one step is no texture
    code = np.zeros(middle.shape, np.uint8)
    clear = shown[1:-1, 1:-1].copy()
    for bit, (down, right) in enumerate(CIRCLE):
        window = (slice(1 + down, height - 1 + down), slice(1 + right, width - 1 + right))
        code |= (light[window] > middle).astype(np.uint8) << np.uint8(bit)
        clear &= shown[window]
    cell = field[1:-1, 1:-1][clear] * PATTERNS + PATTERN[code[clear]]
    return np.bincount(cell, minlength=fields * PATTERNS).reshape(fields, PATTERNS)
