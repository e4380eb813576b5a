"""A probe as a network: what it is fed, what comes out, what is kept; averages over near voxels; which labelled voxels are gathered."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from al3d.data.jobs import Jobs
from al3d.data.prepare import prepare
from al3d.data.sources.folder import Folder
from al3d.features.kept import check_features
from al3d.probes.description import Kept, described
from al3d.probes.fit import MOST, RARE, Fitted, chances, gathered
from al3d.probes.forest import Forest
from al3d.probes.geometric import Geometric
from al3d.probes.net import Describing, Probe
from al3d.probes.smooth import Smooth, over_regions
from al3d.rng import generator
from al3d.types import IGNORE

COLOURS = ("red", "green", "blue")


def probe(**more):
    return Probe(6, 3, {"geometric": Geometric(0.05, COLOURS)}, Forest(trees=5), **more)


def fitted(smooth=None):
    random = generator("probe", 1)
    label = random.integers(0, 3, 300)
    rows = (random.normal(size=(300, 4)) + 5 * label[:, None]).astype(np.float32) * np.array([1, 1000, 0.01, 0], np.float32)
    made = probe(smooth=smooth)
    made.standardise(rows.mean(axis=0, dtype=np.float64), np.where(rows.std(axis=0) > 0, rows.std(axis=0), 1).astype(np.float64))
    loss = made.fit(rows, label, ("t",))
    assert 0 <= loss < 0.2
    return made, rows, label


def lattice(count):
    coord = np.zeros((count, 4), np.int32)
    coord[:, 1] = np.arange(count) * 10
    return torch.from_numpy(coord)


def test_it_has_the_output_of_a_network():
    made, rows, label = fitted(Smooth("none"))
    output = made(lattice(300), torch.from_numpy(rows))
    assert isinstance(made, Fitted) and output.logits.shape == (300, 3)
    torch.testing.assert_close(output.logits.exp().sum(dim=1), torch.ones(300))
    assert (output.logits.argmax(dim=1).numpy() == label).mean() > 0.95
    feature = output.feature.numpy()
    assert np.abs(feature.mean(axis=0)).max() < 1e-3 and np.abs(feature[:, :3].std(axis=0) - 1).max() < 1e-3 and not feature[:, 3].any()


def test_what_it_learned_survives_a_file(tmp_path):
    made, rows, _ = fitted()
    torch.save({"state_dict": made.state_dict()}, tmp_path / "last.ckpt")
    other = probe()
    other.load_state_dict(torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"])
    coord, feat = lattice(300), torch.from_numpy(rows)
    assert torch.equal(other(coord, feat).logits, made(coord, feat).logits)


def test_misuse_is_named():
    made, rows, _ = fitted()
    with pytest.raises(ValueError, match="made for 4 columns and got 3"):
        made(lattice(300), torch.from_numpy(rows[:, :3].copy()))
    with pytest.raises(ValueError, match="learned nothing yet"):
        probe()(lattice(3), torch.zeros(3, 4))
    with pytest.raises(ValueError, match="descriptions is empty"):
        Probe(6, 3, {}, Forest())


class Elsewhere(Geometric):
    anywhere = False


def test_a_scan_must_bring_what_is_described():
    made, *_ = fitted()
    with pytest.raises(ValueError, match="looks at geometric, which a scan does not bring"):
        Describing(made, [Elsewhere(0.05, COLOURS)], (*COLOURS, "x", "y", "z"))
    with pytest.raises(ValueError, match="x, y and z are missing"):
        Describing(made, made.descriptions, (*COLOURS, "z"))


@given(st.integers(1, 60), st.integers(1, 8), st.integers(1, 2), st.integers(0, 5))
def test_averages_over_neighbours_equal_the_naive_twin(count, neighbours, times, key):
    random = generator("smooth", key)
    coord = np.unique(random.integers(0, 6, (count, 3)), axis=0).astype(np.int32)
    prob = random.dirichlet(np.ones(3), len(coord)).astype(np.float32)
    wanted = prob
    squared = ((coord[:, None] - coord[None]) ** 2).sum(axis=2)
    for _ in range(times):
        near = np.stack([sorted(range(len(coord)), key=lambda j, i=i: (i != j, squared[i, j], j))[:neighbours] for i in range(len(coord))])
        wanted = wanted[near].mean(axis=1)
    np.testing.assert_allclose(Smooth(neighbours=neighbours, times=times)(prob, coord), wanted, atol=1e-6)


def test_scenes_of_a_batch_do_not_mix():
    made, rows, _ = fitted(Smooth(neighbours=3))
    coord = torch.from_numpy(np.stack([np.arange(300) // 150, np.arange(300) % 150, np.zeros(300), np.zeros(300)], axis=1).astype(np.int32))
    both = made(coord, torch.from_numpy(rows)).logits
    first = made(coord[:150], torch.from_numpy(rows[:150])).logits
    assert torch.equal(both[:150], first)


def test_averages_over_regions():
    prob = np.array([[1, 0], [0, 1], [0.5, 0.5], [0.2, 0.8]], np.float32)
    np.testing.assert_allclose(over_regions(prob, np.array([1, 1, 0, 2], np.int32)), [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [0.2, 0.8]])
    coord = np.array([(x, y, 0) for x in range(12) for y in range(12)], np.int32)
    random = generator("regions", 0).dirichlet(np.ones(2), len(coord)).astype(np.float32)
    smooth = Smooth("supervoxels", seed=4.0)(random, coord)
    np.testing.assert_allclose(smooth.sum(axis=1), 1, atol=1e-5)
    assert smooth.std() < random.std()
    assert np.array_equal(Smooth("none")(random, coord), random)


@pytest.mark.parametrize("options", [{"over": "all"}, {"neighbours": 0}, {"times": 0}, {"seed": 1.0}])
def test_wrong_averages_are_named(options):
    with pytest.raises(ValueError, match=f"net.smooth.{next(iter(options))}"):
        Smooth(**options)


def test_few_labels_are_all_kept_and_of_many_rare_classes_are_not_lost():
    assert chances(np.array([[5, 3], [2, 0]]), 100).tolist() == [1, 1]
    assert chances(np.array([[10**6, 10]]), None).tolist() == [1, 1]
    chance = chances(np.array([[10**6, 10, 1000, 0]]), 1000)
    np.testing.assert_allclose(chance, [1000 / 1001010, 1, RARE / 1000, 1])
    assert MOST >= 100_000


def test_gathered_rows_are_those_of_the_labels():
    labels = {"a": np.array([0, IGNORE, 1]), "b": np.array([IGNORE]), "c": np.array([2, 2])}
    rows = {name: np.arange(len(label), dtype=np.float32)[:, None] + ord(name) for name, label in labels.items()}
    found, classes = gathered(labels, labels.__getitem__, rows.__getitem__, np.ones(3), ("k",))
    assert classes.tolist() == [0, 1, 2, 2] and found[:, 0].tolist() == [97, 99, 99, 100]
    thinned, _ = gathered(["c"] * 200, labels.__getitem__, rows.__getitem__, np.array([1, 1, 0.5]), ("k",))
    assert len(thinned) in (0, 200, 400), "drawn by the scene's name, so the same for the same scene"
    with pytest.raises(ValueError, match="no labelled voxel"):
        gathered(["b"], labels.__getitem__, rows.__getitem__, np.ones(3), ("k",))


def test_descriptions_are_kept_resumed_and_described_alike(tiny_root, tmp_path):
    store = prepare(Folder(tiny_root), tmp_path)
    kept = Kept(store, (Geometric(0.1, COLOURS),), 0.1)
    kept.prepare(Jobs())
    name = store.splits["val"][0]
    written = kept.file(kept.parts[0], name).stat().st_mtime_ns
    np.testing.assert_array_equal(kept.rows(name), described(kept.parts, store.scene(name), 0.1))
    kept.file(kept.parts[0], store.splits["train"][0]).unlink()
    kept.prepare(Jobs())
    assert kept.file(kept.parts[0], name).stat().st_mtime_ns == written and kept.rows(store.splits["train"][0]).shape[1] == len(kept.parts[0].columns)
    assert Kept(store, (Geometric(0.1, COLOURS, scales=(1.0,)),), 0.1).file(Geometric(0.1, COLOURS, scales=(1.0,)), name) != kept.file(kept.parts[0], name)
    joined = Kept(store, kept.parts * 2, 0.1)
    assert joined.rows(name).shape[1] == 2 * kept.rows(name).shape[1]


def test_scenes_that_cannot_be_described_are_listed(tiny_store):
    with pytest.raises(ValueError, match=r"geometric features cannot describe 2 of 2 scenes of tiny:\n  scene 't_1' has 3 attributes"):
        check_features(tiny_store, Geometric(0.1, ("intensity",)), ["t_1", "t_2"])
