"""Names that become folder names."""

from __future__ import annotations

import re

_GOOD = re.compile(r"[A-Za-z0-9_#+-][A-Za-z0-9_.#+-]*")
_LONGEST = 200


def checked_id(value: str, what: str = "scene id") -> str:
    """Return `value` if it can be a folder name everywhere.

    Raises: ValueError naming `what`, the value and the characters that are fine.
    """
    if not _GOOD.fullmatch(value) or len(value) > _LONGEST:
        raise ValueError(f"{what} {value[:_LONGEST]!r}: use letters, digits and _ . # + - (no dot in front, at most {_LONGEST} characters): it names a folder")
    return value
