"""From facts about a data set to findings: what is fine, what a person should look at, what is broken."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from al3d.data.facts import COLOURS, Facts, Split, rigid_fault
from al3d.types import ClassTable

#: Names listed in one finding.
LISTED = 5
#: Brightness that correlates less is another place, or other light.
UNLIKE = 0.2
#: Metres between two consecutive frames of a drive; 10 Hz at 130 km/h are 4, nuScenes' 2 Hz at 70 km/h are 10.
LONGEST_STEP = 10.0


@dataclass(frozen=True)
class Finding:
    """One result: `aspect` names the table it belongs to, `state` is ok, look or broken, `way_out` says what to do (empty when ok)."""

    aspect: str
    state: str
    what: str
    way_out: str = ""


def findings(splits: Sequence[Split], facts: Sequence[Facts], classes: ClassTable, features: Sequence[str], voxel: float | None) -> list[Finding]:
    """Everything that can be said about a data set, in the order of the tables."""
    good = [one for one in facts if not one.error]
    found = [*_scenes(splits), *_files(facts)]
    if good:
        found += [*_labels(splits, good, classes), *_geometry(good, voxel), *_attributes(good, features), *_drives(splits, good), *_images(good)]
    return found


def _scenes(splits: Sequence[Split]) -> Iterable[Finding]:
    for split in splits:
        have, wanted = len(split.ids), split.published
        if split.error:
            needed = split.name in ("train", "val")
            yield Finding("scenes", "broken" if needed else "look", f"{split.name}: {split.error}", "" if needed else "only needed for a benchmark's server")
        elif wanted is None or have == wanted:
            yield Finding("scenes", "ok", f"{split.name}: {have} scenes{'' if wanted is None else ', as published'}")
        elif have < wanted:
            yield Finding(
                "scenes",
                "look",
                f"{split.name}: {have} of {wanted} published scenes, {wanted - have} missing",
                "fine for a trial; for published numbers get the rest",
            )
        else:
            yield Finding(
                "scenes", "look", f"{split.name}: {have} scenes, {have - wanted} more than published", "look for copies and folders that do not belong there"
            )
    owners: dict[str, list[str]] = {}
    for split in splits:
        for scene in split.ids:
            owners.setdefault(scene, []).append(split.name)
    twice = [scene for scene, names in owners.items() if len(names) > 1]
    if twice:
        yield Finding("scenes", "broken", f"in more than one split: {_names(twice)}", "leave each scene in one split: labels of val must not be trained on")


def _files(facts: Sequence[Facts]) -> Iterable[Finding]:
    broken: dict[str, list[Facts]] = {}
    for one in facts:
        if one.error:
            broken.setdefault(one.error, []).append(one)
    for error, ours in list(broken.items())[: 2 * LISTED]:  # the sources' errors say the way out themselves
        yield Finding("files", "broken", f"{ours[0].split} {_names([one.id for one in ours])}: {error}")
    if len(broken) > 2 * LISTED:
        rest = sum(len(ours) for ours in list(broken.values())[2 * LISTED :])
        yield Finding("files", "broken", f"{rest} more scenes cannot be read", "mend these first, then check again")
    warned = [(one, text) for one in facts for text in one.warned]
    for one, text in warned[:LISTED]:
        yield Finding("files", "look", text if one.id in text else f"{one.id}: {text}", "known flaws of a release are handled; else mend the file")
    if len(warned) > LISTED:
        yield Finding("files", "look", f"{len(warned) - LISTED} more warnings", "see above")
    if facts and not broken:
        yield Finding("files", "ok", f"{len(facts)} of {len(facts)} scenes read")


def _labels(splits: Sequence[Split], good: Sequence[Facts], classes: ClassTable) -> Iterable[Finding]:
    strange = [one for one in good if one.strange]
    if strange:
        first = strange[0]
        yield Finding(
            "labels",
            "broken",
            f"{_names([one.id for one in strange])}: labels {list(first.strange)} outside 0..{len(classes) - 1}",
            "map them to classes or to 255",
        )
    for split in splits:
        ours = [one for one in good if one.split == split.name]
        points, labelled = sum(one.points for one in ours), sum(one.labelled for one in ours)
        if not ours:
            continue
        if labelled == 0:
            state, way = _unlabelled(split.name)
            yield Finding("labels", state, f"{split.name}: no point has a label", way)
            continue
        bare = [one.id for one in ours if one.labelled == 0]
        if bare:
            yield Finding(
                "labels",
                "look",
                f"{split.name}: {len(bare)} scenes without any label: {_names(bare)}",
                "a simulated annotator knows nothing about them; leave them out, or label them",
            )
        if labelled < 0.5 * points:
            yield Finding(
                "labels",
                "look",
                f"{split.name}: only {100 * labelled / points:.1f} % of the points have a label",
                "look at the label map: unmapped values become 255",
            )
        counts = np.sum([one.classes for one in ours if one.classes is not None], axis=0)
        absent = [name for name, count in zip(classes.names, counts, strict=True) if count == 0]
        if absent:
            whole = len(split.read) == len(split.ids)
            way = "mIoU leaves them out, or counts 0: say which when you report it" if whole else "read more scenes (scenes=all) before you worry"
            yield Finding("labels", "look", f"{split.name}: no point of {', '.join(absent)} in {len(ours)} scenes", way)
    if not strange:
        yield Finding("labels", "ok", f"labels are 0..{len(classes) - 1} or unknown")


def _unlabelled(split: str) -> tuple[str, str]:
    if split == "val":
        return "broken", "val needs labels to measure anything: check that the label files lie where the source looks"
    if split == "train":
        return "look", "fine for real annotation; a simulated annotator needs labels: check where the label files lie"
    return "ok", "hidden labels of an official test split"


def _geometry(good: Sequence[Facts], voxel: float | None) -> Iterable[Finding]:
    extents = np.array([one.extent for one in good])
    reach = extents.max(axis=1)
    for low, what, way in (
        (reach > 2000, "over 2 km across", "remove stray points"),
        (reach < 0.1, "under 10 cm across", "keep scenes with more than a few points"),
    ):
        if low.any():
            names = _names([one.id for one, hit in zip(good, low, strict=True) if hit])
            yield Finding("geometry", "look", f"{int(low.sum())} scenes are {what}: {names}", f"check that coordinates are in metres; {way}")
    upright = extents[:, 2] <= extents[:, :2].max(axis=1)
    if upright.mean() < 0.5:
        yield Finding(
            "geometry", "look", f"{int((~upright).sum())} of {len(good)} scenes are higher than wide", "check the up axis: +z must point away from the floor"
        )
    else:
        yield Finding("geometry", "ok", f"{int(upright.sum())} of {len(good)} scenes are wider than high, as with +z up")
    repeated = [one for one in good if one.duplicates > 0.01 * one.points]
    if repeated:
        worst = max(repeated, key=lambda one: one.duplicates / one.points)
        share = 100 * worst.duplicates / worst.points
        yield Finding(
            "geometry",
            "look",
            f"{len(repeated)} scenes repeat over 1 % of their points, worst {worst.id} ({share:.1f} %)",
            "look for files that were merged twice",
        )
    else:
        yield Finding("geometry", "ok", "no scene repeats more than 1 % of its points")
    yield from _lengths(good, voxel)


def _lengths(good: Sequence[Facts], voxel: float | None) -> Iterable[Finding]:
    spacings = [one.spacing for one in good if np.isfinite(one.spacing)]
    if not spacings:
        yield Finding("geometry", "broken", "all points of every scene coincide", "check the coordinates' columns")
    elif voxel is not None:
        ratio = voxel / float(np.median(spacings))
        if not 0.5 <= ratio <= 50:
            what = f"voxels of {voxel:g} m are {ratio:.2g} times the point spacing of {np.median(spacings):.3g} m"
            yield Finding("geometry", "look", what, "check units, or set dataset.scale.voxel to 1 to 10 spacings")
        else:
            yield Finding("geometry", "ok", f"voxels of {voxel:g} m are {ratio:.2g} times the point spacing")


def _attributes(good: Sequence[Facts], features: Sequence[str]) -> Iterable[Finding]:
    if not features:
        return
    low, high = (np.array([getattr(one, key) for one in good]) for key in ("low", "high"))
    flawed = False
    for column, name in enumerate(features):
        least, most = low[:, column].min(), high[:, column].max()
        if name in COLOURS and (least < 0 or most > 1):
            flawed = True
            yield Finding("attributes", "broken", f"{name} ranges from {least:g} to {most:g}", "colours must be 0..1: divide bytes by 255")
        flat = [one.id for one, below, above in zip(good, low[:, column], high[:, column], strict=True) if below == above]
        if flat and name != "one":
            flawed = True
            what = f"{name} is the same for all points of {len(flat)} of {len(good)} scenes: {_names(flat)}"
            yield Finding("attributes", "look", what, "the network learns nothing from it: check that the files have this field")
    dark = all(name in features for name in COLOURS) and high[:, [features.index(name) for name in COLOURS]].max() < 0.02
    if dark:
        flawed = True
        yield Finding("attributes", "look", "colours are nearly black everywhere", "they were probably divided by 255 twice")
    if not flawed:
        yield Finding("attributes", "ok", f"{', '.join(features)}: finite, in range, not constant")


def _drives(splits: Sequence[Split], good: Sequence[Facts]) -> Iterable[Finding]:
    driven = {one.id: one for one in good if one.sequence is not None}
    if not driven:
        return
    faults = [(one, rigid_fault(one.pose)) for one in driven.values() if one.pose is not None]
    wrong = [(one, fault) for one, fault in faults if fault]
    for one, fault in wrong[:LISTED]:
        yield Finding("drives", "broken", f"{one.id}: its pose {fault}", "mend the file of poses or the calibration")
    steps, gaps, still = [], [], 0
    for before, after in _neighbours(splits, driven):
        if before.frame is None or after.frame is None or before.pose is None or after.pose is None:
            continue
        if after.frame - before.frame != 1:
            gaps.append(f"{before.id} -> {after.id}")
            continue
        length = float(np.linalg.norm(after.pose[:3, 3] - before.pose[:3, 3]))
        still += bool(np.array_equal(after.pose, before.pose))
        steps.append((length, f"{before.id} -> {after.id}"))
    if gaps:
        yield Finding(
            "drives", "look", f"frames are missing between neighbours: {_names(gaps)}", "copy the missing frames: methods that compare frames skip over them"
        )
    far = [(length, name) for length, name in steps if not length <= LONGEST_STEP]
    if far:
        worst = max(far)
        what = f"{len(far)} of {len(steps)} steps are over {LONGEST_STEP:g} m, the longest {worst[0]:.1f} m ({worst[1]})"
        yield Finding("drives", "look", what, "check that poses are in metres, of this drive, and one line per frame")
    if steps and still == len(steps):
        yield Finding(
            "drives",
            "look",
            f"the pose never changes over {len(steps)} steps",
            "poses are missing or all the same: methods that compare frames (LiDAL) would be misled",
        )
    if not (wrong or gaps or far) and still < max(1, len(steps)):
        yield Finding("drives", "ok", f"{len(driven)} frames with rigid poses; {len(steps)} steps between neighbours, none over {LONGEST_STEP:g} m")


def _neighbours(splits: Sequence[Split], driven: Mapping[str, Facts]) -> list[tuple[Facts, Facts]]:
    """Scenes that follow each other in a split's list and belong to one drive, both read."""
    pairs = [pair for split in splits for pair in pairwise(split.ids)]
    both = [(driven[first], driven[second]) for first, second in pairs if first in driven and second in driven]
    return [(before, after) for before, after in both if before.sequence == after.sequence]


