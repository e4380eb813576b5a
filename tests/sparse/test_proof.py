"""What an engine must pass before a GPU's numbers are taken; a CPU stands in for the GPU, and engines are made wrong."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from al3d.compose import convolving, going_on
from al3d.run import RunFolder, remarks
from al3d.sparse import Geometry, convolve, engine, linear, loop, proof
from al3d.sparse.backend import Own

CPU = torch.device("cpu")


@dataclass
class Changed:
    """The loop, with something done to its results; how often it was asked is counted."""

    change: Any
    gradient: int | None = None
    asked: int = 0
    DTYPES = (torch.float32, torch.bfloat16)

    def usable(self, device: torch.device) -> bool:
        return True

    def products(self, *inputs: Any) -> Tensor:
        self.asked += 1
        result = loop.products(*inputs)
        return self.change(result) if self.gradient is None else result

    def gradients(self, *inputs: Any) -> tuple[Tensor | None, ...]:
        found = loop.gradients(*inputs)
        return tuple(self.change(one) if place == self.gradient else one for place, one in enumerate(found))


def shifted(values: Tensor) -> Tensor:
    return values.roll(1, 0)


def one_is_nan(values: Tensor) -> Tensor:
    return values.index_fill(0, torch.tensor([len(values) - 1]), torch.nan)


def raising(values: Tensor) -> Tensor:
    raise RuntimeError("PTX was compiled with an unsupported toolchain")


def right(values: Tensor) -> Tensor:
    return values


@pytest.fixture(autouse=True)
def as_on_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(proof, "concerns", lambda device: True)
    monkeypatch.setattr(proof, "_found", {})
    monkeypatch.setattr(proof, "_warned", set())
    yield
    engine.use("auto")


@pytest.fixture
def triton(monkeypatch: pytest.MonkeyPatch) -> Changed:
    made = Changed(right)
    monkeypatch.setattr(engine, "_triton", lambda: made)
    return made


@pytest.mark.parametrize("gradient", [None, 0, 1])
@pytest.mark.parametrize(
    ("change", "words"), [(shifted, "wrong in float32: off by"), (one_is_nan, "off by nan"), (raising, "fails with RuntimeError: PTX was")]
)
def test_another_engine_is_taken_with_one_warning(triton: Changed, change: Any, words: str, gradient: int | None) -> None:
    triton.change, triton.gradient = change, gradient
    with pytest.warns(UserWarning, match=rf"the triton engine .*{words}.*GPU cpu, driver .*, torch 2.*Triton.*grouped is tried") as given:
        assert engine.engine_name("auto", CPU, torch.float32) == engine.engine_name("auto", CPU, torch.float32) == "grouped"
    assert len(given) == 1
    with pytest.raises(ValueError, match=r"the triton engine .*GPU cpu.*set sparse.engine=auto"):
        engine.engine_for("triton", CPU, torch.float32)


def test_the_loop_is_the_last_resort(triton: Changed, monkeypatch: pytest.MonkeyPatch) -> None:
    triton.change = raising
    monkeypatch.setattr(engine, "grouped", Changed(shifted))
    with pytest.warns(UserWarning) as given:
        assert engine.engine_name("auto", CPU, torch.float32) == "loop"
    assert [str(one.message).rpartition("; ")[2] for one in given] == ["grouped is tried in its place", "loop is tried in its place"]
    geometry = Geometry(torch.tensor([[0, 0, 0, 0], [0, 0, 0, 1]]))
    feat, kernel = torch.ones(2, 3), torch.ones(27, 3, 4)
    assert torch.equal(convolve(feat, kernel, geometry.neighbors(1)), torch.full((2, 4), 6.0))
    assert torch.equal(linear(feat, kernel[0]), torch.full((2, 4), 3.0))


def test_what_was_found_out_is_kept(triton: Changed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for change, name in ((right, "triton"), (raising, "grouped")):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        triton.change = change
        for start in range(2):
            proof._found.clear()
            proof._warned.clear()
            asked = triton.asked
            with warnings.catch_warnings(record=True) as given:
                warnings.simplefilter("always")
                assert engine.engine_name("auto", CPU, torch.float32) == name
            assert (triton.asked > asked) == (start == 0)
            assert len(given) == (name == "grouped"), "each start says that it takes another engine"
    proof._found.clear()
    monkeypatch.setattr(proof, "place", lambda device: {"GPU": "another"})
    triton.change = right
    assert engine.engine_name("auto", CPU, torch.float32) == "triton", "another GPU or driver is asked anew"


def test_nothing_to_write_to_and_no_memory(triton: Changed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="cannot be written"):
        assert proof.fault("triton", triton, CPU, torch.float32, tmp_path / "file" / "folder") is None
    proof._found.clear()

    def full(_: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("no room")

    triton.change = full
    with pytest.raises(torch.OutOfMemoryError):
        engine.engine_name("auto", CPU, torch.float32)
    assert not list(tmp_path.rglob("convolution-*")), "a full GPU says nothing about the engine"


def test_a_gpu_that_no_longer_answers_ends_the_process_and_is_remembered(triton: Changed, monkeypatch: pytest.MonkeyPatch) -> None:
    triton.change = raising
    monkeypatch.setattr(proof, "_answers", lambda device: False)
    with pytest.raises(ValueError, match="no longer answers: run the same command again"):
        engine.engine_name("auto", CPU, torch.float32)
    monkeypatch.setattr(proof, "_answers", lambda device: True)
    proof._found.clear()
    with pytest.warns(UserWarning, match="grouped is tried"):
        assert engine.engine_name("auto", CPU, torch.float32) == "grouped"


@pytest.mark.parametrize("dtype", proof.TOLERANCE)
def test_right_engines_pass(dtype: torch.dtype) -> None:
    assert proof.computed_fault(loop, CPU, dtype) is None
    assert proof.computed_fault(engine.grouped, CPU, dtype) is None


def test_a_run_goes_on_with_the_engine_that_it_began_with(triton: Changed, tmp_path: Path) -> None:
    folder, net = RunFolder(tmp_path / "run"), SimpleNamespace(backend=Own())
    triton.change = raising
    with pytest.warns(UserWarning, match="triton"):
        folder.log_execution(going_on(folder, net, "cpu", "bf16-mixed"))
    (start,) = remarks(folder.path / "execution.jsonl")
    assert start["convolution"] == "grouped" and "PTX was compiled" in start["convolution_faults"]["triton"]
    proof._found.clear()
    triton.change = right
    for kept in (tmp_path / "cache").rglob("convolution-*"):
        kept.unlink()
    assert going_on(folder, net, "cpu", "bf16-mixed") == {"convolution": "grouped"}, "also where a new driver mends the faster one"
    assert convolving(net, "cpu", "bf16-mixed") == "al3d's grouped engine on cpu"
    other = RunFolder(tmp_path / "other")
    assert going_on(other, net, "cpu", "bf16-mixed") == {"convolution": "triton"}
    other.log_execution({"convolution": "triton"})
    proof._found.clear()
    for kept in (tmp_path / "cache").rglob("convolution-*"):
        kept.unlink()
    triton.change = shifted
    with pytest.raises(ValueError, match="the triton engine computes the result"):
        going_on(other, net, "cpu", "bf16-mixed")
    with pytest.raises(ValueError, match="set sparse.engine=auto"):
        convolving(SimpleNamespace(backend=Own(engine="triton")), "cpu", 32)
