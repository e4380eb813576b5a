"""Procedural rooms in the official raw layout of ScanNetV2: decimated meshes, both kinds of annotation, exported colour frames, lists."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from al3d.data.sources.scannet_places import TRAIN_VAL, VAL_PLACES, split_of
from al3d.files import whole_folder
from al3d.geometry.camera import look_at, pinhole
from al3d.geometry.render import render
from al3d.progress import track
from al3d.rng import generator
from al3d.types import F64, U8, Array, Bool, Camera
from al3d.world.builder import Builder
from al3d.world.homes import LAYOUTS, NAMES, named
from al3d.world.mesh import Mesh, fused, mesh_pieces, segments, subdivided
from al3d.world.scanner import lit, standpoints, visible
from al3d.world.shapes import Cloud

#: Raised whenever the same options give other files.
VERSION = 1
#: Kinds of rooms by the number of their place, for training and test, and for validation.
KINDS = (
    "Office", "Bedroom / Hotel", "Living room / Lounge", "Bathroom", "Kitchen", "Bookstore / Library", "Living room / Lounge",
    "Bedroom / Hotel", "Office", "Bathroom", "Office", "Kitchen", "Living room / Lounge", "Bedroom / Hotel", "Bookstore / Library",
)  # fmt: skip
VAL_KINDS = ("Living room / Lounge", "Bathroom", "Kitchen", "Bedroom / Hotel", "Office", "Bookstore / Library", "Office")
#: Name -> id of the name, NYU40 id, NYU40 name: the rows of `scannetv2-labels.combined.tsv` that the rooms need.
CATEGORIES: Mapping[str, tuple[int, int, str]] = {
    "wall": (1, 1, "wall"), "chair": (2, 5, "chair"), "floor": (3, 2, "floor"), "table": (4, 7, "table"), "door": (5, 8, "door"),
    "couch": (6, 6, "sofa"), "cabinet": (7, 3, "cabinet"), "desk": (9, 14, "desk"), "office chair": (10, 5, "chair"), "bed": (11, 4, "bed"),
    "pillow": (13, 18, "pillow"), "sink": (14, 34, "sink"), "picture": (15, 11, "picture"), "window": (16, 9, "window"),
    "toilet": (17, 33, "toilet"), "bookshelf": (18, 10, "bookshelf"), "curtain": (21, 16, "curtain"), "armchair": (23, 5, "chair"),
    "coffee table": (24, 7, "table"), "box": (26, 29, "box"), "refrigerator": (27, 24, "refridgerator"), "lamp": (28, 35, "lamp"),
    "kitchen cabinet": (29, 3, "cabinet"), "towel": (31, 27, "towel"), "tv": (33, 25, "television"), "nightstand": (34, 32, "night stand"),
    "dresser": (36, 17, "dresser"), "plant": (40, 40, "otherprop"), "ceiling": (41, 22, "ceiling"), "bathtub": (42, 36, "bathtub"),
    "tv stand": (51, 39, "otherfurniture"), "whiteboard": (52, 30, "whiteboard"), "shower curtain": (55, 28, "shower curtain"),
    "trash can": (56, 39, "otherfurniture"), "stove": (62, 39, "otherfurniture"), "mirror": (71, 19, "mirror"),
    "file cabinet": (76, 3, "cabinet"), "wardrobe": (100, 3, "cabinet"), "pillar": (145, 38, "otherstructure"),
    "kitchen counter": (127, 12, "counter"), "bathroom cabinet": (136, 3, "cabinet"), "shower curtain rod": (141, 40, "otherprop"),
    "object": (1163, 40, "otherprop"),
}  # fmt: skip
#: Columns of the real table; those that nothing needs stay empty.
COLUMNS = (
    "id", "raw_category", "category", "count", "nyu40id", "eigen13id", "nyuClass", "nyu40class", "eigen13class", "ModelNet40", "ModelNet10",
    "ShapeNetCore55", "synsetoffset", "wnsynsetid", "wnsynsetkey", "mpcat40", "mpcat40index",
)  # fmt: skip
#: Square metres of surface that get the asked number of vertices, and the share of them that a scan sees.
TYPICAL_AREA, SEEN_SHARE = 150.0, 0.5
#: The finest spacing of vertices in metres, as in the real meshes.
FINEST = 0.02
#: A depth camera's range in metres, and how far above the horizon (degrees) different people point it at most.
REACH, HIGHEST = 4.5, (6.0, 26.0)
#: The share of small things that nobody annotated.
FORGOTTEN = 0.3
#: Frames: kept, every so many of the camera's, their size.
FRAMES, STEP, SIZE = 4, 20, (320, 240)
SKY = (214, 226, 240)


@dataclass(frozen=True)
class ScanPlan:
    """Which scan is number `index`: its place and how often that was scanned before, its split and the kind of room."""

    index: int
    place: int
    scan: int
    split: str
    kind: str

    @property
    def scene_id(self) -> str:
        """The folder's name."""
        return f"scene{self.place:04d}_{self.scan:02d}"

    @property
    def folder(self) -> Path:
        """The scan's folder inside the data set's root."""
        return Path("scans_test" if self.split == "test" else "scans") / self.scene_id


