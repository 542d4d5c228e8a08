"""Requests and responses as data."""

from __future__ import annotations

import copy

import pytest

from duplexer._version import VERSION
from duplexer.http.headers import Headers
from duplexer.http.messages import (
    SERVER,
    USER_AGENT,
    Request,
    Response,
    is_upgrade,
    make_response,
    reason_for,
)


def test_request() -> None:
    request = Request("/a?b", Headers(Host="h"))
    assert request.method == "GET"
    assert request.version == "HTTP/1.1"
    assert request.body == b""
    assert request.serialize() == b"GET /a?b HTTP/1.1\r\nHost: h\r\n\r\n"
    assert Request("*", Headers(), "POST", b"x").serialize() == b"POST * HTTP/1.1\r\n\r\nx"
    assert copy.deepcopy(request) == request
    assert not hasattr(request, "__dict__")


@pytest.mark.parametrize("char", ["\r", "\n", "\0", " ", "\x7f", "\u010d", "#", "\xe9"])
def test_request_injection(char: str) -> None:
    with pytest.raises(ValueError, match="invalid request target"):
        Request(f"/{char}", Headers()).serialize()
    with pytest.raises(ValueError, match="invalid method"):
        Request("/", Headers(), f"GET{char} x").serialize()
    with pytest.raises(ValueError, match="invalid request target"):
        Request("", Headers()).serialize()


def test_response() -> None:
    response = Response(200, "OK", Headers({"Content-Length": "1"}), b"x")
    assert response.serialize() == b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
    assert response.serialize(body=False) == b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"
    assert Response(101, "", Headers()).serialize() == b"HTTP/1.1 101 \r\n\r\n"


@pytest.mark.parametrize("char", ["\r", "\n", "\0", "\x1b", "\u010d"])
def test_response_injection(char: str) -> None:
    with pytest.raises(ValueError, match="invalid reason phrase"):
        Response(200, f"O{char}K", Headers()).serialize()


@pytest.mark.parametrize("status", [0, 99, 1000, -200])
def test_response_status(status: int) -> None:
    with pytest.raises(ValueError, match="invalid status code"):
        Response(status, "", Headers()).serialize()


def test_make_response() -> None:
    response = make_response(404, b"no", headers=Headers(A="1"))
    assert response.reason_phrase == "Not Found"
    assert dict(response.headers) == {
        "content-type": "text/plain; charset=utf-8",
        "content-length": "2",
        "a": "1",
    }
    response = make_response(200, b"no", headers=Headers({"Content-Type": "x/y"}))
    assert response.headers.get_all("Content-Type") == ["x/y"]


def test_reason() -> None:
    assert reason_for(101) == "Switching Protocols"
    assert reason_for(799) == ""


def test_version_is_told_and_nothing_else() -> None:
    assert SERVER == USER_AGENT == f"duplexer/{VERSION}"


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], False),
        ([("Upgrade", "websocket")], True),
        ([("Upgrade", "WebSocket")], True),
        ([("Upgrade", "h2c, websocket")], True),
        ([("Upgrade", "h2c"), ("Upgrade", "websocket")], True),
        ([("Upgrade", "h2c")], False),
        ([("Upgrade", "")], False),
        ([("Upgrade", "websockets")], False),
        ([("Upgrade", "h2c"), ("Sec-WebSocket-Key", "x")], True),
        ([("Sec-WebSocket-Version", "13")], True),
        ([("Connection", "Upgrade")], False),
    ],
)
def test_is_upgrade(pairs: list[tuple[str, str]], expected: bool) -> None:
    assert is_upgrade(Request("/", Headers(pairs))) is expected
