"""What people answer: an append-only file of events, one JSON object a line, that several processes may write at once."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from al3d.files import explained
from al3d.people.queries import Key

KINDS = ("class", "unsure", "parts", "undo", "shown")
#: Ends a line that a process which was killed had begun: it never happened.
CUT = "\x18"


@dataclass(frozen=True)
class Part:
    """Some points of a query (indices into the scene's own order) and their class by name; None: nobody can tell."""

    class_name: str | None
    points: tuple[int, ...]


@dataclass(frozen=True)
class Answer:
    """One event: what `who` said, took back or was shown about a query. Raises: ValueError when kind, class and parts do not go together.

    `kind`: class (the query is of `class_name`), unsure, parts (its points differ), undo (takes this person's answer away), shown. `seconds` is the
    time since it was shown; `guess_shown` whether the model's guess was seen; `source` page or import:FILE; `time` UTC, now when empty.
    """

    who: str
    kind: str
    round: int
    scene: str
    unit: int
    class_name: str | None = None
    parts: tuple[Part, ...] = ()
    seconds: float | None = None
    guess_shown: bool = False
    source: str = "page"
    time: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"an answer of kind {self.kind!r} is not one of {', '.join(KINDS)}")
        if (self.kind == "class") != (self.class_name is not None) or (self.kind == "parts") != bool(self.parts):
            raise ValueError(f"unit {self.unit} of scene {self.scene!r}: kind class needs a class, kind parts needs parts, and no other kind has them")
        points = [point for part in self.parts for point in part.points]
        if len(set(points)) < len(points) or min(points, default=0) < 0 or not all(part.points for part in self.parts):
            raise ValueError(f"unit {self.unit} of scene {self.scene!r}: every part needs points, from 0 on, and no point may be in two of them")
        if not self.who:
            raise ValueError(f"unit {self.unit} of scene {self.scene!r}: an answer needs the name of who gave it")
        if not self.time:
            object.__setattr__(self, "time", datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"))

    @property
    def key(self) -> Key:
        """The query that it is about; see `Query.key`."""
        return self.round, self.scene, self.unit


class Answers:
    """The events of a run, `answers/events.jsonl` in its folder: read once, then as far as they were `refresh`ed.

    Raises: ValueError with the file and the line when a line is no event.
    """

    def __init__(self, run: Path) -> None:
        self.file = Path(run) / "answers" / "events.jsonl"
        self._history: list[Answer] = []
        self._read, self._lines, self._node = 0, 0, 0
        self.refresh()

    def record(self, answer: Answer) -> None:
        """Append one event; it is on the disk when this returns.

        Raises: DiskFull naming the file when there is no space left; FileNotFoundError when the run's folder is gone.
        """
        if not self.file.parent.parent.is_dir():
            raise FileNotFoundError(f"{self.file.parent.parent}: the folder of the run is gone, the answer was not kept")
        self.file.parent.mkdir(exist_ok=True)
        line = json.dumps(written(answer), ensure_ascii=False) + "\n"
        try:
            _append(self.file, line.encode())
        except OSError as error:
            raise explained(error, self.file) from error
        self.refresh()

    def refresh(self) -> None:
        """See what was written since, by any process; all of it anew when somebody has edited the file."""
        if not self.file.is_file():
            return
        with self.file.open("rb") as file:
            now = os.fstat(file.fileno())
            if now.st_ino != self._node or now.st_size < self._read:
                self._history, self._read, self._lines, self._node = [], 0, 0, now.st_ino
            file.seek(self._read)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]  # a line without its end is still being written, or never was
        texts = [line.decode("utf-8", errors="replace") for line in whole.split(b"\n")[:-1]]
        lines = enumerate(texts, start=self._lines + 1)
        self._history += [_event(self.file, number, text) for number, text in lines if text and not text.endswith(CUT)]
        self._lines, self._read = self._lines + len(texts), self._read + len(whole)

    def current(self) -> dict[Key, Answer]:
        """What counts for each query: of everybody's last answers that were not taken back the newest that names a class, else the newest.

        That one person cannot tell takes nothing away from another who can.
        """
        standing = self._standing(None)
        unsure = {answer.key: answer for answer in standing if answer.kind == "unsure"}
        return unsure | {answer.key: answer for answer in standing if answer.kind != "unsure"}

    def of(self, who: str) -> dict[Key, Answer]:
        """The last answer of one person to each query, those aside that were taken back."""
        return {answer.key: answer for answer in self._standing(who)}

    def people(self) -> dict[Key, set[str]]:
        """Whose answers to each query stand."""
        found: dict[Key, set[str]] = {}
        for answer in self._standing(None):
            found.setdefault(answer.key, set()).add(answer.who)
        return found

    def history(self) -> list[Answer]:
        """Every event, in the order of the file."""
        return list(self._history)

    def _standing(self, who: str | None) -> list[Answer]:
        """The last answers of everybody (or of `who`) that were not taken back, in the order in which they were given."""
        last: dict[tuple[str, Key], Answer] = {}
        for event in self._history:
            if event.kind != "shown" and who in (None, event.who):
                last.pop((event.who, event.key), None)
                last[event.who, event.key] = event
        return [event for event in last.values() if event.kind != "undo"]


def _append(path: Path, line: bytes) -> None:
    """Append in one write, so that the lines of several processes never mix; ends what a killed process left without an end."""
    fresh = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = f"{CUT}\n".encode() + line
        written = os.write(descriptor, line)
        if written < len(line):
            raise OSError(28, "the disk is full")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if fresh:
        _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def written(answer: Answer) -> dict[str, Any]:
    """An event as its line says it."""
    said: dict[str, Any] = {"time": answer.time, "who": answer.who, "kind": answer.kind, "round": answer.round, "scene": answer.scene, "unit": answer.unit}
    if answer.kind == "class":
        said["class"] = answer.class_name
    if answer.kind == "parts":
        said["parts"] = [{"class": part.class_name, "points": list(part.points)} for part in answer.parts]
    return {**said, "seconds": answer.seconds, "guess_shown": answer.guess_shown, "source": answer.source}


def answer_of(said: Mapping[str, Any]) -> Answer:
    """The event of one line. Raises: ValueError, TypeError or KeyError when it is none."""
    parts = tuple(Part(_name(part["class"]), tuple(_number(point) for point in part["points"])) for part in said.get("parts", ()))
    seconds = said.get("seconds")
    return Answer(
        who=str(said["who"]),
        kind=str(said["kind"]),
        round=_number(said["round"]),
        scene=str(said["scene"]),
        unit=_number(said["unit"]),
        class_name=_name(said.get("class")),
        parts=parts,
        seconds=None if seconds is None else float(seconds),
        guess_shown=bool(said.get("guess_shown", False)),
        source=str(said.get("source", "page")),
        time=str(said["time"]),
    )


def _event(path: Path, number: int, line: str) -> Answer:
    try:
        return answer_of(json.loads(line))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path}: line {number} is no answer ({type(error).__name__}: {error}): mend the line, or remove it") from error


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{value!r} is no whole number")
    return value


def _name(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{value!r} is no class name")
    return value
