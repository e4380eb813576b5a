"""The way of a command's words to Hydra, which takes them unchanged: options, -m, --cfg, --config-dir and the rest."""

from __future__ import annotations

import functools
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from al3d.command import CONF, choices, examples, plain_errors

if TYPE_CHECKING:
    from omegaconf import DictConfig

#: The groups that `--help` lists, with what each of them chooses.
GROUPS = {
    "dataset": "the data set; dataset=folder is your own",
    "seed": "what is labelled first",
    "acquire": "what is labelled next",
    "net": "what learns",
    "learner": "how it learns",
    "experiment": "settings of papers, and small ones",
    "logger": "where curves go",
}
HYDRA = {
    "--cfg job": "Print the whole configuration and run nothing.",
    "-m, --multirun": "Run every combination of values separated by commas.",
    "--config-dir DIR": "A folder of more choices (methods, data sets, networks), laid out as conf is.",
    "--hydra-help": "Show what else Hydra takes.",
    "-h, --help": "Show this message and exit.",
}


class HydraCommand(click.Command):
    """A command whose words are Hydra's."""

    def __init__(self, name: str, task: Callable[[DictConfig], None], help: str, lines: Sequence[str]) -> None:
        super().__init__(name, help=help, epilog=examples(*lines), add_help_option=False)
        self.task, self.config_name = task, name

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if {"-h", "--help"} & set(args) and not ctx.resilient_parsing:
            click.echo(ctx.get_help())
            ctx.exit()
        ctx.params["words"] = tuple(args)
        return []

    def invoke(self, ctx: click.Context) -> None:
        through_hydra(self.task, self.config_name, ctx.params["words"])

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["[KEY=VALUE]..."]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Choices, files of conf"):
            formatter.write_dl([(f"{group}=", f"{words}: {', '.join(file.stem for file in choices(group))}") for group, words in GROUPS.items()])
        with formatter.section("Options"):
            formatter.write_dl(list(HYDRA.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(word) for word in completions(self.config_name, ctx.params["words"], incomplete)]


def through_hydra(task: Callable[[DictConfig], None], name: str, words: Sequence[str] | None = None) -> None:
    """Let Hydra compose the configuration `name` from `words` (None: those of the process), and run the task, or one for each run of a sweep.

    While the task runs, `sys.argv` is the whole command line again: processes for more devices are started with it.
    """
    import hydra
    from hydra.core.hydra_config import HydraConfig

    from al3d import launchers  # also what conf/hydra/launcher refers to
    from al3d.configuration import check_numbers, meant

    whole = sys.argv

    @functools.wraps(task)
    def run(config: DictConfig) -> None:
        sys.argv = whole
        exit_when_terminated()
        launchers.start_processes_as_usual()
        with plain_errors():
            check_numbers(HydraConfig.get().overrides.task)
        task(config)

    exit_when_terminated()
    sys.argv = [whole[0], *with_whole_paths(whole[1:] if words is None else words)]
    try:
        hydra.main(config_path=str(CONF), config_name=name, version_base="1.3")(run)()
    except SystemExit as end:
        hint = meant(sys.argv[1:]) if end.code == 1 else ""  # Hydra has said what is wrong
        if hint:
            print(hint, file=sys.stderr)
        raise
    finally:
        sys.argv = whole


def exit_when_terminated() -> None:
    """From here on SIGTERM ends the process with exit code 143, by an exception: workers end too, and what is half-written goes.

    Lightning would end with 0 in the middle of a training. A handler that is there, as submitit's, stays.
    """
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def with_whole_paths(words: Sequence[str]) -> list[str]:
    """The words with the folder of `--config-path` whole: it is meant from where the command is called, and Hydra takes it from the package."""
    found = list(words)
    for place, word in enumerate(words):
        option, is_joined, value = word.partition("=")
        if option in ("--config-path", "-cp") and is_joined:
            found[place] = f"{option}={Path(value).absolute()}"
        elif option in ("--config-path", "-cp") and place + 1 < len(words):
            found[place + 1] = str(Path(words[place + 1]).absolute())
    return found


def completions(name: str, words: Sequence[str], incomplete: str) -> list[str]:
    """What Hydra would complete a word to, nothing where it cannot read the words before it."""
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.core_plugins.bash_completion import BashCompletion
    from hydra._internal.utils import create_config_search_path
    from hydra.errors import HydraException

    from al3d import launchers  # noqa: F401

    before, word = joined(words, incomplete)
    plugin = BashCompletion(ConfigLoaderImpl(create_config_search_path(str(CONF))))
    try:
        found = plugin._query(name, " ".join([*before, word]))
    except HydraException:
        return []
    return [each[len(word) - len(incomplete) :] for each in found]


def joined(words: Sequence[str], incomplete: str) -> tuple[list[str], str]:
    """The words before the one to complete, and that one whole: bash hands over `acquire=red` as three words, `acquire=` as two."""
    before, word = list(words), incomplete
    if before and before[-1] == "=":
        word = before.pop() + word
    elif word or not before or "=" in before[-1] or before[-1].startswith("-"):
        return before, word
    else:
        word = "="
    return (before[:-1], before[-1] + word) if before else (before, word)
