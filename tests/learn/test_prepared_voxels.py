"""Networks that say which maps they need get them made before they run, wherever a learner runs them."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from al3d.data.batch import Batch
from al3d.learn.losses import CrossEntropy
from al3d.learn.mean_teacher import MeanTeacher
from al3d.learn.segmenter import Segmenter, run, voxels_for
from al3d.nets import SPVCNN, MinkUNet
from al3d.sparse import Geometry

CLASSES = 3


class Watched(MinkUNet):
    """Remembers what it was given as voxels, and how often it made maps."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(4, CLASSES, width=0.1, dropout=0.5)
        self.given: list[Tensor | Geometry] = []
        self.made = 0

    def geometry(self, coord: Tensor) -> Geometry:
        self.made += 1
        return super().geometry(coord)

    def forward(self, coord: Tensor | Geometry, feat: Tensor) -> Any:
        self.given.append(coord)
        return super().forward(coord, feat)


class Plain(nn.Module):
    """A network that knows nothing of geometries."""

    def forward(self, coord: Tensor, feat: Tensor) -> Tensor:
        return coord.sum() + feat


def batch(**more: Any) -> Batch:
    coord = (torch.rand(1, 12, 9, 5, generator=torch.Generator().manual_seed(0)) < 0.4).nonzero().int()
    feat = torch.randn(len(coord), 4, generator=torch.Generator().manual_seed(1))
    label = torch.arange(len(coord)) % CLASSES
    return Batch(coord, feat, label, torch.arange(len(coord)), [0], point_label=label, **more)


def learner(kind: type[Segmenter] = Segmenter, **options: Any) -> tuple[Segmenter, Watched]:
    net = Watched()
    return kind(net, CLASSES, optimizer=partial(torch.optim.SGD, lr=0.1), loss=CrossEntropy(), **options), net


@torch.no_grad()
def test_every_way_to_run_a_network_gives_it_a_geometry() -> None:
    module, net = learner()
    module(batch())
    module.eval().count(batch())
    module.count(batch(views=[batch()]))
    module.predict_step(batch(), 0)
    assert len(net.given) == net.made == 5 and all(isinstance(voxels, Geometry) for voxels in net.given)


def test_teachers_too() -> None:
    module, net = learner(MeanTeacher)
    assert isinstance(module, MeanTeacher) and isinstance(module.teacher, Watched)
    pair = batch(plain=batch(), labelled=torch.zeros(len(batch().coord), dtype=torch.bool))
    module.terms(pair)
    assert [type(voxels) for voxels in (*net.given, *module.teacher.given)] == [Geometry, Geometry]


@pytest.mark.parametrize(("tile", "made"), [(None, 1), (10_000, 1), (60, None)])
@torch.no_grad()
def test_passes_over_a_whole_scene_share_its_maps(tile: int | None, made: int | None) -> None:
    """With the same bits as maps made anew for each; tiles have maps of their own."""
    module, net = learner(tile_voxels=tile, tile_halo=2)
    module.passes = 3
    prediction = module.eval().predict_step(batch(), 0)
    assert net.made == (made or len(net.given)) and len(net.given) >= 3
    shared = net.made == 1
    assert (len({id(voxels) for voxels in net.given}) == 1) == shared
    twin, anew = learner(tile_voxels=tile, tile_halo=2)
    twin.passes = 3
    anew.geometry = lambda coord: coord  # type: ignore[method-assign, assignment, return-value]
    expected = twin.eval().predict_step(batch(), 0)
    assert (prediction.prob == expected.prob).all() and (prediction.feature == expected.feature).all()


def test_a_network_without_maps_gets_coordinates() -> None:
    scene = batch()
    assert voxels_for(Plain(), scene.coord) is scene.coord
    assert torch.equal(run(Plain(), scene.coord, scene.feat), scene.coord.sum() + scene.feat)


@pytest.mark.parametrize("kind", [MinkUNet, SPVCNN])
def test_a_geometry_changes_no_bit(kind: type[nn.Module]) -> None:
    net, scene = kind(4, CLASSES, width=0.1).eval(), batch()
    order = torch.randperm(len(scene.coord), generator=torch.Generator().manual_seed(2))
    coord, feat = scene.coord[order], scene.feat[order]
    for a, b in zip(net(coord, feat), net(Geometry(coord), feat), strict=True):
        assert torch.equal(a, b)
