"""Features of pictures at points: which picture a point is told by, what is hidden, and what is between patches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from numpy.typing import NDArray
from omegaconf import OmegaConf
from PIL import Image as Photograph

from al3d.data.hashing import hash_of
from al3d.data.sources.folder import Folder
from al3d.features import vit_official
from al3d.features.handcrafted import Handcrafted
from al3d.features.vision import Vision
from al3d.features.vit import Shape, VisionTransformer
from al3d.features.vit_official import Official
from al3d.geometry.camera import look_at, pinhole, project
from al3d.geometry.render import disc_radius
from al3d.geometry.surface import surface_normals
from al3d.probes.description import Description, described
from al3d.probes.images import Images, visible
from al3d.rng import generator
from al3d.types import F32, F64, U8, Bool, Camera, Image, Scene

CONF = Path(__file__).resolve().parents[2] / "conf" / "description"
OSD = Path(__file__).parents[3] / "shared" / "data" / "osd"
Triple = tuple[float, float, float]
Boxes = tuple[tuple[Triple, Triple, Triple], ...]
RED, BLUE, GREY = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.5, 0.5, 0.5)
#: A floor, a wall at x = 3 and a box of half a metre before it: lowest corner, highest corner, colour.
ROOM: Boxes = (((0, 0, -0.5), (4, 4, 0), GREY), ((3.0, 0, 0), (3.4, 4, 2), BLUE), ((1.5, 1.5, 0), (2.0, 2.0, 0.8), RED))


@dataclass(frozen=True)
class MeanColour:
    """The mean colour 0..1 of `side` x `side` patches of a picture; `weights` stands for a file's content."""

    side: int = 32
    weights: str = "none"

    @property
    def fingerprint(self) -> str:
        if self.weights == "missing":
            raise FileNotFoundError("features.encoder.weights=here.pth is not there")
        return self.weights

    @property
    def parallel(self) -> bool:
        return True

    def check(self) -> None:
        _ = self.fingerprint

    def __call__(self, pictures: Sequence[U8]) -> F32:
        raise AssertionError("a whole picture says nothing about a point")

    def patches(self, picture: U8) -> F32:
        small = Photograph.fromarray(picture).resize((self.side, self.side), Photograph.Resampling.BOX)
        return np.asarray(np.asarray(small, np.float32).reshape(-1, 3) / 255, np.float32)


def eye_of(camera: Camera) -> F64:
    return camera.pose[:3, 3]


def hits(eye: F64, way: F64, boxes: Boxes = ROOM) -> tuple[F64, NDArray[np.int64]]:
    """How far along rays eye + t * way f64[N,3] the first box is (inf: none), and which one."""
    first, which = np.full(len(way), np.inf), np.full(len(way), -1)
    with np.errstate(divide="ignore", invalid="ignore"):
        for number, (low, high, _) in enumerate(boxes):
            one, other = (np.array(low) - eye) / way, (np.array(high) - eye) / way
            enter, leave = np.minimum(one, other).max(axis=1), np.maximum(one, other).min(axis=1)
            nearer = (enter <= leave) & (enter > 0) & (enter < first)
            first[nearer], which[nearer] = enter[nearer], number
    return first, which


def photograph(camera: Camera, path: Path, boxes: Boxes = ROOM) -> Image:
    """A picture of the boxes, ray by ray; black where there are none."""
    column, row = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    way = np.stack([(column - camera.cx) / camera.fx, (row - camera.cy) / camera.fy, np.ones(column.shape)], axis=-1).reshape(-1, 3)
    _, which = hits(eye_of(camera), way @ camera.pose[:3, :3].T, boxes)
    colours = np.array([*(colour for *_, colour in boxes), (0, 0, 0)])
    picture = np.rint(colours[which] * 255).astype(np.uint8).reshape(camera.height, camera.width, 3)
    Photograph.fromarray(picture).save(path)
    return Image(path, camera)


