"""A browser's picture of a query: a thin layer over one viser client. What is drawn is decided elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from al3d.annotate.detail import BACKGROUND, Cloud, dimmed
from al3d.annotate.scenery import Region
from al3d.annotate.sitting import Shown
from al3d.annotate.split import in_rectangle
from al3d.annotate.viewpoint import FIELD_OF_VIEW, Viewpoint
from al3d.geometry.camera import look_at
from al3d.types import F64, I64, U8, Bool, ClassTable

if TYPE_CHECKING:
    import viser

#: The colour that lifts a region out, and how much of it is mixed in.
BRIGHT, MIXED = (255, 206, 0), 0.55
#: What nobody can tell, among the parts of a region that have their class.
UNSURE = (150, 150, 150)
#: A point is drawn so many times as wide as points are apart; a region's own points stand out a little.
WIDTH, OVER = 1.1, 1.2
#: Points of a scene that was thinned leave gaps, so as not to hide the finer ones among them.
THIN = 0.4


class Screen:
    """What one browser window shows; nothing of a scene is sent twice while the scene stays."""

    def __init__(self, client: viser.ClientHandle) -> None:
        self.client = client
        self._cloud: Cloud | None = None
        self._nodes: dict[str, Any] = {}
        self._coarse_true: U8
        self._region: Region | None = None
        client.scene.set_background_image(np.full((1, 1, 3), BACKGROUND, np.uint8), format="png")
        client.camera.fov = np.radians(FIELD_OF_VIEW)

    def on_rectangle(self, act: Callable[[tuple[float, float], tuple[float, float]], None]) -> None:
        """Call `act` with the corners of every rectangle that is drawn with Shift held down."""
        self.client.scene.on_rect_select(modifier="shift")(lambda event: act(event.screen_min, event.screen_max))

    def begin(self, cloud: Cloud) -> None:
        """Show a scene, coarsely and dim, unless it is shown already."""
        if self._cloud is not cloud:
            self.clear()
            self._cloud, self._coarse_true = cloud, cloud.colours(cloud.coarse)
            whole = len(cloud.coarse) == len(cloud.scene.xyz)
            self._points("coarse", cloud, cloud.coarse, dimmed(self._coarse_true), cloud.spacing * (1 if whole else THIN))
            self.client.flush()

    def draw(self, region: Region, shown: Shown, classes: ClassTable, bright: bool = True) -> None:
        """Draw a query of the scene that was begun: the region first, what is around it last."""
        parts, table = [points for _, points in shown.given], dict(zip(classes.names, classes.colors, strict=True))
        paint = [np.full((len(points), 3), table.get(str(name), UNSURE), np.uint8) for name, points in shown.given]
        rest = np.setdiff1d(region.points, np.concatenate([shown.target, *parts]), assume_unique=True)
        rows, colours = np.concatenate([*parts, rest]), np.concatenate([*paint, region.cloud.colours(rest)])
        own = region.cloud.colours(shown.target)
        target = _lifted(own) if bright else own
        self._points("target", region.cloud, shown.target, target, OVER * region.fine)
        self._points("parts", region.cloud, rows, colours, OVER * region.fine)
        self.client.flush()
        self._nodes["coarse"].colors = painted(region, np.concatenate([shown.target, rows]), np.concatenate([target, colours]), self._coarse_true)
        if self._region is not region:
            self._region = region
            self._points("around", region.cloud, region.around.rows, region.cloud.colours(region.around.rows), region.fine)
        self.client.flush()

    def look(self, cloud: Cloud, view: Viewpoint) -> None:
        """Move the camera to a viewpoint."""
        camera, distance = self.client.camera, float(np.linalg.norm(view.eye - view.target))
        with self.client.atomic():
            camera.up_direction = (0.0, 0.0, 1.0)
            camera.position = view.eye - cloud.centre
            camera.look_at = view.target - cloud.centre
            camera.near, camera.far = distance / 200, max(1000.0, 50 * distance)
        self.client.flush()

    def within(self, cloud: Cloud, points: I64, low: tuple[float, float], high: tuple[float, float]) -> Bool:
        """Which of `points` i64[P] lie in a rectangle of the picture (corners 0..1): bool[P]."""
        camera = self.client.camera
        pose: F64 = look_at(camera.position, camera.look_at, camera.up_direction)
        return in_rectangle(cloud.places(points).astype(np.float64), pose, camera.fov, camera.aspect, low, high)

    def clear(self) -> None:
        """Show nothing."""
        for name in list(self._nodes):
            self._nodes.pop(name).remove()
        self._cloud = self._region = None

    def _points(self, name: str, cloud: Cloud, rows: I64, colours: U8, spacing: float) -> None:
        self._nodes[name] = self.client.scene.add_point_cloud(
            f"/{name}", cloud.places(rows), colours, point_size=WIDTH * spacing, point_shape="rounded", precision="float32", point_shading="flat"
        )


def _lifted(colour: U8) -> U8:
    return np.rint((1 - MIXED) * colour + MIXED * np.array(BRIGHT)).astype(np.uint8)


def painted(region: Region, rows: I64, colours: U8, true: U8) -> U8:
    """The colours u8[M,3] of the scene's coarse points: dim, but `true` u8[M,3] around the region, and as `colours` u8[P,3] say in its points `rows` i64[P]."""
    cloud, around = region.cloud, region.around
    near = np.linalg.norm(cloud.scene.xyz[cloud.coarse] - around.middle, axis=1) <= around.reach
    paint = np.where(near[:, None], true, dimmed(true))
    order = np.argsort(rows)
    place = np.minimum(np.searchsorted(rows[order], cloud.coarse), len(rows) - 1)
    among = rows[order][place] == cloud.coarse
    paint[among] = colours[order][place[among]]
    return paint
