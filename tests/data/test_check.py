"""The check of a data set: sound data pass, and each way of being broken is found and said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image as Picture

from al3d.commands.check import command
from al3d.configuration import composed
from al3d.data.check import built, verdict
from al3d.data.facts import duplicates, facts_of, likeness, listed, rigid_fault, sample, spacing
from al3d.data.findings import Finding, findings
from al3d.geometry.camera import look_at
from al3d.progress import console
from al3d.types import IGNORE, U8, Camera, ClassTable, Image, Scene

TABLE = ClassTable(("floor", "wall"), ((0, 0, 0), (255, 0, 0)))
Read = tuple[Scene, U8]


@dataclass
class Made:
    """A source over scenes in memory."""

    scenes_of: Mapping[str, Sequence[str]]
    made: Mapping[str, Read | Exception]
    published: Mapping[str, int] = field(default_factory=dict)
    name: str = "made"
    classes: ClassTable = TABLE
    features: tuple[str, ...] = ("red", "green", "blue")
    scale: Mapping[str, float] = field(default_factory=dict)

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.scenes_of)

    def scenes(self, split: str) -> tuple[str, ...]:
        return tuple(self.scenes_of[split])

    def read(self, scene_id: str) -> Read:
        made = self.made[scene_id]
        if isinstance(made, Exception):
            raise made
        return made

    def fingerprint(self) -> str:
        return ""


def scene(name: str, **changes: object) -> Read:
    """A floor and a wall, 4 m wide."""
    random = np.random.default_rng(len(name))
    flat = random.uniform(0, 4, (600, 3)).astype(np.float32)
    flat[:300, 2], flat[300:, 1] = 0, 0
    flat[:, 2] *= 0.6
    label = np.repeat(np.array([0, 1], np.uint8), 300)
    label = np.asarray(changes.pop("label", label))
    values = {"id": name, "xyz": flat, "feat": random.random((600, 3), np.float32)} | changes
    return Scene(**values), label  # type: ignore[arg-type]


def look(
    made: Mapping[str, Read | Exception], voxel: float | None = 0.05, published: Mapping[str, int] | None = None, val: str = "v", **options: object
) -> list[Finding]:
    """The findings about training scenes `made` and a sound scene for validation."""
    source = Made({"train": sorted(set(made) - {"v"}), "val": [val]}, {"v": scene("v")} | dict(made), published or {}, **options)  # type: ignore[arg-type]
    splits = listed(source, None)
    facts = [facts_of(source, split.name, one) for split in splits for one in split.read]
    return findings(splits, facts, source.classes, source.features, voxel)


def said(found: Sequence[Finding], state: str) -> str:
    return "\n".join(f"{one.aspect}: {one.what} -> {one.way_out}" for one in found if one.state == state)


def test_sound_data_are_ok() -> None:
    found = look({"a": scene("a"), "b": scene("b")}, published={"train": 2, "val": 1})
    assert {one.state for one in found} == {"ok"}
    assert {one.aspect for one in found} == {"scenes", "files", "labels", "geometry", "attributes"}
    assert verdict(found) == "everything ok"


def with_class_two() -> U8:
    return np.repeat(np.array([0, 7], np.uint8), 300)


@pytest.mark.parametrize(
    ("changes", "state", "says"),
    [
        ({"label": with_class_two()}, "broken", r"labels: a: labels [7] outside 0..1"),
        ({"feat": np.full((600, 3), 2, np.float32)}, "broken", "attributes: red ranges from"),
        ({"feat": np.full((600, 3), 0.5, np.float32)}, "look", "attributes: red is the same for all points of 1 of 2 scenes: a"),
        ({"xyz": np.zeros((600, 3), np.float32)}, "look", "geometry: 1 scenes repeat over 1 % of their points, worst a (99.8 %)"),
        ({"xyz": np.zeros((600, 3), np.float32)}, "look", "geometry: 1 scenes are under 10 cm across: a"),
        ({"xyz": scene("a")[0].xyz * np.float32(1000)}, "look", "geometry: 1 scenes are over 2 km across: a"),
        ({"label": np.full(600, IGNORE, np.uint8)}, "look", "labels: train: no point has a label"),
        ({"label": np.where(np.arange(600) < 500, IGNORE, 0).astype(np.uint8)}, "look", "labels: train: only 16.7 % of the points have a label"),
        ({"label": np.zeros(600, np.uint8)}, "look", "labels: train: no point of wall in 1 scenes"),
    ],
)
def test_flaws_of_a_scene_are_found(changes: dict[str, object], state: str, says: str) -> None:
    assert says in said(look({"a": scene("a", **changes)}), state)


def test_unreadable_scenes_are_listed_with_their_errors_once() -> None:
    made = {f"s{index}": ValueError("scene.ply: it was cut short") for index in range(9)} | {"t": OSError("no such disk")}
    broken = said(look(made), "broken")
    assert broken.splitlines()[0].startswith("files: train s0, s1, s2, s3, s4 and 4 others: scene.ply: it was cut short")
    assert broken.count("scene.ply") == 1 and "no such disk" in broken
    nothing = Made({"train": ["a"]}, {"a": ValueError("gone")})
    assert "gone" in said(findings(listed(nothing, None), [facts_of(nothing, "train", "a")], TABLE, (), None), "broken")


def test_a_source_that_breaks_its_promises_is_found() -> None:
    assert "the source returned 'b' for 'a'" in said(look({"a": scene("b")}), "broken")
    assert "labels are uint8 [3]" in said(look({"a": scene("a", label=np.zeros(3, np.uint8))}), "broken")
    assert "a: has 1 attributes, the source promises red, green, blue" in said(look({"a": scene("a", feat=np.ones((600, 1), np.float32))}), "broken")


def test_counts_are_compared_with_the_published_ones() -> None:
    found = look({"a": scene("a")}, published={"train": 3, "val": 1})
    assert "train: 1 of 3 published scenes, 2 missing" in said(found, "look") and "val: 1 scenes, as published" in said(found, "ok")
    assert "train: 1 scenes, 1 more than published" in said(look({"a": scene("a")}, published={"train": 0}), "look")
    twice = Made({"train": ["v"], "val": ["v"]}, {"v": scene("v")})
    assert "in more than one split: v" in said(findings(listed(twice, None), [], TABLE, (), None), "broken")


def test_only_train_and_val_must_be_there() -> None:
    class Partial(Made):
        def scenes(self, split: str) -> tuple[str, ...]:
            raise FileNotFoundError(f"no scan of {split}: extract the archive")

    found = findings(listed(Partial({"train": [], "test": []}, {}), None), [], TABLE, (), None)
    assert [(one.state, one.what) for one in found] == [
        ("broken", "train: no scan of train: extract the archive"),
        ("look", "test: no scan of test: extract the archive"),
    ]


def test_val_without_labels_is_broken() -> None:
    hidden = scene("v", label=np.full(600, IGNORE, np.uint8))
    assert "labels: val: no point has a label" in said(look({"a": scene("a"), "v": hidden}), "broken")


def test_up_axis_and_lengths() -> None:
    lying = scene("a", xyz=scene("a")[0].xyz[:, [0, 2, 1]] * np.array([0.5, 1, 1], np.float32))
    tall = look({"a": lying, "b": replace_scene(lying, "b")})
    assert "2 of 3 scenes are higher than wide" in said(tall, "look")
    assert "voxels of 50 m are" in said(look({"a": scene("a")}, voxel=50), "look")
    assert "voxels" not in said(look({"a": scene("a")}, voxel=None), "look")


def replace_scene(read: Read, name: str, **changes: object) -> Read:
    return replace(read[0], id=name, **changes), read[1]  # type: ignore[arg-type]


def pose(x: float, scale: float = 1.0) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] *= scale
    matrix[0, 3] = x
    return matrix


def drive(*frames: tuple[int, np.ndarray]) -> list[Finding]:
    return look({f"f_{number:03}": scene(f"f_{number:03}", sequence="d", frame=number, pose=matrix) for number, matrix in frames})


def test_poses_of_drives() -> None:
    sound = drive(*((number, pose(1.5 * number)) for number in range(4)))
    assert {one.state for one in sound} == {"ok"} and "4 frames with rigid poses; 3 steps" in said(sound, "ok")
    assert "f_001: its pose is not rigid (its axes are 1.01, 1.01, 1.01 long" in said(drive((0, pose(0)), (1, pose(1, 1.01))), "broken")
    assert "1 of 2 steps are over 10 m, the longest 95.0 m (f_001 -> f_002)" in said(drive((0, pose(0)), (1, pose(5)), (2, pose(100))), "look")
    assert "frames are missing between neighbours: f_001 -> f_003" in said(drive((0, pose(0)), (1, pose(1)), (3, pose(3))), "look")
    assert "the pose never changes over 1 steps" in said(drive((0, pose(0)), (1, pose(0))), "look")
    mirrored = pose(0)
    mirrored[0, 0] = -1
    assert rigid_fault(mirrored).startswith("mirrors")
    assert rigid_fault(np.full((4, 4), np.nan)) == "is not 4x4 finite numbers" and rigid_fault(pose(3)) == ""


@pytest.fixture
def pictured(tmp_path: Path) -> Read:
    """A floor with stripes, and a picture of it from above."""
    plain, label = scene("a")
    xyz = plain.xyz.copy()
    xyz[:, 2] = 0
    xyz[0, 2] = 0.1
    bright = (np.floor(xyz[:, 0] * 2) % 2).astype(np.float32)
    camera = Camera(100, 100, 99.5, 99.5, 200, 200, look_at([2, 2, 5], [2, 2, 0]))
    pixel = np.arange(200)
    down, across = camera.pose[:3, 1], camera.pose[:3, 0]
    place = 2 + 5 * ((pixel[None, :] - 99.5) / 100 * across[0] + (pixel[:, None] - 99.5) / 100 * down[0])
    Picture.fromarray((np.floor(place * 2) % 2 * 255).astype(np.uint8)).save(tmp_path / "a.png")
    return replace(plain, xyz=xyz, feat=np.stack([bright] * 3, axis=1), images=(Image(tmp_path / "a.png", camera),)), label


def test_pictures_that_show_the_points(pictured: Read) -> None:
    found = said(look({"a": pictured}), "ok")
    assert "1 pictures of 1 scenes found" in found and "brightness of points and pixels correlates: median 1.00" in found


@pytest.mark.parametrize(
    ("pose", "state", "says"),
    [
        (look_at([2, 2, 5], [2, 2, 9]), "look", "no point lies inside any picture of a"),
        (look_at([2.5, 2, 5], [2.5, 2, 0]), "look", "do not look alike: median correlation -"),
        (np.diag([2.0, 2, 2, 1]), "broken", "a: a.png has a camera whose pose is not rigid"),
    ],
)
def test_cameras_that_look_elsewhere(pictured: Read, pose: np.ndarray, state: str, says: str) -> None:
    camera = pictured[0].images[0].camera
    assert camera is not None
    images = (replace(pictured[0].images[0], camera=replace(camera, pose=pose)),)
    assert says in said(look({"a": replace_scene(pictured, "a", images=images)}), state)


def test_pictures_that_are_missing_or_broken(pictured: Read) -> None:
    image = pictured[0].images[0]
    assert image.path is not None and image.camera is not None
    lost = replace_scene(pictured, "b", images=(Image(None, image.camera),))
    assert "1 of 2 scenes have a camera, but no picture: b" in said(look({"a": pictured, "b": lost}), "look")
    small = replace_scene(pictured, "a", images=(replace(image, camera=replace(image.camera, width=100)),))
    assert "a: a.png is 200x200 pixels, its camera 100x200" in said(look({"a": small}), "broken")
    image.path.write_bytes(image.path.read_bytes()[:100])
    assert "a: a.png cannot be read" in said(look({"a": pictured}), "broken")
    image.path.unlink()
    assert "a: a.png cannot be read" in said(look({"a": pictured}), "broken")


def test_likeness_needs_contrast_and_points() -> None:
    feat = np.linspace(0, 1, 100, dtype=np.float32)[:, None].repeat(3, axis=1)
    grey = np.linspace(0, 255, 100)[None, :]
    pixel = np.stack([np.arange(100.0), np.zeros(100)], axis=1)
    assert likeness(grey, pixel, feat) == pytest.approx(1) and likeness(grey[:, ::-1], pixel, feat) == pytest.approx(-1)
    assert np.isnan(likeness(grey, pixel[:40], feat[:40])) and np.isnan(likeness(grey * 0, pixel, feat))


def test_duplicates_and_spacing_against_naive_twins() -> None:
    random = np.random.default_rng(0)
    for xyz in (random.integers(-3, 3, (500, 3)).astype(np.float32), random.normal(size=(500, 3)).astype(np.float32), np.zeros((5, 3), np.float32)):
        assert duplicates(xyz) == len(xyz) - len({tuple(row) for row in xyz.tolist()})
    assert duplicates(np.array([[0.0, 0, 0], [-0.0, 0, 0]], np.float32)) == 1
    grid = np.stack(np.meshgrid(*[np.arange(6) * 0.25] * 3), -1).reshape(-1, 3).astype(np.float32)
    assert spacing(grid, np.arange(50)) == 0.25
    assert np.isnan(spacing(np.zeros((5, 3), np.float32), np.arange(5))) and np.isnan(spacing(np.zeros((1, 3), np.float32), np.arange(1)))


def test_a_sample_is_keyed_and_made_of_neighbours() -> None:
    ids = tuple(f"{number:04}" for number in range(1001))
    chosen = sample(ids, 20)
    assert chosen == sample(ids, 20) == tuple(sorted(set(chosen))) and len(chosen) == 20
    assert all(int(second) == int(first) + 1 for first, second in zip(chosen[::2], chosen[1::2], strict=True))
    assert sample(ids, None) == ids == sample(ids, 5000) and len(sample(ids, 1)) == 1 and len(sample(ids, 7)) == 7


def run(*words: str) -> None:
    command.main([*words], prog_name="al3d check", standalone_mode=False)


def test_arguments() -> None:
    for word in ("0", "-1", "some", ""):
        with pytest.raises(click.BadParameter, match="neither a whole number from 1 on nor all"):
            run("dataset=rooms", "--scenes", word)
    with pytest.raises(click.UsageError, match="scenes=3: say --scenes 3"):
        run("dataset=rooms", "scenes=3")
    with pytest.raises(ValueError, match=r"no value yet: dataset\.root\. .*dataset\.root=/path"):
        built(composed(["dataset=folder"]))
    for word in ("dataset=nonsense", "dataset.nonsense=1"):
        with pytest.raises(SystemExit, match="nonsense"):
            run(word)


def test_the_command_on_a_sound_and_a_broken_folder(tiny_root: Path, tmp_path: Path) -> None:
    with console.capture() as text:
        run("dataset=folder", f"dataset.root={tiny_root}", "--scenes", "3")
    shown = text.get()
    assert all(word in shown for word in ("tiny: nothing broken", "2 ball", "point spacing", "t_")) or "tiny: everything ok" in shown
    assert max(map(len, shown.splitlines())) <= 100
    copy = tmp_path / "tiny"
    (copy / "scenes").mkdir(parents=True)
    for path in (tiny_root / "dataset.yaml", *(tiny_root / "scenes").iterdir()):
        (copy / path.relative_to(tiny_root)).write_bytes(path.read_bytes())
    cut = copy / "scenes" / "t_3.ply"
    cut.write_bytes(cut.read_bytes()[:-100])
    with console.capture() as text, pytest.raises(SystemExit) as ended:
        run("dataset=folder", f"dataset.root={copy}", "--scenes", "all")
    assert ended.value.code == 1
    assert "train t_3:" in text.get() and "it was cut short" in text.get() and "tiny: 1 broken" in text.get()


def test_missing_data_end_with_words(tiny_root: Path) -> None:
    with pytest.raises(SystemExit, match="there is no such folder"):
        run("dataset=folder", f"dataset.root={tiny_root / 'nowhere'}")
