"""One person's sitting, without a browser: which query is shown, what a key does to it, and what is recorded."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from zlib import crc32

import numpy as np

from al3d.annotate.leases import SILENT, Leases
from al3d.people.answers import Answer, Answers, Part
from al3d.people.queries import Key, Query
from al3d.types import I64, ClassTable

#: So many of the last answers say how fast somebody is; a longer pause than this, in seconds, is a break.
PACE, BREAK = 20, 120.0
Labelled = tuple[str | None, I64]


@dataclass(frozen=True)
class Shown:
    """What a query looks like now: the points that the next class is for, and parts of the region that have theirs or wait."""

    query: Query
    target: I64
    given: tuple[Labelled, ...] = ()
    waiting: tuple[I64, ...] = ()

    @property
    def region(self) -> I64:
        """All points of the query."""
        return np.concatenate([self.target, *(points for _, points in self.given), *self.waiting])


class Run:
    """What all sittings of a run share: its queries in the order of their worth, what they are about, and where answers go.

    `read` reads the queries, `guess` what the model took them for; both again when the run has bought another round. `model` says how good the model is.
    """

    def __init__(
        self,
        folder: Path,
        classes: ClassTable,
        read: Callable[[], list[Query]],
        points_of: Callable[[Query], I64],
        guess: Callable[[Sequence[Query]], Mapping[Key, int]],
        second: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.classes, self.points_of, self.second, self.clock = folder, classes, points_of, second, clock
        self._read, self._guess, self._rounds, self._guard = read, guess, -1, Lock()
        self.queries: Sequence[Query] = ()
        self.guesses: Mapping[Key, int] = {}
        self.model = ""
        self.refresh()

    def refresh(self) -> None:
        """See what the run asks by now; several threads may. Raises: ValueError when what it asked is gone."""
        with self._guard:
            rounds = sum(1 for _ in self.folder.glob("labels-*/manifest.json"))
            if rounds < self._rounds:
                raise ValueError(f"{self.folder}: rounds that were asked are gone: end al3d annotate and start it again")
            if rounds != self._rounds:
                queries = self._read()
                self.queries, self.guesses, self._rounds = queries, self._guess(queries), rounds

    def wants_second(self, query: Query) -> bool:
        """Whether a second person is asked about a query, too; the same ones for everybody."""
        return crc32(repr(query.key).encode()) / 2**32 < self.second


class Sitting:
    """What `who` sees and does. Every answer is recorded at once; an error of the file leaves what is shown as it was.

    `serial` counts what was shown: whatever is meant for an earlier one is dropped, so that a key pressed twice never answers the next query.
    """

    def __init__(self, run: Run, who: str) -> None:
        self.run, self.who = run, who
        self.answers = Answers(run.folder)
        self.leases = Leases(run.folder / "answers" / "leases", who)
        self.serial, self.view = 0, 0
        self.shown: Shown | None = None
        self.guess: int | None = None
        self.words = ""
        self._began = self._active = run.clock()
        self._times: list[float] = []
        self.go_on()

    # --- what a key does

    def give(self, label: int | None) -> None:
        """Say the class of what is shown, or that nobody can tell (None). Raises: ValueError for a class that there is not."""
        if label is not None and not 0 <= label < len(self.run.classes):
            raise ValueError(f"there is no class {label + 1}: the data set has {len(self.run.classes)}")
        if self.shown is None:
            return
        name = None if label is None else self.run.classes.names[label]
        given = (*self.shown.given, (name, self.shown.target))
        if self.shown.waiting:
            self._look(Shown(self.shown.query, self.shown.waiting[0], given, self.shown.waiting[1:]))
            return
        self._record(given)
        self._times = [*self._times, self.run.clock()][-PACE:]
        self.go_on()

    def back(self) -> None:
        """Take the last part back, or a cut; else one's last answer, and show its query again."""
        shown = self.shown
        if shown is not None and shown.given:
            target = shown.given[-1][1]
            self._look(Shown(shown.query, target, shown.given[:-1], (shown.target, *shown.waiting)))
        elif shown is not None and shown.waiting:
            self._look(Shown(shown.query, np.sort(shown.region)))
        else:
            self._undo()

    def cut(self, parts: Sequence[I64]) -> None:
        """Go on part by part: `parts` together are the points that are shown now."""
        if self.shown is not None and len(parts) > 1:
            shown = self.shown
            self._look(Shown(shown.query, parts[0], shown.given, (*parts[1:], *shown.waiting)))
        else:
            self.words = "too few points to split"

    def reveal(self) -> None:
        """Show the model's guess; the answer will say so."""
        if self.shown is not None:
            self.guess = self.run.guesses.get(self.shown.query.key)
            self.words = "" if self.guess is not None else "no model has looked at this region yet"

    def revisit(self, round_index: int, scene: str, unit: int) -> None:
        """Show a query again for correction. Raises: ValueError when the run does not ask it."""
        query = next((one for one in self.run.queries if one.key == (round_index, scene, unit)), None)
        if query is None:
            raise ValueError(f"this run does not ask about unit {unit} of {scene} in round {round_index}")
        self._open(query)

    def go_on(self) -> None:
        """Show the query that is worth most among those that are still to be answered by this person and shown to nobody else."""
        self.answers.refresh()
        query = next((query for query in self.left() if self.leases.take(query.key)), None)
        if query is None:
            self.leases.keep_only()
            self.serial, self.shown, self.guess = self.serial + 1, None, None
        else:
            self._open(query)

    # --- what stands where

    def left(self) -> list[Query]:
        """What this person could still be asked, in the order of its worth."""
        people = self.answers.people()
        return [query for query in self.run.queries if self._open_for_me(query, people.get(query.key, set()))]

    def counts(self) -> Counter[str]:
        """How many queries have each class (parts count for their classes); "unsure" beside them."""
        return Counter(name for answer in self.answers.current().values() for name in classes_of(answer))

    def done(self) -> int:
        """How many of the run's queries somebody has answered."""
        current = self.answers.current()
        return sum(query.key in current for query in self.run.queries)

    def pace(self) -> float | None:
        """Answers a minute of late, without breaks; None before there are two."""
        steps = [later - earlier for earlier, later in zip(self._times, self._times[1:], strict=False) if later - earlier < BREAK]
        return 60 * len(steps) / max(sum(steps), 1e-3) if steps else None

    def seconds(self) -> float:
        """How long the query has been shown."""
        return self.run.clock() - self._began

    def alive(self) -> None:
        """Note a sign of life: without one, what is shown is free for others after a while."""
        self._active = self.run.clock()
        if self.shown is not None and not self.leases.take(self.shown.query.key):
            self.words = "somebody else was shown this region meanwhile; both answers are kept"

    def rest(self) -> None:
        """Give up the lease of somebody who gave no sign of life for long."""
        if self.run.clock() - self._active > SILENT:
            self.leases.keep_only()

    def close(self) -> None:
        """The page is gone: give up what it held."""
        self.leases.keep_only()

    # --- inside

    def _open(self, query: Query) -> None:
        self.leases.take(query.key)
        self.leases.keep_only(query.key)
        target = self.run.points_of(query)
        self.guess, self._began = None, self.run.clock()
        self._look(Shown(query, target))
        self.answers.record(Answer(self.who, "shown", *query.key))

    def _look(self, shown: Shown) -> None:
        self.serial, self.shown, self.words, self.view = self.serial + 1, shown, "", 0

    def _record(self, given: Sequence[Labelled]) -> None:
        query = self.shown.query if self.shown else None
        if query is None:
            return
        names = {name for name, _ in given}
        kind = "parts" if len(names) > 1 else "unsure" if None in names else "class"
        parts = tuple(Part(name, tuple(points.tolist())) for name, points in given) if kind == "parts" else ()
        name = names.pop() if kind == "class" else None
        seconds, seen = round(self.seconds(), 2), self.guess is not None
        self.answers.record(Answer(self.who, kind, *query.key, class_name=name, parts=parts, seconds=seconds, guess_shown=seen))

    def _undo(self) -> None:
        mine = list(self.answers.of(self.who).values())
        known = {query.key: query for query in self.run.queries}
        last = next((answer for answer in reversed(mine) if answer.key in known), None)
        if last is None:
            self.words = "there is no answer of yours to take back"
            return
        self.answers.record(Answer(self.who, "undo", *last.key))
        self._times = self._times[:-1]
        self._open(known[last.key])

    def _open_for_me(self, query: Query, people: set[str]) -> bool:
        if not people:
            return True
        return self.who not in people and len(people) == 1 and self.run.wants_second(query)


def classes_of(answer: Answer) -> list[str]:
    """The classes that an answer names, "unsure" for points of which nobody can tell."""
    if answer.kind == "parts":
        return sorted({part.class_name or "unsure" for part in answer.parts})
    return [answer.class_name or "unsure"]
