"""What starts the runs of a sweep elsewhere: names of Hydra's launchers, and what to install for them."""

from __future__ import annotations

import multiprocessing
from importlib.util import find_spec

from omegaconf import OmegaConf

from al3d.command import plain_errors

#: A choice of conf/hydra/launcher -> the plug-in's class, and the extra of this package that brings it.
LAUNCHERS = {
    "joblib": ("hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher", "joblib"),
    "slurm": ("hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher", "slurm"),
    "slurm_local": ("hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher", "slurm"),
}


def launcher_class(name: str) -> str:
    """The dotted name of the launcher that conf/hydra/launcher/`name`.yaml stands for.

    Raises: ValueError for an unknown name, and, saying what to install, when the plug-in is not there.
    """
    if name not in LAUNCHERS:
        raise ValueError(f"launcher {name!r} is unknown: choose one of {', '.join(LAUNCHERS)}")
    target, extra = LAUNCHERS[name]
    if not installed(target.rsplit(".", 2)[0]):
        raise ValueError(f"hydra/launcher={name} needs a plug-in that is not installed: pip install 'al3d[{extra}]' (in a clone: pip install -e '.[{extra}]')")
    return target


def installed(package: str) -> bool:
    """Whether a dotted package can be imported; nothing but its parents is."""
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def start_processes_as_usual() -> None:
    """Let a run that joblib started in a process of its own start further ones (`trainer.workers`) as the platform does.

    joblib leaves its own way as the default there, which pickles a whole data set and cannot.
    """
    if multiprocessing.get_start_method(allow_none=True) == "loky":
        multiprocessing.set_start_method(None, force=True)


def register() -> None:
    """Let the files of conf/hydra/launcher write `${al3d.launcher:NAME}`, so that a missing plug-in is named when a sweep starts and not before."""
    OmegaConf.register_new_resolver("al3d.launcher", _launcher_class, replace=True)


def _launcher_class(name: str) -> str:
    """`launcher_class`, whose message ends the process before OmegaConf can bury it in a traceback."""
    with plain_errors():
        return launcher_class(name)


register()
