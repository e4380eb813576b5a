#!/bin/sh
# Everything that wants a GPU, in plain Python: checks of the engines, speed of networks and of choosing, and a training of 100 steps.
# Needs torch, triton, numpy, scipy, numba, scikit-learn, pandas, pyarrow, pytorch-lightning, torchmetrics, rich, pillow and matplotlib; nothing is installed.
# What needs more (a GPU, triton, spconv) is left out and named. Prints one table, and writes it to outputs/gpu_suite.json, in at most nine minutes.
# Run: benchmarks/gpu_suite.sh [--only sparse|device|train] [--out FILE]; PYTHON=... names the Python.
# Without a GPU, to see that it works: benchmarks/gpu_suite.sh --device cpu --small
set -eu
cd "$(dirname "$0")/.."
PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}" OMP_WAIT_POLICY=PASSIVE exec "${PYTHON:-python3}" benchmarks/gpu_suite.py "$@"
