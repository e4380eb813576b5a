"""A first `dataset.yaml` for a folder of scans, each value with its reason: `al3d start`."""

from __future__ import annotations

import filecmp
import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from scipy.spatial import cKDTree

from al3d.data.sources.card import read_card
from al3d.data.sources.cloud import FULL_SCALES, Cloud
from al3d.data.sources.folder import filled_scale
from al3d.data.sources.formats import READERS, label_file, read_cloud
from al3d.files import whole_file
from al3d.geometry.bounds import bounds
from al3d.progress import track
from al3d.rng import generator
from al3d.types import F64

#: So many scans are looked at, spread over the folder, and so many points of each.
LOOKED_AT, POINTS = 8, 2000
#: Formats whose standards say that z points up.
UPRIGHT = (".las", ".laz", ".bin")
#: A scan with more points than this is slow to show and to describe.
MANY = 5_000_000
#: Directions within this angle count as the same.
NEAR = float(np.cos(np.radians(10)))


@dataclass(frozen=True)
class Decided:
    """A value of dataset.yaml and why."""

    value: object
    reason: str


@dataclass(frozen=True)
class Look:
    """What a sample of the points of one scan says: spacing and diagonal in the file's units, normals f64[K,3], `points` in all."""

    path: Path
    points: int
    spacing: float
    diagonal: float
    normals: F64
    low: F64
    high: F64
    above: F64
    colour: bool
    labelled: bool
    brightest: float | None


def start(scans: Path, classes: Sequence[str], out: Path | None = None, force: bool = False) -> tuple[Path, list[str]]:
    """Describe the scans below a folder, at any depth, in a data set folder of links to them; returns it, and what a person should know.

    `out` is `<scans>-al3d` beside the scans unless given; where the scans lie in `<scans>/scenes` already, it is `scans` itself.
    Raises: ValueError for no scan, class names that cannot be, scans of different attributes, or a dataset.yaml that is there (without `force`);
    as `read_cloud` for a scan that cannot be read.
    """
    files = find_scans(scans)
    names, scans = _class_names(classes), Path(os.path.abspath(scans))
    files = [Path(os.path.abspath(file)) for file in files]
    out = out or (scans if all(file.parent == scans / "scenes" for file in files) else scans.parent / f"{scans.name}-al3d")
    card = out / "dataset.yaml"
    if card.exists() and not force:
        raise ValueError(f"{card} is there already: it was not touched; --force writes it anew, --out FOLDER another one")
    chosen = [files[place] for place in np.unique(np.linspace(0, len(files) - 1, min(len(files), LOOKED_AT)).astype(int))]
    looks = [look(file) for file in track(chosen, f"{scans.name}: look at", len(chosen))]
    notes = _notes(looks)
    text = card_text(out, names, scene_names(scans, files), looks)
    links = {out / "scenes" / f"{name}{file.suffix.lower()}": file for name, file in scene_names(scans, files).items()}
    for link, file in links.items():
        _check_place(file, link)
    for link, file in links.items():
        _link(file, link)
    with whole_file(card) as temporary:
        temporary.write_text(text, encoding="utf-8")
    read_card(card)
    return out, notes


def find_scans(scans: Path) -> list[Path]:
    """Every point cloud file below a folder, sorted; hidden ones aside, and links to others of them, as an earlier start makes them.

    Raises: FileNotFoundError; ValueError when there is none.
    """
    if not scans.is_dir():
        raise FileNotFoundError(f"{scans}: no such folder")
    inside = (path for path in sorted(scans.rglob("*")) if not any(part.startswith(".") for part in path.relative_to(scans).parts))
    files = [path for path in inside if path.suffix.lower() in READERS and path.is_file()]
    if not files:
        raise ValueError(f"{scans}: no file ending in {', '.join(READERS)} in it or below")
    own = {path.resolve() for path in files if not path.is_symlink()}
    return [path for path in files if not (path.is_symlink() and path.resolve() in own)]


def scene_names(scans: Path, files: Sequence[Path]) -> dict[str, Path]:
    """A name for every scan: its path below the folder, with other characters than letters, digits and _ . # + - replaced; all different."""
    root = scans / "scenes" if all(file.parent == scans / "scenes" for file in files) else scans
    found: dict[str, Path] = {}
    for file in files:
        plain = re.sub(r"[^A-Za-z0-9_.#+-]+", "_", "_".join(file.relative_to(root).with_suffix("").parts)).strip("._")[:180] or "scan"
        name, number = plain, 2
        while name in found:
            name, number = f"{plain}_{number}", number + 1
        found[name] = file
    return found


