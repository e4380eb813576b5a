"""Pictures of scenes that have no photographs: drawn from the points, in rooms, around objects, and as a LiDAR scanner sees a street."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from al3d.features.pictures import Views
from al3d.features.view_choice import bearing, most_seen, shown
from al3d.features.view_colours import Paint, check_colours, check_columns, paint
from al3d.features.view_places import standing_places
from al3d.features.view_scans import scanned_around, scanner_place
from al3d.geometry.camera import in_view, look_at, overview, pinhole, project
from al3d.geometry.neighbours import nearest
from al3d.geometry.render import disc_radius, render
from al3d.geometry.thin import thinned, trimmed_box
from al3d.types import F32, F64, U8, Camera, Scene

#: Metres: what is smaller is looked at from around, what is larger from inside.
TABLE = 3.0
#: Points drawn for every pixel of a picture: more cannot be told apart.
POINTS_PER_PIXEL = 8
#: Pictures are drawn at this multiple of their size and averaged.
FINER = 2
BACKGROUND = (236, 238, 242)
NIGHT = (16, 18, 26)


@dataclass(frozen=True)
class RoomViews:
    """`views` pictures of a room from where people could stand in it, u8[size,size,3] each; of small things from around them.

    Eyes are 1.5 m above the floor where nothing stands, in farthest-point order (`standing_places`); of eight directions at every place those are drawn that
    together see most of the surface, with `field_of_view` degrees, 12 degrees downwards. A scene below 3 m, or one that a single camera has seen, is
    looked at from around and above, from the camera's side where there is one; so is a scene in which nobody could stand. `colours`: see `paint`.
    A pure function of the scene: no randomness, the same bytes on any number of threads. Raises: ValueError for an option out of its range.
    """

    views: int = 16
    size: int = 224
    field_of_view: float = 75.0
    colours: str = "auto"

    def __post_init__(self) -> None:
        if self.views < 1:
            raise ValueError(f"views={self.views}: draw at least 1 picture of a scene")
        _check_picture(self.size, self.field_of_view)
        check_colours("colours", self.colours)

    def check(self, scene: Scene) -> None:
        """Every scene can be drawn; the columns that its colours need must be there."""
        check_columns(scene, self.colours)

    def __call__(self, scene: Scene) -> Sequence[U8]:
        rows = thinned(scene.xyz, POINTS_PER_PIXEL * self.size**2)
        xyz = np.ascontiguousarray(scene.xyz[rows])
        colours, radius = paint(scene, self.colours, rows), disc_radius(xyz)
        return [_picture(xyz, colours, camera, radius, BACKGROUND, 0.2) for camera in self.cameras(scene, xyz)]

    def cameras(self, scene: Scene, xyz: F32) -> list[Camera]:
        """The cameras of the pictures; `xyz` f32[M,3] are the points that are drawn."""
        eye = _only_camera(scene)
        if eye is None and _extent(xyz) >= TABLE:
            poses = self._inside(xyz)
            if poses:
                return [pinhole(pose, self.size, self.size, self.field_of_view) for pose in poses]
        return _around(xyz, eye, self.views, self.size)

    def _inside(self, xyz: F32) -> list[F64]:
        """Poses inside the room, none where nobody could stand."""
        places = standing_places(xyz, max(2, -(-self.views // 2)))
        poses, group = [], []
        for number, eye in enumerate(places):
            for turn in np.arange(8) * np.pi / 4 + np.pi / 8:
                poses.append(look_at(eye, eye + [np.cos(turn), np.sin(turn), -np.tan(np.radians(12))]))
                group.append(number)
        if len(poses) < self.views:
            return []
        return [poses[row] for row in most_seen(xyz, poses, group, self.views, max(2, -(-2 * self.views // len(places))), self.field_of_view)]


@dataclass(frozen=True)
class LidarViews:
    """Five pictures of a scan from the scanner's place: front (+x), left, back and right, and a bird's-eye view with the front up.

    The four are u8[H,3*size,3], `field_of_view` degrees wide (90: together all around) and as high as the scanner sees at their middle, so that neither their
    upper nor their lower part is empty; the bird's-eye view is u8[size,size,3] and reaches as far as 90 % of the points, at most `reach` metres. A point
    is drawn as large as the gaps between the scanner's beams around it. What is nearer than `nearest` metres, the scanner's own vehicle, is left out.
    The scanner is at the origin of the file's frame (`scanner_place`). `colours`: see `paint`.
    A pure function of the scene, as `RoomViews`. Raises: ValueError for an option out of its range.
    """

    size: int = 224
    field_of_view: float = 90.0
    reach: float = 40.0
    nearest: float = 2.5
    colours: str = "auto"

    def __post_init__(self) -> None:
        _check_picture(self.size, self.field_of_view)
        if self.nearest < 0:
            raise ValueError(f"nearest={self.nearest}: what is nearer to the scanner than so many metres is not drawn; 0 draws everything")
        if not self.reach > 0:
            raise ValueError(f"reach={self.reach}: the bird's-eye view reaches some metres, such as 40")
        check_colours("colours", self.colours)

    def check(self, scene: Scene) -> None:
        """Refuse a scene without the columns that its colours need, or in whose middle no scanner stood."""
        check_columns(scene, self.colours)
        scanner_place(scene)

    def __call__(self, scene: Scene) -> Sequence[U8]:
        rows = thinned(scene.xyz, 3 * POINTS_PER_PIXEL * self.size**2)
        place = scanner_place(scene)
        far = np.hypot(*(scene.xyz[rows, :2].astype(np.float64) - place[:2]).T) >= self.nearest
        rows = rows[far] if far.any() else rows
        xyz = np.ascontiguousarray((scene.xyz[rows].astype(np.float64) - place).astype(np.float32))
        colours = paint(scene, self.colours, rows)
        beam = _beam_radius(xyz)
        pictures = [_picture(xyz, colours, camera, beam, NIGHT, 0.25) for camera in self._headings(xyz)]
        return [*pictures, _picture(xyz, colours, self._bird(xyz), disc_radius(xyz), NIGHT, 0.25)]

    def _headings(self, xyz: F32) -> list[Camera]:
        width = 3 * self.size
        focal = width / 2 / np.tan(np.radians(self.field_of_view) / 2)
        slope = xyz[:, 2] / np.maximum(np.hypot(xyz[:, 0], xyz[:, 1]), 1e-3)
        low, high = np.clip(np.quantile(slope.astype(np.float64), [0.04, 0.999]), -1.0, 1.0)
        height = int(np.clip(np.ceil(focal * (high - low)), self.size // 4, width))
        middle = focal * (high + low) / 2 + (height - 1) / 2
        headings = ((1, 0, 0), (0, 1, 0), (-1, 0, 0), (0, -1, 0))
        return [Camera(focal, focal, (width - 1) / 2, middle, width, height, look_at((0, 0, 0), way)) for way in headings]

    def _bird(self, xyz: F32) -> Camera:
        ground = np.hypot(xyz[:, 0], xyz[:, 1]).astype(np.float64)
        reach = float(np.clip(np.quantile(ground, 0.9), 0.1, self.reach))
        angle = 20.0
        eye = np.array([0.0, 0.0, reach / np.tan(np.radians(angle / 2))])
        return pinhole(look_at(eye, np.zeros(3), (1, 0, 0)), self.size, self.size, angle)


@dataclass(frozen=True)
class DrawnViews:
    """Drawn pictures whatever the scene is: as `lidar` where one scanner stood in a street (`scanned_around`), else as `room`."""

    room: Views
    lidar: Views

    def check(self, scene: Scene) -> None:
        """As the way that this scene is drawn."""
        self._way(scene).check(scene)

    def __call__(self, scene: Scene) -> Sequence[U8]:
        return self._way(scene)(scene)

    def _way(self, scene: Scene) -> Views:
        return self.lidar if scanned_around(scene) else self.room


def _check_picture(size: int, field_of_view: float) -> None:
    if not 16 <= size <= 4096:
        raise ValueError(f"size={size}: a picture is 16 to 4096 pixels wide")
    if not 10 <= field_of_view <= 120:
        raise ValueError(f"field_of_view={field_of_view}: give 10 to 120 degrees")


def _picture(xyz: F32, colours: Paint, camera: Camera, radius: F32, background: tuple[int, int, int], shading: float) -> U8:
    rgb = colours.seen_from(xyz, camera.pose[:3, 3])
    return render(xyz, rgb, camera, radius, shading=shading, background=background, supersample=FINER)[0]


def _extent(xyz: F32) -> float:
    low, high = trimmed_box(xyz)
    return float((high - low).max())


def _only_camera(scene: Scene) -> F64 | None:
    """The place f64[3] of the camera that saw the scene: of one, or of several that stand together, in whose picture nine tenths of the points lie."""
    cameras = [image.camera for image in scene.images if image.camera is not None]
    if not cameras or max(float(np.linalg.norm(one.pose[:3, 3] - cameras[0].pose[:3, 3])) for one in cameras) > 0.5:
        return None
    some = scene.xyz[:: max(1, len(scene) // 20_000)]
    seen = np.any([in_view(one, *project(one, some)) for one in cameras], axis=0)
    return np.asarray(cameras[0].pose[:3, 3]) if seen.mean() >= 0.9 else None


def _around(xyz: F32, eye: F64 | None, views: int, size: int) -> list[Camera]:
    """Cameras around and above what lies there: 50 degrees to both sides of the one that saw it, or all around what was seen from all sides."""
    middle = np.mean(trimmed_box(xyz), axis=0)
    if eye is not None and np.linalg.norm(eye - middle) > 0:
        (front, lift), spread = bearing(eye - middle), 50.0
    else:
        front, spread = _front(xyz)
        lift = 40.0
    turns = [front + spread * (2 * ((_corput(number, 2) + 0.5) % 1) - 1) for number in range(views)]
    lifts = [float(np.clip(lift + 45 * ((_corput(number, 3) + 0.45) % 1 - 0.45), 10, 80)) for number in range(views)]
    return [overview(xyz, size, size, azimuth=turn, elevation=high, field_of_view=40.0)[0] for turn, high in zip(turns, lifts, strict=True)]


def _front(xyz: F32) -> tuple[float, float]:
    """The azimuth from which a thing hides least, and how far to both sides it can be looked at, in degrees."""
    best = overview(xyz, 64, 64)[0].pose
    front = bearing(-best[:3, 2])[0]
    back = overview(xyz, 64, 64, azimuth=front + 180)[0].pose
    return front, 180.0 if shown(xyz, back, 40.0) >= 0.8 * shown(xyz, best, 40.0) else 60.0


def _corput(number: int, base: int) -> float:
    """The van der Corput sequence: evenly spread however long it is."""
    value, step = 0.0, 1.0
    while number:
        step /= base
        value, number = value + step * (number % base), number // base
    return value


def _beam_radius(xyz: F32) -> F32:
    """A disc radius f32[N] in metres that closes the gaps between the beams of a scanner at the origin.

    On the sphere of directions it is six tenths of the distance to the eighth neighbour, so that it reaches the next row of beams where points follow
    each other four times as closely within a row; at most three times the scan's median.
    """
    distance = np.maximum(np.linalg.norm(xyz, axis=1), np.float32(1e-3))
    direction = (xyz / distance[:, None]).astype(np.float32)
    angle = np.linalg.norm(direction[nearest(direction, 9)[:, -1]] - direction, axis=1)
    radius: F32 = (0.6 * np.minimum(angle, 3 * np.median(angle)) * distance).astype(np.float32)
    return radius
