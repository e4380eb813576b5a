"""Choosing at paper scale on synthetic pools of the real sizes: seconds and peak memory of every picker, and of the scores of a frame.

python benchmarks/acquire.py [case ...]: prints one table row per case, each in a process of its own so that its peak memory is its own.
`reference` is the naive or the published way, run in the same process on a part of the pool and scaled as it grows (each case says
how); `times` is how much longer it takes. Sizes: SemanticKITTI has 19,130 scans, 739,235 supervoxels, 382,600 k-means regions; the
places of points are those of al3d's own rooms and street, with random predictions.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from scipy.special import kl_div
from sklearn.cluster import KMeans

from al3d.acquire.acquirer import Acquirer
from al3d.acquire.budget import Budget, Ledger
from al3d.acquire.diverse import PlusPlus, TypiClust
from al3d.acquire.fusion import RankFusion
from al3d.acquire.hierarchy import HierarchicalMargin
from al3d.acquire.interframe import divergence_and_entropy, world_of
from al3d.acquire.kcenter import KCenter
from al3d.acquire.pick import ClusterDecay, Picker
from al3d.acquire.reduce import join, load_units, save_units
from al3d.acquire.score import Entropy, Extra, WeightedSum
from al3d.acquire.strata import Kinds, Stratified, take
from al3d.acquire.suppress import Suppress
from al3d.acquire.swap import SwapNearby
from al3d.data.extras import ColourDiscontinuity, SurfaceVariation
from al3d.data.voxelise import voxelise
from al3d.nets.minkunet import MinkUNet
from al3d.rng import generator
from al3d.types import Scene, Units, View
from al3d.units.point import PointUnit
from al3d.units.supervoxel import Supervoxel
from al3d.world.rooms import make_room
from al3d.world.street import HDL64, drive

REGIONS, SCANS, ROOMS = 739_235, 19_130, 204


@dataclass(frozen=True)
class Row:
    """One row of the table: seconds (None: the figure is in `note`), what was done, and the seconds that the reference would take."""

    seconds: float
    note: str
    reference: float | None = None


def pool(
    rows: int, width: int, scenes: int, name: str, labelled: int = 0, size: int = 3000, scores: int = 1, span: float = 100.0, dtype: type = np.float32
) -> Units:
    """A pool of random rows with clustered features."""
    random = generator("benchmark", name)
    centres = random.normal(size=(200, width)).astype(np.float32)
    feature = np.empty((rows, width), dtype)
    for start in range(0, rows, 50_000):
        part = feature[start : start + 50_000]
        part[:] = centres[random.integers(0, 200, len(part))] + 0.3 * random.standard_normal(part.shape, dtype=np.float32)
    scene = np.sort(random.integers(0, scenes, rows)).astype(np.int32)
    starts = np.searchsorted(scene, scene)
    points = random.integers(max(1, size // 2), size * 3 // 2 + 1, rows)
    known = np.zeros(rows, bool)
    known[random.choice(rows, labelled, replace=False)] = True
    place = random.uniform(0, span, (rows, 3)).astype(np.float32) * np.array([1, 1, 0.03], np.float32)
    return Units(
        scene=scene,
        unit=(np.arange(rows) - starts).astype(np.int32),
        size=np.where(known, 0, points),
        points=points,
        center=place,
        extent=random.uniform(0.2, 4, (rows, 3)).astype(np.float32),
        world=place.astype(np.float64),
        drive=(scene // 2000).astype(np.int32),
        score=random.random((rows, scores), dtype=np.float32),
        feature=feature,
        kind=random.integers(0, 4, rows).astype(np.uint8),
        predicted=random.integers(0, 19, rows).astype(np.uint8),
        clicks=np.ones(rows, np.int64),
        labelled=known,
    )


def timed(work: Callable[[], object]) -> float:
    """Wall seconds of one run."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def peak() -> float:
    """MB that this process held at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def choosing(
    picker: Picker, units: Units, warm: Units, count: int | None = None, overshoot: str = "skip_to_fit", reference: Callable[[], float] | None = None
) -> Row:
    """Fill a ledger of `count` units, or of 1 % of all points, after compiling on a small pool."""
    measure = "points" if count is None else "units"
    picker(warm, Ledger(warm, int(warm.size.sum() / 50) if count is None else 20, overshoot, measure), (1,))
    ledger = Ledger(units, int(units.points.sum() * 0.01) if count is None else count, overshoot, measure)
    seconds = timed(lambda: picker(units, ledger, (1,)))
    note = f"{len(ledger.rows):,} of {len(units):,} rows; {peak():,.0f} MB"
    return Row(seconds, note, reference() if reference else None)


def some(units: Units, count: int) -> Units:
    """`count` rows of a pool, evenly spread."""
    return take(units, np.linspace(0, len(units) - 1, count).astype(np.int64))


def redal() -> Row:
    """ReDAL 1 %, best tenth clustered; reference: its k-means with 10 restarts on 1/10 of the rows, x 10."""
    units = pool(REGIONS, 96, SCANS, "redal")
    part = some(units, REGIONS // 100).feature
    published = lambda: 10 * timed(lambda: KMeans(150, n_init=10, random_state=0).fit(part))  # noqa: E731
    return choosing(ClusterDecay(150, 0.95, 0.1), units, pool(2000, 96, 50, "warm"), overshoot="include", reference=published)


def redal_untrimmed() -> Row:
    """ReDAL 1 %, all clustered; reference: k-means with 10 restarts on 1/100 of the rows, x 100."""
    units = pool(REGIONS, 96, SCANS, "redal")
    part = some(units, REGIONS // 100).feature
    published = lambda: 100 * timed(lambda: KMeans(400, n_init=10, random_state=0).fit(part))  # noqa: E731
    return choosing(ClusterDecay(400, 0.95, 1.0), units, pool(2000, 96, 50, "warm"), overshoot="include", reference=published)


def basal() -> Row:
    """BaSAL 1 %, against 20,000 labelled in four strata; reference: scipy's distances of 1/400 of the rows, x 400."""
    units = pool(1_000_000, 96, SCANS, "basal", 20_000, 800)

    def naive() -> float:
        part, known = some(units, 2500), take(units, np.flatnonzero(units.labelled))
        return 400 * sum(timed(lambda k=k: cdist(part.feature[part.kind == k], known.feature[known.kind == k]).sum(axis=1)) for k in range(4))

    return choosing(Stratified(Kinds(), RankFusion()), units, pool(2000, 96, 50, "warm", 100), reference=naive)


