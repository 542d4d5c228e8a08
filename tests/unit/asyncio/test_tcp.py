"""A plain socket without a transport: what asyncio's Transport promises, on real sockets."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import struct
import weakref
from typing import Any, Self

import pytest

from duplexer.asyncio import tcp
from duplexer.asyncio.pump import Wire

pytestmark = pytest.mark.skipif(not tcp.available(), reason="needs epoll")


@pytest.fixture(params=[tcp.Poller, tcp.Direct])
def kind(request: pytest.FixtureRequest) -> Any:
    """Who watches: a set of ours, or the loop."""
    return request.param


class Recording(Wire):
    """A wire that writes down what it is told."""

    def __init__(self, loop: Any) -> None:
        super().__init__(loop)
        self.told: list[Any] = []
        self.keep_open = False
        self.changed = asyncio.Event()

    def tell(self, what: Any) -> None:
        self.told.append(what)
        self.changed.set()

    async def until(self, *told: Any) -> None:
        async with asyncio.timeout(40):
            while self.told[-len(told) :] != list(told):
                self.changed.clear()
                await self.changed.wait()

    def opening_data(self, data: bytes) -> None:
        if data == b"raise":
            raise ZeroDivisionError
        self.tell(data)

    def eof_received(self) -> bool:
        self.tell("eof")
        return self.keep_open

    def pause_writing(self) -> None:
        self.tell("pause")

    def resume_writing(self) -> None:
        self.tell("resume")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.tell(("lost", type(exc)))


class Ends:
    """Our end with its wire, and the peer's end, a blocking socket."""

    def __init__(self, kind: type[tcp.Poller]) -> None:
        loop = asyncio.get_running_loop()
        self.wire = Recording(loop)
        self.poller = kind(loop, self.wire.pump.buffer)
        ours, self.peer = socket.socketpair()
        ours.setblocking(False)
        self.tcp = tcp.Tcp(self.poller, ours.detach(), None, self.wire)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.peer.close()
        self.tcp.abort()
        await asyncio.sleep(0)
        assert self.poller.epoll is None  # nobody is in it, so it is closed


async def test_what_is_read_goes_to_the_wire(kind: type[tcp.Poller]) -> None:
    async with Ends(kind) as ends:
        ends.peer.sendall(b"one")
        await ends.wire.until(b"one")
        ends.tcp.pause_reading()
        ends.peer.sendall(b"two")
        for _ in range(3):
            await asyncio.sleep(0)
        assert ends.wire.told == [b"one"]
        ends.tcp.resume_reading()
        await ends.wire.until(b"one", b"two")


async def test_the_end_closes_it(kind: type[tcp.Poller]) -> None:
    async with Ends(kind) as ends:
        ends.peer.close()
        await ends.wire.until("eof", ("lost", type(None)))
        assert ends.tcp.is_closing()
        ends.tcp.write(b"too late")
        ends.tcp.writelines([b"too late"])
        ends.tcp.close()
        ends.tcp.abort()
        for _ in range(3):
            await asyncio.sleep(0)
        assert ends.wire.told == ["eof", ("lost", type(None))]


async def test_the_end_need_not_close_it(kind: type[tcp.Poller]) -> None:
    async with Ends(kind) as ends:
        ends.wire.keep_open = True
        ends.peer.shutdown(socket.SHUT_WR)
        await ends.wire.until("eof")
        ends.tcp.write(b"still here")
        assert ends.peer.recv(100) == b"still here"
        ends.tcp.write_eof()
        assert ends.peer.recv(100) == b""


async def test_a_hang_up_while_paused_does_not_spin() -> None:
    async with Ends(tcp.Poller) as ends:
        ends.tcp.pause_reading()
        ends.peer.close()
        assert ends.poller.epoll.poll(0) == []
        ends.tcp.resume_reading()
        await ends.wire.until("eof", ("lost", type(None)))


async def test_what_does_not_fit_waits_its_turn(kind: type[tcp.Poller]) -> None:
    async with Ends(kind) as ends:
        data = os.urandom(1 << 20)
        ends.tcp.set_write_buffer_limits(1000)
        ends.tcp.write(data)
        assert ends.wire.told == ["pause"]
        before = ends.tcp.get_write_buffer_size()
        assert before > 0
        ends.tcp.write(b"more")
        ends.tcp.writelines([b"and", b"more"])
        assert ends.tcp.get_write_buffer_size() <= before + 11
        ends.tcp.close()  # what is buffered is still written
        whole = len(data) + 11
        received = b""
        loop = asyncio.get_running_loop()
        ends.peer.setblocking(False)
        async with asyncio.timeout(40):
            while len(received) < whole:
                received += await loop.sock_recv(ends.peer, 1 << 16)
        assert received == data + b"moreandmore"
        await ends.wire.until("resume", ("lost", type(None)))


