"""What the scripts do: compose, run, and tell a person in one message what went wrong."""

from __future__ import annotations

from omegaconf import DictConfig

from al3d.command import plain_errors as plain_errors
from al3d.compose import chosen_methods, data_source, is_probe, prepared, prepared_descriptions, quiet_libraries, say, study_of
from al3d.rounds import run
from al3d.threads import limit_threads


def train(config: DictConfig) -> None:
    """Run one experiment to its end and print where the report is."""
    with plain_errors():
        study = study_of(config)
        say(f"run folder: {study.folder.path}{' (goes on)' if study.labels.rounds else ''}")
        say(f"{'stopped after one step' if study.plan.stop_after else 'report'}: {run(study)}")


def prepare_only(config: DictConfig) -> None:
    """Prepare the data set and everything that seed and method read."""
    with plain_errors():
        limit_threads(config.trainer.threads)
        quiet_libraries()
        source = data_source(config)
        seed, method, _ = chosen_methods(config)
        store = prepared(config, source, (seed, method))
        if is_probe(config):
            prepared_descriptions(config, store)
        say(f"store: {store.path} ({len(store.sizes)} scenes, {sum(store.sizes.values()):,} points)")