def surfaces(spacing: float = 0.04, boxes: Boxes = ROOM) -> tuple[F32, NDArray[np.int64]]:
    """Points on all sides of the boxes, jittered, and the box of each."""
    points, which = [], []
    for number, (low, high, _) in enumerate(boxes):
        size = np.array(high) - low
        for axis in range(3):
            for end in (low, high):
                u, v = (other for other in range(3) if other != axis)
                steps = [np.arange(spacing / 2, size[other], spacing) for other in (u, v)]
                grid = np.stack(np.meshgrid(*steps), axis=-1).reshape(-1, 2)
                side = np.zeros((len(grid), 3))
                side[:, [u, v]] = grid + generator("side", number, axis).uniform(-0.3, 0.3, grid.shape) * spacing + np.array(low)[[u, v]]
                side[:, axis] = end[axis]
                points.append(side)
                which.append(np.full(len(side), number))
    return np.concatenate(points).astype(np.float32), np.concatenate(which)


def seen_by_rays(camera: Camera, xyz: F32, boxes: Boxes = ROOM) -> Bool:
    """The slow twin of `visible`: nothing is on the way from the camera to the point, and it is inside the picture."""
    way = xyz.astype(np.float64) - eye_of(camera)
    first, _ = hits(eye_of(camera), way, boxes)
    local = way @ camera.pose[:3, :3]
    with np.errstate(divide="ignore", invalid="ignore"):
        column, row = camera.fx * local[:, 0] / local[:, 2] + camera.cx, camera.fy * local[:, 1] / local[:, 2] + camera.cy
    inside = (local[:, 2] > 0) & (column >= -0.5) & (column < camera.width - 0.5) & (row >= -0.5) & (row < camera.height - 0.5)
    return inside & (first > 0.999)


def scene_of(xyz: F32, *images: Image) -> Scene:
    return Scene("made", np.ascontiguousarray(xyz, np.float32), np.zeros((len(xyz), 1), np.float32), images=images)


def front(width: int = 320, height: int = 240) -> Camera:
    return pinhole(look_at([0.2, 1.0, 1.2], [2.2, 1.9, 0.4]), width, height, 70.0)


def sees(camera: Camera, xyz: F32, tolerance: float = 0.02) -> Bool:
    return visible(xyz, surface_normals(xyz)[0], disc_radius(xyz), camera, tolerance)


# What is hidden.


@pytest.mark.parametrize(
    "camera",
    [
        front(),
        front(1296, 968),
        front(90, 40),
        pinhole(look_at([0.1, 2, 0.25], [3, 2, 0.2]), 400, 300, 60.0),
        pinhole(look_at([2, 2, 6], [2, 2, 0]), 400, 400, 60.0),
    ],
    ids=["front", "large", "small", "low", "above"],
)
def test_what_is_visible_is_what_rays_reach(camera: Camera) -> None:
    xyz, _ = surfaces()
    found, expected = sees(camera, xyz), seen_by_rays(camera, xyz)
    assert 0.02 < expected.mean() < 0.9
    assert (found == expected).mean() > 0.93 and found[expected].mean() > 0.93
    assert found[~expected].mean() < 0.1, "those near the edge of what hides them, within the tolerance"


@pytest.mark.parametrize("spacing", [0.02, 0.05, 0.12])
def test_a_sparse_wall_hides_what_is_behind_it(spacing: float) -> None:
    """Two parallel walls a metre apart: through gaps of many pixels the far one would be seen."""
    walls = (((1, -2, -2), (1.0, 2, 2), RED), ((2, -1, -1), (2.0, 1, 1), BLUE))
    across = np.arange(-2, 2, spacing)
    near = np.stack([np.ones(len(across) ** 2), *(part.ravel() for part in np.meshgrid(across, across))], axis=1)
    far = near[(np.abs(near[:, 1:]) < 0.9).all(axis=1)] + [1, 0.37 * spacing, 0.41 * spacing]
    xyz = np.concatenate([near, far]).astype(np.float32)
    camera = pinhole(look_at([0, 0, 0], [1, 0, 0]), 640, 640, 60.0)
    found, inside = sees(camera, xyz), seen_by_rays(camera, xyz, walls[:1])
    assert inside[: len(near)].sum() > 50 and found[: len(near)][inside[: len(near)]].all() and found[len(near) :].mean() < 0.01


def test_a_floor_at_a_low_angle_does_not_hide_itself() -> None:
    across = np.arange(-10, 10, 0.1)
    floor = np.stack([*(part.ravel() for part in np.meshgrid(np.arange(1, 30, 0.1), across)), np.zeros(290 * len(across))], axis=1).astype(np.float32)
    camera = pinhole(look_at([0, 0, 1.2], [10, 0, 1.0]), 1242, 375, 80.0)
    inside = seen_by_rays(camera, floor, ())
    assert inside.sum() > 10_000 and sees(camera, floor)[inside].mean() > 0.99


