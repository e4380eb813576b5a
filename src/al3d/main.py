"""What train and prepare do: compose, run, and tell a person in one message what went wrong. What is slow to import is imported where it is needed."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from al3d.command import plain_errors as plain_errors
from al3d.command import unwrapped
from al3d.identity import chosen_methods, data_source, is_probe
from al3d.run import say
from al3d.types import Source


def train(config: DictConfig) -> None:
    """Run one experiment to its end and print where the report is."""
    with plain_errors(), unwrapped(ValueError, OSError):
        source = opened(config)
        report = finished_report(config, source)
        if report is not None:
            say(f"run folder: {report.parent}\nfinished: {report}")
            return
        from al3d.compose import study_of
        from al3d.rounds import run

        study = study_of(config, source)
        say(f"run folder: {study.folder.path}{' (goes on)' if study.labels.rounds else ''}")
        say(f"{'stopped after one step' if study.plan.stop_after else 'report'}: {run(study)}")


def opened(config: DictConfig) -> Source:
    """The data set's source, once its files are found: what is missing is said before anything slow is imported."""
    source = data_source(config)
    source.fingerprint()
    return source


def finished_report(config: DictConfig, source: Source) -> Path | None:
    """The report of the run that a configuration describes, None where there is something left to do or to send.

    A report from before another run beside it became its full supervision is to be written again.
    """
    if set(config.logger) - {"csv"}:
        return None
    from al3d.files import read_json
    from al3d.for_probes import check_probe
    from al3d.report.cells import found, has_report, judged_rounds
    from al3d.report.rounds import find_full_supervision, read_identity

    seed, method, _ = chosen_methods(config)
    check_probe(config, method)
    digest, folder = found(config, source, (seed, method))
    wanted = int(config.rounds.n)
    if folder is None or judged_rounds(folder, wanted) < wanted or not has_report(folder, wanted):
        return None
    if read_identity(folder.path)[0] != digest:
        return None
    known = read_json(folder.path / "report.json")["full_supervision"]
    return folder.path / "report.html" if known == find_full_supervision(folder.path) else None


def prepare_only(config: DictConfig) -> None:
    """Prepare the data set and everything that seed and method read."""
    with plain_errors(), unwrapped(ValueError, OSError):
        source = opened(config)
        seed, method, _ = chosen_methods(config)
        from al3d.compose import prepared, prepared_descriptions, quiet_libraries
        from al3d.threads import limit_threads

        limit_threads(config.trainer.threads)
        quiet_libraries()
        store = prepared(config, source, (seed, method))
        if is_probe(config):
            prepared_descriptions(config, store)
        say(f"store: {store.path} ({len(store.sizes)} scenes, {sum(store.sizes.values()):,} points)")
