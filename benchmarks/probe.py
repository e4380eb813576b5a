"""A round with a probe beside a round with a network: seconds of training, testing, predicting and choosing, and mIoU; and what predicting a large scene takes.

    python benchmarks/probe.py --osd /path/to/osd

The network is MinkUNet of width 0.25, trained 200 steps of 4 scenes, as `experiment=osd` had it before rounds found their own length. Seconds are by the
clock, one after the other in one process, with the threads of the experiment (one, and one worker for the network).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir

import al3d
from al3d.compose import study_of
from al3d.data.batch import Voxeliser
from al3d.nets.minkunet import MinkUNet
from al3d.probes.boosting import Boosting
from al3d.probes.description import described
from al3d.probes.geometric import Geometric
from al3d.probes.net import Describing, Probe
from al3d.report.saved import markdown_table
from al3d.rounds import Study, fit, predict, select, test, train
from al3d.types import IGNORE, Scene
from al3d.world.rooms import make_room
from al3d.world.street import HDL64, drive

CONF = Path(al3d.__file__).resolve().parent / "conf"
STEPS = ("learn", "test", "predict", "choose")


def timed(work: Callable[[], object]) -> float:
    """Seconds by the clock."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def first_round(study: Study) -> Mapping[str, float]:
    """Seconds of each step of round 0; the seed is bought before."""
    select(study, study.seed, -1)
    learn = train if study.described is None else fit
    steps = (partial(learn, study, 0), partial(test, study, 0), partial(predict, study, 0), partial(select, study, study.method, 0))
    return {name: timed(step) for name, step in zip(STEPS, steps, strict=True)}


def composed(osd: str, out: Path, *words: str) -> Study:
    """A run of the experiment on the table scenes in a folder of its own."""
    places = (f"dataset.root={osd}", f"paths.data={out / 'data'}", f"paths.run={out / '-'.join(words).replace('=', '_')}", "paths.shared=null")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return study_of(compose("train", ["experiment=osd", "acquire=redal", "rounds.n=2", *words, *places]))


def rounds(osd: str, out: Path) -> None:
    """The table of one round."""
    studies = {
        "MinkUNet 0.25, 200 steps": composed(osd, out, "net=minkunet", "learner.draw=scenes"),
        "probe, first": composed(osd, out, "net=probe", "rng=2"),
        "probe": composed(osd, out, "net=probe"),
    }
    found, rows = {}, []
    for name, study in studies.items():
        seconds = first_round(study)
        found[name] = sum(seconds.values())
        miou = json.loads(study.folder.metrics(0).read_text())["miou"]
        rows.append([name, *(f"{seconds[step]:.2f}" for step in STEPS), f"{found[name]:.2f}", f"{100 * miou:.1f}"])
    print(markdown_table(["table scenes, round 0", *STEPS, "together, s", "mIoU, %"], rows))
    print(f"network / probe: {found['MinkUNet 0.25, 200 steps'] / found['probe']:.1f}\n")


def large_scenes() -> None:
    """Seconds to predict one large scene, from points in memory to a class per voxel."""
    room = make_room(1, 0, 1_000_000)[1]
    frame = next(iter(drive(1, 0, HDL64, 1, shots=False)))
    colours = ("red", "green", "blue")
    scenes = {
        "room": (Scene("room", room.xyz.astype(np.float32), room.color.astype(np.float32)), 0.05, colours),
        "LiDAR frame": (Scene("frame", frame.xyz.astype(np.float32), frame.intensity[:, None].astype(np.float32)), 0.05, ("intensity",)),
    }
    rows = []
    for name, (scene, size, attributes) in scenes.items():
        inputs = (*attributes, "x", "y", "z")
        voxeliser = Voxeliser(size, inputs, attributes, 13)
        net = MinkUNet(len(inputs), 13, width=0.25).eval()
        parts = {"geometric": Geometric(size, attributes)}
        probe = Probe(len(inputs), 13, parts, Boosting())
        known = described(tuple(parts.values()), scene, size)
        probe.standardise(known.mean(axis=0).astype(np.float64), np.maximum(known.std(axis=0), 1e-3).astype(np.float64))
        probe.fit(known[:20_000], np.random.default_rng(1).integers(0, 13, 20_000), ("benchmark",))

        def whole(net: torch.nn.Module, scene: Scene = scene, voxeliser: Voxeliser = voxeliser) -> int:
            voxels = voxeliser(scene.xyz, scene.feat, np.full(len(scene), IGNORE, np.uint8))
            coord = torch.from_numpy(np.pad(voxels.coord, ((0, 0), (1, 0))))
            with torch.inference_mode():
                net(coord, torch.from_numpy(voxels.feat))
            return len(coord)

        on_the_spot = Describing(probe, tuple(parts.values()), inputs)
        count = whole(on_the_spot)
        whole(net)
        slow, quick = timed(partial(whole, net)), timed(partial(whole, on_the_spot))
        rows.append([name, f"{len(scene):,}", f"{count:,}", f"{slow:.2f}", f"{quick:.2f}", f"{slow / quick:.2f}"])
    print(markdown_table(["predict one scene", "points", "voxels", "MinkUNet 0.25, s", "probe, s", "ratio"], rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--osd", default="../shared/data/osd", help="the folder of the real table scenes")
    parser.add_argument("--only", choices=("rounds", "scenes"))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.only != "rounds":
        large_scenes()
    if chosen.only != "scenes":
        with tempfile.TemporaryDirectory() as folder:
            rounds(chosen.osd, Path(folder))


if __name__ == "__main__":
    main()
