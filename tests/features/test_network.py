"""Features of networks that were trained before: what they are means of, what they may be made from, and what is refused."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from al3d.acquire.embed import embedding
from al3d.data.batch import Voxeliser
from al3d.data.hashing import hash_of
from al3d.features.network import LEAST, Network
from al3d.features.parts import cut
from al3d.nets.minkunet import MinkUNet
from al3d.nets.spvcnn import SPVCNN
from al3d.rng import generator
from al3d.types import IGNORE, Scene, View

CONF = Path(__file__).resolve().parents[2] / "conf"
RGB = ("red", "green", "blue")
INPUTS = (*RGB, "x", "y", "z")
VOXEL = 0.1
THIN = partial(MinkUNet, width=0.125)


def made_scene(key=0, attributes=3, points=4000):
    draw = generator("network scene", key)
    xyz = draw.random((points, 3)) * [4, 3, 2]
    xyz[np.arange(points), draw.integers(0, 3, points)] = 0
    return Scene(f"scene_{key}", xyz.astype(np.float32), draw.random((points, attributes), dtype=np.float32))


def trained(make=THIN, inputs=6, classes=5, key=0):
    torch.manual_seed(key)
    return make(inputs, classes).eval()


@pytest.fixture
def file(tmp_path):
    """A bare state dict."""
    torch.save(trained().state_dict(), tmp_path / "bare.pt")
    return tmp_path / "bare.pt"


@pytest.fixture
def run(tmp_path):
    """A run's folder with rounds 0 and 2: what a run writes, with a `Segmenter`'s names and a foreign number of classes."""
    folder = tmp_path / "run"
    dataset = {"inputs": list(INPUTS), "scale": {"voxel": VOXEL}, "reduce": "mean", "center": True}
    config = {"net": {"_target_": "al3d.nets.minkunet.MinkUNet", "_partial_": True, "width": 0.125, "dropout": 0.0}, "dataset": dataset, "classes": 9}
    for number in (0, 2):
        (folder / f"round-{number:02d}").mkdir(parents=True)
        state = {f"net.{key}": value for key, value in trained(classes=9, key=number).state_dict().items()}
        torch.save({"state_dict": state | {"confusion.confmat": torch.zeros(9, 9)}, "global_step": 3}, folder / f"round-{number:02d}" / "last.ckpt")
    OmegaConf.save(OmegaConf.create(config), folder / "config.yaml")
    return folder


def of_file(path, **options):
    return Network("network", str(path), **{"net": THIN, "inputs": INPUTS, "voxel": VOXEL, "device": "cpu", **options})


def naive_features(net, scene):
    """The voxels, and the network run on all of them at once."""
    voxels = Voxeliser(VOXEL, INPUTS, RGB, 2)(scene.xyz, scene.feat, np.full(len(scene), IGNORE, np.uint8))
    coord = np.concatenate([np.zeros((len(voxels.coord), 1), np.int32), voxels.coord], axis=1)
    with torch.no_grad():
        return voxels, net(torch.from_numpy(coord), torch.from_numpy(voxels.feat)).feature.numpy()


def test_rows_of_parts_are_means_over_their_voxels(file):
    scene = made_scene()
    voxels, feature = naive_features(trained(), scene)
    part = cut(voxels.coord[:, :2], 32, LEAST)
    expected = np.stack([feature[part == number].mean(axis=0) for number in range(part.max() + 1)])
    rows = of_file(file)(scene)
    assert rows.shape == (32, 12) and rows.dtype == np.float32 and np.allclose(rows, expected, atol=1e-5) and np.ptp(rows, axis=0).max() > 1e-3


def test_rows_of_units_are_what_a_method_would_embed(file):
    """The mean over a unit's points, as `embedding` forms it from a predicted pool."""
    scene = made_scene()
    voxels, feature = naive_features(trained(), scene)
    unit = generator("units").integers(-1, 40, len(scene)).astype(np.int32)
    unit[unit == 39] = 38
    unit[7] = 39
    total = np.bincount(unit[unit >= 0])
    kind, asked = np.zeros(len(total), np.uint8), np.zeros(len(scene), bool)
    view = View(scene=scene, index=0, unit=unit, kind=kind, asked=asked, feature=feature, inverse=voxels.inverse)
    rows = of_file(file).of_units(scene, unit)
    assert np.allclose(rows, embedding(view, "mean", unit >= 0, np.arange(len(total)), total), atol=1e-5)
    assert np.allclose(rows[39], feature[voxels.inverse[7]], atol=1e-5), "a unit of one point"


