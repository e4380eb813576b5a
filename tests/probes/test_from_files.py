"""Descriptions out of other programs' files: which rows they are, what is refused, and what tells two folders apart."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from al3d.data.hashing import hash_of
from al3d.data.jobs import Jobs, Light
from al3d.data.store import Store
from al3d.data.voxelise import voxelise
from al3d.probes import from_files
from al3d.probes.description import Description, Kept
from al3d.probes.from_files import FromFiles
from al3d.rng import generator
from al3d.types import F32, Array, Scene

CONF = Path(__file__).resolve().parents[2] / "conf"


def scene(name: str = "one", points: int = 50) -> Scene:
    xyz = generator("file scene", name).random((points, 3), dtype=np.float32)
    return Scene(name, xyz, np.zeros((points, 1), np.float32))


def rows_of(name: str, points: int = 50, columns: int = 6) -> F32:
    return generator("file rows", name).standard_normal((points, columns), dtype=np.float32)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "rows"
    folder.mkdir()
    for name in ("one", "two"):
        np.save(folder / f"{name}.npy", rows_of(name))
    return folder


def test_rows_are_those_of_the_scene_in_its_order(root: Path) -> None:
    part: Description = FromFiles(root)
    part.check(scene())
    rows = part(scene())
    assert rows.dtype == np.float32 and np.array_equal(rows, rows_of("one")) and np.array_equal(part(scene("two")), rows_of("two"))
    np.save(root / "one.npy", rows_of("one").astype(np.float16))
    half = FromFiles(root)(scene())
    assert half.dtype == np.float32 and np.array_equal(half, rows_of("one").astype(np.float16).astype(np.float32))
    assert part.points and part.parallel and not part.anywhere and part.name == "file"


def test_a_prepared_data_set_keeps_their_means(tiny_store: Store, tmp_path: Path) -> None:
    """Through the store, as a probe reads them."""
    for name, points in tiny_store.sizes.items():
        np.save(tmp_path / f"{name}.npy", rows_of(name, points, 3).astype(np.float16))
    kept = Kept(tiny_store, (FromFiles(tmp_path),), 0.1)
    kept.prepare(Jobs())
    _, inverse = voxelise(np.asarray(tiny_store.scene("t_1").xyz), 0.1)
    given = rows_of("t_1", tiny_store.sizes["t_1"], 3)
    expected = np.stack([given[inverse == voxel].mean(axis=0) for voxel in range(inverse.max() + 1)])
    assert np.allclose(kept.rows("t_1"), expected, atol=5e-3)
    (tmp_path / "t_2.npy").unlink()
    np.save(tmp_path / "v_1.npy", rows_of("short", 7, 3))
    with pytest.raises(ValueError, match=r"(?s)file features cannot describe 2 of 8 scenes of tiny:.*'t_2' has no .*t_2\.npy.*v_1\.npy has 7 rows"):
        Kept(tiny_store, (FromFiles(tmp_path),), 0.1).prepare(Jobs())


def broken_by(change: Callable[[F32], Array], message: str) -> object:
    return pytest.param(change, message, id=message[:20])


def with_value(value: float) -> Callable[[F32], Array]:
    def change(rows: F32) -> F32:
        rows[31, 2] = value
        return rows

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        broken_by(lambda rows: rows[:-3], r"two\.npy has 47 rows, but scene 'two' has 50 points: .* with dataset\.grid those are the subsampled points"),
        broken_by(lambda rows: rows[:, :4], r"two\.npy has 4 columns, one\.npy has 6: write every scene with the same model"),
        broken_by(lambda rows: rows[:, 0], r"two\.npy is float32 \[50\]: write float16 or float32 \[points, columns\]"),
        broken_by(lambda rows: rows[:, :0], r"two\.npy is float32 \[50, 0\]: write"),
        broken_by(lambda rows: rows.astype(np.float64), r"two\.npy is float64 \[50, 6\]: write"),
        broken_by(lambda rows: rows.astype(np.int32), r"two\.npy is int32 \[50, 6\]: write"),
        broken_by(lambda rows: rows.astype(object), r"two\.npy is not a whole array file .*: write it with numpy\.save"),
        broken_by(with_value(np.nan), r"two\.npy: row 31 holds nan: write finite numbers alone"),
        broken_by(with_value(-np.inf), r"two\.npy: row 31 holds -inf: write finite"),
    ],
)
def test_says_what_is_wrong_with_a_file(root: Path, change: Callable[[F32], Array], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(from_files, "BLOCK", 60)
    FromFiles(root).check(scene("two"))
    np.save(root / "two.npy", change(rows_of("two")))
    with pytest.raises(ValueError, match=message):
        FromFiles(root).check(scene("two"))
    FromFiles(root).check(scene("one"))


def test_says_what_is_missing(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"scene 'three' has no .*rows/three\.npy \(there are 2 \.npy files\): write one for every scene"):
        FromFiles(root).check(scene("three"))
    (root / "one.npy").write_bytes((root / "one.npy").read_bytes()[:300])
    with pytest.raises(ValueError, match=r"one\.npy is not a whole array file"):
        FromFiles(root).check(scene("one"))
    (root / "one.npy").write_bytes(b"")
    with pytest.raises(ValueError, match=r"one\.npy is not a whole array file"):
        FromFiles(root).check(scene("one"))
    for folder, there in ((root / "nowhere", "is not a folder"), (root.parent / "empty", "holds no .npy files")):
        (root.parent / "empty").mkdir(exist_ok=True)
        with pytest.raises(FileNotFoundError, match=rf"^net\.descriptions\.file\.root={folder} {there}: name the folder"):
            _ = FromFiles(folder).identity


def test_no_code_is_run_from_a_file(root: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
            return Path.touch, (root / "sprung",)

    (root / "one.npy").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match=r"one\.npy is not a whole array file"):
        FromFiles(root).check(scene("one"))
    assert not (root / "sprung").exists()


def test_identity_is_about_contents_and_not_places(root: Path, tmp_path: Path) -> None:
    first = hash_of(FromFiles(root).identity)
    shutil.copytree(root, tmp_path / "elsewhere")
    assert hash_of(FromFiles(tmp_path / "elsewhere").identity) == first
    (root / "notes.txt").write_text("no array")
    assert hash_of(FromFiles(root).identity) == first
    changed = rows_of("two")
    changed[7, 3] += 1
    np.save(tmp_path / "elsewhere" / "two.npy", changed)
    other = hash_of(FromFiles(tmp_path / "elsewhere").identity)
    (root / "two.npy").rename(root / "three.npy")
    assert len({first, other, hash_of(FromFiles(root).identity)}) == 3


def test_files_are_read_once_also_for_other_processes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = FromFiles(root)
    identity = part.identity
    part.check(scene())
    monkeypatch.setattr(from_files, "_digest", lambda path: pytest.fail(f"{path} is read again"))
    assert part.identity == identity
    travelled = pickle.loads(pickle.dumps(Light(part))).value
    assert travelled.identity == identity and travelled == part and hash(travelled) == hash(part)
    assert np.array_equal(travelled(scene()), rows_of("one"))


def test_configuration(root: Path) -> None:
    tree = OmegaConf.load(CONF / "description" / "file.yaml")
    assert list(tree) == ["file"] and OmegaConf.is_missing(tree.file, "root")
    tree.file.root = str(root)
    made = instantiate(tree, _convert_="all")["file"]
    assert made == FromFiles(root) and made.root.is_absolute()


def test_every_description_has_one_key_its_own_name_and_says_what_it_is() -> None:
    files = sorted((CONF / "description").glob("*.yaml"))
    assert {"geometric", "dino", "dinov2", "network", "file"} <= {path.stem for path in files}
    for path in files:
        assert list(OmegaConf.load(path)) == [path.stem] and path.read_text().startswith("# ")
