"""Which head learns most from how many labels, and what averaging over near voxels is worth: mIoU on the validation scenes after random purchases.

    python benchmarks/heads.py --osd /path/to/osd --out /tmp/heads

Every head is fitted to the same labels: a seed of whole scenes, then two purchases of random supervoxels, as in the studies; means over random seeds.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

import al3d
from al3d.compose import study_of
from al3d.learn.metrics import scores
from al3d.probes.fit import MOST, chances, gathered
from al3d.probes.smooth import Smooth
from al3d.report.saved import markdown_table
from al3d.rounds import Study, select
from al3d.types import F32, Array

CONF = Path(al3d.__file__).resolve().parent / "conf"
HEADS = ("boosting", "forest", "linear", "mlp")
SMOOTH = {
    "none": Smooth("none"),
    "4 nearest": Smooth(neighbours=4),
    "8 nearest": Smooth(neighbours=8),
    "16 nearest": Smooth(neighbours=16),
    "32 nearest": Smooth(neighbours=32),
    "16 nearest, twice": Smooth(neighbours=16, times=2),
    "supervoxels of 4": Smooth("supervoxels", seed=4.0),
    "supervoxels of 8": Smooth("supervoxels", seed=8.0),
}
USUAL = "4 nearest"


def words(dataset: str, osd: str) -> list[str]:
    """The options of a data set's study."""
    return {
        "osd": ["dataset=folder", f"dataset.root={osd}", "rounds.initial=7.5", "rounds.step=2.5"],
        "rooms": ["dataset=rooms", "dataset.scale.voxel=0.1", "rounds.initial=15", "rounds.step=5"],
        "street": ["dataset=street", "dataset.scale.voxel=0.2", "rounds.initial=5", "rounds.step=2.5"],
    }[dataset]


def bought(dataset: str, osd: str, rng: int, out: Path) -> Study:
    """A run whose labels are bought and nothing else is done: random purchases ask no network."""
    places = (f"paths.data={out / 'data'}", f"paths.run={out / f'{dataset}-{rng}'}", "paths.shared=null")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        study = study_of(compose("train", ["experiment=study", "net=probe", "acquire=random", *words(dataset, osd), f"rng={rng}", *places]))
    for index in range(study.labels.rounds, 3):
        select(study, study.seed if index == 0 else study.method, index - 1)
    return study


def confusions(study: Study, index: int, head: str, smooths: Mapping[str, Smooth]) -> dict[str, Array]:
    """The confusion matrix on the validation scenes for every kind of averaging, from the labels of one round."""
    described, classes = study.described, len(study.store.classes)
    if described is None:
        raise ValueError("this is about probes")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        chosen = instantiate(compose("train", ["net=probe", f"head@net.head={head}"]).net.head)
    data = study.data(labels=study.labels, round_index=index, batches=1)
    counts = data.training.class_voxels(quiet=True)
    names = [data.train_scenes[place] for place in np.flatnonzero(counts.sum(axis=1))]
    key = (study.rng, "fit", index)
    rows, label = gathered(names, data.training.labelled, described.rows, chances(counts, min(chosen.rows or MOST, MOST)), key)
    mean, deviation = described.spread

    def standard(values: F32) -> F32:
        return ((values - mean) / deviation).astype(np.float32)

    model = chosen.fit(standard(rows), label, classes, key)
    found = {name: np.zeros((classes, classes), np.int64) for name in smooths}
    for batch in data.test_dataloader():
        prob = model(standard(batch.feat.numpy()))
        truth = batch.point_label.numpy()
        known = truth < classes
        for name, smooth in smooths.items():
            winner = smooth(prob, batch.coord.numpy()[:, 1:]).argmax(axis=1)[batch.inverse.numpy()]
            found[name] += np.bincount(truth[known] * classes + winner[known], minlength=classes**2).reshape(classes, classes)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--osd", default="../shared/data/osd")
    parser.add_argument("--datasets", default="osd,rooms,street")
    parser.add_argument("--rngs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("/tmp/heads"))
    chosen = parser.parse_args()
    by_head: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    by_smooth: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for dataset in chosen.datasets.split(","):
        for rng in range(1, chosen.rngs + 1):
            study = bought(dataset, chosen.osd, rng, chosen.out)
            for index in range(3):
                for head in HEADS:
                    wanted = SMOOTH if head == "boosting" else {USUAL: SMOOTH[USUAL]}
                    for name, counts in confusions(study, index, head, wanted).items():
                        if name == USUAL:
                            by_head[head, dataset, index].append(100 * scores(counts).miou)
                        if head == "boosting":
                            by_smooth[name, dataset, index].append(100 * scores(counts).miou)
    show("head", by_head, HEADS, chosen.datasets.split(","))
    show("average over (boosting)", by_smooth, tuple(SMOOTH), chosen.datasets.split(","))


def show(title: str, found: Mapping[tuple[str, str, int], list[float]], rows: tuple[str, ...], datasets: list[str]) -> None:
    """One line for each choice: the mean mIoU of three rounds on every data set, and the mean of all."""
    table = []
    for row in rows:
        means = {dataset: [float(np.mean(found[row, dataset, index])) for index in range(3)] for dataset in datasets}
        table.append([row, *(" ".join(f"{value:.1f}" for value in means[dataset]) for dataset in datasets), f"{np.mean(list(means.values())):.1f}"])
    print(markdown_table([title, *datasets, "mean"], table))


if __name__ == "__main__":
    main()
