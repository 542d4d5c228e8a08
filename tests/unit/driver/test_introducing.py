"""Hearing from a proxy for whom it speaks."""

from __future__ import annotations

from typing import Any

import pytest

from duplexer.driver.introducing import introduce
from duplexer.driver.steps import Read
from duplexer.errors import InvalidMessage
from duplexer.limits import Limits
from duplexer.policy.networks import Networks

PROXIES = Networks(["192.0.2.0/24"])


class Connection:
    limits = Limits()

    def __init__(self, host: str = "192.0.2.7") -> None:
        self.remote_address = (host, 40000)
        self.heard: list[Any] = []

    def introduce(self, source: Any) -> None:
        self.heard.append(source)


def follow(connection: Connection, data: bytes) -> bytes:
    """What is left of ``data`` after the steps, which are given all that they ask for."""
    steps = introduce(connection, PROXIES)
    try:
        step = next(steps)
        while True:
            assert isinstance(step, Read)
            assert step.size is not None
            piece, data = data[: step.size], data[step.size :]
            step = steps.send(piece)
    except StopIteration:
        return data


def test_who_is_no_proxy_is_not_asked() -> None:
    connection = Connection("198.51.100.1")
    assert list(introduce(connection, PROXIES)) == []
    assert list(introduce(connection, None)) == []
    assert connection.heard == []


def test_what_follows_is_left_alone() -> None:
    connection = Connection()
    left = follow(connection, b"PROXY TCP4 203.0.113.9 192.0.2.7 56324 443\r\nGET / HTTP/1.1\r\n")
    assert connection.heard == [("203.0.113.9", 56324)]
    assert left == b"GET / HTTP/1.1\r\n"


def test_a_proxy_may_speak_for_itself() -> None:
    connection = Connection()
    assert follow(connection, b"PROXY UNKNOWN\r\n") == b""
    assert connection.heard == [None]


@pytest.mark.parametrize("data", [b"", b"PROXY TCP4 203.0.113.9", b"GET / HTTP/1.1\r\n\r\n"])
def test_it_is_required(data: bytes) -> None:
    connection = Connection()
    with pytest.raises(InvalidMessage, match="PROXY header"):
        follow(connection, data)
    assert connection.heard == []


def test_it_has_to_come_in_time() -> None:
    steps = introduce(Connection(), PROXIES)
    next(steps)
    with pytest.raises(TimeoutError, match="no PROXY header came in time"):
        steps.throw(TimeoutError())
