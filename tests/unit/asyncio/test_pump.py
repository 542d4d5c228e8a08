"""Read events in, one write out: a wire on a transport that the test plays."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

import pytest

from duplexer.asyncio.client import connect
from duplexer.asyncio.connection import Connection
from duplexer.asyncio.pump import fan_out, pump_of
from duplexer.asyncio.server import serve
from duplexer.core.prepared import Prepared
from duplexer.core.session import Session
from duplexer.dialects.rfc6455 import RFC6455
from duplexer.errors import ConnectionClosed, ConnectionClosedError, InvalidState
from duplexer.limits import Limits
from tests.wire.frames import CLOSE, PING, PONG, TEXT, build, joined, parse


class Transport:
    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.reading = True
        self.ended = False

    def write(self, data: bytes) -> None:
        self.writes.append(bytes(data))

    def writelines(self, pieces: list[bytes]) -> None:
        self.writes.append(joined(list(pieces)))

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.ended

    def close(self) -> None:
        self.ended = True

    abort = close

    def get_extra_info(self, name: str) -> Any:
        return None


class Played(Connection):
    """The server's end of a connection that is open."""

    is_server = True

    def __init__(self, **changes: Any) -> None:
        limits = Limits(**{"ping_interval": None, "close_timeout": None} | changes)
        super().__init__(asyncio.get_running_loop(), limits, logging.getLogger("duplexer"))
        self.transport = Transport()
        self.write = self.transport.write
        self.session = Session(RFC6455, server=True, limits=limits)

    def read(self, *frames: bytes) -> None:
        """A read event."""
        data = b"".join(frames)
        self.get_buffer(-1)[: len(data)] = data
        self.buffer_updated(len(data))


async def turn() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_all_connections_of_a_loop_share_a_pump() -> None:
    assert pump_of(asyncio.get_running_loop()) is Played().pump is Played().pump


async def test_what_is_sent_in_a_turn_leaves_together() -> None:
    wire = Played()
    for i in range(3):
        assert await wire.send(str(i)) is None
    assert wire.transport.writes == []
    await turn()
    (data,) = wire.transport.writes
    assert [frame.payload for frame in parse(data)] == [b"0", b"1", b"2"]


async def test_answers_to_a_read_leave_together() -> None:
    wire = Played()

    async def echo() -> None:
        async for message in wire:
            await wire.send(message)

    task = asyncio.create_task(echo())
    await turn()
    asyncio.get_running_loop().call_soon(
        wire.read, build(TEXT, b"1"), build(PING, b"?"), build(TEXT, b"2")
    )
    await turn()
    (data,) = wire.transport.writes
    assert [frame.opcode for frame in parse(data)] == [PONG, TEXT, TEXT]
    wire.connection_lost(None)
    with pytest.raises(ConnectionClosedError):
        await task


async def test_above_the_mark_it_leaves_at_once() -> None:
    wire = Played(write_high=1000)
    wire.send(b"x" * 500)
    assert wire.transport.writes == []
    wire.send(b"x" * 600)
    assert len(wire.transport.writes) == 1
    await turn()
    assert len(wire.transport.writes) == 1


async def test_a_big_payload() -> None:
    wire = Played()
    wire.send(b"x" * 100_000)
    await turn()
    (frame,) = parse(b"".join(wire.transport.writes))
    assert frame.payload == b"x" * 100_000


async def test_reading_pauses_while_the_application_is_behind() -> None:
    wire = Played(queue_messages=4)
    wire.read(*[build(TEXT, b"%d" % i) for i in range(4)])
    assert wire.transport.reading
    wire.read(build(TEXT, b"4"))
    assert not wire.transport.reading and not wire.session.reading
    assert [await wire.recv() for _ in range(3)] == ["0", "1", "2"]
    assert not wire.transport.reading
    assert await wire.recv() == "3"
    assert wire.transport.reading and wire.session.reading


async def test_bytes_count_as_well_as_messages() -> None:
    wire = Played(queue_messages=None, queue_bytes=10_000)
    wire.read(*[build(TEXT, b"")] * 100)
    assert not wire.transport.reading
    for _ in range(100):
        await wire.recv()
    assert wire.transport.reading


async def test_turns() -> None:
    wire = Played(frames_per_turn=10, queue_messages=None)
    seen: list[int] = []
    wire.read(*[build(TEXT, b"%d" % i) for i in range(25)])
    seen.append(wire.session.inbox.count)
    for _ in range(3):
        await asyncio.sleep(0)
        seen.append(wire.session.inbox.count)
    assert seen[0] == 10 and seen[-1] == 25 and seen == sorted(seen)
    assert [await wire.recv() for _ in range(25)] == [str(i) for i in range(25)]


async def test_a_breach_comes_after_what_was_in_order() -> None:
    wire = Played()
    wire.read(build(TEXT, b"good"), build(3))
    assert await wire.recv() == "good"
    with pytest.raises(ConnectionClosedError):
        await wire.recv()
    await turn()
    frames = parse(b"".join(wire.transport.writes))
    assert [frame.opcode for frame in frames] == [CLOSE] and wire.transport.ended


async def test_a_message_for_many_is_framed_once() -> None:
    wires = [Played() for _ in range(3)]
    closed = Played()
    closed.session = None
    paused = Played()
    paused.crowded = True
    failures: list[Exception] = []
    others = fan_out([*wires, closed, paused], Prepared("hello"), failures)
    assert others == [paused]
    assert not failures
    await turn()
    (first,), *rest = [wire.transport.writes for wire in wires]
    assert first == b"\x81\x05hello"
    assert rest == [[first], [first]]


async def test_a_message_for_many_survives_one_that_fails() -> None:
    wires = [Played() for _ in range(3)]
    wires[1].session.sending = 1  # it is in the middle of a fragmented message
    failures: list[Exception] = []
    assert fan_out(wires, Prepared("hello"), failures) == []
    assert [type(failure) for failure in failures] == [InvalidState]
    await turn()
    assert [len(wire.transport.writes) for wire in wires] == [1, 0, 1]


@pytest.mark.both_builds
async def test_who_does_nothing_but_send_hears_that_nobody_is_there() -> None:
    """The end comes in a turn of the loop, which a handler has to leave room for."""
    ended: asyncio.Future[ConnectionClosed] = asyncio.get_running_loop().create_future()

    async def handler(ws: Any) -> None:
        ws.transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        try:
            for _ in range(5_000):
                await ws.send(b"x" * 1000)
        except ConnectionClosed as exc:
            ended.set_result(exc)
        else:
            ended.set_exception(AssertionError("it sends for ever"))

    async with serve(handler, "127.0.0.1", 0, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}", proxy=None):
            assert isinstance(await ended, ConnectionClosedError)