def test_rows_do_not_depend_on_the_order_of_the_points(file):
    scene = made_scene()
    order = generator("network order").permutation(len(scene))
    mixed = Scene(scene.id, scene.xyz[order], scene.feat[order])
    assert np.allclose(of_file(file)(mixed), of_file(file)(scene), atol=1e-4)


def test_a_run_brings_its_network_and_its_inputs(run, file):
    scene = made_scene()
    rows = Network("network", str(run), device="cpu")(scene)
    assert np.allclose(rows, of_file(file)(scene), atol=1e-5), "the same weights with other classes"
    misled = Network("network", str(run), net=partial(SPVCNN, width=0.5), inputs=("x",), voxel=9.0, reduce="first", centered=False, device="cpu")
    assert np.array_equal(misled(scene), rows), "what the run says counts"
    assert not np.allclose(Network("network", str(run), round=2, device="cpu")(scene), rows, atol=1e-3)


def test_a_checkpoint_and_weights_without_a_classifier_will_do(run, file, tmp_path):
    scene, rows = made_scene(), of_file(file)(made_scene())
    assert np.allclose(of_file(run / "round-00" / "last.ckpt")(scene), rows, atol=1e-5)
    torch.save({key: value for key, value in trained().state_dict().items() if not key.startswith("classifier")}, tmp_path / "headless.pt")
    assert np.allclose(of_file(tmp_path / "headless.pt")(scene), rows, atol=1e-6)


def test_tiles_with_a_wide_halo_change_nothing(file):
    scene = made_scene()
    whole, tiled = of_file(file), of_file(file, tile_voxels=300, tile_halo=1000)
    assert np.allclose(tiled(scene), whole(scene), atol=1e-5)
    narrow = of_file(file, tile_voxels=300, tile_halo=8)(scene)
    assert narrow.shape == (32, 12) and not np.array_equal(narrow, whole(scene))
    assert np.corrcoef(narrow.ravel(), whole(scene).ravel())[0, 1] > 0.9
    assert hash_of(tiled.identity) != hash_of(whole.identity)


def test_tiles_bound_how_many_voxels_the_network_sees(file):
    scene = made_scene(points=8000)
    network = of_file(file, tile_voxels=400, tile_halo=2)
    seen = []
    network._loaded.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    network(scene)
    voxels = len(naive_features(trained(), scene)[0].coord)
    assert len(seen) >= voxels / 400 and max(seen) < 1.9 * 400 < voxels < sum(seen)


def test_identity_is_about_contents(run, file, tmp_path):
    first = Network("network", str(run))
    shutil.copytree(run, tmp_path / "elsewhere")
    assert hash_of(Network("another name", str(tmp_path / "elsewhere"), center=True, device="cpu").identity) == hash_of(first.identity)
    others = [Network("network", str(run), round=2), Network("network", str(run), parts=8), of_file(file), of_file(file, net=partial(MinkUNet, width=0.25))]
    others += [of_file(file, voxel=0.2), of_file(file, reduce="first"), of_file(file, centered=False)]
    assert len({hash_of(one.identity) for one in (first, *others)}) == 1 + len(others)
    torch.save(trained(key=5).state_dict(), tmp_path / "elsewhere" / "round-00" / "last.ckpt")
    assert hash_of(Network("network", str(tmp_path / "elsewhere")).identity) != hash_of(first.identity)
    assert not first.parallel and first.of is None


