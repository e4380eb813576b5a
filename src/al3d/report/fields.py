"""Reading JSON objects strictly: every wrong field is named together with its file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from al3d.files import read_json


@dataclass(frozen=True)
class Fields:
    """The fields of one JSON object of the file `path`; each method returns one of them in the type it must have.

    Raises: ValueError naming the file, the field and what stands there.
    """

    path: Path
    values: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Fields:
        """The object that fills the file. Raises: ValueError when it is not JSON, or not an object."""
        values = read_json(path)
        if not isinstance(values, dict):
            raise ValueError(f"{path}: must hold one JSON object, found {_shown(values)}: delete the file, it will be made again")
        return cls(path, values)

    def word(self, key: str) -> str:
        """A string."""
        value = self._get(key)
        return value if isinstance(value, str) else self._refuse(key, "a string")

    def count(self, key: str) -> int:
        """A whole number, 0 or more."""
        value = self._get(key)
        return int(value) if _is_count(value) else self._refuse(key, "a whole number, 0 or more")

    def counts(self, key: str) -> tuple[int, ...]:
        """A list of whole numbers, 0 or more."""
        value = self._get(key)
        return tuple(value) if _is_list(value) and all(map(_is_count, value)) else self._refuse(key, "a list of whole numbers, 0 or more")

    def matrix(self, key: str) -> tuple[tuple[int, ...], ...]:
        """A square list of lists of whole numbers, 0 or more."""
        value = self._get(key)
        square = _is_list(value) and all(_is_list(row) and len(row) == len(value) and all(map(_is_count, row)) for row in value)
        return tuple(map(tuple, value)) if square else self._refuse(key, "a square table of whole numbers, 0 or more")

    def number(self, key: str, low: float = 0.0, high: float = math.inf) -> float:
        """A finite number in [low, high]."""
        value = self._get(key)
        return float(value) if _is_number(value, low, high) else self._refuse(key, _interval(low, high))

    def any_number(self, key: str) -> float:
        """A number, also one that is not finite: the loss of a training that diverged is worth showing."""
        value = self._get(key)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else self._refuse(key, "a number")

    def numbers(self, key: str, low: float, high: float) -> tuple[float | None, ...]:
        """A list of numbers in [low, high], or null."""
        value = self._get(key)
        right = _is_list(value) and all(item is None or _is_number(item, low, high) for item in value)
        return tuple(None if item is None else float(item) for item in value) if right else self._refuse(key, f"a list of null or {_interval(low, high)}")

    def inner(self, key: str) -> Fields:
        """An object inside this one."""
        value = self._get(key)
        return Fields(self.path, value) if isinstance(value, dict) else self._refuse(key, "an object")

    def absent(self, key: str) -> bool:
        """Whether the field is missing or null."""
        return self.values.get(key) is None

    def _get(self, key: str) -> Any:
        if key not in self.values:
            raise ValueError(f"{self.path}: has no {key!r} (it has {', '.join(self.values) or 'nothing'}): delete the file, it will be made again")
        return self.values[key]

    def _refuse(self, key: str, wanted: str) -> Any:
        raise ValueError(f"{self.path}: {key!r} must be {wanted}, found {_shown(self.values[key])}: delete the file, it will be made again")


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and low <= value <= high


def _interval(low: float, high: float) -> str:
    return f"a number of {low:g} or more" if math.isinf(high) else f"a number from {low:g} to {high:g}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
