"""One progress line per stage, with an estimate; in a log file only the last state of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")
console = Console(file=sys.stdout, soft_wrap=True, highlight=False)


class Stage:
    """A counter that someone draws; `advance` moves it, `note` appends a few words (a loss, a scene's name)."""

    def __init__(self, name: str, total: int, bar: Progress | None) -> None:
        self.name, self.total, self.done, self.words = name, total, 0, ""
        self.bar = bar
        self.task = bar.add_task(name, total=total, note="") if bar else None

    def advance(self, count: int = 1) -> None:
        self.done += count
        if self.bar is not None and self.task is not None:
            self.bar.advance(self.task, count)

    def note(self, words: str) -> None:
        self.words = words
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, note=words)


@contextmanager
def stage(name: str, total: int, quiet: bool = False) -> Iterator[Stage]:
    """Show one progress line while the block runs; on something that is not a terminal, print one line at its end.

    Raises: whatever the block raises; the line then says that the stage was stopped.
    """
    if quiet or total == 0:
        yield Stage(name, total, None)
        return
    started = time.perf_counter()
    bar = _bar() if console.is_terminal else None
    handle = Stage(name, total, bar)
    try:
        if bar is None:
            yield handle
        else:
            with bar:
                yield handle
    except BaseException:
        console.print(f"{name}: stopped at {handle.done} of {handle.total}", markup=False)
        raise
    if bar is None:
        seconds = time.perf_counter() - started
        console.print(f"{name}: {handle.done} of {handle.total} in {seconds:.1f} s{'  ' + handle.words if handle.words else ''}", markup=False)


def track(items: Iterable[T], name: str, total: int, quiet: bool = False) -> Iterator[T]:
    """Iterate under one progress line; see `stage`."""
    with stage(name, total, quiet) as line:
        yield from advancing(items, line)


def advancing(items: Iterable[T], line: Stage) -> Iterator[T]:
    """Iterate, and advance a line that is there already."""
    for item in items:
        yield item
        line.advance()


def _bar() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    return Progress(*columns, console=console, refresh_per_second=4)
