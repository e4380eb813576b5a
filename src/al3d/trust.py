"""What is made from a run's folder: the parts that al3d's own choices name, and nothing else. People send each other run folders."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

import click
import yaml
from omegaconf import DictConfig, OmegaConf

from al3d.command import CONF

#: The packages that a person trusts beside al3d, with commas between; `--trust` sets it, so that processes that are started know it too.
VARIABLE = "AL3D_TRUST"
_FEATURES = ("features", "views", "net")
_METHOD = ("acquire", "seed", "pseudo", "row", "thin", "unit", *_FEATURES)
#: The groups of `conf` whose parts stand at a key of a configuration, at any depth.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "acquire": _METHOD,
    "seed": _METHOD,
    "pseudo": _METHOD,
    "features": _FEATURES,
    "dataset": ("dataset", "augment"),
    "net": ("net", "description", "head", *_FEATURES),
    "learner": ("learner", "loss", "schedule"),
    "logger": ("logger",),
    "oracle": ("oracle",),
    "start": (),
}
#: What stands in no group's files: what training starts from, and the optimisers that people choose by name.
OTHERS: Mapping[str, frozenset[str]] = {
    "start": frozenset({"al3d.nets.public.Start"}),
    "learner": frozenset(f"torch.optim.{name}" for name in ("Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "SGD")),
}

trust_option = click.option(
    "--trust",
    multiple=True,
    metavar="PACKAGE",
    expose_value=False,
    callback=lambda _context, _parameter, packages: trust(packages),
    help="Make parts of this plug-in, too, which the run's folder names; their code runs.",
)


def trust(packages: tuple[str, ...]) -> None:
    """Trust these packages in this process and in those that it starts."""
    if packages:
        os.environ[VARIABLE] = ",".join(sorted({*_trusted(), *packages}))


def saved_config(run: Path) -> DictConfig:
    """The configuration that a run's folder holds; nothing of it is made. Raises: FileNotFoundError; ValueError when it is damaged, with the way out."""
    file = run / "config.yaml"
    try:
        config = OmegaConf.create(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(_damaged(file)) from error
    if not isinstance(config, DictConfig) or not {"net", "dataset"} <= set(config):
        raise ValueError(_damaged(file))
    return config


def checked_config(run: Path) -> DictConfig:
    """`saved_config`, of which every part may be made. Raises: as `saved_config`; ValueError naming parts that are neither al3d's nor trusted."""
    config = saved_config(run)
    check_parts({str(key): node for key, node in config.items() if OmegaConf.is_config(node)}, run)
    return config


def check_parts(nodes: Mapping[str, Any], run: Path) -> None:
    """Refuse parts, by key of the configuration in `run`, that are neither al3d's own choices nor of a trusted package.

    Raises: ValueError with the names of those that are not, where they stand, and the way out.
    """
    other = [(place, target) for key, node in nodes.items() for place, target in _named(_plain(node), key) if target not in _targets(key)]
    trusted = {target for _, target in other if any(target.startswith(f"{package}.") for package in _trusted())}
    unknown = [f"{place}: {target}" for place, target in other if target not in trusted]
    if unknown:
        package = unknown[0].split(": ", 1)[1].split(".")[0]
        raise ValueError(
            f"{run}: its configuration names what is none of al3d's own choices there, and making it would run its code ({'; '.join(unknown)}). "
            f"If you know that package and who sent the folder, say --trust {package} or, for other commands, {VARIABLE}={package} before al3d"
        )
    for target in sorted(trusted):
        click.echo(f"trusted, from {run}: {target}", err=True)


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def _damaged(file: Path) -> str:
    return (
        f"{file}: is damaged, not the configuration of a run (YAML with net and dataset): take it from where the folder came from, or delete the "
        "folder's report.json and run the same training command again, which writes both anew"
    )


def _trusted() -> set[str]:
    return {package for package in os.environ.get(VARIABLE, "").split(",") if package}


@cache
def _targets(key: str) -> frozenset[str]:
    """The parts that al3d's own choices have at a key."""
    files = [file for group in GROUPS.get(key, ()) for file in sorted((CONF / group).rglob("*.yaml"))]
    named = (target for file in files for _, target in _named(yaml.safe_load(file.read_text(encoding="utf-8")), key))
    return OTHERS.get(key, frozenset()).union(named)


def _named(node: Any, place: str) -> Iterator[tuple[str, str]]:
    """The targets in a tree, each with its dotted place."""
    parts: Any = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ()
    for key, part in cast("Iterator[tuple[Any, Any]]", parts):
        if key == "_target_":
            yield place, str(part)
        else:
            yield from _named(part, f"{place}.{key}")
