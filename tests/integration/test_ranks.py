"""Given one checkpoint, two ranks choose what one rank chooses, and go on training from it."""

import shutil

import pytest
import torch

GOES_ON = ("rounds.init=previous", "rounds.optimizer=kept")


def parameters(run, index):
    state = torch.load(run / f"round-{index:02d}" / "last.ckpt", weights_only=True)["state_dict"]
    return torch.cat([tensor.flatten() for name, tensor in state.items() if name.endswith("kernel")])


@pytest.mark.parametrize("acquire", ["redal"])
@pytest.mark.slow
def test_two_gloo_ranks_choose_the_same(command, outcome, tmp_path, acquire):
    one, two = tmp_path / "one", tmp_path / "two"
    process = command(f"acquire={acquire}", "rounds.n=2", f"paths.run={one}", *GOES_ON)
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    shutil.copytree(one, two)
    shutil.rmtree(two / "labels-01")
    shutil.rmtree(two / "round-01")
    shutil.rmtree(two / "round-00" / "units")
    (two / "round-00" / "metrics.json").unlink()
    process = command(f"acquire={acquire}", "rounds.n=2", f"paths.run={two}", *GOES_ON, "trainer.devices=2", "trainer.strategy=ddp", "trainer.accelerator=cpu")
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    first, second = outcome(one), outcome(two)
    assert {key: value for key, value in second.items() if "round-01" not in key} == {key: value for key, value in first.items() if "round-01" not in key}
    assert (two / "round-01" / "metrics.json").is_file()
    start, moved = parameters(two, 0), (parameters(two, 1) - parameters(two, 0)).norm()
    assert 0 < moved < 0.3 * start.norm(), "the second round of two ranks goes on from the first of one: a fresh network would be 1.4 times as far"