def test_tolerance_is_a_share_of_the_depth() -> None:
    """A wall 10 cm before another, five metres away: hidden when one may be 1 % off, seen when 3 %."""
    across = np.arange(-1, 1, 0.02)
    near = np.stack([np.full(len(across) ** 2, 5.0), *(part.ravel() for part in np.meshgrid(across, across))], axis=1)
    xyz = np.concatenate([near, near[(np.abs(near[:, 1:]) < 0.9).all(axis=1)] + [0.1, 0, 0]]).astype(np.float32)
    camera = pinhole(look_at([0, 0, 0], [1, 0, 0]), 640, 640, 40.0)
    behind = slice(len(near), None)
    assert not sees(camera, xyz, 0.01)[behind].any() and sees(camera, xyz, 0.03)[behind].all()


def test_few_points_are_described(tmp_path: Path) -> None:
    image = photograph(front(), tmp_path / "a.png")
    for points in ([[2.0, 1.75, 0.4]], [[1.5, 1.75, 0.4]] * 3, [[1.5, 1.7, 0.4], [1.5, 1.8, 0.4]]):
        rows = Images("mean", MeanColour())(scene_of(np.array(points, np.float32), image))
        assert rows.shape == (len(points), 4) and np.isfinite(rows).all() and (rows[:, -1] == 1).all()


# Which feature a point has.


def test_points_have_the_colour_of_what_the_picture_shows_there(tmp_path: Path) -> None:
    camera = front()
    xyz, which = surfaces()
    rows = Images("mean", MeanColour(80))(scene_of(xyz, photograph(camera, tmp_path / "a.png")))
    assert rows.dtype == np.float32 and rows.shape == (len(xyz), 4)
    shown = rows[:, -1] == 1
    assert set(np.unique(rows[:, -1])) == {0, 1} and (rows[~shown] == 0).all()
    assert np.array_equal(shown, sees(camera, xyz))
    colour = np.array([colour for *_, colour in ROOM])[which]
    for number in range(3):
        right = np.abs(rows[:, :3] - colour).max(axis=1)[shown & (which == number)] < 0.1
        assert len(right) > 100 and right.mean() > 0.85, f"box {number}: {right.mean():.2f}"
    assert shown[(which == 2) & (xyz[:, 0] == 2.0)].mean() < 0.15, "the box's far side, but for its edges"
    assert shown[(which == 1) & (xyz[:, 0] > 3.39)].mean() < 0.02, "the wall's far side"


def test_what_one_picture_does_not_see_is_told_by_the_other(tmp_path: Path) -> None:
    """The wall behind the box is seen from the side; each picture is of another colour, so that one knows which told."""
    xyz, which = surfaces()
    cameras = [front(), pinhole(look_at([2.6, 3.8, 0.8], [3.0, 1.7, 0.4]), 300, 300, 60.0)]
    images = [painted(tmp_path / f"{number}.png", camera, colour) for number, (camera, colour) in enumerate(zip(cameras, (RED, BLUE), strict=True))]
    first, second = (sees(camera, xyz) for camera in cameras)
    assert (first & ~second).sum() > 500 and (second & ~first).sum() > 500 and (first & second).sum() > 500
    rows = Images("mean", MeanColour())(scene_of(xyz, *images))
    assert np.allclose(rows[first & ~second], [*RED, 1], atol=1e-5) and np.allclose(rows[second & ~first], [*BLUE, 1], atol=1e-5)
    assert (rows[~first & ~second] == 0).all()
    nearer = np.linalg.norm(xyz - eye_of(cameras[0]), axis=1) <= np.linalg.norm(xyz - eye_of(cameras[1]), axis=1)
    both = first & second
    assert np.allclose(rows[both & nearer], [*RED, 1], atol=1e-5) and np.allclose(rows[both & ~nearer], [*BLUE, 1], atol=1e-5)
    turned = Images("mean", MeanColour())(scene_of(xyz, *images[::-1]))
    assert np.array_equal(turned, rows), "the order of the pictures says nothing"


def painted(path: Path, camera: Camera, colour: Triple) -> Image:
    picture = np.broadcast_to(np.rint(np.array(colour) * 255).astype(np.uint8), (camera.height, camera.width, 3))
    Photograph.fromarray(np.ascontiguousarray(picture)).save(path)
    return Image(path, camera)


