"""Generated sweeps against real ones: the same literal numbers are asserted of the real files and, with their tolerances, of the street."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from al3d.world.street import HDL32, HDL64, THIN, drive
from al3d.world.sweep import CATEGORIES

DATA = Path(__file__).parents[3] / "shared" / "data"
KITTI = DATA / "semantic_kitti" / "sequences" / "08" / "velodyne" / "000000.bin"
NUSCENES = DATA / "nuscenes_frame"

#: Name: (the real value, how far the real files may lie from it, how far the mean of generated sweeps may).
SCAN64 = {
    "points": (124_000, 700, 5_000),
    "points of the lowest ring": (1_135, 15, 180),
    "points of the 20 lowest rings": (34_200, 120, 2_500),
    "points of the 20 rings below the horizon": (42_300, 1_100, 1_400),
    "points of the 8 highest rings": (15_000, 800, 3_500),
    "median azimuth gap": (0.179, 0.002, 0.016),
    "range 1 %": (4.25, 0.1, 0.8),
    "range 10 %": (5.25, 0.15, 0.6),
    "range median": (10.6, 0.8, 2.4),
    "range 90 %": (29.9, 4.1, 7.0),
    "share beyond 50 m": (0.026, 0.011, 0.016),
    "height 10 %": (-2.08, 0.15, 0.4),
    "height median": (-1.59, 0.02, 0.2),
    "height 95 %": (0.56, 0.04, 0.35),
    "intensity 25 %": (0.215, 0.006, 0.04),
    "intensity median": (0.30, 0.005, 0.03),
    "intensity 75 %": (0.365, 0.006, 0.03),
    "intensity 95 %": (0.515, 0.03, 0.07),
    "intensity mean": (0.289, 0.006, 0.03),
    "share of intensity 0": (0.087, 0.005, 0.04),
    "steps of intensity": (99.5, 1, 9),
}
SCAN32 = {
    "points": (34_688, 0, 0),
    "points of every ring": (1_084, 0, 0),
    "share within 1 m": (0.2315, 0.001, 0.07),
    "share from 1 m to 2.5 m": (0.0143, 0.001, 0.025),
    "range median": (9.37, 0.01, 2.5),
    "range 90 %": (35.4, 0.1, 8.0),
    "height 25 % beyond 2.5 m": (-1.86, 0.01, 0.25),
    "intensity 25 %": (6 / 255, 0.001, 0.011),
    "intensity median": (12 / 255, 0.001, 0.012),
    "intensity 75 %": (23 / 255, 0.001, 0.025),
    "intensity mean": (18.67 / 255, 0.001, 0.025),
}
#: Points per thousand of SemanticKITTI's labelled training points; a generated world comes within the factor.
SHARES = {
    "car": (43.68, 2), "bicycle": (0.17, 5), "motorcycle": (0.41, 5), "truck": (2.02, 5), "other-vehicle": (2.40, 5), "person": (0.36, 5),
    "bicyclist": (0.13, 5), "motorcyclist": (0.04, 5), "road": (205.22, 2), "parking": (15.19, 2), "sidewalk": (148.59, 2),
    "other-ground": (4.03, 5), "building": (137.00, 2), "fence": (74.69, 2), "vegetation": (275.57, 2), "trunk": (6.23, 2.5),
    "terrain": (80.67, 2), "pole": (2.95, 5), "traffic-sign": (0.63, 5),
}  # fmt: skip
FOLDED = {"bus": "other-vehicle", "trailer": "other-vehicle", "construction-vehicle": "other-vehicle", "lane-marking": "road", "barrier": "fence"}


def facts64(xyz, intensity, ring_sizes):
    distance = np.linalg.norm(xyz, axis=1)
    azimuth = np.degrees(np.arctan2(xyz[:, 1], xyz[:, 0])) % 360
    gaps = np.abs(np.diff(azimuth))
    return {
        "points": len(xyz),
        "points of the lowest ring": ring_sizes[0],
        "points of the 20 lowest rings": ring_sizes[:20].sum(),
        "points of the 20 rings below the horizon": ring_sizes[20:40].sum(),
        "points of the 8 highest rings": ring_sizes[-8:].sum(),
        "median azimuth gap": np.median(gaps[gaps < 1]),
        "range 1 %": np.quantile(distance, 0.01),
        "range 10 %": np.quantile(distance, 0.1),
        "range median": np.median(distance),
        "range 90 %": np.quantile(distance, 0.9),
        "share beyond 50 m": (distance > 50).mean(),
        "height 10 %": np.quantile(xyz[:, 2], 0.1),
        "height median": np.median(xyz[:, 2]),
        "height 95 %": np.quantile(xyz[:, 2], 0.95),
        "intensity 25 %": np.quantile(intensity, 0.25),
        "intensity median": np.median(intensity),
        "intensity 75 %": np.quantile(intensity, 0.75),
        "intensity 95 %": np.quantile(intensity, 0.95),
        "intensity mean": intensity.mean(),
        "share of intensity 0": (intensity == 0).mean(),
        "steps of intensity": len(np.unique(intensity)),
    }


def facts32(xyz, intensity, ring):
    distance = np.linalg.norm(xyz, axis=1)
    return {
        "points": len(xyz),
        "points of every ring": np.bincount(ring).max(),
        "share within 1 m": (distance < 1).mean(),
        "share from 1 m to 2.5 m": ((distance >= 1) & (distance < 2.5)).mean(),
        "range median": np.median(distance[distance > 2.5]),
        "range 90 %": np.quantile(distance[distance > 2.5], 0.9),
        "height 25 % beyond 2.5 m": np.quantile(xyz[distance > 2.5, 2], 0.25),
        "intensity 25 %": np.quantile(intensity[distance > 1], 0.25),
        "intensity median": np.median(intensity[distance > 1]),
        "intensity 75 %": np.quantile(intensity[distance > 1], 0.75),
        "intensity mean": intensity[distance > 1].mean(),
    }


def real64(path):
    points = np.fromfile(path, np.float32).reshape(-1, 4)
    azimuth = np.degrees(np.arctan2(points[:, 1], points[:, 0])) % 360
    turns = np.flatnonzero(np.diff(azimuth) < -180) + 1
    return points, np.diff(np.concatenate([[0], turns, [len(points)]]))


def real32():
    points = np.fromfile(next(NUSCENES.glob("*LIDAR_TOP*.bin")), np.float32).reshape(-1, 5)
    return points[:, :3], points[:, 3] / 255, points[:, 4].astype(np.int64)


@cache
def generated64():
    facts = []
    for index in range(6):
        sweep = next(iter(drive(1, index, HDL64, 1, shots=False)))
        facts.append(facts64(sweep.xyz, sweep.intensity, np.bincount(sweep.ring, minlength=64)))
    return {name: float(np.mean([row[name] for row in facts])) for name in SCAN64}


@cache
def generated32():
    facts = []
    for index in range(6):
        sweep = next(iter(drive(1, index, HDL32, 1, shots=False)))
        facts.append(facts32(sweep.xyz, sweep.intensity, sweep.ring))
    return {name: float(np.mean([row[name] for row in facts])) for name in SCAN32}


@pytest.mark.skipif(not KITTI.exists(), reason=f"the real scan {KITTI} is not here")
def test_the_numbers_are_those_of_the_real_64_beam_scans():
    for path in (KITTI, *sorted((DATA / "kitti_odometry_00" / "velodyne").glob("*.bin"))):
        points, sizes = real64(path)
        assert len(sizes) == 64  # rings follow each other, each with rising azimuth
        facts = facts64(points[:, :3], points[:, 3], sizes[::-1])
        for name, (value, slack, _) in SCAN64.items():
            assert facts[name] == pytest.approx(value, abs=slack), f"{path.name}: {name}"
        elevation = np.degrees(np.arcsin(points[:, 2] / np.linalg.norm(points[:, :3], axis=1)))
        ends = np.cumsum(sizes)
        medians = [np.median(elevation[end - size : end]) for end, size in zip(ends, sizes, strict=True)]
        np.testing.assert_allclose(medians, HDL64.elevations[::-1], atol=0.45)


@pytest.mark.skipif(not NUSCENES.exists(), reason=f"the real sweep {NUSCENES} is not here")
def test_the_numbers_are_those_of_the_real_32_beam_sweep():
    xyz, intensity, ring = real32()
    facts = facts32(xyz, intensity, ring)
    for name, (value, slack, _) in SCAN32.items():
        assert facts[name] == pytest.approx(value, abs=slack), name
    np.testing.assert_array_equal(ring, np.arange(len(ring)) % 32)
    distance = np.linalg.norm(xyz, axis=1)
    elevation = np.degrees(np.arcsin(xyz[:, 2] / np.maximum(distance, 1e-6)))
    medians = [np.median(elevation[(ring == beam) & (distance > 1.5)]) for beam in range(32)]
    np.testing.assert_allclose(medians, HDL32.elevations, atol=0.35)
    turn = np.unwrap(np.arctan2(xyz[:, 1], xyz[:, 0])[(ring == 15) & (distance > 2.5)])
    assert np.degrees(np.median(np.diff(turn))) == pytest.approx(-360 / HDL32.columns, abs=0.01)


@pytest.mark.parametrize("name", SCAN64)
def test_generated_64_beam_scans_are_like_real_ones(name):
    value, _, slack = SCAN64[name]
    assert generated64()[name] == pytest.approx(value, abs=slack)


@pytest.mark.parametrize("name", SCAN32)
def test_generated_32_beam_sweeps_are_like_the_real_one(name):
    value, _, slack = SCAN32[name]
    assert generated32()[name] == pytest.approx(value, abs=slack)


def shares(drives, frames, every):
    count = dict.fromkeys(SHARES, 0)
    for index in range(drives):
        for number, sweep in enumerate(drive(1, index, THIN, frames, shots=False)):
            if number % every == 0:
                for name, found in zip(CATEGORIES, np.bincount(sweep.category, minlength=len(CATEGORIES)), strict=True):
                    if FOLDED.get(name, name) in count:
                        count[FOLDED.get(name, name)] += int(found)
    total = sum(count.values())
    return {name: 1000 * found / total for name, found in count.items()}


def test_common_classes_have_about_their_real_share():
    found = shares(8, 1, 1)
    for name, (real, factor) in SHARES.items():
        if real > 40:
            assert real / factor < found[name] < real * factor, name


@pytest.mark.slow
def test_all_classes_have_about_their_real_share():
    found = shares(12, 10, 3)
    for name, (real, factor) in SHARES.items():
        assert real / factor < found[name] < real * factor, name