async def test_writelines_is_one_write(kind: type[tcp.Poller]) -> None:
    async with Ends(kind) as ends:
        ends.tcp.writelines([b"head", b"payload"])
        assert ends.peer.recv(100) == b"headpayload"
        assert ends.tcp.get_write_buffer_size() == 0


async def test_write_eof_after_what_is_buffered(kind: type[tcp.Poller]) -> None:
    async with Ends(kind) as ends:
        data = bytes(1 << 20)
        ends.tcp.write(data)
        ends.tcp.write_eof()
        ends.peer.setblocking(False)
        loop = asyncio.get_running_loop()
        n = 0
        async with asyncio.timeout(40):
            while piece := await loop.sock_recv(ends.peer, 1 << 16):
                n += len(piece)
        assert n == len(data)


async def test_a_write_that_fails_is_told_once(kind: type[tcp.Poller]) -> None:
    async with Ends(kind) as ends:
        ends.peer.close()
        ends.tcp.pause_reading()
        ends.tcp.write(b"x")
        ends.tcp.write(b"x")
        await ends.wire.until(("lost", BrokenPipeError))
        assert len(ends.wire.told) == 1


async def test_a_reset_is_told_with_its_cause() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        peer = socket.create_connection(listening.getsockname())
        ours, _ = listening.accept()
    ours.setblocking(False)
    wire = Recording(asyncio.get_running_loop())
    poller = tcp.Poller(asyncio.get_running_loop(), wire.pump.buffer)
    transport = tcp.Tcp(poller, ours.detach(), peer.getsockname(), wire)
    address = peer.getsockname()
    assert transport.get_extra_info("peername") == address
    assert transport.get_extra_info("sockname") == peer.getpeername()
    option = transport.get_extra_info("socket")
    option.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    await wire.until(("lost", ConnectionResetError))
    assert len(wire.told) == 1
    assert transport.get_extra_info("peername") == address  # it is remembered
    assert transport.get_extra_info("cipher", "none") == "none"


async def test_a_bug_in_one_connection_ends_that_one(kind: type[tcp.Poller]) -> None:
    async with Ends(kind) as ends:
        reported: list[dict[str, Any]] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context))
        ends.peer.sendall(b"raise")
        await ends.wire.until(("lost", ZeroDivisionError))
        assert isinstance(reported[0]["exception"], ZeroDivisionError)


def test_a_loop_that_goes_takes_its_sockets_with_it(kind: type[tcp.Poller]) -> None:
    async def forget() -> tuple[int, Any]:
        ends = Ends(kind)
        ends.peer.detach()
        return ends.tcp.fd, weakref.ref(ends.wire)

    fd, wire = asyncio.run(forget())
    gc.collect()
    assert wire() is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


async def test_a_child_that_holds_the_socket_does_not_make_us_spin() -> None:
    async with Ends(tcp.Poller) as ends:
        ends.poller.hold()  # as a server does
        held = os.dup(ends.tcp.fd)  # as a child that was forked has it
        try:
            ends.tcp.abort()
            ends.peer.close()
            assert ends.poller.epoll.poll(0) == []
        finally:
            os.close(held)
            ends.poller.release()


async def test_a_large_backlog_is_written_piece_by_piece(kind: type[tcp.Poller]) -> None:
    data = os.urandom(3 << 20)
    async with Ends(kind) as ends:
        ends.tcp.writelines([b"head", data, b"tail"])
        ends.peer.setblocking(False)
        received = bytearray()
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(40):
            while len(received) < len(data) + 8:
                received += await loop.sock_recv(ends.peer, 50_000)
        assert received == b"head" + data + b"tail"
        assert ends.tcp.get_write_buffer_size() == 0


def test_a_loop_that_goes_closes_a_socket_that_was_asked_for_once(kind: type[tcp.Poller]) -> None:
    async def forget() -> int:
        ends = Ends(kind)
        ends.peer.detach()
        ends.tcp.get_extra_info("socket").getsockname()
        return ends.tcp.fd

    fd = asyncio.run(forget())
    gc.collect()  # closing it twice would be a ResourceWarning, which is an error here
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
