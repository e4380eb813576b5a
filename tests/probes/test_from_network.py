"""Penultimate features of trained networks at every point: against the network itself, from runs and from files of weights."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from al3d.data.batch import Voxeliser
from al3d.data.hashing import hash_of
from al3d.data.voxelise import voxelise
from al3d.nets.minkunet import MinkUNet
from al3d.probes.description import Description, described
from al3d.probes.from_network import FromNetwork
from al3d.rng import generator
from al3d.types import F32, I64, IGNORE, Scene

CONF = Path(__file__).resolve().parents[2] / "conf" / "description"
RGB = ("red", "green", "blue")
INPUTS = (*RGB, "x", "y", "z")
VOXEL = 0.1
THIN = partial(MinkUNet, width=0.0625)


def made_scene(key: int = 0, attributes: int = 3, points: int = 2000) -> Scene:
    draw = generator("described by a network", key)
    xyz = draw.random((points, 3)) * [3, 2, 1.5]
    xyz[np.arange(points), draw.integers(0, 3, points)] = 0
    return Scene(f"scene_{key}", xyz.astype(np.float32), draw.random((points, attributes), dtype=np.float32))


def trained(classes: int = 5, key: int = 0) -> nn.Module:
    torch.manual_seed(key)
    return THIN(6, classes).eval()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.save(trained().state_dict(), tmp_path / "bare.pt")
    return tmp_path / "bare.pt"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder with round 0, as a run writes it."""
    folder = tmp_path / "run"
    dataset = {"inputs": list(INPUTS), "scale": {"voxel": VOXEL}, "reduce": "mean", "center": True}
    config = {"net": {"_target_": "al3d.nets.minkunet.MinkUNet", "_partial_": True, "width": 0.0625, "dropout": 0.0}, "dataset": dataset}
    (folder / "round-00").mkdir(parents=True)
    torch.save({"state_dict": {f"net.{key}": value for key, value in trained(9).state_dict().items()}}, folder / "round-00" / "last.ckpt")
    OmegaConf.save(OmegaConf.create(config), folder / "config.yaml")
    return folder


def of_file(path: Path, **options: Any) -> FromNetwork:
    return FromNetwork(str(path), **{"net": THIN, "inputs": INPUTS, "voxel": VOXEL, "device": "cpu", **options})


def forward(net: nn.Module, scene: Scene) -> tuple[F32, I64]:
    """What the network gives for the whole scene at once, and the voxel of every point."""
    voxels = Voxeliser(VOXEL, INPUTS, RGB, 2)(scene.xyz, scene.feat, np.full(len(scene), IGNORE, np.uint8))
    coord = np.concatenate([np.zeros((len(voxels.coord), 1), np.int32), voxels.coord], axis=1)
    with torch.no_grad():
        return net(torch.from_numpy(coord), torch.from_numpy(voxels.feat)).feature.numpy(), voxels.inverse


def test_every_point_has_the_feature_of_its_voxel(file: Path) -> None:
    scene = made_scene()
    feature, inverse = forward(trained(), scene)
    rows = of_file(file)(scene)
    assert rows.dtype == np.float32 and rows.shape == (len(scene), feature.shape[1])
    assert np.allclose(rows, feature[inverse], atol=1e-5) and np.ptp(rows, axis=0).max() > 1e-3
    assert len(np.unique(inverse)) < len(scene) * 0.9, "some voxels hold several points"


def test_rows_are_averaged_in_voxels_of_another_size(file: Path) -> None:
    scene = made_scene()
    feature, inverse = forward(trained(), scene)
    _, coarse = voxelise(scene.xyz, 0.25)
    expected = np.stack([feature[inverse][coarse == voxel].mean(axis=0) for voxel in range(coarse.max() + 1)])
    part: Description = of_file(file)
    assert part.points and part.anywhere and not part.parallel and part.name == "network"
    assert np.allclose(described([part], scene, 0.25), expected, atol=2e-3)


