"""The Triton engine: its cases in the interpreter, its kernels through the compiler for GPUs that need not be there, and its absence.

The interpreter is chosen when Triton is imported, so the cases (`triton_cases.py`) run in a process of their own. `make test-triton` runs
all of this in an environment of its own.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed: make test-triton")
#: Shared memory of a block, bytes: compute capability 8.9 is the least of what `usable` admits, 9.0 has 227 KiB.
LIMITS = {89: 99 * 1024, 90: 227 * 1024}
TYPES = ("bfloat16:ieee", "float32:tf32", "float32:ieee")


def run(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("TRITON_INTERPRET", "AL3D_TRITON_TUNE")}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=kept | environment)


@needs_triton
@pytest.mark.slow
def test_in_the_interpreter() -> None:
    done = run(["-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=5", str(HERE / "triton_cases.py")], TRITON_INTERPRET="1")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("capability", LIMITS)
def test_kernels_compile(capability: int, tmp_path: Path) -> None:
    """The rule's block sizes fit shared memory and registers, and all products but those of full float32 precision use tensor cores."""
    shapes = [f"products:{kind}:27:{channels}" for kind in TYPES for channels in ("6:32", "96:96")] + [f"outer:{kind}:27:96:96" for kind in TYPES]
    done = run([str(HERE / "triton_compile.py"), str(capability), "rule", *shapes], TRITON_CACHE_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr[-4000:]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["shape"] for row in rows} == set(shapes)
    for row in rows:
        assert row["shared"] <= min(row["estimate"], LIMITS[capability]), row
        assert row["stack"] == 0, row
        assert row["cores"] == (":float32:ieee:" not in row["shape"]), row


def test_absence_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    for name in ("al3d.sparse.triton_kernels", "al3d.sparse.triton_engine"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delattr("al3d.sparse.triton_kernels", raising=False)
    with pytest.raises(ImportError, match="pip install triton"):
        importlib.import_module("al3d.sparse.triton_engine")
