"""Does one more purchase of random regions help? mIoU after it less that of the seed's model, over random seeds, with a one-sided 95 % bound.

python benchmarks/gate.py --osd /path/to/osd --tiles /path/to/tiles        # probes: minutes
python benchmarks/gate.py --net minkunet ...                               # networks: about an hour and a half on two cores, two data sets at a time (--data)
python benchmarks/gate.py --runs OUT                                       # of runs that are there, one folder DATASET-RNG each
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_dir

import al3d
from al3d.compose import study_of
from al3d.report.compare.statistics import lower_bound
from al3d.report.rounds import read_rounds
from al3d.report.saved import markdown_table
from al3d.rounds import run

CONF = Path(al3d.__file__).resolve().parent / "conf"
SEED = ("rounds.initial=3", "rounds.initial_per=units", "rounds.step=2.5", "seed.budget.overshoot=include")


def words(osd: str, tiles: str, net: str) -> dict[str, list[str]]:
    """The options of each data set: whole scenes first, then random supervoxels. Networks get coarser voxels, so that a training takes about a minute."""
    usual = {
        "tables": ["dataset=folder", f"dataset.root={osd}", *SEED],
        "tiles": ["dataset=folder", f"dataset.root={tiles}", *SEED],
        "rooms": ["dataset=rooms", "rounds.initial=15", "rounds.step=5", "seed.budget.overshoot=include"],
    }
    if net == "probe":
        return {**usual, "rooms": [*usual["rooms"], "dataset.scale.voxel=0.1"]}
    coarse = ["dataset.source.points=20000", "dataset.scale.voxel=0.2", "dataset.scale.supervoxel_voxel=0.2"]
    tables = ["dataset.scale.voxel=0.03", "augment@dataset.augment=mirror"]
    return {"tables": [*usual["tables"], *tables], "tiles": usual["tiles"], "rooms": [*usual["rooms"], *coarse]}


def train(name: str, options: list[str], net: str, rng: int, out: Path) -> None:
    """One run of two rounds in a folder of its own."""
    places = (f"paths.data={out / 'data'}", f"paths.run={out / f'{name}-{rng}'}", "paths.shared=null")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", ["experiment=study", "acquire=random", f"net={net}", *options, "rounds.n=2", f"rng={rng}", *places])
    run(study_of(config), reports=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--osd", default="../shared/data/osd")
    parser.add_argument("--tiles", default="../shared/data/ign", help="a folder of aerial tiles in the layout of docs/datasets/folder.md")
    parser.add_argument("--net", default="probe", choices=("probe", "minkunet"))
    parser.add_argument("--data", nargs="+", default=["tables", "tiles", "rooms"], choices=("tables", "tiles", "rooms"))
    parser.add_argument("--options", nargs="+", default=[], help="further options of every run, such as rounds.init=scratch")
    parser.add_argument("--rngs", type=int, default=6)
    parser.add_argument("--out", type=Path, default=Path("/tmp/gate"))
    parser.add_argument("--runs", type=Path, help="train nothing, read these")
    chosen = parser.parse_args()
    if chosen.runs is None:
        options = words(chosen.osd, chosen.tiles, chosen.net)
        for rng in range(1, chosen.rngs + 1):
            for name in chosen.data:
                train(name, [*options[name], *chosen.options], chosen.net, rng, chosen.out)
    found = defaultdict(list)
    for folder in sorted((chosen.runs or chosen.out).glob("*-*")):
        records = read_rounds(folder)
        if len(records) == 2:
            found[folder.name.rsplit("-", 1)[0]].append((100 * records[0].miou, 100 * records[1].miou))
    rows = []
    for name, pairs in found.items():
        gains = [after - before for before, after in pairs]
        bound = lower_bound(np.array(gains))
        low = "-" if bound.low is None else f"{bound.low:+.1f}"
        before, after = (sum(column) / len(pairs) for column in zip(*pairs, strict=True))
        rows.append([name, str(len(pairs)), f"{before:.1f}", f"{after:.1f}", f"{bound.mean:+.1f}", low, " ".join(f"{gain:+.1f}" for gain in gains)])
    print(markdown_table(["data", "blocks", "seed, %", "after, %", "mean gain", "95 % bound", "gains"], rows))


if __name__ == "__main__":
    main()