def test_a_run_brings_its_network_and_its_inputs(run: Path, file: Path) -> None:
    scene = made_scene()
    part = FromNetwork(str(run), device="cpu")
    part.check(scene)
    assert np.allclose(part(scene), of_file(file)(scene), atol=1e-5), "the same weights with other classes"
    misled = FromNetwork(str(run), inputs=("x",), voxel=9.0, reduce="first", centered=False, device="cpu")
    assert np.array_equal(misled(scene), part(scene)), "what the run says counts"
    assert np.allclose(of_file(run / "round-00" / "last.ckpt")(scene), part(scene), atol=1e-6)


def test_tiles_with_a_wide_halo_change_nothing(file: Path) -> None:
    scene = made_scene()
    assert np.allclose(of_file(file, tile_voxels=200, tile_halo=1000)(scene), of_file(file)(scene), atol=1e-5)


def test_identity_is_about_contents(run: Path, file: Path, tmp_path: Path) -> None:
    first = FromNetwork(str(run))
    shutil.copytree(run, tmp_path / "elsewhere")
    assert hash_of(FromNetwork(str(tmp_path / "elsewhere"), device="cpu").identity) == hash_of(first.identity)
    others = [of_file(file), of_file(file, voxel=0.2), of_file(file, reduce="first"), of_file(file, tile_voxels=None), replace(first, tile_halo=4)]
    assert len({hash_of(one.identity) for one in (first, *others)}) == 1 + len(others)
    torch.save(trained(key=5).state_dict(), tmp_path / "elsewhere" / "round-00" / "last.ckpt")
    assert hash_of(FromNetwork(str(tmp_path / "elsewhere")).identity) != hash_of(first.identity)


def test_errors_name_the_options_of_this_description(run: Path, file: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^net\.descriptions\.network\.run=/nowhere: neither a run's folder"):
        _ = FromNetwork("/nowhere").identity
    with pytest.raises(FileNotFoundError, match=r"^net\.descriptions\.network\.round=3: .* has no weights of this round .* it has round 0"):
        FromNetwork(str(run), round=3).check(made_scene())
    with pytest.raises(ValueError, match=r"has 1 attributes, .* trained with 3 .* net\.descriptions\.network\.attributes=\[\.\.\.\]"):
        FromNetwork(str(run), device="cpu").check(made_scene(attributes=1))
    with pytest.raises(ValueError, match=r"such as net\.descriptions\.network\.attributes=\[red,green,blue\]"):
        of_file(file, inputs=("blue", "green", "red", "x", "y", "z")).check(made_scene())
    with pytest.raises(ValueError, match="does not fit the network"):
        of_file(file, net=partial(MinkUNet, width=0.125)).check(made_scene())
    for options in ({"tile_voxels": 0}, {"tile_halo": -1}, {"device": "tpu"}):
        with pytest.raises(ValueError, match=rf"net\.descriptions\.network\.{next(iter(options))}="):
            of_file(file, **options)
    for missing in ("net", "inputs", "voxel"):
        with pytest.raises(ValueError, match=r"network\.run=.*bare\.pt is a file of weights: .*'net\.descriptions\.network\.net=\{_target_: "):
            of_file(file, **{missing: None})


def test_configuration(run: Path, file: Path) -> None:
    dataset = {"inputs": list(INPUTS), "scale": {"voxel": VOXEL}, "reduce": "mean", "center": True}
    tree = OmegaConf.merge({"dataset": dataset}, OmegaConf.load(CONF / "network.yaml"))
    assert set(tree) == {"dataset", "network"} and OmegaConf.is_missing(tree.network, "run")
    scene = made_scene()
    tree.network.run = str(run)
    made = instantiate(tree, _convert_="all")["network"]
    assert isinstance(made, FromNetwork) and np.allclose(made(scene), of_file(file)(scene), atol=1e-5) and hash(made) == hash(made)
    tree.network.run, tree.network.net = str(file), {"_target_": "al3d.nets.minkunet.MinkUNet", "_partial_": True, "width": 0.0625}
    assert np.allclose(instantiate(tree, _convert_="all")["network"](scene), made(scene), atol=1e-5)
