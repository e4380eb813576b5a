"""Damaged files of a run and of its data set are named with their way out; what was written before there were checksums is read."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from al3d.commands.verify import command
from al3d.data.store import Store
from al3d.data.verify import damages_of_run, damages_of_store
from al3d.data.whole import mapped, save

DAMAGES = {
    "second half missing": lambda whole: whole[: len(whole) // 2],
    "middle eighth flipped": lambda whole: flipped(whole, len(whole) * 7 // 16, len(whole) * 9 // 16),
    "last nine bytes flipped": lambda whole: flipped(whole, len(whole) - 9, len(whole)),
    "empty": lambda whole: b"",
}


def flipped(whole: bytes, start: int, end: int) -> bytes:
    return whole[:start] + bytes(byte ^ 255 for byte in whole[start:end]) + whole[end:]


@pytest.fixture(scope="module")
def copies(tiny_study, tmp_path_factory) -> tuple[Path, Store]:
    folder = tmp_path_factory.mktemp("verify")
    shutil.copytree(tiny_study.folder.path, folder / "run")
    np.savez(folder / "run" / "round-00" / "rows.npz", mean=np.arange(100.0))  # as harvests are written
    shutil.copytree(tiny_study.store.path, folder / "data" / "store")
    return folder / "run", Store(folder / "data" / "store")


def test_a_whole_run_has_no_damage_and_a_damaged_one_ends_with_1(copies):
    run, store = copies
    words = [str(run), "--data", str(store.path.parent)]
    assert "nothing damaged" in CliRunner().invoke(command, words).output
    file = run / "labels-01" / "payload.npy"
    whole = file.read_bytes()
    file.write_bytes(whole[:-30])
    said = CliRunner().invoke(command, words)
    file.write_bytes(whole)
    assert said.exit_code == 1 and "labels-01/payload.npy: not a whole array file" in said.output and "buys them again" in said.output


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    "name",
    [
        *("store:scenes/t_1/xyz.npy", "store:scenes/t_1/feat.npy", "store:truth/t_1.npy", "store:unit/*/t_1.npy", "store:scenes/t_1/meta.json"),
        *("run:labels-00/payload.npy", "run:labels-00/purchase.json", "run:round-00/last.ckpt", "run:round-00/rows.npz"),
        *("run:round-00/metrics.json", "run:identity.json"),
    ],
)
def test_every_kind_of_damaged_file_is_named(name, damage, copies):
    run, store = copies
    place, pattern = name.split(":")
    (file,) = (run if place == "run" else store.path).glob(pattern)
    whole = file.read_bytes()
    file.write_bytes(DAMAGES[damage](whole))
    try:
        found = list(damages_of_run(run) if place == "run" else damages_of_store(store))
    finally:
        file.write_bytes(whole)
    assert any(str(file) in line and any(way in line for way in ("run al3d prepare", "again")) for line in found)


@pytest.mark.parametrize("name", ["scenes/t_2/feat.npy", "truth/t_2.npy"])
def test_a_missing_file_and_one_from_before_checksums(name, copies):
    _, store = copies
    file = store.path / name
    whole, values = file.read_bytes(), np.array(mapped(file))
    file.unlink()
    assert any(str(file) in line and "missing" in line for line in damages_of_store(store))
    np.save(file, values)  # as it was written before
    assert not list(damages_of_store(store))
    values.flat[0] = values.flat[0] + 1
    np.save(file, values)
    assert any("are not what was prepared" in line for line in damages_of_store(store))
    file.write_bytes(whole)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (5, 3), ()])
def test_numpy_reads_what_was_saved_with_a_checksum(shape, tmp_path):
    values = np.full(shape, 7, np.float32)
    save(tmp_path / "a.npy", values)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), values)
    np.testing.assert_array_equal(mapped(tmp_path / "a.npy"), values)
