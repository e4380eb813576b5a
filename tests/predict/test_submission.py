"""What the servers of ScanNet and SemanticKITTI want, and the files of scanners. The networks have random weights: only names, ids and order count."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf
from plyfile import PlyData, PlyElement

from al3d.compose import data_source
from al3d.data.sources import scannet, semantic_kitti_labels
from al3d.predict.command import Options, predict
from al3d.predict.scans import FileReader, fields_of
from al3d.predict.trained import load, official_legend
from al3d.rng import generator

ROOT = Path(__file__).resolve().parents[2]
#: semantic-kitti.yaml of the official API, learning_map_inv without its 0: class 1..19 -> the id in a label file.
LEARNING_MAP_INV = (10, 11, 15, 18, 20, 30, 31, 32, 40, 44, 48, 49, 50, 51, 70, 71, 72, 80, 81)


def untrained(folder: Path, *overrides: str) -> Path:
    """A run's folder whose one round has the network's initial weights."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", overrides=["net.width=0.125", *overrides])
    classes = len(data_source(config).classes)
    torch.manual_seed(1)
    module = instantiate(config.learner)(net=instantiate(config.net)(len(config.dataset.inputs), classes), classes=classes, rng=1)
    with torch.no_grad():
        weight = module.net.classifier.weight
        weight.copy_(5 * (torch.randn(weight.shape) - torch.randn(weight.shape).mean(dim=1, keepdim=True)))  # so that more than one class wins somewhere
    (folder / "round-00").mkdir(parents=True)
    torch.save({"state_dict": module.state_dict()}, folder / "round-00" / "last.ckpt")
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(config, resolve=True))
    return folder


def sweep(path: Path, count: int, columns: int = 4) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    points = generator("sweep", path.name, path.parent.parent.name).uniform(-1, 1, (count, columns)).astype(np.float32) * [20, 20, 2, *([1] * (columns - 3))]
    points[:, 3] = abs(points[:, 3])
    points.astype("<f4").tofile(path)
    return points.astype(np.float32)


def npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def kitti(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("kitti")
    for sequence, frames in (("11", 2), ("12", 1)):
        for frame in range(frames):
            sweep(root / "sequences" / sequence / "velodyne" / f"{frame:06d}.bin", 900 + frame)
    return root


@pytest.mark.filterwarnings("ignore:semantic_kitti.*goes without sequences")
def test_a_submission_to_semantic_kitti(kitti: Path, tmp_path: Path) -> None:
    run = untrained(tmp_path / "run", "dataset=semantic_kitti", f"dataset.root={kitti}")
    predict(Options(run, tmp_path / "split", split="test", format="submission"))
    predict(Options(run, tmp_path / "files", scans=str(kitti / "sequences" / "*" / "velodyne" / "*.bin"), format="submission"))
    predict(Options(run, tmp_path / "plain", split="test", format="npz"))
    wanted = {"11": ("000000", "000001"), "12": ("000000",)}
    expected = {f"sequences/{sequence}/predictions/{frame}.label" for sequence, frames in wanted.items() for frame in frames}
    for out in (tmp_path / "split", tmp_path / "files"):
        assert {path.relative_to(out).as_posix() for path in out.rglob("*.label")} == expected
        for sequence, frames in wanted.items():
            for frame in frames:
                written = np.fromfile(out / "sequences" / sequence / "predictions" / f"{frame}.label", "<u4")
                scan = kitti / "sequences" / sequence / "velodyne" / f"{frame}.bin"
                assert len(written) == scan.stat().st_size // 16, "the server counts labels"
                label = npz(tmp_path / "plain" / f"{sequence}_{frame}.npz")["label"]
                assert np.array_equal(written, np.array(LEARNING_MAP_INV)[label]) and len(np.unique(label)) > 1
    with pytest.raises(ValueError, match="needs the official layout sequences/SS/velodyne"):
        sweep(tmp_path / "elsewhere" / "000000.bin", 10)
        predict(Options(run, tmp_path / "o", scans=str(tmp_path / "elsewhere"), format="submission"))


def test_label_files_of_scans_of_a_drive(kitti: Path, tmp_path: Path) -> None:
    run = untrained(tmp_path / "run", "dataset=semantic_kitti", f"dataset.root={kitti}")
    scan = tmp_path / "in" / "scan.bin"
    points = sweep(scan, 500)
    points[[3, 77], [0, 3]] = np.nan
    points.tofile(scan)
    (path,) = predict(Options(run, tmp_path / "out", scans=str(scan)))
    written = np.fromfile(path, "<u4")
    assert path.name == "scan.label" and len(written) == 500 and np.flatnonzero(written == 0).tolist() == [3, 77]
    assert set(written[written > 0].tolist()) <= set(LEARNING_MAP_INV)


def test_official_ids() -> None:
    assert official_legend("semantic_kitti", semantic_kitti_labels.CLASSES).values == LEARNING_MAP_INV
    assert official_legend("scannet", scannet.CLASSES).values == scannet.NYU40_IDS
    assert official_legend(None, scannet.CLASSES) is None


def test_a_submission_to_scannet(tmp_path: Path) -> None:
    folder = tmp_path / "scannet" / "scans_test" / "scene0707_00"
    folder.mkdir(parents=True)
    random = generator("scannet")
    vertices = np.empty(800, [("x", "f4"), ("y", "f4"), ("z", "f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1"), ("alpha", "u1")])
    for name in vertices.dtype.names:
        vertices[name] = random.uniform(0, 3, 800) ** np.repeat([1, 0.1], 400) if name in "xyz" else random.integers(0, 255, 800)
    PlyData([PlyElement.describe(vertices, "vertex")]).write(str(folder / "scene0707_00_vh_clean_2.ply"))
    run = untrained(tmp_path / "run", "dataset=scannet", f"dataset.root={tmp_path / 'scannet'}")
    (path,) = predict(Options(run, tmp_path / "split", split="test", format="submission"))
    (other,) = predict(Options(run, tmp_path / "files", scans=str(folder), format="submission"))
    (plain,) = predict(Options(run, tmp_path / "plain", split="test"))
    lines = path.read_text().splitlines()
    assert path.name == other.name == "scene0707_00.txt" and path.read_text() == other.read_text() and len(lines) == 800
    label = npz(plain)["label"]
    assert np.array_equal([int(line) for line in lines], np.array(scannet.NYU40_IDS)[label]) and len(np.unique(label)) > 1


def test_sweeps_of_nuscenes(tmp_path: Path) -> None:
    path = tmp_path / "n015.pcd.bin"
    points = sweep(path, 300, 5)
    points[:, 3] *= 255
    points.tofile(path)
    assert fields_of(path) == {"intensity"}
    ((xyz, found),) = FileReader(path, ("intensity",)).points(1000)
    assert np.array_equal(xyz, points[:, :3].astype(np.float64)) and np.array_equal(found["intensity"], points[:, 3] / np.float32(255))
    ((_, raw),) = FileReader(path, ("intensity",), raw_intensity=True).points(1000)
    assert np.array_equal(raw["intensity"], points[:, 3])
    run = untrained(tmp_path / "run", "dataset=nuscenes", f"paths.data={tmp_path}")
    assert load(run).frame.sensor and not load(run).raw_intensity and load(run).benchmark is None
    (written,) = predict(Options(run, tmp_path / "out", scans=str(path), format="npz"))
    assert written.name == "n015.npz" and np.array_equal(npz(written)["xyz"], points[:, :3]) and len(npz(written)["label"]) == 300
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match="no multiple of 20"):
        predict(Options(run, tmp_path / "again", scans=str(path), format="npz"))


def test_npz_files_are_plain_archives(kitti: Path, tmp_path: Path) -> None:
    run = untrained(tmp_path / "run", "dataset=semantic_kitti", f"dataset.root={kitti}")
    scan = kitti / "sequences" / "12" / "velodyne" / "000000.bin"
    (path,) = predict(Options(run, tmp_path / "out", scans=str(scan), format="npz", chunk=250, probabilities=True))
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    found, points = npz(path), np.fromfile(scan, "<f4").reshape(-1, 4)
    assert np.array_equal(found["xyz"], points[:, :3]) and np.array_equal(found["intensity"], points[:, 3])
    assert found["prob"].shape == (900, 19) and np.abs(found["prob"].astype(np.float64).sum(axis=1) - 1).max() < 0.01
    assert found["classes"].tolist() == list(semantic_kitti_labels.CLASSES.names) and found["values"].tolist() == [*range(19), 255]
