"""What a vision network sees in a scene's pictures, brought to the points that the pictures show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import ClassVar

import numba
import numpy as np
from PIL import Image as Photograph
from scipy import sparse

from al3d.features.pictures import Encoder
from al3d.geometry.camera import in_view, project
from al3d.geometry.render import disc_radius
from al3d.geometry.surface import surface_normals
from al3d.rng import generator
from al3d.types import F32, F64, I64, U8, Bool, Camera, Image, Scene

#: The longer side in pixels of the depth picture that says what is hidden: many more than a network has patches.
SIDE = 512
#: A disc covers at most so many of its pixels to each side: what is nearer to the camera fills the picture anyway.
WIDEST = 64
#: So many pixels' width in depth is the most that a surface is taken to fall away within one.
STEEPEST = 30
#: A picture whose sides are otherwise proportioned than its camera's was cut, or is another camera's.
PROPORTION = 0.02


@dataclass(frozen=True)
class Images:
    """Features of patches of a scene's pictures at its points, f32[N,columns+1]; the last column says whether a picture shows the point, else all are 0.

    Each point takes, from the picture in which it is visible and nearest to the camera (the first of equals), the feature of `encoder`'s patches
    at its pixel, bilinear between the patches' centres and that of the nearest patch at the edge. Patches are those of a square grid over the whole picture,
    squeezed or not, and a picture's file may be larger or smaller than its camera says. Of more than `columns` numbers a patch only a fixed Gaussian
    projection is kept, which keeps distances about equal (None: all).
    Visible is what lies behind no disc: every point is a disc in the plane of its nearest 16 points, of `radius` metres (None: what closes a surface as
    densely sampled as around the point, `disc_radius`; between far rings of a LiDAR scan that hides more than there is, and the voxel is a better radius),
    and the nearest disc in each pixel of a depth picture of at most 512 pixels a side is kept. A point behind it by no more than its own radius, the share
    `tolerance` of the depth and what its surface falls away within a pixel is still seen, because neither depths nor poses nor pixels are exact. Discs
    lie in the surface because those that faced the camera would hide a floor seen at a low angle.
    Raises: ValueError naming the option for columns, tolerance or radius that cannot be; `check` and `identity` also FileNotFoundError for pictures
    or weights that are missing.
    Source: features lifted by projection as in OpenScene (Peng et al., CVPR 2023); differs: one picture a point instead of the mean over all,
    and depths of the points instead of depth images.
    """

    VERSION: ClassVar[int] = 1
    points: ClassVar[bool] = False
    anywhere: ClassVar[bool] = False
    name: str
    encoder: Encoder
    columns: int | None = 64
    tolerance: float = 0.02
    radius: float | None = None

    def __post_init__(self) -> None:
        if self.columns is not None and self.columns < 1:
            raise ValueError(f"{self._option}.columns={self.columns}: keep at least 1 number a point, or null for all")
        if not (np.isfinite(self.tolerance) and self.tolerance >= 0):
            raise ValueError(f"{self._option}.tolerance={self.tolerance}: give a share of the depth from 0 on, such as 0.02")
        if self.radius is not None and not (np.isfinite(self.radius) and self.radius > 0):
            raise ValueError(f"{self._option}.radius={self.radius}: give a positive length in metres, or null to go by the points")

    @property
    def identity(self) -> object:
        """How pictures are encoded, the content of the encoder's weights, and how features come to points."""
        return ["Images", self.VERSION, self.encoder, self.fingerprint, self.columns, self.tolerance, self.radius]

    @property
    def parallel(self) -> bool:
        """As the encoder."""
        return self.encoder.parallel

    @property
    def fingerprint(self) -> str:
        """The content of the encoder's weights. Raises: FileNotFoundError, ValueError as the encoder does."""
        with _renamed(self._option):
            return self.encoder.fingerprint

    def check(self, scene: Scene) -> None:
        """Refuse an encoder that cannot run, a scene without pictures, and pictures without a camera or a file."""
        with _renamed(self._option):
            self.encoder.check()
        for path, _ in self._taken(scene):
            if not path.is_file():
                raise FileNotFoundError(f"scene {scene.id!r}: the picture {path} is not there: put it back, or leave {self._option} out")

    def __call__(self, scene: Scene) -> F32:
        taken = self._taken(scene)
        chosen = self._chosen(scene.xyz, [camera for _, camera in taken])
        rows = np.zeros((len(scene), 0), np.float32)
        # where no picture shows anything, one is described all the same: its patches say how many columns there are
        for number in np.unique(chosen[chosen >= 0]).tolist() or [0]:
            path, camera = taken[number]
            patches = self._patches(scene, path, camera)
            if rows.shape[1] == 0:
                rows = np.zeros((len(scene), patches.shape[1] + 1), np.float32)
            inside = np.flatnonzero(chosen == number)
            pixel, _ = project(camera, scene.xyz[inside])
            rows[inside, :-1] = _weights((pixel + 0.5) / [camera.width, camera.height], isqrt(len(patches))) @ patches
            rows[inside, -1] = 1
        return rows

    @property
    def _option(self) -> str:
        return f"net.descriptions.{self.name}"

    def _taken(self, scene: Scene) -> list[tuple[Path, Camera]]:
        """The file and the camera of every picture. Raises: ValueError, FileNotFoundError where there are none."""
        if not scene.images:
            raise ValueError(f"scene {scene.id!r} has no pictures to take features from: give it some (docs/datasets), or leave {self._option} out")
        return [_taken(scene, image) for image in scene.images]

    def _chosen(self, xyz: F32, cameras: list[Camera]) -> I64:
        """The number of the picture that each point takes its feature from, i64[N], -1 where none shows it."""
        normal, _ = surface_normals(xyz)
        radius = disc_radius(xyz) if self.radius is None else np.full(len(xyz), self.radius, np.float32)
        chosen, nearest = np.full(len(xyz), -1), np.full(len(xyz), np.inf)
        for number, camera in enumerate(cameras):
            away = np.linalg.norm(xyz - camera.pose[:3, 3], axis=1)
            better = (away < nearest) & visible(xyz, normal, radius, camera, self.tolerance)
            chosen[better], nearest[better] = number, away[better]
        return chosen

    def _patches(self, scene: Scene, path: Path, camera: Camera) -> F32:
        """The features of a picture's patches, row by row: f32[side*side,D] of at most `columns` numbers."""
        rows = self.encoder.patches(_picture(scene, path, camera))
        if isqrt(len(rows)) ** 2 != len(rows):
            raise ValueError(
                f"scene {scene.id!r}: {self._option}.encoder gives {len(rows)} patches of {path}, which are no square grid over it: "
                f"take another encoder; of the handcrafted one, which leaves empty patches out, set {self._option}.encoder.backgrounds=[]"
            )
        width = rows.shape[1]
        if self.columns is None or width <= self.columns:
            return rows
        matrix = generator("patches of pictures", width, self.columns).standard_normal((width, self.columns), dtype=np.float32)
        return np.asarray(rows @ (matrix / np.float32(np.sqrt(self.columns))), np.float32)


