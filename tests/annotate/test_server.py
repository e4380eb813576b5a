"""The server itself, without a browser: who is let in, what it serves, and that nonsense does not end it."""

import http.client
import json
import socket
from functools import partial

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from al3d.annotate.command import opened
from al3d.annotate.server import Server
from al3d.data.labels import LabelState
from al3d.people.queries import write_queries
from al3d.units.point import PointUnit


@pytest.fixture(scope="module")
def server(tiny_store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    order = partial(write_queries, scenes=["t_1"] * 9, unit=range(9), points=[1] * 9)
    LabelState(folder, tiny_store).append({"t_1": range(9)}, PointUnit(), {}, order)
    server = Server(*opened(folder, tiny_store), "anna", 0)
    yield server
    server.stop()


def get(server, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.door.port, timeout=10)
    connection.putrequest("GET", path, skip_host=True, skip_accept_encoding=True)
    for name, value in {"Host": f"127.0.0.1:{server.door.port}", **headers}.items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    return response.status, response.read().decode(), dict(response.getheaders())


def talk(server, path="page", token=None, host=None, origin=""):
    port = server.door.port
    origin = f"http://127.0.0.1:{port}" if origin == "" else origin
    headers = {} if host is None else {"Host": host}
    path = f"ws://127.0.0.1:{port}/{token or server.door.token}/{path}"
    if host is None:
        return connect(path, origin=origin)
    own = socket.create_connection(("127.0.0.1", port))
    return connect(path.replace(f"127.0.0.1:{port}", host), sock=own, origin=origin, additional_headers={k: v for k, v in headers.items() if k != "Host"})


def test_the_page_and_the_picture_are_served(server):
    status, page, headers = get(server, f"/{server.door.token}/")
    assert status == 200 and "Class of the bright region" in page and "__VIEW__" not in page
    assert "frame-ancestors 'self'" in headers["Content-Security-Policy"] and headers["Referrer-Policy"] == "no-referrer"
    assert "http://" not in page and "https://" not in page  # nothing from elsewhere
    status, viewer, _ = get(server, f"/{server.door.token}/view/ab/")
    assert status == 200 and "Viser" in viewer and len(viewer) > 10**5


@pytest.mark.parametrize("inside", ["other", "view", "page.html", "../", "view%2f..%2f..", "..%2f..%2fetc/passwd", "index.html", "assets/x.js"])
def test_there_is_nothing_else(server, inside):
    assert get(server, f"/{server.door.token}/{inside}")[0] == 404


@pytest.mark.parametrize("path", ["/", "/index.html", "/view/ab/", "/WRONG/", "/WRONG/view/ab/"])
def test_without_the_token_nothing_is_served(server, path):
    assert get(server, path)[:2] == (403, "the address must hold the token that `al3d annotate` printed\n")


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Host": None}, {"Origin": "http://evil.example"}, {"Origin": "null"}])
def test_other_names_and_pages_are_refused(server, headers):
    for inside in ("", "view/ab/"):
        status, words, _ = get(server, f"/{server.door.token}/{inside}", **headers)
        assert status in (400, 403) and "Viser" not in words and "bright" not in words


@pytest.mark.parametrize("path", ["page?view=x", "view/x"])
@pytest.mark.parametrize(
    "wrong",
    [{"token": "WRONG"}, {"host": "evil.example"}, {"host": "evil.example:80"}, {"origin": "http://evil.example"}, {"origin": None}, {"origin": "null"}],
)
def test_websockets_are_refused_alike(server, path, wrong):
    with pytest.raises(InvalidStatus, match="403"), talk(server, path, **wrong):
        pass


def test_a_websocket_elsewhere(server):
    with pytest.raises(InvalidStatus, match="404"), talk(server, "elsewhere"):
        pass


def test_a_talk(server):
    with talk(server, "page?view=a&who=ben") as line:
        state = json.loads(line.recv(20))
        assert state["who"] == "ben" and state["query"]["unit"] == 0
        line.send(json.dumps({"do": "class", "index": 2, "serial": state["serial"]}))
        state = json.loads(line.recv(20))
        assert state["query"]["unit"] == 1 and state["answers"][0]["class"] == "ball"
        with talk(server, "page?view=b&who=cleo") as other:
            assert json.loads(other.recv(20))["query"]["unit"] == 2


@pytest.mark.parametrize("nonsense", ["", "{", "[]", "3", b"\xff\xfe", '{"do": "unsure", "serial": ' + "9" * 5000 + "}", "[" * 4000, '{"do": {"a": 1}}'])
def test_nonsense_is_answered_in_words_and_the_talk_goes_on(server, nonsense):
    with talk(server, "page?view=n&who=ben") as line:
        before = json.loads(line.recv(20))
        line.send(nonsense)
        assert json.loads(line.recv(20))["error"]
        line.send(json.dumps({"do": "bright", "serial": before["serial"]}))
        assert json.loads(line.recv(20))["done"] == before["done"]


def test_only_this_machine_is_listened_to(server):
    address = server.viewer.get_host(), server.viewer.get_port()
    assert address == ("127.0.0.1", server.door.port)
    assert server.viewer.request_share_url() is None
