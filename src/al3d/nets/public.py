"""Starting weights from published checkpoints of MinkUNet and SPVCNN, and from our own.

Source: the public code of SPVNAS (Tang et al. 2020), ReDAL, HPAL and LiDAL on torchsparse, and of SegContrast (Nunes et al. 2022) on
MinkowskiEngine, whose networks have one topology and, but for wrappers, one set of names. docs/weights.md has the table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor, nn

from al3d.nets.blocks import WIDTHS, widths
from al3d.nets.public_file import Saved, fingerprint, read_saved
from al3d.nets.public_names import ORDERS, in_our_order, public_name
from al3d.progress import console
from al3d.run import first_process

#: Parts of a network that may stay as initialised, with how their names begin in ours and in published files.
PARTS = {"classifier": ("classifier.", "classifier."), "stem": ("stem.", "stem."), "point": ("point.", "point_transforms.")}
_TRUNK = ("stem.", "classifier.", "stage", "down.", "up")
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Report:
    """What became of a file's tensors: names in the file `used` and `unused`, and our names that are `missing` from it or were left out.

    `parameters` counts the weights taken (statistics of normalisation are not counted), `dropped` those of each group not taken. `idle` says
    that the file's point-wise layers are a MinkUNet's, which never uses them (docs/fidelity.md D-40).
    """

    path: Path
    order: str
    used: tuple[str, ...]
    unused: tuple[str, ...]
    missing: tuple[str, ...]
    parameters: int
    dropped: Mapping[str, int]
    idle: bool = False

    @property
    def line(self) -> str:
        """One line for a person."""
        notes = [
            f"{group} {count:,} parameters{' that a MinkUNet never uses (D-40)' if self.idle and group.startswith('point') else ''}"
            for group, count in self.dropped.items()
            if count
        ]
        left = f"; not taken: {', '.join(notes)}" if notes else ""
        fresh = sorted({name.split(".")[0] for name in self.missing if not name.endswith(_COUNTER)})
        kept = f"; as initialised: {', '.join(fresh)}" if fresh else ""
        return f"start: {self.parameters:,} parameters from {self.path} (kernels in {self.order} order){left}{kept}"


@dataclass(frozen=True)
class Start:
    """What a network starts from: the file `weights`, or fresh weights for None.

    `without` names parts that stay as initialised: "classifier" for other classes, "stem" for other inputs, "point" for SPVCNN's point-wise
    layers. `order` is that of the file's kernels: "auto" knows it from the names, and "torchsparse", "minkowski" and "z" state it.
    Raises: ValueError for an unknown part or order.
    """

    weights: str | None = None
    without: Sequence[str] = ()
    order: str = "auto"

    def __post_init__(self) -> None:
        object.__setattr__(self, "without", tuple(self.without))
        _check_options(self.without, self.order)
        if self.weights is None and (self.without or self.order != "auto"):
            raise ValueError("start.without and start.order say how a file is read, but there is none: set start.weights=/path/to/checkpoint")

    def __call__(self, net: nn.Module) -> Report | None:
        """Give `net` its starting weights and say so in one line; see `load_public`."""
        if self.weights is None:
            return None
        report = load_public(net, self.weights, self.order, self.without)
        if first_process():
            console.print(report.line, markup=False)
        return report

    def check(self, net: nn.Module) -> None:
        """Raise what a call would, without changing `net`, whose tensors may be on the meta device."""
        if self.weights is not None:
            matched(net, read_saved(Path(self.weights)), self.order, self.without)

    @cached_property
    def identity(self) -> dict[str, object] | None:
        """What could change a number: the file's content, not where it lies; None for fresh weights."""
        if self.weights is None:
            return None
        return {"weights": fingerprint(Path(self.weights)), "without": sorted(self.without), "order": self.order}


