"""Nobody comes in without the token, by another name or from another page."""

import socket

import pytest

from al3d.annotate.door import Door, listening

DOOR = Door(8080, "s3cret")
HOME = {"Host": "127.0.0.1:8080"}


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1:8080"])
def test_the_page_itself_comes_in(host):
    assert DOOR.refusal("/s3cret/", {"Host": host}, websocket=False) is None
    assert DOOR.refusal("/s3cret/page?view=1", {"Host": host, "Origin": f"http://{host}"}, websocket=True) is None


@pytest.mark.parametrize("host", [None, "", "localhost", "127.0.0.1:8081", "evil.example:8080", "127.0.0.1.evil.example:8080", "[::1]:8080", "LOCALHOST:80"])
def test_other_hosts_do_not(host):
    headers = {} if host is None else {"Host": host}
    assert "127.0.0.1:8080 only" in DOOR.refusal("/s3cret/", headers, websocket=False)


@pytest.mark.parametrize("origin", ["null", "http://evil.example", "https://127.0.0.1:8080", "http://127.0.0.1:8081", "http://127.0.0.1:8080.evil.example", ""])
@pytest.mark.parametrize("websocket", [True, False])
def test_other_origins_do_not(origin, websocket):
    assert "another page" in DOOR.refusal("/s3cret/", {**HOME, "Origin": origin}, websocket)


def test_a_websocket_says_where_it_comes_from():
    assert "another page" in DOOR.refusal("/s3cret/page", HOME, websocket=True)


@pytest.mark.parametrize("path", ["/", "", "/wrong/", "/s3cre/", "/s3cretX/", "//s3cret/", "/x?/s3cret/", "/../s3cret/", "/é/"])
def test_other_tokens_do_not(path):
    assert "token" in DOOR.refusal(path, HOME, websocket=False)


def test_tokens_differ_and_are_long():
    tokens = {Door(1).token for _ in range(20)}
    assert len(tokens) == 20 and min(map(len, tokens)) >= 32


def test_paths():
    assert DOOR.inside("/s3cret/view/ab/?x=1") == "view/ab/"
    assert DOOR.inside("/s3cret/") == "" and DOOR.inside("/s3cret") == ""
    assert DOOR.url == "http://127.0.0.1:8080/s3cret/"


def test_a_taken_port_is_an_error_in_words():
    with listening(0) as taken:
        port = taken.getsockname()[1]
        assert taken.getsockname()[0] == "127.0.0.1"
        with pytest.raises(ValueError, match=f"port {port} is taken, by another page perhaps"):
            listening(port)
    with listening(port) as again:
        assert again.getsockname()[1] == port


def test_a_port_taken_on_all_addresses(tmp_path):
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        with pytest.raises(ValueError, match="is taken"):
            listening(other.getsockname()[1])


@pytest.mark.parametrize("port", [-1, 70_000])
def test_a_port_that_is_none(port):
    with pytest.raises(ValueError, match="from 0 to 65535"):
        listening(port)
