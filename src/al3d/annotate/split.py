"""Cutting a region that holds several classes into parts: by place and colour, or by a rectangle on the screen."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans

from al3d.types import F32, F64, I64, U8, Bool

#: How many parts one cut makes at most, the fewest points that are worth a part, and how many points decide.
PARTS, FEWEST, SAMPLE = 6, 3, 20_000
#: What a whole range of colours weighs beside the region's extent.
COLOUR = 0.6


def parts_of(xyz: F32, colours: U8, points: I64) -> list[I64]:
    """Cut `points` i64[P] into two to `PARTS` compact parts of like colour, the largest first; xyz f32[P,3] and colours u8[P,3] are theirs.

    Too few points to cut stay one part. The same points give the same parts.
    """
    place = xyz - xyz.mean(axis=0)
    extent = max(float(np.abs(place).max()), 1e-9)
    described = np.concatenate([place / extent, COLOUR * colours / 255], axis=1).astype(np.float64)
    some = described[:: -(-len(points) // SAMPLE)]
    count = min(PARTS, len(points) // FEWEST, len(np.unique(some, axis=0)))
    if count < 2:
        return [points]
    means = KMeans(count, n_init=1, random_state=0).fit(some)
    label = means.predict(described)
    parts = [points[label == part] for part in range(count)]
    return sorted((part for part in parts if len(part)), key=len, reverse=True)


def in_rectangle(xyz: F64, pose: F64, field_of_view: float, aspect: float, low: tuple[float, float], high: tuple[float, float]) -> Bool:
    """Which points xyz f64[N,3] a camera shows within a rectangle: bool[N].

    `pose` f64[4,4] from the camera's frame (z forward, y down); the vertical field of view in radians; `aspect` width by height; the corners in 0..1
    from the upper left of the picture. What is hidden behind others counts, too.
    """
    seen = (xyz - pose[:3, 3]) @ pose[:3, :3]
    ahead = seen[:, 2] > 1e-9
    depth = np.where(ahead, seen[:, 2], 1.0)
    focal = 0.5 / np.tan(field_of_view / 2)
    across, down = focal / aspect * seen[:, 0] / depth + 0.5, focal * seen[:, 1] / depth + 0.5
    return np.asarray(ahead & (across >= low[0]) & (across <= high[0]) & (down >= low[1]) & (down <= high[1]))
