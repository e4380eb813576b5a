"""A finished round of a run as something that labels points: its network, its inputs, its classes and its frame."""

from __future__ import annotations

import copy
import re
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from al3d.command import unwrapped
from al3d.data.sources.card import Card, read_card
from al3d.data.sources.semantic_kitti_labels import RAW_NAMES
from al3d.geometry.upright import rotation_to_z
from al3d.learn.checkpoint import load_weights
from al3d.predict.frame import Frame
from al3d.predict.options import check_run
from al3d.probes.fit import Fitted
from al3d.probes.net import Describing
from al3d.run import RunFolder
from al3d.trust import check_parts, saved_config
from al3d.types import IGNORE, ClassTable, Source

#: The ids of the NYUv2 40-label set that the ScanNet benchmark asks for, by class.
NYU40 = {
    "wall": 1, "floor": 2, "cabinet": 3, "bed": 4, "chair": 5, "sofa": 6, "table": 7, "door": 8, "window": 9, "bookshelf": 10,
    "picture": 11, "counter": 12, "desk": 14, "curtain": 16, "refrigerator": 24, "shower curtain": 28, "toilet": 33, "sink": 34,
    "bathtub": 36, "otherfurniture": 39,
}  # fmt: skip
AXES = ("x", "y", "z")
COLOURS = ("red", "green", "blue")
#: The sources whose benchmarks have a server, by the last part of their name; generated drives are spelled like the real ones.
BENCHMARKS = {"ScanNet": "scannet", "SemanticKITTI": "semantic_kitti"}
_SPELLING = {**BENCHMARKS, "Street": "semantic_kitti"}


@dataclass(frozen=True)
class Inputs:
    """What the network is given: `names` of its columns, from voxels of `size` metres, of points thinned to `grid` metres if that is set.

    `center` and `reduce` are those of the run's `Voxeliser`.
    """

    names: tuple[str, ...]
    size: float
    grid: float | None = None
    center: bool = True
    reduce: str = "mean"

    @property
    def attributes(self) -> tuple[str, ...]:
        """The columns that a scan must bring beside its coordinates."""
        return tuple(name for name in self.names if name not in AXES)

    @property
    def wanted(self) -> tuple[str, ...]:
        """The fields that a scan's file must have."""
        return tuple(name for name in self.attributes if name != "one")


@dataclass(frozen=True)
class Legend:
    """How files spell classes: `values[i]` is the number of class i, `unknown` that of a point that has none."""

    values: tuple[int, ...]
    unknown: int = IGNORE


@dataclass(frozen=True, eq=False)
class Trained:
    """Round `round_index` of the run in `folder`; `legend` numbers the classes as the data set's own scenes do, `official` as its raw label files do.

    `net(coord i32[V,4], feat f32[V,c])` is in evaluation mode on `device`. `benchmark` names the server that takes submissions, if there is one.
    """

    folder: Path
    round_index: int
    checkpoint: Path
    net: torch.nn.Module
    inputs: Inputs
    classes: ClassTable
    legend: Legend
    official: Legend
    frame: Frame
    source: Source | None
    benchmark: str | None
    raw_intensity: bool
    full_intensity: float | None
    precision: str
    device: torch.device

    def casting(self) -> AbstractContextManager[Any]:
        """The precision of the run's own test; full float32 where that was a whole-network precision."""
        kind = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}.get(self.precision)
        return nullcontext() if kind is None else torch.autocast(self.device.type, dtype=kind)


def load(run: Path, round_index: int | None = None, root: Path | None = None, device: str = "auto", with_source: bool = False) -> Trained:
    """The network of a round (None: the last finished one) of the run in the folder `run`.

    `root` is where the run's data set is now, when it was moved; it is opened `with_source`, and for folders of one's own, whose
    `dataset.yaml` says what the classes are called and which way is up.
    Raises: FileNotFoundError or ValueError naming the file or the option, and the way out.
    """
    check_run(run)
    config = saved_config(run)
    check_parts({"dataset": config.dataset.source, "net": config.net, "learner": _judging(config)}, run)
    folder, index = RunFolder(run), _round(run, round_index)
    checkpoint = folder.best(index) if _chooses(config) else folder.weights(index)
    if not checkpoint.is_file():
        raise FileNotFoundError(f"{checkpoint}: is missing, although the round was trained: run the same training command again, or give another round=")
    if root is not None:
        OmegaConf.update(config, "dataset.root", str(root), force_add=True)
        OmegaConf.update(config, "dataset.source.root", str(root))
    kind = str(config.dataset.source["_target_"]).rsplit(".", 1)[-1]
    card = _card(config) if kind == "Folder" else None
    source = _source(config) if card is None or with_source else None
    classes = card.classes if card is not None else cast(Source, source).classes
    inputs = _inputs(run, config)
    target = _device(device)
    legend = Legend(tuple(range(len(classes)))) if card is None else Legend(card.values, card.ignored[0])
    return Trained(
        folder=run,
        round_index=index,
        checkpoint=checkpoint,
        net=_network(config, checkpoint, inputs, len(classes)).to(target),
        inputs=inputs,
        classes=classes,
        legend=legend,
        official=official_legend(_SPELLING.get(kind), classes) or legend,
        frame=_frame(card, source),
        source=source if with_source else None,
        benchmark=BENCHMARKS.get(kind),
        raw_intensity=config.dataset.source.get("intensity") == "raw",
        full_intensity=None if card is None else card.intensity,
        precision=str(config.trainer.precision),
        device=target,
    )


