"""Transports in memory, with protocols that note down what they are told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from duplexer.testing.links import Link
from duplexer.testing.memory import (
    CLIENT_ADDRESS,
    SERVER_ADDRESS,
    MemoryTransport,
    link_protocols,
)
from tests.unit.testing.conftest import turns, until


class Notes(asyncio.Protocol):
    """Of a plain protocol; ``stays`` keeps its half open when the other one ends."""

    def __init__(self, stays: bool = False) -> None:
        self.stays = stays
        self.data = b""
        self.reads = 0
        self.told: list[Any] = []
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.reads += 1
        self.data += data

    def eof_received(self) -> bool:
        self.told.append("eof")
        return self.stays

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append(type(exc).__name__ if exc else "lost")


class Buffered(asyncio.BufferedProtocol):
    def __init__(self) -> None:
        self.buffer = bytearray(10)
        self.data = b""

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, n: int) -> None:
        self.data += self.buffer[:n]


def linked(link: Link | None = None, **kwargs: Any) -> tuple[Notes, Notes]:
    a, b = Notes(**kwargs), Notes(**kwargs)
    link_protocols(a, b, link or Link())
    return a, b


async def test_bytes_go_both_ways() -> None:
    a, b = linked()
    a.transport.write(b"hello")
    a.transport.writelines([b" ", bytearray(b"world")])
    b.transport.write(memoryview(b"!"))
    assert b.data == b""  # never within the call
    await turns()
    assert (a.data, b.data) == (b"!", b"hello world")


async def test_addresses() -> None:
    a, b = linked()
    assert a.transport.get_extra_info("sockname") == CLIENT_ADDRESS
    assert a.transport.get_extra_info("peername") == SERVER_ADDRESS
    assert b.transport.get_extra_info("peername") == CLIENT_ADDRESS
    assert a.transport.get_extra_info("sslcontext") is None
    assert isinstance(a.transport, MemoryTransport) and a.transport.get_protocol() is a


async def test_a_small_buffer_is_filled_again() -> None:
    a, b = Notes(), Buffered()
    link_protocols(a, b, Link())
    a.transport.write(bytes(range(35)))
    await turns()
    assert b.data == bytes(range(35))


async def test_close_is_an_end_for_both() -> None:
    a, b = linked()
    a.transport.write(b"last words")
    a.transport.close()
    a.transport.write(b"too late")
    assert a.transport.is_closing()
    await turns()
    assert b.data == b"last words"
    assert a.told == ["lost"] and b.told == ["eof", "lost"]


async def test_half_closed() -> None:
    a, b = linked(stays=True)
    assert a.transport.can_write_eof()
    a.transport.write_eof()
    await turns()
    b.transport.write(b"still here")
    await turns()
    assert a.data == b"still here" and b.told == ["eof"] and a.told == []
    b.transport.close()
    await turns()
    assert a.told == ["eof"] and b.told == ["eof", "lost"]


async def test_pausing() -> None:
    a, b = linked()
    b.transport.pause_reading()
    assert not b.transport.is_reading()
    a.transport.write(b"x")
    await turns()
    assert b.data == b""
    b.transport.resume_reading()
    await turns()
    assert b.data == b"x" and b.transport.is_reading()


async def test_a_writer_waits_for_a_reader_that_does_not_read() -> None:
    a, b = linked(Link(capacity=1000))
    a.transport.set_write_buffer_limits(500)
    assert a.transport.get_write_buffer_limits() == (125, 500)
    b.transport.pause_reading()
    a.transport.write(bytes(1400))
    assert a.transport.get_write_buffer_size() == 400 and a.told == []
    a.transport.write(bytes(200))
    assert a.told == ["pause"]
    a.transport.close()
    await turns()
    assert a.told == ["pause"]  # it is not over while something is left to be sent
    b.transport.resume_reading()
    await turns()
    assert len(b.data) == 1600
    assert a.told == ["pause", "resume", "lost"] and b.told == ["eof", "lost"]


async def test_abort_does_not_wait() -> None:
    a, b = linked(Link(capacity=10))
    b.transport.pause_reading()
    a.transport.write(bytes(100))
    a.transport.abort()
    a.transport.abort()
    await turns()
    assert a.told == ["lost"] and b.told == []
    b.transport.resume_reading()
    await turns()
    assert b.told == ["eof", "lost"]


async def test_who_leaves_without_reading_resets() -> None:
    a, b = linked()
    a.transport.pause_reading()
    b.transport.write(b"unread")
    await turns()
    a.transport.close()
    await turns()
    assert b.told == ["ConnectionResetError"]


async def test_who_writes_to_nobody_is_reset() -> None:
    a, b = linked(stays=True)
    a.transport.close()
    await turns()
    assert b.told == ["eof"]
    b.transport.write(b"anybody?")
    await turns()
    assert b.told == ["eof", "ConnectionResetError"]


async def test_the_network_resets_both() -> None:
    link = Link()
    a, b = linked(link)
    a.transport.write(b"lost")
    link.reset()
    await turns()
    assert a.told == b.told == ["ConnectionResetError"] and b.data == b""


async def test_split() -> None:
    a, b = linked(Link(split=1))
    a.transport.write(b"hello")
    await turns()
    assert b.data == b"hello" and b.reads == 5


async def test_a_delay_is_one_of_the_loop() -> None:
    a, b = linked(Link(delay=0.01))
    started = asyncio.get_running_loop().time()
    a.transport.write(b"x")
    await until(lambda: b.data)
    assert asyncio.get_running_loop().time() - started >= 0.009


async def test_stalled_and_resumed() -> None:
    link = Link()
    a, b = linked(link)
    link.to_server.stall()
    a.transport.write(b"x")
    b.transport.write(b"y")
    await turns()
    assert (a.data, b.data) == (b"y", b"")
    link.to_server.resume()
    await turns()
    assert b.data == b"x"


async def test_an_error_in_a_protocol_is_reported_and_ends_it() -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))

    class Failing(Notes):
        def data_received(self, data: bytes) -> None:
            raise ZeroDivisionError

    a, b = Notes(), Failing()
    link_protocols(a, b, Link())
    a.transport.write(b"x")
    await turns()
    assert isinstance(told[0]["exception"], ZeroDivisionError)
    assert b.told == ["lost"] and a.told == ["eof", "lost"]


@pytest.mark.parametrize("seed", range(3))
async def test_everything_arrives_whatever_the_pieces(seed: int) -> None:
    a, b = linked(Link(split=(1, 50), jitter=0.0001, seed=seed, capacity=200))
    sent = bytes(i % 251 for i in range(5000))
    for start in range(0, len(sent), 100):
        a.transport.write(sent[start : start + 100])
    a.transport.close()
    await until(lambda: "lost" in b.told)
    assert b.data == sent