def test_the_first_of_equally_near_pictures_tells(tmp_path: Path) -> None:
    xyz, _ = surfaces()
    images = [painted(tmp_path / "a.png", front(), RED), painted(tmp_path / "b.png", front(), BLUE)]
    rows = Images("mean", MeanColour())(scene_of(xyz, *images))
    assert np.allclose(rows[rows[:, -1] == 1], [*RED, 1], atol=1e-5)


def test_points_behind_the_camera_and_beside_the_view_have_zeros(tmp_path: Path) -> None:
    camera = pinhole(look_at([0, 0, 1], [1, 0, 1]), 200, 100, 60.0)
    xyz = np.array([[2, 0, 1], [-2, 0, 1], [2, 3, 1], [2, 0, 4], [0, 0, 1], [2, 0.3, 1.2]], np.float32)
    rows = Images("mean", MeanColour())(scene_of(xyz, painted(tmp_path / "a.png", camera, GREY)))
    assert rows[:, -1].tolist() == [1, 0, 0, 0, 0, 1] and (rows[rows[:, -1] == 0] == 0).all() and (rows[rows[:, -1] == 1, :3] > 0.4).all()


def test_a_scene_that_no_picture_shows_has_as_many_columns(tmp_path: Path) -> None:
    camera = pinhole(look_at([0, 0, 1], [1, 0, 1]), 200, 100, 60.0)
    images = [painted(tmp_path / "a.png", camera, GREY), painted(tmp_path / "b.png", camera, RED)]
    rows = Images("mean", MeanColour())(scene_of(np.full((5, 3), -3, np.float32), *images))
    assert rows.shape == (5, 4) and not rows.any()


@pytest.mark.parametrize("size", [(320, 240), (200, 400), (33, 17), (1, 1)])
def test_features_are_bilinear_between_the_patches_of_the_squeezed_picture(size: tuple[int, int], tmp_path: Path) -> None:
    """Against every patch's tent: a picture is squeezed, its patches are its parts, and beyond the outermost centres nothing changes."""
    side, random = 6, generator("bilinear", *size)
    width, height = size
    camera = Camera(0.7 * width, 0.7 * height, 0.45 * width, 0.55 * height, width, height)
    Photograph.fromarray(random.integers(0, 256, (height, width, 3)).astype(np.uint8)).save(tmp_path / "a.png")
    across = random.uniform(-1, 1, (400, 2))
    xyz = np.concatenate([across, np.ones((400, 1))], axis=1).astype(np.float32)
    rows = Images("mean", MeanColour(side), radius=1e-6)(scene_of(xyz, Image(tmp_path / "a.png", camera)))
    patches = MeanColour(side).patches(np.asarray(Photograph.open(tmp_path / "a.png"))).reshape(side, side, 3)
    share = np.stack([0.7 * xyz[:, 0] + (0.45 * width + 0.5) / width, 0.7 * xyz[:, 1] + (0.55 * height + 0.5) / height], axis=1)
    shown = ((share >= 0) & (share < 1)).all(axis=1)
    assert 100 < shown.sum() < 400
    for row, place in zip(rows[shown], share[shown], strict=True):
        at = np.clip(place * side, 0.5, side - 0.5)
        tents = [np.maximum(0, 1 - np.abs(at[axis] - (np.arange(side) + 0.5))) for axis in range(2)]
        assert np.allclose(row[:3], np.einsum("x,y,yxc->c", *tents, patches), atol=1e-4) and row[3] == 1
    assert (rows[~shown] == 0).all()


def test_a_picture_may_be_smaller_than_its_camera_says(tmp_path: Path) -> None:
    image = photograph(front(), tmp_path / "a.png")
    with Photograph.open(tmp_path / "a.png") as whole:
        whole.resize((160, 120), Photograph.Resampling.BOX).save(tmp_path / "half.png")
    xyz, _ = surfaces()
    describe = Images("mean", MeanColour(20))
    rows = describe(scene_of(xyz, image))
    assert np.abs(describe(scene_of(xyz, replace(image, path=tmp_path / "half.png"))) - rows).max() < 0.02