def test_what_is_missing_is_named(run, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"features\.run=/nowhere: neither a run's folder \(with config\.yaml\) nor a file of weights"):
        _ = Network("network", "/nowhere").identity
    with pytest.raises(FileNotFoundError, match=r"features\.round=1: .* has no weights of this round \(last\.ckpt\); it has round 0, 2"):
        Network("network", str(run), round=1).check(made_scene())
    shutil.rmtree(run / "round-00")
    shutil.rmtree(run / "round-02")
    with pytest.raises(FileNotFoundError, match="it has none yet: let it train first"):
        Network("network", str(run)).check(made_scene())


def test_a_scene_with_other_attributes_is_refused(run):
    network = Network("network", str(run), device="cpu")
    network.check(made_scene())
    with pytest.raises(
        ValueError, match=r"scene 'scene_0' has 1 attributes, the network of .* was trained with 3 \(red, green, blue\): take a run on such data"
    ):
        network.check(made_scene(attributes=1))
    with pytest.raises(ValueError, match=r"scene 'scene_0' has 4 attributes"):
        network.check(made_scene(attributes=4))
    replace(network, attributes=("intensity", *RGB)).check(made_scene(attributes=4))


def test_named_columns_are_fed_by_their_names(file):
    scene = made_scene()
    swapped = Scene(scene.id, scene.xyz, np.ascontiguousarray(scene.feat[:, ::-1]))
    assert np.array_equal(of_file(file, attributes=("blue", "green", "red"))(swapped), of_file(file)(scene))
    with pytest.raises(ValueError, match=r"does not say in which order the scenes have their attributes: name all of their columns"):
        of_file(file, inputs=("blue", "green", "red", "x", "y", "z")).check(scene)


def test_weights_that_do_not_fit_are_refused(file, tmp_path):
    with pytest.raises(ValueError, match=r"bare\.pt does not fit the network .*MinkUNet.* with 4 inputs \(red, x, y, z\): stem\.0\..* has .* instead of"):
        of_file(file, inputs=("red", "x", "y", "z"), attributes=RGB).check(made_scene())
    with pytest.raises(ValueError, match="does not fit the network"):
        of_file(file, net=partial(MinkUNet, width=0.25)).check(made_scene())
    with pytest.raises(ValueError, match="is in one of them alone"):
        of_file(file, net=partial(SPVCNN, width=0.125)).check(made_scene())
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(ValueError, match=r"text\.pt is not a file of weights"):
        of_file(tmp_path / "text.pt").check(made_scene())
    torch.save({"epoch": 3}, tmp_path / "empty.pt")
    with pytest.raises(ValueError, match=r"empty\.pt holds no state dict"):
        of_file(tmp_path / "empty.pt").check(made_scene())


def test_wrong_options_are_refused(file, run):
    for options in ({"parts": 0}, {"tile_voxels": 0}, {"tile_halo": -1}):
        with pytest.raises(ValueError, match=rf"features\.{next(iter(options))}"):
            of_file(file, **options)
    with pytest.raises(ValueError, match=r"features\.device='tpu' is not one of auto, cpu, cuda"):
        of_file(file, device="tpu")
    with pytest.raises(ValueError, match="is a file of weights: say which network it is for"):
        Network("network", str(file)).check(made_scene())
    (run / "config.yaml").write_text("name: something else\n")
    with pytest.raises(ValueError, match="config.yaml: is damaged, not the configuration of a run"):
        Network("network", str(run)).check(made_scene())


@pytest.mark.parametrize("net", ["minkunet", "spvcnn"])
def test_configuration(net, tmp_path):
    torch.save(trained(partial({"minkunet": MinkUNet, "spvcnn": SPVCNN}[net], width=0.125)).state_dict(), tmp_path / "net.pt")
    options = [
        "features=network",
        f"features.run={tmp_path / 'net.pt'}",
        "seed=kcenter",
        "dataset=rooms",
        f"net={net}",
        "net.width=0.125",
        "features.device=cpu",
    ]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        made = instantiate(compose("train", overrides=options).seed, _convert_="all").features
    assert isinstance(made, Network) and made.name == "network" and made.center and made.inputs == INPUTS and made.voxel == 0.05
    made.check(made_scene())
    rows = made(made_scene())
    assert len(rows) == 32 and np.isfinite(rows).all() and hash(made) == hash(made)
