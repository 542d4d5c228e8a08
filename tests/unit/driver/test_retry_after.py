"""How long a server wants to be left alone."""

from __future__ import annotations

import pytest

from duplexer.driver.retry_after import asked_delay
from duplexer.errors import (
    Close,
    ConnectionClosedError,
    InvalidProxyStatus,
    InvalidStatus,
)
from duplexer.http.headers import Headers
from duplexer.http.messages import Response

NOON = 784_123_200.0  # Sun, 06 Nov 1994 12:00:00 GMT


def refused(*values: str, kind: type[InvalidStatus] = InvalidStatus) -> InvalidStatus:
    headers = Headers([("Retry-After", value) for value in values])
    return kind(Response(503, "Service Unavailable", headers))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("999999999", 999999999.0),
        ("Sun, 06 Nov 1994 12:00:30 GMT", 30.0),
        ("Sunday, 06-Nov-94 12:00:30 GMT", 30.0),
        ("Sun Nov  6 12:00:30 1994", 30.0),
        ("Sun, 06 Nov 1994 11:00:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("1_0", None),
        ("9" * 400, None),
        ("Sun, 99 Nov 1994 12:00:30 GMT", None),
        ("Sun, 06 Nov 99999 12:00:30 GMT", None),
    ],
)
def test_the_header(value: str, expected: float | None) -> None:
    assert asked_delay(refused(value), lambda: NOON) == expected


def test_no_header() -> None:
    assert asked_delay(refused()) is None


def test_of_several_the_last_counts() -> None:
    assert asked_delay(refused("1", "2")) == 2.0


def test_a_proxy_may_ask_too() -> None:
    response = Response(503, "x", Headers([("Retry-After", "3")]))
    assert asked_delay(InvalidProxyStatus(response)) == 3.0


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (1012, "retry-after=5", 5.0),
        (1013, "overloaded; Retry-After: 60, please", 60.0),
        (1012, "back soon", None),
        (1012, "retry-after=", None),
        (1012, "notretry-after=5", None),
        (1012, "retry-after=5x", None),
        (1000, "retry-after=5", None),
        (4000, "retry-after=5", None),
    ],
)
def test_the_reason_of_a_close(code: int, reason: str, expected: float | None) -> None:
    assert asked_delay(ConnectionClosedError(Close(code, reason), None)) == expected


def test_what_asks_for_nothing() -> None:
    assert asked_delay(OSError()) is None
    assert asked_delay(ConnectionClosedError(None, None)) is None
