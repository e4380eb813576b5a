"""Where the points of each class lie in BaSAL's partitions, on the street world, for both readings of its equation 1.

python benchmarks/class_shares.py [drives] [scans of each]: prints a Markdown table beside BaSAL's table I (shares in percent over small, medium,
large, ground; points in no unit left out). The scans are a second apart. Nothing is chosen by this table: the data are generated.
"""

from __future__ import annotations

import sys

import numpy as np
from joblib import Parallel, delayed

from al3d.data.sources.semantic_kitti_labels import CLASSES, TABLES
from al3d.types import IGNORE, Scene
from al3d.units.binning import READINGS, api_bins, api_edges, class_counts, class_shares, cluster_sizes
from al3d.units.clusters import SizedClusters
from al3d.world.semantic_kitti import raw_labels
from al3d.world.street import HDL64, drive

BINS, STEP = 3, 10
PAPER = {
    "car": "26.7 63.9 6.5 2.8", "bicycle": "23.4 14.3 40.4 21.9", "motorcycle": "77.3 10.6 6.9 5.2", "truck": "3.6 29.6 62.9 3.9",
    "other-vehicle": "17.7 56.5 23.7 2.1", "person": "53.9 23.2 17.8 5.1", "bicyclist": "68.2 24.3 5.6 1.9", "motorcyclist": "76.3 18.1 0.8 4.9",
    "road": "0.1 0.1 0.1 99.7", "parking": "0.1 0.2 0.1 99.6", "sidewalk": "0.2 0.2 0.4 99.3", "other-ground": "1.2 1.6 4.4 92.7",
    "building": "6.5 13.1 71.1 9.3", "fence": "4.4 9.0 49.8 36.8", "vegetation": "9.3 18.0 50.7 22.1", "trunk": "48.7 33.2 14.7 3.5",
    "terrain": "1.1 1.7 3.4 93.9", "pole": "42.9 19.6 31.6 5.8", "traffic-sign": "50.5 23.6 25.7 0.2",
}  # fmt: skip


def scans(index: int, count: int) -> list[tuple[np.ndarray, ...]]:
    """Unit ids, kinds, labels, and each unit's size and points, of scans of one drive."""
    table = np.full(1 << 16, IGNORE, np.uint8)
    for raw, label in TABLES["official"].items():
        table[raw] = label
    found = []
    for number, sweep in enumerate(drive(1, index, HDL64, count * STEP, False)):
        if number % STEP:
            continue
        partition = SizedClusters()(Scene(f"{index}_{number}", sweep.xyz, sweep.intensity[:, None]))
        unit, kinds = partition.unit, partition.kinds()
        order = np.argsort(unit[unit >= 0], kind="stable")
        xyz = sweep.xyz[unit >= 0][order]
        starts = np.searchsorted(unit[unit >= 0][order], np.arange(len(kinds)))
        extent = np.maximum.reduceat(xyz, starts) - np.minimum.reduceat(xyz, starts)
        points = np.bincount(unit[unit >= 0], minlength=len(kinds))
        found.append((unit, kinds, table[raw_labels(sweep) & 0xFFFF], cluster_sizes(extent), points))
    return found


def main(drives: int = 6, count: int = 6) -> None:
    """Print the table."""
    parts = [scan for one in Parallel(n_jobs=-1)(delayed(scans)(index, count) for index in range(drives)) for scan in one]
    kinds, size, points = (np.concatenate([part[column] for part in parts]) for column in (1, 3, 4))
    owner = np.repeat(np.arange(len(parts)), [len(part[1]) for part in parts])
    shares, objects = {}, kinds == 0
    for reading in READINGS:
        stratum = np.full(len(kinds), BINS)
        stratum[objects] = api_bins(size[objects], points[objects], BINS, reading)
        counts = sum(class_counts(part[2], part[0], stratum[owner == number], BINS + 1, len(CLASSES)) for number, part in enumerate(parts))
        shares[reading] = 100 * class_shares(counts, queryable=True)
        edges = api_edges(size[objects], points[objects], BINS, reading).tolist()
        print(f"{reading}: medium from {edges[0]} m, large from {edges[1]} m ({objects.sum():,} objects in {len(parts)} scans)")
    print("\n| class | points | in no unit % | printed | prose | paper |\n|---|---:|---:|---|---|---|")
    nowhere = 100 * class_shares(counts)[:, -1]
    for label, name in enumerate(CLASSES.names):
        cells = [" ".join(f"{value:.1f}" for value in shares[reading][label, : BINS + 1]) for reading in ("printed", "prose")]
        print(f"| {name} | {counts[label].sum():,} | {nowhere[label]:.1f} | {cells[0]} | {cells[1]} | {PAPER[name]} |")


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
