"""What commands share."""

from __future__ import annotations

import warnings

import pytest

from al3d.command import key_values, plain_errors, whole_number


def test_given_values_win_over_defaults() -> None:
    assert key_values(["out=x", "rng=2"], {"out": None, "rng": "1", "scenes": "8"}, "usage") == {"out": "x", "rng": "2", "scenes": "8"}
    assert key_values(["out=a=b"], {"out": None}, "usage") == {"out": "a=b"}


def test_numbers_are_whole_and_large_enough() -> None:
    assert whole_number({"n": "3"}, "n", 3) == 3
    with pytest.raises(ValueError, match="n=2: give at least 3"):
        whole_number({"n": "2"}, "n", 3)
    with pytest.raises(ValueError, match=r"n=2\.5: give a whole number"):
        whole_number({"n": "2.5"}, "n", 3)


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


def test_help_ends_the_process(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        key_values(["--help"], {"out": None}, "usage: this")
    assert stop.value.code == 0
    assert "usage: this" in capsys.readouterr().out
