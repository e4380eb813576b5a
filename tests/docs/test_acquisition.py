"""The page about acquisition names every method, says what it is made of, and when to use it."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "acquisition.md").read_text(encoding="utf-8")
METHODS = sorted(path.stem for path in (ROOT / "conf" / "acquire").glob("*.yaml") if not path.stem.startswith("_"))


@pytest.mark.parametrize("method", METHODS)
def test_the_page_describes_the_method(method):
    row = next((line for line in PAGE.splitlines() if line.startswith(f"| `{method}` | `")), None)
    assert row, f"docs/acquisition.md lacks a row of {method}"
    defaults = yaml.safe_load((ROOT / "conf" / "acquire" / f"{method}.yaml").read_text(encoding="utf-8"))["defaults"]
    unit = next(entry["/unit@unit"] for entry in defaults if isinstance(entry, dict) and "/unit@unit" in entry)
    assert re.match(rf"\| `{method}` \| `{unit}` \|", row)
    assert f"**`{method}`**:" in PAGE


def test_the_page_describes_nothing_else():
    assert re.findall(r"^\*\*`(\w+)`\*\*:", PAGE, re.MULTILINE) and set(re.findall(r"^\*\*`(\w+)`\*\*:", PAGE, re.MULTILINE)) == set(METHODS)
