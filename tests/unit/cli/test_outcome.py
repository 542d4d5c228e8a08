"""Errors in words, and exit statuses."""

from __future__ import annotations

import errno
import io
import socket
import ssl

import pytest

from duplexer.cli.outcome import Failure, Status, bind_failure, connect_failure
from duplexer.errors import (
    InvalidMessage,
    InvalidStatus,
    InvalidUpgrade,
    InvalidURI,
    SecurityError,
)
from duplexer.http.headers import Headers
from duplexer.http.messages import Response

URI = "ws://example.com/"


def shown(failure: Failure) -> str:
    """What the user sees."""
    stream = io.StringIO()
    failure.show(stream)
    return stream.getvalue()


def test_a_failure_shows_culprit_detail_and_cure() -> None:
    failure = Failure("the [bold]culprit", "the cure", status=Status.REFUSED, detail="one\ntwo")
    assert failure.exit_code == 4
    assert shown(failure) == "error: the [bold]culprit\n  | one\n  | two\n  cure: the cure\n"


def test_a_failure_is_safe_on_a_terminal() -> None:
    assert "\x1b" not in shown(Failure("\x1b[2J", detail="\x1b]0;x\x07"))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EADDRINUSE, "in use"), "already in use by another program"),
        (PermissionError(errno.EACCES, "no"), "port 80 on host is not allowed to you"),
        (OSError(errno.EADDRNOTAVAIL, "no"), "host is not an address of this machine"),
        (OSError("could not bind on any address out of []"), "host is not an address"),
        (socket.gaierror(-2, "unknown"), "host is not an address of this machine"),
        (OSError(errno.EIO, "strange"), "cannot listen on port 80 on host: strange"),
    ],
)
def test_bind_failure(error: OSError, words: str) -> None:
    failure = bind_failure(error, "host", 80)
    assert words in failure.message
    assert failure.exit_code == 1


def verification_error() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (InvalidURI(URI, "why"), Status.USAGE, "why"),
        (TimeoutError(), Status.TIMEOUT, "in time"),
        (verification_error(), Status.UNREACHABLE, "self-signed certificate"),
        (ssl.SSLError(1, "wrong version"), Status.UNREACHABLE, "no TLS connection"),
        (socket.gaierror(-2, "unknown"), Status.UNREACHABLE, "no address is known"),
        (ConnectionRefusedError(), Status.UNREACHABLE, "nothing listens at"),
        (OSError("Multiple exceptions: Connect call failed"), Status.UNREACHABLE, "nothing"),
        (OSError(errno.EHOSTUNREACH, "no route"), Status.UNREACHABLE, "no route"),
        (EOFError("gone"), Status.UNREACHABLE, "gone"),
        (InvalidMessage("not HTTP"), Status.NOT_WEBSOCKET, "not HTTP"),
        (InvalidUpgrade("Upgrade", "h2c"), Status.NOT_WEBSOCKET, "h2c"),
        (SecurityError("downgrade"), Status.NOT_WEBSOCKET, "downgrade"),
    ],
)
def test_connect_failure(error: Exception, status: Status, words: str) -> None:
    failure = connect_failure(error, URI)
    assert failure.exit_code == status
    assert words in failure.message
    if status is not Status.UNREACHABLE:
        assert failure.cure


def test_the_cure_of_a_timeout_names_the_option() -> None:
    assert "--timeout" in connect_failure(TimeoutError(), URI).cure
    assert "--open-t" in connect_failure(TimeoutError(), URI, timeout_option="--open-t").cure


def test_a_refusal_has_status_body_and_when_to_try_again() -> None:
    body = b"x" * 1000
    response = Response(429, "Too Many Requests", Headers({"Retry-After": "7"}), body)
    failure = connect_failure(InvalidStatus(response), URI)
    assert failure.exit_code == Status.REFUSED
    assert "HTTP 429" in failure.message
    assert "after 7" in failure.cure
    assert len(failure.detail) < 400


def test_what_is_unknown_is_raised() -> None:
    with pytest.raises(KeyError):
        connect_failure(KeyError("x"), URI)


@pytest.mark.parametrize(
    ("uri", "cure"),
    [
        ("HTTP://a/b", "write ws://a/b"),
        ("https://a", "write wss://a"),
        ("a:1", "write ws://a:1"),
        ("ftp://a", "looks like"),
    ],
)
def test_the_cure_of_an_address(uri: str, cure: str) -> None:
    assert cure in connect_failure(InvalidURI(uri, "why"), uri).cure
