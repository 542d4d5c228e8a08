"""A client's opening handshake as steps, driven by hand."""

from __future__ import annotations

import types
from typing import Any

import pytest

from duplexer.dialects.rfc6455 import RFC6455
from duplexer.driver.dial import open_client
from duplexer.driver.steps import Read, Write
from duplexer.errors import (
    InvalidHandshake,
    InvalidHeaderValue,
    InvalidMessage,
    InvalidStatus,
    InvalidUpgrade,
)
from duplexer.handshake.client import ClientHandshake
from duplexer.http.uri import parse_uri
from duplexer.limits import DEFAULT_LIMITS

RESPONSE = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


def run(*reads: bytes) -> tuple[Any, Any]:
    """The outcome, and the connection."""
    connection = types.SimpleNamespace(request=None, response=None)
    handshake = ClientHandshake(
        parse_uri("ws://example.com/chat"), dialect=RFC6455, key="dGhlIHNhbXBsZSBub25jZQ=="
    )
    steps = open_client(connection, handshake, DEFAULT_LIMITS)
    step = next(steps)
    assert isinstance(step, Write) and step.data.startswith(b"GET /chat HTTP/1.1\r\n")
    assert connection.request is handshake.request
    coming = list(reads)
    value = None
    try:
        while True:
            step = steps.send(value)
            assert isinstance(step, Read)
            value = coming.pop(0) if coming else b""
    except StopIteration as stop:
        return stop.value, connection


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_agreed(step: int) -> None:
    pieces = [RESPONSE[i : i + step] for i in range(0, len(RESPONSE), step)]
    (agreement, rest), connection = run(*pieces)
    assert agreement.dialect is RFC6455 and rest == b""
    assert connection.response is agreement.response


def test_what_came_with_the_answer_is_not_lost() -> None:
    (_, rest), _ = run(b"HTTP/1.1 103 Early Hints\r\n\r\n" + RESPONSE + b"\x81\x05Hello")
    assert rest == b"\x81\x05Hello"


@pytest.mark.parametrize(
    ("reads", "error"),
    [
        ([], InvalidMessage),
        ([RESPONSE[:30]], InvalidMessage),
        ([b"SSH-2.0-x\r\n"], InvalidMessage),
        ([b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"], InvalidStatus),
        ([b"HTTP/1.1 200 OK\r\n\r\n", b"<html>"], InvalidStatus),
        ([RESPONSE.replace(b"websocket", b"h2c")], InvalidUpgrade),
        ([RESPONSE.replace(b"s3pP", b"AAAA")], InvalidHeaderValue),
    ],
)
def test_failed(reads: list[bytes], error: type[InvalidHandshake]) -> None:
    with pytest.raises(error) as raised:
        run(*reads)
    assert type(raised.value) is error


def test_a_refusal_until_the_end_is_kept() -> None:
    with pytest.raises(InvalidStatus) as raised:
        run(b"HTTP/1.1 503 \r\n\r\nso", b"rry")
    assert raised.value.response.body == b"sorry"
