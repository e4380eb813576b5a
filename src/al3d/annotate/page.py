"""One open page: what the browser says goes into a sitting, what the sitting shows goes onto the screen and back as plain words."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from al3d.annotate.scenery import Region, Scenery
from al3d.annotate.screen import Screen
from al3d.annotate.sitting import Run, Shown, Sitting, classes_of
from al3d.annotate.split import parts_of
from al3d.people.answers import Answer

#: How many answers the list shows, the newest first.
LISTED = 2000
#: How many queries are made ready before they are shown.
AHEAD = 2
State = dict[str, Any]


class Page:
    """A sitting with its clouds and its screen. One thread at a time may call it; the screen may come later, and again after a lost connection."""

    def __init__(self, run: Run, scenery: Scenery, who: str) -> None:
        self.run, self.scenery = run, scenery
        self.sitting = Sitting(run, who)
        self.screen: Screen | None = None
        self.bright = True
        self._looked_at: Region | None = None
        self._drawn = -1
        self._actions: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "class": lambda said: self.sitting.give(_number(said, "index")),
            "unsure": lambda said: self.sitting.give(None),
            "back": lambda said: self.sitting.back(),
            "guess": lambda said: self.sitting.reveal(),
            "split": lambda said: self._split(),
            "view": lambda said: self._next_view(),
            "bright": lambda said: self._toggle(),
            "show": lambda said: self.sitting.revisit(_number(said, "round"), str(said.get("scene")), _number(said, "unit")),
            "alive": lambda said: None,
        }

    def act(self, said: Mapping[str, Any]) -> State:
        """Do what the browser says, draw, and return what the page should say.

        What is meant for a query that is no longer shown is dropped. Raises: ValueError for what no page says.
        """
        action = self._actions.get(str(said.get("do")))
        if action is None:
            raise ValueError(f"no page says {str(said.get('do'))[:40]!r}")
        self.sitting.words = ""
        if said.get("do") == "alive":
            self.sitting.alive()
        elif said.get("do") == "show" or said.get("serial") == self.sitting.serial:
            self.sitting.alive()
            action(said)
        self.draw()
        return self.state()

    def attach(self, screen: Screen) -> None:
        """Draw on this screen from now on."""
        self.screen, self._drawn, self._looked_at = screen, -1, None
        self.draw()

    def rectangle(self, low: tuple[float, float], high: tuple[float, float]) -> State:
        """Cut what is shown into what lies in a rectangle of the picture and the rest."""
        shown = self.sitting.shown
        if shown is not None and self.screen is not None:
            inside = self.screen.within(self.scenery.cloud(shown.query.scene), shown.target, low, high)
            self.sitting.words = ""
            self.sitting.cut([part for part in (shown.target[inside], shown.target[~inside]) if len(part)])
            self.draw()
        return self.state()

    def tick(self) -> State:
        """See what others did; called every few seconds."""
        self.sitting.rest()
        self.run.refresh()
        self.sitting.answers.refresh()
        if self.sitting.shown is None and self.sitting.left():
            self.sitting.go_on()
        self.draw()
        return self.state()

    def draw(self) -> None:
        """Bring the screen up to what is shown: the scene, then the region from its best viewpoint."""
        shown = self.sitting.shown
        if self.screen is None or self._drawn == self.sitting.serial:
            return
        self._drawn = self.sitting.serial
        if shown is None:
            self.screen.clear()
            self._looked_at = None
            return
        self.screen.begin(self.scenery.cloud(shown.query.scene))
        region = self.scenery.region(shown.query)
        if self._looked_at is not region:
            self._looked_at = region
            self.screen.look(region.cloud, region.views[0])
        self.screen.draw(region, shown, self.run.classes, self.bright)

    def prepare(self) -> None:
        """Make what is likely to be shown next, while somebody looks at what is shown now."""
        shown = self.sitting.shown
        ahead = [query for query in self.sitting.left() if shown is None or query != shown.query][:AHEAD]
        for query in ahead:
            self.scenery.region(query)

    def state(self) -> State:
        """Everything the page says, as JSON can say it."""
        sitting, shown = self.sitting, self.sitting.shown
        counts, left, pace = sitting.counts(), len(sitting.left()), sitting.pace()
        colours = ["#" + bytes(colour).hex() for colour in self.run.classes.colors]
        guess = None if sitting.guess is None else self.run.classes.names[sitting.guess]
        return {
            "serial": sitting.serial,
            "who": sitting.who,
            "classes": [{"name": name, "colour": colour, "count": counts[name]} for name, colour in zip(self.run.classes.names, colours, strict=True)],
            "unsure": counts["unsure"],
            "query": None if shown is None else described(shown),
            "guess": guess,
            "words": sitting.words,
            "done": sitting.done(),
            "total": len(self.run.queries),
            "left": left,
            "pace": None if pace is None else round(pace, 1),
            "minutes": None if pace is None else math.ceil(left / pace),
            "bright": self.bright,
            "model": self.run.model,
            "answers": [listed(answer) for answer in reversed(sitting.answers.history()) if answer.kind != "shown"][:LISTED],
        }

    def close(self) -> None:
        """The browser is gone."""
        self.sitting.close()

    def _split(self) -> None:
        shown = self.sitting.shown
        if shown is not None:
            cloud = self.scenery.cloud(shown.query.scene)
            self.sitting.cut(parts_of(cloud.places(shown.target), cloud.colours(shown.target), shown.target))

    def _next_view(self) -> None:
        region = self._looked_at
        if region is not None and self.screen is not None:
            self.sitting.view = (self.sitting.view + 1) % len(region.views)
            self.screen.look(region.cloud, region.views[self.sitting.view])

    def _toggle(self) -> None:
        self.bright, self._drawn = not self.bright, -1


def described(shown: Shown) -> State:
    """What is shown, in a few words for the page."""
    parts = len(shown.given) + len(shown.waiting) + 1
    query = shown.query
    return {
        "round": query.round,
        "scene": query.scene,
        "unit": query.unit,
        "points": len(shown.target),
        "part": len(shown.given) + 1,
        "parts": parts,
    }


def listed(answer: Answer) -> State:
    """A line of the list of answers."""
    said = "taken back" if answer.kind == "undo" else ", ".join(classes_of(answer))
    return {
        "round": answer.round,
        "scene": answer.scene,
        "unit": answer.unit,
        "class": said,
        "kind": answer.kind,
        "who": answer.who,
        "time": answer.time,
        "seconds": answer.seconds,
        "guess": answer.guess_shown,
    }


def _number(said: Mapping[str, Any], key: str) -> int:
    value = said.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{key} must be a whole number")
    return value