def lidal() -> Row:
    """LiDAL 1 %; reference: a list of all bought ones for 1/10 of the rows, x 100 (quadratic)."""
    units = pool(382_600, 0, SCANS, "lidal", size=6141, scores=2, span=3000.0)

    def naive() -> float:
        part = some(units, 38_260)
        places: list[np.ndarray] = []

        def walk() -> None:
            for row in np.argsort(-part.score[:, 0]).tolist():
                if len(places) >= 383:
                    return
                if not any(np.linalg.norm(part.world[row] - place) < 5 for place in places):
                    places.append(part.world[row])

        return 100 * timed(walk)

    return choosing(SwapNearby(5.0), units, pool(500, 0, 20, "warm", scores=2), overshoot="exclude", reference=naive)


def hpal_few(count: int = 2600) -> Row:
    """HPAL, 2,600 points of 204 rooms, best 2,000 of each; reference: a list of all taken ones, 1/10 of the picks, x 100 (quadratic)."""
    units = pool(ROOMS * 2000, 96, ROOMS, "hpal", size=1, span=8.0)

    def naive() -> float:
        taken: list[int] = []

        def near(row: int, other: int) -> bool:
            if units.scene[row] != units.scene[other] or np.linalg.norm(units.center[row] - units.center[other]) >= 0.2:
                return False
            one, two = units.feature[row], units.feature[other]
            return bool(one @ two > 0.8 * np.linalg.norm(one) * np.linalg.norm(two))

        def walk() -> None:
            for row in np.argsort(-units.score[:, 0]).tolist():
                if len(taken) >= count // 10:
                    return
                if not any(near(row, other) for other in taken):
                    taken.append(row)

        return 100 * timed(walk)

    return choosing(Suppress(0.2, 0.8), units, pool(500, 96, 5, "warm", size=1), count, reference=naive)


def hpal_many() -> Row:
    """HPAL, 26,000 points of 204 rooms, best 2,000 of each; reference as above."""
    return hpal_few(26_000)


def farthest(units: Units, picks: int) -> float:
    """Seconds of `picks` rounds of k-center with the distances of every row to every new centre."""

    def walk() -> None:
        left = np.full(len(units), np.inf)
        for _ in range(picks):
            row = int(np.argmax(left))
            left = np.minimum(left, np.linalg.norm(units.feature - units.feature[row], axis=1))

    return timed(walk)


def coreset() -> Row:
    """CoreSet, 191 of 19,130 scans; reference: every distance to each of 19 new centres, x 10."""
    units = pool(SCANS, 96, SCANS, "coreset", 191, 120_000)
    return choosing(KCenter(), units, pool(500, 96, 500, "warm", 5), 191, reference=lambda: 191 / 19 * farthest(units, 19))


def coreset_regions() -> Row:
    """CoreSet on regions, 7,392 of 739,235; reference: every distance to each of 10 new centres, x 739."""
    units = pool(REGIONS, 96, SCANS, "redal", 191)
    return choosing(KCenter(), units, pool(500, 96, 500, "warm", 5), 7392, reference=lambda: 739.2 * farthest(units, 10))