def load_public(net: nn.Module, path: str | Path, order: str = "auto", without: Sequence[str] = ()) -> Report:
    """Load a published or own checkpoint into a MinkUNet or an SPVCNN; nothing changes when it does not fit.

    Without `without`, every parameter and statistic of `net` comes from the file.
    Raises: FileNotFoundError; ValueError naming the file, the first tensor that is missing or has another shape, and the way out.
    """
    found, report = matched(net, read_saved(Path(path)), order, without)
    net.load_state_dict({**net.state_dict(), **found})
    return report


def matched(net: nn.Module, saved: Saved, order: str = "auto", without: Sequence[str] = ()) -> tuple[dict[str, Tensor], Report]:
    """The tensors of `saved` by our names, in our order and shapes, and the report. Raises: ValueError as `load_public`."""
    _check_options(without, order)
    if saved.ours and order not in ("auto", "z"):
        raise ValueError(f"{saved.path} is a file of al3d's, whose kernels are in z order: set start.order=auto instead of {order}")
    known = order if order != "auto" else "z" if saved.ours else "minkowski" if saved.wrapped else "torchsparse"
    wanted = net.state_dict()
    asked = {name: name if saved.ours else public_name(name) for name in wanted if not name.startswith(_beginnings(without, 0))}
    missing = [name for name, theirs in asked.items() if theirs not in saved.tensors and not name.endswith(_COUNTER)]
    if missing:
        raise ValueError(_missing_text(saved, [asked[name] for name in missing]))
    found = {name: in_our_order(saved.tensors[theirs], known) for name, theirs in asked.items() if theirs in saved.tensors}
    wrong = [name for name, tensor in found.items() if tensor.shape != wanted[name].shape]
    if wrong:
        raise ValueError(_shape_text(saved, found, wanted, wrong))
    used = {theirs for theirs in asked.values() if theirs in saved.tensors}
    left = [key for key in saved.tensors if key not in used]
    _check_left(saved, left, without)
    idle = _has_idle_point_layers(saved, asked, without)
    broken = next((name for name, tensor in found.items() if tensor.is_floating_point() and not bool(tensor.isfinite().all())), None)
    if broken is not None:
        raise ValueError(
            f"{saved.path}: {saved.named[asked[broken]]} holds values that are not finite, so the training that wrote it had failed: take an earlier checkpoint"
        )
    dropped: Counter[str] = Counter()
    for key, tensor in [*((key, saved.tensors[key]) for key in left), *saved.beside.items()]:
        dropped[f"{key.split('.')[0]}.*" if "." in key else key] += tensor.numel() if _is_parameter(key) else 0
    taken = sum(tensor.numel() for name, tensor in found.items() if _is_parameter(name))
    unused = (*(saved.named[key] for key in left), *saved.beside)
    names = tuple(saved.named[theirs] for theirs in asked.values() if theirs in used)
    return found, Report(saved.path, known, names, unused, tuple(name for name in wanted if name not in found), taken, dict(dropped), idle)


def _check_options(without: Sequence[str], order: str) -> None:
    unknown = sorted(set(without) - set(PARTS))
    if unknown:
        raise ValueError(f"start.without={list(without)}: {unknown[0]!r} is not one of {', '.join(PARTS)}")
    if order not in ("auto", *ORDERS):
        raise ValueError(f"start.order={order!r} is not one of auto, {', '.join(ORDERS)}")


def _beginnings(parts: Sequence[str], whose: int) -> tuple[str, ...]:
    """How the names of these parts begin, in ours (0) or in published files (1)."""
    return tuple(PARTS[part][whose] for part in parts)


def _is_parameter(name: str) -> bool:
    return name.rsplit(".", 1)[-1] in ("kernel", "weight", "bias")


def _check_left(saved: Saved, left: Sequence[str], without: Sequence[str]) -> None:
    """Refuse layers that our network lacks: without them the others would compute something else."""
    whose = 0 if saved.ours else 1
    expected = (*_beginnings(without, whose), PARTS["point"][whose])
    extra = [key for key in left if key.startswith(_TRUNK) and not key.startswith(expected)]
    if extra:
        raise ValueError(
            f"{saved.path} has {len(extra)} tensors of layers that this network lacks, first {saved.named[extra[0]]}: it is of a deeper or another "
            "network, of which a part alone would compute something else"
        )


