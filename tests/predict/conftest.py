"""A tiny run that is trained once, and its data set's scenes as files of every kind."""

from __future__ import annotations

from pathlib import Path

import laspy
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from plyfile import PlyData, PlyElement

from al3d.compose import study_of
from al3d.rounds import Study, run

ROOT = Path(__file__).resolve().parents[2]
SMALL = (
    *("experiment=osd", "acquire=random", "net.width=0.125", "rounds.n=2", "rounds.initial=2", "rounds.step=10", "rounds.steps=12", "rounds.batch=2"),
    *("rounds.checkpoint_every=6", "trainer.workers=0", "prepare.workers=1"),
)


def trained(root: Path, folder: Path, *more: str) -> Study:
    """A small run on the folder `root`, trained to its end."""
    overrides = [*SMALL, f"dataset.root={root}", f"paths.data={folder / 'data'}", f"paths.outputs={folder / 'outputs'}", *more]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        study = study_of(compose("train", overrides=overrides))
    run(study)
    return study


@pytest.fixture(scope="session")
def tiny_study(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    return trained(tiny_root, tmp_path_factory.mktemp("tiny_run"))


@pytest.fixture(scope="session")
def tiny_run(tiny_study: Study) -> Path:
    return tiny_study.folder.path


@pytest.fixture(scope="session")
def grid_run(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that sees points thinned to a grid, and the first of a voxel's points."""
    return trained(tiny_root, tmp_path_factory.mktemp("grid_run"), "dataset.grid=0.03", "dataset.reduce=first", "rounds.n=1").folder.path


def vertices(root: Path, name: str) -> np.ndarray:
    return PlyData.read(str(root / "scenes" / f"{name}.ply"))["vertex"].data


@pytest.fixture(scope="session")
def kinds(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The scene v_1 as a file of every kind that has colours; none of them has its labels."""
    folder, data = tmp_path_factory.mktemp("kinds"), vertices(tiny_root, "v_1")
    xyz = np.stack([data[axis] for axis in "xyz"], axis=1).astype(np.float64)
    rgb = np.stack([data[name] for name in ("red", "green", "blue")], axis=1)
    fields = {name: data[name] for name in ("x", "y", "z", "red", "green", "blue")}
    files = {
        "npz": folder / "a.npz",
        "ascii": folder / "b.ply",
        "big": folder / "c.ply",
        "pcd": folder / "d.pcd",
        "las": folder / "e.las",
        "laz": folder / "f.laz",
    }
    np.savez(files["npz"], xyz=xyz, rgb=rgb)
    table = np.empty(len(data), [(name, values.dtype.str) for name, values in fields.items()])
    for name, values in fields.items():
        table[name] = values
    PlyData([PlyElement.describe(table, "vertex")], text=True).write(str(files["ascii"]))
    mesh = np.array([([0, 1, 2],), ([2, 1, 3],)], dtype=[("vertex_indices", "i4", (3,))])
    described = PlyElement.describe(mesh, "face", len_types={"vertex_indices": "u1"})
    PlyData([PlyElement.describe(table, "vertex"), described], byte_order=">", comments=["a mesh"]).write(str(files["big"]))
    rows = np.empty(len(data), [("x", "<f8"), ("y", "<f8"), ("z", "<f8"), ("r", "u1"), ("g", "u1"), ("b", "u1")])
    for place, name in enumerate(("x", "y", "z", "r", "g", "b")):
        rows[name] = (xyz, rgb)[place // 3][:, place % 3]
    counts = f"WIDTH {len(data)}\nHEIGHT 1\nPOINTS {len(data)}"
    head = f"VERSION 0.7\nFIELDS x y z red green blue\nSIZE 8 8 8 1 1 1\nTYPE F F F U U U\nCOUNT 1 1 1 1 1 1\n{counts}\nDATA binary\n"
    files["pcd"].write_bytes(head.encode() + rows.tobytes())
    for kind in ("las", "laz"):
        header = laspy.LasHeader(point_format=7, version="1.4")
        header.scales, header.offsets = np.full(3, 1e-7), np.zeros(3)
        header.system_identifier = "a scanner"
        header.vlrs.append(laspy.VLR("al3d", 7, "kept", b"some bytes"))
        las = laspy.LasData(header)
        las.x, las.y, las.z = xyz.T
        las.red, las.green, las.blue = (rgb.astype(np.uint16) << 8).T
        las.gps_time = np.arange(len(xyz)) * 0.5
        las.write(files[kind])
    return files
