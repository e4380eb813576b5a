"""Verify a data set from its raw files and say what to mend: `al3d check dataset=X`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from al3d.command import missing_options, unwrapped
from al3d.data.fact_tables import STATES, finding_table, tables
from al3d.data.facts import facts_of, listed
from al3d.data.findings import Finding, findings
from al3d.progress import console, track
from al3d.types import Source

#: Widest table, in characters.
WIDTH = 100


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


def built(config: DictConfig) -> Source:
    """The data set's source.

    Raises: ValueError for options that have no value; whatever it raises about its files, without Hydra's frame around it.
    """
    missing = missing_options(OmegaConf.to_container(config.dataset, resolve=False), "dataset")
    if missing:
        raise ValueError(f"these options have no value yet: {', '.join(missing)}. Give them on the command line, for example {missing[0]}=/path/to/data")
    with unwrapped(ValueError, OSError):
        return cast(Source, instantiate(config.dataset.source))


def check_configured(config: DictConfig, scenes: int | None) -> bool:
    """Check the data set of a configuration, `scenes` of each split (None: all), say what was found, and return whether something is broken."""
    source = built(config)
    found = check(source, scenes, config.dataset.scale.voxel)
    console.print(f"\n{source.name}: {verdict(found)}", markup=False)
    return any(one.state == "broken" for one in found)
