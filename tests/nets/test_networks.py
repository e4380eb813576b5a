"""MinkUNet and SPVCNN: parameters, shapes, and what they promise about their input."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from al3d.nets import SPVCNN, MinkUNet, Output
from al3d.sparse import Conv3d, TransposedConv3d

NETS = [MinkUNet, SPVCNN]


def scene(seed: int = 0, channels: int = 6, batches: int = 2) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    coord = (torch.rand(batches, 20, 20, 12, generator=random) < 0.1).nonzero().int()
    coord[:, 1:] -= 7
    return coord, torch.randn(len(coord), channels, generator=random)


def small(kind: type[nn.Module], classes: int = 5, **options: float) -> nn.Module:
    torch.manual_seed(0)
    return kind(6, classes, width=0.25, **options)


@pytest.mark.parametrize(
    ("channels", "classes", "mink", "spv"),
    [(6, 13, 21_724_461, 21_779_149), (6, 20, 21_725_140, 21_779_828), (4, 19, 21_723_315, 21_778_003), (4, 16, 21_723_024, 21_777_712)],
)
def test_number_of_parameters(channels: int, classes: int, mink: int, spv: int) -> None:
    with torch.device("meta"):
        nets = [MinkUNet(channels, classes), SPVCNN(channels, classes)]
    assert [sum(p.numel() for p in net.parameters()) for net in nets] == [mink, spv]


def test_parameters_by_stage() -> None:
    with torch.device("meta"):
        net = SPVCNN(6, 13)

    def count(part: nn.Module) -> int:
        return sum(p.numel() for p in part.parameters())

    assert count(net.stem) == 864 * 6 + 27_776
    assert [count(stage) for stage in net.down] == [119_104, 398_016, 1_590_656, 6_359_808]
    assert [count(stage) for stage in net.up] == [8_588_288, 2_278_912, 1_190_016, 1_165_440]
    assert count(net.classifier) == 97 * 13
    assert count(net.point) == 54_688


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("width", [0.25, 0.3])
def test_output(kind: type[nn.Module], width: float) -> None:
    coord, feat = scene()
    net = kind(6, 5, width=width)
    out = net(coord, feat)
    assert isinstance(out, Output)
    coarse = torch.unique(torch.cat([coord[:, :1], torch.div(coord[:, 1:], 16, rounding_mode="floor")], dim=1), dim=0)
    assert out.logits.shape == (len(coord), 5)
    assert out.feature.shape == (len(coord), round(96 * width)) == (len(coord), net.feature_width)
    assert out.bottleneck.shape == (len(coarse), round(256 * width))
    assert all(torch.isfinite(part).all() for part in out)
    torch.testing.assert_close(net.classifier(out.feature), out.logits)


@pytest.mark.parametrize("kind", NETS)
def test_every_parameter_learns(kind: type[nn.Module]) -> None:
    net = small(kind)
    net(*scene()).logits.square().mean().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("kind", NETS)
def test_order_of_input_is_irrelevant(kind: type[nn.Module]) -> None:
    coord, feat = scene()
    net = small(kind).eval()
    order = torch.randperm(len(coord), generator=torch.Generator().manual_seed(1))
    expected, shuffled = net(coord, feat), net(coord[order], feat[order])
    torch.testing.assert_close(shuffled.logits, expected.logits[order])
    torch.testing.assert_close(shuffled.feature, expected.feature[order])
    assert torch.equal(shuffled.bottleneck, expected.bottleneck)


@pytest.mark.parametrize("kind", NETS)
def test_batch_items_do_not_mix_in_evaluation(kind: type[nn.Module]) -> None:
    coord, feat = scene()
    net = small(kind).eval()
    first = coord[:, 0] == 0
    torch.testing.assert_close(net(coord, feat).logits[first], net(coord[first], feat[first]).logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", NETS)
def test_same_bits_on_rerun(kind: type[nn.Module]) -> None:
    results = []
    for _ in range(2):
        net = small(kind)
        out = net(*scene())
        out.logits.square().mean().backward()
        results.append([out.logits, *(p.grad for p in net.parameters() if p.grad is not None)])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("count", [0, 1])
def test_one_voxel_and_none(kind: type[nn.Module], count: int) -> None:
    coord, feat = torch.full((count, 4), 3, dtype=torch.int32), torch.randn(count, 6)
    net = small(kind)
    out = net(coord, feat)
    out.logits.sum().backward()
    assert out.logits.shape == (count, 5)
    assert torch.isfinite(out.logits).all()


@pytest.mark.parametrize("kind", NETS)
def test_dropout_acts_in_training_only(kind: type[nn.Module]) -> None:
    coord, feat = scene()
    net = small(kind, dropout=0.5)
    assert not torch.equal(net(coord, feat).logits, net(coord, feat).logits)
    net.eval()
    assert torch.equal(net(coord, feat).logits, net(coord, feat).logits)


def test_dropout_modules() -> None:
    def rates(net: nn.Module) -> list[float]:
        return [module.p for module in net.modules() if isinstance(module, nn.Dropout)]

    assert rates(small(MinkUNet)) == []
    assert rates(small(MinkUNet, dropout=0.2)) == [0.2]
    assert rates(small(SPVCNN)) == [0.3]


def test_initialisation_follows_the_global_generator() -> None:
    first, again = small(SPVCNN).state_dict(), small(SPVCNN).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    for module in small(MinkUNet).modules():
        if isinstance(module, nn.BatchNorm1d):
            assert module.eps == 1e-5 and module.momentum == 0.1 and bool((module.weight == 1).all()) and not module.bias.any()
        if isinstance(module, (Conv3d, TransposedConv3d)):
            assert module.bias is None


def test_wrong_input_raises() -> None:
    coord, feat = scene(channels=4)
    with pytest.raises(ValueError, match=r"feat \[V,6\]"):
        small(MinkUNet)(coord, feat)
    with pytest.raises(ValueError, match="width"):
        MinkUNet(6, 5, width=0.001)
    far = coord.clone()
    far[0, 1] = 40_000
    with pytest.raises(ValueError, match="keys hold"):
        SPVCNN(4, 5, width=0.25)(far, feat)


def test_learns_a_rule() -> None:
    """A few steps suffice to tell low voxels from high ones, which takes no feature, only geometry."""
    coord = torch.cartesian_prod(torch.tensor([0]), torch.arange(12), torch.arange(12), torch.tensor([0, 5])).int()
    label = (coord[:, 3] > 0).long()
    feat = torch.cat([coord[:, 3:].float() / 5, torch.ones(len(coord), 5)], dim=1)
    net = small(MinkUNet, classes=2)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    losses = []
    for _ in range(15):
        loss = nn.functional.cross_entropy(net(coord, feat).logits, label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
