"""Published checkpoints: a naive dense network with the published names and kernel orders gives the logits that ours gives with its weights."""

from __future__ import annotations

import argparse
import math
import re
import tarfile
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from al3d.nets import SPVCNN, MinkUNet
from al3d.nets.public import Start, load_public
from al3d.nets.public_file import read_saved
from al3d.nets.public_names import in_our_order, public_name
from al3d.progress import console

Offsets = list[tuple[int, int, int]]


def offsets(size: int, order: str) -> Offsets:
    """The offsets of a kernel in the order of a library, written out as its code nests its loops."""
    low, high = (-1, 2) if size == 3 else (0, 2)
    x_fastest = order == "minkowski" or (order == "torchsparse" and size % 2 == 1)
    rows = list(product(range(low, high), repeat=3))
    return [(c, b, a) for a, b, c in rows] if x_fastest else rows


# The twin: dense grids [B,C,X,Y,Z] with a mask of the voxels that are there; no code and no layer of al3d.


class Voxels(nn.Module):
    """A convolution on masked grids with a published `kernel` [K,I,O] ([I,O] for K = 1)."""

    def __init__(self, inputs: int, outputs: int, size: int, order: str, up: bool = False) -> None:
        super().__init__()
        self.size, self.order, self.up = size, order, up
        shape = (inputs, outputs) if size == 1 else (size**3, inputs, outputs)
        self.kernel = nn.Parameter(torch.empty(shape, dtype=torch.float64))

    def forward(self, grid: Tensor, masks: dict[int, Tensor], stride: int) -> tuple[Tensor, int]:
        """The sum over offsets k of the input at (output + offset k) times kernel k, by shifting the whole grid."""
        if self.size == 1:
            return torch.einsum("bixyz,io->boxyz", grid, self.kernel), stride
        if self.size == 3:
            padded = functional.pad(grid, (1, 1, 1, 1, 1, 1))
            x, y, z = grid.shape[2:]
            parts = [
                torch.einsum("bixyz,io->boxyz", padded[:, :, 1 + a : 1 + a + x, 1 + b : 1 + b + y, 1 + c : 1 + c + z], weight)
                for (a, b, c), weight in zip(offsets(3, self.order), self.kernel, strict=True)
            ]
            return torch.stack(parts).sum(0) * masks[stride], stride
        if not self.up:
            parts = [torch.einsum("bixyz,io->boxyz", grid[:, :, a::2, b::2, c::2], w) for (a, b, c), w in zip(offsets(2, self.order), self.kernel, strict=True)]
            return torch.stack(parts).sum(0) * masks[2 * stride], 2 * stride
        fine = grid.new_zeros(len(grid), self.kernel.shape[2], *(2 * side for side in grid.shape[2:]))
        for (a, b, c), weight in zip(offsets(2, self.order), self.kernel, strict=True):
            fine[:, :, a::2, b::2, c::2] = torch.einsum("bixyz,io->boxyz", grid, weight)
        return fine * masks[stride // 2], stride // 2


class Norm(nn.Module):
    """Normalisation with running statistics by its formula; parameters where torchsparse has them, or inside `bn` as MinkowskiEngine."""

    def __init__(self, channels: int, order: str) -> None:
        super().__init__()
        one = nn.BatchNorm1d(channels, dtype=torch.float64)
        if order == "minkowski":
            self.bn = one
        else:
            self.weight, self.bias = one.weight, one.bias
            for name, value in one.named_buffers():
                self.register_buffer(name, value)

    def forward(self, grid: Tensor, mask: Tensor) -> Tensor:
        one: Any = self.bn if hasattr(self, "bn") else self
        scale = one.weight / torch.sqrt(one.running_var + 1e-5)
        shape = (1, -1, 1, 1, 1)
        return (grid * scale.view(shape) + (one.bias - one.running_mean * scale).view(shape)) * mask


class Chain(nn.Sequential):
    """Convolutions, normalisations and ReLUs in the published numbering."""

    def forward(self, grid: Tensor, masks: dict[int, Tensor], stride: int) -> tuple[Tensor, int]:
        for layer in self:
            if isinstance(layer, Voxels):
                grid, stride = layer(grid, masks, stride)
            elif isinstance(layer, Norm):
                grid = layer(grid, masks[stride])
            else:
                grid = layer(grid)
        return grid, stride


class Block(nn.Module):
    """`net`, and with `downsample` a residual block."""

    def __init__(self, net: Chain, downsample: Chain | None = None) -> None:
        super().__init__()
        self.net = net
        if downsample is not None:
            self.downsample = downsample

    def forward(self, grid: Tensor, masks: dict[int, Tensor], stride: int) -> tuple[Tensor, int]:
        result, after = self.net(grid, masks, stride)
        if hasattr(self, "downsample"):
            result = torch.relu(result + self.downsample(grid, masks, stride)[0])
        return result, after


class Published(nn.Module):
    """MinkUNet or (with `points`) SPVCNN in the published layout; `idle` gives a MinkUNet the point layers that it never uses."""

    def __init__(self, inputs: int, classes: int, order: str, width: float = 0.125, points: bool = False, idle: bool = False) -> None:
        super().__init__()
        c = [int(width * w) for w in (32, 32, 64, 128, 256, 256, 128, 96, 96)]
        self.points = points

        def unit(i: int, o: int, size: int = 3, up: bool = False) -> list[nn.Module]:
            return [Voxels(i, o, size, order, up), Norm(o, order), nn.ReLU()]

        def residual(i: int, o: int) -> Block:
            return Block(Chain(*unit(i, o), *unit(o, o)[:2]), Chain(*([] if i == o else unit(i, o, 1)[:2])))

        self.stem = Chain(*unit(inputs, c[0]), *unit(c[0], c[0]))
        for s in range(4):
            blocks = [Block(Chain(*unit(c[s], c[s], 2))), residual(c[s], c[s + 1]), residual(c[s + 1], c[s + 1])]
            setattr(self, f"stage{s + 1}", nn.Sequential(*blocks))
            pair = nn.Sequential(residual(c[s + 5] + c[3 - s], c[s + 5]), residual(c[s + 5], c[s + 5]))
            setattr(self, f"up{s + 1}", nn.ModuleList([Block(Chain(*unit(c[s + 4], c[s + 5], 2, up=True))), pair]))
        self.classifier = nn.Sequential(nn.Linear(c[8], classes, dtype=torch.float64))
        if points or idle:
            pairs = ((0, 4), (4, 6), (6, 8))
            layers = [nn.Sequential(nn.Linear(c[i], c[o]), nn.BatchNorm1d(c[o]), nn.ReLU()) for i, o in pairs]
            self.point_transforms = nn.ModuleList(layers).double()

    def forward(self, coord: Tensor, feat: Tensor) -> Tensor:
        batch, x, y, z = coord.long().unbind(1)
        sides = [16 * (1 + int(axis.max()) // 16) for axis in (x, y, z)]
        grid = feat.new_zeros(int(batch.max()) + 1, *sides, feat.shape[1])
        grid[batch, x, y, z] = feat
        mask = feat.new_zeros(len(grid), 1, *sides)
        mask[batch, 0, x, y, z] = 1
        masks = {1: mask}
        for stride in (2, 4, 8, 16):
            masks[stride] = functional.max_pool3d(masks[stride // 2], 2)

        def at(values: Tensor) -> Tensor:
            return values.permute(0, 2, 3, 4, 1)[batch, x, y, z]

        value, stride = self.stem(grid.permute(0, 4, 1, 2, 3), masks, 1)
        skips, point = [], at(value)
        for s in range(1, 5):
            skips.append(value)
            for block in self.get_submodule(f"stage{s}").children():
                value, stride = block(value, masks, stride)
        for s in range(1, 5):
            if self.points and s % 2 == 1:
                point = corners(value, masks[stride], coord, stride) + self.point_transforms[s // 2](point)
                value = means(point, coord, value, stride)
            deconvolution, blocks = self.get_submodule(f"up{s}").children()
            value, stride = deconvolution(value, masks, stride)
            value = torch.cat([value, skips.pop()], dim=1)
            for block in blocks.children():
                value, stride = block(value, masks, stride)
        feature = at(value)
        if self.points:
            feature = feature + self.point_transforms[2](point)
        return self.classifier(feature)


def corners(value: Tensor, mask: Tensor, coord: Tensor, stride: int) -> Tensor:
    """Trilinear interpolation, point by point and corner by corner, over the corners that are there."""
    rows = []
    for b, *place in coord.tolist():
        total, weights = value.new_zeros(value.shape[1]), 0.0
        for corner in product((0, 1), repeat=3):
            cell = [p // stride + d for p, d in zip(place, corner, strict=True)]
            share = math.prod((p % stride) / stride if d else 1 - (p % stride) / stride for p, d in zip(place, corner, strict=True))
            if all(c < side for c, side in zip(cell, mask.shape[2:], strict=True)) and bool(mask[b, 0, cell[0], cell[1], cell[2]]):
                total = total + share * value[b, :, cell[0], cell[1], cell[2]]
                weights += share
        rows.append(total / (weights + 1e-8))
    return torch.stack(rows)


def means(point: Tensor, coord: Tensor, like: Tensor, stride: int) -> Tensor:
    """The mean of the points in each cell."""
    result = torch.zeros_like(like)
    cells: dict[tuple[int, ...], list[int]] = {}
    for row, (b, *place) in enumerate(coord.tolist()):
        cells.setdefault((b, *(p // stride for p in place)), []).append(row)
    for (b, x, y, z), rows in cells.items():
        result[b, :, x, y, z] = point[rows].mean(0)
    return result


def trained(net: nn.Module, seed: int = 0) -> nn.Module:
    """A network with random weights and statistics, as if it had been trained; idle layers stay as they were."""
    random = torch.Generator().manual_seed(seed)
    idle = "point_transforms" if not getattr(net, "points", True) else "-"
    for name, value in net.state_dict().items():
        drawn = torch.randn(value.shape, generator=random, dtype=torch.float64)
        if name.startswith(idle):
            continue
        if name.endswith("num_batches_tracked"):
            value.fill_(7)
        elif name.endswith("running_var"):
            value.copy_(drawn.square() + 0.5)
        elif value.ndim == 1:
            value.copy_(drawn / 5 + (name.endswith("weight")))
        else:
            value.copy_(drawn / math.sqrt(value.numel() / value.shape[-1]) * 2)
    return net.eval()


def scene(channels: int = 4) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(3)
    coord = (torch.rand(2, 24, 14, 12, generator=random) < 0.04).nonzero().int()
    return coord, torch.randn(len(coord), channels, generator=random, dtype=torch.float64)


def small(kind: type[nn.Module] = MinkUNet, inputs: int = 4, classes: int = 5, width: float = 0.125) -> nn.Module:
    torch.manual_seed(11)
    return kind(inputs, classes, width=width).double().eval()


def saved(folder: Path, content: Any, name: str = "checkpoint0.tar") -> Path:
    path = folder / name
    torch.save(content, path)
    return path


CASES = [(MinkUNet, "torchsparse", True), (MinkUNet, "torchsparse", False), (MinkUNet, "minkowski", False), (SPVCNN, "torchsparse", False)]


@pytest.mark.parametrize(("kind", "order", "idle"), CASES)
def test_same_logits_as_the_published_layout(kind: type[nn.Module], order: str, idle: bool, tmp_path: Path) -> None:
    """Names, kernel orders, the epsilon of normalisation, the order of concatenation and the shortcuts, all at once, in float64."""
    twin = trained(Published(4, 5, order, points=kind is SPVCNN, idle=idle))
    coord, feat = scene()
    with torch.no_grad():
        expected = twin(coord, feat)
        net = small(kind)
        before = net(coord, feat).logits
        report = load_public(net, saved(tmp_path, {"model_state_dict": twin.state_dict()}))
        actual = net(coord, feat).logits
    assert float(expected.std()) > 0.05 and not torch.allclose(before, expected, atol=0.1)
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)
    assert report.order == order and report.missing == () and report.idle == idle
    assert set(report.used) | set(report.unused) == set(twin.state_dict())
    assert all(name.startswith("point_transforms.") for name in report.unused) and bool(report.unused) == idle


def test_another_order_gives_other_logits(tmp_path: Path) -> None:
    """The twin can tell the orders apart: it is not that any order would do."""
    twin = trained(Published(4, 5, "torchsparse"))
    coord, feat = scene()
    path = saved(tmp_path, twin.state_dict())
    with torch.no_grad():
        expected = twin(coord, feat)
        for order in ("minkowski", "z"):
            net = small()
            load_public(net, path, order=order)
            assert float((net(coord, feat).logits - expected).abs().max()) > 0.05


@pytest.mark.parametrize(
    ("inputs", "classes", "mink", "spv"), [(6, 13, 21_724_461, 21_779_149), (6, 20, 21_725_140, 21_779_828), (4, 19, 21_723_315, 21_778_003)]
)
def test_full_width_layout(inputs: int, classes: int, mink: int, spv: int) -> None:
    """At width 1 the published layout has the names, shapes and numbers of parameters that ours asks for."""
    with torch.device("meta"):
        for kind, points, count in ((MinkUNet, False, mink), (SPVCNN, True, spv)):
            twin, net = Published(inputs, classes, "torchsparse", 1.0, points=points), kind(inputs, classes)
            assert sum(p.numel() for p in twin.parameters()) == count == sum(p.numel() for p in net.parameters())
            shapes = {name: value.shape for name, value in twin.state_dict().items()}
            assert {public_name(name): value.shape for name, value in net.state_dict().items()} == shapes
        carried = Published(inputs, classes, "torchsparse", 1.0, idle=True)
    assert sum(p.numel() for p in carried.parameters()) == mink + 54_688


def to_public(net: Any, order: str) -> dict[str, Tensor]:
    """Our weights under published names and in a published order: both list their layers from input to output, so no names are translated."""
    points = isinstance(net, SPVCNN)
    twin = Published(net.in_channels, net.classifier.out_features, order, net.feature_width / 96, points=points)
    parts = ("stem", *(f"stage{i}" for i in range(1, 5)), *(f"up{i}" for i in range(1, 5)), "point_transforms", "classifier")
    names = sorted(twin.state_dict(), key=lambda name: parts.index(name.split(".")[0]))
    return {name: listed(value, order) for name, value in zip(names, net.state_dict().values(), strict=True)}


def listed(value: Tensor, order: str) -> Tensor:
    """One of our tensors, a kernel's offsets in the order of a library."""
    if value.ndim != 3:
        return value.clone()
    size = {27: 3, 8: 2}[len(value)]
    ours = list(product(range(-1, 2) if size == 3 else range(2), repeat=3))
    return torch.stack([value[ours.index(offset)] for offset in offsets(size, order)])


Wrap = Callable[[dict[str, Tensor]], Any]
CONTAINERS: dict[str, tuple[str, Wrap]] = {
    "plain": ("init", lambda state: state),
    "redal, distributed": ("checkpoint.tar", lambda state: {"model_state_dict": {f"module.{k}": v for k, v in state.items()}, "opt_state_dict": {"state": {}}}),
    "hpal": ("checkpoint3.tar", lambda state: {"model_state_dict": state, "opt_state_dict": {"param_groups": [{"lr": 0.1}]}}),
    "lidal": ("current.pt", lambda state: {"model_state_dict": state, "iteration": 20_000, "ep_id": 7}),
    "spvnas": ("max-iou-test.pt", lambda state: {"model": state, "optimizer": {}, "scheduler": {"last_epoch": 3}}),
    "lightning": ("last.ckpt", lambda state: {"state_dict": {f"net.{k}": v for k, v in state.items()}, "epoch": 3}),
    "one prefix of its own": ("moco.pth", lambda state: {"state_dict": {f"moco.model_q.{k}": v for k, v in state.items()}}),
    "half precision": ("half.pt", lambda state: {k: v.half() if v.is_floating_point() else v for k, v in state.items()}),
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("order", ["torchsparse", "minkowski"])
def test_every_container_round_trips(container: str, order: str, tmp_path: Path) -> None:
    name, wrap = CONTAINERS[container]
    source, net = trained(small()), small()
    load_public(net, saved(tmp_path, wrap(to_public(source, order)), name))
    for key, value in net.state_dict().items():
        expected = source.state_dict()[key]
        assert torch.equal(value, expected.half().to(expected.dtype) if container == "half precision" else expected), key


def test_own_checkpoints_are_taken_as_they_are(tmp_path: Path) -> None:
    """A mean teacher's file has two networks; the one that Lightning calls `net` is meant, and the line says what was left."""
    source, other, net = trained(small()), trained(small(), seed=1), small()
    state = {f"net.{k}": v for k, v in source.state_dict().items()} | {f"teacher.{k}": v for k, v in other.state_dict().items()}
    report = load_public(net, saved(tmp_path, {"state_dict": state}, "last.ckpt"))
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in net.state_dict().items())
    assert report.order == "z" and len(report.unused) == len(source.state_dict())
    assert re.search(r"not taken: teacher\.\* [\d,]+ parameters", report.line)
    with pytest.raises(ValueError, match="z order: set start.order=auto"):
        load_public(net, saved(tmp_path, source.state_dict()), order="minkowski")


def test_report_of_idle_point_layers(tmp_path: Path) -> None:
    """D-40: dropped with a note that counts them, 54,688 at full width."""
    twin = trained(Published(4, 5, "torchsparse", idle=True))
    report = load_public(small(), saved(tmp_path, twin.state_dict()))
    count = sum(p.numel() for name, p in twin.named_parameters() if name.startswith("point_transforms."))
    assert report.dropped == {"point_transforms.*": count}
    assert f"point_transforms.* {count:,} parameters that a MinkUNet never uses (D-40)" in report.line and "\n" not in report.line
    assert report.parameters == sum(p.numel() for p in small().parameters())
    assert f"{report.parameters:,} parameters" in report.line


@pytest.mark.parametrize("part", ["classifier", "stem"])
def test_parts_may_stay_as_initialised(part: str, tmp_path: Path) -> None:
    """Other classes or other inputs: without the option an error that says which and names the option, with it a start for the rest."""
    other = {"classifier": small(classes=9), "stem": small(inputs=6)}[part]
    path = saved(tmp_path, to_public(trained(small()), "torchsparse"))
    says = {"classifier": "knows 5 classes, this data set has 9", "stem": "takes 4 inputs, this network 6"}[part]
    before = {key: value.clone() for key, value in other.state_dict().items()}
    with pytest.raises(ValueError, match=rf"{says}.*start.without=\[{part}\]"):
        load_public(other, path)
    assert all(torch.equal(value, before[key]) for key, value in other.state_dict().items()), "a refused file must change nothing"
    report = load_public(other, path, without=[part])
    for key, value in other.state_dict().items():
        assert torch.equal(value, before[key]) == (key.startswith(part) or False), key
    assert report.missing == tuple(key for key in before if key.startswith(part))
    assert f"as initialised: {part}" in report.line


def test_both_inputs_and_classes_differ(tmp_path: Path) -> None:
    path = saved(tmp_path, to_public(trained(small()), "torchsparse"))
    with pytest.raises(ValueError, match=r"4 inputs, this network 6.*without=\[stem\].*5 classes, this data set has 9"):
        load_public(small(inputs=6, classes=9), path)


def without(state: dict[str, Tensor], *beginnings: str) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if not key.startswith(beginnings)}


def test_a_file_of_a_backbone_alone(tmp_path: Path) -> None:
    """Self-supervised networks have no classifier; counters of batches may be absent, they change nothing."""
    state = without(to_public(trained(small()), "minkowski"), "classifier.")
    path = saved(tmp_path, {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")})
    with pytest.raises(ValueError, match=r"no classifier layers .*start.without=\[classifier\]"):
        load_public(small(), path)
    assert {name.split(".")[0] for name in load_public(small(), path, without=["classifier"]).missing if "tracked" not in name} == {"classifier"}


def test_point_layers_must_belong_to_the_network(tmp_path: Path) -> None:
    """D-40: a MinkUNet's file has point layers that were never trained, an SPVCNN's needs its own."""
    idle = saved(tmp_path, trained(Published(4, 5, "torchsparse", idle=True)).state_dict(), "idle.tar")
    points = saved(tmp_path, trained(Published(4, 5, "torchsparse", points=True)).state_dict(), "points.tar")
    none = saved(tmp_path, trained(Published(4, 5, "torchsparse")).state_dict(), "none.tar")
    with pytest.raises(ValueError, match=r"never trained. Choose net=minkunet"):
        load_public(small(SPVCNN), idle)
    with pytest.raises(ValueError, match=r"is of an SPVCNN.*Choose net=spvcnn"):
        load_public(small(), points)
    with pytest.raises(ValueError, match=r"no point layers .*net=minkunet.*without=\[point\]"):
        load_public(small(SPVCNN), none)
    for path in (idle, none):
        assert any(name.startswith("point.") for name in load_public(small(SPVCNN), path, without=["point"]).missing)
    line = load_public(small(), points, without=["point"]).line
    assert "point_transforms.*" in line and "never uses" not in line


def refused(state: Any, folder: Path, text: str, net: nn.Module | None = None, **options: Any) -> None:
    with pytest.raises(ValueError, match=text) as failure:
        load_public(small() if net is None else net, saved(folder, state), **options)
    assert str(folder / "checkpoint0.tar") in str(failure.value)


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    state = to_public(trained(small()), "torchsparse")
    refused(without(state, "stage2.1.net.3"), tmp_path, r"lacks stage2\.1\.net\.3\.kernel: it is of another network")
    refused(without(state, "up4."), tmp_path, r"lacks up4\.0\.net\.0\.kernel and \d+ more")
    refused(
        state | {"stage2.3.net.0.kernel": torch.zeros(27, 16, 16)}, tmp_path, r"1 tensors of layers that this network lacks, first stage2\.3\.net\.0\.kernel"
    )
    refused(state | {"stem.0.bias": torch.zeros(8)}, tmp_path, r"lacks, first stem\.0\.bias")
    refused(state | {"up1.1.0.net.4.running_mean": torch.zeros(9)}, tmp_path, r"up\.0\.blocks\.0\.norm\.running_mean has shape \[9\] there and \[32\] here")
    broken = state["up1.1.0.net.3.kernel"].clone()
    broken[0, 0, 0] = math.nan
    refused(state | {"up1.1.0.net.3.kernel": broken}, tmp_path, r"up1\.1\.0\.net\.3\.kernel holds values that are not finite")
    refused({"conv0p1s1.kernel": torch.zeros(125, 3, 32)}, tmp_path, r"not of a MinkUNet or SPVCNN as al3d builds them: no stem\.0\.kernel.*conv0p1s1")
    refused({f"{who}.{k}": v for who in ("a", "b") for k, v in state.items()}, tmp_path, r"holds 2 networks \('a\.', 'b\.'\)")
    refused({"epoch": 3}, tmp_path, "holds no state dict: its keys are epoch")
    refused([torch.zeros(2)], tmp_path, "holds a list, not a state dict")
    with pytest.raises(ValueError, match="has no published name"):
        load_public(nn.Linear(2, 2), saved(tmp_path, state))


@pytest.mark.parametrize(("width", "says"), [(0.5, r"set net\.width=0\.5$"), (0.64, "no net.width gives these")])
def test_another_width_is_named(width: float, says: str, tmp_path: Path) -> None:
    """Published networks round their channels down; 0.64 of SPVNAS is one that rounding to the nearest cannot give."""
    refused(trained(Published(4, 5, "torchsparse", width)).state_dict(), tmp_path, rf"channels, this network's \[4, 4, 8.*{says}")


def test_unpickling_is_refused_with_the_way_out(tmp_path: Path) -> None:
    state = to_public(trained(small()), "minkowski")
    refused({"model": state, "params": argparse.Namespace(lr=0.1)}, tmp_path, r"without running code.*torch\.save\(saved\[\"model_state_dict\"\]")
    refused(small(), tmp_path, "without running code")
    (tmp_path / "text.pt").write_text("not a checkpoint")
    with pytest.raises(ValueError, match=r"text\.pt cannot be read without running code"):
        read_saved(tmp_path / "text.pt")
    with tarfile.open(tmp_path / "packed.tar", "w") as archive:
        archive.add(tmp_path / "text.pt", "text.pt")
    with pytest.raises(ValueError, match=r"packed\.tar is an archive"):
        read_saved(tmp_path / "packed.tar")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.tar: set start\.weights"):
        read_saved(tmp_path / "nowhere.tar")


def test_start_is_named_by_content(tmp_path: Path) -> None:
    """The identity follows the file's bytes, not its place; a check changes nothing and works without memory for the network."""
    state = to_public(trained(small()), "torchsparse")
    first, copy = saved(tmp_path, state, "a.tar"), tmp_path / "b.tar"
    copy.write_bytes(first.read_bytes())
    other = saved(tmp_path, state | {"classifier.0.bias": torch.zeros(5)}, "c.tar")
    assert Start(str(first)).identity == Start(str(copy)).identity != Start(str(other)).identity
    assert Start(str(first), ["classifier"]).identity != Start(str(first)).identity != Start(str(first), order="minkowski").identity
    assert Start().identity is None and Start()(small()) is None
    with torch.device("meta"):
        Start(str(first)).check(MinkUNet(4, 5, width=0.125))
        with pytest.raises(ValueError, match="this data set has 9"):
            Start(str(first)).check(MinkUNet(4, 9, width=0.125))
    net = small()
    with console.capture() as said:
        report = Start(str(first))(net)
    assert report is not None and torch.equal(net.state_dict()["classifier.bias"], state["classifier.0.bias"])
    assert said.get().strip() == report.line
    for options in ({"without": ["head"]}, {"order": "y"}, {"without": ["stem"]}):
        with pytest.raises(ValueError, match="start.without|start.order"):
            Start(None if options == {"without": ["stem"]} else str(first), **options)


def test_order_of_offsets() -> None:
    """A kernel whose entries are its own offsets, listed as each library lists them, comes out with z fastest."""
    for order, size in product(("torchsparse", "minkowski", "z"), (2, 3)):
        listed = torch.tensor(offsets(size, order)).view(-1, 1, 3)
        low, high = (-1, 2) if size == 3 else (0, 2)
        assert [tuple(row) for row in in_our_order(listed, order)[:, 0].tolist()] == list(product(range(low, high), repeat=3))
    assert offsets(3, "torchsparse")[1] == (0, -1, -1) and offsets(2, "torchsparse")[1] == (0, 0, 1) and offsets(2, "minkowski")[1] == (1, 0, 0)
    assert in_our_order(torch.zeros(1, 3, 4), "minkowski").shape == (3, 4)
