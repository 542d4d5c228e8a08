"""What is sent: messages, fragments, nothing that is half."""

from __future__ import annotations

import array
import enum
from typing import Any

import pytest

from duplexer.core.sending import contiguous
from duplexer.core.session import Session
from duplexer.errors import (
    ConnectionClosedError,
    InvalidState,
)
from tests.naming import shown
from tests.wire.frames import (
    BINARY,
    CONT,
    PING,
    TEXT,
    Frame,
    joined,
    parse,
)
from tests.wire.sessions import feed, make, sent, to

# -- sending ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "text", "frame"),
    [
        ("", None, Frame(TEXT, b"")),
        ("Hello", None, Frame(TEXT, b"Hello")),
        ("Grüße", None, Frame(TEXT, "Grüße".encode())),
        ("Hello", False, Frame(BINARY, b"Hello")),
        ("ü", False, Frame(BINARY, b"\xc3\xbc")),
        (b"Hello", None, Frame(BINARY, b"Hello")),
        (b"Hello", True, Frame(TEXT, b"Hello")),
        (bytearray(b"Hello"), None, Frame(BINARY, b"Hello")),
        (memoryview(b"Hello"), True, Frame(TEXT, b"Hello")),
        (memoryview(b"Hello")[1:3], None, Frame(BINARY, b"el")),
        (array.array("B", [1, 2]), None, Frame(BINARY, b"\x01\x02")),
        (memoryview(b"abcdef").cast("B", (2, 3)), None, Frame(BINARY, b"abcdef")),
        (b"x" * 40_000, None, Frame(BINARY, b"x" * 40_000)),
        ("x" * 70_000, None, Frame(TEXT, b"x" * 70_000)),
    ],
    ids=shown,
)
def test_messages_are_framed(session: Session, message: Any, text: Any, frame: Frame) -> None:
    session.send_message(message, text, None)
    assert sent(session) == [frame]


class Colour(enum.StrEnum):
    RED = "red"


class Blob(bytes):
    pass


class Words(str):
    __slots__ = ()


@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize(
    ("message", "frame"),
    [
        (Colour.RED, Frame(TEXT, b"red")),
        (Words("plain"), Frame(TEXT, b"plain")),
        (Words("grün"), Frame(TEXT, "grün".encode())),
        (Blob(b"blob"), Frame(BINARY, b"blob")),
    ],
)
def test_subclasses_are_what_they_derive_from(message: Any, frame: Frame, deflate: bool) -> None:
    session = make(deflate=deflate)
    session.send_message(message, None, None)
    assert sent(session) == [frame]


@pytest.mark.parametrize(
    "message",
    [
        None,
        5,
        ["a"],
        memoryview(b"abcdef")[::2],
        array.array("I", [1]),
        memoryview(array.array("d", [1.0])),
    ],
    ids=shown,
)
def test_what_is_no_message_leaves_nothing_behind(session: Session, message: Any) -> None:
    with pytest.raises(TypeError):
        session.send_message(message, None, None)
    assert session.cork.size == 0
    session.send_message("x", None, None)
    assert sent(session) == [Frame(TEXT, b"x")]


def test_text_that_cannot_be_encoded_leaves_nothing_behind(session: Session) -> None:
    with pytest.raises(UnicodeEncodeError):
        session.send_message("\ud800", None, None)
    assert session.cork.size == 0


def test_a_client_masks_with_ever_new_keys() -> None:
    session = make(False)
    for _ in range(50):
        session.send_message(b"", None, None)
    keys = {frame.key for frame in parse(joined(session.cork.take()))}
    assert len(keys) == 50


def test_fragments(session: Session) -> None:
    session.send_part(b"Hel", True, False)
    with pytest.raises(InvalidState):
        session.send_message("no", None, None)
    with pytest.raises(InvalidState):
        session.send_prepared(b"\x81\x00", 0)
    session.send_ping(b"?", None, 0.0)
    session.send_part(b"", False, False)
    session.send_part(b"lo", False, True)
    session.send_message("yes", None, None)
    assert sent(session) == [
        Frame(TEXT, b"Hel", fin=False),
        Frame(PING, b"?"),
        Frame(CONT, b"", fin=False),
        Frame(CONT, b"lo"),
        Frame(TEXT, b"yes"),
    ]


def test_fragments_that_are_one(session: Session) -> None:
    session.send_part(b"Hello", False, True)
    assert sent(session) == [Frame(BINARY, b"Hello")]


def test_nothing_is_sent_after_our_close(session: Session) -> None:
    session.send_close(1000, "", 0.0)
    session.cork.take()
    for act in (
        lambda: session.send_message("x", None, None),
        lambda: session.send_part(b"x", True, True),
        lambda: session.send_prepared(b"\x81\x00", 0),
        lambda: session.send_ping(b"", None, 0.0),
    ):
        with pytest.raises(ConnectionClosedError):
            act()
    session.send_pong(b"")
    feed(session, to(session, PING, b"?"))
    assert session.cork.size == 0


# -- buffers ---------------------------------------------------------------------------------------


def test_contiguous() -> None:
    assert bytes(contiguous(bytearray(b"ab"))) == b"ab"
    view = contiguous(memoryview(b"abcd").cast("B", (2, 2)))
    assert view.ndim == 1 and view.nbytes == 4
    with pytest.raises(TypeError, match="not int"):
        contiguous(5)