def look(path: Path) -> Look:
    """Read one scan and look at a keyed sample of its points. Raises: ValueError as `read_cloud`, or when it has no point with a place."""
    cloud = read_cloud(path)
    xyz = cloud.xyz[np.isfinite(cloud.xyz).all(axis=1)]
    if len(xyz) < 10:
        raise ValueError(f"{path}: has {len(xyz)} points with finite coordinates: take it out of the folder")
    low, high = bounds(xyz)
    tree = cKDTree(xyz - low, balanced_tree=False, compact_nodes=False)
    rows = generator("start", path.name).choice(len(xyz), min(POINTS, len(xyz)), replace=False)
    found = tree.query((xyz - low)[rows], k=min(12, len(xyz)))
    distance, around = np.asarray(found[0]), np.asarray(found[1])
    nearest = distance[:, 1][distance[:, 1] > 0]
    spacing = float(np.median(nearest)) if len(nearest) else 0.0
    near = (xyz - low)[around]
    spread = np.einsum("pki,pkj->pij", near - near.mean(axis=1, keepdims=True), near - near.mean(axis=1, keepdims=True))
    values, vectors = np.linalg.eigh(spread)
    flat = values[:, 0] < 0.1 * values[:, 1]
    diagonal = float(np.linalg.norm(high - low))
    brightest = None if cloud.coloured or cloud.intensity is None else float(cloud.intensity.max())
    middle = np.median(xyz, axis=0)
    return Look(path, len(cloud), spacing, diagonal, vectors[flat, :, 0], low, high, middle, cloud.coloured, _labelled(cloud), brightest)


def _labelled(cloud: Cloud) -> bool:
    return cloud.label is not None and bool((cloud.label > 1).any())


def units(looks: Sequence[Look]) -> Decided:
    """Metres, unless the numbers say millimetres. Raises: ValueError for degrees."""
    diagonal, spacing = (float(np.median([getattr(one, key) for one in looks])) for key in ("diagonal", "spacing"))
    measured = f"scans are {diagonal:.3g} across and points {spacing:.2g} apart in the files' units"
    if all(_degrees(one) for one in looks):
        raise ValueError(f"{looks[0].path}: its coordinates look like degrees ({measured}): project the scans to metres first, for example to UTM")
    if diagonal > 1000 and spacing >= 1 and not any(one.path.suffix.lower() in (".las", ".laz") for one in looks):
        return Decided(0.001, f"{measured}: millimetres; write metres if they are")
    return Decided("metres", f"{measured}; 0.001 if those are millimetres, 0.3048 if feet")


def _degrees(one: Look) -> bool:
    """Whether x and y are small numbers with far smaller differences, and z is not: longitude, latitude and a height in metres."""
    wide, tall = (one.high - one.low)[:2].max(), (one.high - one.low)[2]
    return bool(np.abs([*one.low[:2], *one.high[:2]]).max() <= 180 and wide < 0.1 and tall > 100 * wide)


def intensity(looks: Sequence[Look]) -> Decided | None:
    """The number that means full intensity: the smallest usual one that holds what the scans have. None without intensities."""
    found = [one.brightest for one in looks if one.brightest is not None]
    if not found or not np.isfinite(found).all():
        return None
    full = next((scale for scale in (1, *FULL_SCALES) if max(found) <= scale), max(found))
    return Decided(
        f"{full:g}" if full < 1e6 else repr(full), f"the number that means full intensity, in files of any format; the largest seen is {max(found):g}"
    )


def up(looks: Sequence[Look]) -> Decided:
    """The direction away from the floor: z, unless most flat pieces of the surface look elsewhere."""
    if all(one.path.suffix.lower() in UPRIGHT for one in looks):
        return Decided([0, 0, 1], "z, as the format has it")
    normals = np.concatenate([one.normals for one in looks]) if looks else np.zeros((0, 3))
    if len(normals) < 50:
        return Decided([0, 0, 1], "z; too few flat pieces to tell, check it in a viewer")
    horizontal = float((np.abs(normals[:, 2]) > NEAR).mean())
    candidates = normals[:: max(1, len(normals) // 500)]
    shares = (np.abs(candidates @ normals.T) > NEAR).mean(axis=1)
    best = int(shares.argmax())
    if horizontal > 0.6 * shares[best]:
        return Decided([0, 0, 1], f"z: {100 * horizontal:.0f} % of the flat pieces are level that way")
    direction = _mean_direction(normals, candidates[best])
    direction = direction * np.sign(sum(float(direction @ _away(one)) for one in looks) or 1.0)
    words = f"{100 * shares[best]:.0f} % of the flat pieces look that way, {100 * horizontal:.0f} % along z; check it in a viewer"
    return Decided([round(float(value), 3) + 0.0 for value in direction], words)


def _mean_direction(normals: F64, direction: F64) -> F64:
    """The mean of the normals that are near a direction, either way."""
    turned = normals * np.sign(normals @ direction)[:, None]
    mean = turned[turned @ direction > NEAR].mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean), np.float64)


def _away(one: Look) -> F64:
    """From the middle of a scan to where it was taken from: the origin, where that is near; else to where the points thin out."""
    if np.linalg.norm(one.above) < 3 * one.diagonal:
        return -one.above
    return (one.low + one.high) / 2 - one.above