def official_legend(benchmark: str | None, classes: ClassTable) -> Legend | None:
    """The numbers that a benchmark's server wants, or None: NYU40 ids for ScanNet, SemanticKITTI's inverse of its learning map; 0 is no class in both."""
    if benchmark == "scannet":
        return Legend(tuple(NYU40[name] for name in classes.names), 0)
    if benchmark == "semantic_kitti":
        first = {name: raw for raw, name in sorted(RAW_NAMES.items(), reverse=True)}
        return Legend(tuple(first[name] for name in classes.names), 0)
    return None


def finished_rounds(run: Path) -> list[int]:
    """The rounds of a run whose training is over."""
    rounds = [int(found[1]) for path in run.iterdir() if (found := re.fullmatch(r"round-(\d{2,})", path.name))]
    return sorted(index for index in rounds if RunFolder(run).weights(index).is_file())


def _judging(config: DictConfig) -> DictConfig:
    """The learner without what only training needs: an optimiser and its schedule are never made here."""
    learner: DictConfig = copy.deepcopy(config.learner)
    learner.update({"optimizer": None, "schedule": "constant"})
    return learner


def _round(run: Path, wanted: int | None) -> int:
    rounds = finished_rounds(run)
    if not rounds:
        raise ValueError(f"run={run}: no round is trained to its end yet: run the same training command again, which goes on where it stopped")
    if wanted is not None and wanted not in rounds:
        raise ValueError(f"round={wanted}: the finished rounds of {run.name} are {', '.join(map(str, rounds))}: give one of them, or null for the last")
    return rounds[-1] if wanted is None else wanted


def _chooses(config: DictConfig) -> bool:
    """Whether another checkpoint than the last stands for a round."""
    return str(OmegaConf.select(config, "eval.select_on", default="none")) != "none"


def _card(config: DictConfig) -> Card:
    file = Path(config.dataset.source.root).expanduser() / "dataset.yaml"
    if not file.is_file():
        raise FileNotFoundError(f"{file}: is missing, and it says what the run's classes are called and which way is up: give root=FOLDER where it is now")
    return read_card(file)


def _source(config: DictConfig) -> Source:
    with unwrapped(ValueError, OSError):
        return cast(Source, instantiate(config.dataset.source))


def _inputs(run: Path, config: DictConfig) -> Inputs:
    dataset = config.dataset
    if dataset.inputs is None or dataset.scale.voxel is None:
        raise ValueError(f"{run / 'config.yaml'}: names no inputs or no voxel size: run the same training command again, which writes it anew")
    grid = None if dataset.grid is None else float(dataset.grid)
    reduce = "mean" if "descriptions" in config.net else str(dataset.reduce)
    return Inputs(tuple(dataset.inputs), float(dataset.scale.voxel), grid, bool(dataset.center), reduce)


def _frame(card: Card | None, source: Source | None) -> Frame:
    """Folders say how their files lie; the other sources give metres and +z up, and scanners' frames have an intensity."""
    if card is None:
        return Frame(sensor=source is not None and tuple(source.features) == ("intensity",))
    return Frame(card.factor, rotation_to_z(np.array(card.up)), bool(card.sequences))


def _network(config: DictConfig, checkpoint: Path, inputs: Inputs, classes: int) -> torch.nn.Module:
    net = partial(instantiate(config.net), len(inputs.names), classes)()
    module = instantiate(_judging(config))(net=net, classes=classes, rng=config.rng)
    load_weights(module, checkpoint)
    module.correct_beside(checkpoint)
    predictor: torch.nn.Module = module.eval().predictor
    return Describing(predictor, net.descriptions, inputs.names) if isinstance(net, Fitted) else predictor


def _device(wanted: str) -> torch.device:
    if wanted not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device={wanted}: choose auto, cpu or cuda")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ValueError("device=cuda: this machine has no GPU that torch can use: give device=cpu or leave it out")
    return torch.device("cuda" if wanted == "cuda" or (wanted == "auto" and torch.cuda.is_available()) else "cpu")
