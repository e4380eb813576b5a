"""What the commands share: `key=value` arguments, and errors that a person can read."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from hydra.errors import HydraException


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


def key_values(arguments: Sequence[str], defaults: Mapping[str, str | None], usage: str) -> dict[str, str]:
    """Arguments of the form `key=value` over `defaults`; a default of None must be given.

    Raises: ValueError with the `usage` for an unknown key, a repeated one, a missing one, or an argument without `=`.
    """
    if "--help" in arguments:
        print_help(usage)
    given: dict[str, str] = {}
    for argument in arguments:
        key, found, value = argument.partition("=")
        if not found or key not in defaults or key in given:
            why = "is given twice" if key in given else "is not an option" if found else "is not key=value"
            raise ValueError(f"{argument!r} {why}\n{usage}")
        given[key] = value
    missing = [f"{key}=" for key, value in defaults.items() if value is None and key not in given]
    if missing:
        raise ValueError(f"missing: {' '.join(missing)}\n{usage}")
    return {key: given.get(key, str(value)) for key, value in defaults.items()}


def print_help(usage: str) -> None:
    """Print the usage and end the process, as `--help` does."""
    sys.stdout.write(f"{usage}\n")
    sys.exit(0)


def whole_number(options: Mapping[str, str], key: str, least: int) -> int:
    """The whole number of an option. Raises: ValueError naming the option when it is none, or under `least`."""
    try:
        value = int(options[key])
    except ValueError:
        raise ValueError(f"{key}={options[key]}: give a whole number") from None
    if value < least:
        raise ValueError(f"{key}={value}: give at least {least}")
    return value
