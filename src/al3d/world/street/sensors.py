"""The scanners that drive through a street, and their cameras."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from al3d.types import F64, Camera
from al3d.world.street.parts import turned


@dataclass(frozen=True)
class Lens:
    """A camera on the roof.

    Where it sits in the scanner's frame (metres), where it looks (degrees, left is positive), its intrinsics in pixels.
    """

    name: str
    place: tuple[float, float, float]
    yaw: float
    focal: float
    centre: tuple[float, float]
    size: tuple[int, int]

    def camera(self) -> Camera:
        """The camera with its pose in the scanner's frame."""
        pose = np.eye(4)
        pose[:3, :3] = turned(0.0, 0.0, self.yaw) @ np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
        pose[:3, 3] = self.place
        return Camera(self.focal, self.focal, *self.centre, *self.size, pose)

    def scaled(self, factor: float) -> Lens:
        """The same view in fewer (or more) pixels; the centres of pixels are whole numbers."""
        width, height = (max(1, round(length * factor)) for length in self.size)
        centre = ((self.centre[0] + 0.5) * factor - 0.5, (self.centre[1] + 0.5) * factor - 0.5)
        return replace(self, focal=self.focal * factor, centre=centre, size=(width, height))


@dataclass(frozen=True)
class Sensor:
    """A turning scanner.

    `elevations` in degrees, one per beam, the lowest first; `columns` firings a turn; `start` and `clockwise` say where the turn begins
    (degrees, 0 forward, left positive) and how it goes; `by_ring` orders the points ring by ring from the top (else column by column, the
    lowest beam first). `mount` metres above the road, `rate` sweeps a second, `reach` metres, `noise` metres; an intensity i is recorded as
    `gain` * i ** `gamma`, at least about `floor`, in `levels` steps. `keeps_empty` writes a firing without an echo
    as a point at the scanner, and echoes of the own vehicle's roof, the top of a box from `roof[0]` to `roof[1]` in the scanner's frame, as
    they are: else both are left out.
    """

    name: str
    elevations: tuple[float, ...]
    columns: int
    start: float
    clockwise: bool
    by_ring: bool
    mount: float
    rate: float
    reach: float
    noise: float
    gain: float
    gamma: float
    floor: float
    levels: int
    keeps_empty: bool
    roof: tuple[tuple[float, float, float], tuple[float, float, float]]
    cameras: tuple[Lens, ...]

    def azimuths(self) -> F64:
        """The direction of every firing in radians, f64[columns], in the order of time."""
        turn = np.arange(self.columns) * (360.0 / self.columns)
        return np.asarray(np.radians(self.start + (-turn if self.clockwise else turn)))

    def thinned(self, columns: int) -> Sensor:
        """The same scanner with fewer firings a turn."""
        return replace(self, columns=columns)

    def with_pictures(self, factor: float) -> Sensor:
        """The same scanner whose pictures are `factor` times as wide and high."""
        return replace(self, cameras=tuple(lens.scaled(factor) for lens in self.cameras))


_LOWER, _UPPER = np.linspace(-23.75, -8.3, 32), np.linspace(-7.75, 2.4, 32)
_KITTI = Lens("image_2", (0.27, 0.06, -0.08), 0.0, 721.5377, (609.5593, 172.854), (1242, 375))
_SIX = (
    Lens("CAM_FRONT", (0.76, 0.02, -0.33), 0.0, 1266.4, (816.3, 491.5), (1600, 900)),
    Lens("CAM_FRONT_RIGHT", (0.61, -0.50, -0.34), -56.0, 1260.8, (807.9, 495.3), (1600, 900)),
    Lens("CAM_BACK_RIGHT", (0.07, -0.48, -0.28), -110.5, 1259.5, (807.3, 501.2), (1600, 900)),
    Lens("CAM_BACK", (-0.91, 0.0, -0.26), 180.0, 809.2, (829.2, 481.8), (1600, 900)),
    Lens("CAM_BACK_LEFT", (0.09, 0.48, -0.27), 108.0, 1256.7, (792.1, 492.8), (1600, 900)),
    Lens("CAM_FRONT_LEFT", (0.58, 0.49, -0.33), 55.0, 1272.6, (826.6, 479.8), (1600, 900)),
)

#: Like SemanticKITTI's: about 120 000 points, ring by ring from the top, anticlockwise from ahead; one picture, half as wide as the real one.
HDL64 = Sensor(
    name="HDL64",
    elevations=tuple(float(angle) for angle in np.concatenate([_LOWER, _UPPER])),
    columns=2170, start=0.05, clockwise=False, by_ring=True, mount=1.73, rate=10.0, reach=80.0, noise=0.02, gain=1.0, gamma=1.0, floor=0.0, levels=100,
    keeps_empty=False, roof=((-1.25, -0.62, -1.7), (1.2, 0.62, -0.45)), cameras=(_KITTI.scaled(0.5),),
)  # fmt: skip
#: Like nuScenes': 1 084 columns of 32 echoes, clockwise from the left, firings without echo written as points at the scanner; six pictures.
HDL32 = Sensor(
    name="HDL32",
    elevations=tuple(-30.65 + 41.31 / 31 * beam for beam in range(32)),
    columns=1084, start=98.0, clockwise=True, by_ring=False, mount=1.84, rate=2.0, reach=100.0, noise=0.02, gain=1.9, gamma=3.0, floor=0.02, levels=255,
    keeps_empty=True, roof=((-0.95, -0.62, -1.84), (0.7, 0.62, -0.35)), cameras=tuple(lens.scaled(0.25) for lens in _SIX),
)  # fmt: skip
#: A quarter of HDL64's firings, for quick experiments.
THIN = HDL64.thinned(480)
