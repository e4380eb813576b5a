"""The page's server: viser's own, with the door in front of its HTTP and its websocket, and a second websocket for what the page says."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import secrets
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from al3d.annotate.door import ADDRESS, Door, listening
from al3d.annotate.page import Page, State
from al3d.annotate.scenery import Scenery
from al3d.annotate.screen import Screen
from al3d.annotate.sitting import Run
from al3d.progress import console

try:
    import viser
    import websockets.asyncio.server as sockets
    from websockets.datastructures import Headers
    from websockets.exceptions import ConnectionClosed
    from websockets.http11 import Request, Response
except ImportError as missing:
    raise ValueError(f"the page for labelling needs viser, which is not installed ({missing}): pip install 'al3d[annotate]'") from missing

HERE = Path(__file__).parent
#: Seconds between two looks at what others did, and the longest message and name that a page may send.
TICK, LONGEST, NAME = 4.0, 4096, 60
#: The page may load nothing but itself, and nobody may frame it.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; worker-src 'self' blob: data:; "
    "img-src 'self' blob: data:; font-src 'self' data:; connect-src 'self' blob: data: ws://{host}; frame-ancestors 'self'; form-action 'none'; base-uri 'none'"
)
#: viser's panel, title bar and logo: the page has its own. What is left is the picture.
ONLY_PICTURE = "<style>body{background:#1b1f26} .mantine-Paper-root,.mantine-Notification-root,.mantine-Modal-root{display:none!important}</style>"
_view: ContextVar[str] = ContextVar("view", default="")


class Viewer(viser.ViserServer):
    """viser without the public address that its clients may ask for."""

    def request_share_url(self, verbose: bool = True) -> str | None:
        """Nothing: what is labelled stays on this machine."""
        return None


class Server:
    """Serves the page of a run on this machine alone until it is stopped. Raises: ValueError when the port is taken."""

    def __init__(self, run: Run, scenery: Scenery, who: str, port: int) -> None:
        self.run, self.scenery, self.who = run, scenery, who
        own = listening(port)
        self.door = Door(own.getsockname()[1])
        self.files = {"": (HERE / "page.html").read_text(encoding="utf-8"), "view": _viser_page()}
        self.open: dict[str, Open] = {}
        self._helpers = ThreadPoolExecutor(8, "page")
        with _served_by(self, own), redirect_stdout(io.StringIO()):  # viser says an address without the token
            self.viewer = Viewer(host=ADDRESS, port=self.door.port, verbose=False)
        self.viewer.on_client_connect(self._screen_came)

    def stop(self) -> None:
        """Close every page and stop listening."""
        for page in list(self.open.values()):
            page.page.close()
        with redirect_stdout(io.StringIO()):
            self.viewer.stop()
        self._helpers.shutdown(wait=False, cancel_futures=True)

    # --- HTTP

    def answer(self, connection: sockets.ServerConnection, request: Request) -> Response | None:
        """The response to a request; None lets a websocket in."""
        websocket = request.headers.get("Upgrade", "").lower() == "websocket"
        names = ("Host", "Origin")
        given = {name: request.headers.get_all(name) for name in names}
        if any(len(values) > 1 for values in given.values()):
            return _plain(400, "one Host and one Origin are enough")
        refused = self.door.refusal(request.path, {name: values[0] for name, values in given.items() if values}, websocket)
        if refused is not None:
            return _plain(403, refused)
        inside = self.door.inside(request.path)
        if websocket:
            return None if inside == "page" or inside.startswith("view/") else _plain(404, "no such page")
        return self._file(inside, request)

    def _file(self, inside: str, request: Request) -> Response:
        if inside == "":
            text = self.files[""].replace("__VIEW__", secrets.token_hex(8))
        elif inside.startswith("view/"):
            text = self.files["view"]
        else:
            return _plain(404, "no such page")
        packed = "gzip" in request.headers.get("Accept-Encoding", "")
        body = gzip.compress(text.encode(), 1) if packed else text.encode()
        return _response(200, body, "text/html", request.headers["Host"], "gzip" if packed else None)

    # --- websockets

    def route(self, viser_handler: Callable[[Any], Awaitable[None]]) -> Callable[[sockets.ServerConnection], Awaitable[None]]:
        """Where a websocket that was let in goes: to the page's own talk, or to viser, which is told whose picture it draws."""

        async def handle(connection: sockets.ServerConnection) -> None:
            path = connection.request.path if connection.request else ""
            inside = self.door.inside(path)
            if inside == "page":
                await self._talk(connection, parse_qs(urlsplit(path).query))
            else:
                _view.set(inside.removeprefix("view/").strip("/"))
                await viser_handler(connection)

        return handle

    async def _talk(self, connection: sockets.ServerConnection, query: dict[str, list[str]]) -> None:
        who = (query.get("who") or [self.who])[0].strip()[:NAME] or self.who
        view = (query.get("view") or [""])[0]
        try:
            page = await self._work(lambda: Page(self.run, self.scenery, who))
        except (ValueError, OSError) as error:
            await connection.send(json.dumps({"error": str(error)}))
            return
        own = Open(self, page, connection)
        self.open[view] = own
        try:
            await own.talk()
        finally:
            if self.open.get(view) is own:
                del self.open[view]
            await self._work(page.close)

    async def _screen_came(self, client: viser.ClientHandle) -> None:
        """A picture connected, for the first time or again: the page whose it is draws on it."""
        view = _view.get()
        for _ in range(100):
            if view in self.open:
                await self.open[view].attach(client)
                return
            await asyncio.sleep(0.1)

    async def _work(self, what: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._helpers, what)