def visible(xyz: F32, normal: F32, radius: F32, camera: Camera, tolerance: float) -> Bool:
    """Which points xyz f32[N,3] a camera sees, bool[N]; `normal` f32[N,3] and `radius` f32[N] metres of their discs, `tolerance` a share of the depth."""
    pixel, depth = project(camera, xyz)
    shown = in_view(camera, pixel, depth)
    scale = min(1.0, SIDE / max(camera.width, camera.height))
    height, width = (int(np.ceil(side * scale)) for side in (camera.height, camera.width))
    lens = np.array([camera.fx, camera.fy, camera.cx + 0.5, camera.cy + 0.5]) * scale - np.array([0, 0, 0.5, 0.5])
    turn = np.ascontiguousarray(camera.pose[:3, :3])
    seen = (xyz.astype(np.float64) - camera.pose[:3, 3]) @ turn
    facing = normal.astype(np.float64) @ turn
    front = _front(seen, facing, radius.astype(np.float64), lens, height, width)
    column, row = np.floor((pixel[shown] + 0.5) * scale).astype(np.int64).T
    before = front[np.minimum(row, height - 1), np.minimum(column, width - 1)]
    shown[shown] = depth[shown] <= before * (1 + tolerance) + radius[shown] + _falls(seen[shown], facing[shown], lens)
    return shown


def _falls(seen: F64, facing: F64, lens: F64) -> F64:
    """By how many metres of depth the surface of each point falls away within a pixel, f64[n]; never more than `STEEPEST` pixels are wide there."""
    across = np.abs(facing[:, :2]) / lens[:2]
    towards = np.abs(np.einsum("ni,ni->n", facing, seen)) / seen[:, 2]
    steepest = STEEPEST / lens[:2].min()
    return np.asarray(seen[:, 2] * np.minimum(across.sum(axis=1) / np.maximum(towards, 1e-9), steepest))


