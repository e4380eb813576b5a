"""Content hashes: of arrays, and of the frozen dataclasses that compute something."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from al3d.types import Array


def hash_of(value: Any, digits: int = 12) -> str:
    """The hash (hexadecimal) of plain values or dataclasses, equal on every machine; see `described`."""
    text = json.dumps(described(value), sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=32).hexdigest()[:digits]


def array_hash(*arrays: Array) -> str:
    """The hash (32 hexadecimal digits) of arrays' types, shapes and bytes."""
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(f"{array.dtype.str}{list(array.shape)}".encode())
        digest.update(np.ascontiguousarray(array).data.cast("B"))
    return digest.hexdigest()


def described(value: Any) -> Any:
    """Turn a value into JSON's types: a dataclass becomes its class name and fields, 2.0 becomes 2.

    Fields declared with `compare=False` are left out: they change how something is computed, not what. A class that computes
    something else than it used to says so by a class attribute `VERSION`.
    Raises: ValueError for something that is neither plain nor a dataclass.
    """
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, np.generic):
        return described(value.item())
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): described(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [described(part) for part in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: described(getattr(value, field.name)) for field in dataclasses.fields(value) if field.compare}
        return {"class": type(value).__qualname__, "version": getattr(value, "VERSION", 1), "fields": fields}
    raise ValueError(f"{type(value).__qualname__} {value!r} has no hash: use a frozen dataclass of plain values, so that its results can be kept under it")