def test_rows_follow_the_points(tmp_path: Path) -> None:
    image = photograph(front(), tmp_path / "a.png")
    xyz, _ = surfaces()
    order = generator("order").permutation(len(xyz))
    rows, mixed = (Images("mean", MeanColour())(scene_of(points, image)) for points in (xyz, xyz[order]))
    assert (mixed == rows[order]).all(axis=1).mean() > 0.999, "of equally far neighbours the first makes the disc"


@dataclass(frozen=True)
class Wide:
    """Random features of 100 numbers for 16 x 16 patches, without a picture."""

    fingerprint: str = ""
    parallel: bool = False
    count: int = 256

    def check(self) -> None:
        pass

    def __call__(self, pictures: Sequence[U8]) -> F32:
        raise AssertionError

    def patches(self, picture: U8) -> F32:
        return generator("wide").standard_normal((self.count, 100), dtype=np.float32)


def test_wide_patches_are_projected(tmp_path: Path) -> None:
    scene = scene_of(surfaces()[0], photograph(front(), tmp_path / "a.png"))
    narrow, whole = Images("wide", Wide()), Images("wide", Wide(), columns=None)
    rows, all_of_them = narrow(scene), whole(scene)
    assert rows.shape[1] == 65 and all_of_them.shape[1] == 101 and np.array_equal(rows[:, -1], all_of_them[:, -1])
    assert np.array_equal(narrow(scene), rows) and Images("mean", MeanColour(), columns=3)(scene).shape[1] == 4
    some = generator("pairs").choice(np.flatnonzero(rows[:, -1]), (2, 500))
    ratio = np.linalg.norm(rows[some[0]] - rows[some[1]], axis=1) / np.maximum(np.linalg.norm(all_of_them[some[0]] - all_of_them[some[1]], axis=1), 1e-6)
    assert 0.9 < np.median(ratio[some[0] != some[1]]) < 1.1
    assert not narrow.parallel and Images("mean", MeanColour()).parallel


# Our own encoders, and real pictures.


