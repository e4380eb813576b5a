"""How many threads a process computes with, and on which processor."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import numba
import torch


def limit_threads(threads: int | None) -> None:
    """Use so many threads in this process, or as many as the library chose, from here on; passive waiting, because spinning slows shared cores down.

    numba starts its threads with its first parallel function, and with that sets OpenMP's number for the whole process, torch's too
    (`findings/numba_resets_torch_threads.sh`): sums would be split differently before and after it, so a resumed run would not repeat the
    bits. So its threads start here, before torch is told its number.

    Raises: ValueError for a number below 1.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if threads is not None and threads < 1:
        raise ValueError(f"trainer.threads={threads}: give at least 1, or null for the library's choice")
    wanted = threads or torch.get_num_threads()
    numba.set_num_threads(min(threads or numba.get_num_threads(), numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    torch.set_num_threads(wanted)


def processor() -> str:
    """The processor's name, as the kernel gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())
