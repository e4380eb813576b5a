"""How many threads compute: the same number before and after numba's first parallel function, in every process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from al3d.threads import limit_threads

COUNT = """
import numba, numpy, torch
from al3d.threads import limit_threads
limit_threads({threads})
before = torch.get_num_threads()
@numba.njit(parallel=True)
def double(values):
    for place in numba.prange(len(values)):
        values[place] *= 2
double(numpy.ones(10))
print(before, torch.get_num_threads(), numba.get_num_threads())
"""


@pytest.mark.parametrize(("threads", "variable", "expected"), [(1, "4", [1, 1, 1]), (None, "1", [1, 1, 4]), (3, "1", [3, 3, 3])])
def test_numba_leaves_torch_its_threads(threads: int | None, variable: str, expected: list[int]) -> None:
    variables = {**os.environ, "OMP_NUM_THREADS": variable, "NUMBA_NUM_THREADS": "4"}
    done = subprocess.run([sys.executable, "-c", COUNT.format(threads=threads)], env=variables, capture_output=True, text=True, check=True)
    assert [int(word) for word in done.stdout.split()] == expected


def test_no_thread_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match=r"trainer.threads=0: give at least 1"):
        limit_threads(0)
