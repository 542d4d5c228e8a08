"""Between a WebSocket and its connection: endings, and what has not left yet."""

from __future__ import annotations

import asyncio
import errno
from types import SimpleNamespace
from typing import Any

import pytest

from duplexer.browser.link import Ending, Outstanding
from duplexer.errors import (
    Close,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidStatus,
    ProtocolError,
)


def closed(rcvd: int | None, sent: int | None, cause: BaseException | None = None) -> Any:
    error = ConnectionClosedError(rcvd and Close(rcvd, "r"), sent and Close(sent), True)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code", "clean", "failed"),
    [
        (closed(1000, 1000), 1000, True, False),
        (closed(1011, 1011), 1011, True, False),
        (closed(None, None), 1006, False, False),
        (closed(None, 1000), 1006, False, False),
        (closed(1000, None), 1000, False, False),
        (closed(None, None, ConnectionResetError()), 1006, False, False),
        (closed(None, None, OSError(errno.ETIMEDOUT, "")), 1006, False, False),
        (closed(None, 1002, ProtocolError("opcode-unknown")), 1006, False, True),
        (closed(None, 1011, TimeoutError("keepalive")), 1006, False, True),
        (closed(None, None, TimeoutError("send_timeout")), 1006, False, True),
        (closed(None, 1000, TimeoutError("close_timeout")), 1006, False, False),
        (InvalidStatus(SimpleNamespace(status_code=404)), 1006, False, True),
        (ConnectionRefusedError(), 1006, False, True),
    ],
)
def test_endings(error: Any, code: int, clean: bool, failed: bool) -> None:
    ending = Ending(error)
    assert (ending.code, ending.clean, ending.failed) == (code, clean, failed)


def test_the_reason_is_the_peers() -> None:
    assert Ending(ConnectionClosedOK(Close(1000, "bye"), Close(1000, ""), True)).reason == "bye"
    assert Ending(ConnectionRefusedError("x")).reason == ""


class Wire:
    """As much of a connection as is asked."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.lost = False
        self.written = 0
        self.waiting = 0
        self.cork = SimpleNamespace(size=0)
        self.transport = SimpleNamespace(get_write_buffer_size=lambda: self.waiting)

    def open_session(self) -> Any:
        return self

    def send(self, outstanding: Outstanding, size: int) -> None:
        begin = outstanding.position()
        self.written += size + 2
        self.waiting += size + 2
        outstanding.add(size, begin)


async def next_turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_outstanding() -> None:
    outstanding, wire = Outstanding(), Wire()
    assert outstanding.amount == 0
    outstanding.connection = wire  # type: ignore[assignment]
    wire.send(outstanding, 100)
    wire.send(outstanding, 50)
    assert outstanding.amount == 150
    wire.waiting = 0  # it has left, but this turn has not ended
    assert outstanding.amount == 150
    await next_turn()
    assert outstanding.amount == 0
    wire.send(outstanding, 98)
    wire.waiting = 50
    await next_turn()
    assert outstanding.amount == 49
    wire.send(outstanding, 10)
    assert outstanding.amount == 59
    outstanding.keep(5)
    assert outstanding.amount == 64
    wire.lost = True
    wire.waiting = 0
    await next_turn()
    assert outstanding.amount == 64
    outstanding.freeze()
    outstanding.keep(1)
    assert outstanding.amount == 65
