"""Products by address: what numba calls is what NumPy computes, with every library at hand; the choice is made once and kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numba
import numpy as np
import pytest
import torch

from al3d.compose import multiplying
from al3d.run import RunFolder
from al3d.sparse import blas


@pytest.fixture(autouse=True)
def own_choice() -> Iterator[None]:
    before = list(blas._taken)
    yield
    blas._taken[:] = before


@numba.njit
def both(product: int, setter: int, left, right, grad, out, total) -> int:  # type: ignore[no-untyped-def]
    before = blas.set_threads(setter, np.int32(1))
    blas.multiply(product, left, right, out)
    blas.add_transposed(product, left, grad, total)
    blas.set_threads(setter, before)
    return before


@pytest.mark.parametrize("name", sorted(blas.libraries()))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 3, 7), (300, 96, 64), (0, 4, 4)])
def test_products_are_numpys(name: str, dtype: type, shape: tuple[int, int, int]) -> None:
    rows, inputs, outputs = shape
    random, library = np.random.default_rng(0), blas.libraries()[name]
    left, right, grad, total = (random.normal(size=size).astype(dtype) for size in ((rows, inputs), (inputs, outputs), (rows, outputs), (inputs, outputs)))
    out, expected = np.full((rows, outputs), np.nan, dtype), total + left.T @ grad
    both(library.address(left), library.threads, left, right, grad, out, total)
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(out, left @ right, rtol=tolerance, atol=10 * tolerance)
    np.testing.assert_allclose(total, expected, rtol=tolerance, atol=10 * tolerance)


def test_a_build_with_mkl_is_called_directly() -> None:
    if not torch.backends.mkl.is_available():  # type: ignore[no-untyped-call]
        pytest.skip("this build of torch has no MKL")
    assert {"torch", "scipy"} <= set(blas.libraries())


def test_buffers_lie_on_cache_lines() -> None:
    for columns in (1, 3, 8):
        for like in (np.zeros(1, np.float32), np.zeros(1)):
            made = blas.buffer(7, columns, like)
            assert made.shape == (7, columns) and made.dtype == like.dtype and made.ctypes.data % blas.LINE == 0
    shifted = torch.arange(9.0)[1:].view(2, 4)
    assert blas.aligned(shifted).ctypes.data % blas.LINE == 0 and np.array_equal(blas.aligned(shifted), shifted.numpy())


def test_the_faster_library_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "libraries", lambda: {name: blas.Library(name, 0, 0) for name in ("scipy", "torch")})
    seconds = {"scipy": 1.0, "torch": 1.2}
    monkeypatch.setattr(blas, "_seconds", lambda library: seconds[library.name])
    assert blas.fastest(tmp_path) == "scipy"
    seconds["torch"] = 0.1
    assert blas.fastest(tmp_path) == "scipy", "what was found out once is kept"
    assert blas.fastest(tmp_path / "another") == "torch"
    seconds.update(scipy=1.0, torch=1.01)
    assert blas.fastest(tmp_path / "level") == "torch", "level libraries: the one that others of torch's products use"


def test_the_first_to_write_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "libraries", lambda: {name: blas.Library(name, 0, 0) for name in ("scipy", "torch")})

    def meanwhile(library: blas.Library) -> float:
        monkeypatch.setattr(blas, "_seconds", lambda library: {"scipy": 1.0, "torch": 2.0}[library.name])
        blas.fastest(tmp_path)
        return {"scipy": 2.0, "torch": 1.0}[library.name]

    monkeypatch.setattr(blas, "_seconds", meanwhile)
    assert blas.fastest(tmp_path) == "scipy"
    assert len(list(tmp_path.iterdir())) == 1


def test_nothing_to_write_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    assert blas.fastest(tmp_path / "file" / "folder") in blas.libraries()


def test_a_library_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="multiplies with the library of accelerate"):
        blas.use("accelerate")
    blas.use("scipy")
    assert blas.taken().name == "scipy"


def test_a_run_goes_on_with_the_library_that_it_began_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "fastest", lambda: "torch" if "torch" in blas.libraries() else "scipy")
    folder = RunFolder(tmp_path)
    first = multiplying(folder)
    folder.log_execution({"products": "scipy"})
    assert (first, multiplying(folder), blas.taken().name) == (blas.fastest(), "scipy", "scipy")
