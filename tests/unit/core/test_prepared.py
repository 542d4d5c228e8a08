"""Messages framed and compressed once, for many."""

from __future__ import annotations

from typing import Any

import pytest

from duplexer.core import opcodes
from duplexer.core.prepared import Prepared
from duplexer.core.session import Session
from tests.wire.frames import (
    TEXT,
)
from tests.wire.sessions import carry, make, messages, pair, sent


def send(session: Session, prepared: Prepared) -> None:
    wire = prepared.wire_for(session)
    assert wire is not None
    session.send_prepared(*wire)


@pytest.mark.parametrize(
    ("message", "text", "opcode"),
    [
        ("Grüße", None, opcodes.TEXT),
        ("x", False, opcodes.BINARY),
        (b"x", None, opcodes.BINARY),
        (b"x", True, opcodes.TEXT),
        (bytearray(b"x"), None, opcodes.BINARY),
        (memoryview(b"axa")[1:2], None, opcodes.BINARY),
    ],
)
def test_what_it_is(message: Any, text: bool | None, opcode: int) -> None:
    prepared = Prepared(message, text)
    data = message.encode() if isinstance(message, str) else bytes(message)
    assert (prepared.opcode, prepared.data) == (opcode, data)


@pytest.mark.parametrize("message", [None, 5, ["a"], memoryview(b"abcd")[::2]])
def test_what_it_cannot_be(message: Any) -> None:
    with pytest.raises(TypeError):
        Prepared(message)


def test_the_work_is_done_once_for_all_who_agreed_on_the_same() -> None:
    prepared = Prepared("Hello " * 100)
    plain, packed = make(), make(deflate=True)
    assert prepared.wire_for(plain) is prepared.wire_for(make())
    assert prepared.wire_for(packed) is prepared.wire_for(make(deflate=True))
    send(plain, prepared)
    send(packed, prepared)
    assert [frame.rsv for frame in sent(plain) + sent(packed)] == [0, 4]


def test_a_client_has_to_mask_each_by_itself() -> None:
    assert Prepared("Hello").wire_for(make(False)) is None


def test_compress_is_the_users_say() -> None:
    session = make(deflate=True)
    for compress, message in ((False, "x" * 1000), (True, "x"), (None, "x")):
        send(session, Prepared(message, compress=compress))
    assert [frame.rsv for frame in sent(session)] == [0, 4, 0]


# -- prepared --------------------------------------------------------------------------------------


def test_who_may_be_sent_the_same() -> None:
    assert make(False).prepare_key() is None
    assert make().prepare_key() == make().prepare_key() is not None
    assert make(deflate=True).prepare_key() == make(deflate=True).prepare_key()
    assert make(deflate=True).prepare_key() != make().prepare_key()


@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("size", [0, 10, 1000, 100_000])
def test_prepared_in_the_midst_of_others(size: int, deflate: bool) -> None:
    client, server = pair(deflate=deflate)
    data = (b"Hello, world! " * (size // 14 + 1))[:size]
    wire, rsv = server.prepare(TEXT, data, None)
    assert rsv == (4 if deflate and size >= 128 else 0)
    wanted = []
    for i in range(3):
        other = f"{i} Hello, world! " * 20
        server.send_message(other, None, None)
        server.send_prepared(wire, rsv)
        wanted += [other, data.decode()]
    carry(server, client)
    assert messages(client) == wanted and client.error is None
