"""What commands share."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import click
import pytest

from al3d.command import Command, CountOrAll, Place, plain_errors


@click.command(cls=Command)
@click.argument("run", type=Place())
@click.option("--tile-size", type=click.IntRange(1))
@click.option("--scenes", type=CountOrAll(), default=3)
@click.option("--new", is_flag=True)
@plain_errors()
def command(**options: Any) -> None:
    raise ValueError(str(options))


def said(*words: str) -> str:
    with pytest.raises((click.UsageError, SystemExit)) as ended:
        command.main([*words], standalone_mode=False)
    return ended.value.format_message() if isinstance(ended.value, click.UsageError) else str(ended.value)


def test_values_are_converted() -> None:
    home = Path("~/a").expanduser()
    assert f"'run': {home!r}" in said("~/a") and "'scenes': None" in said("a", "--scenes", "all")
    assert "'scenes': 3" in said("a") and "'scenes': 7" in said("a", "--scenes", "7")


def test_wrong_words_are_named_with_the_way_out() -> None:
    assert said("a", "--tile-sise", "3") == "No such option '--tile-sise'. Did you mean '--tile-size'?"
    assert said("a", "tile_size=3") == "tile_size=3: say --tile-size 3"
    assert said("a", "new=true") == "new=true: say --new" and said("run=a") == "run=a: say a"
    assert "0 is not in the range x>=1" in said("a", "--tile-size", "0")
    assert "'some' is neither a whole number from 1 on nor all" in said("a", "--scenes", "some")
    assert "'run': " in said("other=a")  # a folder may be called so


def test_errors_end_with_one_message(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^al3d: no such thing$"), plain_errors():
        raise ValueError("no such thing")
    monkeypatch.setenv("AL3D_TRACEBACK", "1")
    with pytest.raises(ValueError, match="no such thing"), plain_errors():
        raise ValueError("no such thing")
    with pytest.raises(KeyError), plain_errors():
        raise KeyError("a bug stays a bug")


def test_warnings_are_words(capsys: pytest.CaptureFixture[str]) -> None:
    with plain_errors(), warnings.catch_warnings():
        warnings.simplefilter("always")
        assert warnings.formatwarning("odd", UserWarning, __file__, 1) == "al3d: odd\n"
    assert "UserWarning" in warnings.formatwarning("odd", UserWarning, __file__, 1)
