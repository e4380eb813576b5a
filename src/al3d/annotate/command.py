"""`al3d annotate RUN`: open the page on which a run's queries are labelled."""

from __future__ import annotations

import getpass
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from al3d.annotate.guesses import guesses_of
from al3d.annotate.scenery import Scenery
from al3d.annotate.sitting import Run
from al3d.annotate.training import Training
from al3d.data.earlier import find_store
from al3d.data.labels import LabelState
from al3d.data.store import Store
from al3d.people.queries import Query, points_of, queries_of
from al3d.progress import console

#: Seconds between two looks at whether the next round can be trained.
TICK = 2.0

if TYPE_CHECKING:
    from al3d.annotate.server import Server


def annotate(run: Path, data: Path | None = None, port: int = 8080, who: str | None = None, second: float = 0.0, train: int | None = None) -> None:
    """Serve the page of the run in folder `run` until Ctrl-C.

    `data` holds its prepared scenes (None: the folder that its configuration names), `who` labels (None: the name of the user), `second` 0..1 of the
    queries are shown to a second person, too. After every `train` new answers a round is trained in the background (None: never).
    Raises: FileNotFoundError where there is no run or no data; ValueError for a port that is taken, a share that is none, or a run that asks nobody.
    """
    from al3d.annotate.server import Server

    shared, scenery = opened(run, find_store(run, data), second)
    serve(Server(shared, scenery, who or getpass.getuser(), port), None if train is None else Training(shared, train, data))


def serve(server: Server, training: Training | None = None) -> None:
    """Say where the page is, and stay until Ctrl-C, training meanwhile if asked to."""
    where = f"{len(server.run.queries)} regions of {server.run.folder} are asked about at\n  {server.door.url}"
    console.print(f"{where}\nCtrl-C ends it; every answer is kept as it is given.", markup=False)
    try:
        while True:
            time.sleep(TICK)
            if training is not None:
                training.tick()
    except KeyboardInterrupt:
        server.stop()
    finally:
        if training is not None:
            training.stop()


def opened(run: Path, store: Store, second: float = 0.0) -> tuple[Run, Scenery]:
    """What the sittings of a run share, and its scenes. Raises: ValueError as `annotate`."""
    if not 0 <= second <= 1:
        raise ValueError(f"--second {second}: the share of the queries that a second person is shown, 0..1")
    labels = LabelState(run, store)

    def read() -> list[Query]:
        labels.refresh()
        return queries_of(run, store)

    shared = Run(run, store.classes, read, lambda query: points_of(query, labels), partial(guesses_of, run), second)
    if not shared.queries:
        raise ValueError(f"{run} asks nothing yet: run the training until its first purchase")
    return shared, Scenery(store.scene, shared.points_of)