def badge() -> Row:
    """BADGE, 7,392 of 739,235 regions x 512; reference: every distance to each of 3 new centres on 1/10 of the rows, x 24,640."""
    units = pool(REGIONS, 512, SCANS, "badge", dtype=np.float16)

    def naive() -> float:
        part = some(units, REGIONS // 10)
        return 24_640 * farthest(replace(part, feature=part.feature.astype(np.float32)), 3)

    return choosing(PlusPlus(), units, pool(2000, 512, 50, "warm"), 7392, reference=naive)


def badge_unclustered() -> Row:
    """BADGE, 200 of 739,235 regions x 512 whose features are structureless noise, where nothing can be passed over."""
    units = pool(REGIONS, 512, SCANS, "badge", dtype=np.float16)
    random = generator("benchmark", "noise")
    for start in range(0, REGIONS, 50_000):
        part = units.feature[start : start + 50_000]
        part[:] = random.standard_normal(part.shape, dtype=np.float32)
    return choosing(PlusPlus(), units, pool(2000, 512, 50, "warm"), 200)


def typiclust() -> Row:
    """TypiClust, 7,392 of 739,235 regions x 96, 500 clusters; reference: the k-d trees alone (of one cluster, x 500), without k-means."""
    units = pool(REGIONS, 96, SCANS, "redal")

    def naive() -> float:
        part = some(units, REGIONS // 500).feature
        return 500 * timed(lambda: cKDTree(part).query(part, k=21))

    return choosing(TypiClust(), units, pool(2000, 96, 50, "warm"), 7392, reference=naive)


def view_of(xyz: np.ndarray, classes: int, number: int, pose: np.ndarray | None = None, width: int = 0) -> View:
    """A scene with random predictions of its 5 cm voxels."""
    random = generator("benchmark", "view", number)
    coord, inverse = voxelise(xyz, 0.05)
    scene = Scene(f"v{number}", xyz, np.zeros((len(xyz), 1), np.float32), sequence="00", frame=number, pose=np.eye(4) if pose is None else pose)
    prob = random.dirichlet(np.full(classes, 0.3), len(coord)).astype(np.float32)
    feature = random.random((len(coord), width), np.float32)
    return View(scene, number, np.zeros(len(xyz), np.int32), np.zeros(1, np.uint8), np.zeros(len(xyz), bool), (), prob, feature, inverse.astype(np.int64))


def lidal_score() -> Row:
    """LiDAL's scores of a scan of 124,000 points against 24 others, one of them not yet indexed; reference: a k-d tree for 1 of them, x 24."""
    sweeps = list(drive(1, 0, HDL64, 25, shots=False))
    views = [view_of(sweep.xyz, 19, number, sweep.pose) for number, sweep in enumerate(sweeps)]
    one, others = views[12], views[:12] + views[13:]
    first = timed(lambda: divergence_and_entropy(one, others, 0.1))
    others[-1].indexed.clear()
    seconds = timed(lambda: divergence_and_entropy(one, others, 0.1))
    note = f"{len(one.scene):,} points ({first:.1f} s when none is indexed, compilation included); {peak():,.0f} MB"

    def published() -> None:
        distance, row = tree.query(world_of(one))
        near = distance <= 0.1
        p, q = one.prob[one.inverse][near], others[0].prob[others[0].inverse[row[near]]]
        kl_div(p + 1e-5, q + 1e-5).sum(axis=1)

    tree = cKDTree(world_of(others[0]))
    return Row(seconds, note, 24 * timed(published))


def hpal_score() -> Row:
    """HPAL's scores of 204 rooms of 60,000 points, 13 classes; reference: k-d trees and numpy sums for 2 rooms, x 102."""
    views = [view_of(make_room(1, number, 60_000)[1].xyz.astype(np.float32), 13, number) for number in range(6)]
    score = HierarchicalMargin()
    score(views[0])
    points = sum(len(view.scene) for view in views)
    seconds = timed(lambda: [score(view) for view in views]) / points * 60_000 * ROOMS

    def published(view: View) -> None:
        place, prob = view.scene.xyz.astype(np.float64), view.prob[view.inverse].astype(np.float64)
        for grid in score.grids:
            _, own = np.unique(np.floor(place / grid), axis=0, return_inverse=True)
            centre = np.stack([np.bincount(own.reshape(-1), weights=column) for column in place.T], axis=1) / np.bincount(own.reshape(-1))[:, None]
            parent = cKDTree(centre).query(place)[1]
            summed = np.zeros((len(centre), prob.shape[1]))
            np.add.at(summed, parent, prob)
            prob, place = summed / np.maximum(np.bincount(parent, minlength=len(centre)), 1)[:, None], centre
            np.sort(prob, axis=1)

    sample = sum(len(view.scene) for view in views[:2])
    return Row(seconds, f"{ROOMS * 60_000:,} points; {peak():,.0f} MB", timed(lambda: [published(view) for view in views[:2]]) / sample * 60_000 * ROOMS)


def gather() -> Row:
    """Features and scores of 19,130 scans of 39 regions x 96 read from their files and joined; reference: growing one array, 1/8 of it, x 64."""
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, start in enumerate(range(0, SCANS, 256)):
            rows = min(256, SCANS - start)
            units = pool(rows * 39, 96, rows, f"block {number}")
            files.append(Path(folder) / f"{number}.npz")
            save_units(
                files[-1], replace(units, scene=(np.repeat(np.arange(rows), 39) + start).astype(np.int32), unit=np.tile(np.arange(39), rows).astype(np.int32))
            )
        parts = [timed(lambda share=share: join([load_units(file) for file in files[: len(files) // share]])) for share in (8, 4, 2, 1)]
        most = peak()
        scan = np.zeros((39, 96), np.float32)

        def growing() -> None:
            grown = np.zeros((0, 96), np.float32)
            for _ in range(SCANS // 8):
                grown = np.concatenate([grown, scan])

        return Row(parts[-1], f"{parts[0]:.2f}, {parts[1]:.2f}, {parts[2]:.2f} s for 1/8, 1/4, 1/2 of them; {most:,.0f} MB", 64 * timed(growing))


def harvest(kind: str = "room") -> Row:
    """What ReDAL's rows add to the network's time, a room of 60,000 points: seconds of the harvest; reference: the forward pass (MinkUNet, width 1)."""
    if kind == "room":
        cloud = make_room(1, 0, 60_000)[1]
        xyz, partition = cloud.xyz.astype(np.float32), Supervoxel(0.1, 1.0, minimum_points=20)
    else:
        xyz, partition = next(iter(drive(1, 0, HDL64, 1, shots=False))).xyz, Supervoxel(0.5, 10.0, minimum_points=100)
    xyz = xyz - xyz.min(axis=0)
    view = view_of(xyz, 13, 0, width=96)
    extras = (ColourDiscontinuity(50), SurfaceVariation(50))
    scene = replace(view.scene, extra={extra.name: np.zeros(len(xyz), np.float32) for extra in extras})
    view = replace(view, scene=scene, unit=partition(replace(view.scene, feat=np.zeros((len(xyz), 3), np.float32))).unit)
    view = replace(view, kind=np.zeros(int(view.unit.max()) + 1, np.uint8))
    score = WeightedSum((1.0, 0.1, 0.05), (Entropy("mean_bits"), *(Extra(extra) for extra in extras)))
    method = Acquirer("redal", PointUnit(), ClusterDecay(), Budget(1.0), score)
    coord, _ = voxelise(xyz, 0.05)
    batch = torch.from_numpy(np.insert(coord, 0, 0, axis=1)), torch.zeros((len(coord), 6))
    net = MinkUNet(6, 13).eval()
    with torch.inference_mode():
        forward = min(timed(lambda: net(*batch)) for _ in range(3))
    method.local(view)
    seconds = min(timed(lambda: method.local(view)) for _ in range(5))
    return Row(seconds, f"{100 * seconds / forward:.1f} % of the forward pass, {len(xyz):,} points in {view.unit.max() + 1} regions", forward)


def harvest_scan() -> Row:
    """The same for a scan of 124,000 points."""
    return harvest("scan")


CASES: tuple[Callable[[], Row], ...] = (
    redal, redal_untrimmed, basal, lidal, lidal_score, hpal_few, hpal_many, hpal_score, coreset, coreset_regions, badge, badge_unclustered, typiclust,
    gather, harvest, harvest_scan,
)  # fmt: skip


def main(names: list[str]) -> None:
    """Run the named cases (all by default), each in its own process."""
    print(f"{'case':18} {'seconds':>9} {'reference':>10} {'times':>7}   what was done; most memory held")
    for case in [case for case in CASES if not names or case.__name__ in names]:
        done = subprocess.run([sys.executable, __file__, "--one", case.__name__], capture_output=True, text=True)
        print(f"{case.__name__:18} {done.stdout.strip() or done.stderr}\n{'':18} {case.__doc__}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        row = next(case for case in CASES if case.__name__ == sys.argv[2])()
        compared = f"{row.reference:10.2f} {row.reference / row.seconds:6.0f}x" if row.reference is not None else f"{'-':>10} {'-':>7}"
        print(f"{row.seconds:9.3f} {compared}   {row.note}")
    else:
        main(sys.argv[1:])
