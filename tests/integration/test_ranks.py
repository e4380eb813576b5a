"""Given one checkpoint, two ranks choose what one rank chooses."""

import shutil

import pytest


@pytest.mark.parametrize("acquire", ["redal"])
def test_two_gloo_ranks_choose_the_same(command, outcome, tmp_path, acquire):
    one, two = tmp_path / "one", tmp_path / "two"
    process = command(f"acquire={acquire}", "rounds.n=2", f"paths.run={one}")
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    shutil.copytree(one, two)
    shutil.rmtree(two / "labels-01")
    shutil.rmtree(two / "round-01")
    shutil.rmtree(two / "round-00" / "units")
    (two / "round-00" / "metrics.json").unlink()
    process = command(f"acquire={acquire}", "rounds.n=2", f"paths.run={two}", "trainer.devices=2", "trainer.strategy=ddp", "trainer.accelerator=cpu")
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    first, second = outcome(one), outcome(two)
    assert {key: value for key, value in second.items() if "round-01" not in key} == {key: value for key, value in first.items() if "round-01" not in key}
    assert (two / "round-01" / "metrics.json").is_file()  # and training on two ranks goes on
