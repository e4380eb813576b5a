"""Who may come in: the checks that stand before anything is served, on HTTP and websocket alike."""

from __future__ import annotations

import errno
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

#: The one address that is listened at.
ADDRESS = "127.0.0.1"
NAMES = ("localhost", ADDRESS)


@dataclass(frozen=True)
class Door:
    """What lets a request in: a `Host` of this machine with this `port`, an `Origin` of the page itself, and the `token` that begins every path.

    The host refuses names of other sites that were made to point here (DNS rebinding), the origin pages of other sites in the same browser, and
    the token other users of this machine.
    """

    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{ADDRESS}:{self.port}/{self.token}/"

    def refusal(self, path: str, headers: Mapping[str, str], websocket: bool) -> str | None:
        """Why a request is turned away, in words; None when it may come in. A websocket must say its origin, as every browser does."""
        hosts = [f"{name}:{self.port}" for name in NAMES]
        if headers.get("Host") not in hosts:
            return f"this page is at {ADDRESS}:{self.port} only"
        origin = headers.get("Origin")
        if (websocket or origin is not None) and origin not in [f"http://{host}" for host in hosts]:
            return "this request comes from another page"
        if not secrets.compare_digest(self.given(path).encode(), self.token.encode()):
            return "the address must hold the token that `al3d annotate` printed"
        return None

    def given(self, path: str) -> str:
        """The part of a path where the token stands."""
        return path.partition("?")[0].removeprefix("/").partition("/")[0]

    def inside(self, path: str) -> str:
        """The path behind the token, without what follows a question mark."""
        return path.partition("?")[0].removeprefix("/").partition("/")[2]


def listening(port: int) -> socket.socket:
    """A socket that listens on this machine alone; port 0 takes a free one. Raises: ValueError when the port is taken or not allowed."""
    own = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        own.bind((ADDRESS, port))
        own.listen()
    except OSError as error:
        own.close()
        if error.errno == errno.EADDRINUSE:
            raise ValueError(f"port {port} is taken, by another page perhaps: end that one, or give another --port (0 takes a free one)") from None
        raise ValueError(f"port {port} cannot be used ({error.strerror}): give a --port from 1024 to 65535") from None
    except OverflowError:
        own.close()
        raise ValueError(f"--port {port}: give a number from 0 to 65535") from None
    return own