def plan(index: int) -> ScanPlan:
    """The plan of scan `index`: one in four is for validation, one in twelve for the test; one in five scans a place again.

    Raises: ValueError where the official places run out.
    """
    number: int
    places: tuple[int, ...]
    kinds: tuple[str, ...]
    if index % 4 == 1:
        number, places, kinds = index // 4, VAL_PLACES, VAL_KINDS
    elif index % 12 == 11:
        number, places, kinds = index // 12, tuple(range(TRAIN_VAL, TRAIN_VAL + 100)), KINDS[2:]
    else:
        number, places, kinds = index - (index + 2) // 4 - (index + 1) // 12, _train_places(), KINDS
    ordinal, scan = number - (number + 1) // 5, int(number % 5 == 4)
    if ordinal >= len(places):
        raise ValueError(f"scan {index}: ScanNet has {len(places)} places in that split, and all are used: ask for fewer scenes")
    return ScanPlan(index, places[ordinal], scan, split_of(places[ordinal]), kinds[ordinal % len(kinds)])


@dataclass(frozen=True, eq=False)
class Scan:
    """A scanned room: its seen mesh, the names of its pieces, the camera's frames, and the pose f64[4,4] from the mesh's frame to the walls'."""

    mesh: Mesh
    names: list[str]
    cameras: list[Camera]
    pictures: list[U8]
    aligned: F64


def make_scan(rng: int, index: int, points: int) -> Scan:
    """Scan number `index`: a room of `TYPICAL_AREA` gets about `points` vertices, others between 0.35 and 1.6 times as many, none nearer than `FINEST`."""
    what = plan(index)
    draw = generator(rng, "scannet", "place", what.place)
    room = LAYOUTS[what.kind](draw)
    pieces = [named(NAMES.get(piece.kind, piece.kind), piece) for piece in room.finished()]
    area = sum(surface.area() for piece in pieces for surface in piece.surfaces)
    wanted = points * float(np.clip(area / TYPICAL_AREA, 0.35, 1.6))
    spacing = max(FINEST, float(np.sqrt(SEEN_SHARE * area / wanted)))
    whole = mesh_pieces(pieces, spacing, draw)
    size = np.array([room.length, room.width, room.height])
    whole = Mesh(lit(whole.cloud, np.array(room.lights), size, draw), whole.faces)
    own = generator(rng, "scannet", "scan", what.place, what.scan)
    positions = standpoints(room.free_grid(0.2, 0.15), int(np.clip(4 + room.length * room.width / 2.5, 6, 14)), own)
    mesh = fused(whole, seen_from(whole.cloud, positions, spacing, own), spacing, own)
    cameras, pictures = _photographs(room, whole, positions[:FRAMES], spacing, own)
    turned, pose = _turned(mesh, own)
    cameras = [replace(camera, pose=pose @ camera.pose) for camera in cameras]
    return Scan(turned, [piece.kind for piece in pieces], cameras, pictures, np.linalg.inv(pose).astype(np.float64))


def seen_from(cloud: Cloud, positions: F64, spacing: float, rng: np.random.Generator) -> Bool:
    """Which vertices bool[n] some position sees within a depth camera's range; ceilings mostly stay above the picture."""
    seen = np.zeros(len(cloud), dtype=bool)
    highest = rng.uniform(*HIGHEST)
    for position in positions:
        distance, facing = visible(cloud.xyz, cloud.normal, position, spacing)
        above = (cloud.xyz[:, 2] - position[2]) / np.maximum(distance, 1e-6) < np.sin(np.radians(rng.uniform(0, highest)))
        seen |= facing & above & (distance < REACH)
    return seen


def write_scan(root: Path, rng: int, index: int, points: int) -> None:
    """Write one scan's folder."""
    what, scan = plan(index), make_scan(rng, index, points)
    folder = root / what.folder
    folder.mkdir(parents=True)
    cloud = scan.mesh.cloud
    color: U8 = np.rint(cloud.color * 255).astype(np.uint8)
    _write_ply(folder / f"{what.scene_id}_vh_clean_2.ply", scan.mesh, color, None, "VCGLIB generated")
    _write_about(folder / f"{what.scene_id}.txt", what, scan)
    if what.split != "test":
        _write_labels(folder, what, scan, generator(rng, "scannet", "annotation", what.place, what.scan))
    _write_frames(folder, scan)


