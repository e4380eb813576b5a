"""Fake runs, written by code: a run folder whose numbers look like a real one's, and what stands in for the store and the labels."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from al3d.rng import generator
from al3d.types import IGNORE, U8, Array, Bool, ClassTable, Scene

ROOM_CLASSES = ClassTable(
    ("ceiling", "floor", "wall", "beam", "column", "window", "door", "table", "chair", "sofa", "bookcase", "board", "clutter"),
    (
        (0, 255, 0),
        (0, 0, 255),
        (0, 255, 255),
        (255, 255, 0),
        (255, 0, 255),
        (100, 100, 255),
        (200, 200, 100),
        (170, 120, 200),
        (255, 0, 0),
        (200, 100, 100),
        (10, 200, 100),
        (200, 200, 200),
        (50, 50, 50),
    ),
)
THREE_CLASSES = ClassTable(("ground", "box", "ball <&>"), ((130, 130, 130), (230, 120, 20), (20, 120, 230)))
BASE_POINTS = 2_000_000


def write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_purchase(run: Path, round_: int, classes: ClassTable, *, known_pool: bool = True) -> None:
    rng = generator("fake purchase", round_)
    weight = np.geomspace(1.0, 0.01, len(classes))
    points = BASE_POINTS // 100
    share = rng.dirichlet(weight * 6 + (0.0 if round_ == 0 else 1.5))
    class_points = (share * points).astype(int)
    write(
        run / f"labels-{round_:02d}" / "purchase.json",
        {
            "round": round_,
            "name": "random" if round_ == 0 else "redal",
            "unit": "scene" if round_ == 0 else "supervoxel",
            "points": int(class_points.sum()) + 37,
            "units": 2 if round_ == 0 else 120 + round_,
            "scenes": 2 if round_ == 0 else 3,
            "clicks": 400 if round_ == 0 else 120 + round_,
            "class_points": class_points.tolist(),
            "unknown_points": 37,
            "spent_points": points * (round_ + 1),
            "base_points": BASE_POINTS,
            "pool_class_points": (weight * 1_000_000).astype(int).tolist() if known_pool else None,
            "seconds": 1.5,
        },
    )


def write_metrics(run: Path, round_: int, classes: ClassTable, *, absent: tuple[int, ...] = (3,), lift: float = 0.0) -> None:
    rng = generator("fake metrics", round_)
    final = np.linspace(0.95, 0.35, len(classes))
    iou = np.clip(final * (1 - 0.5 * np.exp(-0.8 * round_)) + rng.normal(0, 0.015, len(classes)) + lift, 0, 1)
    present = [index for index in range(len(classes)) if index not in absent]
    confusion = rng.integers(0, 1000, (len(classes), len(classes))) + np.diag(np.full(len(classes), 20_000))
    write(
        run / f"round-{round_:02d}" / "metrics.json",
        {
            "round": round_,
            "labelled_points": BASE_POINTS // 100 * (round_ + 1),
            "labelled_percent": float(round_ + 1),
            "miou": float(iou[present].mean()),
            "iou": [float(value) if index in present else None for index, value in enumerate(iou)],
            "accuracy": 0.7 + 0.04 * round_,
            "confusion": confusion.tolist(),
            "steps": 1000,
            "loss": 0.5 / (round_ + 1),
            "seconds": {"train": 61.0, "test": 12.0, "predict": None if round_ == 3 else 30.0},
        },
    )


def write_run(run: Path, classes: ClassTable, rounds: int = 4, *, seed: str = "random", rng: int = 1, lift: float = 0.0, known_pool: bool = True) -> Path:
    write(
        run / "identity.json",
        {
            "hash": f"{'5eed' * 4}{rng}",
            "identity": {
                "dataset": {"name": "rooms", "grid": 0.04},
                "seed": {"name": seed},
                "acquire": {"name": "redal", "unit": {"name": "supervoxel"}},
                "net": {"name": "minkunet"},
                "learner": {"name": "segmenter"},
                "rng": rng,
                "rounds": {"initial": 100.0 if seed == "all" else 1.0, "epochs": 200},
            },
        },
    )
    (run / "config.yaml").write_text("dataset:\n  name: rooms  # <b>not bold</b>\nrng: 1\n")
    (run / "execution.jsonl").write_text('{"time": "2025-01-02T03:04:05", "devices": 1, "workers": 2, "threads": 2}\n')
    for round_ in range(rounds):
        write_purchase(run, round_, classes, known_pool=known_pool)
        write_metrics(run, round_, classes, lift=lift)
    return run


@dataclass(frozen=True)
class FakeStore:
    classes: ClassTable
    name: str = "rooms"
    features: tuple[str, ...] = ("red", "green", "blue")
    truth: dict[str, U8] = field(default_factory=dict)

    def scene(self, scene_id: str) -> Scene:
        """A room of 6 x 4 x 3 metres with furniture: boxes that stand on the floor."""
        rng = generator("fake scene", scene_id)
        floor = rng.uniform((0, 0, 0), (6, 4, 0), (12000, 3))
        ceiling = floor[:6000] + (0, 0, 3)
        wall = rng.uniform((0, 0, 0), (6, 4, 3), (12000, 3))
        wall[:6000, 1] = np.where(rng.random(6000) < 0.5, 0, 4)
        wall[6000:, 0] = np.where(rng.random(6000) < 0.5, 0, 6)
        corners = rng.uniform((0.3, 0.3), (5, 3), (8, 2))
        boxes = np.concatenate([(*corner, 0) + _box(rng, 1500) * (0.8, 0.6, 0.4 + 0.1 * index) for index, corner in enumerate(corners)])
        xyz = np.concatenate([ceiling, floor, wall, boxes]).astype(np.float32)
        parts = [np.full(6000, 0), np.full(12000, 1), np.full(12000, 2), np.repeat(np.arange(8) + 5, 1500)]
        self.truth[scene_id] = (np.concatenate(parts) % len(self.classes)).astype(np.uint8)
        return Scene(scene_id, xyz, 0.5 + 0.1 * np.sin(xyz) + 0.02 * rng.random((len(xyz), 3), dtype=np.float32))


def _box(rng: np.random.Generator, count: int) -> Array:
    points = rng.random((count, 3))
    points[np.arange(count), rng.integers(0, 3, count)] = rng.integers(0, 2, count)
    return points


@dataclass(frozen=True)
class FakeLabels:
    store: FakeStore
    names: tuple[str, ...] = ("Area_1/office 1", "hall", "kitchen", "lobby")
    rounds: int = 4
    points: bool = False

    def scenes(self, round_index: int) -> tuple[str, ...]:
        return self.names[:2] if round_index == 0 else self.names

    def bought(self, scene_id: str, round_index: int) -> Bool:
        scene = self.store.scene(scene_id)
        rng = generator("fake bought", scene_id, round_index)
        if self.points:
            mask = np.zeros(len(scene), bool)
            mask[rng.choice(len(scene), 40, replace=False)] = True
            return mask
        if round_index == 0:
            return np.ones(len(scene), bool)
        centers = scene.xyz[rng.choice(len(scene), 3 + self.names.index(scene_id))]
        return (np.linalg.norm(scene.xyz[:, None] - centers[None], axis=2) < 0.4).any(axis=1)


@dataclass(frozen=True)
class Fake:
    run: Path
    classes: ClassTable
    store: FakeStore
    labels: FakeLabels
    answer: Callable[[str, Bool], U8]


def make_fake(run: Path, classes: ClassTable, rounds: int = 4, *, points: bool = False) -> Fake:
    store = FakeStore(classes)
    labels = FakeLabels(store, rounds=rounds, points=points)

    def answer(scene_id: str, asked: Bool) -> U8:
        return np.where(asked, store.truth[scene_id], IGNORE).astype(np.uint8)

    return Fake(write_run(run, classes, rounds), classes, store, labels, answer)
