"""Predictions corrected by the pool's class shares, in the loop and when new scans are labelled."""

import json

import numpy as np
import torch

from al3d.compose import study_of
from al3d.predict.trained import load
from al3d.rounds import run, trained_module


def test_a_round_estimates_the_shares_once_and_uses_them_everywhere(composed, tiny_root):
    plain = study_of(composed("rounds.n=1"))
    run(plain)
    study = study_of(composed("rounds.n=1", "learner.prior=pool", "learner.prior_strength=0.5"))
    assert study.folder.path != plain.folder.path
    run(study)
    shares = json.loads(study.folder.prior(0).read_text())
    assert len(shares["pool"]) == 3 and abs(sum(shares["pool"]) - 1) < 1e-6
    module = trained_module(study, 0, study.folder.weights(0))
    known = np.array(shares["trained"]) > 0
    wanted = 0.5 * (np.log(np.maximum(shares["pool"], 1e-4)) - np.log(np.maximum(shares["trained"], 1e-4)))
    np.testing.assert_allclose(module.shift, np.where(known, wanted, 0), rtol=1e-9)
    batch = next(iter(study.data(labels=study.labels, round_index=0, batches=1).test_dataloader()))
    module, trained = module.eval(), load(study.folder.path, root=tiny_root, device="cpu")
    with torch.no_grad():
        moved = module.predictor(batch.coord, batch.feat).logits
        torch.testing.assert_close(moved - module.net(batch.coord, batch.feat).logits, torch.tensor(module.shift).expand_as(moved), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(trained.net(batch.coord, batch.feat).logits, moved)
    assert not plain.folder.prior(0).exists()
    one, other = (torch.load(each.folder.weights(0), weights_only=True)["state_dict"] for each in (plain, study))
    assert all(torch.equal(one[name], other[name]) for name in one), "training does not know of it"
