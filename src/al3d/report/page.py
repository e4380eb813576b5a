"""The parts of an HTML page that needs nothing from outside: text is escaped unless it was made here."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence


class Safe(str):
    """HTML that is already escaped."""

    __slots__ = ()


Content = str | Safe

STYLE = """
:root { color-scheme: light dark; --ink: #1f2430; --muted: #5d6675; --paper: #f4f6f9; --card: #ffffff;
  --line: #e1e5eb; --accent: #2457c5; --warn: #8a5a00; --warn-card: #fff6e0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ebf1; --muted: #a3adbd; --paper: #14171d; --card: #1e232c; --line: #343b48; --accent: #8fb3ff; --warn: #ffd58a; --warn-card: #3a2f14; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 10px; }
h2 { font-size: 19px; margin: 38px 0 4px; }
h3 { font-size: 15px; margin: 22px 0 8px; }
p { margin: 4px 0 10px; max-width: 96ch; }
.muted, .note { color: var(--muted); }
.note { font-size: 13.5px; }
.chips { display: flex; flex-wrap: wrap; gap: 8px; margin: 0 0 6px; padding: 0; list-style: none; }
.chips li { background: var(--card); border: 1px solid var(--line); border-radius: 999px; padding: 2px 12px; font-size: 13.5px; overflow-wrap: anywhere; }
.chips b { color: var(--muted); font-weight: 500; margin-right: 6px; }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(134px, 1fr)); gap: 12px; margin: 20px 0 0; }
.number { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 14px; }
.number .value { font-size: 20px; font-weight: 650; white-space: nowrap; font-variant-numeric: tabular-nums; line-height: 1.25; }
.number .label { color: var(--muted); font-size: 13px; }
.number:first-child .value { color: var(--accent); }
.number:last-child .value { font-size: 17px; line-height: 1.47; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px; margin: 10px 0; overflow-x: auto; }
.chart { background: #ffffff; }
.chart svg { display: block; width: 100%; max-width: 960px; height: auto; margin: 0 auto; }
.warning { background: var(--warn-card); color: var(--warn); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 13.5px; }
th, td { padding: 5px 8px; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { color: var(--muted); font-weight: 600; }
th:first-child, td:first-child { text-align: left; }
tbody tr:last-child td { border-bottom: 0; }
.swatch { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 7px; vertical-align: -1px; border: 1px solid #8888; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 13.5px; margin: 8px 0 4px; padding: 0; list-style: none; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 12px; }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 10px; overflow: hidden; }
figure img { display: block; width: 100%; height: auto; background: #ffffff; }
figcaption { padding: 7px 12px; font-size: 13.5px; color: var(--muted); overflow-wrap: anywhere; }
details { margin: 10px 0; }
summary { cursor: pointer; font-weight: 600; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 14px; overflow-x: auto;
  font: 13px/1.45 ui-monospace, "DejaVu Sans Mono", monospace; }
@media print { body { background: #ffffff; } h2, figure, .card { break-inside: avoid; } }
"""


def element(name: str, *children: Content, **attributes: str) -> Safe:
    """One HTML element; text and attribute values are escaped. A trailing underscore in an attribute's name is dropped (`class_`)."""
    words = "".join(f' {key.rstrip("_")}="{html.escape(value)}"' for key, value in attributes.items())
    return Safe(f"<{name}{words}>{join(children)}</{name}>")


def void(name: str, **attributes: str) -> Safe:
    """An element that has no end tag."""
    words = "".join(f' {key}="{html.escape(value)}"' for key, value in attributes.items())
    return Safe(f"<{name}{words}>")


def join(parts: Iterable[Content]) -> Safe:
    """Parts one after the other, text escaped."""
    return Safe("".join(part if isinstance(part, Safe) else html.escape(part) for part in parts))


def table(head: Sequence[Content], rows: Iterable[Sequence[Content]]) -> Safe:
    """A table in a card that scrolls when it is too wide; the first column is text, the others are numbers."""
    top = element("thead", element("tr", *(element("th", cell, scope="col") for cell in head)))
    body = element("tbody", *(element("tr", *(element("td", cell) for cell in row)) for row in rows))
    return element("div", element("table", top, body), class_="card")


def chart(svg: str) -> Safe:
    """An SVG on a white card, so that it reads well on a dark page too."""
    return element("div", Safe(svg), class_="card chart")


def picture(png: bytes, caption: str) -> Safe:
    """A picture that travels inside the page."""
    source = f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
    return element("figure", void("img", src=source, alt=caption, loading="lazy"), element("figcaption", caption))


def swatch(color: Sequence[int]) -> Safe:
    """A small square of a class colour."""
    return element("span", class_="swatch", style=f"background:#{bytes(color).hex()}")


def folded(title: str, *content: Content) -> Safe:
    """Content behind its title until it is opened."""
    return element("details", element("summary", title), *content)


def page(title: str, *content: Content) -> str:
    """The whole document."""
    head = element(
        "head",
        Safe('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        element("title", title),
        Safe(f"<style>{STYLE}</style>"),
    )
    return f'<!DOCTYPE html>\n<html lang="en">{head}{element("body", element("main", *content))}</html>\n'
