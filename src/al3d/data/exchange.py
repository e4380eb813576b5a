"""The lists of scenes and regions that ReDAL and SeedAL read and publish, to and from scene ids; nothing is converted by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from al3d.data.sources.names import checked_id
from al3d.files import read_json, whole_file


@dataclass(frozen=True)
class Layout:
    """How one data set's scenes are named in scan lists: `scan` finds a scene in a path, `path` writes it, `scene` knows our ids.

    `regions` is the word in the names of its region lists; SemanticKITTI's are of the division that its loaders read.
    """

    name: str
    scene: re.Pattern[str]
    scan: re.Pattern[str]
    path: str
    identity: str
    regions: str = "region"

    def scan_of(self, scene_id: str) -> str:
        """The scene's entry of a scan list. Raises: ValueError for an id of another data set."""
        match = self.scene.fullmatch(scene_id)
        if match is None:
            raise ValueError(f"scene {scene_id!r} is not one of {self.name}: its ids look like {self.scene.pattern}")
        return self.path.format(*match.groups())

    def file(self, side: str, what: str) -> str:
        """The name of a list: `side` "label" (bought) or "ulabel" (the rest), `what` "scan" or "region"."""
        return f"init_{side}_{self.regions if what == 'region' else what}.json"


LAYOUTS = (
    Layout("s3dis", re.compile(r"(Area_\d)#(\w+)"), re.compile(r"(?:.*/)?(Area_\d)/coords/(\w+)\.npy"), "{0}/coords/{1}.npy", "{0}#{1}"),
    Layout(
        "semantic_kitti", re.compile(r"(\d\d)_(\d{6})"), re.compile(r"(?:.*/)?(\d\d)/velodyne/(\d{6})\.bin"), "{0}/velodyne/{1}.bin", "{0}_{1}", "large_region"
    ),
    Layout("scannet", re.compile(r"(scene\d{4}_\d\d)"), re.compile(r"(?:.*/)?(scene\d{4}_\d\d)/coords\.npy"), "{0}/coords.npy", "{0}"),
)
#: Data sets that the published code does not know: their scene ids stand for themselves.
PLAIN = Layout("plain", re.compile(r"([^/]+)"), re.compile(r"([^/]+)"), "{0}", "{0}")
#: The key of the labelled scans in the lists that ReDAL writes while it runs.
LABELLED = "L_im_idx"
SHAPES = f"""these lists are known:
  scans    a JSON list of Area_1/coords/office_1.npy, 00/velodyne/000000.bin, scene0000_00/coords.npy (a path in front does no harm) or scene ids;
           or an object with such a list as "{LABELLED}" (ReDAL's datalist_RR.json)
  regions  a JSON object of scene ids (Area_1#office_1, 00_000000, scene0000_00), each with a list of different whole numbers from 1 on"""


@dataclass(frozen=True)
class Listing:
    """What a file lists: `scenes`, our ids in its order, and for a list of regions their ids as the file counts them, from 1."""

    scenes: tuple[str, ...]
    regions: Mapping[str, tuple[int, ...]] | None = None


def read_listing(path: Path) -> Listing:
    """Read a list of scans or of regions; which one it is, and of which data set, its content says.

    Raises: FileNotFoundError; ValueError naming the file, the entry and the shapes that are known, also for a scene that is listed twice.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no list of scenes or regions at {path.absolute()}; {SHAPES}")
    content = read_json(path)
    if isinstance(content, dict) and isinstance(content.get(LABELLED), list):
        content = content[LABELLED]
    if isinstance(content, list):
        return Listing(_scenes(path, content))
    if isinstance(content, dict):
        regions = {scene: _region_ids(path, name, ids) for scene, (name, ids) in zip(_scenes(path, list(content)), content.items(), strict=True)}
        return Listing(tuple(regions), regions)
    raise ValueError(f"{path}: holds a {type(content).__name__}; {SHAPES}")


def region_counts(path: Path, lists: Path | None = None) -> dict[str, int]:
    """How many regions the publisher's scenes have: of a list `lists` of all regions of its scenes, or of the two lists of regions beside `path`.

    A published seed names what it labels and what it leaves; together they are all regions. Empty where no such lists are there.
    Raises: as `read_listing`; ValueError when `lists` is no list of regions.
    """
    files = [lists] if lists is not None else _both_sides(path)
    counts: dict[str, int] = {}
    for file in files:
        regions = read_listing(file).regions
        if regions is None:
            raise ValueError(f"{file}: lists scans where a list of regions is wanted; {SHAPES}")
        for scene, ids in regions.items():
            counts[scene] = counts.get(scene, 0) + len(ids)
    return counts


def layout_of(scene_ids: Iterable[str]) -> Layout:
    """The layout that knows all these scenes; `PLAIN` when none does."""
    ids = list(scene_ids)
    return next((layout for layout in LAYOUTS if ids and all(layout.scene.fullmatch(scene) for scene in ids)), PLAIN)


def write_scans(path: Path, scene_ids: Sequence[str], layout: Layout) -> None:
    """Write a list of scans, byte for byte as ReDAL's files are."""
    _write(path, json.dumps([layout.scan_of(scene) for scene in scene_ids], indent=2))


def write_regions(path: Path, regions: Mapping[str, Sequence[int]]) -> None:
    """Write a list of regions (ids from 1), byte for byte as ReDAL's files are."""
    _write(path, json.dumps({scene: [int(number) for number in ids] for scene, ids in regions.items()}))


def _scenes(path: Path, entries: Sequence[object]) -> tuple[str, ...]:
    """Our ids of a file's entries, which must be of one data set and different."""
    found = [_scene(path, entry) for entry in entries]
    for entry, (_, layout) in zip(entries, found, strict=True):
        if layout is not found[0][1]:
            raise ValueError(f"{path}: {entry!r} is named as in {layout.name}, but {entries[0]!r} as in {found[0][1].name}: use one form; {SHAPES}")
    scenes = tuple(scene for scene, _ in found)
    if len(set(scenes)) < len(scenes):
        twice = next(scene for place, scene in enumerate(scenes) if scene in scenes[:place])
        raise ValueError(f"{path}: {twice} is listed twice: leave it in once")
    return scenes


def _scene(path: Path, entry: object) -> tuple[str, Layout]:
    """Our id of one entry, and the layout that it is written in."""
    if isinstance(entry, str):
        for layout in LAYOUTS:
            match = layout.scan.fullmatch(entry.replace("\\", "/"))
            if match is not None:
                return layout.identity.format(*match.groups()), layout
        try:
            return checked_id(entry), PLAIN
        except ValueError as error:
            raise ValueError(f"{path}: {entry[:200]!r} is neither a scan nor a scene id; {SHAPES}") from error
    raise ValueError(f"{path}: {str(entry)[:60]} is not the name of a scan; {SHAPES}")


def _region_ids(path: Path, scene: str, ids: object) -> tuple[int, ...]:
    if not isinstance(ids, list) or not all(type(number) is int and number >= 1 for number in ids) or len(set(ids)) != len(ids):
        raise ValueError(f"{path}: {scene!r} has {str(ids)[:60]} where a list of different whole numbers from 1 on belongs; {SHAPES}")
    return tuple(ids)


def _both_sides(path: Path) -> list[Path]:
    """The lists of labelled and unlabelled regions beside a published list, where both are there."""
    for word in dict.fromkeys(layout.regions for layout in LAYOUTS):
        files = [path.with_name(f"init_{side}_{word}.json") for side in ("label", "ulabel")]
        beside = path.name in (files[0].name, "init_label_scan.json")
        if beside and all(file.is_file() for file in files):
            return files
    return []


def _write(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