def test_vision_transformers_and_handcrafted_fields_have_a_square_grid(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small = Official("dino small", Shape(patch=16, width=24, depth=2, heads=3), "dino/small.pth")
    monkeypatch.setattr(vit_official, "_PUBLISHED", (*vit_official._PUBLISHED, small))
    torch.manual_seed(0)
    torch.save(VisionTransformer(small.shape).state_dict(), tmp_path / "small.pth")
    scene = scene_of(surfaces()[0], photograph(front(), tmp_path / "a.png"))
    vision = Images("dino", Vision("dino", "small", weights=str(tmp_path / "small.pth"), pixels=64, device="cpu"))
    vision.check(scene)
    rows = vision(scene)
    assert rows.shape == (len(scene), 25) and np.isfinite(rows).all() and np.ptp(rows[rows[:, -1] == 1], axis=0)[:-1].min() > 1e-4
    fields = Images("handcrafted", Handcrafted(size=128, cells=4, backgrounds=()))(scene)
    assert fields.shape == (len(scene), 65) and fields.any()
    blank = photograph(pinhole(look_at([0, 0, 1], [0, 0, 3]), 64, 64), tmp_path / "sky.png")
    with pytest.raises(ValueError, match=r"200 patches of .*sky\.png, which are no square grid .* net\.descriptions\.wide\.encoder\.backgrounds=\[\]"):
        Images("wide", Wide(count=200))(scene_of(surfaces()[0], blank))


@pytest.mark.skipif(not OSD.is_dir(), reason="the osd scans are not here")
def test_real_scans_agree_with_their_pictures() -> None:
    """A point's own colour against its patch's mean, for voxels of 1 cm; another scene's picture agrees with far fewer."""
    source = Folder(OSD)
    scene, _ = source.read("learn_05")
    other, _ = source.read("test_00")
    describe = Images("mean", MeanColour(80))
    describe.check(scene)
    rows = described([describe, OwnColour()], scene, 0.01)
    seen, near = rows[:, 3] == 1, np.abs(rows[:, :3] - rows[:, 4:]).max(axis=1)
    assert seen.mean() > 0.97, "a cloud is what its own camera saw"
    assert np.median(near[seen]) < 0.04 and (near[seen] < 0.1).mean() > 0.85
    assert other.images[0].path is not None
    wrong = described([describe, OwnColour()], replace(scene, images=(replace(scene.images[0], path=other.images[0].path),)), 0.01)
    assert (np.abs(wrong[:, :3] - wrong[:, 4:]).max(axis=1)[seen] < 0.1).mean() < 0.7


@dataclass(frozen=True)
class OwnColour:
    name = identity = "own"
    parallel = anywhere = True
    points = False

    def check(self, scene: Scene) -> None:
        pass

    def __call__(self, scene: Scene) -> F32:
        return scene.feat


# What is refused, and what tells files apart.


def test_says_what_is_missing(tmp_path: Path) -> None:
    xyz, image, describe = surfaces(0.2)[0], photograph(front(), tmp_path / "a.png"), Images("dino", MeanColour())
    describe.check(scene_of(xyz, image))
    for call in (describe.check, describe):
        with pytest.raises(ValueError, match=r"scene 'made' has no pictures to take features from: .* leave net\.descriptions\.dino out"):
            call(scene_of(xyz))
        with pytest.raises(ValueError, match=r"the picture .*a\.png has no camera, .*: write `camera:` in dataset\.yaml"):
            call(scene_of(xyz, image, replace(image, camera=None)))
        with pytest.raises(FileNotFoundError, match=r"was not there when the scene was prepared .*images/made\.jpg"):
            call(scene_of(xyz, replace(image, path=None)))
    with pytest.raises(FileNotFoundError, match=r"the picture .*gone\.png is not there"):
        describe.check(scene_of(xyz, image, replace(image, path=tmp_path / "gone.png")))
    missing = Images("dino", MeanColour(weights="missing"))
    with pytest.raises(FileNotFoundError, match=r"^net\.descriptions\.dino\.encoder\.weights=here\.pth is not there"):
        missing.check(scene_of(xyz, image))
    with pytest.raises(FileNotFoundError, match=r"^net\.descriptions\.dino\.encoder\.weights=here\.pth"):
        _ = missing.identity


def test_a_picture_that_the_camera_did_not_take_is_refused(tmp_path: Path) -> None:
    image = photograph(front(320, 240), tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.png has 320x240 pixels, its camera 320x200: .* but not cut"):
        Images("mean", MeanColour())(scene_of(surfaces(0.2)[0], replace(image, camera=front(320, 200))))
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"scene 'made': the picture .*a\.png cannot be read"):
        Images("mean", MeanColour())(scene_of(surfaces(0.2)[0], image))


def test_wrong_options_are_refused() -> None:
    for name, value in (("columns", 0), ("tolerance", -0.1), ("tolerance", float("nan")), ("radius", 0.0), ("radius", float("inf"))):
        with pytest.raises(ValueError, match=rf"net\.descriptions\.dino\.{name}="):
            Images("dino", MeanColour(), **{name: value})  # type: ignore[arg-type]


def test_identity_is_about_what_changes_a_number() -> None:
    first = Images("a", MeanColour())
    assert hash_of(Images("b", MeanColour()).identity) == hash_of(first.identity)
    others = [Images("a", MeanColour(weights="other")), Images("a", MeanColour(side=16)), replace(first, columns=None), replace(first, columns=8)]
    others += [replace(first, tolerance=0.05), replace(first, radius=0.05)]
    assert len({hash_of(one.identity) for one in (first, *others)}) == 1 + len(others)
    part: Description = first
    assert not part.points and not part.anywhere


@pytest.mark.parametrize("choice", ["dino", "dinov2"])
def test_configuration(choice: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    made = instantiate(OmegaConf.load(CONF / f"{choice}.yaml"), _convert_="all")
    assert list(made) == [choice]
    made = made[choice]
    features = OmegaConf.load(CONF.parent / "features" / f"{choice}.yaml")
    assert isinstance(made, Images) and made == Images(choice, instantiate(features.encoder)) and hash(made) == hash(made)
    with pytest.raises(FileNotFoundError, match=rf"the weights of {choice} vitb.* are not on this machine"):
        made.check(scene_of(surfaces(0.2)[0]))


def test_project_is_what_the_rays_say() -> None:
    """The made-up pictures and `project` have the same idea of a pixel."""
    camera = front()
    pixel, depth = project(camera, surfaces(0.2)[0])
    way = np.stack([(pixel[:, 0] - camera.cx) / camera.fx, (pixel[:, 1] - camera.cy) / camera.fy, np.ones(len(pixel))], axis=1) * depth[:, None]
    ahead = depth > 0
    assert np.allclose((way @ camera.pose[:3, :3].T + eye_of(camera))[ahead], surfaces(0.2)[0][ahead], atol=1e-5)
