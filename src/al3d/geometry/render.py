"""Pictures of point clouds: discs through a z-buffer, with eye-dome shading, and the point behind every pixel."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from al3d.geometry.neighbours import nearest
from al3d.types import F32, F64, I32, U8, Array, Camera

#: Rows of a picture that one task draws.
BAND = 32
EMPTY = -1


def render(
    xyz: F32,
    rgb: U8,
    camera: Camera,
    radius: F32 | float | None = None,
    shading: float = 0.6,
    background: tuple[int, int, int] = (248, 249, 251),
    largest: float = 12.0,
    supersample: int = 1,
) -> tuple[U8, I32]:
    """Draw xyz f32[N,3] in colours rgb u8[N,3]: the image u8[H,W,3], and i32[H,W] the point in each pixel, -1 where there is none.

    `radius` of the discs in metres, one or f32[N] (None: `disc_radius(xyz)`, worth keeping between views of the same cloud); no disc
    grows beyond `largest` pixels or shrinks below one pixel. `shading` 0..1 darkens edges of depth. `supersample` draws at a multiple
    of the size and averages. Of discs at equal depth the smaller index wins, whatever the number of threads.
    Raises: ValueError when the colours do not match the points or a setting is out of its range.
    """
    if rgb.shape != xyz.shape or rgb.dtype != np.uint8:
        raise ValueError(f"render needs one uint8 colour [red, green, blue] per point: xyz is {list(xyz.shape)}, rgb is {rgb.dtype} {list(rgb.shape)}")
    if supersample < 1 or not 0 <= shading <= 1:
        raise ValueError(f"supersample = {supersample} must be at least 1 and shading = {shading} within 0..1")
    sizes = disc_radius(xyz) if radius is None else np.broadcast_to(np.asarray(radius, np.float32), (len(xyz),))
    width, height = camera.width * supersample, camera.height * supersample
    lens = np.array([camera.fx, camera.fy, camera.cx + 0.5, camera.cy + 0.5]) * supersample - np.array([0, 0, 0.5, 0.5])
    seen = _project(np.ascontiguousarray(xyz), np.ascontiguousarray(sizes), np.linalg.inv(camera.pose), lens, largest * supersample)
    depth, index = _splat(seen, height, width)
    for _ in range(supersample):
        index = _close_pinholes(depth, index)
    image = _colour(np.ascontiguousarray(rgb), index, np.array(background, np.float64))
    if shading > 0:
        image *= _eye_dome(_depth_of(seen, index), shading, supersample)[:, :, None]
    picture = image.reshape(camera.height, supersample, camera.width, supersample, 3).mean(axis=(1, 3))
    half = supersample // 2
    return np.rint(picture).astype(np.uint8), np.ascontiguousarray(index[half::supersample, half::supersample])


def disc_radius(xyz: F32) -> F32:
    """A disc radius in metres per point, f32[N], that closes a surface sampled as densely as around this point.

    It is the distance to the fourth neighbour, at most five times the cloud's median, so that lone points stay small.
    """
    around = nearest(xyz, 5)
    reach = np.linalg.norm(xyz[around[:, -1]] - xyz, axis=1)
    radius: F32 = np.minimum(reach, 5 * np.median(reach)).astype(np.float32)
    return radius


def greyed(rgb: U8, keep: float = 0.12, lighten: float = 0.35) -> U8:
    """The colours almost without hue and lighter, as a backdrop for coloured regions."""
    light = rgb.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    mixed = keep * rgb + (1 - keep) * light[:, None]
    grey: U8 = np.rint(mixed * (1 - lighten) + 235 * lighten).astype(np.uint8)
    return grey


@numba.njit(parallel=True, cache=True)
def _project(xyz: F32, radius: F32, inverse: Array, lens: Array, largest: float) -> F32:  # pragma: no cover
    """Per point: column, row, depth (0 when behind the camera), disc radius in pixels."""
    seen = np.zeros((len(xyz), 4), np.float32)
    for i in numba.prange(len(xyz)):
        x, y, z = np.float64(xyz[i, 0]), np.float64(xyz[i, 1]), np.float64(xyz[i, 2])
        depth = inverse[2, 0] * x + inverse[2, 1] * y + inverse[2, 2] * z + inverse[2, 3]
        if depth <= 1e-6:
            continue
        seen[i, 0] = lens[0] * (inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2] * z + inverse[0, 3]) / depth + lens[2]
        seen[i, 1] = lens[1] * (inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2] * z + inverse[1, 3]) / depth + lens[3]
        seen[i, 2] = depth
        seen[i, 3] = min(max(lens[0] * radius[i] / depth, 0.5), largest)
    return seen


@numba.njit(parallel=True, cache=True)
def _splat(seen: F32, height: int, width: int) -> Any:  # pragma: no cover
    """Depth f32[H,W] (infinite where empty) and index i32[H,W]; bands of rows are drawn side by side."""
    depth = np.full((height, width), np.inf, np.float32)
    index = np.full((height, width), EMPTY, np.int32)
    for band in numba.prange((height + BAND - 1) // BAND):
        _splat_band(seen, band * BAND, min(height, (band + 1) * BAND), depth, index)
    return depth, index


@numba.njit(cache=True)
def _splat_band(seen: F32, low: int, high: int, depth: F32, index: I32) -> None:  # pragma: no cover
    width = depth.shape[1]
    for i in range(len(seen)):
        column, row, z, r = seen[i, 0], seen[i, 1], seen[i, 2], seen[i, 3]
        if z <= 0 or row + r < low - 1 or row - r > high or column + r < -1 or column - r > width:
            continue
        top, left = int(max(low, np.rint(row - r))), int(max(0, np.rint(column - r)))
        for v in range(top, int(min(high, np.rint(row + r) + 1))):
            for u in range(left, int(min(width, np.rint(column + r) + 1))):
                off = ((u - column) ** 2 + (v - row) ** 2) / (r * r)
                if off > 1 and (abs(u - column) > 0.5 or abs(v - row) > 0.5):  # even the smallest disc fills the pixel of its centre
                    continue
                # a disc bulges towards the camera, so that of two on one surface the nearer centre wins the pixel
                place = z + z * np.float32(1e-3) * off * min(r, np.float32(4))
                if place < depth[v, u]:
                    depth[v, u], index[v, u] = place, i


@numba.njit(parallel=True, cache=True)
def _close_pinholes(depth: F32, index: I32) -> I32:  # pragma: no cover
    """Give an empty pixel with at least six drawn ones around it to the nearest of them."""
    closed = index.copy()
    for v in numba.prange(1, index.shape[0] - 1):
        for u in range(1, index.shape[1] - 1):
            if index[v, u] >= 0:
                continue
            drawn, place = 0, np.float32(np.inf)
            for n in range(9):
                y, x = v + n // 3 - 1, u + n % 3 - 1
                drawn += index[y, x] >= 0
                if index[y, x] >= 0 and depth[y, x] < place:
                    place, closed[v, u] = depth[y, x], index[y, x]
            if drawn < 6:
                closed[v, u] = EMPTY
    return closed


@numba.njit(parallel=True, cache=True)
def _depth_of(seen: F32, index: I32) -> F32:  # pragma: no cover
    depth = np.full(index.shape, np.inf, np.float32)
    for v in numba.prange(index.shape[0]):
        for u in range(index.shape[1]):
            if index[v, u] >= 0:
                depth[v, u] = seen[index[v, u], 2]
    return depth


@numba.njit(parallel=True, cache=True)
def _colour(rgb: U8, index: I32, background: F64) -> F32:  # pragma: no cover
    image = np.empty((*index.shape, 3), np.float32)
    for v in numba.prange(index.shape[0]):
        for u in range(index.shape[1]):
            for channel in range(3):
                image[v, u, channel] = rgb[index[v, u], channel] if index[v, u] >= 0 else background[channel]
    return image


@numba.njit(parallel=True, cache=True)
def _eye_dome(depth: Array, strength: float, step: int) -> F32:  # pragma: no cover
    """A factor f32[H,W]: the further a pixel lies behind those around it, the darker; never below 1 - strength.

    Source: Boucheny 2009, with the mean over two rings and a bounded darkening.
    """
    height, width = depth.shape
    shade = np.ones((height, width), np.float32)
    for v in numba.prange(height):
        for u in range(width):
            if np.isinf(depth[v, u]):
                continue
            here, drop = np.log2(depth[v, u]), 0.0
            for ring in (1, 3):
                for n in range(8):
                    dv = (n // 3 - 1) if n < 4 else ((n + 1) // 3 - 1)
                    du = (n % 3 - 1) if n < 4 else ((n + 1) % 3 - 1)
                    y, x = v + dv * ring * step, u + du * ring * step
                    if 0 <= y < height and 0 <= x < width and not np.isinf(depth[y, x]):
                        drop += min(max(here - np.log2(depth[y, x]) - 0.002 * ring, 0.0), 0.1) / ring  # a slope alone is no edge
            shade[v, u] = 1 - strength * (1 - np.exp(-4.0 * drop))
    return shade
