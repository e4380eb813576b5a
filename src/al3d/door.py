"""The one door: `al3d COMMAND ...`, as `python -m al3d`; a command's file is imported only when that command runs."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import click

FOLDER = Path(__file__).parent / "commands"
#: The commands in the order of a project's life. Files that are named nowhere here come last, and names without a file are passed over.
LIFE = {
    "Begin": ("demo", "start", "doctor"),
    "Know your data": ("world", "check", "units"),
    "Choose, label, train": ("prepare", "train", "annotate", "queries", "answers", "choices", "study"),
    "Compare": ("results", "compare", "tables", "track"),
    "Use": ("predict", "export", "verify"),
}


@cache
def parts() -> dict[str, list[str]]:
    """The commands that there are, by their part of a project's life."""
    there = sorted(file.stem for file in FOLDER.glob("[!_]*.py"))
    found = {part: [name for name in names if name in there] for part, names in LIFE.items()}
    found["More"] = [name for name in there if not any(name in names for names in LIFE.values())]
    return {part: names for part, names in found.items() if names}


def summary(name: str) -> str:
    """What a command does: the first line of its file's docstring, read without importing the file."""
    text = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


class Door(click.Group):
    """The commands in the folder `commands`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for names in parts().values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command = import_module(f"al3d.commands.{cmd_name}").command
        return command if isinstance(command, click.Command) else None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            raise click.NoSuchCommand(error.command_name, possibilities=self.list_commands(ctx), ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for part, names in parts().items():
            with formatter.section(part):
                formatter.write_dl(list(rows(names)), col_max=12)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[click.shell_completion.CompletionItem]:
        found = [click.shell_completion.CompletionItem(name, help=summary(name)) for name in self.list_commands(ctx) if name.startswith(incomplete)]
        return found if found or not incomplete.startswith("-") else click.Command.shell_complete(self, ctx, incomplete)


def rows(names: list[str]) -> Iterator[tuple[str, str]]:
    """Names, padded to one width, and what they do."""
    width = max(len(name) for names in parts().values() for name in names)
    return ((name.ljust(width), summary(name)) for name in names)


def places() -> None:
    """Let modules of the user's own be found where `al3d` is called, after everything that is installed, as `python` finds them."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


@click.group(cls=Door, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(version("al3d"), prog_name="al3d")
@click.pass_context
def al3d(ctx: click.Context) -> None:
    """Active learning for 3D semantic segmentation.

    `al3d COMMAND --help` shows what a command takes.
    """
    places()
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