def _images(good: Sequence[Facts]) -> Iterable[Finding]:
    pictured = [one for one in good if one.views]
    if not pictured:
        return
    wrong = [(one, view) for one in pictured for view in one.views if view.wrong]
    for one, view in wrong[:LISTED]:
        yield Finding("images", "broken", f"{one.id}: {view.name} {view.wrong}", "copy the picture again, or mend the camera's size and pose")
    if len(wrong) > LISTED:
        yield Finding("images", "broken", f"{len(wrong) - LISTED} more pictures are wrong", "mend these first, then check again")
    count = sum(not view.lost for one in pictured for view in one.views)
    blind = [one.id for one in pictured if one.shown == 0]
    if blind:
        yield Finding(
            "images",
            "look",
            f"no point lies inside any picture of {_names(blind)}",
            "check the cameras' poses: they bring the camera's frame (z forward, y down) to the scene's",
        )
    lost = [one.id for one in pictured if any(view.lost for view in one.views)]
    if lost and any(not view.lost for one in pictured for view in one.views):
        yield Finding("images", "look", f"{len(lost)} of {len(pictured)} scenes have a camera, but no picture: {_names(lost)}", "copy the missing pictures")
    yield from _likeness([(view.likeness, f"{one.id}: {view.name}") for one in pictured for view in one.views if np.isfinite(view.likeness)])
    if not (wrong or blind or lost):
        yield Finding("images", "ok", f"{count} pictures of {len(pictured)} scenes found, sizes as their cameras say")


def _likeness(alike: Sequence[tuple[float, str]]) -> Iterable[Finding]:
    """Whether points and pixels look alike: never proof, since nothing is hidden here, but a wrong frame shows."""
    if not alike:
        return
    middle = float(np.median([value for value, _ in alike]))
    if middle < UNLIKE:
        what = f"points and pixels do not look alike: median correlation {middle:.2f} over {len(alike)} pictures"
        yield Finding("images", "look", what, "the cameras probably look elsewhere: check poses, intrinsics and the frame of the points")
        return
    odd = [name for value, name in alike if value < UNLIKE and middle > 0.6]
    if odd:
        yield Finding(
            "images", "look", f"{len(odd)} of {len(alike)} pictures do not look like their points: {_names(odd)}", "check that they belong to these scenes"
        )
    else:
        yield Finding("images", "ok", f"brightness of points and pixels correlates: median {middle:.2f} over {len(alike)} pictures")


def _names(names: Collection[str]) -> str:
    return f"{', '.join(list(names)[:LISTED])}{f' and {len(names) - LISTED} others' if len(names) > LISTED else ''}"
