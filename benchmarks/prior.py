"""What shifting logits to the pool's class shares is worth: mIoU of finished rounds with strengths 0, 0.5 and 1, without training anything again.

    python benchmarks/prior.py outputs/RUN outputs/RUN ...

The shares are estimated as `learner.prior=pool` does, from predictions of a keyed part of the pool. Runs are read; the shares are kept in a temporary folder.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import cast

import numpy as np
from omegaconf import DictConfig, OmegaConf

from al3d.compose import study_of
from al3d.files import read_json
from al3d.learn.checkpoint import load_weights
from al3d.learn.metrics import scores
from al3d.report.saved import markdown_table
from al3d.rounds import estimate_prior, fresh_module

STRENGTHS = (0.0, 0.5, 1.0)


def judged(run: Path, out: Path) -> list[float]:
    """MIoU in percent of a run's last round for every strength."""
    copy = out / run.name
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("identity.json", "pictures", "units", "csv"))
    config = cast(DictConfig, OmegaConf.load(run / "config.yaml"))
    config.paths.run, config.paths.shared, config.logger = str(copy), None, {}
    study = study_of(config)
    index = max(int(path.parent.name[-2:]) for path in run.glob("round-*/metrics.json"))
    estimate_prior(study, index)
    shares, found = read_json(study.folder.prior(index)), []
    data = study.data(labels=study.labels, round_index=index, batches=1)
    for strength in STRENGTHS:
        module = fresh_module(study, index)
        load_weights(module, study.weights(index))
        module.prior_strength = strength
        module.correct(shares["trained"], shares["pool"])
        study.trainer(logger=False, default_root_dir=copy).test(module, datamodule=data, verbose=False)
        found.append(100 * scores(module.judged()).miou)
    return found


def main() -> None:
    rows, together = [], defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for run in map(Path, sys.argv[1:]):
            found = judged(run, Path(folder))
            rows.append([run.name, *(f"{value:.1f}" for value in found)])
            together[run.name.split("-")[0]].append(found)
    for name, values in together.items():
        gains = np.array(values)[:, 1:] - np.array(values)[:, :1]
        error = gains.std(axis=0, ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else np.full(2, np.nan)
        rows.append([f"{name}, gain over {len(gains)}", "", *(f"{mean:+.1f} ± {one:.1f}" for mean, one in zip(gains.mean(axis=0), error, strict=True))])
    print(markdown_table(["run, last round", *(f"strength {strength:g}" for strength in STRENGTHS)], rows))


if __name__ == "__main__":
    main()
