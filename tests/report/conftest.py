"""A fake run of four rounds and 13 classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from .fake_run import ROOM_CLASSES, Fake, make_fake


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    """A run folder whose numbers look like a real one's."""
    return make_fake(tmp_path / "rooms-random-redal", ROOM_CLASSES)
