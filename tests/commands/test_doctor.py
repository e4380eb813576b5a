"""What the doctor says of a machine, and when a configuration lacks something."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from al3d.commands import doctor


@pytest.fixture(autouse=True)
def no_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def asked(tmp_path: Path, *words: str) -> Result:
    return CliRunner().invoke(doctor.command, [f"paths.data={tmp_path / 'data'}", f"paths.outputs={tmp_path / 'out'}", *words])


def test_one_screen_and_nothing_written(tmp_path: Path) -> None:
    told = asked(tmp_path)
    lines = told.stdout.splitlines()
    assert told.exit_code == 0 and len(lines) <= 24 and not list(tmp_path.iterdir())
    said = {line.split()[0] for line in lines}
    assert said >= {"al3d", "torch", "GPU", "triton", "spconv", "processor", "memory", "disk", "W&B", "numba", "missing"}
    assert "nothing that this configuration needs" in lines[-1]


def test_what_a_configuration_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    told = asked(tmp_path, "logger=wandb", "trainer.accelerator=gpu", "dataset=folder", f"dataset.root={tmp_path / 'nowhere'}", "net.backend=torchsparse")
    missing = [line for line in told.stdout.splitlines() if line.startswith("missing")]
    assert told.exit_code == 1 and len(missing) == 4
    for words in ("trainer.accelerator=gpu", "nowhere", "torchsparse", "wandb login"):
        assert sum(words in line for line in missing) == 1, words


def test_a_login_is_found_for_its_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not doctor.logged_in()
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password none\n")
    (tmp_path / "netrc").chmod(0o600)
    assert doctor.logged_in()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert not doctor.logged_in()
    monkeypatch.setenv("WANDB_API_KEY", "none")
    assert doctor.logged_in()


def test_extras_are_those_of_the_installation() -> None:
    assert doctor.extras()["cluster"] == ["dask", "distributed"] and "dev" not in doctor.extras()
