"""Verify a data set from its raw files and say what to mend: `python -m al3d.data.check dataset=X [scenes=20|all] [options as for train.py]`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException, InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

import al3d
from al3d.command import plain_errors, print_help, missing_options, unwrapped
from al3d.data.fact_tables import STATES, finding_table, tables
from al3d.data.facts import facts_of, listed
from al3d.data.findings import Finding, findings
from al3d.progress import console, track
from al3d.types import Source

#: Widest table, in characters.
WIDTH = 100
USAGE = """usage: python -m al3d.data.check dataset=X [scenes=20|all] [options as for train.py]
  scenes   how many of each split are read, a fixed sample; default 20
exit code 1 when something is broken, else 0"""
#: Scenes that are read per split unless `scenes=` says otherwise.
SAMPLE = 20


def check(source: Source, scenes: int | None, voxel: float | None) -> list[Finding]:
    """Read a data set's scenes, print what they are like, and return the findings; memory holds one scene at a time."""
    splits = listed(source, scenes)
    todo = [(split.name, scene) for split in splits for scene in split.read]
    facts = [facts_of(source, split, scene) for split, scene in track(todo, f"{source.name}: reading", len(todo))]
    features = source.features if any(not one.error for one in facts) else ()
    found = findings(splits, facts, source.classes, features, voxel)
    for _, table in tables(splits, facts, source.classes, features):
        console.print(table, width=WIDTH)
        console.print()
    console.print(finding_table(found), width=WIDTH)
    return found


def verdict(found: Sequence[Finding]) -> str:
    """One line about all findings."""
    counts = {state: sum(one.state == state for one in found) for state in STATES}
    if counts["broken"]:
        return f"{counts['broken']} broken, {counts['look']} to look at: mend what is broken before preparing the data"
    return f"nothing broken, {counts['look']} to look at" if counts["look"] else "everything ok"


def composed(overrides: Sequence[str]) -> DictConfig:
    """The configuration that train.py would get. Raises: ValueError for options that do not exist or have no value."""
    folder = Path(al3d.__file__).parent / "conf"
    try:
        with initialize_config_dir(config_dir=str(folder.resolve()), version_base="1.3"):
            config = compose("train", overrides=list(overrides))
    except HydraException as error:
        raise ValueError(f"{error}{f': {error.__cause__}' if error.__cause__ else ''}") from error
    missing = missing_options(OmegaConf.to_container(config.dataset, resolve=False), "dataset")
    if missing:
        raise ValueError(f"these options have no value yet: {', '.join(missing)}. Give them on the command line, for example {missing[0]}=/path/to/data")
    return config


def built(config: DictConfig) -> Source:
    """The data set's source. Raises: whatever it raises about its files, without Hydra's frame around it."""
    with unwrapped(ValueError, OSError):
        return cast(Source, instantiate(config.dataset.source))


def chosen_scenes(arguments: Sequence[str]) -> tuple[int | None, list[str]]:
    """How many scenes per split to read (None: all), and the other arguments. Raises: ValueError for anything but a whole number or `all`."""
    given = [argument.partition("=")[2] for argument in arguments if argument.startswith("scenes=")]
    others = [argument for argument in arguments if not argument.startswith("scenes=")]
    if not given or given[-1] == "all":
        return (None if given else SAMPLE), others
    if not given[-1].isdecimal() or int(given[-1]) < 1:
        raise ValueError(f"scenes={given[-1]}: give how many scenes to read per split (at least 1), or all")
    return int(given[-1]), others


def main(arguments: Sequence[str]) -> int:
    """Check the data set that the arguments choose; 1 when something is broken, else 0."""
    if "--help" in arguments:
        print_help(USAGE)
    scenes, overrides = chosen_scenes(arguments)
    config = composed(overrides)
    source = built(config)
    found = check(source, scenes, config.dataset.scale.voxel)
    broken = any(one.state == "broken" for one in found)
    console.print(f"\n{source.name}: {verdict(found)}", markup=False)
    return int(broken)


if __name__ == "__main__":
    with plain_errors():
        sys.exit(main(sys.argv[1:]))