def _has_idle_point_layers(saved: Saved, asked: Mapping[str, str], without: Sequence[str]) -> bool:
    """Whether a MinkUNet's file has point-wise layers, which are never trained (docs/fidelity.md D-40): those of no normalised batch.

    Raises: ValueError if an SPVCNN would take such layers, or if a MinkUNet would leave out an SPVCNN's trained ones.
    """
    begins = PARTS["point"][0 if saved.ours else 1]
    counts = [int(value) for key, value in saved.tensors.items() if key.startswith(begins) and key.endswith(_COUNTER)]
    if "point" in without or not counts:
        return False
    needed, trained = any(name.startswith(PARTS["point"][0]) for name in asked), max(counts) > 0
    if needed and not trained:
        raise ValueError(
            f"{saved.path} is of a MinkUNet: its point-wise layers were never trained. Choose net=minkunet, or set start.without=[point] to train them anew"
        )
    if trained and not needed:
        raise ValueError(
            f"{saved.path} is of an SPVCNN: its point-wise layers were trained together with the others. Choose net=spvcnn, or set start.without=[point] "
            "to start a MinkUNet from the rest"
        )
    return not trained


def _missing_text(saved: Saved, missing: Sequence[str]) -> str:
    whose = 0 if saved.ours else 1
    for part in ("classifier", "point"):
        begins = PARTS[part][whose]
        if all(key.startswith(begins) for key in missing) and not any(key.startswith(begins) for key in saved.tensors):
            otherwise = "choose net=minkunet, or " if part == "point" else ""
            return f"{saved.path} has no {part} layers ({saved.prefix}{missing[0]}): {otherwise}set start.without=[{part}] to train them anew"
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return f"{saved.path} lacks {saved.prefix}{missing[0]}{more}: it is of another network, or was cut short"


def _shape_text(saved: Saved, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], wrong: Sequence[str]) -> str:
    """What differs, in the words of the options: inputs, classes or width."""
    first, head = "stem.0.conv.kernel", "classifier.weight"
    ways = []
    if first in wrong and found[first].ndim == 3 and found[first].shape[::2] == wanted[first].shape[::2]:
        theirs, own = found[first].shape[1], wanted[first].shape[1]
        ways.append(f"it takes {theirs} inputs, this network {own}: name those it was trained with in dataset.inputs, or set start.without=[stem]")
    if head in wrong and found[head].ndim == 2 and found[head].shape[1] == wanted[head].shape[1]:
        theirs, own = found[head].shape[0], wanted[head].shape[0]
        ways.append(f"it knows {theirs} classes, this data set has {own}: set start.without=[classifier]")
    if ways and set(wrong) <= {first, head, "classifier.bias"}:
        return f"{saved.path} does not fit: {'; '.join(ways)}"
    channels, expected = _widths(found), _widths(wanted)
    if channels != expected:
        return f"{saved.path} does not fit: its layers have {channels} channels, this network's {expected}: {_width_option(channels)}"
    name = wrong[0]
    return f"{saved.path} does not fit: {name} has shape {list(found[name].shape)} there and {list(wanted[name].shape)} here"


def _widths(tensors: Mapping[str, Tensor]) -> list[int]:
    """The channels of the stem, four encoder and four decoder stages, as far as they are there."""
    names = ["stem.1.norm.bias", *(f"down.{i}.2.norm.bias" for i in range(4)), *(f"up.{i}.blocks.1.norm.bias" for i in range(4))]
    return [tensors[name].numel() for name in names if name in tensors]


def _width_option(theirs: Sequence[int]) -> str:
    scale = theirs[-1] / WIDTHS[-1]
    for width in dict.fromkeys((round(scale, 2), round(scale, 3), scale)):
        if width >= 0.51 / min(WIDTHS) and list(widths(width))[-len(theirs) :] == list(theirs):
            return f"set net.width={width:g}"
    return "no net.width gives these"
