"""How much training a published setting is: steps, scans and voxels of one run, and hours at a measured rate.

Steps follow from the experiment's own plan. A round by epochs has as many steps as its labelled scenes make, so the figure is the most there can be:
every training scene labelled from the second round on, the seed's share of them in the first. Voxels of a scan are printed;
`--voxels NAME=N` replaces them. Run: python benchmarks/effort.py [--rate VOXELS_PER_SECOND] [--voxels s3dis=150000 ...]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from al3d.progress import console
from al3d.report.saved import markdown_table
from al3d.rounds import Plan

CONF = Path(__file__).resolve().parents[1] / "conf"
#: Scenes of the training splits.
SCENES = {"s3dis": 204, "scannet": 1201, "nuscenes": 28_130, "semantic_kitti": 19_130}
#: Scenes that the seed labels in the first round, where it buys whole scenes; all scenes otherwise.
SEEDS = {"redal_s3dis": 6, "redal_semantic_kitti": 191, "seedal_s3dis": 6, "seedal_semantic_kitti": 191}
#: Voxels of a scan. S3DIS: 13.0 million cells of 4 cm in 204 rooms (docs/fidelity.md D-28). KITTI and nuScenes: counted in the real scans at hand, 5 cm.
#: ScanNet: an assumption.
VOXELS = {"s3dis": 64_000, "scannet": 60_000, "nuscenes": 23_000, "semantic_kitti": 92_000}


def settings() -> list[str]:
    """The experiments of the papers."""
    own = {"demo", "osd", "first_round", "study"}
    return sorted(path.stem for path in (CONF / "experiment").glob("[!_]*.yaml") if path.stem not in own)


def composed(name: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", overrides=[f"experiment={name}"])


def effort(name: str) -> tuple[str, int, int, int]:
    """The data set, rounds, optimiser steps and scans seen in training of one run, at most."""
    config = composed(name)
    plan = Plan(**OmegaConf.to_container(config.rounds, resolve=True))  # type: ignore[arg-type]
    dataset = str(config.dataset.name)
    first = next((count for start, count in SEEDS.items() if name.startswith(start)), SCENES[dataset])
    steps = [plan.training_steps(SCENES[dataset] if index else first, index) for index in range(plan.n)]
    return dataset, plan.n, sum(steps), sum(steps) * plan.batch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rate", type=float, help="voxels a second in training, from benchmarks/gpu.py")
    parser.add_argument("--voxels", nargs="*", default=[], metavar="NAME=N", help="voxels of a scan of a data set")
    chosen = parser.parse_args()
    given = {name: int(count) for name, count in (one.split("=") for one in chosen.voxels)}
    unknown = sorted(set(given) - set(VOXELS))
    if unknown:
        raise SystemExit(f"--voxels names {', '.join(unknown)}: choose among {', '.join(VOXELS)}")
    voxels = VOXELS | given
    lines = []
    for name in settings():
        dataset, rounds, steps, scans = effort(name)
        total = scans * voxels[dataset]
        hours = "not measured" if chosen.rate is None else f"{total / chosen.rate / 3600:.1f}"
        lines.append([name, dataset, str(rounds), f"{steps:,}", f"{scans:,}", f"{total / 1e9:.1f}", hours])
    console.print(markdown_table(["experiment", "data set", "rounds", "steps", "scans", "billion voxels", "hours"], lines), markup=False)
    console.print(f"voxels of a scan: {', '.join(f'{name} {count:,}' for name, count in voxels.items())}", markup=False)


if __name__ == "__main__":
    main()
