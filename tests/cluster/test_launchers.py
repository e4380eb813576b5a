"""Launchers are settings in files of their own, and a missing plug-in says what to install."""

from __future__ import annotations

import importlib
import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from joblib import Parallel, delayed
from omegaconf import OmegaConf

from al3d import launchers

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "conf" / "hydra" / "launcher").glob("*.yaml"))
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_every_file_has_a_plug_in_and_the_other_way_round() -> None:
    assert {file.stem for file in FILES} == set(launchers.LAUNCHERS)
    for file in FILES:
        assert yaml.safe_load(file.read_text(encoding="utf-8"))["_target_"] == f"${{al3d.launcher:{file.stem}}}"


@pytest.mark.parametrize("name", launchers.LAUNCHERS)
def test_launcher_composes_without_its_plug_in(name: str) -> None:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", [f"hydra/launcher={name}"], return_hydra_config=True)
    own = yaml.safe_load((ROOT / "conf" / "hydra" / "launcher" / f"{name}.yaml").read_text(encoding="utf-8"))
    assert OmegaConf.to_container(config.hydra.launcher, resolve=False).items() >= own.items()


def test_settings_of_a_launcher_are_in_its_own_file_alone() -> None:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", return_hydra_config=True)
    assert set(config.hydra.launcher) == {"_target_"}


@pytest.mark.parametrize("name", launchers.LAUNCHERS)
def test_missing_plug_in_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launchers, "installed", lambda package: False)
    with pytest.raises(ValueError, match=rf"hydra/launcher={name} .*pip install 'al3d\[\w+\]'"):
        launchers.launcher_class(name)
    extra = launchers.LAUNCHERS[name][1]
    package = launchers.LAUNCHERS[name][0].split(".")[1].replace("_", "-")
    line = next(line for line in PROJECT.splitlines() if line.startswith(f"{extra} = "))
    assert f'"{package}>=' in line, f"the extra {extra} does not bring {package}"


@pytest.mark.parametrize("name", launchers.LAUNCHERS)
def test_plug_in_takes_every_setting(name: str) -> None:
    target, extra = launchers.LAUNCHERS[name]
    module, _, kind = target.rpartition(".")
    if not launchers.installed(module.rsplit(".", 1)[0]):
        pytest.skip(f"the extra {extra} is not installed")
    assert launchers.launcher_class(name) == target
    assert isinstance(getattr(importlib.import_module(module), kind), type)
    settings = importlib.import_module(f"{module.rsplit('.', 1)[0]}.config")
    schema = {"joblib": "JobLibLauncherConf", "slurm": "SlurmQueueConf", "slurm_local": "LocalQueueConf"}[name]
    known = set(getattr(settings, schema).__dataclass_fields__)
    own = yaml.safe_load((ROOT / "conf" / "hydra" / "launcher" / f"{name}.yaml").read_text(encoding="utf-8"))
    assert set(own) <= known


def test_unknown_launcher_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'pbs' is unknown: choose one of joblib, slurm, slurm_local"):
        launchers.launcher_class("pbs")


def test_absent_packages_are_absent() -> None:
    assert launchers.installed("al3d.launchers")
    assert not launchers.installed("al3d.nothing") and not launchers.installed("no_such_parent.child")


@pytest.mark.slow
def test_a_sweep_without_the_plug_in_ends_with_one_line() -> None:
    """In a process of its own, where the plug-in cannot be found."""
    code = (
        "import sys; from al3d import launchers; launchers.installed = lambda package: False\n"
        "import hydra\n"
        f"@hydra.main(config_path={str(ROOT / 'conf')!r}, config_name='train', version_base='1.3')\n"
        "def main(config): pass\n"
        "sys.argv = ['train.py', '-m', 'hydra/launcher=slurm', 'rng=1,2']; main()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.returncode == 1
    assert (
        result.stderr.strip()
        == "al3d: hydra/launcher=slurm needs a plug-in that is not installed: pip install 'al3d[slurm]' (in a clone: pip install -e '.[slurm]')"
    )


def worker_start_methods() -> tuple[str, str]:
    """How a joblib process starts others, before and after a run begins there."""
    before = multiprocessing.get_start_method()
    launchers.start_processes_as_usual()
    return before, multiprocessing.get_start_method()


@pytest.mark.slow
def test_a_joblib_process_starts_others_as_the_platform_does() -> None:
    found = Parallel(n_jobs=2)(delayed(worker_start_methods)() for _ in range(2))
    assert ("loky", multiprocessing.get_start_method()) in found


@pytest.mark.slow
def test_the_documented_joblib_command_trains_with_workers(tmp_path: Path) -> None:
    if not launchers.installed("hydra_plugins.hydra_joblib_launcher"):
        pytest.skip("the extra joblib is not installed")
    text = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    documented = next(line for line in text.splitlines() if line.startswith("al3d train -m hydra/launcher=joblib"))
    smaller = ["trainer.workers=1", "acquire=random", "rounds.n=1", "rounds.steps=2", "dataset.source.rooms=4", "dataset.source.points=6000"]
    places = [f"paths.data={tmp_path / 'data'}", f"paths.outputs={tmp_path / 'outputs'}"]
    result = subprocess.run([sys.executable, "-m", *documented.split(), *smaller, *places], capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stderr[-3000:]
    assert len(list((tmp_path / "outputs").glob("*/report.html"))) == 2
