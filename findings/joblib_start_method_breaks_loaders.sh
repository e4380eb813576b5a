#!/usr/bin/env bash
# joblib (seen with 1.5.3) and PyTorch (2.13.0, CPU, Linux): in a process of joblib's default backend, a DataLoader with workers cannot load what it could in the parent.
# Guess before running: a function that trains with two loader workers does the same in joblib.Parallel as outside of it.
# Seen: loky leaves its own start method, "loky", as the default of multiprocessing in the processes that it starts. DataLoader takes the default, and
# workers get the data set by plain pickle where Linux's fork would have handed it on: a data set that holds a lambda, a lock or an open file is
# refused ("Got pickle error when attempting to start a worker Process"), although joblib itself sent it there by cloudpickle. A sweep of Hydra's joblib
# launcher fails so for every LightningDataModule of that kind. multiprocessing.set_start_method(None, force=True) in the process brings the platform's back.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 joblib==1.5.3 numpy==2.4.6
cat > "$folder/meet.py" <<'PYTHON'
import multiprocessing

import joblib
import torch
from torch.utils.data import DataLoader, Dataset


class Scenes(Dataset):
    def __init__(self):
        self.transform = lambda value: value + 1

    def __len__(self):
        return 4

    def __getitem__(self, place):
        return self.transform(place)


def load(mended):
    method = multiprocessing.get_start_method()
    if mended:
        multiprocessing.set_start_method(None, force=True)
    try:
        return method, sorted(int(value) for value in DataLoader(Scenes(), batch_size=None, num_workers=1))
    except Exception as error:
        return method, type(error).__name__


if __name__ == "__main__":
    here = load(False)
    there, mended = (joblib.Parallel(n_jobs=2)(joblib.delayed(load)(flag) for _ in range(2))[0] for flag in (False, True))
    print(joblib.__version__, torch.__version__, here, there, mended)
    assert here == ("fork", [1, 2, 3, 4]), here
    assert there[0] == "loky" and isinstance(there[1], str), there
    assert mended[1] == [1, 2, 3, 4], mended
PYTHON
cd "$folder" && "$folder/venv/bin/python" meet.py
echo "as described"
