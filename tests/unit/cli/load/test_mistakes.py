"""Mistakes by kind: messages, connections that cannot be opened, connections that end."""

from __future__ import annotations

import errno
import pickle
import ssl
from typing import Any

import pytest

from duplexer.cli.load.mistakes import MESSAGE_KINDS, MOST_ROWS, OTHER_KINDS, Mistakes, difference
from duplexer.cli.outcome import Status
from duplexer.errors import Close, ConnectionClosedError

URI = "ws://localhost:1"


def counts(mistakes: Mistakes) -> dict[str, int]:
    return {row.kind: row.count for row in mistakes.sorted()}


@pytest.mark.parametrize("kind", [*MESSAGE_KINDS, *OTHER_KINDS])
def test_each_kind_has_words_and_a_cure(kind: str) -> None:
    mistakes = Mistakes()
    mistakes.add(kind, "the first", 3)
    mistakes.add(kind, "the second")
    (row,) = mistakes.sorted()
    assert (row.kind, row.count, row.example) == (kind, 4, "the first")
    assert row.message and row.cure
    assert row.status == (Status.WRONG if kind in MESSAGE_KINDS else Status.CLOSED)


def test_the_most_frequent_first() -> None:
    mistakes = Mistakes()
    mistakes.add("lost")
    mistakes.add("unsent", count=2)
    assert [row.kind for row in mistakes.sorted()] == ["unsent", "lost"]
    assert mistakes.total() == 3


def test_a_verdict_may_change() -> None:
    mistakes = Mistakes()
    mistakes.add("lost", count=2)
    mistakes.move("lost", "out-of-order")
    assert counts(mistakes) == {"lost": 1, "out-of-order": 1}
    mistakes.move("lost", "out-of-order")
    assert counts(mistakes) == {"out-of-order": 2}


@pytest.mark.parametrize(
    ("error", "kind", "status", "cure"),
    [
        (ConnectionRefusedError(), "unreachable", Status.UNREACHABLE, "server running"),
        (TimeoutError(), "timeout", Status.TIMEOUT, "--open-timeout"),
        (ssl.SSLError(1, "wrong"), "tls", Status.UNREACHABLE, "ws://"),
        (OSError(errno.EMFILE, "Too many"), "out-of-files", Status.UNREACHABLE, "ulimit"),
        (OSError(errno.EADDRNOTAVAIL, "No"), "out-of-ports", Status.UNREACHABLE, "port_range"),
    ],
)
def test_connections_that_cannot_be_opened(
    error: Exception, kind: str, status: Status, cure: str
) -> None:
    mistakes = Mistakes()
    mistakes.add_failure(error, URI)
    mistakes.add_failure(error, URI)
    (row,) = mistakes.sorted()
    assert (row.kind, row.count, row.status) == (kind, 2, status)
    assert cure in row.cure
    failure = mistakes.failure(URI)
    assert (failure.exit_code, failure.cure) == (status, row.cure)


def test_an_error_of_our_own_is_none_of_the_servers() -> None:
    with pytest.raises(ZeroDivisionError):
        Mistakes().add_failure(ZeroDivisionError(), URI)


def test_connections_that_end() -> None:
    mistakes = Mistakes()
    close = Close(1013, "busy")
    mistakes.add_closed(ConnectionClosedError(close, close, True, "...\nWhat to do: wait\nmore"))
    lost = ConnectionClosedError(None, None)
    lost.__cause__ = ConnectionResetError("reset")
    mistakes.add_closed(lost)
    first, second = mistakes.sorted()
    assert "1013" in first.message and "busy" in first.message
    assert first.cure == "wait"
    assert second.message.endswith(": reset")


def test_a_server_cannot_make_the_report_endless() -> None:
    mistakes = Mistakes()
    for number in range(1000):
        close = Close(4000, str(number))
        mistakes.add_closed(ConnectionClosedError(close, close, True))
    assert mistakes.total() == 1000
    assert len(mistakes.rows) == MOST_ROWS + 1


def many_reasons() -> Mistakes:
    """As many rows as there may be."""
    mistakes = Mistakes()
    for number in range(MOST_ROWS):
        mistakes.add_closed(ConnectionClosedError(Close(4000, f"r{number}"), None))
    assert len(mistakes.rows) == MOST_ROWS
    return mistakes


@pytest.mark.parametrize("kind", [*MESSAGE_KINDS, *OTHER_KINDS])
def test_a_kind_keeps_its_words_when_there_are_many_reasons(kind: str) -> None:
    words, cure = {**MESSAGE_KINDS, **OTHER_KINDS}[kind]
    mistakes = many_reasons()
    mistakes.add(kind, "the first")
    mistakes.add(kind)
    (row,) = (row for row in mistakes.sorted() if row.kind == kind)
    assert (row.message, row.cure, row.count, row.example) == (words, cure, 2, "the first")


def test_a_verdict_may_change_when_there_are_many_reasons() -> None:
    mistakes = many_reasons()
    mistakes.add("lost", "where")
    mistakes.move("lost", "out-of-order")
    (row,) = (row for row in mistakes.sorted() if row.kind != "closed")
    assert (row.kind, row.count, row.example) == ("out-of-order", 1, "where")
    assert row.message == MESSAGE_KINDS["out-of-order"][0]


def test_merging() -> None:
    ours, theirs = Mistakes(), Mistakes()
    ours.add("lost")
    theirs.add("lost", "an example", 2)
    theirs.add("unsent")
    ours.merge(pickle.loads(pickle.dumps(theirs)))
    assert counts(ours) == {"lost": 3, "unsent": 1}
    assert counts(theirs) == {"lost": 2, "unsent": 1}


@pytest.mark.parametrize(
    ("wanted", "message", "words"),
    [
        (b"abc", b"abd", "from byte 2 on, b'd' came, b'c' was sent"),
        (b"abc", b"ab", "2 bytes came, 3 were sent"),
        (b"abc", "abc", "text came, binary was sent"),
        ("abc", b"abc", "binary came, text was sent"),
    ],
)
def test_differences(wanted: Any, message: Any, words: str) -> None:
    assert difference(wanted, message) == words
