"""Cameras for pictures: look at a place, or see a whole scene obliquely from above."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from al3d.types import F32, F64, Array, Bool, Camera


def look_at(eye: Sequence[float] | Array, target: Sequence[float] | Array, up: Sequence[float] | Array = (0.0, 0.0, 1.0)) -> F64:
    """The pose f64[4,4] (camera frame to scene; z forward, y down) of a camera at `eye` that looks at `target`, `up` upwards.

    Raises: ValueError when eye and target coincide. Looking straight along `up` is allowed: another axis then points up.
    """
    origin = np.asarray(eye, np.float64)
    forward = np.asarray(target, np.float64) - origin
    if not np.linalg.norm(forward) > 0:
        raise ValueError(f"a camera at {origin.tolist()} cannot look at its own place: move the eye or the target")
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, np.asarray(up, np.float64))
    if np.linalg.norm(right) < 1e-9:
        right = np.cross(forward, np.eye(3)[np.argmin(np.abs(forward))])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.stack([right, np.cross(forward, right), forward, origin], axis=1)
    return pose


def pinhole(pose: F64, width: int, height: int, field_of_view: float = 45.0) -> Camera:
    """A camera with square pixels whose wider side covers `field_of_view` degrees."""
    focal = max(width, height) / 2 / np.tan(np.radians(field_of_view) / 2)
    return Camera(fx=focal, fy=focal, cx=(width - 1) / 2, cy=(height - 1) / 2, width=width, height=height, pose=pose)


def project(camera: Camera, xyz: F32) -> tuple[F64, F64]:
    """Where points xyz f32[N,3] of the scene land: pixels f64[N,2] (column, row) and depths f64[N] in metres along the view.

    Pixel centres are whole numbers. A depth of 0 or less is behind the camera; such pixels are not a number. Nothing is hidden here:
    see `in_view`.
    """
    seen = (xyz.astype(np.float64) - camera.pose[:3, 3]) @ camera.pose[:3, :3]
    depth = seen[:, 2]
    ahead = np.where(depth > 0, depth, np.nan)
    pixel = seen[:, :2] / ahead[:, None] * np.array([camera.fx, camera.fy]) + np.array([camera.cx, camera.cy])
    return pixel, depth


def in_view(camera: Camera, pixel: F64, depth: F64) -> Bool:
    """Which projected points (see `project`) lie before the camera and inside its picture, bool[N]."""
    with np.errstate(invalid="ignore"):
        inside = ((pixel >= -0.5) & (pixel < np.array([camera.width, camera.height]) - 0.5)).all(axis=1)
    return np.asarray(inside & (depth > 0))


def overview(
    xyz: F32,
    width: int = 960,
    height: int = 720,
    up: Sequence[float] | Array = (0.0, 0.0, 1.0),
    azimuth: float | None = None,
    elevation: float = 50.0,
    cut_above: float | None = None,
    field_of_view: float = 40.0,
) -> tuple[Camera, Bool]:
    """A camera that sees the whole scene obliquely from above, and which points to draw (bool[N]).

    `azimuth` and `elevation` in degrees; without an azimuth, that of eight which hides the fewest points (a scan from one side is then
    seen from there), the first one showing the scene's longer side across the picture.
    `cut_above` in 0..1 leaves out what is higher than this fraction of the height (a ceiling). The highest and lowest 0.1 % of the
    points along each direction do not decide the frame.
    Raises: ValueError when cut_above leaves nothing.
    """
    axes = _level_axes(up)
    level = (xyz.astype(np.float64) @ axes.T)[:: max(1, len(xyz) // 50_000)]
    drawn = _below(xyz, axes[2], cut_above)
    body = level[_inside(level, cut_above)]
    turn = _clearest(body, elevation) if azimuth is None else azimuth
    eye, target = _fit(body, _direction(turn, elevation), width, height, field_of_view)
    return pinhole(look_at(eye @ axes, target @ axes, axes[2]), width, height, field_of_view), drawn


def _level_axes(up: Sequence[float] | Array) -> F64:
    """Rows: two level directions and the unit up; the standard axes when up is +z."""
    top = np.asarray(up, np.float64) / np.linalg.norm(np.asarray(up, np.float64))
    first = np.eye(3)[0] if abs(top[0]) < 0.9 else np.eye(3)[1]
    first = first - (first @ top) * top
    first /= np.linalg.norm(first)
    return np.stack([first, np.cross(top, first), top])


def _below(xyz: F32, top: F64, cut_above: float | None) -> Bool:
    if cut_above is None:
        return np.ones(len(xyz), np.bool_)
    heights = xyz.astype(np.float64) @ top
    low, high = np.quantile(heights, [0.001, 0.999])
    drawn: Bool = heights <= low + cut_above * (high - low)
    if not drawn.any():
        raise ValueError(f"cut_above = {cut_above} leaves no point to draw: it is the fraction of the height to keep, e.g. 0.8")
    return drawn


def _inside(level: F64, cut_above: float | None) -> Bool:
    low, high = np.quantile(level, [0.001, 0.999], axis=0)
    if cut_above is not None:
        high[2] = low[2] + cut_above * (high[2] - low[2])
    inside: Bool = ((level >= low) & (level <= high)).all(axis=1)
    return inside if inside.any() else np.ones(len(level), np.bool_)


def _direction(azimuth: float, elevation: float) -> F64:
    """The unit vector from the scene to the camera; angles in degrees."""
    turn, lift = np.radians([azimuth, elevation])
    return np.array([np.cos(turn) * np.cos(lift), np.sin(turn) * np.cos(lift), np.sin(lift)])


def _clearest(level: F64, elevation: float) -> float:
    """The azimuth from which the fewest points are hidden; a later candidate must show 2 % more of them."""
    start = _facing(level)
    best, shown = start, 0.0
    for turn in start + np.arange(8) * 45.0:
        fraction = _shown(level, _direction(turn, elevation))
        if fraction > shown + 0.02:
            best, shown = float(turn), fraction
    return best


def _shown(level: F64, direction: F64) -> float:
    """The share of points that lie near the front of their cell, in a parallel view on about eight points a cell."""
    axes = look_at(direction, np.zeros(3))[:3, :3].T
    seen = level @ axes.T
    seen = seen - seen.min(axis=0)
    extent = np.maximum(seen.max(axis=0), 1e-9)
    size = np.sqrt(extent[0] * extent[1] * 8 / len(seen))
    cell = (seen[:, 1] // size).astype(np.int64) * (int(extent[0] // size) + 1) + (seen[:, 0] // size).astype(np.int64)
    front = np.full(int(cell.max()) + 1, np.inf)
    np.minimum.at(front, cell, seen[:, 2])
    return float((seen[:, 2] <= front[cell] + 4 * size).mean())


def _facing(level: F64) -> float:
    """Degrees: from the side that shows the longer level axis across the picture, turned a little so that depth shows."""
    centred = level[:, :2] - level[:, :2].mean(axis=0)
    across = np.linalg.eigh(centred.T @ centred)[1][:, 1]
    return float(np.degrees(np.arctan2(across[1], across[0]))) % 180 - 90 + 25


def _fit(points: F64, direction: F64, width: int, height: int, field_of_view: float) -> tuple[F64, F64]:
    """Eye and target, looking against `direction`, so that the points just fill the picture with a margin."""
    target = (points.min(axis=0) + points.max(axis=0)) / 2
    axes = look_at(target + direction, target)[:3, :3].T
    reach = np.tan(np.radians(field_of_view) / 2) * np.array([width, height]) / max(width, height) * 0.94
    seen = (points - target) @ axes.T
    shift, distance = np.zeros(2), 0.0
    for _ in range(8):
        distance = max(1e-3, float((np.abs(seen[:, :2] - shift) / reach - seen[:, 2:]).max()))
        slope = (seen[:, :2] - shift) / (seen[:, 2:] + distance)
        shift = shift + (slope.max(axis=0) + slope.min(axis=0)) / 2 * distance
    distance = max(1e-3, float((np.abs(seen[:, :2] - shift) / reach - seen[:, 2:]).max()))
    target = target + shift @ axes[:2]
    return target + direction / np.linalg.norm(direction) * distance, target
