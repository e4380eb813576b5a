#!/usr/bin/env bash
# LightGBM (seen with 4.7.0): a split at zero is stored as +-1.0000000180025095e-35, and prediction takes every value of at most that size for zero.
# Guess before running: a tree compares a value with its threshold, so -5e-36 goes left of a split "x <= 0" and +5e-36 goes right.
# Seen: the threshold between -1 and {0, 1} is -1.0000000180025095e-35 and both tiny values fall where 0 falls; float32 values next to the threshold do not.
# Who copies the trees of a model into code of their own (or rounds thresholds to float32) meets this: standardised descriptors are full of values near 0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check lightgbm==4.7.0 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" - <<'PYTHON'
import lightgbm
import numpy as np

rows = np.repeat(np.array([-1.0, 0.0, 1.0]), 100)[:, None]
label = (rows[:, 0] >= 0).astype(int)
options = {"objective": "binary", "min_data_in_leaf": 1, "num_leaves": 2, "verbosity": -1, "deterministic": True, "num_threads": 1}
model = lightgbm.train(options, lightgbm.Dataset(rows, label), 1)
threshold = model.dump_model()["tree_info"][0]["tree_structure"]["threshold"]
zero, *tiny = model.predict(np.array([[0.0], [-5e-36], [5e-36], [-9e-36]]))
beyond = model.predict(np.array([[-2e-35]]))[0]
below = model.predict(np.array([[-1.0]]))[0]
print(lightgbm.__version__, threshold, zero, tiny, beyond, below)
assert threshold == -1.0000000180025095e-35, threshold
assert all(value == zero for value in tiny), "values of at most 1e-35 are zeros"
assert beyond == below != zero
PYTHON
echo "as described"
