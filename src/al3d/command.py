"""What the commands share: their grammar, made with click, and errors that a person can read."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

import al3d

#: Where al3d's own choices are, a folder a group.
CONF = Path(al3d.__file__).resolve().parent / "conf"


def choices(group: str, config_dir: Path | None = None) -> list[Path]:
    """The files of a group, al3d's own and those of `config_dir`, by name; names that begin with _ are no choices."""
    folders = [CONF / group, *([] if config_dir is None else [config_dir / group])]
    return sorted((file for folder in folders for file in folder.glob("*.yaml") if file.stem[0] != "_"), key=lambda file: file.stem)


@contextmanager
def plain_errors() -> Iterator[None]:
    """End the process with the message alone when the user's input is at fault; AL3D_TRACEBACK=1 shows where it came from.

    Warnings are one line of words, without the place in the code that gave them.
    """
    usual = warnings.formatwarning
    warnings.formatwarning = lambda message, *_, **__: f"al3d: {message}\n"
    try:
        yield
    except (ValueError, OSError) as error:
        if os.environ.get("AL3D_TRACEBACK"):
            raise
        sys.exit(f"al3d: {error}")
    finally:
        warnings.formatwarning = usual


@contextmanager
def unwrapped(*kinds: type[Exception]) -> Iterator[None]:
    """Let what a part said when it was built be the error, when it is one of `kinds`, without Hydra's words around it."""
    from hydra.errors import HydraException

    try:
        yield
    except HydraException as error:
        if isinstance(error.__cause__, kinds):
            raise error.__cause__ from None
        raise


def missing_options(tree: object, prefix: str = "") -> list[str]:
    """The dotted keys that still say "???"; interpolations are not followed, so that the key itself is named."""
    if not isinstance(tree, Mapping):
        return [prefix] if tree == "???" else []
    return [name for key, value in tree.items() for name in missing_options(value, f"{prefix}.{key}" if prefix else str(key))]


class Command(click.Command):
    """A command of `al3d`; an option that is said as `key=value` is answered with the way to say it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for word in args:
            key, found, value = word.partition("=")
            parameter = next((one for one in self.params if one.name == key.replace("-", "_")), None)
            if found and parameter is not None:
                raise click.UsageError(f"{word}: say {way_to_say(parameter, value)}", ctx)
        return super().parse_args(ctx, args)


def way_to_say(parameter: click.Parameter, value: str) -> str:
    """How a parameter gets its value: `--out results`, `--new`, or the value alone."""
    if isinstance(parameter, click.Option):
        return max(parameter.opts, key=len) if parameter.is_flag else f"{max(parameter.opts, key=len)} {value}"
    return value


def examples(*lines: str) -> str:
    """The end of a command's help, its lines as they are."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


class Place(click.Path):
    """A file or folder; `~` is the home folder."""

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(Path(value).expanduser(), param, ctx)


class CountOrAll(click.ParamType[int | None]):
    """A whole number from 1 on, or `all`, which is None."""

    name = "N|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value == "all" or value is None:
            return None
        if not str(value).isdecimal() or int(value) < 1:
            self.fail(f"{value!r} is neither a whole number from 1 on nor all.", param, ctx)
        return int(value)


#: For commands that compose a configuration as train does.
config_dir = click.option(
    "--config-dir",
    type=Place(exists=True, file_okay=False),
    help="A folder of more choices (methods, data sets, networks), laid out as conf is.",
)
#: The options of a configuration, in Hydra's words.
hydra_words = click.argument("words", nargs=-1, metavar="[KEY=VALUE]...", type=click.UNPROCESSED)