def write_scannet(root: Path, scenes: int = 24, rng: int = 1, points: int = 60_000, n_jobs: int = -1, quiet: bool = False) -> None:
    """Write `scenes` scans of about `points` vertices each under `root`, all of them or none.

    Scan i is the same for any number of scenes and of processes (`n_jobs`, -1: all cores). Place numbers are official ones, so that
    every fourth scan is for validation and every twelfth for the test, with or without the lists `scannetv2_{train,val,test}.txt`.
    Raises: ValueError for fewer than 2 scenes (one to train, one to validate), more than the official places allow, or fewer than
    1000 points; FileExistsError when `root` holds something already.
    """
    if scenes < 2 or points < 1000:
        raise ValueError(f"scenes={scenes}, points={points}: ask for at least 2 scenes (train and val) of at least 1000 points")
    plans = [plan(index) for index in range(scenes)]
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FileExistsError(f"{root} holds something already: name a new folder, or delete this one first")
    with whole_folder(root) as temporary:
        jobs = (delayed(write_scan)(temporary, rng, index, points) for index in range(scenes))
        done = Parallel(n_jobs=min(n_jobs, scenes) if n_jobs > 0 else n_jobs, return_as="generator_unordered")(jobs)
        for _ in track(done, f"scanning {scenes} rooms", scenes, quiet):
            pass
        _write_table(temporary / "scannetv2-labels.combined.tsv")
        for split in ("train", "val", "test"):
            listed = sorted(one.scene_id for one in plans if one.split == split)
            (temporary / f"scannetv2_{split}.txt").write_text("".join(f"{scene}\n" for scene in listed), encoding="ascii")


def _train_places() -> tuple[int, ...]:
    return tuple(place for place in range(TRAIN_VAL) if split_of(place) == "train")


def _photographs(room: Builder, whole: Mesh, positions: F64, spacing: float, rng: np.random.Generator) -> tuple[list[Camera], list[U8]]:
    """Cameras in the room's frame at some positions, each looking across the room, and what they see of the whole room."""
    xyz, color = subdivided(whole)
    rgb: U8 = np.rint(color * 255).astype(np.uint8)
    cameras, pictures = [], []
    for position in positions:
        targets = rng.uniform([0, 0, 0.4], [room.length, room.width, 1.1], (4, 3))
        target = targets[np.argmax(np.linalg.norm(targets - position, axis=1))]
        camera = pinhole(look_at(position, target), *SIZE, 60.0)
        picture, _ = render(xyz, rgb, camera, radius=0.5 * spacing, shading=0.0, background=SKY, largest=40.0)
        cameras.append(camera)
        pictures.append(picture)
    return cameras, pictures


def _turned(mesh: Mesh, rng: np.random.Generator) -> tuple[Mesh, F64]:
    """The mesh in a frame of the scan's own, as tracking starts anywhere, and the pose f64[4,4] from the room's frame to it."""
    yaw = rng.uniform(0, 2 * np.pi)
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    pose[:3, 3] = np.append(rng.uniform(0, 4, 2), rng.uniform(-0.1, 0.1)).round(6)
    cloud = mesh.cloud
    turn = pose[:3, :3].T
    moved = Cloud((cloud.xyz @ turn + pose[:3, 3]).astype(np.float32), (cloud.normal @ turn).astype(np.float32), cloud.color, cloud.piece)
    return Mesh(moved, mesh.faces), pose


def _write_ply(path: Path, mesh: Mesh, color: U8, label: Array | None, comment: str) -> None:
    cloud = mesh.cloud
    kinds = [("xyz", "<f4", (3,)), ("rgba", "u1", (4,))] + ([("label", "<u2", ())] if label is not None else [])
    vertices = np.zeros(len(cloud), dtype=kinds)
    vertices["xyz"] = cloud.xyz
    vertices["rgba"] = np.concatenate([color, np.full((len(cloud), 1), 255, np.uint8)], axis=1)
    if label is not None:
        vertices["label"] = label
    faces = np.zeros(len(mesh.faces), dtype=[("count", "u1"), ("corners", "<i4", (3,))])
    faces["count"], faces["corners"] = 3, mesh.faces
    properties = [f"property float {axis}" for axis in "xyz"] + [f"property uchar {channel}" for channel in ("red", "green", "blue", "alpha")]
    properties += ["property ushort label"] if label is not None else []
    lines = ["ply", "format binary_little_endian 1.0", f"comment {comment}", f"element vertex {len(cloud)}", *properties]
    lines += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header"]
    path.write_bytes("".join(f"{line}\n" for line in lines).encode("ascii") + vertices.tobytes() + faces.tobytes())