@numba.njit(cache=True)
def _front(seen: F64, normal: F64, radius: F64, lens: F64, height: int, width: int) -> F64:  # pragma: no cover
    """The depth f64[H,W] of the nearest disc at the middle of every pixel, infinite where there is none; points and normals in the camera's frame."""
    front = np.full((height, width), np.inf)
    for i in range(len(seen)):
        x, y, z, r = seen[i, 0], seen[i, 1], seen[i, 2], radius[i]
        if z <= 1e-6:
            continue
        column, row = lens[0] * x / z + lens[2], lens[1] * y / z + lens[3]
        wide, high = min(lens[0] * r / z, WIDEST) + 0.5, min(lens[1] * r / z, WIDEST) + 0.5
        if column + wide < 0 or column - wide > width or row + high < 0 or row - high > height:
            continue
        own_column, own_row = int(np.floor(column + 0.5)), int(np.floor(row + 0.5))
        away = normal[i, 0] * x + normal[i, 1] * y + normal[i, 2] * z
        for v in range(max(0, int(np.floor(row - high + 0.5))), min(height - 1, int(np.floor(row + high + 0.5))) + 1):
            for u in range(max(0, int(np.floor(column - wide + 0.5))), min(width - 1, int(np.floor(column + wide + 0.5))) + 1):
                a, b = (u - lens[2]) / lens[0], (v - lens[3]) / lens[1]
                slope = normal[i, 0] * a + normal[i, 1] * b + normal[i, 2]
                place = away / slope if abs(slope) > 1e-9 else -1.0
                if place <= 0 or (place * a - x) ** 2 + (place * b - y) ** 2 + (place - z) ** 2 > r * r:
                    if u != own_column or v != own_row:
                        continue
                    place = z  # a disc seen from its edge still fills the pixel of its centre
                front[v, u] = min(front[v, u], place)
    return front


def _weights(place: F64, side: int) -> sparse.csr_matrix:
    """What each of n places (column, row as shares of the picture, f64[n,2]) takes of every patch, [n,side*side]: bilinear, four patches a place."""
    at = np.clip(place * side - 0.5, 0, side - 1)
    low = at.astype(np.int64)
    high, share = np.minimum(low + 1, side - 1), at - low
    corners = [(low, 1 - share), (high, share)]
    patch = np.stack([row[:, 1] * side + column[:, 0] for row, _ in corners for column, _ in corners], axis=1)
    weight = np.stack([down[:, 1] * right[:, 0] for _, down in corners for _, right in corners], axis=1)
    return sparse.csr_matrix((weight.ravel().astype(np.float32), patch.ravel(), np.arange(0, 4 * len(at) + 1, 4)), shape=(len(at), side * side))


@contextmanager
def _renamed(option: str) -> Iterator[None]:
    """Let an encoder's errors name its options where they are when it describes points."""
    try:
        yield
    except (FileNotFoundError, ValueError) as error:
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
        raise kind(str(error).replace("features.encoder.", f"{option}.encoder.")) from error


def _taken(scene: Scene, image: Image) -> tuple[Path, Camera]:
    """A picture's file and its camera. Raises: ValueError, FileNotFoundError when it has not both."""
    if image.path is None:
        raise FileNotFoundError(
            f"scene {scene.id!r}: a picture was not there when the scene was prepared (in a folder of scans: images/{scene.id}.jpg or .png): "
            "add it and prepare again"
        )
    if image.camera is None:
        raise ValueError(
            f"scene {scene.id!r}: the picture {image.path} has no camera, so nobody knows which points it shows: write `camera:` in dataset.yaml "
            "(fx, fy, cx, cy, width, height; docs/datasets/folder.md)"
        )
    return image.path, image.camera


def _picture(scene: Scene, path: Path, camera: Camera) -> U8:
    """A picture u8[H,W,3]. Raises: ValueError naming a file that cannot be read, or that its camera did not take."""
    try:
        with Photograph.open(path) as file:
            picture = np.asarray(file.convert("RGB"), dtype=np.uint8)
    except (OSError, SyntaxError) as error:
        raise ValueError(f"scene {scene.id!r}: the picture {path} cannot be read ({error}): replace it") from error
    height, width = picture.shape[:2]
    if abs(width * camera.height / (height * camera.width) - 1) > PROPORTION:
        raise ValueError(
            f"scene {scene.id!r}: the picture {path} has {width}x{height} pixels, its camera {camera.width}x{camera.height}: a picture may be "
            "larger or smaller than its camera says, but not cut; mend the picture or its camera"
        )
    return picture