class Open:
    """A page that is open in a browser, and the connection on which it talks; one action at a time."""

    def __init__(self, server: Server, page: Page, connection: sockets.ServerConnection) -> None:
        self.server, self.page, self.connection = server, page, connection
        self._turn = asyncio.Lock()
        self._said = ""
        self._loop = asyncio.get_running_loop()
        self._ahead: asyncio.Future[Any] | None = None

    async def talk(self) -> None:
        """Answer what the browser says until it is gone."""
        ticking = asyncio.create_task(self._tick())
        try:
            await self._act(self.page.state)
            async for message in self.connection:
                await self._answer(message)
        except ConnectionClosed:
            pass
        finally:
            ticking.cancel()

    async def attach(self, client: viser.ClientHandle) -> None:
        """Draw on this client from now on."""

        def attached() -> State:
            screen = Screen(client)
            screen.on_rectangle(lambda low, high: self._from_thread(lambda: self.page.rectangle(low, high)))
            self.page.attach(screen)
            return self.page.state()

        await self._act(attached)

    async def tell(self, state: State) -> None:
        """Send what the page should say, unless it says it already."""
        text = json.dumps(state)
        if text != self._said:
            self._said = text
            with suppress(ConnectionClosed):
                await self.connection.send(text)
        if self._ahead is None or self._ahead.done():
            self._ahead = self._loop.run_in_executor(self.server._helpers, _logged(self.page.prepare))

    async def _answer(self, message: str | bytes) -> None:
        try:
            said = json.loads(message) if len(message) <= LONGEST else None
            if not isinstance(said, dict):
                raise ValueError("a page sends small JSON objects")
        except (ValueError, RecursionError) as error:
            await self._complain(error)
            return
        await self._act(lambda: self.page.act(said))

    async def _act(self, what: Callable[[], State]) -> None:
        """Do something and tell the page, or tell it why that cannot be."""
        try:
            await self.tell(await self._do(what))
        except (ValueError, OSError) as error:
            await self._complain(error)

    async def _complain(self, error: Exception) -> None:
        self._said = ""
        with suppress(ConnectionClosed):
            await self.connection.send(json.dumps({"error": str(error)}))

    async def _do(self, what: Callable[[], State]) -> State:
        async with self._turn:
            state: State = await self.server._work(what)
            return state

    def _from_thread(self, what: Callable[[], State]) -> None:
        asyncio.run_coroutine_threadsafe(self._act(what), self._loop)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            await self._act(self.page.tick)


@contextmanager
def _served_by(server: Server, own: Any) -> Iterator[None]:
    """Let the one websocket server that is started in the block listen at `own`, behind the server's door: viser itself checks nobody."""
    usual = sockets.serve

    def serve(handler: Any, host: Any, port: Any, *, process_request: Any, **options: Any) -> Any:
        return usual(server.route(handler), sock=own, process_request=server.answer, server_header=None, **options)

    sockets.serve = serve  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        sockets.serve = usual  # type: ignore[misc]


def _viser_page() -> str:
    """The client of viser as it is installed, read once: no request reaches the disk."""
    text = (Path(viser.__file__).parent / "client" / "build" / "index.html").read_text(encoding="utf-8")
    return text.replace("</head>", f"{ONLY_PICTURE}</head>", 1)


def _plain(status: int, words: str) -> Response:
    return _response(status, f"{words}\n".encode(), "text/plain", None, None)


def _response(status: int, body: bytes, kind: str, host: str | None, encoding: str | None) -> Response:
    headers = Headers(
        {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Connection": "close",
        }
    )
    if host is not None:
        headers["Content-Security-Policy"] = POLICY.format(host=host)
    if encoding is not None:
        headers["Content-Encoding"] = encoding
    reasons = {200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found"}
    return Response(status, reasons[status], headers, body)


def _logged(what: Callable[[], None]) -> Callable[[], None]:
    """Work ahead of its time: when it fails the same thing fails again, in words, once it is asked for."""

    def work() -> None:
        try:
            what()
        except (ValueError, OSError) as error:
            console.print(f"al3d: {error}", markup=False)

    return work