def _write_labels(folder: Path, what: ScanPlan, scan: Scan, rng: np.random.Generator) -> None:
    """The annotation in both forms: groups of segments with names, and a mesh whose vertices have NYU40 ids."""
    segment, piece = segments(scan.mesh), scan.mesh.cloud.piece
    forgotten = np.array([name in ("object", "box") and rng.random() < FORGOTTEN for name in scan.names])
    own = {int(one): np.unique(segment[piece == one]) for one in np.unique(piece) if not forgotten[one]}
    groups = [{"id": id_, "objectId": id_, "segments": own[one].tolist(), "label": scan.names[one]} for id_, one in enumerate(sorted(own))]
    mesh_file = f"{what.scene_id}_vh_clean_2.0.010000.segs.json"
    annotation = {"sceneId": f"scannet.{what.scene_id}", "appId": "Aggregator.v2", "segGroups": groups, "segmentsFile": f"scannet.{mesh_file}"}
    _write_json(folder / f"{what.scene_id}.aggregation.json", annotation)
    _write_json(folder / mesh_file, {"params": {"kThresh": "0.01", "segMinVerts": "20"}, "sceneId": what.scene_id, "segIndices": segment.tolist()})
    ids = np.array([0 if lost else CATEGORIES[name][1] for name, lost in zip(scan.names, forgotten, strict=True)], np.uint16)
    shades = generator("scannet", "legend").integers(60, 230, (41, 3)).astype(np.uint8)
    _write_ply(folder / f"{what.scene_id}_vh_clean_2.labels.ply", scan.mesh, shades[ids[piece]], ids[piece], "MLIB generated")


def _write_frames(folder: Path, scan: Scan) -> None:
    """Pictures, poses and intrinsics as SensReader exports them; the last frame lost its tracking."""
    from PIL import Image

    for part in ("color", "pose", "intrinsic"):
        (folder / part).mkdir()
    for number, (camera, picture) in enumerate(zip(scan.cameras, scan.pictures, strict=True)):
        Image.fromarray(picture).save(folder / "color" / f"{number * STEP}.jpg", quality=92)
        (folder / "pose" / f"{number * STEP}.txt").write_text(_matrix(camera.pose), encoding="ascii")
    lost = len(scan.cameras) * STEP
    Image.fromarray(scan.pictures[-1]).save(folder / "color" / f"{lost}.jpg", quality=92)
    (folder / "pose" / f"{lost}.txt").write_text(_matrix(np.full((4, 4), -np.inf)), encoding="ascii")
    first = scan.cameras[0]
    lens = np.eye(4)
    lens[0, 0], lens[1, 1], lens[0, 2], lens[1, 2] = first.fx, first.fy, first.cx, first.cy
    (folder / "intrinsic" / "intrinsic_color.txt").write_text(_matrix(lens), encoding="ascii")
    (folder / "intrinsic" / "extrinsic_color.txt").write_text(_matrix(np.eye(4)), encoding="ascii")


def _write_about(path: Path, what: ScanPlan, scan: Scan) -> None:
    lens = scan.cameras[0]
    about = {
        "axisAlignment": " ".join(f"{value:.6f}" for value in scan.aligned.ravel()),
        "colorHeight": lens.height,
        "colorToDepthExtrinsics": " ".join(f"{value:.6f}" for value in np.eye(4).ravel()),
        "colorWidth": lens.width,
        "fx_color": f"{lens.fx:.6f}",
        "fy_color": f"{lens.fy:.6f}",
        "mx_color": f"{lens.cx:.6f}",
        "my_color": f"{lens.cy:.6f}",
        "numColorFrames": (len(scan.cameras) + 1) * STEP,
        "sceneType": what.kind,
    }
    if what.split == "test":
        del about["axisAlignment"]
    path.write_text("".join(f"{key} = {value}\n" for key, value in about.items()), encoding="ascii")


def _write_table(path: Path) -> None:
    rows: Iterable[dict[str, object]] = (
        {"id": id_, "raw_category": name, "category": name, "nyu40id": nyu40, "nyuClass": nyu40_name, "nyu40class": nyu40_name}
        for name, (id_, nyu40, nyu40_name) in sorted(CATEGORIES.items(), key=lambda item: item[1][0])
    )
    lines = ["\t".join(COLUMNS)] + ["\t".join(str(row.get(column, "")) for column in COLUMNS) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, separators=(",", ":")), encoding="ascii")


def _matrix(values: F64) -> str:
    return "".join(" ".join(f"{value:.6f}" for value in row) + "\n" for row in values.tolist())
