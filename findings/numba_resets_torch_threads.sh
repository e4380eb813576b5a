#!/usr/bin/env bash
# numba (seen with 0.68.1) and PyTorch (2.13.0, CPU, x86-64): numba's first parallel function sets the number of threads that torch computes with.
# Guess before running: torch.set_num_threads(1) holds until somebody calls it again.
# Seen: numba's OpenMP layer starts its threads with omp_set_num_threads(NUMBA_NUM_THREADS) and finds the libgomp that torch brought along, so torch
# computes with NUMBA_NUM_THREADS threads from then on; even asking numba how many threads it has is enough. OMP_NUM_THREADS is overridden likewise.
# Float sums are split by threads: who calls a parallel function after the first epoch gets other bits before and after it, and a run resumed in a new
# process does not repeat itself. Starting numba's threads first and setting torch's number after them holds.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numba==0.68.1 numpy==2.4.6
NUMBA_NUM_THREADS=3 NUMBA_THREADING_LAYER=omp OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import numba
import numpy
import torch


@numba.njit(parallel=True)
def double(values):
    for place in numba.prange(len(values)):
        values[place] *= 2


torch.set_num_threads(1)
before = torch.get_num_threads()
double(numpy.ones(10))
after = torch.get_num_threads()
torch.set_num_threads(1)
double(numpy.ones(10))
again = torch.get_num_threads()
print(numba.__version__, torch.__version__, numba.threading_layer(), before, after, again)
assert (before, after, again) == (1, 3, 1), "set once by the first parallel function, not by later ones"
PYTHON
echo "as described"