def lengths(looks: Sequence[Look], factor: float) -> dict[str, Decided]:
    """Voxels and regions from the point spacing. Raises: ValueError when that is 0."""
    spacing = factor * float(np.median([one.spacing for one in looks]))
    if spacing <= 0:
        raise ValueError(f"{looks[0].path}: all points have a double, so that nothing says how far apart they are: remove the doubles")
    scale = filled_scale({"supervoxel_voxel": filled_scale({}, spacing)["voxel"]}, spacing)
    reasons = {
        "voxel": f"metres: 2.5 times the point spacing of {spacing:.2g} m, rounded; points closer than this are seen as one",
        "supervoxel_voxel": "metres: regions are grown over voxels of this size",
        "supervoxel_seed": "metres: ten voxels, about as wide is a region that you are asked about; smaller ones mix fewer classes",
        "neighbours": "so many points around one say how its surface bends",
    }
    return {key: Decided(scale[key], reason) for key, reason in reasons.items()}


def card_text(out: Path, classes: Sequence[str], names: dict[str, Path], looks: Sequence[Look]) -> str:
    """The dataset.yaml, a reason behind every value."""
    unit = units(looks)
    factor = float(unit.value) if isinstance(unit.value, float) else 1.0
    scale = lengths(looks, factor)
    bright = intensity(looks)
    name = re.sub(r"[^A-Za-z0-9_.#+-]+", "_", out.absolute().name).strip("._") or "scans"
    las = any(one.path.suffix.lower() in (".las", ".laz") for one in looks)
    codes = " The codes in your LAS files are no labels this way; {2: ground, 6: building} would take them." if las else ""
    lines = [
        f"# Written by al3d start from {len(looks)} of {len(names)} scans. Every value may be changed.",
        f"name: {_spelled(name)}",
        f"classes: [{', '.join(map(_spelled, classes))}]  # as given.{codes}",
        f"units: {_spelled(unit.value)}  # {unit.reason}",
        *([f"intensity: {bright.value}  # {bright.reason}"] if bright else []),
        f"up: {json.dumps(up(looks).value)}  # {up(looks).reason}",
        "scale:",
        *(f"  {key}: {one.value:g}  # {one.reason}" for key, one in scale.items()),
        "splits:",
        "  # all to label; to judge on scans that have labels, list those under val: [...]",
        "  train:",
        *(f"    - {_spelled(scene)}" for scene in sorted(names)),
    ]
    return "\n".join(lines) + "\n"


def _spelled(value: object) -> str:
    """A word as YAML reads it back as the same."""
    text = str(value)
    return (
        text if not isinstance(value, str) or (re.fullmatch(r"[A-Za-z][\w-]*", text) and yaml.safe_load(text) == text) else json.dumps(text, ensure_ascii=False)
    )


def _class_names(classes: Sequence[str]) -> list[str]:
    names = [name.strip() for name in classes if name.strip()]
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(f"--classes {','.join(classes)}: give at least two different names, such as ground,building,tree")
    return names


def _notes(looks: Sequence[Look]) -> list[str]:
    """What a person should know. Raises: ValueError for scans of which some have colours and some have not."""
    coloured = [one.path for one in looks if one.colour]
    if coloured and len(coloured) < len(looks):
        other = next(one.path for one in looks if not one.colour)
        raise ValueError(f"{coloured[0]} has colours and {other} has not: a data set needs the same attributes everywhere; take one kind at a time")
    many = [one for one in looks if one.points > MANY]
    notes = [f"{one.path.name} has {one.points:,} points: dataset.grid=METRES thins such scans, or cut them into tiles first" for one in many]
    labelled = [one.path.name for one in looks if one.labelled]
    return [*notes, *([f"{labelled[0]} has labels already; with oracle=people they are not looked at"] if labelled else [])]


def _check_place(file: Path, link: Path) -> None:
    """Refuse to put a link where another file is. Raises: ValueError."""
    pairs = [(file, link), (label_file(file), label_file(link))] if file.suffix.lower() == ".bin" else [(file, link)]
    for source, target in pairs if file.absolute() != link.absolute() else []:
        if target.is_file() and not target.is_symlink() and not (source.is_file() and filecmp.cmp(source, target, shallow=False)):
            raise ValueError(f"{target} is a file that would be lost, where a link to {source} belongs: choose another --out")


def _link(file: Path, link: Path) -> None:
    """Put a scan where the data set expects it: a link where the disk can, else a copy; with the labels beside a KITTI scan."""
    if file.absolute() == link.absolute():
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    beside = [(label_file(file), label_file(link))] if file.suffix.lower() == ".bin" and label_file(file).is_file() else []
    for source, target in [(file, link), *beside]:
        if target.is_file() and not target.is_symlink():
            continue  # a copy of it is there
        target.unlink(missing_ok=True)
        try:
            os.symlink(source.resolve(), target)
        except OSError:
            shutil.copyfile(source, target)
