"""One picture of a scene from above: grey where nothing was bought, class colours where it was."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from al3d.geometry.camera import overview
from al3d.geometry.render import disc_radius, greyed, render
from al3d.types import F32, IGNORE, U8, Array, Bool, Camera, ClassTable, Scene

#: Fewer bought points than this are drawn as dots.
FEW_POINTS = 600
DOT_PIXELS = 4.5
#: No more points of the backdrop are drawn; a picture of this size cannot show them.
MOST_POINTS = 500_000
UNKNOWN_COLOR = (255, 60, 180)
OUTLINE = (25, 28, 36)
SUPERSAMPLE = 2
#: Degrees above the horizon: steep enough to look over the near walls of a room.
ELEVATION = 58.0
#: A ceiling is taken for one when this share of the points lies above this fraction of the height.
CEILING_SHARE, CEILING_FROM = 0.08, 0.88
#: Scenes wider than this (metres) are LiDAR frames: their sparse far end is left out.
WIDE, NEAR_SHARE = 60.0, 0.9


def draw(scene: Scene, bought: Bool, answer: U8, classes: ClassTable, width: int = 640, height: int = 480) -> U8:
    """The picture u8[height,width,3] of a scene, the bought points bool[N] in the colours of their answered classes u8[N].

    A ceiling is left out where it was not bought. Bought regions get a thin outline, so that grey classes stand out; few bought
    points become large dots, drawn over what hides them. A bought point without a class is pink.
    """
    few = int(np.count_nonzero(bought)) < FEW_POINTS
    kept = np.flatnonzero(_near(scene.xyz) & _thinned(len(scene), bought, few))
    xyz, mask = np.ascontiguousarray(scene.xyz[kept]), bought[kept]
    camera, shown = _camera(xyz, mask, few, _viewed_from(scene, xyz), width, height)
    kept, xyz, mask = kept[shown], np.ascontiguousarray(xyz[shown]), mask[shown]
    color = class_colors(answer[kept], classes)
    backdrop = greyed(natural_colors(scene.feat[kept], xyz), keep=0.05, lighten=0.5)
    if few:
        image, _ = render(xyz, backdrop, camera, disc_radius(xyz), supersample=SUPERSAMPLE)
        return _dotted(image, xyz[mask], color[mask], camera)
    image, index = render(xyz, np.where(mask[:, None], color, backdrop), camera, disc_radius(xyz), shading=0.45, supersample=SUPERSAMPLE)
    return _outlined(image, (index >= 0) & mask[index])


def class_colors(label: U8, classes: ClassTable) -> U8:
    """The colour u8[N,3] of each label u8[N]; pink where there is none."""
    table = np.full((IGNORE + 1, 3), UNKNOWN_COLOR, np.uint8)
    table[: len(classes)] = np.array(classes.colors, np.uint8)
    return table[label]


def natural_colors(feat: F32, xyz: F32) -> U8:
    """Colours u8[N,3] of a backdrop: the scene's own when it has three features (0..1), else a grey by height."""
    if feat.shape[1] >= 3:
        return np.rint(255 * np.clip(feat[:, :3], 0, 1)).astype(np.uint8)
    low, high = np.quantile(xyz[:, 2], [0.01, 0.99])
    grey = 90 + 110 * np.clip((xyz[:, 2] - low) / max(high - low, 1e-6), 0, 1)
    return np.repeat(np.rint(grey).astype(np.uint8)[:, None], 3, axis=1)


def has_ceiling(xyz: F32) -> bool:
    """Whether many of the points xyz f32[N,3] lie near the top: seen from above, they would hide the rest."""
    low, high = np.quantile(xyz[:, 2], [0.001, 0.999])
    return bool(np.mean(xyz[:, 2] > low + CEILING_FROM * (high - low)) > CEILING_SHARE) and high - low > 1.5


def _near(xyz: F32) -> Bool:
    """Which points to draw of a frame with a sparse far end; all of a room."""
    middle = np.median(xyz[:, :2], axis=0)
    away = np.linalg.norm(xyz[:, :2] - middle, axis=1)
    if 2 * float(np.quantile(away, 0.99)) < WIDE:
        return np.ones(len(xyz), np.bool_)
    return np.asarray(away <= np.quantile(away, NEAR_SHARE))


def _thinned(count: int, bought: Bool, few: bool) -> Bool:
    """Every so many points of a very large scene; few bought points all stay."""
    kept = np.zeros(count, np.bool_)
    kept[:: -(-count // MOST_POINTS)] = True
    return kept | bought if few else kept


def _viewed_from(scene: Scene, xyz: F32) -> float | None:
    """The azimuth in degrees of the scene's only camera, from where its surfaces are complete; None without one, or with several."""
    if len(scene.images) != 1 or scene.images[0].camera is None:
        return None
    east, north = scene.images[0].camera.pose[:2, 3] - np.median(xyz[:, :2], axis=0)
    return float(np.degrees(np.arctan2(north, east)))


def _camera(xyz: F32, bought: Bool, few: bool, azimuth: float | None, width: int, height: int) -> tuple[Camera, Bool]:
    """The camera and which points it draws; of a ceiling only bought patches, and those only while they hide little."""
    if not has_ceiling(xyz):
        return overview(xyz, width, height, azimuth=azimuth, elevation=ELEVATION)
    camera, below = overview(xyz, width, height, azimuth=azimuth, elevation=ELEVATION, cut_above=CEILING_FROM - 0.02)
    if few:
        return camera, below | bought
    if np.count_nonzero(bought & ~below) > 0.5 * np.count_nonzero(~below):
        return camera, below
    return overview(xyz, width, height, azimuth=azimuth, elevation=ELEVATION)[0], below | bought


def _dotted(image: U8, xyz: F32, color: U8, camera: Camera) -> U8:
    """The picture with a dot of the same size on each point, dark at its edge."""
    if len(xyz) == 0:
        return image
    depth = (xyz - camera.pose[:3, 3]) @ camera.pose[:3, 2]
    pixel = (np.maximum(depth, 1e-3) / camera.fx).astype(np.float32)
    for paint, size in ((np.broadcast_to(np.array(OUTLINE, np.uint8), color.shape), DOT_PIXELS + 1.2), (color, DOT_PIXELS)):
        dots, index = render(xyz, np.ascontiguousarray(paint), camera, size * pixel, shading=0.0, background=OUTLINE)
        image = np.where((index >= 0)[:, :, None], dots, image)
    return image


def _outlined(image: U8, bought: Array) -> U8:
    """The picture with a line of one pixel around what was bought; specks and holes get none."""
    solid = ndimage.binary_closing(ndimage.binary_opening(bought, iterations=1), iterations=2)
    edge = ndimage.binary_dilation(solid) & ~solid
    return np.where(edge[:, :, None], np.array(OUTLINE, np.uint8), image)
