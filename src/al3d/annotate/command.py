"""`al3d annotate RUN`: open the page on which a run's queries are labelled."""

from __future__ import annotations

import getpass
import threading
from pathlib import Path

from al3d.annotate.guesses import guesses_of
from al3d.annotate.scenery import Scenery
from al3d.annotate.sitting import Run
from al3d.data.labels import LabelState
from al3d.data.store import Store
from al3d.people.queries import points_of, queries_of
from al3d.progress import console


def annotate(run: Path, store: Store, port: int = 8080, who: str | None = None, second: float = 0.0) -> None:
    """Serve the page of the run in folder `run` until Ctrl-C.

    `who` labels (None: the name of the user), `second` 0..1 of the queries are shown to a second person, too.
    Raises: ValueError for a port that is taken, a share that is none, or a run that asks nobody.
    """
    from al3d.annotate.server import Server

    server = Server(*opened(run, store, second), who or getpass.getuser(), port)
    console.print(
        f"label {len(server.run.queries)} regions of {run} at\n  {server.door.url}\nCtrl-C ends it; every answer is kept as it is given.", markup=False
    )
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        server.stop()


def opened(run: Path, store: Store, second: float = 0.0) -> tuple[Run, Scenery]:
    """What the sittings of a run share, and its scenes. Raises: ValueError as `annotate`."""
    if not 0 <= second <= 1:
        raise ValueError(f"--second {second}: the share of the queries that a second person is shown, 0..1")
    queries = queries_of(run, store)
    if not queries:
        raise ValueError(f"{run} asks nothing yet: run the training until its first purchase")
    labels = LabelState(run, store)
    shared = Run(run, store.classes, queries, lambda query: points_of(query, labels), guesses_of(run, queries), second)
    return shared, Scenery(store.scene, shared.points_of)
